"""How long a run directory of many labels takes to be opened, gone on with, added to and exported.

    python scripts/bench_labels.py --labels 100000 --out scripts/results/labels.md

The directory is made through the run's own files and store, with keys as a folder of images has
them, and a score and a prediction for each pick; its learner and strategy take no time to speak of,
so that what is measured is the run itself. Reading the images of a real one comes on top: they are
one pixel each here, in memory, but for the exports of a folder, which are of files of half a KiB.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import benchmarking as bench
import numpy as np
import torch
from PIL import Image

import activeloop
from activeloop.app import subcommand
from activeloop.data.samples import TensorSamples
from activeloop.journal import write_answers, write_query
from activeloop.store import Store
from activeloop.types import (
    Context,
    Data,
    Epoch,
    Head,
    History,
    Indices,
    Labels,
    Prediction,
    Query,
    Round,
    Samples,
)

CLASSES = tuple(f"species {number:02d}" for number in range(20))
ROOT = Path(__file__).resolve().parent.parent
# How reports name the run.
ABOUT = {"strategy": "first", "variant": "", "seed": 0, "data": "image_folder"}
Times = tuple[float, float]  # seconds, and those of the processor
EXPORTS = (["--format", "csv"], ["--format", "jsonl"], ["--format", "label-studio"])
FOLDERS = (["--format", "image-folder"], ["--format", "image-folder", "--link"])
METRICS = {"accuracy": 1 / 3, "loss": 1.1, "macro_f1": 0.3, "kappa": 0.7, "train_seconds": 12.3}


class Idle:
    """A learner that says of all samples that they may be anything."""

    device = torch.device("cpu")
    head: Head | None = None

    def __init__(self) -> None:
        self.on_epoch: Callable[[Epoch], None] | None = None

    def fit(
        self, data: Data, indices: Indices, labels: Labels, rng: np.random.Generator
    ) -> History:
        """Learn nothing."""
        return History(steps=1)

    def predict(
        self,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Return the same probability for each class, `[n, C]`."""
        return Prediction(probs=torch.full((len(indices), len(CLASSES)), 1 / len(CLASSES)))

    def save(self, path: Path) -> bool:
        """Keep nothing."""
        return False

    def load(self, path: Path, data: Data) -> bool:
        """Find nothing."""
        return False


def first(context: Context) -> Indices:
    """Pick the first samples there are."""
    return context.unlabelled[: context.k]


def pool(size: int) -> Data:
    """Return images of one pixel whose keys are paths."""
    keys = [f"2024-{n % 12 + 1:02d}/camera_{n % 40:02d}/IMG_{n:07d}.jpg" for n in range(size)]
    pixels = torch.zeros(size, 1, 1, 1, dtype=torch.uint8)
    samples = TensorSamples(pixels, keys, torch.zeros(1), torch.ones(1))
    return Data(name="photos", classes=CLASSES, pool=samples)


def opened(data: Data, directory: Path, size: int) -> activeloop.ActiveLoop:
    """Return the run in `directory`, which asks for `size` samples a round."""
    return activeloop.ActiveLoop(
        data,
        Idle(),
        first,
        initial=size,
        query_size=size,
        budget=len(data.pool),
        stop_set=0,
        directory=directory,
    )


