"""Answers that come when a person gives them: corrected, taken back, while a round is trained."""

import contextlib
import threading

import numpy as np
import pytest
from fakes import CentroidLearner, blobs

from activeloop import NONE_OF_THESE, SKIP, ActiveLoop, Initial, load_strategy
from activeloop.answers import Answers
from activeloop.errors import LearnerError, OrderError, StoreError


class Waiting(CentroidLearner):
    """Waits inside `fit` until it may go on, once it was told to."""

    def __init__(self):
        super().__init__()
        self.seen, self.waits = [], False
        self.inside, self.may_go_on = threading.Event(), threading.Event()

    def fit(self, data, indices, labels, rng):
        self.seen.append(
            (data.n_classes, dict(zip(indices.tolist(), labels.tolist(), strict=True)))
        )
        if self.waits:
            self.inside.set()
            assert self.may_go_on.wait(60)
        return super().fit(data, indices, labels, rng)


def make(directory=None, learner=None, **options):
    data, hidden = blobs()
    settings = {"initial": 6, "query_size": 6, "budget": 90, "strategy": "entropy"} | options
    strategy = load_strategy(settings.pop("strategy"))
    loop = ActiveLoop(
        data,
        learner or CentroidLearner(),
        strategy,
        test_labels=hidden.test,
        directory=directory,
        **settings,
    )
    return loop, hidden.pool


def told(loop, truth):
    query = loop.ask()
    loop.tell(query, truth[query.indices])
    return query


def in_background(loop, learner):
    """Have another thread ask, and return it when it is inside `fit`, with what it returns."""
    learner.waits, asked = True, []

    def ask():
        with contextlib.suppress(StoreError):  # where its store is closed, as by a crash
            asked.append(loop.ask())

    thread = threading.Thread(target=ask)
    thread.start()
    assert learner.inside.wait(60)
    return thread, asked


def go_on(thread, learner):
    learner.may_go_on.set()
    thread.join(60)
    assert not thread.is_alive()
    learner.waits = False


def test_answers_may_be_given_to_any_sample_changed_and_taken_back():
    loop, _ = make()
    query = loop.ask()
    other = next(i for i in range(90) if i not in query.indices)
    loop.record({other: 1}, "ann")
    loop.record({other: 2, int(query.indices[0]): SKIP}, "bob", seconds=1.5)
    assert loop.pool.answer(other) == 2
    assert loop.ask().answered == {query.indices[0]: SKIP}
    loop.record({other: None, int(query.indices[0]): None}, "bob")
    assert loop.pool.answer(other) is None
    assert list(loop.ask().open) == list(query.indices)
    kept = [(e.kind, e.label, e.who, e.seconds) for e in loop.files.store.events()]
    assert kept == [
        ("label", "b", "ann", None),
        ("label", "c", "bob", 1.5),
        ("skip", None, "bob", 1.5),
        ("undo", None, "bob", None),
        ("undo", None, "bob", None),
    ]


def test_what_no_class_fits_is_told_from_what_was_skipped(tmp_path):
    loop, truth = make(tmp_path)
    query = loop.ask()
    a, b, *rest = query.indices.tolist()
    loop.record({a: SKIP, b: NONE_OF_THESE} | {i: int(truth[i]) for i in rest})
    loop.files.close()
    again, _ = make(tmp_path)
    assert again.pool.answer(a) is SKIP
    assert again.pool.answer(b) is NONE_OF_THESE
    assert not {a, b} & set(again.ask().indices.tolist())


def test_recording_all_of_a_query_closes_it():
    loop, truth = make()
    query = loop.ask()
    loop.record({i: int(truth[i]) for i in query.indices.tolist()})
    assert loop.ask().round == 1
    assert loop.rounds[0].labels == 6


@pytest.mark.parametrize(
    ("answers", "message"),
    [({90: 0}, "index 90 is outside"), ({0: 3}, "a class from 0 to 2"), ({0: True}, "got True")],
)
def test_answers_that_mean_nothing_are_refused_whole(answers, message):
    loop, _ = make()
    loop.ask()
    with pytest.raises(OrderError, match=message):
        loop.record({1: 0} | answers)
    assert loop.pool.n_labelled == 0
    assert loop.files.store.events() == []


