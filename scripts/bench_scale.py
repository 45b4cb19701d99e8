"""How time and memory of each strategy grow with the pool, from ten thousand samples up.

    python scripts/bench_scale.py --sizes 1e4,1e5,1e6,1e7 --out scripts/results/scale.md

Features, probabilities and members are memory-mapped files at every size, made once in `--work`.
Each strategy runs in a process of its own at each size, after a warm-up on a thousand samples; one
that takes too much time or memory is not tried at larger sizes. A tenth of the pool is labelled, at
most 10,000; a hundredth is picked, at most 1,000. A chart goes beside the table.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmarking as bench
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from benchmarking import Limits, Measured, Mixture

from activeloop.neighbors import NeighborSearch, PoolNeighbors
from activeloop.strategies import CATALOG, FAMILIES, load_strategy, needs_of
from activeloop.types import Context, Strategy

mpl.use("Agg")
from matplotlib import pyplot as plt

SCRIPT = Path(__file__).resolve()
MEMBERS, MOST_WITH_MEMBERS, WARM_UP = 10, 1_000_000, 1000
# Shorter than this, a run is mostly what does not grow with the pool.
_MEASURABLE = 0.02

Results = dict[str, dict[int, Measured]]


# ---------------------------------------------------------------------------- the pool on disk


class PoolFiles:
    """A mixture's rows in files, of which any number of the first is a pool."""

    def __init__(self, folder: Path, mixture: Mixture) -> None:
        m = mixture
        self.folder = folder / f"mixture-{m.features}-{m.classes}-{m.seed}"
        self.mixture = mixture
        self._widths = {"features": m.features, "probs": m.classes, "classes": 1}

    def grow(self, rows: int) -> None:
        """Write what is missing to have `rows`; chunks that are there stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        counter = self.folder / "chunks"
        there = int(counter.read_text("ascii")) if counter.exists() else 0
        for number in range(there, math.ceil(rows / self.mixture.CHUNK)):
            arrays: tuple[npt.NDArray[Any], ...] = self.mixture.chunk(number)
            for name, array in zip(self._widths, arrays, strict=True):
                self._write(name, number, array)
            counter.write_text(str(number + 1), "ascii")

    def _write(self, name: str, number: int, array: npt.NDArray[Any]) -> None:
        path = self.folder / name
        with path.open("r+b" if path.exists() else "w+b") as stream:
            stream.seek(number * self.mixture.CHUNK * self._widths[name] * 4)
            kind = np.int32 if name == "classes" else np.float32
            stream.write(np.ascontiguousarray(array, kind).data)

    def read(self, name: str, rows: int) -> np.memmap[Any, Any]:
        """Map the first `rows` of an array, copy-on-write."""
        kind = np.int32 if name == "classes" else np.float32
        shape = (rows, self._widths[name])
        return np.memmap(self.folder / name, kind, "c", shape=shape)

    def members(self, rows: int) -> np.memmap[Any, Any]:
        """Map the members `[MEMBERS, rows, C]` under dropout of the features, made if need be."""
        path = self.folder / f"members-{rows}"
        shape = (MEMBERS, rows, self.mixture.classes)
        if not path.exists():
            partial = path.with_suffix(".partial")
            made = np.memmap(partial, np.float32, "w+", shape=shape)
            rng = np.random.default_rng([self.mixture.seed, 3])
            kept = rng.random((MEMBERS, self.mixture.features)) >= 0.5
            features, head = self.read("features", rows), self.mixture.parameters()[2]
            for start in range(0, rows, self.mixture.CHUNK):
                some = features[start : start + self.mixture.CHUNK]
                for member, mask in enumerate(kept):
                    logits = (some * mask * np.float32(2)) @ head[:, :-1].T + head[:, -1]
                    made[member, start : start + len(some)] = bench.softmax(logits)
            made.flush()
            partial.rename(path)
        return np.memmap(path, np.float32, "c", shape=shape)


def labelled_of(rows: int) -> int:
    """Return how many of a pool are labelled."""
    return min(10_000, rows // 10)


def picks_of(rows: int) -> int:
    """Return how many are picked."""
    return max(1, min(1000, rows // 100))


# ---------------------------------------------------------------------------- one measurement


def context_of(files: PoolFiles, rows: int, strategy: Strategy, task: Mapping[str, Any]) -> Context:
    """Return the context of a pool of `rows`, its arrays mapped from files."""
    rng = np.random.default_rng([task["seed"], 2])
    labelled = np.sort(rng.choice(rows, labelled_of(rows), replace=False))
    head = torch.from_numpy(files.mixture.parameters()[2])
    layer = torch.nn.Linear(files.mixture.features, files.mixture.classes)
    with torch.no_grad():
        layer.weight.copy_(head[:, :-1])
        layer.bias.copy_(head[:, -1])
    features = torch.from_numpy(files.read("features", rows))
    members: Any = None
    if "members" in needs_of(strategy):
        members = torch.from_numpy(files.members(rows))
    return Context(
        k=picks_of(rows),
        rng=np.random.default_rng(task["seed"]),
        n_classes=files.mixture.classes,
        round=1,
        labelled=labelled,
        labels=np.asarray(files.read("classes", rows)[labelled, 0], np.int64),
        unlabelled=np.setdiff1d(np.arange(rows), labelled),
        probs=torch.from_numpy(files.read("probs", rows)),
        features=features,
        embeddings=features,
        members=members,
        head=layer,
        neighbors=PoolNeighbors(features, features, labelled, NeighborSearch(index=task["index"])),
        # Half of what the process may take, as a run does by default.
        memory_limit=task["limits"]["memory"] // 2,
    )


def work(task: Mapping[str, Any]) -> Measured:
    """Measure one strategy at one size, in a process of its own."""
    torch.set_num_threads(task["threads"])
    limits, rows = Limits(**task["limits"]), task["rows"]
    files = PoolFiles(Path(task["work"]), Mixture(**task["mixture"]))
    strategy = load_strategy(task["strategy"], **task["options"])
    small = context_of(files, min(WARM_UP, rows // 2), strategy, task)
    large = context_of(files, rows, strategy, task)

    def before() -> None:
        # What an earlier run left, neighbours in memory or a strategy that has been asked, is not
        # met again.
        nonlocal strategy
        large.features[0, 0] *= 1 + 1e-5
        strategy = load_strategy(task["strategy"], **task["options"])

    return bench.measure(lambda run: strategy(large if run else small), limits, before=before)[0]


# ---------------------------------------------------------------------------- all of them


def parsed_strategy(text: str) -> tuple[str, dict[str, Any]]:
    """Split `name:option=value,option=value`; values are JSON, or else words."""
    name, _, rest = text.partition(":")
    options = {}
    for part in filter(None, rest.split(",")):
        option, equals, value = part.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"{part!r} in {text!r} should be option=value")
        try:
            options[option] = json.loads(value)
        except json.JSONDecodeError:
            options[option] = value
    return name, options


def run_all(files: PoolFiles, options: argparse.Namespace) -> Iterator[tuple[str, int, Measured]]:
    """Yield strategy, size and figures of each, as they come."""
    limits = Limits(
        repeats=1,
        timeout=options.timeout,
        memory=int(options.memory_limit * bench.GIB) or bench.default_memory(),
    )
    for text in options.strategies:
        name, given = parsed_strategy(text)
        failure = bench.unavailable(name, given)
        for rows in options.sizes:
            if not failure:
                failure = _too_many_members(name, given, rows)
            if failure:
                yield text, rows, Measured(failure=failure)
                failure = failure if failure == "not there" else "not tried"
                continue
            task = {
                "strategy": name,
                "options": bench.options_of(name, given),
                "rows": rows,
                "seed": options.seed,
                "index": options.index,
                "threads": options.threads,
                "work": str(options.work),
                "mixture": vars(files.mixture),
            }
            figures = bench.run_apart(SCRIPT, task, limits, threads=options.threads)
            yield text, rows, figures
            failure = "not tried" if figures.failure else ""


def _too_many_members(name: str, given: Mapping[str, Any], rows: int) -> str:
    strategy = load_strategy(name, **bench.options_of(name, given))
    too_many = rows > MOST_WITH_MEMBERS and "members" in needs_of(strategy)
    return "members would not fit" if too_many else ""


def exponent(found: Mapping[int, Measured]) -> float | None:
    """Return the slope of log seconds over log samples, of the sizes long enough to measure."""
    measured = [(n, m.wall) for n, m in found.items() if not m.failure and m.wall >= _MEASURABLE]
    if len(measured) < 2:
        return None
    samples, walls = np.log(np.array(measured)).T
    return float(np.polyfit(samples, walls, 1)[0])


# ---------------------------------------------------------------------------- the report


def report(results: Results, sizes: Sequence[int], heading: str) -> str:
    """Return the whole report as Markdown."""
    head = ["strategy", *(f"{rows:,}" for rows in sizes)]
    times, processor, memory = [], [], []
    for name, found in results.items():
        slope = exponent(found)
        cells = [found[rows].failure or bench.seconds(found[rows].wall) for rows in sizes]
        times.append([name, *cells, "" if slope is None else f"{slope:.2f}"])
        cpu = [bench.seconds(found[rows].cpu) for rows in sizes]
        processor.append([name, *cpu])
        memory.append([name, *(_memory(found[rows]) for rows in sizes)])
    shape = "; ".join(
        f"{rows:,}: {labelled_of(rows):,} labelled, {picks_of(rows):,} picks" for rows in sizes
    )
    parts = [
        heading,
        f"Labelled and picks by pool size: {shape}.",
        "## Seconds",
        "The exponent is the slope of log seconds over log samples, of runs of at least "
        f"{_MEASURABLE * 1000:.0f} ms.",
        bench.table([*head, "exponent"], times),
        "## CPU seconds",
        "Of all threads together.",
        bench.table(head, processor),
        "## Memory",
        "Growth of the peak resident memory above the mapped inputs, in MiB: the process's own "
        "(sampled) / with the pages of the mapped files, which the system can drop.",
        bench.table(head, memory),
    ]
    return "\n\n".join(parts) + "\n"


def _memory(figures: Measured) -> str:
    if figures.failure:
        return ""
    return f"{bench.megabytes(figures.own)} / {bench.megabytes(figures.peak)}"


def chart(results: Results, path: Path, subtitle: str) -> None:
    """Draw seconds over pool size on log axes, a panel for each family of strategies."""
    family = {name: group for group, names in FAMILIES.items() for name in names}
    groups: dict[str, list[str]] = {}
    for text, found in results.items():
        if any(not m.failure for m in found.values()):
            groups.setdefault(family.get(parsed_strategy(text)[0], "other"), []).append(text)
    if not groups:
        return
    columns = min(3, len(groups))
    lines = math.ceil(len(groups) / columns)
    figure, panels = plt.subplots(
        *(lines, columns),
        figsize=(4.2 * columns, 3.6 * lines + 0.4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, (group, names) in zip(panels.flat, groups.items(), strict=False):
        for name in names:
            points = [(n, m.wall) for n, m in results[name].items() if not m.failure]
            axes.loglog(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        axes.set_title(group, fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, frameon=False)
    for axes in panels.flat[len(groups) :]:
        axes.set_visible(False)
    figure.supxlabel("samples in the pool", fontsize=9)
    figure.supylabel("seconds", fontsize=9)
    figure.suptitle(subtitle, fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)


# ---------------------------------------------------------------------------- command line


def size(text: str) -> int:
    """Return a pool size, as 100000 or 1e5."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if value != int(value) or value < 100:
        raise argparse.ArgumentTypeError(f"a pool has at least 100 samples, got {text}")
    return int(value)


