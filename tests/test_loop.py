import contextlib
import csv
import dataclasses
import gc
import os
import subprocess
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import CentroidLearner, blobs
from sklearn.metrics import cohen_kappa_score

from activeloop import SKIP, ActiveLoop, Initial, SimulatedOracle, Stratified, load_strategy
from activeloop.errors import (
    ConfigError,
    DataError,
    LearnerError,
    OrderError,
    StoreError,
    StrategyError,
)
from activeloop.listeners import Silent
from activeloop.stopping import AllOf, Target
from activeloop.strategies import needs

TIMES = (
    "train_seconds",
    "predict_seconds",
    "select_seconds",
    "test_seconds",
    "stop_seconds",
)


def make(strategy="entropy", directory=None, learner=None, **options):
    data, hidden = blobs()
    options = {"initial": 6, "query_size": 5, "rounds": 4, "seed": 1} | options
    if isinstance(strategy, str):
        strategy = load_strategy(strategy)
    loop = ActiveLoop(
        data,
        learner or CentroidLearner(),
        strategy,
        test_labels=hidden.test,
        directory=directory,
        **options,
    )
    return loop, SimulatedOracle(hidden.pool)


def run(*args, **options):
    loop, oracle = make(*args, **options)
    loop.run(oracle)
    return loop


def history(loop):
    """Return all that must not depend on when and how often a run was interrupted."""
    curve = [
        (r.round, r.labels, {k: v for k, v in r.metrics.items() if k not in TIMES})
        for r in loop.rounds
    ]
    return curve, loop.files.store.queries(), loop.files.store.labels()


# -- what a run is -----------------------------------------------------------------------------


def test_a_run_labels_what_was_planned_and_learns():
    loop = run("margin", rounds=6)
    assert [r.labels for r in loop.rounds] == [6, 11, 16, 21, 26, 31, 36]
    assert [r.round for r in loop.rounds] == list(range(7))
    assert loop.rounds[-1].metrics["accuracy"] > 0.7
    assert loop.ended == "rounds=6 done"
    assert loop.ask() is None


