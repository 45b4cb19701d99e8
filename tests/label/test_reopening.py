"""Going on with a run that is over: where it cannot, and what is left to do without new samples."""

import pytest
from desks import say, undone
from fakes import CentroidLearner

from activeloop.errors import OrderError
from activeloop.label import second_looks


def other(name):
    return "abc"["abc".index(name) - 1]


def correct(desks, index, who="ann"):
    """Have `who` change a label; return the new one."""
    card = desks.desk.card(index)
    name = other(card.given.label)
    desks.desk.answer(who, [say(card, name)])
    return name


def ended(desks):
    """Label until the run is over; return what was labelled."""
    desk, done = desks.desk, []
    desks.work()
    while desk.status().finished is None:
        done += desks.label("ann", 1)
        desks.work()
    return done


@pytest.mark.parametrize(
    ("size", "reason", "setting"),
    [
        ({"budget": 12}, "budget of 12 labels spent", "budget=24"),
        ({"budget": 60}, "budget of 60 labels spent", "budget=90"),
        ({"budget": None, "rounds": 1}, "rounds=1 done", "rounds=2"),
    ],
)
def test_a_run_that_would_be_over_at_once_is_not_reopened(
    new_desks, tmp_path, size, reason, setting
):
    desks = new_desks(directory=tmp_path / "a b", **size)
    desk = desks.open()
    assert desk.status().cannot_reopen is None
    done = ended(desks)
    said = desk.status().cannot_reopen
    assert said.startswith(f"{reason}; ")
    assert f"branch '{tmp_path / 'a b'}' {setting}. " in said
    with pytest.raises(OrderError) as refused:
        desk.reopen("ann")
    assert str(refused.value) == said
    assert desk.status().finished == reason
    # What is corrected can be learnt, as the sentence says.
    rounds = len(desks.loop.rounds)
    correct(desks, done[0])
    assert desk.status().cannot_reopen is None
    desk.reopen("ann")
    desks.work()
    assert desk.status().finished == reason
    assert len(desks.loop.rounds) == rounds + 1
    assert desk.status().cannot_reopen == said
    if "budget" in reason:  # one that is taken back is one to ask for
        desk.undo("ann")
        desk.undo("ann")
        desk.reopen("ann")
        desks.work()
        assert desk.status().finished is None
    desks.close()


@pytest.mark.parametrize(
    ("size", "reason", "labels"),
    [
        ({"n": 12}, "no unlabelled sample left", 12),
        ({"budget": 12}, "budget of 12 labels spent", 12),
    ],
)
def test_what_is_taken_back_after_the_end_is_said_until_it_is_answered_again(
    new_desks, size, reason, labels
):
    desks = new_desks(**size)
    desk = desks.open()
    ended(desks)
    assert desk.status().finished == reason
    taken = [undone(desk, "ann") for _ in range(2)]
    status = desk.status()
    assert status.finished == status.training.detail
    left = status.unlabelled
    assert status.finished == (
        f"{reason} when it ended, but answers were taken back since: {labels - 2} labels now, "
        f"{left} samples are without an answer"
    )
    assert desks.open().status().finished == status.finished
    for card in taken:
        desks.desk.answer("ann", [say(card, "a")])
    assert desks.desk.status().finished == reason


def test_what_is_taken_back_is_said_too_where_some_were_skipped_and_budget_is_left(new_desks):
    desks = new_desks(n=12, budget=12)
    desk = desks.begin()
    (card,) = desk.next("ann", 1)
    desk.answer("ann", [say(card, kind="skip")])
    ended(desks)
    assert desk.status().finished == "no unlabelled sample left"
    desk.undo("ann")
    assert "10 labels now, 1 sample is without an answer" in desk.status().finished


def test_who_finished_it_is_said_whatever_is_taken_back(new_desks):
    desks = new_desks(n=12)
    desk = desks.begin()
    desks.label("ann", 8)
    desk.finish("ann")
    desks.work()
    desk.undo("ann")
    assert desk.status().finished == "finished by ann"


class Seeing(CentroidLearner):
    """Remembers what it was fitted on last."""

    def fit(self, data, indices, labels, rng):
        type(self).labels = dict(zip(indices.tolist(), labels.tolist(), strict=True))
        return super().fit(data, indices, labels, rng)


def test_with_all_answered_people_correct_and_finish_with_a_network_that_knows_it(new_desks):
    desks = new_desks(n=12, learner=Seeing)
    desk = desks.open()
    done = ended(desks)
    assert desk.status().finished == "no unlabelled sample left"
    rounds = len(desks.loop.rounds)
    assert desk.status().cannot_reopen is None
    desk.reopen("ann")
    desks.work()
    status = desk.status()
    assert (status.finished, status.training.state) == (None, "idle")
    assert "correct" in status.training.detail
    assert desk.next("ann", 5) == []
    with pytest.raises(OrderError, match="nothing was answered"):
        desk.train()
    name = correct(desks, done[0])
    correct(desks, done[1], "bob")
    for _ in range(2):  # as it was left, also where the server is started again
        desks.work()
        assert desk.status().finished is None
        assert len(desks.loop.rounds) == rounds
        desk = desks.open()
    desk.finish("bob")
    desks.work()
    assert desk.status().finished == "finished by bob"
    assert len(desks.loop.rounds) == rounds + 1
    assert Seeing.labels[done[0]] == "abc".index(name)
    # It may be had again, and what is taken back is asked for once more.
    desk.reopen("ann")
    assert undone(desk, "bob").id == done[1]
    assert undone(desk, "ann").id == done[0]
    desk.undo("ann")
    desks.work()
    assert [card.id for card in desk.next("ann", 5)] == [done[-1]]
    desks.label("ann", 1)
    desks.work()
    assert desk.status().finished == "no unlabelled sample left"


def test_training_may_be_asked_for_when_all_is_answered(new_desks):
    desks = new_desks(n=12)
    desk = desks.open()
    done = ended(desks)
    rounds = len(desks.loop.rounds)
    desk.reopen("ann")
    desks.work()
    correct(desks, done[0])
    desk.train()
    desks.work()
    assert desk.status().finished == "no unlabelled sample left"
    assert len(desks.loop.rounds) == rounds + 1


def test_second_looks_may_be_taken_when_all_is_answered(new_desks, monkeypatch):
    monkeypatch.setattr(second_looks, "LEAST_LABELS", 50)
    desks = new_desks()
    desk = desks.begin(make_learner=CentroidLearner, threshold=0.5)
    while desk.status().finished is None:
        for card in desk.next("ann", 5):
            name = desks.name(card.id)
            desk.answer("ann", [say(card, other(name) if card.id % 7 == 6 else name)])
        desks.work()
    desk.reopen("ann")
    desks.work()
    looks = desk.second_looks("bob", 50)
    assert looks
    for look in looks:
        desk.answer("bob", [say(look, look.opinion.predicted)])
        desks.work()
    assert desk.second_looks("bob", 50) == []
    desk.finish("bob")
    desks.work()
    assert desk.status().finished == "finished by bob"
