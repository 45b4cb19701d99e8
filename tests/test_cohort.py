"""Loops side by side, beside each alone."""

import logging

import numpy as np
import pytest
import torch
from fakes import CentroidLearner, blobs
from scipy.stats import mannwhitneyu

from activeloop.cohort import Cohort
from activeloop.data import digits
from activeloop.errors import LearnerError, StoreError
from activeloop.learners import TorchLearner
from activeloop.learners.stacked import Stacked
from activeloop.learners.threads import InThreads
from activeloop.listeners import Silent
from activeloop.loop import ActiveLoop
from activeloop.models import load_model
from activeloop.oracle import SimulatedOracle
from activeloop.strategies import load_strategy
from activeloop.types import SKIP

WAYS = [InThreads, Stacked]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Have learners work together in this way, whatever the device."""
    monkeypatch.setattr(TorchLearner, "together", staticmethod(request.param))
    return request.param


def learner(**options):
    settings = {"steps": 8, "batch_size": 8, "device": "cpu", **options}
    return TorchLearner(load_model("mlp", hidden=[8], dropout=0.3), **settings)


def make(seed, directory=None, made=learner, strategy="margin", **options):
    if isinstance(strategy, str):
        strategy = load_strategy(strategy)
    data, hidden = options.pop("data", None) or blobs()
    settings = {"initial": 6, "query_size": 4, "rounds": 3, **options}
    where = None if directory is None else directory / str(seed)
    loop = ActiveLoop(
        data,
        made(),
        strategy,
        test_labels=hidden.test,
        seed=seed,
        directory=where,
        **settings,
    )
    return loop, SimulatedOracle(hidden.pool)


def run_together(seeds, directory=None, **options):
    """Return the loops, run side by side on the same data, and their errors."""
    data = options.pop("data", None) or blobs()
    pairs = [make(seed, directory, data=data, **options) for seed in seeds]
    cohort = Cohort([loop for loop, _ in pairs], [oracle for _, oracle in pairs])
    errors = dict(cohort.run())
    return [loop for loop, _ in pairs], errors


def outcome(loop):
    """Return all that a run came to, but for its times."""
    kept = [
        (r.round, r.labels, {k: v for k, v in r.metrics.items() if not k.endswith("_seconds")})
        for r in loop.rounds
    ]
    return kept, loop.files.store.queries(), loop.ended


def test_with_one_thread_each_run_is_as_alone_to_the_bit():
    loops, errors = run_together([0, 1, 2], strategy="k_center")
    assert errors == {0: None, 1: None, 2: None}
    for seed, loop in enumerate(loops):
        single, oracle = make(seed, strategy="k_center")
        single.run(oracle)
        assert outcome(loop) == outcome(single)
    assert outcome(loops[0]) != outcome(loops[1])


def test_round_0_is_as_alone(way):
    loops, _ = run_together([3, 4], rounds=0)
    for seed, loop in zip([3, 4], loops, strict=True):
        single, oracle = make(seed, rounds=0)
        single.run(oracle)
        assert [a.index for a in loop.files.store.queries()] == [
            a.index for a in single.files.store.queries()
        ]
        everything = np.arange(len(single.data.pool))
        one, other = (
            each.learner.predict(each.data.pool, everything, frozenset()).probs
            for each in (loop, single)
        )
        assert torch.allclose(one, other, atol=1e-4)


class Interrupting(Silent):
    """Interrupts at the nth answer or finished round, counted over all runs."""

    def __init__(self, oracle, count):
        self.oracle, self.count = oracle, count

    def label(self, indices):
        self.down("label")
        return self.oracle.label(indices)

    def on_round(self, round, test_probs):
        self.down("round")

    def down(self, what):
        if self.count[0] == what:
            self.count[1] -= 1
            if self.count[1] == 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("what", "nth"), [("label", 2), ("label", 5), ("round", 2), ("round", 5), ("label", 9)]
)
def test_an_interrupted_study_ends_as_one_that_was_not(way, tmp_path, what, nth):
    data = blobs()
    whole, _ = run_together([0, 1, 2], data=data, rounds=2)
    pairs = [make(seed, tmp_path, data=data, rounds=2) for seed in range(3)]
    count = [what, nth]
    oracles = [Interrupting(oracle, count) for _, oracle in pairs]
    for (loop, _), oracle in zip(pairs, oracles, strict=True):
        loop.listeners.append(oracle)
    with pytest.raises(KeyboardInterrupt):
        list(Cohort([loop for loop, _ in pairs], oracles).run())
    for loop, _ in pairs:
        loop.files.close()
    again, errors = run_together([0, 1, 2], tmp_path, data=data, rounds=2)
    assert set(errors.values()) == {None}
    for one, other in zip(again, whole, strict=True):
        assert outcome(one) == outcome(other)


def test_those_behind_catch_up_and_go_on_with_the_others(way, tmp_path, monkeypatch):
    data = blobs()
    ahead, oracle = make(0, tmp_path, data=data)
    for _ in range(2):  # the initial labels, and those of round 1
        ahead.step(oracle)
    ahead.files.close()
    sizes = []
    fit_many = way.fit_many
    monkeypatch.setattr(
        way, "fit_many", lambda self, fits: sizes.append(len(fits)) or fit_many(self, fits)
    )
    run_together([0, 1, 2], tmp_path, data=data)
    assert sizes == [2, 3, 3, 3]


def test_runs_may_end_in_different_rounds(way):
    def stop_early(rounds):
        return "enough" if len(rounds) == 2 else None

    data = blobs()
    rules = {0: [stop_early], 1: []}
    pairs = [make(seed, data=data, stopping=rules[seed]) for seed in (0, 1)]
    errors = list(Cohort([p[0] for p in pairs], [p[1] for p in pairs]).run())
    assert errors == [(0, None), (1, None)]
    assert [len(loop.rounds) for loop, _ in pairs] == [2, 4]
    assert pairs[0][0].ended == "enough"


def test_a_run_that_fails_stops_no_other(way):
    data = blobs()
    pairs = [make(seed, data=data) for seed in range(3)]

    class Broken:
        def label(self, indices):
            raise ValueError("no answer")

    oracles = [pairs[0][1], Broken(), pairs[2][1]]
    errors = dict(Cohort([loop for loop, _ in pairs], oracles).run())
    assert isinstance(errors[1], ValueError)
    assert errors[0] is errors[2] is None
    assert [len(loop.rounds) for loop, _ in pairs] == [4, 0, 4]


def test_a_fit_that_fails_is_its_own_runs_error():
    data, hidden = blobs()
    labels = hidden.pool.copy()
    pairs = [make(seed, data=(data, hidden), made=CentroidLearner) for seed in range(2)]
    pairs[1][0].learner.fit = lambda *_: (_ for _ in ()).throw(LearnerError("it diverged"))
    errors = dict(Cohort([p[0] for p in pairs], [SimulatedOracle(labels)] * 2).run())
    assert errors[0] is None
    assert "it diverged" in str(errors[1])


def test_learners_that_know_no_better_way_take_turns(caplog):
    with caplog.at_level(logging.INFO):
        loops, _ = run_together([0, 1], made=CentroidLearner)
    assert "one after another: CentroidLearner" in caplog.text
    for seed, loop in enumerate(loops):
        single, oracle = make(seed, made=CentroidLearner)
        single.run(oracle)
        assert outcome(loop) == outcome(single)


def test_other_data_for_each_are_no_reason_to_mix_them_up(caplog):
    pairs = [make(seed, data=blobs(seed=seed)) for seed in (0, 1)]
    with caplog.at_level(logging.INFO):
        list(Cohort([p[0] for p in pairs], [p[1] for p in pairs]).run())
    assert "their data differ" in caplog.text
    for seed in (0, 1):
        single, oracle = make(seed, data=blobs(seed=seed))
        single.run(oracle)
        assert outcome(pairs[seed][0]) == outcome(single)


def test_skipped_answers_leave_different_numbers_of_labels(way):
    data, hidden = blobs()

    class Skips(SimulatedOracle):
        def label(self, indices):
            answers = list(super().label(indices))
            return [SKIP, *answers[1:]]

    pairs = [make(seed, data=(data, hidden)) for seed in range(3)]
    oracles = [pairs[0][1], Skips(hidden.pool), pairs[2][1]]
    errors = dict(Cohort([loop for loop, _ in pairs], oracles).run())
    assert set(errors.values()) == {None}
    assert [loop.rounds[-1].labels for loop, _ in pairs] == [18, 14, 18]
    single, _ = make(1)
    single.run(Skips(hidden.pool))
    assert [r.labels for r in pairs[1][0].rounds] == [r.labels for r in single.rounds]


def test_warm_starts_and_part_of_the_pool(way):
    """Weights that go on, and strategies that predict some of the pool, or all parts of it."""
    options = {
        "made": lambda: learner(warm_start=True),
        "strategy": load_strategy("subsample", strategy="margin", size=30),
    }
    loops, errors = run_together([0, 1], **options)
    assert set(errors.values()) == {None}
    single, oracle = make(1, **options)
    single.run(oracle)
    assert loops[1].rounds[0].metrics["loss"] == pytest.approx(single.rounds[0].metrics["loss"])
    assert len(loops[1].rounds) == 4


def test_seconds_are_shared_out(way, monkeypatch):
    """Each run's times are its share, and together they are no more than went by."""
    clock = 0.0
    fit_many, predict_many = way.fit_many, way.predict_many

    def slow(method, seconds):
        def call(*arguments):
            nonlocal clock
            clock += seconds
            return method(*arguments)

        return call

    monkeypatch.setattr("activeloop.cohort.time.perf_counter", lambda: clock)
    monkeypatch.setattr(way, "fit_many", slow(fit_many, 12.0))
    monkeypatch.setattr(way, "predict_many", slow(predict_many, 6.0))
    loops, _ = run_together([0, 1, 2], rounds=1)
    for loop in loops:
        assert [r.metrics["train_seconds"] for r in loop.rounds] == pytest.approx([4, 4])
        assert [r.metrics["test_seconds"] for r in loop.rounds] == pytest.approx([2, 2])
        assert loop.rounds[1].metrics["predict_seconds"] == pytest.approx(2)