def test_accuracy_and_loss_are_those_of_the_test_set():
    loop = run(rounds=0)
    data, hidden = blobs()
    probs = loop.learner.predict(data.test, np.arange(60), frozenset()).probs
    truth = torch.from_numpy(hidden.test)
    accuracy = (probs.argmax(dim=1) == truth).double().mean()
    assert loop.rounds[0].metrics["accuracy"] == pytest.approx(float(accuracy))
    expected = torch.nn.functional.nll_loss(probs.log(), truth)
    assert loop.rounds[0].metrics["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_the_labels_are_the_oracles():
    loop = run()
    _, hidden = blobs()
    assert loop.pool.labels.tolist() == hidden.pool[loop.pool.labelled].tolist()


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    assert history(run()) == history(run())
    assert history(run()) != history(run(seed=2))


@pytest.mark.parametrize("other", ["random", "margin", "l2_diversity"])
def test_strategies_with_one_seed_start_alike(other):
    one, two = run("entropy"), run(other)
    assert history(one)[0][0] == history(two)[0][0]
    initial = [[a for a in loop.files.store.queries() if a.round == 0] for loop in (one, two)]
    assert initial[0] == initial[1]
    assert history(one) != history(two)


def test_no_global_random_state_is_used_or_changed():
    np.random.seed(5)  # noqa: NPY002  # the global state is what is watched
    torch.manual_seed(5)
    first = history(run())
    after = (np.random.rand(), torch.rand(1))  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    assert (np.random.rand(), torch.rand(1)) == after  # noqa: NPY002
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    assert history(run()) == first


def test_the_last_query_takes_what_the_budget_leaves():
    loop = run(rounds=None, budget=18)
    assert [r.labels for r in loop.rounds] == [6, 11, 16, 18]
    assert loop.ended == "budget of 18 labels spent"


def test_an_empty_pool_ends_the_run():
    loop = run(rounds=None, query_size=50, budget=90)
    assert loop.rounds[-1].labels == 90
    loop = run(rounds=50, query_size=50)
    assert loop.ended == "no unlabelled sample left"


def test_a_target_ends_the_run():
    loop = run("margin", rounds=20, stopping=[Target(0.6)])
    assert loop.rounds[-1].metrics["accuracy"] >= 0.6
    assert all(r.metrics["accuracy"] < 0.6 for r in loop.rounds[:-1])
    assert "reached the target 60.00%" in loop.ended


def test_a_target_without_test_labels_is_an_error():
    data, _ = blobs()
    with pytest.raises(DataError, match="test samples with labels"):
        ActiveLoop(data, CentroidLearner(), load_strategy("random"), stopping=[Target(0.5)])


def test_without_test_labels_a_run_has_no_accuracy():
    data, hidden = blobs()
    loop = ActiveLoop(data, CentroidLearner(), load_strategy("entropy"), initial=5, rounds=1)
    rounds = loop.run(SimulatedOracle(hidden.pool))
    assert len(rounds) == 2
    assert "accuracy" not in rounds[0].metrics


def test_test_labels_must_be_as_many_as_test_samples():
    data, _ = blobs()
    with pytest.raises(DataError, match="3 test labels for 60 test samples"):
        ActiveLoop(data, CentroidLearner(), load_strategy("random"), test_labels=np.zeros(3, int))


def test_initial_sets_by_strategy_and_by_labels_already_owned():
    _, hidden = blobs()
    loop = run(initial=Initial(size=6, strategy=Stratified(hidden.pool)), rounds=0)
    assert np.bincount(loop.pool.labels).tolist() == [2, 2, 2]

    loop, oracle = make(initial=Initial(size=3, labels={7: 1, 2: 2, 30: 0}), rounds=1)
    loop.run(oracle)
    assert oracle.asked == 5  # nobody is asked for what is known
    assert loop.rounds[0].labels == 3
    owned = dict(zip(loop.pool.labelled.tolist(), loop.pool.labels.tolist(), strict=True))
    assert {i: owned[i] for i in (7, 2, 30)} == {7: 1, 2: 2, 30: 0}


def test_only_what_a_strategy_needs_is_predicted():
    learner = CentroidLearner()
    run("random", learner=learner, rounds=2, stop_set=0)
    assert learner.predicted == [60, 5, 60, 5, 60]  # the test set, and what was picked
    learner.predicted.clear()
    run("random", learner=learner, rounds=1, stop_set=30)
    assert learner.predicted == [60, 30, 5, 60, 30]


class Nearby:
    """Has a third of the pool predicted, and picks the first of it."""

    needs = frozenset(["probs"])

    def candidates(self, context):
        return context.unlabelled[::3]

    def __call__(self, context):
        return context.unlabelled[: context.k]


@pytest.mark.parametrize("strategy", ["entropy", "random", Nearby()])
def test_what_the_network_said_of_the_picks_is_kept(strategy):
    loop, oracle = make(strategy, rounds=2)
    query = loop.ask()
    assert query.predicted is query.confidence is None
    said = {}
    while query is not None:
        if query.round:
            probs = loop.learner.predict(loop.data.pool, query.indices, frozenset()).probs
            assert query.predicted.tolist() == probs.argmax(dim=1).tolist()
            assert query.confidence.tolist() == pytest.approx(probs.amax(dim=1).tolist())
            opinions = zip(query.predicted, query.confidence, strict=True)
            said |= dict(zip(query.keys, opinions, strict=True))
        loop.tell(query, oracle.label(query.indices))
        query = loop.ask()
    kept = loop.files.store.queries()
    assert len(said) == 10
    assert {a.key: (a.predicted, a.confidence) for a in kept if a.round} == {
        key: ("abc"[predicted], confidence) for key, (predicted, confidence) in said.items()
    }
    assert all(a.predicted is a.confidence is None for a in kept if a.round == 0)


def test_a_network_that_says_nothing_finite_of_a_pick_stops_no_run_that_does_not_ask(tmp_path):
    class Diverged(CentroidLearner):
        def predict(self, samples, indices, needs, out=None):
            prediction = super().predict(samples, indices, needs)
            prediction.probs[indices % 2 == 0] = torch.nan
            return prediction

    loop, oracle = make("random", directory=tmp_path, learner=Diverged())
    loop.tell(loop.ask(), oracle.label(loop.ask().indices))
    query = loop.ask()
    odd = query.indices % 2 == 1
    assert 0 < odd.sum() < 5
    restarted, _ = make("random", directory=tmp_path, learner=Diverged())
    for each in (query, restarted.ask()):
        assert ((each.predicted >= 0) == odd).all()
        assert (np.isfinite(each.confidence) == odd).all()


def test_networks_are_compared_on_the_stop_set(tmp_path):
    loop = run("margin", directory=tmp_path, stop_set=50)
    names = ("kappa", "classification_change", "performance_difference")
    assert not any(name in loop.rounds[0].metrics for name in names)
    said = [np.load(tmp_path / "stop_probs" / f"round_000{n}.npy") for n in range(5)]
    for n, round in enumerate(loop.rounds):
        entropies = -(said[n].astype(float) * np.log(said[n].astype(float) + 1e-9)).sum(axis=1)
        assert round.metrics["overall_uncertainty"] == pytest.approx(entropies.mean(), abs=1e-2)
        assert round.metrics["stop_seconds"] > 0
        if n:
            before, now = said[n - 1].argmax(axis=1), said[n].argmax(axis=1)
            assert round.metrics["classification_change"] == (before != now).mean()
            assert round.metrics["kappa"] == pytest.approx(cohen_kappa_score(before, now))
            assert 0 <= round.metrics["performance_difference"] <= 1
    assert "overall_uncertainty" not in run("margin", stop_set=0).rounds[1].metrics


def test_seconds_count_what_they_say():
    class Clocked(CentroidLearner):
        seconds = 0.0

        def clock(self):
            return self.seconds

        def fit(self, *args):
            self.seconds += 10
            return super().fit(*args)

        def predict(self, *args):
            self.seconds += 1
            return super().predict(*args)

    expected = {"train": 10, "predict": 1, "select": 0, "test": 1, "stop": 1}
    loop = run("random", learner=Clocked(), rounds=1)  # predicted: what it picked
    assert {p: loop.rounds[1].metrics[f"{p}_seconds"] for p in expected} == expected
    loop = run("margin", learner=Clocked(), rounds=1)  # one for shapes, and the pool: no more
    assert loop.rounds[1].metrics["predict_seconds"] == 2


def test_what_a_stop_set_holds_depends_on_the_seed_only(tmp_path):
    def samples(name, **options):
        run(directory=tmp_path / name, rounds=0, stop_set=10, **options)
        return np.load(tmp_path / name / "stop_probs" / "indices.npy").tolist()

    assert samples("a") == samples("b", strategy="random", initial=9) != samples("c", seed=2)


def test_without_what_was_kept_of_the_stop_set_a_run_goes_on_and_compares_later(tmp_path):
    whole = run(directory=tmp_path / "whole")
    loop, oracle = make(directory=tmp_path / "run")
    for _ in range(2):
        loop.step(oracle)
    (tmp_path / "run" / "stop_probs" / "round_0000.npy").unlink()
    resumed = run(directory=tmp_path / "run")
    assert "kappa" not in resumed.rounds[1].metrics
    assert resumed.rounds[2].metrics["kappa"] == whole.rounds[2].metrics["kappa"]


def test_measures_are_logged_when_wanted():
    names = ["least_confidence", "entropy", "margin", "cosine_similarity", "l2_distance"]
    loop = run("random", measures=True, rounds=1)
    for name in [*names, "neighbor_kl"]:
        assert np.isfinite(loop.rounds[0].metrics[name])
    assert "entropy" not in run("random", rounds=1).rounds[0].metrics


# -- ask and tell --------------------------------------------------------------------------------


def test_ask_returns_the_open_query_again():
    loop, _ = make()
    assert loop.ask() is loop.ask()
    assert loop.ask().round == 0
    assert len(loop.ask().indices) == 6
    assert loop.ask().keys == tuple(f"pool/{i}" for i in loop.ask().indices)


def test_tell_may_come_in_parts():
    loop, _ = make()
    first = loop.ask()
    loop.tell(first, {int(i): 0 for i in first.indices[:2]})
    again = loop.ask()
    assert again.open.tolist() == first.indices[2:].tolist()
    loop.tell(again, {int(i): 1 for i in again.open}, annotator="ann", seconds=2.5)
    events = loop.files.store._all("SELECT who, label, round, seconds FROM events")
    assert events == [("user", "a", 0, None)] * 2 + [("ann", "b", 0, 2.5)] * 4
    assert loop.ask().round == 1
    assert loop.rounds[0].labels == 6


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([0, 1], "query has 6 samples, got 2 answers"),
        ([0] * 7, "query has 6 samples, got 7"),
        ([0, 1, 2, 0, 1, 3], "a class from 0 to 2, SKIP or NONE_OF_THESE, got 3"),
        ([0, 1, 2, 0, 1, -1], "got -1"),
        ([0, 1, 2, 0, 1, "a"], "got 'a'"),
        ([0, 1, 2, 0, 1, 1.0], "got 1.0"),
        ([0, 1, 2, 0, 1, True], "got True"),
        ({1000: 0}, "sample 1000 is not open in the query of round 0"),
    ],
)
def test_answers_that_do_not_fit_are_refused_whole(answers, message):
    loop, _ = make()
    query = loop.ask()
    with pytest.raises(OrderError, match=message):
        loop.tell(query, answers)
    assert loop.pool.n_labelled == 0
    assert loop.files.store.labels() == {}