def sizes(text: str) -> list[int]:
    """Return comma-separated pool sizes, ascending."""
    return sorted({size(part) for part in text.split(",")})


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=sizes, default="1e4,1e5,1e6,1e7", help="of the pool")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--strategies",
        nargs="+",
        default=[name for name in CATALOG if name not in bench.NOT_ALONE],
        metavar="NAME[:OPTION=VALUE,...]",
        help="default: the whole catalogue",
    )
    parser.add_argument("--index", choices=["auto", "exact", "ivf", "hnsw"], default="auto")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one at one size")
    parser.add_argument("--memory-limit", type=float, default=0, help="GiB; default: 4/5 of free")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("outputs/bench_scale"), help="for pools")
    parser.add_argument("--out", type=Path, help="Markdown file; the chart goes beside it")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    for name, least in (("features", 1), ("classes", 2), ("threads", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(options, name)}")
    if options.timeout <= 0 or options.memory_limit < 0:
        parser.error("--timeout must be above 0, --memory-limit at least 0")
    for text in options.strategies:
        try:
            parsed_strategy(text)
        except argparse.ArgumentTypeError as error:
            parser.error(f"--strategies: {error}")
    if options.out is not None and not options.out.parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}")


def scale(options: argparse.Namespace) -> None:
    """Make the pool, run every strategy at every size, and write the report."""
    where = bench.machine(options.threads)
    files = PoolFiles(options.work, Mixture(options.features, options.classes, options.seed))
    files.grow(max(options.sizes))
    results: Results = {}
    for name, rows, figures in run_all(files, options):
        results.setdefault(name, {})[rows] = figures
        print(f"{name}, {rows:,}: {figures.failure or bench.seconds(figures.wall)}", flush=True)
    what = f"{options.features} features, {options.classes} classes"
    heading = (
        f"# Strategies, by size of the pool\n\nA Gaussian mixture, {what}, on disk; seed "
        f"{options.seed}. One run each, the median of several where they are short, at most "
        f"{options.timeout:g} s. Members: {MEMBERS}, up to {MOST_WITH_MEMBERS:,} samples. "
        f"Strategies that wrap another wrap margin; neighbors.index={options.index}.\n\n{where}"
    )
    text = report(results, options.sizes, heading)
    print("\n" + text)
    if options.out is not None:
        options.out.write_text(text, "utf-8")
        chart(results, options.out.with_suffix(".png"), f"{what}, {options.threads} threads")


def main() -> None:
    """Measure all, or one if told so by the process that measures all."""
    options = parsed()
    if options.task:
        task = json.loads(options.task)
        bench.finish(task, lambda: work(task))
    else:
        scale(options)


if __name__ == "__main__":
    main()
