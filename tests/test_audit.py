"""Accuracy without a test set: what is drawn, what it says, and that it is right."""

import csv

import numpy as np
import pytest
from fakes import CentroidLearner, blobs
from scipy.stats import binomtest

from activeloop import SKIP, ActiveLoop, SimulatedOracle, load_strategy
from activeloop.audit import Audit, audited, clopper_pearson
from activeloop.cohort import Cohort
from activeloop.errors import ConfigError
from activeloop.report.runs import read_run
from activeloop.store import Asked
from activeloop.streams import Streams


def make(strategy="margin", directory=None, seed=1, data=None, n=90, **options):
    data, hidden = data or blobs(n)
    options = {"initial": 6, "query_size": 10, "rounds": 4, "audit": 0.3} | options
    if isinstance(strategy, str):
        strategy = load_strategy(strategy)
    loop = ActiveLoop(
        data, CentroidLearner(), strategy, seed=seed, directory=directory, stop_set=20, **options
    )
    return loop, SimulatedOracle(hidden.pool)


def drawn(loop):
    return {(a.round, a.index) for a in loop.files.store.queries() if a.audit}


# -- what is drawn -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "sizes"),
    [
        (0.0, {1: 0, 2: 0, 20: 0}),
        (0.1, {1: 0, 2: 1, 5: 1, 14: 1, 15: 2, 20: 2, 100: 10}),
        (0.5, {1: 0, 2: 1, 3: 2, 20: 10}),
        (1.0, {1: 0, 2: 1, 20: 19}),
    ],
)
def test_a_share_of_each_query_is_drawn(share, sizes):
    audit = Audit(share)
    assert {k: audit.size(k) for k in sizes} == sizes


@pytest.mark.parametrize("share", [-0.1, 1.1, "some", float("nan"), True])
def test_a_share_that_is_none(share):
    with pytest.raises(ConfigError, match="audit must be a number"):
        make(audit=share)


def test_every_sample_that_is_left_is_as_likely():
    audit, left = Audit(0.5), np.array([3, 5, 8, 13, 21])
    counts = dict.fromkeys(left.tolist(), 0)
    for seed in range(2000):
        picked = audit.draw(left, 4, np.random.default_rng(seed))
        assert len(set(picked.tolist())) == 2
        for index in picked.tolist():
            counts[index] += 1
    # Each in 2 of 5: 800, standard deviation 22.
    assert all(700 < count < 900 for count in counts.values())


class First:
    """Picks the first that it may, and remembers what it may pick."""

    def __init__(self):
        self.free, self.draws = [], []

    def __call__(self, context):
        self.free.append((context.k, set(context.unlabelled.tolist())))
        self.draws.append(context.rng.random())
        return context.unlabelled[: context.k]


def test_the_strategy_picks_the_rest_from_what_is_left():
    strategy = First()
    loop, oracle = make(strategy, rounds=2)
    first = loop.ask()
    assert first.audit is None  # there is no network to audit yet
    loop.tell(first, oracle.label(first.indices))
    query = loop.ask()
    assert query.audit.tolist() == [True] * 3 + [False] * 7
    assert len(set(query.indices.tolist())) == 10
    audit, picked = set(query.indices[:3].tolist()), query.indices[3:].tolist()
    ((k, free),) = strategy.free
    left = set(range(90)) - set(first.indices.tolist())
    assert (k, free) == (7, left - audit)
    assert strategy.draws == [Streams(1).rng("strategy", 1).random()]  # its chance is its own
    assert picked == sorted(free)[:7]


def test_an_audit_is_off_unless_asked_for_and_draws_for_itself():
    assert not drawn(run(audit=0.0))
    ours, again, others = run(), run(), run(strategy="entropy")
    assert drawn(ours) == drawn(again) != drawn(run(seed=2))
    first_query = [{i for r, i in drawn(loop) if r == 1} for loop in (ours, others)]
    assert first_query[0] == first_query[1]  # whatever the strategy


def run(**options):
    loop, oracle = make(**options)
    loop.run(oracle)
    return loop