def test_calls_out_of_order_are_refused():
    loop, oracle = make()
    with pytest.raises(OrderError, match="no open query"):
        loop.close()
    query = loop.ask()
    with pytest.raises(OrderError, match="before any sample has a label"):
        loop.close()
    loop.tell(query, oracle.label(query.indices))
    with pytest.raises(OrderError, match="call ask first"):
        loop.tell(query, oracle.label(query.indices))
    later = loop.ask()
    with pytest.raises(OrderError, match="query that is open"):
        loop.tell(query, {int(later.indices[0]): 0})


def test_an_index_answered_already_is_refused():
    loop, _ = make()
    query = loop.ask()
    loop.tell(query, {int(query.indices[0]): 0})
    with pytest.raises(OrderError, match="has an answer already"):
        loop.tell(query, {int(query.indices[0]): 1})


def test_skipped_samples_do_not_count_and_are_not_asked_again():
    loop, oracle = make("random", rounds=30)
    query = loop.ask()
    skipped = query.indices[:2].tolist()
    answers = [SKIP, SKIP, *oracle.label(query.indices[2:]).tolist()]
    loop.tell(query, answers)
    asked = []
    while (query := loop.ask()) is not None:
        asked += query.indices.tolist()
        loop.tell(query, oracle.label(query.indices))
    assert loop.rounds[0].labels == 4
    assert not set(skipped) & set(asked)
    assert loop.rounds[-1].labels == 88


