"""How long images take to be decoded, and batches to be read from a file and from memory.

    python scripts/bench_data.py --root cifar10-jpg/train --images 10000 --out data.md

The images under `--root`, class folders of them, are decoded by this process and by workers, into
memory and into a file, and taken up again by the next run. Then all batches of the pool are read
once in order and once at random.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import benchmarking as bench
import numpy as np
import PIL
import torch

from activeloop.data import image_folder, raw_batches, reading
from activeloop.types import Samples

CPU = torch.device("cpu")


def timed(work: Callable[[], Any], repeats: int = 1) -> float:
    """Return the least seconds that `work` takes."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def decoding(options: argparse.Namespace, work: Path) -> list[list[str]]:
    """Return a row for each way to decode; the image files are in the system's memory by then."""

    def load(workers: int, **where: Any) -> Callable[[], Any]:
        size = {"size": options.size, "pool_size": options.images, "test_fraction": 0}
        return lambda: image_folder(options.root, workers=workers, **size, **where)

    load(0)()
    rows = []
    for workers in (0, options.workers):
        # Workers from the first image on, so that the figure is theirs.
        reading.ALONE = 0.5 if workers == 0 else 0.0
        for where, kept in (("memory", {}), ("a file", {"cache": work / str(workers)})):
            seconds = timed(load(workers, **kept, memory_limit=None if not kept else 1))
            who = f"{workers} workers" if workers else "this process"
            rows.append([f"decode into {where}, {who}", *rate(seconds, options.images)])
    seconds = timed(load(0, cache=work / "0", memory_limit=1))
    return [*rows, ["find them in the file again", *rate(seconds, options.images)]]


def batches(options: argparse.Namespace, work: Path) -> list[list[str]]:
    """Return a row for each way to read all batches."""
    size = {"size": options.size, "pool_size": options.images, "test_fraction": 0}
    in_memory = image_folder(options.root, **size)[0].pool
    in_file = image_folder(options.root, cache=work / "0", memory_limit=1, **size)[0].pool
    ordered = np.arange(len(in_memory))
    shuffled = np.random.default_rng(0).permutation(len(in_memory))
    rows = []
    for order, indices in (("in order", ordered), ("at random", shuffled)):
        for where, samples in (("memory", in_memory), ("the file", in_file)):
            seconds = timed(partial(one_by_one, samples, indices, options.batch), 5)
            rows.append([f"{order}, from {where}", *rate(seconds, len(indices))])
        seconds = timed(partial(read_ahead, in_file, indices, options.batch), 5)
        rows.append([f"{order}, from the file, read ahead", *rate(seconds, len(indices))])
    return rows


def one_by_one(samples: Samples, indices: Any, size: int) -> None:
    """Read all batches."""
    for start in range(0, len(indices), size):
        samples.raw(indices[start : start + size], CPU)


def read_ahead(samples: Samples, indices: Any, size: int) -> None:
    """Read all batches, each while the one before is taken."""
    for _ in raw_batches(samples, indices, size, CPU):
        pass


def rate(seconds: float, images: int) -> list[str]:
    """Return seconds, and microseconds for each image."""
    return [bench.seconds(seconds), f"{seconds / images * 1e6:.3g}"]


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="class folders of images")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=32, help="pixels, height and width")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args(arguments)
    if not options.root.is_dir():
        parser.error(f"there is no folder {options.root}")
    if min(options.images, options.size, options.batch, options.workers) < 1:
        parser.error("--images, --size, --batch and --workers must be at least 1")
    return options


def main() -> None:
    """Measure, and write the table."""
    options = parsed()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        decoded = decoding(options, Path(folder))
        read = batches(options, Path(folder))
    command = f"--images {options.images} --size {options.size} --batch {options.batch}"
    text = "\n".join(
        [
            f"# Reading {options.images:,} images of {options.size} x {options.size}\n",
            f"`python scripts/bench_data.py {command} --workers {options.workers}`, "
            f"{bench.machine(1, {'pillow': PIL.__version__})}\n",
            bench.table(["what", "seconds", "microseconds an image"], decoded),
            f"\nBatches of {options.batch}, the file in the system's memory:\n",
            bench.table(["what", "seconds", "microseconds an image"], read),
            "",
        ]
    )
    if options.out:
        options.out.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