def test_scores_are_the_strategys_and_the_audit_has_none(tmp_path):
    loop, oracle = make(directory=tmp_path)
    loop.tell(loop.ask(), oracle.label(loop.ask().indices))
    query = loop.ask()
    assert np.isnan(query.scores[:3]).all()
    assert np.isfinite(query.scores[3:]).all()
    again, _ = make(directory=tmp_path)
    for name in ("indices", "scores", "predicted", "confidence", "audit"):
        np.testing.assert_array_equal(getattr(again.ask(), name), getattr(query, name))
    again.run(oracle)
    rows = list(csv.DictReader((tmp_path / "queries.csv").open()))
    assert {(int(r["round"]), int(r["index"])) for r in rows if r["audit"] == "1"} == drawn(again)
    assert all(r["predicted"] and not r["score"] for r in rows if r["audit"] == "1")


# -- what it says --------------------------------------------------------------------------------


def asked(key, predicted="cat", audit=True):
    return Asked(
        round=1, position=0, key=key, index=0, score=None, predicted=predicted, audit=audit
    )


def test_the_share_that_was_right_by_hand():
    query = [asked("a"), asked("b", "dog"), asked("c"), asked("d", None), asked("e"), asked("f")]
    answers = {"a": "cat", "b": "cat", "c": "cat", "d": "cat", "e": None, "x": "cat"}
    found = audited([*query, asked("x", audit=False)], answers)
    # e was skipped and f has no answer; where nothing finite was predicted it is wrong.
    assert found["audit_labels"] == 4
    assert found["audit_accuracy"] == 0.5
    assert (found["audit_low"], found["audit_high"]) == pytest.approx((0.0676, 0.9324), abs=1e-4)
    assert audited([asked("a")], {"a": None}) == {"audit_labels": 0}
    assert audited([asked("a", audit=False)], {"a": "cat"}) == {}


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 10), (93, 100)])
def test_the_interval_is_the_exact_one(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("true", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("n", [2, 10, 50])
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(true, n):
    hits = np.random.default_rng(n).binomial(n, true, 4000)
    covered = [low <= true <= high for low, high in (clopper_pearson(int(h), n) for h in hits)]
    assert np.mean(covered) >= 0.945


def test_the_audit_is_unbiased_for_the_network_before_on_what_was_left():
    """Over many seeds its mean is the true accuracy; that of the strategy's picks is far off."""
    data = blobs(120)
    labels = data[1].pool
    errors, of_picks, covered = [], [], []
    for seed in range(60):
        loop, oracle = make("margin", data=data, seed=seed, rounds=2, query_size=20)
        query = loop.ask()
        while query is not None:
            if query.round:
                left = loop.pool.unlabelled
                probs = loop.learner.predict(loop.data.pool, left, frozenset()).probs
                true = np.mean(probs.argmax(dim=1).numpy() == labels[left])
            loop.tell(query, oracle.label(query.indices))
            number, said = query.round, query.predicted
            right = None if said is None else said == labels[query.indices]
            query = loop.ask()
            if number:
                metrics = loop.rounds[number].metrics
                assert metrics["audit_labels"] == 6
                errors.append(metrics["audit_accuracy"] - true)
                of_picks.append(right[6:].mean() - true)
                covered.append(metrics["audit_low"] <= true <= metrics["audit_high"])
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors))
    assert np.mean(of_picks) < -0.1
    assert np.mean(covered) >= 0.95


def test_the_audit_of_a_query_is_in_its_round_and_of_the_network_before():
    loop = run(rounds=2)
    assert not any(name.startswith("audit") for name in loop.rounds[0].metrics)
    names = loop.files.store.labels()
    for round in loop.rounds[1:]:
        query = [a for a in loop.files.store.queries() if a.round == round.round and a.audit]
        right = sum(a.predicted == names[a.key] for a in query)
        assert round.metrics["audit_labels"] == len(query) == 3
        assert round.metrics["audit_accuracy"] == right / 3


# -- with everything else ------------------------------------------------------------------------