def test_an_initial_query_that_is_skipped_through_is_asked_again_with_others(tmp_path):
    loop, oracle = make(directory=tmp_path / "run")
    first = loop.ask()
    loop.tell(first, [SKIP] * 6)
    loop, _ = make(directory=tmp_path / "run")  # also after a restart
    second = loop.ask()
    assert second.round == 0
    assert not set(first.indices.tolist()) & set(second.indices.tolist())
    loop, _ = make(directory=tmp_path / "run")
    assert loop.ask().indices.tolist() == second.indices.tolist()
    loop.tell(loop.ask(), oracle.label(second.indices))
    assert loop.ask().round == 1


def test_closing_a_query_early_gives_the_rest_back():
    loop, oracle = make("random", rounds=40)
    query = loop.ask()
    loop.tell(
        query, {int(i): int(y) for i, y in zip(query.open, oracle.label(query.open), strict=True)}
    )
    query = loop.ask()
    loop.tell(query, {int(query.indices[0]): 0})
    loop.close()
    assert loop.ask().round == 2
    assert loop.rounds[1].labels == 7
    assert set(query.indices[1:].tolist()) <= set(loop.pool.unlabelled.tolist())


def test_classes_may_be_added_between_rounds(tmp_path):
    loop, oracle = make(directory=tmp_path / "run")
    query = loop.ask()
    loop.tell(query, oracle.label(query.indices))
    query = loop.ask()
    new = loop.add_class("new")
    assert new == 3
    loop.tell(query, [new] * 5)
    again, _ = make(directory=tmp_path / "run")
    again.ask()
    three = again.learner.predict(again.data.pool, np.arange(3), frozenset())
    assert three.probs.shape == (3, 4)
    with pytest.raises(OrderError, match="'new' already"):
        again.add_class("new")


def test_a_class_added_after_training_is_not_known_to_the_network_yet(tmp_path):
    seen = []

    @needs("probs")
    def strategy(context):
        seen.append((context.n_classes, context.probs.shape[1]))
        return context.unlabelled[: context.k]

    loop, oracle = make(strategy, directory=tmp_path, learner=CentroidLearner())
    loop.tell(loop.ask(), oracle.label(loop.ask().indices))
    loop._make_query = lambda k: (_ for _ in ()).throw(Crash())
    with pytest.raises(Crash):
        loop.ask()
    for weights in tmp_path.glob("weights_*"):
        weights.unlink()  # the network is fitted again, for the classes of its round
    again, _ = make(strategy, directory=tmp_path)
    again.add_class("new")
    query = again.ask()
    assert seen == [(3, 3)]
    again.tell(query, [3] * 5)
    again.ask()
    assert seen == [(3, 3), (4, 4)]
    assert [r.classes for r in again.rounds] == [3, 4]


# -- strategies see what they should, and nothing else -------------------------------------------


def test_a_plain_function_and_an_instance_work_as_strategies():
    class First:
        def __call__(self, context):
            return context.unlabelled[: context.k]

    for strategy in (lambda context: context.unlabelled[: context.k].tolist(), First()):
        loop = run(strategy, rounds=1)
        asked = [a.index for a in loop.files.store.queries() if a.round == 1]
        initial = {a.index for a in loop.files.store.queries() if a.round == 0}
        assert asked == [i for i in range(90) if i not in initial][:5]


@dataclass
class Spy:
    needs: frozenset = frozenset()
    seen: list = field(default_factory=list)

    def __call__(self, context):
        self.seen.append(context)
        return context.unlabelled[: context.k]


def test_the_context_holds_what_was_asked_for_and_nothing_else():
    spy = Spy()
    run(spy, rounds=1)
    (context,) = spy.seen
    assert (context.k, context.round, context.n_classes) == (5, 1, 3)
    assert len(context.labelled) == len(context.labels) == 6
    assert len(context.unlabelled) == 84
    for name in ("probs", "features", "members", "embeddings", "head", "neighbors"):
        assert getattr(context, name) is None

    spy = Spy(needs=frozenset(["probs", "neighbors", "head"]))
    run(spy, rounds=1)
    (context,) = spy.seen
    assert context.probs.shape == (90, 3)
    assert context.features is None
    assert context.neighbors(2)[1].shape == (90, 2)
    assert context.head(torch.zeros(2, 4)).shape == (2, 3)


