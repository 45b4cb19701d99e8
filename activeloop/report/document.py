"""What a report says, as data: what `report.json` holds, and the page and the tables show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over `n` seeds with its 95% interval, which takes at least two seeds.

    Of one seed alone there is an interval where the run itself has one: of its audits.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run's course: labels, the metric's values, and the seconds spent by then, all `[R]`."""

    seed: int
    labels: tuple[int, ...]
    values: tuple[float, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One metric of one strategy against labels.

    Attributes:
        strategy: its name in this comparison.
        metric: its name in `curve.csv`.
        labels: where some seed has a round, ascending, `[P]`.
        estimates: over the seeds that have a round there, `[P]`.
        runs: what is behind it.
    """

    strategy: str
    metric: str
    labels: tuple[int, ...]
    estimates: tuple[Estimate, ...]
    runs: tuple[RunLine, ...]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Labels that a strategy needs to reach an accuracy.

    Attributes:
        target: the accuracy.
        reached: runs that got there, of `of`; the others are censored.
        labels: over the seeds; None unless all got there.
        median: over the seeds, those that never got there counted as more; None if half did not.
        saved: percent of the labels that the baseline needs, paired by seed; None without pairs
            that both got there.
    """

    target: float
    reached: int
    of: int
    labels: Estimate | None
    median: float | None
    saved: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A strategy's line in the table.

    Attributes:
        area: under the curve of accuracy, over `Comparison.area_range`, as a mean accuracy; of the
            runs that cover it.
        at: accuracy at the chosen budgets, by their labels; of the `n` runs that came so far.
        reach: for each target.
        seconds: mean of a round by part: train, predict, select, test.
    """

    strategy: str
    seeds: int
    area: Estimate | None
    at: Mapping[int, Estimate]
    reach: tuple[Reach, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A strategy against the baseline, in area under the curve, paired by seed.

    Attributes:
        estimate: of the difference, strategy minus baseline.
        p: of the paired t test; None with fewer than two pairs.
        p_holm: corrected for the comparisons with this baseline.
        wilcoxon_p: of the signed rank test.
        wilcoxon_least: the least p that so many pairs can have.
        seeds_needed: pairs that would settle it with 80% power; None where it is settled, or
            where there is no telling.
        settled: whether `p_holm` is below 0.05.
        words: the finding as a sentence.
    """

    strategy: str
    baseline: str
    estimate: Estimate
    p: float | None
    p_holm: float | None
    wilcoxon_p: float | None
    wilcoxon_least: float | None
    seeds_needed: int | None
    settled: bool
    words: str


@dataclass(frozen=True, kw_only=True)
class Penalties:
    """The pairwise penalty matrix (Ash et al. 2020), `matrix[i][j]` by `strategies`.

    `matrix[i][j]` is the share of label counts, summed over data sets, at which strategy i is
    significantly worse than strategy j (paired t test at 5%): a good strategy has a low row, and
    what loses to it is in its column.
    """

    strategies: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    data_sets: int


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Mean ranks over data sets (1 is best), with the critical difference (Demsar 2006)."""

    strategies: tuple[str, ...]
    ranks: tuple[float, ...]
    data_sets: tuple[str, ...]
    critical_difference: float | None
    friedman_p: float | None


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Where one rule would have stopped the runs of one strategy.

    Attributes:
        rule: its name and settings, as one writes them.
        labels: at the stop, over the runs; runs that it never stopped count at their end. The
            interval is cut to what is possible.
        stopped: how many runs it would have stopped, of `of`.
        saved: labels that stopping would have saved, in percent of those at the run's own end;
            its interval is cut likewise.
        cost: accuracy given up against the end of the run.
    """

    strategy: str
    rule: str
    labels: Estimate
    stopped: int
    of: int
    saved: Estimate
    cost: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A picked sample.

    Attributes:
        image: a data URI; None where the sample is no image.
        key: of the sample.
        label: the answer; None if it has no class.
        answered: whether there is an answer: a class, or that it was skipped.
        score: by which it was picked, if by one.
        predicted: what the network said before it was trained on it; None before round 1.
        confidence: with which probability.
    """

    image: str | None
    key: str
    label: str | None
    score: float | None
    predicted: str | None
    confidence: float | None
    answered: bool = True


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What one run asked for, the first samples of each of some rounds, by round."""

    strategy: str
    seed: int
    rounds: Mapping[int, tuple[Thumbnail, ...]]


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Shares of the classes `[C]`: of the pool, and of each strategy's picks (mean over seeds).

    `pool` is None where the pool's classes are not known.
    """

    classes: tuple[str, ...]
    pool: tuple[float, ...] | None
    picks: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Mean share, over seeds, of picks that two strategies have in common, by `strategies`.

    `chance` is the share that picking at random gives.
    """

    strategies: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    chance: float


@dataclass(frozen=True, kw_only=True)
class Map:
    """The pool's features in two dimensions.

    Attributes:
        how: which features, and how they were brought to two dimensions.
        points: `[P][2]`, scaled to 0..1.
        classes: position of each point's class, `[P]`; -1 where it is not known.
        names: of the classes.
        picks: by strategy, for one run: point and round of each pick that is on the map.
        seed: of that run.
    """

    how: str
    points: tuple[tuple[float, float], ...]
    classes: tuple[int, ...]
    names: tuple[str, ...]
    picks: Mapping[str, tuple[tuple[int, int], ...]]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Near-duplicates.

    Attributes:
        how: what counts as one.
        picked: by strategy, the mean share of picks that are near-duplicates of an earlier one.
        leaked: samples of the test set that have a near-duplicate in the pool; None without a test
            set.
        test: samples of the test set that were looked at.
        examples: pairs, pool beside test, as thumbnails.
    """

    how: str
    picked: Mapping[str, float]
    leaked: int | None
    test: int
    examples: tuple[tuple[Thumbnail, Thumbnail], ...]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What was picked; a part is None where it could not be had, and `missing` says why."""

    galleries: tuple[Gallery, ...]
    balance: Balance | None
    overlap: Overlap | None
    map: Map | None
    duplicates: Duplicates | None
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Audited:
    """How good a run without test labels is in the end, by samples that were drawn at random.

    Attributes:
        accuracy, low, high: the share that its networks predicted right, with a 95% interval.
        samples: how many there were: of the last rounds, see `activeloop.audit.pooled`.
        labels: the least and the most that these networks had.
        words: all of that, in words.
    """

    strategy: str
    seed: int
    accuracy: float
    low: float
    high: float
    samples: int
    labels: tuple[int, int]
    words: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs that differ by strategy and seed only.

    Attributes:
        name: short, unique in the report, fit for an anchor.
        title: as a reader is told: data, learner, and what sets it apart from other comparisons.
        baseline: the strategy that others are compared with; None if it is not there.
        strategies: the baseline first, then by falling area.
        metrics: of the curves, accuracy first.
        higher_is_better: by metric; None where neither is better.
        ceiling: metrics of the same learner on the whole pool, if such a run was found.
        noise_floor: random against random with other draws (`strategy=random_again`).
        targets, budgets: accuracies and label counts of the table.
        settings: those that all runs share, by dotted name.
        validation_labels: that each run used besides, to stop training; in no label count here.
        differing: what runs do not share though they are compared, by dotted name: each value with
            the runs that have it. Not strategy and seed.
        area_range: the labels that areas and differences are over, from and to; None where runs
            share none.
        audited: the runs without test labels that drew samples at random.
    """

    name: str
    title: str
    data: str
    baseline: str | None
    strategies: tuple[str, ...]
    metrics: tuple[str, ...]
    higher_is_better: Mapping[str, bool | None]
    curves: tuple[Curve, ...]
    ceiling: Mapping[str, float] | None
    table: tuple[Row, ...]
    targets: tuple[float, ...]
    budgets: tuple[int, ...]
    differences: tuple[Difference, ...]
    noise_floor: Difference | None
    penalties: Penalties | None
    stops: tuple[Stop, ...]
    pictures: Pictures | None
    settings: Mapping[str, Any]
    validation_labels: int = 0
    differing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    area_range: tuple[int, int] | None = None
    audited: tuple[Audited, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a reader must know before believing the rest: shown at the top.

    `error`: a run is missing or failed, or runs are not comparable. `warning`: anything less.
    """

    level: Literal["error", "warning"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run, as the list of what was run has it.

    `directory` is relative to where the report is, which links to it.
    """

    directory: str
    strategy: str
    seed: int
    data: str
    comparison: str | None
    labels: int
    ended: str | None
    error: str | None
    seconds: float
    versions: Mapping[str, str]
    hardware: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """All of a report.

    Attributes:
        findings: in plain words, the most telling first.
        penalties, ranks: over several data sets, of comparisons that are the same otherwise.
    """

    title: str
    version: str
    made: str
    findings: tuple[str, ...]
    problems: tuple[Problem, ...]
    comparisons: tuple[Comparison, ...]
    penalties: Penalties | None
    ranks: Ranks | None
    runs: tuple[Ran, ...]
