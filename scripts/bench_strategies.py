"""Every strategy beside everyone else who can do its job: time, memory, and how good the picks are.

    pip install scikit-activeml modAL-python small-text baal
    python scripts/bench_strategies.py --out scripts/results/strategies.md

Each side of each job runs in a process of its own, with one thread and the same arrays; who is not
installed, fails, or takes too much time or memory is named in the table. The features are those of
LeNet-5 on MNIST where ACTIVELOOP_TEST_DATA names a folder with MNIST/raw, else a Gaussian mixture.
A chart goes beside the table. `--list` names the jobs.
"""

from __future__ import annotations

import argparse
import inspect
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import benchmark_cases as cases
import benchmarking as bench
import matplotlib as mpl
import numpy as np
import torch
from benchmark_peers import ACTIVELOOP, FLOOR, PACKAGES, RIVALS, TEXTBOOK, Call
from benchmarking import Limits, Measured

from activeloop.neighbors import PoolNeighbors
from activeloop.strategies import CATALOG, load_strategy, locate, needs_of
from activeloop.types import Context, Picks

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Patch

SCRIPT = Path(__file__).resolve()
MEMBERS = 20


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something to do, for us and for others.

    Attributes:
        title: in words.
        strategy: ours, by name.
        k: how many picks.
        objective: what the picks should make small or large; None where there is no one number.
        space: what vectors are compared, or "members".
        rows: of the pool, if not all.
        options: of our strategy.
        numbers: what all sides are given; `delta` is measured on the inputs.
    """

    title: str
    strategy: str
    k: int = 100
    objective: str | None = None
    space: cases.Space = "features"
    rows: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)


def _on_members(title: str, strategy: str, objective: str | None = None, **fields: Any) -> Job:
    how: dict[str, Any] = {"space": "members", "rows": 10_000, **fields}
    return Job(title=title, strategy=strategy, objective=objective, **how)


JOBS: Mapping[str, Job] = {
    "k_center": Job(title="k-center", strategy="k_center", k=1000, objective="covering radius"),
    "badge": Job(title="BADGE", strategy="badge", objective="k-means++ potential"),
    "badge_1000": Job(title="BADGE", strategy="badge", k=1000, objective="k-means++ potential"),
    "neighbors": Job(
        title="5 nearest neighbours of all",
        strategy="",
        objective="recall",
        space="unit",
        numbers={"m": 5},
    ),
    "cal": Job(title="CAL", strategy="cal", objective="mean divergence", space="unit"),
    "batchbald": _on_members(
        "BatchBALD, 10,000 configurations",
        "batchbald",
        "joint information",
        k=10,
        options={"configurations": 10_000},
        numbers={"configurations": 10_000},
    ),
    "bald": _on_members("BALD", "bald", "mean BALD"),
    # As many clusters as the others make: labels + picks, without the paper's limit of 500.
    "typiclust": Job(
        title="TypiClust",
        strategy="typiclust",
        objective="mean typicality",
        space="unit",
        options={"max_clusters": 600},
    ),
    "probcover": Job(
        title="ProbCover",
        strategy="probcover",
        objective="covered share",
        space="unit",
        numbers={"delta": 0.0},
    ),
    "entropy": Job(title="entropy", strategy="entropy", objective="mean entropy"),
    "margin": Job(title="margin", strategy="margin", objective="mean margin"),
    "max_herding": Job(
        title="MaxHerding",
        strategy="max_herding",
        objective="kernel coverage",
        space="unit",
        options={"radius": 1.0},
        numbers={"gamma": 1.0},
    ),
    "uherding": Job(title="UHerding", strategy="uherding", space="unit"),
    "k_means": Job(title="k-means", strategy="k_means", objective="cost to the picks"),
    "facility_location": Job(
        title="facility location",
        strategy="facility_location",
        objective="cosine coverage",
        space="unit",
    ),
    "clue": Job(title="CLUE", strategy="clue"),
    "information_density": Job(title="information density", strategy="information_density"),
    "vote_entropy": _on_members("vote entropy", "vote_entropy"),
    "kl_to_mean": _on_members("KL to the committee's mean", "kl_to_mean"),
}


def all_jobs() -> dict[str, Job]:
    """Return the jobs above, and one for every other strategy of the catalogue."""
    listed = {job.strategy for job in JOBS.values()}
    rest = {
        name: Job(title=name, strategy=name)
        for name in CATALOG
        if name not in {*listed, *bench.NOT_ALONE}
    }
    return {**JOBS, **rest}


# ---------------------------------------------------------------------------- one side of one job


class Ours:
    """activeloop's side: a context is made, and the strategy called, each time anew."""

    def __init__(self, case: cases.Case, job: Job) -> None:
        self._case, self._job = case, job
        self._rows = rows = torch.from_numpy(case.features)
        self._fixed: dict[str, Any] = {
            "features": rows,
            "embeddings": rows,
            "probs": torch.from_numpy(case.probs),
            "members": None if case.members is None else torch.from_numpy(case.members),
            "head": case.layer(),
            "n_classes": case.probs.shape[1],
            "labelled": case.labelled,
            "labels": case.labels[case.labelled],
            "unlabelled": case.unlabelled,
            "memory_limit": bench.default_memory() // 2,
        }
        self.renew()

    def renew(self) -> None:
        """Load the strategy: one that has been asked may know something already."""
        if self._job.strategy:
            options = our_options(self._job, self._case.numbers)
            self._strategy = load_strategy(self._job.strategy, **options)

    def __call__(self, run: int) -> Any:
        """Return the picks; for the job without a strategy, the neighbours."""
        case = self._case
        near = PoolNeighbors(self._rows, self._rows, case.labelled)
        if not self._job.strategy:
            return near(int(case.numbers["m"]))[1].numpy()
        rng = np.random.default_rng(case.seed + run)
        picked = self._strategy(Context(k=case.k, rng=rng, round=1, neighbors=near, **self._fixed))
        return np.asarray(picked.indices if isinstance(picked, Picks) else picked)