def test_hidden_labels_cannot_be_reached_from_a_context():
    """Walk every object that the context refers to, however deep, and find no label array."""
    data, hidden = blobs()
    canaries = {id(hidden.pool), id(hidden.test), id(hidden)}
    spy = Spy(needs=frozenset(["probs", "features", "neighbors", "head"]))
    loop = ActiveLoop(data, CentroidLearner(), spy, test_labels=hidden.test, initial=6, rounds=2)
    oracle = SimulatedOracle(hidden.pool)
    canaries |= {id(oracle), id(oracle._labels), id(loop), id(loop.evaluate)}
    loop.run(oracle)
    context = spy.seen[-1]
    seen, queue = set(), [context]
    while queue:
        thing = queue.pop()
        if id(thing) in seen or isinstance(thing, types.ModuleType | type):
            continue
        seen.add(id(thing))
        if isinstance(thing, types.FunctionType):
            queue += [thing.__closure__, thing.__defaults__, thing.__dict__]
        else:
            queue += gc.get_referents(thing)
    assert id(context.labelled) in seen  # the walk walks
    assert not canaries & seen
    # And the numbers themselves: labels of unlabelled samples are in no array of the context.
    assert len(context.labels) == len(context.labelled) < len(hidden.pool)


def test_misbehaving_strategies_are_caught_in_a_run():
    def careless(context):
        return np.random.choice(context.unlabelled, context.k, replace=False)  # noqa: NPY002

    @needs("probs")
    def mutating(context):
        context.probs[context.unlabelled[0]] = 0
        return context.unlabelled[: context.k]

    with pytest.raises(StrategyError, match=r"global random state of numpy\.random"):
        run(careless)
    with pytest.raises(StrategyError, match=r"changed context\.probs"):
        run(mutating)


def test_a_failed_selection_can_be_asked_again():
    failing = [True]

    def sometimes(context):
        if failing:
            failing.pop()
            raise RuntimeError("no luck")
        return context.unlabelled[: context.k]

    loop, oracle = make(sometimes)
    loop.tell(loop.ask(), oracle.label(loop.ask().indices))
    with pytest.raises(StrategyError, match="no luck"):
        loop.ask()
    assert loop.ask().round == 1
    assert len(loop.rounds) == 1


class Nearest:
    """Only neighbours of the labelled samples are candidates."""

    needs = frozenset(["probs", "neighbors"])

    def __init__(self):
        self.contexts = []

    def candidates(self, context):
        return context.unlabelled[::4]

    def __call__(self, context):
        self.contexts.append(context)
        return context.unlabelled[: context.k]


@needs("probs", "features")
class Surest:
    """Keeps the contexts that it sees."""

    def __init__(self):
        self.contexts = []

    def __call__(self, context):
        self.contexts.append(context)
        surest = np.argsort(context.probs[context.unlabelled, 0].numpy())
        return context.unlabelled[surest[: context.k]]


class SurestOfSome(Surest):
    def candidates(self, context):
        return context.unlabelled[::4]


@pytest.mark.parametrize("kind", [Surest, SurestOfSome])
def test_predictions_larger_than_the_memory_limit_lie_in_files_and_are_the_same(
    kind, tmp_path, monkeypatch
):
    mapped, real = [], np.memmap
    monkeypatch.setattr(np, "memmap", lambda *a, **k: mapped.append(a) or real(*a, **k))
    first, second = kind(), kind()
    in_memory = run(first, learner=FillsOut(), rounds=1)
    assert not mapped
    on_disk = run(second, tmp_path / "run", learner=FillsOut(), rounds=1, memory_limit=160)
    assert mapped
    assert history(on_disk)[0] == history(in_memory)[0]
    for name in ("probs", "features"):
        ours, theirs = (getattr(each.contexts[0], name) for each in (first, second))
        assert torch.equal(ours.nan_to_num(-1), theirs.nan_to_num(-1))
    assert not list((tmp_path / "run").glob("tmp*"))


class FillsOut(CentroidLearner):
    """Predicts into what it is given."""

    def predict(self, samples, indices, needs, out=None):
        prediction = super().predict(samples, indices, needs)
        if out is None:
            return prediction
        out.probs.copy_(prediction.probs)
        if "features" in needs:
            out.features.copy_(prediction.features)
        return out


def test_candidates_alone_are_predicted():
    strategy, learner = Nearest(), CentroidLearner()
    run(strategy, learner=learner, rounds=1, stop_set=0)
    (context,) = strategy.contexts
    assert len(context.unlabelled) == 21  # every fourth of 84
    assert learner.predicted == [60, 1, 27, 60]  # test, for shapes, candidates and labelled, test
    wanted = np.union1d(context.unlabelled, context.labelled)
    assert context.probs[wanted].isfinite().all()
    rest = np.setdiff1d(np.arange(90), wanted)
    assert context.probs[rest].isnan().all()
    near = context.neighbors(3)[1]
    assert set(near[wanted].unique().tolist()) <= set(wanted.tolist())


def test_needs_that_no_round_can_give_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(StrategyError, match=r"Spy: .*embed=pca"):
        make(Spy(needs=frozenset(["embeddings"])))

    class Plain(CentroidLearner):
        offers = frozenset(["probs", "features"])

    wanted = r"strategy bald: .*needs members.*\(Plain.*learner\.members=mc_dropout.*=ensemble"
    with pytest.raises(StrategyError, match=wanted):
        make("bald", tmp_path / "run", learner=Plain())
    assert not (tmp_path / "run").exists()
    with pytest.raises(StrategyError, match=r"needs head.*: use another"):
        make(Spy(needs=frozenset(["head", "probs"])), learner=Plain())
    make(Spy(needs=frozenset(["probs", "features", "neighbors"])), learner=Plain())
    make("bald", learner=CentroidLearner())  # a learner that does not say what it offers


