"""Made-up reports, with all that a report can have, for tests of what shows them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from activeloop.report.document import (
    Balance,
    Comparison,
    Curve,
    Difference,
    Duplicates,
    Estimate,
    Gallery,
    Map,
    Overlap,
    Penalties,
    Pictures,
    Problem,
    Ran,
    Ranks,
    Reach,
    Report,
    Row,
    RunLine,
    Stop,
    Thumbnail,
)

# Names that would be markup, were they not shown as text.
MARKUP = "<script>alert('strategy')</script>"
MARKUP_CLASS = "<img src=x onerror=alert('class')>"
CLASSES = ("zero", "one", "two", "three", MARKUP_CLASS)
STRATEGIES = ("random", "badge", "margin", MARKUP, "entropy")
METRICS = {
    "accuracy": True,
    "macro_f1": True,
    "worst_class_accuracy": True,
    "calibration_error": False,
    "loss": False,
}
RULES = (
    "plateau(window=3)",
    "kappa(threshold=0.99, window=3)",
    "target(accuracy=0.95)",
)


def rich_report() -> Report:
    """Return a report of two comparisons that has every part, with a run that failed."""
    rng = np.random.default_rng(5)
    digits = comparison("digits", STRATEGIES, rng=rng, pictures=True)
    mnist = comparison("mnist", ("random", "margin", "typiclust"), rng=rng, pictures=False)
    return Report(
        title="Compare </title><b>strategies</b> & more",
        version="0.1.0",
        made="2026-03-01 12:00",
        findings=(
            "margin beats random by 3.5 points of area (95% 3.1 to 3.9, 5 seeds, p < 0.001)",
            f"{MARKUP}: not distinguishable with 5 seeds",
        ),
        problems=(
            Problem(level="warning", text="2 near-duplicates between pool and test"),
            Problem(level="error", text="outputs/digits/margin/3 failed: out of <memory>"),
        ),
        comparisons=(digits, mnist),
        penalties=penalties(("random", "margin"), data_sets=2),
        ranks=Ranks(
            strategies=STRATEGIES,
            ranks=(4.5, 1.5, 2.0, 4.0, 3.0),
            data_sets=("digits", "mnist"),
            critical_difference=1.6,
            friedman_p=0.0004,
        ),
        runs=ran(STRATEGIES, seeds=5),
    )


def long_report(strategies: int = 20, seeds: int = 10, rounds: int = 50) -> Report:
    """Return a report of one big sweep, without pictures."""
    names = ("random", *(f"strategy_{n:02d}_of_many" for n in range(1, strategies)))
    rng = np.random.default_rng(0)
    one = comparison("cifar10", names, seeds=seeds, rounds=rounds, rng=rng, pictures=False)
    return bare_report(
        findings=tuple(difference.words for difference in one.differences[:3]),
        comparisons=(one,),
        ranks=Ranks(
            strategies=names,
            ranks=tuple(1 + 0.9 * n for n in range(strategies)),
            data_sets=("a", "b", "c"),
            critical_difference=3.0,
            friedman_p=0.2,
        ),
        runs=ran(names, seeds=seeds),
    )


def bare_report(**fields: object) -> Report:
    """Return a report with nothing but what is given."""
    nothing: dict[str, object] = {
        "title": "Bare",
        "version": "0.1.0",
        "made": "2026-03-01 12:00",
        "findings": (),
        "problems": (),
        "comparisons": (),
        "penalties": None,
        "ranks": None,
        "runs": (),
    }
    return Report(**(nothing | fields))  # type: ignore[arg-type]  # of tests


def bare_comparison(**fields: object) -> Comparison:
    """Return a comparison with nothing but what is given."""
    nothing: dict[str, object] = {
        "name": "bare",
        "title": "bare",
        "data": "digits",
        "baseline": None,
        "strategies": (),
        "metrics": (),
        "higher_is_better": {},
        "curves": (),
        "ceiling": None,
        "table": (),
        "targets": (),
        "budgets": (),
        "differences": (),
        "noise_floor": None,
        "penalties": None,
        "stops": (),
        "pictures": None,
        "settings": {},
    }
    return Comparison(**(nothing | fields))  # type: ignore[arg-type]  # of tests


def comparison(
    data: str,
    strategies: Sequence[str],
    *,
    seeds: int = 5,
    rounds: int = 9,
    rng: np.random.Generator,
    pictures: bool,
) -> Comparison:
    """Return a comparison whose later strategies are a little worse than its earlier ones."""
    return bare_comparison(
        name=data,
        title=f"{data}, probe on embeddings",
        data=data,
        baseline="random",
        strategies=tuple(strategies),
        metrics=tuple(METRICS),
        higher_is_better=METRICS,
        curves=tuple(
            curve(name, metric, 0.02 * ((n - 1) % len(strategies)), seeds, rounds, rng)
            for metric in METRICS
            for n, name in enumerate(strategies)
        ),
        ceiling={"accuracy": 0.971, "loss": 0.11},
        table=tuple(row(name, n, seeds) for n, name in enumerate(strategies)),
        targets=(0.8, 0.9),
        budgets=(50, 100),
        differences=tuple(
            difference(name, 0.035 - 0.012 * n, n) for n, name in enumerate(strategies[1:])
        ),
        noise_floor=difference("random_again", 0.001, 3),
        penalties=penalties(tuple(strategies)),
        stops=tuple(
            Stop(
                strategy=name,
                rule=rule,
                labels=estimate(60 + 5 * n, 8),
                stopped=4,
                of=5,
                saved=estimate(40 - 5 * n, 6),
                cost=estimate(0.004 * n, 0.002) if n else None,
            )
            for name in strategies
            for n, rule in enumerate(RULES)
        ),
        pictures=some_pictures(tuple(strategies), rng) if pictures else None,
        settings={
            "data.name": data,
            "learner._target_": "activeloop.learners.Probe",
            "query_size": 10,
            "data.classes": ["a", "b"],
        },
        area_range=(10, 90),
    )


def estimate(mean: float, half: float, n: int = 5) -> Estimate:
    """Return an estimate with an interval of `mean` plus and minus `half`."""
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=n)


def curve(
    strategy: str, metric: str, worse: float, seeds: int, rounds: int, rng: np.random.Generator
) -> Curve:
    """Return a rising curve (falling where low is good); one point of the loss is not known."""
    labels = tuple(10 * (n + 1) for n in range(rounds))
    rise = 0.95 - worse - 0.6 * np.exp(-3 * np.arange(rounds) / rounds)
    course = rise if METRICS[metric] else 1.2 - rise
    values = course + rng.normal(0, 0.01, size=(seeds, rounds))
    if metric == "loss":
        values[:, 1] = math.nan
    seconds = np.cumsum(rng.uniform(0.5, 1.5, size=(seeds, rounds)), axis=1)
    return Curve(
        strategy=strategy,
        metric=metric,
        labels=labels,
        estimates=tuple(
            estimate(float(mean), 0.008 + 0.001 * (n % 3), seeds)
            for n, mean in enumerate(values.mean(axis=0))
        ),
        runs=tuple(
            RunLine(
                seed=seed,
                labels=labels,
                values=tuple(map(float, values[seed])),
                seconds=tuple(map(float, seconds[seed])),
            )
            for seed in range(seeds)
        ),
    )


def row(strategy: str, n: int, seeds: int) -> Row:
    """Return a line of the table; the second target is censored, none of the last got there."""
    return Row(
        strategy=strategy,
        seeds=seeds,
        area=estimate(0.9 - 0.01 * n, 0.008),
        at={50: estimate(0.8 - 0.01 * n, 0.01), 100: estimate(0.93 - 0.01 * n, 0.01)},
        reach=(
            Reach(
                target=0.8,
                reached=seeds,
                of=seeds,
                labels=estimate(50 + 3 * n, 4),
                median=50 + 3 * n,
                saved=None if n == 0 else estimate(30 - n, 5),
            ),
            Reach(
                target=0.9, reached=2, of=seeds, labels=None, median=None if n else 95, saved=None
            ),
        ),
        seconds={"train": 2.0 + n, "predict": 0.5, "select": 0.1 * n, "test": 0.2},
    )


def difference(strategy: str, mean: float, n: int) -> Difference:
    """Return a difference from random: the first ones settled."""
    settled = n < 2
    return Difference(
        strategy=strategy,
        baseline="random",
        estimate=estimate(mean, 0.004 + 0.002 * n),
        p=0.0004 if settled else 0.21,
        p_holm=0.0008 if settled else 0.63,
        wilcoxon_p=0.0625,
        wilcoxon_least=0.0625,
        seeds_needed=None if settled else 23,
        settled=settled,
        words=f"{strategy}: {'better' if settled else 'not distinguishable'} with 5 seeds",
    )


def penalties(strategies: tuple[str, ...], data_sets: int = 1) -> Penalties:
    """Return a matrix in which earlier strategies lose to later ones."""
    n = len(strategies)
    matrix = tuple(
        tuple(data_sets * max(0, j - i) / n for j in range(n)) for i in range(n)
    )  # fmt: skip
    return Penalties(strategies=strategies, matrix=matrix, data_sets=data_sets)


def some_pictures(strategies: tuple[str, ...], rng: np.random.Generator) -> Pictures:
    """Return galleries of three rounds of four, and all the sums."""
    count = len(CLASSES)
    points = rng.uniform(size=(300, 2))
    return Pictures(
        galleries=tuple(
            Gallery(
                strategy=name,
                seed=0,
                rounds={
                    round: tuple(thumbnail(round, n, rng) for n in range(4)) for round in (1, 2, 3)
                },
            )
            for name in strategies
        ),
        balance=Balance(
            classes=CLASSES,
            pool=(0.3, 0.2, 0.2, 0.2, 0.1),
            picks=dict.fromkeys(strategies, (0.2,) * count),
        ),
        overlap=Overlap(
            strategies=strategies,
            matrix=tuple(
                tuple(1.0 if i == j else 0.1 * (i + j) for j in range(len(strategies)))
                for i in range(len(strategies))
            ),
            chance=0.05,
        ),
        map=Map(
            how="PCA of the features of the last round",
            points=tuple((float(x), float(y)) for x, y in points),
            classes=tuple(n % (count + 1) - 1 for n in range(300)),
            names=CLASSES,
            picks={
                name: tuple((10 * n + round, round) for round in (1, 2, 3) for n in range(4))
                for name in strategies
            },
            seed=0,
        ),
        duplicates=Duplicates(
            how="cosine similarity of at least 0.99",
            picked={name: 0.05 * n for n, name in enumerate(strategies)},
            leaked=2,
            test=400,
            examples=((thumbnail(0, 0, rng), thumbnail(0, 1, rng)),),
        ),
        missing=("overlap of the second initial set: its queries are not there",),
    )


def thumbnail(round: int, n: int, rng: np.random.Generator) -> Thumbnail:
    """Return a noisy picture: the network right of even ones, the third skipped."""
    data = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, size=(12, 12), dtype=np.uint8)).save(data, "PNG")
    image = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
    return Thumbnail(
        image=None if n == 3 else image,
        key=f"{round}/{n}.png",
        label=None if n == 2 else CLASSES[n],
        score=0.1 * n,
        predicted=CLASSES[n if n % 2 == 0 else 4],
        confidence=0.63,
    )


def ran(strategies: Sequence[str], seeds: int) -> tuple[Ran, ...]:
    """Return the list of runs: one failed, one is not finished."""
    runs = []
    for n, strategy in enumerate(strategies):
        for seed in range(seeds):
            failed, open_ = (n, seed) == (2, 3), (n, seed) == (1, 1)
            runs.append(
                Ran(
                    directory=f"runs #1/{n} 100%/{seed}",
                    strategy=strategy,
                    seed=seed,
                    data="digits",
                    comparison=None if failed else "digits",
                    labels=20 if failed else 100,
                    ended=None if failed or open_ else "budget spent",
                    error="LearnerError: out of <memory>" if failed else None,
                    seconds=12.5,
                    versions={"python": "3.12", "torch": "2.11"},
                    hardware="4 cores",
                    at="2026-03-01 11:00",
                )
            )
    return tuple(runs)
