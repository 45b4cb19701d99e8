"""Print how often the 95% intervals of reports hold the truth, as Markdown.

python scripts/coverage_of_intervals.py

Learning curves are made up, so that the truth is known: two strategies with means of their own, a
shift by seed that both share (the initial set, the weights) and noise by run and round; accuracies
are shares of a test set.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from activeloop.report.learning_curves import area
from activeloop.report.statistics import Floats, estimate, paired_differences

LABELS = np.arange(20, 201, 20)
TEST_SAMPLES = 2000
RESAMPLES = 1000
# What the strategies have learned after so many labels, on average.
OURS = 0.9 - 0.5 * np.exp(-LABELS / 60)
THEIRS = 0.9 - 0.5 * np.exp(-LABELS / 70)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Shares of simulated studies whose interval holds the truth.

    Attributes:
        area: of the mean area, by Student's t.
        difference: of the mean difference in area, paired by seed.
        bootstrap: of the mean area, by the percentiles of resampled means.
    """

    area: float
    difference: float
    bootstrap: float


def coverage(seeds: int, *, repeats: int, skewed: bool, bootstrap: bool = False) -> Coverage:
    """Simulate `repeats` studies of so many seeds."""
    rng = np.random.default_rng([seeds, skewed])
    shift = _noise(rng, (repeats, seeds, 1), skewed)
    # An area is linear in the values: the areas of unit vectors are its weights.
    weights = np.array([area(LABELS, unit, 40, 190) for unit in np.eye(len(LABELS))])
    ours, theirs = (
        _measured(mean + shift + _noise(rng, (repeats, seeds, len(LABELS)), skewed)) @ weights
        for mean in (OURS, THEIRS)
    )
    truth, other = OURS @ weights, THEIRS @ weights
    pairs = zip(ours, theirs, strict=True)
    return Coverage(
        area=_share([_interval(each) for each in ours], truth),
        difference=_share([_interval(paired_differences(*pair)) for pair in pairs], truth - other),
        bootstrap=_share([_percentiles(each, rng) for each in ours], truth)
        if bootstrap
        else np.nan,
    )


def _noise(rng: np.random.Generator, shape: tuple[int, ...], skewed: bool) -> Floats:
    """Return noise of mean 0 and standard deviation 0.01; skewed, a long tail of bad runs."""
    if skewed:
        return 0.01 * (1 - rng.exponential(size=shape))
    return rng.normal(0, 0.01, shape)


def _measured(accuracy: Floats) -> Floats:
    measured: Floats = np.round(accuracy * TEST_SAMPLES) / TEST_SAMPLES
    return measured


def _interval(values: Floats) -> tuple[float, float]:
    found = estimate(values)
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def _percentiles(values: Floats, rng: np.random.Generator) -> tuple[float, float]:
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _share(intervals: list[tuple[float, float]], truth: float) -> float:
    low, high = np.array(intervals).T
    inside: npt.NDArray[np.bool_] = (low <= truth) & (truth <= high)
    return float(inside.mean())


def main() -> None:
    """Print a line for each kind of noise and number of seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=10_000, help="studies for each line")
    repeats = parser.parse_args().repeats
    error = 100 * 1.96 * (0.95 * 0.05 / repeats) ** 0.5
    print("# How often 95% intervals hold the truth\n")
    print(
        f"`python scripts/coverage_of_intervals.py --repeats {repeats}`: simulated learning "
        f"curves, {repeats:,} studies a line (a share of 95% is known to {error:.1f} points). "
        "Reports use Student's t; the percentile bootstrap is for comparison. Skewed: errors have "
        "an exponential tail of bad runs.\n"
    )
    print("| noise | seeds | area, t | paired difference, t | area, percentile bootstrap |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for skewed in (False, True):
        for seeds in (3, 5, 10, 20):
            found = coverage(seeds, repeats=repeats, skewed=skewed, bootstrap=True)
            shares = (found.area, found.difference, found.bootstrap)
            cells = " | ".join(f"{share:.1%}" for share in shares)
            print(f"| {'skewed' if skewed else 'normal'} | {seeds} | {cells} |")


if __name__ == "__main__":
    main()