def test_needs_that_a_run_cannot_give_are_clear_errors():

    class Headless(CentroidLearner):
        head = None

        def predict(self, samples, indices, needs, out=None):
            from activeloop.types import Prediction

            return Prediction(probs=torch.full((len(indices), 3), 1 / 3))

    with pytest.raises(StrategyError, match="no linear last layer"):
        run(Spy(needs=frozenset(["head"])), learner=Headless())
    with pytest.raises(LearnerError, match="needs features"):
        run("random", learner=Headless(), measures=True)


def test_embeddings_and_their_neighbours_are_there_for_any_strategy_and_for_candidates():
    data, hidden = blobs()
    data = dataclasses.replace(data, embeddings=torch.arange(180.0).reshape(90, 2))
    spy = Spy()
    loop = ActiveLoop(data, CentroidLearner(), spy, initial=6, rounds=1)
    loop.run(SimulatedOracle(hidden.pool))
    assert spy.seen[0].embeddings.shape == (90, 2)

    class Seals(Nearest):
        def candidates(self, context):
            near = context.neighbors(8, space="embeddings")[1][context.labelled]
            return np.intersect1d(near, context.unlabelled)

    loop = ActiveLoop(data, CentroidLearner(), Seals(), initial=6, rounds=1)
    loop.run(SimulatedOracle(hidden.pool))
    assert loop.rounds[-1].labels == 26


def test_predictions_that_are_not_finite_are_named():
    class Diverged(CentroidLearner):
        def predict(self, samples, indices, needs, out=None):
            prediction = super().predict(samples, indices, needs)
            prediction.probs[indices == 3] = torch.nan
            return prediction

    with pytest.raises(LearnerError, match=r"1 samples are not finite \(first: pool/3\)"):
        run("entropy", learner=Diverged())


# -- listeners -----------------------------------------------------------------------------------


def test_listeners_hear_everything_in_order():
    heard = []

    class Ear(Silent):
        def on_epoch(self, epoch):
            heard.append("epoch")

        def on_query(self, query):
            heard.append(f"query {query.round}")

        def on_round(self, round, test_probs):
            heard.append(f"round {round.round} {tuple(test_probs.shape)}")

        def on_end(self, reason):
            heard.append(reason)

    run("random", rounds=1, listeners=[Ear()])
    assert heard == [
        "query 0",
        "epoch",
        "round 0 (60, 3)",
        "query 1",
        "epoch",
        "round 1 (60, 3)",
        "rounds=1 done",
    ]


# -- directories ---------------------------------------------------------------------------------


def test_a_directory_holds_the_whole_run(tmp_path):
    loop = run(directory=tmp_path / "run", rounds=2)
    rows = list(csv.DictReader((tmp_path / "run" / "curve.csv").open()))
    assert list(rows[0])[:8] == [
        "round",
        "labels",
        "accuracy",
        "loss",
        "train_seconds",
        "predict_seconds",
        "select_seconds",
        "test_seconds",
    ]
    assert [float(r["accuracy"]) for r in rows] == [r.metrics["accuracy"] for r in loop.rounds]
    for name in ("macro_f1", "worst_class_accuracy", "calibration_error"):
        assert [float(r[name]) for r in rows] == [r.metrics[name] for r in loop.rounds]
    queries = list(csv.DictReader((tmp_path / "run" / "queries.csv").open()))
    assert list(queries[0])[:6] == ["round", "position", "index", "key", "label", "score"]
    assert list(queries[0])[6:] == ["predicted", "confidence", "audit"]
    assert len(queries) == 16
    _, hidden = blobs()
    for row in queries:
        assert row["key"] == f"pool/{row['index']}"
        assert row["label"] == "abc"[hidden.pool[int(row["index"])]]
        for column in ("score", "predicted", "confidence"):
            assert (row[column] == "") == (row["round"] == "0")
        assert row["audit"] == "0"
    probs = np.load(tmp_path / "run" / "test_probs" / "round_0002.npy")
    assert probs.dtype == np.float16
    assert probs.shape == (60, 3)
    truth = np.load(tmp_path / "run" / "test_probs" / "labels.npy")
    assert (probs.argmax(axis=1) == truth).mean() == pytest.approx(
        loop.rounds[2].metrics["accuracy"], abs=0.02
    )
    said = np.load(tmp_path / "run" / "stop_probs" / "round_0002.npy")
    samples = np.load(tmp_path / "run" / "stop_probs" / "indices.npy")
    assert sorted(samples.tolist()) == list(range(90))
    again = loop.learner.predict(loop.data.pool, samples, frozenset()).probs
    np.testing.assert_array_equal(said, again.numpy().astype(np.float16))
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert not list((tmp_path / "run").glob("weights_*"))
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_a_finished_run_is_left_alone(tmp_path):
    first = run(directory=tmp_path)
    kept = history(first)
    first.files.close()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    learner = CentroidLearner()
    again = run(directory=tmp_path, learner=learner)
    assert learner.fits == 0
    assert history(again) == kept
    again.files.close()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


