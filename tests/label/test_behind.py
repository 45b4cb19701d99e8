"""What goes on behind the page: when rounds begin, what goes wrong, how a run ends."""

import re
import threading

import pytest
from desks import say, undone
from fakes import CentroidLearner, blobs

from activeloop import Initial
from activeloop.errors import LearnerError, OrderError, StoreError, StrategyError
from activeloop.label.background import Background, Stopped
from activeloop.label.cards import Conflict, Said
from activeloop.label.turns import Turns


def test_a_round_begins_when_half_of_its_query_is_answered_and_replaces_the_rest(desks):
    desk = desks.begin()
    held = desk.next("bob", 2)
    desks.label("ann", 2)
    assert desks.work() == 0
    assert desk.status().training.until_next == 1
    desks.label("ann", 1)
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [3]
    status = desk.status()
    assert (status.round, status.training.state) == (1, "idle")
    queue = desks.loop.query.indices.tolist()
    assert desk.next("ann", 3)[0].id in queue
    again = desk.next("bob", 2, keep=[held[0].id])
    assert again[0].id == held[0].id
    assert again[0].why.origin == "initial"
    assert again[1].why.round == 1


def test_answers_given_while_the_network_learns_count_towards_the_next_round(new_desks):
    desks = new_desks(initial=12, query_size=12, learner=Interrupted)
    desk = desks.begin()
    Interrupted.happens = lambda: desks.label("bob", 12)  # the rest, and others at random
    desks.label("ann", 6)
    assert desk.step()
    Interrupted.happens = staticmethod(lambda: None)
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [6, 18]
    assert desk.status().training.until_next == 6
    desks.open()
    desks.work()
    assert desks.desk.status().training.until_next == 6


def test_every_new_label_counts_towards_the_next_round_and_nothing_else(desks):
    desk = desks.begin()
    done = desks.label("ann", 3)
    desks.work()
    query = set(desks.loop.query.indices.tolist())
    wrong = next(name for name in "abc" if name != desks.name(done[0]))
    desk.answer("ann", [say(desk.card(done[0]), wrong)])  # a correction is to be learnt
    assert desk.status().training.until_next == 2
    desk.undo("ann")
    desk.answer("bob", [say(desk.card(done[1]), desks.name(done[1]))])  # known already
    assert desk.status().training.until_next == 3
    desk = desks.begin()  # and not when the run is opened again
    assert desk.status().training.until_next == 3
    assert len(desks.loop.rounds) == 1
    others = [card for card in desk.grid("ann", "a", 50) if card.id not in query][:3]
    desk.answer("ann", [say(card, desks.name(card.id)) for card in others])
    assert desk.status().training.until_next == 0
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [3, 6]


def test_labels_that_the_run_has_from_a_file_are_counted(new_desks):
    truth = blobs()[1].pool
    labels = {index: int(truth[index]) for index in range(8)}
    desks = new_desks(initial=Initial(size=8, labels=labels))
    desk = desks.begin()
    assert (desk.status().labels, desk.status().training.until_next) == (8, 3)
    desks.label("ann", 3)
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [8, 11]


def test_a_query_that_could_not_be_shown_is_shown_the_next_time(desks, monkeypatch):
    desk = desks.begin()
    with monkeypatch.context() as patch:
        patch.setattr(Turns, "replace", broken_disk)
        desks.label("ann", 3)
        desks.work()
        assert desk.status().training.state == "failed"
    desks.label("ann", 1)
    desks.work()
    assert desk.status().round == desks.loop.query.round == 1
    assert desk.next("ann", 1)[0].id in desks.loop.query.indices


def broken_disk(*words):
    raise StoreError("the disk is broken")


def test_taking_back_a_correction_that_the_network_has_learnt_is_new(desks):
    desk = desks.begin()
    done = desks.label("ann", 2)
    wrong = next(name for name in "abc" if name != desks.name(done[0]))
    desk.answer("ann", [say(desk.card(done[0]), wrong)])
    desks.label("bob", 1)
    desks.work()
    assert len(desks.loop.rounds) == 1
    assert desk.status().training.until_next == 3
    assert undone(desk, "ann").id == done[0]
    assert desk.status().training.until_next == 2


def test_some_answers_given_while_the_network_learns_are_some_fewer_for_the_next_round(new_desks):
    desks = new_desks(initial=12, query_size=12, learner=Interrupted)
    desk = desks.begin()
    Interrupted.happens = lambda: (desks.label("bob", 3), desk.undo("bob"))
    desks.label("ann", 6)
    desks.work()
    Interrupted.happens = staticmethod(lambda: None)
    assert desk.status().training.until_next == 4
    desk.undo("bob")
    assert desk.status().training.until_next == 5
    desks.label("ann", 5)
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [6, 12]