def our_options(job: Job, numbers: Mapping[str, float]) -> dict[str, Any]:
    """Return the options of our strategy: the job's own, and those fixed for all that it takes."""
    if job.strategy not in CATALOG:
        return {}
    taken = inspect.signature(locate(CATALOG[job.strategy])).parameters
    fixed = {name: value for name, value in numbers.items() if name in taken}
    return bench.options_of(job.strategy, {**job.options, **fixed})


def work(task: Mapping[str, Any]) -> Measured:
    """Measure one side of one job, in a process of its own."""
    torch.set_num_threads(task["threads"])
    job, side, limits = all_jobs()[task["job"]], task["side"], Limits(**task["limits"])
    numbers = dict(job.numbers)
    if "delta" in numbers:
        numbers["delta"] = task["delta"]
    case = cases.make_case(
        cases.Inputs.load(Path(task["folder"])),
        k=job.k,
        seed=task["seed"],
        space=job.space,
        rows=job.rows,
        members=MEMBERS if job.space == "members" or _wants_members(job) else 0,
        numbers=numbers,
    )
    call: Call = Ours(case, job) if side == ACTIVELOOP else RIVALS[task["job"]][side](case)

    def before() -> None:
        case.nudge()
        if isinstance(call, Ours):
            call.renew()

    measured, found = bench.measure(call, limits, before=before)
    if job.objective is None or side == FLOOR:
        return measured
    value, _ = cases.OBJECTIVES[job.objective]
    # The first is the warm-up's; a few runs are enough, for some objectives cost more than the job.
    values = [value(case, checked(result, job, case)) for result in (found[1:] or found)[:3]]
    measured.objective = float(np.median(values))
    return measured


