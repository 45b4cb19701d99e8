from pathlib import Path

import pytest

from activeloop.report.comparison import summarise
from activeloop.report.runs import Run
from activeloop.types import Round


def made(strategy, seed, *points):
    rounds = [
        Round(round=n, labels=labels, classes=2, metrics={"accuracy": accuracy})
        for n, (labels, accuracy) in enumerate(points)
    ]
    return Run(
        directory=Path(),
        strategy=strategy,
        seed=seed,
        data="digits",
        rounds=tuple(rounds),
        ended="budget spent",
        error=None,
        identity={},
        environment={},
    )


def test_mean_and_spread_over_seeds_by_hand():
    runs = [made("a", 1, (10, 0.5), (20, 0.7)), made("a", 2, (10, 0.6)), made("b", 1, (10, 0.1))]
    first, second, other = summarise(runs)
    assert (first.strategy, first.labels, first.seeds) == ("a", 10, 2)
    assert first.mean == pytest.approx(0.55)
    assert first.spread == pytest.approx(0.05 * 2**0.5)
    assert (first.least, first.most) == (0.5, 0.6)
    assert (second.seeds, second.spread) == (1, None)
    assert (other.strategy, other.mean) == ("b", 0.1)


def test_a_round_without_new_labels_is_no_further_seed():
    (point,) = summarise([made("a", 1, (10, 0.5), (10, 0.7))])
    assert (point.seeds, point.mean, point.spread) == (1, 0.7, None)