class Crash(Exception):
    pass


def crash_at(call):
    """Return the calls left, and a wrapper of functions of which the `call`-th called raises."""
    left = [call]

    def counted(function):
        def wrapper(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                raise Crash
            return function(*args, **kwargs)

        return wrapper

    return left, counted


KEPT = [f"{part}_probs/round_000{number}.npy" for part in ("test", "stop") for number in range(5)]


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("calls", range(1, 30))
def test_a_run_stopped_anywhere_goes_on_to_the_same_end(tmp_path, monkeypatch, calls, warm_start):
    """Stop before the n-th write of any kind; nothing that follows may depend on it."""
    rule = AllOf(["kappa", "plateau", {"name": "budget", "labels": 90}])  # reads, and never stops

    def options(name):
        learner = CentroidLearner(warm_start=warm_start)
        return {"directory": tmp_path / name, "learner": learner, "audit": 0.3, "stopping": [rule]}

    whole = run(**options("whole"))
    assert {"audit_accuracy", "kappa_mean_3"} < set(whole.rounds[4].metrics)
    left, counted = crash_at(calls)

    loop, oracle = make(**options("run"))
    for name in ("add_query", "add_labels", "add_round"):
        monkeypatch.setattr(loop.files.store, name, counted(getattr(loop.files.store, name)))
    for name in ("save_round", "drop_older_weights", "write_tables", "end"):
        monkeypatch.setattr(loop.files, name, counted(getattr(loop.files, name)))
    try:
        loop.run(oracle)
        assert left[0] > 0  # fewer writes than calls: nothing was stopped
    except Crash:
        pass
    resumed = run(**options("run"))
    assert history(resumed) == history(whole)
    for name in ("queries.csv", "model.safetensors", *KEPT):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_going_on_with_part_of_a_query_answered(tmp_path):
    whole = run(directory=tmp_path / "whole")
    loop, oracle = make(directory=tmp_path / "run")
    loop.tell(loop.ask(), oracle.label(loop.ask().indices))
    query = loop.ask()
    two = query.indices[:2]
    loop.tell(query, dict(zip(two.tolist(), oracle.label(two).tolist(), strict=True)))
    resumed, oracle = make(directory=tmp_path / "run")
    assert resumed.ask().open.tolist() == query.indices[2:].tolist()
    for name in ("scores", "predicted", "confidence"):
        np.testing.assert_array_equal(getattr(resumed.ask(), name), getattr(query, name))
    resumed.run(oracle)
    assert history(resumed)[:2] == history(whole)[:2]


def test_missing_weights_are_fitted_again_or_named(tmp_path):
    def stopped(warm_start):
        directory = tmp_path / str(warm_start)
        loop, oracle = make(directory=directory, learner=CentroidLearner(warm_start=warm_start))
        for _ in range(2):
            loop.tell(loop.ask(), oracle.label(loop.ask().indices))
        loop._make_query = lambda k: (_ for _ in ()).throw(Crash())
        with pytest.raises(Crash):
            loop.ask()
        (directory / "weights_0001.safetensors").unlink()
        return directory

    assert history(run(directory=stopped(False))) == history(run())
    with pytest.raises(StoreError, match=r"warm_start needs the weights of round 1"):
        run(directory=stopped(True), learner=CentroidLearner(warm_start=True))


def test_a_directory_of_another_run_is_refused_and_says_what_differs(tmp_path):
    run(directory=tmp_path)
    before = (tmp_path / "run.db").read_bytes()
    with pytest.raises(StoreError, match=r"config\.strategy was entropy, is margin"):
        make("margin", directory=tmp_path)
    with pytest.raises(StoreError, match=r"config\.seed was 1, is 2"):
        make(directory=tmp_path, seed=2)
    data, _ = blobs(seed=3)
    with pytest.raises(StoreError, match=r"data\.pool was"):
        ActiveLoop(
            data,
            CentroidLearner(),
            load_strategy("entropy"),
            initial=6,
            query_size=5,
            rounds=4,
            seed=1,
            directory=tmp_path,
        )
    assert (tmp_path / "run.db").read_bytes() == before


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the run"):
        make(directory=tmp_path / "file" / "run")


def test_sizes_are_checked_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="budget is 1,000 labels, but the pool has 90"):
        make(directory=tmp_path / "run", budget=1000)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("calls", range(1, 7))