def _wants_members(job: Job) -> bool:
    if job.strategy not in CATALOG:
        return False
    return "members" in needs_of(load_strategy(job.strategy, **our_options(job, {})))


def checked(result: Any, job: Job, case: cases.Case) -> cases.Array:
    """Return the result as an array; raise if it is not what was asked for."""
    array = np.asarray(result, np.int64)
    if job.strategy:
        if len(np.unique(array)) != len(array) or not np.isin(array, case.unlabelled).all():
            raise ValueError("the picks are not distinct unlabelled samples")
        if len(array) < case.k:
            raise ValueError(f"{len(array)} picks instead of {case.k}")
    return array


# ---------------------------------------------------------------------------- all sides


Results = dict[str, dict[str, Measured]]


def _absent(job: Job) -> str:
    return bench.unavailable(job.strategy, our_options(job, {})) if job.strategy else ""


def sides(job: str) -> list[str]:
    """Return who does a job: we, the others by name, a textbook loop, and a floor."""
    others = RIVALS.get(job, {})
    last = [name for name in (TEXTBOOK, FLOOR) if name in others]
    rest = sorted(set(others) - set(last), key=lambda side: (not side.startswith(ACTIVELOOP), side))
    return [ACTIVELOOP, *rest, *last]


def run_all(
    jobs: Sequence[str], folder: Path, options: argparse.Namespace, delta: float
) -> Iterator[tuple[str, str, Measured]]:
    """Yield job, side and figures of each, as they come."""
    limits = Limits(
        repeats=options.repeats,
        timeout=options.timeout,
        memory=int(options.memory_limit * bench.GIB) or bench.default_memory(),
    )
    shared = {"folder": str(folder), "seed": options.seed, "threads": options.threads}
    for job in jobs:
        for side in (name for name in sides(job) if name in options.sides):
            if side == ACTIVELOOP and (reason := _absent(all_jobs()[job])):
                yield job, side, Measured(failure=reason)
                continue
            task = {**shared, "job": job, "side": side, "delta": delta}
            yield job, side, bench.run_apart(SCRIPT, task, limits, threads=options.threads)


# ---------------------------------------------------------------------------- the report


def report(results: Results, heading: str, picks: Callable[[str], int]) -> str:
    """Return the whole report as Markdown."""
    parts = [heading, "## Against the fastest library", summary(results, picks)]
    parts += ["## Every side", _LEGEND]
    for name, found in results.items():
        job = all_jobs()[name]
        better = f", {_direction(job)}" if job.objective else ""
        parts.append(f"### {_titled(name, job, picks)}{better}")
        parts.append(_job_table(name, job, found))
    return "\n\n".join(parts) + "\n"


_LEGEND = (
    "CPU: median seconds of processor time after a warm-up; (1) marks those that had time for one "
    "run only. Times: CPU seconds over activeloop's. Memory: growth of the peak resident memory "
    "above the inputs, in MiB. A textbook loop is the method as one writes it down first, by us; "
    "a floor is the least that the arithmetic costs here, and picks nothing."
)


def _titled(name: str, job: Job, picks: Callable[[str], int]) -> str:
    return f"{job.title}, {picks(name):,} picks" if job.strategy else job.title


def _direction(job: Job) -> str:
    assert job.objective is not None
    return f"{job.objective} ({cases.OBJECTIVES[job.objective][1]} is better)"


def summary(results: Results, picks: Callable[[str], int]) -> str:
    """Return a line a job: ours, and the fastest of the others that ended."""
    rows = []
    for name, found in results.items():
        ours, best = found.get(ACTIVELOOP, _NOT_RUN), fastest(found)
        rows.append(
            [
                _titled(name, all_jobs()[name], picks),
                ours.failure or bench.seconds(ours.cpu),
                "" if ours.failure else bench.megabytes(ours.peak),
                *(["", ""] if best is None else [best, bench.seconds(found[best].cpu)]),
                _ratio(found.get(best or ""), ours),
                _ratio(found.get(TEXTBOOK), ours),
                *(_value(found.get(side or "", _NOT_RUN)) for side in (ACTIVELOOP, best)),
            ]
        )
    head = ["job", "activeloop, CPU", "MiB", "fastest library", "its CPU", "times ours"]
    return bench.table([*head, "textbook, times ours", "our objective", "its objective"], rows)


