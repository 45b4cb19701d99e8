"""Hindsight: where rules would have stopped runs, beside runs that really had them."""

from pathlib import Path

import pytest
from fakes import CentroidLearner, blobs

from activeloop import ActiveLoop, SimulatedOracle, load_strategy
from activeloop.report import stops as module
from activeloop.report.runs import Run
from activeloop.report.statistics import estimate
from activeloop.report.stops import first_stop, stops
from activeloop.stopping import AllOf, AnyOf, Kappa, OverallUncertainty, Plateau, Target
from activeloop.types import Round


def test_intervals_are_cut_to_what_is_possible():
    one = course([0.5, 0.7, 0.9, 0.91, 0.92, 0.94])
    two = course([0.5, 0.6, 0.7, 0.8, 0.8, 0.96], first=30)
    (target,) = [s for s in stops([finished(one), finished(two, seed=1)]) if "target" in s.rule]
    uncut = estimate([70, 80])
    assert uncut.high > 75
    # From round 0, 20 and 30 labels, to the ends, 70 and 80; neither has come to 0.95 before.
    assert (target.stopped, target.labels.mean, target.labels.high) == (1, 75, 75)
    assert target.labels.low == 25
    assert (target.saved.mean, target.saved.low, target.saved.high) == (0, 0, 0)
    early = course([0.96, 0.97])
    (target,) = [s for s in stops([finished(early), finished(two)]) if "target" in s.rule]
    assert (target.labels.low, target.labels.high) == (25, 55)
    most = 100 * ((1 - 20 / 30) + (1 - 30 / 80)) / 2
    assert (target.saved.low, target.saved.high) == (0, pytest.approx(most))
    (alone,) = [s for s in stops([finished(early)]) if "target" in s.rule]
    assert (alone.labels.low, alone.saved.high) == (None, None)


def finished(rounds, strategy="margin", seed=0):
    return Run(
        directory=Path(),
        strategy=strategy,
        seed=seed,
        data="blobs",
        rounds=tuple(rounds),
        ended="done",
        error=None,
        identity={},
        environment={},
    )


def course(accuracies, kappas=None, first=20):
    """Return rounds of 20, 30, ... labels; `kappas`, if there is a stop set, begin at round 1."""
    rounds = []
    for n, accuracy in enumerate(accuracies):
        metrics = {} if accuracy is None else {"accuracy": accuracy}
        if kappas is not None:
            metrics["overall_uncertainty"] = 1.0
            if n:
                metrics |= {"kappa": kappas[n - 1], "classification_change": 0.5}
                metrics["performance_difference"] = 0.5
        rounds.append(Round(round=n, labels=first + 10 * n, classes=2, metrics=metrics))
    return rounds


def of(found, rule, strategy="margin"):
    (stop,) = [s for s in found if (s.rule, s.strategy) == (rule, strategy)]
    return stop


def test_what_stopping_would_have_saved_and_cost_by_hand():
    one = course([0.5, 0.7, 0.9, 0.91, 0.92, 0.94], kappas=[0.9, 0.99, 0.99, 1.0, 1.0])
    two = course([0.5, 0.6, 0.7, 0.8, 0.8, 0.9], kappas=[0.9, 0.9, 0.9, 0.9, 0.9])
    found = stops([finished(one), finished(two, seed=1)])
    assert [stop.rule for stop in found] == [str(rule) for rule in module.HINDSIGHT]
    kappa = of(found, "kappa(threshold=0.99, window=3)")
    # The first at round 4, 60 of 70 labels; the second never, at its end.
    assert (kappa.stopped, kappa.of, kappa.labels.n) == (1, 2, 2)
    assert kappa.labels.mean == 65
    assert kappa.saved.mean == pytest.approx(100 * (1 / 7 + 0) / 2)
    assert kappa.cost.mean == pytest.approx((0.02 + 0) / 2)
    assert kappa.cost.low < kappa.cost.mean < kappa.cost.high
    lower = of(found, "kappa(threshold=0.95, window=3)")
    assert lower.labels.mean == (50 + 70) / 2
    never = of(found, "classification_change(threshold=0.0, window=1)")
    assert (never.stopped, never.saved.mean, never.cost.mean) == (0, 0, 0)


def test_strategies_apart_and_runs_too_short_or_without_the_metrics():
    short = finished(course([0.5], kappas=[]))
    plain = finished(course([0.5, 0.96]), strategy="random")
    blind = finished(course([None, None], kappas=[1.0]), strategy="blind")
    empty = finished([], strategy="begun")
    found = stops([short, plain, blind, empty])
    assert {stop.strategy for stop in found} == {"margin", "random", "blind"}
    kappa = of(found, "kappa(threshold=0.99, window=3)")
    assert (kappa.stopped, kappa.of, kappa.saved.mean, kappa.labels.low) == (0, 1, 0, None)
    assert [s.rule for s in found if s.strategy == "random"] == [
        "target(accuracy=0.95)",
        "plateau(gain=0.005, window=3)",
    ]
    target = of(found, "target(accuracy=0.95)", "random")
    assert (target.stopped, target.saved.mean, target.cost.mean) == (1, 0, 0)
    assert all(s.cost is None for s in found if s.strategy == "blind")
    assert not [s for s in found if s.strategy == "blind" and s.rule.startswith("target")]
    assert stops([]) == ()


@pytest.mark.parametrize(
    "rule",
    [
        Target(0.7),
        Plateau(gain=0.02, window=2),
        Kappa(threshold=0.8),
        OverallUncertainty(threshold=0.5),
        AnyOf([{"name": "kappa", "threshold": 0.85}, {"name": "budget", "labels": 50}]),
        AllOf([{"name": "kappa", "threshold": 0.8}, {"name": "budget", "labels": 40}]),
        Kappa(threshold=1.0, window=9),
    ],
    ids=str,
)
def test_hindsight_is_where_the_rule_itself_stops(rule):
    def run(stopping):
        data, hidden = blobs()
        loop = ActiveLoop(
            data,
            CentroidLearner(),
            load_strategy("margin"),
            test_labels=hidden.test,
            initial=6,
            query_size=5,
            rounds=12,
            seed=2,
            stopping=stopping,
        )
        return loop.run(SimulatedOracle(hidden.pool))

    whole, stopped = run([]), run([rule])
    at = first_stop(rule, whole)
    assert (len(whole) if at is None else at + 1) == len(stopped)
    assert [r.labels for r in whole[: len(stopped)]] == [r.labels for r in stopped]