def test_labels_already_owned_stay_the_owners_after_a_crash(tmp_path, monkeypatch, calls):
    _, hidden = blobs()
    owned = {i: int(hidden.pool[i] + 1) % 3 for i in (7, 2, 30)}  # not what the oracle would say
    options = {"initial": Initial(size=3, labels=owned), "rounds": 1, "directory": tmp_path}
    loop, oracle = make(**options)
    _, counted = crash_at(calls)
    for name in ("add_query", "add_labels", "add_round"):
        monkeypatch.setattr(loop.files.store, name, counted(getattr(loop.files.store, name)))
    with contextlib.suppress(Crash):
        loop.run(oracle)
    resumed, oracle = make(**options)
    resumed.run(oracle)
    given = dict(zip(resumed.pool.labelled.tolist(), resumed.pool.labels.tolist(), strict=True))
    assert {i: given[i] for i in owned} == owned
    assert oracle.asked <= 5


@pytest.mark.parametrize(
    ("size", "labels", "message"),
    [
        (2, {0: 1}, "initial.size is 2, but it comes with 1 label$"),
        (1, {0: 9}, "initial label 9 of sample 0: there are 3 classes"),
        (1, {90: 0}, "initial label 0 of sample 90: there are 3 classes and 90 samples"),
    ],
)
def test_owned_labels_that_do_not_fit(size, labels, message):
    with pytest.raises(DataError, match=message):
        make(initial=Initial(size=size, labels=labels))


@pytest.mark.parametrize(("failing", "call"), [("fit", 3), ("predict", 5)])
def test_a_failed_round_tried_again_trains_from_the_same_weights(tmp_path, failing, call):
    whole = run(directory=tmp_path / "whole", learner=CentroidLearner(warm_start=True))

    class Unlucky(CentroidLearner):
        calls = 0

        def unlucky(self, name):
            if name == failing:
                self.calls += 1
                if self.calls == call:  # in training or testing after the second query
                    self.centroids = None if name == "fit" else self.centroids
                    raise RuntimeError("out of memory")

        def fit(self, *args):
            self.unlucky("fit")
            return super().fit(*args)

        def predict(self, *args):
            self.unlucky("predict")
            return super().predict(*args)

    loop, oracle = make(directory=tmp_path / "run", learner=Unlucky(warm_start=True))
    with pytest.raises(RuntimeError, match="out of memory"):
        loop.run(oracle)
    loop.run(oracle)
    assert history(loop) == history(whole)


def test_a_directory_in_use_by_another_process_is_refused(tmp_path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from activeloop.run_files import RunFiles\n"
        f"files = RunFiles(Path({str(tmp_path)!r}))\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    root = str(Path(__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="in use: another process"):
            make(directory=tmp_path)
        other.stdin.close()
    assert run(directory=tmp_path).ended


def test_a_newer_loop_of_the_same_process_takes_the_directory_over(tmp_path):
    older, oracle = make(directory=tmp_path)
    query = older.ask()
    newer, _ = make(directory=tmp_path)
    with pytest.raises(StoreError, match="newer run object has it"):
        older.tell(query, oracle.label(query.indices))
    newer.tell(newer.ask(), oracle.label(query.indices))


def test_other_classes_and_other_options_are_another_run(tmp_path):
    run(directory=tmp_path, rounds=0)
    with pytest.raises(StoreError, match=r"strategy was entropy, is entropy\(beta=2\.0\)"):
        make(load_strategy("entropy", beta=2.0), directory=tmp_path, rounds=0)
    data, _ = blobs()
    options = {"initial": 6, "query_size": 5, "rounds": 0, "seed": 1, "directory": tmp_path}
    data = dataclasses.replace(data, classes=("b", "a", "c"))
    with pytest.raises(StoreError, match=r"data\.classes was"):
        ActiveLoop(data, CentroidLearner(), load_strategy("entropy"), **options)


def test_keys_that_are_not_distinct_are_refused():
    data, _ = blobs()
    data.pool.keys = ["same"] * 90
    with pytest.raises(DataError, match="'same' is there 90 times"):
        ActiveLoop(data, CentroidLearner(), load_strategy("random"))


def test_numbers_of_numpy_are_numbers(tmp_path):
    loop = run(
        initial=np.int64(6),
        query_size=np.int64(5),
        rounds=np.int64(4),
        seed=np.int64(1),
        directory=tmp_path,
    )
    assert history(loop) == history(run())
    assert run(rounds=None, query_size=np.int64(3)).rounds[-1].round == 10


def test_a_learner_under_inference_mode_is_welcome():
    class Inference(CentroidLearner):
        @torch.inference_mode()
        def predict(self, *args):
            return super().predict(*args)

    assert history(run("l2_diversity", learner=Inference())) == history(run("l2_diversity"))


def test_test_labels_and_answers_that_do_not_fit():
    data, hidden = blobs()
    with pytest.raises(DataError, match="classes from 0 to 2"):
        ActiveLoop(data, CentroidLearner(), load_strategy("random"), test_labels=hidden.test + 1)

    class Lazy:
        def label(self, indices):
            return [0]

    with pytest.raises(OrderError, match="Lazy gave 1 answer to 6 samples"):
        make()[0].run(Lazy())
    with pytest.raises(OrderError, match="a class needs a name"):
        make()[0].add_class("")