def test_nothing_is_trained_before_two_classes_have_labels(desks):
    desk = desks.begin()
    for _ in range(9):  # the query of 6, and what comes when it is answered
        desks.work()
        (card,) = desk.next("ann", 1)
        desk.answer("ann", [say(card, "b")])
    desks.work()
    assert desks.loop.rounds == []
    training = desk.status().training
    assert (training.until_next, training.state) == (None, "idle")
    assert "two classes" in training.detail
    with pytest.raises(OrderError, match="two classes"):
        desk.train()
    with pytest.raises(OrderError, match="two classes"):
        desk.finish("ann")
    (card,) = desk.next("ann", 1)
    desk.answer("ann", [say(card, "a")])
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [10]


def test_training_may_be_asked_for(desks):
    desk = desks.begin()
    desks.label("ann", 3)
    desks.work()
    with pytest.raises(OrderError, match="nothing was answered"):
        desk.train()
    desks.label("ann", 1)
    assert desks.work() == 0
    desk.train()
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [3, 4]


class Failing(CentroidLearner):
    """Cannot fit so many labels and no more."""

    def fit(self, data, indices, labels, rng):
        if len(indices) == 3:
            raise LearnerError("training diverged: lower learner.lr")
        return super().fit(data, indices, labels, rng)


def test_what_failed_is_said_and_tried_again_with_the_next_answers(new_desks):
    desks = new_desks(learner=Failing)
    desk = desks.begin()
    desks.label("ann", 3)
    desks.work()
    training = desk.status().training
    assert (training.state, training.detail) == ("failed", "training diverged: lower learner.lr")
    assert desks.work() == 0  # not again and again
    desk = desks.begin()
    assert desk.status().training.state == "failed"
    assert desk.next("ann", 1)
    desks.label("ann", 1)
    desks.work()
    assert desk.status().training.state == "idle"
    assert [round.labels for round in desks.loop.rounds] == [4]


def test_a_disk_that_is_full_stops_training_until_the_next_answer(desks, monkeypatch):
    desk = desks.begin()
    desks.label("ann", 3)
    store, limit = desks.loop.files.store, "PRAGMA max_page_count = {}"
    add, pages = store.add_round, store._all("PRAGMA page_count")[0][0]

    def full(*given):
        store._all(limit.format(pages))
        store.set_meta("large", "x" * 10**6)

    monkeypatch.setattr(store, "add_round", full)
    desks.work()
    training = desk.status().training
    assert training.state == "failed"
    assert re.search(
        "run.db: no space left on the disk, free some; once that is mended it is tried again with "
        "the next answer, or when you say so, and nothing need be started again$",
        training.detail,
    )
    monkeypatch.setattr(store, "add_round", add)
    store._all(limit.format(10**6))
    desks.label("ann", 1)
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [4]


def test_a_strategy_that_fails_leaves_random_samples_to_label(desks):
    desk = desks.begin()
    picking, desks.loop.strategy = desks.loop.strategy, broken
    desks.label("ann", 6)
    desks.work()
    assert desk.status().training.state == "failed"
    assert "no more" in desk.status().training.detail
    assert desk.next("ann", 1)[0].why.origin == "waiting"
    desks.loop.strategy = picking
    desk.train()
    desks.work()
    assert desk.status().round == 1
    assert len(desks.loop.rounds) == 1


def broken(context):
    raise StrategyError("no more")


def test_a_failed_end_is_no_end(new_desks):
    desks = new_desks(learner=Failing)
    desk = desks.begin()
    desks.label("ann", 2)
    desks.label("ann", 1)
    desk.finish("ann")
    desks.work()
    assert desk.status().training.state == "failed"
    assert desk.status().finished is None
    assert desk.next("ann", 1)


def test_all_samples_answered_ends_the_run(new_desks, tmp_path):
    desks = new_desks(n=12)
    desk = desks.begin()
    for _ in range(12):
        desks.label("ann", 1)
        desks.work()
    assert desk.status().finished == "no unlabelled sample left"
    assert desk.next("ann", 5) == []
    assert (tmp_path / "model.safetensors").exists()
    card = undone(desk, "ann")  # labels may be corrected still
    assert desk.status().unlabelled == 1
    desk.reopen("ann")
    desks.work()
    assert [each.id for each in desk.next("ann", 5)] == [card.id]


def test_skipped_samples_are_not_asked_for_again_and_may_be_labelled_later(new_desks):
    desks = new_desks(n=12)
    desk = desks.begin()
    skipped, misfit = desk.next("ann", 2)
    desk.answer("ann", [say(skipped, kind="skip"), say(misfit, kind="none")])
    for _ in range(9):
        desks.label("ann", 1)
        desks.work()
        assert not {skipped.id, misfit.id} & {card.id for card in desk.next("ann", 12)}
    status = desk.status()
    assert (status.skipped, status.none, status.unlabelled) == (1, 1, 1)
    (card,) = [c for c in desk.history() if c.id == skipped.id]
    desk.answer("ann", [say(card, "a")])
    assert desk.status().skipped == 0


