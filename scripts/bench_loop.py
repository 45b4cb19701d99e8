"""A whole active-learning loop beside the same loop by other libraries.

    pip install modAL-python scikit-activeml skorch baal
    python scripts/bench_loop.py --root data --out scripts/results/loop.md

MNIST, `model=cnn` (LeNet-like: two 5x5 convolutions, max pooling, 120-84-10), entropy, 100 to 1,000
labels by 100, 20 epochs a round at batch 64 from scratch, the rest of the 60,000 predicted each
round and 10,000 tested. Each side runs in a process of its own; who is not installed, or fails, is
named in the table. A chart goes beside the table. `--predict` measures instead what predicting
60,000 images once costs, and `--floor` where the loop's time goes beside what the arithmetic costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import benchmarking as bench
import matplotlib as mpl
import numpy as np
import torch
from benchmarking import Limits, Measured
from loop_sides import PACKAGES, SHAPE, SIDES, Clock, Job, prepare

import activeloop

mpl.use("Agg")
from matplotlib import pyplot as plt

SCRIPT = Path(__file__).resolve()
PARTS = ("train", "predict", "select", "test", "rest")


def work(task: Mapping[str, Any]) -> Measured:
    """Run one side once, in a process of its own."""
    torch.set_num_threads(task["threads"])
    job, clock = Job(**task["job"]), Clock()
    prepare(task["side"])
    with bench.limited(Limits(**task["limits"])):
        memory = bench.PeakMemory()
        wall, cpu = time.perf_counter(), time.process_time()
        accuracies = SIDES[task["side"]](job, clock)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    parts = {part: clock.seconds[part] for part in PARTS}
    parts["rest"] = wall - sum(parts.values())
    return Measured(
        cpu=cpu,
        wall=wall,
        runs=1,
        peak=memory.growth(),
        objective=accuracies[-1],
        parts=parts,
    )


def run_all(options: argparse.Namespace) -> dict[str, list[Measured]]:
    """Return the runs of each side; the sides take turns, so that a busy moment hits all."""
    found: dict[str, list[Measured]] = {name: [] for name in options.sides}
    limits = Limits(timeout=options.timeout, memory=bench.default_memory())
    for repeat in range(options.repeats):
        for name, runs in found.items():
            if any(run.failure for run in runs):
                continue
            job = _job(options, seed=repeat)
            task = {"side": name, "job": asdict(job), "threads": options.threads}
            runs.append(bench.run_apart(SCRIPT, task, limits, threads=options.threads))
            print(f"{name}: {runs[-1].failure or bench.seconds(runs[-1].wall)}", flush=True)
    return found


def _job(options: argparse.Namespace, seed: int = 0) -> Job:
    return Job(
        root=options.root,
        model=options.model,
        labels=options.labels,
        epochs=options.epochs,
        seed=seed,
    )


# ---------------------------------------------------------------------------- the report


def report(found: Mapping[str, Sequence[Measured]], options: argparse.Namespace) -> str:
    """Return the tables as Markdown."""
    head = ["who", "wall", "times ours", "CPU", *PARTS, "MiB", "accuracy at the end"]
    ours = _median(found["activeloop"], "wall") if "activeloop" in found else float("nan")
    rows = []
    for name, runs in found.items():
        if failed := next((run.failure for run in runs if run.failure), ""):
            rows.append([name, failed, *[""] * (len(head) - 2)])
            continue
        wall = _median(runs, "wall")
        parts = [statistics.median(run.parts[part] for run in runs) for part in PARTS]
        last = [100 * (run.objective or 0) for run in runs]
        rows.append(
            [
                name,
                bench.seconds(wall),
                f"{wall / ours:.3g}",
                bench.seconds(_median(runs, "cpu")),
                *(f"{each:.2f}" for each in parts),
                bench.megabytes(int(_median(runs, "peak"))),
                f"{statistics.mean(last):.1f} ({min(last):.1f} to {max(last):.1f})",
            ]
        )
    return "\n\n".join(
        [
            "# A loop on MNIST, by library",
            f"`python scripts/bench_loop.py --threads {options.threads} --repeats "
            f"{options.repeats} --model {options.model}`",
            bench.machine(options.threads, PACKAGES),
            f"Medians of {options.repeats} runs, seeds 0 to {options.repeats - 1}; seconds, the "
            "parts of wall. Where a library predicts and selects in one call, both stand under "
            "predict; rest is reading the data and everything else.",
            bench.table(head, rows),
        ]
    )


def _median(runs: Sequence[Measured], name: str) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))


def draw(found: Mapping[str, Sequence[Measured]], path: Path) -> None:
    """Draw the parts of each side's wall time as stacked bars."""
    ended = {name: runs for name, runs in found.items() if not any(r.failure for r in runs)}
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(ended) + 1.2), layout="constrained")
    left = np.zeros(len(ended))
    for part in PARTS:
        width = [statistics.median(r.parts[part] for r in runs) for runs in ended.values()]
        axes.barh(list(ended), width, left=left, label=part)
        left += width
    for y, total in enumerate(left):
        axes.text(total, y, f" {total:.3g} s", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="seconds", xlim=(0, 1.12 * left.max()))
    axes.legend(ncols=len(PARTS), frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


# ---------------------------------------------------------------------------- predicting once


def predicting(options: argparse.Namespace) -> str:
    """Return seconds of predicting the 60,000 by the learner, and by a DataLoader."""
    from loop_sides import _logits, _torchvision

    data, hidden = activeloop.load_data("mnist", root=options.root, download=False)
    assert hidden.pool is not None
    learner = activeloop.load_learner("torch", model=options.model, steps=1)
    everything = np.arange(len(data.pool))
    learner.fit(data, everything[:64], hidden.pool[:64], np.random.default_rng(0))
    train, _ = _torchvision(_job(options))
    module = _job(options).network()
    needs = frozenset(["probs", "features"])
    ways: dict[str, Callable[[], Any]] = {
        "activeloop: probabilities and features": lambda: learner.predict(
            data.pool, everything, needs
        ),
        "a DataLoader over torchvision's MNIST, logits": lambda: _logits(module, train),
    }
    seconds = {}
    for name, way in ways.items():
        times = []
        for _ in range(options.repeats + 1):
            start = time.perf_counter()
            way()
            times.append(time.perf_counter() - start)
        seconds[name] = times[0], statistics.median(times[1:])
    ours = next(iter(seconds.values()))[1]
    rows = [
        [name, bench.seconds(first), bench.seconds(later), f"{later / ours:.3g}"]
        for name, (first, later) in seconds.items()
    ]
    return bench.table(
        [f"{len(data.pool):,} images", "first time", f"median of {options.repeats}", "times ours"],
        rows,
    )


# ---------------------------------------------------------------------------- the floor


def floor(options: argparse.Namespace) -> str:
    """Return what the loop's arithmetic costs at the measured rates of this machine."""
    job = _job(options)
    forward = _operations(job)
    trained = sum(job.epochs * job.query * (1 + number) for number in range(job.rounds))
    predicted = sum(60_000 - job.query * number for number in range(1, job.rounds))
    tested = 10_000 * job.rounds
    rate, bandwidth = _product_rate(), _bandwidth()
    rows = []
    for part, images, passes in (
        ("train", trained, 3),  # forward, and backward to inputs and to weights
        ("predict", predicted, 1),
        ("test", tested, 1),
    ):
        operations = images * passes * forward
        read = images * int(np.prod(SHAPE))
        rows.append(
            [
                part,
                f"{images:,}",
                f"{operations / 1e9:.4g}",
                f"{operations / rate:.3g} s",
                f"{read / bandwidth:.3g} s",
            ]
        )
    head = ["part", "images", "10^9 operations", "at the matrix rate", "bytes at the bandwidth"]
    return (
        f"One image: {forward / 1e6:.3g} million operations (2 a multiplication and addition). "
        f"Matrix products of 2,048 x 2,048: {rate / 1e9:.0f} GFLOP/s; copying: "
        f"{bandwidth / 1e9:.1f} GB/s read.\n\n" + bench.table(head, rows)
    )


def _operations(job: Job) -> float:
    """Return the operations of one image's forward pass, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    module = job.network().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, *SHAPE))
    return float(counter.get_total_flops())


def _product_rate(size: int = 2048, repeats: int = 5) -> float:
    x = torch.rand(size, size)
    x @ x
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        x @ x
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times)


def _bandwidth(size: int = 1 << 28, repeats: int = 5) -> float:
    source = torch.ones(size, dtype=torch.uint8)
    target = torch.empty_like(source)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - start)
    return size / statistics.median(times[1:])


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw")
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--labels", type=int, default=1000, help="in all")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--sides", type=lambda text: text.split(","), default=list(SIDES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--predict", action="store_true", help="only predicting 60,000 once")
    parser.add_argument("--floor", action="store_true", help="only what the arithmetic costs")
    parser.add_argument("--out", type=Path, help="Markdown file, and a chart beside it")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task = json.loads(options.task)
        bench.finish(task, lambda: work(task))
        return
    torch.set_num_threads(options.threads)
    if options.predict or options.floor:
        print(predicting(options) if options.predict else floor(options))
        return
    found = run_all(options)
    parts = [report(found, options)]
    if "DataLoader loop" in options.sides:
        parts += ["## Predicting the pool once", predicting(options)]
    text = "\n\n".join([*parts, "## The floor", floor(options)])
    print(text)
    if options.out:
        options.out.write_text(text + "\n", "utf-8")
        draw(found, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
