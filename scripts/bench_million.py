"""Whole runs of `python -m activeloop` on a million vectors, from arrays in files.

    python scripts/bench_million.py --out scripts/results/million.md

A mixture of Gaussians is written once to `--work` as .npy files, which the runs map into memory; a
logistic regression is trained on 1,000 labels, then twice more on 1,000 others that the strategy
picks out of the pool. Seconds and the largest resident memory are those of the whole process.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import benchmarking as bench
import numpy as np
from benchmarking import Mixture

STRATEGIES = (
    "random",
    "margin",
    "badge",
    "k_center",
    "typiclust",
    "cluster_margin",
    "seals embed=file embed.as_input=false embed.pool={work}/x.npy",
    "subsample strategy.strategy=max_herding strategy.size=20000",
)
TEST = 10_000


@dataclass(frozen=True)
class Ran:
    """One whole run: seconds, bytes, and the rows of its curve."""

    seconds: float
    memory: int
    curve: list[dict[str, str]]


def write_arrays(folder: Path, rows: int, mixture: Mixture) -> None:
    """Write `x.npy`, `y.npy` of `rows` samples and `test_x.npy`, `test_y.npy`, if not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "test_y.npy").exists() and len(np.load(folder / "y.npy", mmap_mode="r")) == rows:
        return
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (rows, mixture.features))
    y = np.empty(rows, np.int64)
    step = mixture.CHUNK
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        features, _, classes = mixture.chunk(start // step)
        x[part], y[part] = features[: part.stop - start], classes[: part.stop - start]
    x.flush()
    features, _, classes = mixture.chunk(-(-rows // step))
    np.save(folder / "y.npy", y)
    np.save(folder / "test_x.npy", features[:TEST])
    np.save(folder / "test_y.npy", classes[:TEST].astype(np.int64))


def run(strategy: str, work: Path, rows: int, threads: int) -> Ran:
    """Run one strategy in a process of its own; `strategy` is its name and overrides."""
    size = max(10, rows // 1000)
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "activeloop", "data=arrays", "learner=sklearn"]
        command += [f"data.{name}={work / name}.npy" for name in ("x", "y", "test_x", "test_y")]
        command += [f"strategy={strategy}".split(" ")[0], *strategy.format(work=work).split()[1:]]
        command += [f"initial.size={size}", f"query_size={size}", "rounds=2"]
        command += ["neighbors.cache=null", f"hydra.run.dir={directory}"]
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, code, usage = os.wait4(process.pid, 0)
        if code:
            raise SystemExit(f"{' '.join(command)}\n{said}")
        with (Path(directory) / "curve.csv").open(newline="", encoding="utf-8") as lines:
            curve = list(csv.DictReader(lines))
    return Ran(time.perf_counter() - began, _bytes(usage), curve)


def _bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def row(strategy: str, ran: Ran) -> list[str]:
    """Return one line of the table."""
    sums = [
        sum(float(each[f"{part}_seconds"]) for each in ran.curve)
        for part in ("train", "predict", "select")
    ]
    last = ran.curve[-1]
    return [
        f"`{strategy.split(' ')[0]}`{' *' if ' ' in strategy else ''}",
        bench.seconds(ran.seconds),
        *(bench.seconds(each) for each in sums),
        bench.megabytes(ran.memory),
        last["labels"],
        f"{float(last['accuracy']):.2%}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the pool")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("outputs/bench_million"))
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args(arguments)
    if options.rows < 1000 or options.threads < 1:
        parser.error("--rows must be at least 1000, --threads at least 1")
    work = options.work.resolve()
    write_arrays(work, options.rows, Mixture(options.features, 10))
    head = ["strategy", "in all", "train", "predict", "select", "memory", "labels", "accuracy"]
    rows = []
    for strategy in options.strategies:
        rows.append(row(strategy, run(strategy, work, options.rows, options.threads)))
        print(" ".join(rows[-1]), flush=True)
    others = [each.format(work="...") for each in options.strategies if " " in each]
    text = "\n".join(
        [
            f"# Whole runs on {options.rows:,} x {options.features} vectors\n",
            f"`python scripts/bench_million.py --rows {options.rows}`, "
            f"{bench.machine(options.threads)}\n",
            bench.table(head, rows),
            *([f"\n\\* `strategy={each}`" for each in others]),
            "",
        ]
    )
    if options.out:
        options.out.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