def fastest(found: Mapping[str, Measured]) -> str | None:
    """Return which library was fastest, of those that ended."""
    ended = [n for n, m in found.items() if not m.failure and not n.startswith(_NOT_LIBRARIES)]
    return min(ended, key=lambda n: found[n].cpu, default=None)


_NOT_LIBRARIES = (ACTIVELOOP, TEXTBOOK, FLOOR)
_NOT_RUN = Measured(failure="not run")


def _ratio(other: Measured | None, ours: Measured) -> str:
    return "" if other is None or other.failure or ours.failure else f"{other.cpu / ours.cpu:.3g}"


def _job_table(name: str, job: Job, found: Mapping[str, Measured]) -> str:
    ours, rows = found.get(ACTIVELOOP, _NOT_RUN), []
    for side, figures in found.items():
        once = " (1)" if not figures.failure and not figures.warmed else ""
        rows.append(
            [
                f"{side}: {_called(name, side, job)}" if _called(name, side, job) else side,
                figures.failure or bench.seconds(figures.cpu) + once,
                "" if figures.failure else bench.seconds(figures.wall),
                _ratio(figures, ours),
                "" if figures.failure else bench.megabytes(figures.peak),
                _value(figures),
            ]
        )
    return bench.table(["who", "CPU", "wall", "times", "MiB", job.objective or "objective"], rows)


def _called(name: str, side: str, job: Job) -> str:
    if side != ACTIVELOOP:
        return (RIVALS[name][side].__doc__ or "").partition("\n")[0]
    options = our_options(job, {})
    return ", ".join([job.strategy or "neighbors", *(f"{k}={v}" for k, v in options.items())])


def _value(figures: Measured) -> str:
    return "" if figures.objective is None else f"{figures.objective:.5g}"