def test_a_round_is_fitted_on_what_was_there_when_its_query_was_closed():
    loop, truth = make(learner=(learner := Waiting()))
    first = told(loop, truth)
    corrected, fresh = int(first.indices[0]), 89 if 89 not in first.indices else 88
    thread, asked = in_background(loop, learner)
    loop.record({corrected: (int(truth[corrected]) + 1) % 3, fresh: int(truth[fresh])})
    go_on(thread, learner)
    assert learner.seen[0] == (3, {i: int(truth[i]) for i in first.indices.tolist()})
    assert loop.rounds[0].labels == 6
    assert fresh not in asked[0].indices
    told(loop, truth)
    loop.ask()
    assert learner.seen[1][1][corrected] == (int(truth[corrected]) + 1) % 3
    assert learner.seen[1][1][fresh] == truth[fresh]
    assert loop.rounds[1].labels == 13


def test_a_round_done_again_after_a_crash_is_fitted_on_the_same(tmp_path):
    loop, truth = make(tmp_path, learner=(learner := Waiting()))
    first = told(loop, truth)
    corrected, unsaid = first.indices[:2].tolist()
    thread, _ = in_background(loop, learner)
    loop.record({corrected: (int(truth[corrected]) + 1) % 3, unsaid: None})
    loop.add_class("d")
    loop.files.close()  # as a crash: what the thread does from here on is lost
    again, _ = make(tmp_path, learner=(second := Waiting()))
    again.ask()
    assert second.seen == learner.seen
    assert again.rounds[0].classes == 3
    assert again.data.classes == ("a", "b", "c", "d")
    learner.may_go_on.set()
    thread.join(60)


def test_a_class_added_while_a_round_is_trained_is_known_to_the_next():
    loop, truth = make(learner=(learner := Waiting()), strategy="k_center")
    told(loop, truth)
    thread, asked = in_background(loop, learner)
    new = loop.add_class("d")
    loop.record({next(i for i in range(90) if loop.pool.answer(i) is None): new})
    go_on(thread, learner)
    assert loop.rounds[0].classes == 3
    loop.tell(asked[0], truth[asked[0].indices])
    loop.ask()
    assert [round.classes for round in loop.rounds] == [3, 4]


def test_a_query_that_was_answered_while_it_was_made_is_closed():
    answers = {}

    def first_six(context):
        picks = context.unlabelled[:6]
        loop.record({int(i): answers[int(i)] for i in picks} if context.round == 1 else {})
        return picks

    loop, truth = make()
    loop.strategy = first_six
    answers.update(enumerate(truth.tolist()))
    told(loop, truth)
    assert loop.ask().round == 2
    assert [round.labels for round in loop.rounds] == [6, 12]


def test_a_query_that_was_answered_while_it_was_made_is_closed_after_a_crash(tmp_path, monkeypatch):
    loop, truth = make(tmp_path)

    def first_six(context):
        picks = context.unlabelled[:6]
        loop.record({int(i): int(truth[i]) for i in picks})
        return picks

    told(loop, truth)
    loop.strategy = first_six
    monkeypatch.setattr(Answers, "settle", lambda self: loop.files.close())
    with contextlib.suppress(StoreError):
        loop.ask()
    monkeypatch.undo()
    again, _ = make(tmp_path)
    assert again.ask().round == 2
    assert [len(again.files.store.queries(round)) for round in (0, 1)] == [6, 6]
    assert [round.labels for round in again.rounds] == [6, 12]


def test_a_first_query_skipped_while_it_was_made_is_asked_for_again():
    def skipped(context):
        loop.record({int(i): SKIP for i in context.unlabelled[:6]} if not seen else {})
        seen.append(context.unlabelled[:6])
        return seen[-1]

    seen = []
    loop, _ = make()
    loop.initial = Initial(size=6, strategy=skipped)
    assert list(loop.ask().open) == list(seen[1])
    assert not set(seen[0]) & set(seen[1])


@pytest.mark.parametrize("crashes", [False, True])
def test_the_last_network_knows_what_was_answered_while_the_one_before_was_trained(
    tmp_path, crashes
):
    loop, truth = make(tmp_path, learner=(learner := Waiting()), budget="all")
    told(loop, truth)
    thread, _ = in_background(loop, learner)
    loop.record({i: int(truth[i]) for i in loop.pool.unlabelled.tolist()})
    if crashes:
        loop.files.close()
        learner.may_go_on.set()
        thread.join(60)
        loop, _ = make(tmp_path, learner=(learner := Waiting()), budget="all")
        assert loop.ask() is None
    else:
        go_on(thread, learner)
    assert loop.ended == "no unlabelled sample left"
    assert [round.labels for round in loop.rounds] == [6, 90]
    assert len(learner.seen[-1][1]) == 90
    loop.files.close()
    again, _ = make(tmp_path, learner=Waiting(), budget="all")
    assert [round.labels for round in again.rounds] == [6, 90]
    assert (again.ask(), again.ended) == (None, "no unlabelled sample left")