def test_skips_parts_and_queries_that_are_closed_early_leave_out_what_has_no_answer():
    loop, oracle = make()
    loop.tell(loop.ask(), oracle.label(loop.ask().indices))
    query = loop.ask()
    one, two, three = query.indices[:3].tolist()
    truth = oracle.label(query.indices)
    wrong = (int(query.predicted[0]) + 1) % 3
    loop.tell(query, {one: wrong, two: SKIP})
    loop.tell(query, {int(i): int(y) for i, y in zip(query.indices[3:6], truth[3:6], strict=True)})
    loop.close()  # the third has no answer
    query = loop.ask()
    metrics = loop.rounds[1].metrics
    assert (metrics["audit_labels"], metrics["audit_accuracy"]) == (1, 0)
    assert three in loop.pool.unlabelled

    loop.tell(query, {int(i): SKIP for i in query.indices[:3]})
    loop.tell(query, {int(i): 0 for i in query.indices[3:]})
    loop.ask()
    assert loop.rounds[2].metrics["audit_labels"] == 0
    assert "audit_accuracy" not in loop.rounds[2].metrics


def test_what_is_answered_late_counts_in_the_table_and_in_reports(tmp_path):
    loop, oracle = make(directory=tmp_path)
    loop.tell(loop.ask(), oracle.label(loop.ask().indices))
    query = loop.ask()
    truth = dict(zip(query.indices.tolist(), oracle.label(query.indices).tolist(), strict=True))
    right = truth | {query.indices[0].item(): int(query.predicted[0])}
    late = query.indices[0].item()
    loop.tell(query, {i: y for i, y in right.items() if i != late})
    loop.close()
    loop.ask()
    kept = loop.rounds[1].metrics
    assert kept["audit_labels"] == 2

    def told():
        loop.files.write_tables()
        row = list(csv.DictReader((tmp_path / "curve.csv").open()))[1]
        (round,) = read_run(tmp_path).rounds[1:]
        assert round.metrics.keys() == kept.keys()
        assert float(row["audit_accuracy"]) == round.metrics["audit_accuracy"]
        assert float(row["audit_labels"]) == round.metrics["audit_labels"]
        return round.metrics["audit_labels"], round.metrics["audit_accuracy"]

    before = told()
    assert before == (2, kept["audit_accuracy"])
    hits = round(2 * before[1])
    loop.record({late: right[late]})
    assert told() == (3, pytest.approx((hits + 1) / 3))
    loop.record({late: (right[late] + 1) % 3})  # a correction
    assert told() == (3, pytest.approx(hits / 3))
    loop.record({late: None})  # taken back
    assert told() == before
    assert loop.rounds[1].metrics == kept  # the round is what it was


def test_a_class_that_the_network_does_not_know_is_one_that_it_gets_wrong():
    loop, oracle = make()
    loop.tell(loop.ask(), oracle.label(loop.ask().indices))
    query = loop.ask()
    loop.tell(query, [loop.add_class("new")] * 10)
    loop.ask()
    assert loop.rounds[1].metrics["audit_accuracy"] == 0


@pytest.mark.parametrize(
    "strategy",
    [
        "random",
        "badge",
        load_strategy("subsample", strategy="margin", size=20),
        load_strategy("mix", strategies=["entropy", "random"]),
    ],
)
def test_strategies_of_all_kinds_leave_room_for_it(strategy):
    loop = run(strategy=strategy, rounds=None, query_size=20, budget=90)
    queries = [a for a in loop.files.store.queries() if a.round]
    assert loop.rounds[-1].labels == 90  # to the last sample of the pool
    assert [sum(a.audit for a in queries if a.round == r) for r in range(1, 6)] == [6, 6, 6, 6, 1]
    assert all(a.predicted is not None for a in queries)


def test_side_by_side_each_run_is_as_alone():
    data = blobs()
    pairs = [make(seed=seed, data=data) for seed in range(3)]
    errors = dict(Cohort([p[0] for p in pairs], [p[1] for p in pairs]).run())
    assert set(errors.values()) == {None}
    for seed, (loop, _) in enumerate(pairs):
        alone = run(seed=seed)
        assert loop.files.store.queries() == alone.files.store.queries()
        for one, other in zip(loop.rounds, alone.rounds, strict=True):
            assert one.metrics.get("audit_accuracy") == other.metrics.get("audit_accuracy")


def test_queries_of_one_sample_leave_nothing_to_audit_with():
    with pytest.raises(ConfigError, match=r"audit=0.5 needs .* at least 2 .* is 1"):
        make(audit=0.5, query_size=1)