def make(data: Data, directory: Path, labels: int, size: int) -> dict[str, Any]:
    """Make a run of so many labels, `size` a round, whose last round is to be fitted next.

    Returns:
        Its identity as that of a run on the folder `photos` beside it.
    """
    loop = opened(data, directory, size)
    store, rng = loop.files.store, np.random.default_rng(0)
    order = rng.permutation(len(data.pool))[:labels]
    answers = rng.integers(len(CLASSES), size=labels)
    last = (labels - 1) // size
    for number in range(last + 1):
        part = slice(number * size, (number + 1) * size)
        indices = order[part]
        query = Query(
            round=number,
            indices=indices,
            keys=tuple(data.pool.keys[index] for index in indices.tolist()),
            scores=rng.random(len(indices)),
            predicted=answers[part] if number else None,
            confidence=rng.random(len(indices)) if number else None,
        )
        write_query(store, query, CLASSES, 0.1, 0.1)
        told = dict(zip(indices.tolist(), answers[part].tolist(), strict=True))
        write_answers(store, data, number, told, "ann", closes=True, seconds=1.5)
        if number < last:
            done = (number + 1) * size
            store.add_round(Round(round=number, labels=done, classes=len(CLASSES), metrics=METRICS))
    identity = loop.files.store.meta("identity")
    settings = {
        "_target_": "activeloop.data.image_folder",
        "root": str(directory.parent / "photos"),
    }
    described: dict[str, Any] = identity | {"config": identity["config"] | {"data": settings}}
    loop.files.store.set_meta("run", ABOUT)
    loop.files.write_tables()
    loop.files.close()
    return described


def write_photos(folder: Path, keys: Sequence[str]) -> None:
    """Leave a small image at the path of each key."""
    content = io.BytesIO()
    Image.new("RGB", (32, 32)).save(content, "JPEG")
    for parent in {(folder / key).parent for key in keys}:
        parent.mkdir(parents=True)
    for key in keys:
        (folder / key).write_bytes(content.getvalue())