def test_a_directory_is_that_of_a_run_alone(tmp_path):
    run_together([0, 1], tmp_path, rounds=1)
    alone, oracle = make(1, tmp_path, rounds=1)
    assert alone.run(oracle)[-1].round == 1  # finished: nothing was left to do
    with pytest.raises(StoreError, match="another run"):
        make(1, tmp_path, rounds=2)


@pytest.mark.slow
def test_stacked_runs_are_drawn_from_the_same_distribution_as_single_ones(monkeypatch):
    """Twenty seeds on digits: neither their accuracies nor their spread tell which is which."""
    monkeypatch.setattr(TorchLearner, "together", staticmethod(Stacked))
    data, hidden = digits(size=8)
    options = {
        "data": (data, hidden),
        "made": lambda: TorchLearner(
            load_model("mlp", hidden=[64], dropout=0.5),
            min_steps=1,
            epochs=20,
            batch_size=16,
            device="cpu",
        ),
        "initial": 20,
        "query_size": 10,
        "rounds": 6,
    }
    loops, errors = run_together(range(20), **options)
    assert set(errors.values()) == {None}
    single = []
    for seed in range(20):
        loop, oracle = make(seed, **options)
        single.append(loop.run(oracle))
    ours = np.array([loop.rounds[-1].metrics["accuracy"] for loop in loops])
    theirs = np.array([rounds[-1].metrics["accuracy"] for rounds in single])
    firsts = [loop.rounds[0].metrics["loss"] for loop in loops]
    assert firsts == pytest.approx([rounds[0].metrics["loss"] for rounds in single], rel=1e-3)
    assert mannwhitneyu(ours, theirs).pvalue > 0.1
    standard_error = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 20)
    assert abs(ours.mean() - theirs.mean()) < 2 * standard_error
    assert 0.5 < ours.std() / theirs.std() < 2