def chart(results: Results, path: Path, picks: Callable[[str], int], subtitle: str) -> None:
    """Draw a bar for each side of each job that others do too, on a log axis."""
    shown = {n: f for n, f in results.items() if len(_bars(f)) > 1}
    if not shown:
        return
    names = sorted({side for found in shown.values() for side in _bars(found)}, key=_rank)
    palette = plt.get_cmap("tab20")
    colours = {name: palette(place) for place, name in enumerate(names)}
    rows = sum(len(_bars(found)) + 1 for found in shown.values())
    figure, axes = plt.subplots(figsize=(9, 1.4 + 0.2 * rows), layout="constrained")
    place, ticks = 0.0, []
    for name, found in shown.items():
        bars = sorted(_bars(found), key=lambda side: found[side].cpu)
        ticks.append((place + (len(bars) - 1) / 2, _titled(name, all_jobs()[name], picks)))
        for side in bars:
            axes.barh(place, found[side].cpu, color=colours[side], height=0.85)
            axes.text(
                found[side].cpu * 1.08, place, bench.seconds(found[side].cpu), va="center", size=7
            )
            place += 1
        place += 1
    axes.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
    axes.set(xscale="log", xlabel="CPU seconds (log scale)")
    axes.set_title(subtitle, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    handles = [Patch(color=colours[name]) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _bars(found: Mapping[str, Measured]) -> list[str]:
    return [side for side, m in found.items() if not m.failure and side != FLOOR and m.cpu > 0]


def _rank(side: str) -> tuple[int, str]:
    return 0 if side.startswith(ACTIVELOOP) else 2 if side == TEXTBOOK else 1, side


# ---------------------------------------------------------------------------- command line


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pool", type=int, default=60_000, help="samples")
    parser.add_argument("--features", type=int, default=84)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--labelled", type=int, default=500)
    parser.add_argument("--inputs", choices=["auto", "mnist", "mixture"], default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", default="all", help="comma-separated names; see --list")
    parser.add_argument("--sides", default="all", help="comma-separated: activeloop, modAL, ...")
    parser.add_argument("--repeats", type=int, default=3, help="runs after the warm-up")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for a side of a job")
    parser.add_argument("--memory-limit", type=float, default=0, help="GiB; default: 4/5 of free")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Markdown file; the chart goes beside it")
    parser.add_argument("--list", action="store_true", help="name the jobs and end")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    for name in ("pool", "features", "labelled", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.classes < 2 or options.repeats < 0 or options.timeout <= 0:
        parser.error("--classes must be at least 2, --repeats at least 0, --timeout above 0")
    if options.labelled > options.pool // 2:
        parser.error(f"--labelled must be at most half of --pool, got {options.labelled}")
    if options.memory_limit < 0:
        parser.error("--memory-limit must not be negative")
    known = all_jobs()
    options.jobs = list(known) if options.jobs == "all" else options.jobs.split(",")
    if unknown := [job for job in options.jobs if job not in known]:
        parser.error(f"there is no job {unknown[0]!r}; there are {', '.join(known)}")
    everybody = sorted({ACTIVELOOP}.union(*RIVALS.values()))
    options.sides = everybody if options.sides == "all" else options.sides.split(",")
    if unknown := [side for side in options.sides if side not in everybody]:
        parser.error(f"there is no side {unknown[0]!r}; there are {', '.join(everybody)}")
    if options.out is not None and not options.out.parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}")


def compare(options: argparse.Namespace) -> None:
    """Make the inputs, run every side of every job, and write the report."""
    results: Results = {}
    where = bench.machine(options.threads, PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        inputs, words = cases.make_inputs(
            *(options.inputs, options.pool, options.features, options.classes),
            *(options.labelled, options.seed),
        )
        inputs.save(Path(name))
        delta = cases.pure_radius(inputs, options.seed)
        rows, width = inputs.features.shape
        for job, side, figures in run_all(options.jobs, Path(name), options, delta):
            results.setdefault(job, {})[side] = figures
            said = figures.failure or f"{bench.seconds(figures.cpu)}, {_value(figures)}"
            print(f"{job}: {side}: {said}", flush=True)
    size = f"{rows:,} x {width} features, {inputs.probs.shape[1]} classes"
    sizes = {name: _picks(job, inputs) for name, job in all_jobs().items()}
    heading = (
        f"# Strategies, beside others\n\n{size}, {len(inputs.labelled):,} labelled: {words}; "
        f"seed {options.seed}. Jobs on members: {MEMBERS} passes of dropout over the first "
        f"{min(10_000, rows):,} samples. ProbCover's radius: {delta:.3g} for all.\n\n{where}"
    )
    text = report(results, heading, sizes.__getitem__)
    print("\n" + text)
    if options.out is not None:
        options.out.write_text(text, "utf-8")
        threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
        chart(results, options.out.with_suffix(".png"), sizes.__getitem__, f"{size}; {threads}")


def _picks(job: Job, inputs: cases.Inputs) -> int:
    rows = min(job.rows or len(inputs.features), len(inputs.features))
    return min(job.k, (rows - int((inputs.labelled < rows).sum())) // 2)


def main() -> None:
    """Compare, or measure one side if told so by the process that compares."""
    options = parsed()
    if options.task:
        task = json.loads(options.task)
        bench.finish(task, lambda: work(task))
    elif options.list:
        print("\n".join(f"{name}: {', '.join(sides(name))}" for name in all_jobs()))
    else:
        compare(options)


if __name__ == "__main__":
    main()