def test_the_last_network_of_a_budget_knows_answers_beyond_it():
    loop, truth = make(learner=(learner := Waiting()), budget=12)
    told(loop, truth)
    thread, _ = in_background(loop, learner)
    loop.record({i: int(truth[i]) for i in loop.pool.unlabelled[:8].tolist()})
    go_on(thread, learner)
    assert loop.ended == "budget of 12 labels spent"
    assert [round.labels for round in loop.rounds] == [6, 14]


def test_finishing_takes_what_was_answered_while_the_last_network_was_trained():
    loop, truth = make(learner=(learner := Waiting()))
    told(loop, truth)
    learner.waits = True
    thread = threading.Thread(target=loop.finish, args=("finished",))
    thread.start()
    assert learner.inside.wait(60)
    loop.record({i: int(truth[i]) for i in loop.pool.unlabelled[:2].tolist()})
    go_on(thread, learner)
    assert [round.labels for round in loop.rounds] == [6, 8]


def test_finishing_trains_on_what_was_given_and_ends_the_run(tmp_path):
    loop, truth = make(tmp_path)
    told(loop, truth)
    query = loop.ask()
    loop.record({int(query.indices[0]): int(truth[query.indices[0]])})
    loop.finish("finished by ann")
    assert loop.ended == "finished by ann"
    assert [round.labels for round in loop.rounds] == [6, 7]
    assert loop.ask() is None
    assert (tmp_path / "model.safetensors").exists()
    with pytest.raises(OrderError, match="over already"):
        loop.finish("again")


def test_finishing_without_anything_new_trains_nothing_and_without_a_label_is_refused():
    loop, truth = make()
    loop.ask()
    with pytest.raises(OrderError, match="before any sample has a label"):
        loop.finish("finished")
    told(loop, truth)
    loop.ask()
    loop.finish("finished")
    assert len(loop.rounds) == 1


def test_a_finished_run_may_be_reopened_and_goes_on_with_its_open_query(tmp_path):
    loop, truth = make(tmp_path)
    told(loop, truth)
    query = loop.ask()
    loop.finish("finished")
    loop.files.close()
    again, _ = make(tmp_path)
    assert again.ask() is None
    again.reopen()
    assert list(again.ask().indices) == list(query.indices)
    told(again, truth)
    assert again.ask().round == 2
    straight, _ = make()
    for _ in range(2):
        told(straight, truth)
    assert np.array_equal(again.ask().indices, straight.ask().indices)


def test_the_first_round_waits_for_labels_of_so_many_classes(tmp_path):
    loop, _ = make(tmp_path)
    loop.answers.least_classes = 2
    query = loop.ask()
    loop.record(dict.fromkeys(query.indices.tolist(), 1))
    again = loop.ask()
    assert (again.round, loop.rounds) == (0, [])
    assert not set(again.indices) & set(query.indices)
    with pytest.raises(OrderError, match="labels of 2 classes are needed"):
        loop.close()
    loop.record({int(again.indices[0]): 2})
    loop.close()
    assert loop.ask().round == 1
    assert [round.labels for round in loop.rounds] == [7]


class Unwilling(CentroidLearner):
    """Cannot fit six labels."""

    def fit(self, data, indices, labels, rng):
        if len(indices) == 6:
            raise LearnerError("training diverged")
        return super().fit(data, indices, labels, rng)


def test_a_round_that_failed_may_take_the_answers_that_came_since(tmp_path):
    loop, truth = make(tmp_path, learner=Unwilling())
    told(loop, truth)
    with pytest.raises(LearnerError):
        loop.ask()
    other = int(loop.pool.unlabelled[0])
    loop.record({other: int(truth[other])})
    with pytest.raises(LearnerError):  # the same again
        loop.ask()
    loop.close_again()
    loop.files.close()
    loop, _ = make(tmp_path, learner=Unwilling())
    query = loop.ask()
    assert [round.labels for round in loop.rounds] == [7]
    loop.close_again()  # nothing waits to be trained
    assert list(loop.query.indices) == list(query.indices)
    assert loop.round == 1