def test_an_added_class_is_known_to_the_network_of_the_next_round(desks):
    desk = desks.begin()
    assert desk.add_class("ann", " d ") == ["a", "b", "c", "d"]
    with pytest.raises(OrderError, match="there is a class 'd' already"):
        desk.add_class("bob", "d")
    with pytest.raises(OrderError, match="needs a name"):
        desk.add_class("bob", "\n")
    cards = desk.next("ann", 3)
    desk.answer("ann", [say(card, "abd"[n]) for n, card in enumerate(cards)])
    desks.work()
    assert desks.loop.rounds[0].classes == 4
    assert len(desk.next("ann", 1)[0].opinion.probs) == 4
    assert desks.open().status().counts == {"a": 1, "b": 1, "c": 0, "d": 1}


def test_what_somebody_has_who_went_away_goes_to_others(new_desks):
    desks = new_desks(n=8)
    desk = desks.open(patience=300.0)
    held = {card.id for card in desk.next("ann", 6)}
    assert len(desk.next("bob", 8)) == 2
    desks.clock.now = 200.0
    desk.heard("ann")  # her page is open
    assert [p.here for p in desk.status().people] == [True, False]
    assert len(desk.next("bob", 8)) == 2
    desks.clock.now = 301.0
    assert held < {card.id for card in desk.next("bob", 8)}
    desk.next("bob", 0)
    (card,) = desk.next("ann", 1)
    assert card.given is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Said(id=90, kind="skip"), "no sample 90"),
        (Said(id=-1, kind="skip"), "no sample -1"),
        (Said(id=1, kind="label"), "no class None"),
        (Said(id=1, kind="label", label="a", key="joined.png"), "image 1 is another one by now"),
        (Said(id=1, kind="skip", label="a"), "an answer is"),
        (Said(id=1, kind="undo"), "an answer is"),
        (Said(id=0, kind="none"), "two answers"),
        (Said(id=1, kind="label", label="a", replaces=7), "taken back meanwhile"),
    ],
)
def test_answers_are_taken_all_or_none(desks, said, message):
    desk = desks.open()
    with pytest.raises(OrderError, match=message):
        desk.answer("ann", [Said(id=0, kind="skip"), said])
    assert desks.events() == []


def test_an_answer_to_what_somebody_else_has_answered_is_refused(desks):
    desk = desks.open()
    (card,) = desk.next("ann", 1)
    desk.answer("bob", [say(card, kind="skip")])
    with pytest.raises(Conflict, match="bob has answered meanwhile: skip") as refused:
        desk.answer("ann", [say(card, "a")])
    assert refused.value.given.who == "bob"
    assert len(desks.events()) == 1


def test_undo_goes_back_to_the_beginning_after_a_restart_too(desks):
    desk = desks.begin()
    done = desks.label("ann", 4)
    desks.label("bob", 1)
    desk.answer("ann", [say(desk.card(done[0]), "c" if desks.name(done[0]) != "c" else "a")])
    desks.work()
    desk = desks.open()
    back = undone(desk, "ann")
    assert (back.id, back.given.label) == (done[0], desks.name(done[0]))
    assert [undone(desk, "ann").id for _ in range(2)] == [done[3], done[2]]
    desk = desks.open()
    assert [undone(desk, "ann").id for _ in range(2)] == [done[1], done[0]]
    assert desk.undo("ann") == []
    assert desk.status().labels == 1
    assert {card.id for card in desk.next("ann", 90)} >= set(done)