def measured(
    data: Data, made: Path, labels: int, size: int, repeats: int, described: dict[str, Any]
) -> dict[str, list[Times]]:
    """Return the seconds of each thing that is done, in each of `repeats` copies of the run."""
    seconds: dict[str, list[Times]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start, cpu = time.perf_counter(), processor()
        result = work()
        times = (time.perf_counter() - start, processor() - cpu)
        seconds.setdefault(name, []).append(times)
        return result

    for number in range(repeats):
        directory = made.with_name(f"{made.name}-{number}")
        shutil.copytree(made, directory)
        timed("open the store and read all answers", partial(read, directory)).close()
        loop = timed("open the run", partial(opened, data, directory, size))
        query = timed("keep a round, and make the next query", loop.ask)
        index = int(query.indices[0])
        timed("keep one answer", partial(loop.record, {index: 0}, "ann", 1.5))
        timed("change it", partial(loop.record, {index: 1}, "ann", 1.5))
        loop.files.close()
        for words in EXPORTS:
            timed(f"`export {' '.join(words)}`", partial(exported, directory, words))
        again = [__file__, "--go-on", directory, "--pool", len(data.pool), "--sizes", size]
        timed("a program that goes on, whole", partial(started, again))
        with contextlib.closing(Store(directory / "run.db")) as store:
            store.set_meta("identity", described)
        for place, words in enumerate((*EXPORTS, *FOLDERS)):
            shown_words = f"`python -m activeloop export DIR {' '.join(words)}`"
            line = ["-m", "activeloop", "export", directory, *words]
            timed(shown_words, partial(started, [*line, "--out", directory / f"out-{place}"]))
        timed("floor: as many files read and written, alone", partial(copied, directory, labels))
        timed("floor: as many hard links, alone", partial(linked, directory, labels))
    return seconds


def copied(directory: Path, labels: int) -> None:
    """Read and write as many of the photos as an export does."""
    for source, path in files(directory / "copied", labels):
        file = os.open(source, os.O_RDONLY)
        content = os.read(file, 2**16)
        os.close(file)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(file, content)
        os.close(file)


def linked(directory: Path, labels: int) -> None:
    """Make hard links to as many of the photos as an export does."""
    for source, path in files(directory / "linked", labels):
        os.link(source, path)


def files(folder: Path, labels: int) -> Iterator[tuple[str, str]]:
    """Return paths of photos and of what they may become, a folder a class."""
    for number in range(len(CLASSES)):
        (folder / str(number)).mkdir(parents=True)
    photos = folder.parent.parent / "photos"
    for number, source in enumerate(sources(photos, labels)):
        yield source, f"{folder}/{number % len(CLASSES)}/{number}.jpg"


@cache
def sources(photos: Path, labels: int) -> list[str]:
    """Return paths of photos in no order, as labels are given."""
    paths = sorted(str(path) for path in photos.rglob("*.jpg"))
    order = np.random.default_rng(0).permutation(len(paths))[:labels]
    return [paths[place] for place in order.tolist()]


def processor() -> float:
    """Return the seconds that this process and those that it started have computed."""
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def started(words: Sequence[object]) -> None:
    """Run a python of its own to its end."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, *map(str, words)],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": paths},
    )


def exported(directory: Path, words: Sequence[str]) -> None:
    """Export the labels of a run, as the command line does, but for its imports."""
    with contextlib.redirect_stdout(io.StringIO()):
        subcommand("export")([str(directory), *words])


def read(directory: Path) -> Store:
    """Open a run's store and read its answers and queries."""
    store = Store(directory / "run.db")
    store.answers()
    store.queries()
    return store


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--labels", type=int, default=100_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 1000], help="labels a round")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="Markdown file")
    parser.add_argument("--go-on", type=Path, help="only go on with this run, as the bench does")
    parser.add_argument("--pool", type=int, help="of that run: how many samples it has")
    options = parser.parse_args(arguments)
    if min(options.labels, options.repeats, *options.sizes) < 1:
        parser.error("--labels, --sizes and --repeats must be at least 1")
    return options


def main() -> None:
    """Measure, and write the table."""
    options = parsed()
    torch.set_num_threads(1)
    if options.go_on:
        opened(pool(options.pool), options.go_on, options.sizes[0]).ask()
        return
    data = pool(options.labels * 6 // 5 + 2 * max(options.sizes))
    columns: dict[str, list[str]] = {}
    sizes = []
    # Nothing is deleted until the end: for minutes after many files were, ext4 makes new ones ten
    # times slower.
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder) / "photos", data.pool.keys)
        for size in options.sizes:
            made = Path(folder) / f"rounds-of-{size}"
            described = make(data, made, options.labels, size)
            columns.setdefault("run.db, MiB", []).append(
                bench.megabytes((made / "run.db").stat().st_size)
            )
            given = (data, made, options.labels, size, options.repeats, described)
            for name, seconds in measured(*given).items():
                columns.setdefault(name, []).append(shown(seconds))
            sizes.append(f"{-(-options.labels // size):,} rounds of {size:,}")
    listed = " ".join(map(str, options.sizes))
    text = "\n".join(
        [
            f"# A run of {options.labels:,} labels\n",
            f"`python scripts/bench_labels.py --labels {options.labels} --sizes {listed} "
            f"--repeats {options.repeats}`, {bench.machine(1)} "
            f"Medians, the least and the most, in {tempfile.gettempdir()}; a pool of "
            f"{len(data.pool):,} samples. No image is read: where a run on a folder is opened, "
            "that comes on top. What is called whole, and lines that begin with python, have the "
            "start of python and all imports in them; --link makes hard links, else copies. "
            "The floors are this disk's, and have no start of python in them. Nothing is deleted "
            "in between: on ext4 files made in the minutes after many were deleted take ten times "
            "as long.\n",
            bench.table(["what", *sizes], [[name, *cells] for name, cells in columns.items()]),
            "",
        ]
    )
    if options.out:
        options.out.write_text(text, "utf-8")
    print(text)


def shown(times: Sequence[Times]) -> str:
    """Return the median, the range, and the median of the processor's time."""
    wall, cpu = zip(*times, strict=True)
    low, high = bench.seconds(min(wall)), bench.seconds(max(wall))
    median = bench.seconds(statistics.median(wall))
    return f"{median} ({low} to {high}), processor {bench.seconds(statistics.median(cpu))}"


if __name__ == "__main__":
    main()