def test_an_answer_says_which_event_it_takes_back(tmp_path):
    loop, _ = make(tmp_path)
    loop.record({3: 1}, "ann")
    loop.record({3: None}, "ann", takes_back={3: 1})
    assert [event.takes_back for event in loop.files.store.events()] == [None, 1]
    loop.record({3: 1}, "ann", takes_back={3: 2}, brings_back={3: 1})
    assert [event.brings_back for event in loop.files.store.events()] == [None, None, 1]


def test_why_samples_were_answered_is_kept_with_the_answers(tmp_path):
    loop, truth = make(tmp_path, audit=0.5)
    told(loop, truth)
    query = told(loop, truth)
    loop.record({int(loop.pool.unlabelled[0]): 0, int(query.indices[0]): 1}, "eve")
    said = [event.origin for event in loop.files.store.events()]
    assert said[:6] == ["initial"] * 6
    assert said[6:12] == ["audit" if each else "strategy" for each in query.audit.tolist()]
    assert set(said[6:12]) == {"audit", "strategy"}
    assert said[12:] == [None, None]  # of those, whoever told it has to say why


def test_a_query_answered_after_the_end_is_closed_when_the_run_is_reopened():
    loop, truth = make()
    told(loop, truth)
    query = loop.ask()
    loop.finish("finished")
    loop.record({i: int(truth[i]) for i in query.indices.tolist()})
    loop.reopen()
    assert loop.ask().round == 2
    assert [round.labels for round in loop.rounds] == [6, 12]


def test_labels_that_came_to_a_branch_before_it_began_are_in_its_initial_set(tmp_path):
    before, truth = make(tmp_path)
    before.record({i: int(truth[i]) for i in range(6)})
    before.files.close()
    loop, _ = make(tmp_path, initial=Initial(size=6, given=True))
    loop.record({20: int(truth[20])})
    assert loop.ask().round == 1
    assert [round.labels for round in loop.rounds] == [7]


def test_what_an_earlier_run_left_in_the_directory_is_not_taken_for_this_ones(tmp_path):
    first, truth = make(tmp_path, seed=1, stop_set=20)
    told(first, truth)
    first.ask()
    first.files.close()
    (tmp_path / "run.db").unlink()
    (tmp_path / "test_probs" / "labels.npy").write_bytes(b"damaged")
    second, _ = make(tmp_path, seed=2, stop_set=20)
    kept = np.load(tmp_path / "stop_probs" / "indices.npy")
    assert np.array_equal(kept, second.stop_set.indices)
    assert len(np.load(tmp_path / "test_probs" / "labels.npy")) == 60


def test_a_pool_that_is_answered_as_the_next_query_begins_ends_the_run(monkeypatch):
    loop, truth = make()
    told(loop, truth)
    counted = ActiveLoop._next_size

    def answered_since(self):
        size = counted(self)
        loop.record({i: int(truth[i]) for i in loop.pool.unlabelled.tolist()})
        return size

    monkeypatch.setattr(ActiveLoop, "_next_size", answered_since)
    assert loop.ask() is None
    assert loop.rounds[-1].labels == 90


def test_what_a_network_was_trained_on_and_was_taken_back_is_not_asked_of_that_network():
    loop, truth = make(learner=(learner := Waiting()), audit=0.5, query_size=84)
    first = told(loop, truth)
    back = first.indices[:3].tolist()
    thread, asked = in_background(loop, learner)
    loop.record(dict.fromkeys(back))
    go_on(thread, learner)
    assert not set(back) & set(asked[0].indices.tolist())
    assert len(asked[0].indices) == 84


def test_an_imported_first_query_of_one_class_is_not_enough_where_two_are_needed(
    tmp_path,
):
    before, _ = make(tmp_path)
    query = before.ask()
    keys = {before.data.pool.keys[i]: "a" for i in query.indices.tolist()}
    before.files.store.add_labels(0, keys, "import")
    before.files.close()
    loop, truth = make(tmp_path)
    loop.answers.least_classes = 2
    assert not set(loop.ask().indices.tolist()) & set(query.indices.tolist())
    assert loop.rounds == []
    told(loop, truth)
    loop.ask()
    assert [round.labels for round in loop.rounds] == [12]