def test_eight_threads_answer_while_rounds_are_trained(new_desks):
    desks = new_desks(n=300)
    desk = desks.open(make_learner=CentroidLearner)
    desk.start()
    told, errors = {}, []

    def label(who):
        try:
            for _ in range(5):
                for card in desk.next(who, 2):
                    (given,) = desk.answer(who, [say(card, desks.name(card.id))])
                    told[given.event] = (card.key, given.label, who)
                desk.status(who)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=label, args=(f"p{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert desk.stop(60)
    assert errors == []
    assert len(told) == 8 * 10
    assert {e.id: (e.key, e.label, e.who) for e in desks.events()} == told
    assert len({key for key, _, _ in told.values()}) == len(told)
    assert desks.loop.rounds


class Slow(CentroidLearner):
    """Trains until it is told to end."""

    began, endless = threading.Event(), True

    def fit(self, data, indices, labels, rng):
        self.began.set()
        while type(self).endless:
            super().fit(data, indices, labels, rng)
        return super().fit(data, indices, labels, rng)


def test_stopping_ends_training_and_the_round_is_done_again(new_desks):
    desks = new_desks(learner=Slow)
    desk = desks.begin()
    desks.label("ann", 3)
    desk.start()
    assert Slow.began.wait(60)
    assert desk.status().training.state == "training"
    assert desk.next("bob", 1)  # nobody waits
    desks.label("bob", 2)
    assert desk.stop(60)
    Slow.endless = False
    desks.open()
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [3]


def test_a_stop_that_comes_as_the_background_looks_for_work_is_not_missed():
    background = Background()

    class Late(threading.Event):
        def clear(self):
            if not background.stopping:
                background.stopping = True
                self.set()
            super().clear()

    background._more = Late()
    background.start(lambda: False)
    assert background.stop(60)


def test_what_somebody_has_is_not_given_away_for_being_kept_or_taken_back(desks):
    desk = desks.begin()
    first, second = desk.next("ann", 2)
    assert first.id not in {card.id for card in desk.next("bob", 2, keep=[first.id, 90, -1])}
    assert desk.next("ann", 2, keep=[second.id])[0].id == second.id
    desk.answer("ann", [say(first, "a")])
    desk.next("ann", 0)
    assert undone(desk, "ann").id == first.id
    assert first.id not in {card.id for card in desk.next("bob", 90)}
    assert [card.id for card in desk.next("ann", 1, keep=[first.id])] == [first.id]


class Interrupted(CentroidLearner):
    """Something happens while it is trained."""

    happens = staticmethod(lambda: None)

    def fit(self, data, indices, labels, rng):
        type(self).happens()
        return super().fit(data, indices, labels, rng)


def test_finishing_may_be_asked_for_while_a_round_is_trained(new_desks):
    desks = new_desks(learner=Interrupted)
    desk = desks.begin()
    desks.label("ann", 3)
    Interrupted.happens = lambda: desk.finish("bob")
    desks.work()
    assert desk.status().finished == "finished by bob"
    assert [round.labels for round in desks.loop.rounds] == [3]
    desk.reopen("bob")
    Interrupted.happens = staticmethod(lambda: None)
    desks.work()
    assert desk.status().finished is None
    assert desk.next("ann", 1)


def test_a_run_that_is_just_being_ended_is_not_reopened(new_desks):
    desks = new_desks(learner=Interrupted)
    desk = desks.begin()
    desks.label("ann", 2)
    assert desk.status().training.until_next == 1
    desk.finish("ann")
    assert desk.status().training.until_next is None
    refused = []

    def reopen():
        with pytest.raises(OrderError, match="last network is being trained") as caught:
            desk.reopen("bob")
        refused.append(caught)

    Interrupted.happens = reopen
    desks.work()
    Interrupted.happens = staticmethod(lambda: None)
    assert refused
    assert desk.status().finished == "finished by ann"
    desk.reopen("bob")
    assert desk.status().finished is None


def test_a_run_that_ended_when_finishing_was_asked_for_may_be_reopened(new_desks):
    desks = new_desks(n=6, learner=Interrupted)
    desk = desks.begin()
    Interrupted.happens = lambda: desk.finish("bob")
    desks.label("ann", 6)
    desks.work()
    assert desk.status().finished == "no unlabelled sample left"
    desk.undo("ann")
    desk.reopen("ann")
    Interrupted.happens = staticmethod(lambda: None)
    desks.work()
    assert desk.status().finished is None


def test_finishing_just_after_new_samples_came_leaves_nothing_undone(desks, caplog):
    desk = desks.begin()
    desks.label("ann", 3)
    assert desk.step()  # a round; what is shown beside its samples is still to be worked out
    desk.finish("ann")
    desks.work()
    assert desk.status().finished == "finished by ann"
    assert caplog.messages == []


def test_a_finish_that_was_stopped_goes_on_when_the_run_is_opened_again(new_desks):
    desks = new_desks(learner=Interrupted)
    desk = desks.begin()
    desks.label("ann", 3)
    desks.work()
    desks.label("ann", 1)
    Interrupted.happens = lambda: desk.stop()
    desk.finish("ann")
    with pytest.raises(Stopped):
        desks.work()
    Interrupted.happens = staticmethod(lambda: None)
    desk = desks.open()
    assert desk.next("bob", 1) == []
    desks.work()
    assert desk.status().finished == "finished by ann"
    assert [round.labels for round in desks.loop.rounds] == [3, 4]
    desk.reopen("ann")
    desk = desks.open()  # what was finished is not finished again
    desks.work()
    assert desk.status().finished is None


def test_a_finish_that_failed_is_not_tried_again_at_the_next_opening(new_desks):
    desks = new_desks(learner=Failing)
    desk = desks.begin()
    desks.label("ann", 3)
    desk.finish("ann")
    desks.work()
    assert desk.status().training.state == "failed"
    desk = desks.begin()
    desks.label("ann", 1)
    desks.work()
    assert desk.status().finished is None
