"""`python -m activeloop predict`: what a run's model says of a folder of images, as a table."""

from __future__ import annotations

import csv
import logging
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activeloop.arguments import Parser
from activeloop.checks import whole
from activeloop.data.reading import worker_count
from activeloop.errors import ConfigError, StoreError
from activeloop.messages import shown
from activeloop.predicting import Predicted, find_images, predictions
from activeloop.prediction_summary import Summary
from activeloop.trained import Trained, check_run, load_trained
from activeloop.whole_files import replacing
from activeloop.words import counted


def predict(arguments: Sequence[str]) -> None:
    """Write the predictions that the command line asks for, and print what is in them.

    Raises:
        ConfigError: the arguments make no sense, or the table is there already.
        StoreError: there is no run, it has no model yet, or the table cannot be written.
        DataError: there are no images, or one cannot be read.
        LearnerError: the weights are damaged, or of another network.
    """
    given = _parser().parse_args(list(arguments))
    batch = None if given.batch is None else whole("--batch", given.batch, least=1)
    form = "%(levelname)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stdout, force=True)
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells how it is loaded
    _check_order(given.directory, given.folder)
    check_run(given.directory)
    # Before a GPU is in use, which keeps other processes from being started to decode.
    found, workers = find_images(given.folder), worker_count("auto")
    _check_free(given.out, given.force)
    trained = load_trained(given.directory, device=given.device)
    for note in _notes(trained, given.directory):
        print(f"note: {note}")
    summary = Summary(trained.classes)
    rows = predictions(trained, found, batch=batch, unreadable=given.unreadable, workers=workers)
    with _table(given.out) as table:
        table.writerow(["key", "predicted", "confidence", *(f"p_{c}" for c in trained.classes)])
        table.writerows(_line(row) for row in summary.counting(rows))
    labels = counted(trained.round.labels, "label")
    print(f"by the model of round {trained.round.round} ({labels}) in {shown(given.directory)}:")
    print(summary.text())
    print(f"predictions: {shown(given.out)}")


def _line(row: Predicted) -> Iterable[object]:
    """Return what is written of a prediction, numbers so that they read back exactly."""
    return (row.key, row.predicted, repr(row.confidence), *map(repr, row.probs.tolist()))


def _notes(trained: Trained, directory: Path) -> Iterator[str]:
    """Yield what a reader of the predictions should know."""
    if trained.ended is None:
        yield f"the run in {shown(directory)} is not over: this is its model so far"
    if trained.added:
        yield (
            f"{', '.join(trained.added)} came after the last training: the model knows only "
            f"{', '.join(trained.classes)}"
        )
    if not trained.preprocessing.files:
        channels, height, width = trained.preprocessing.shape
        yield (
            f"the run was trained on {trained.data}, not on image files: images are made "
            f"{'grey' if channels == 1 else 'RGB'} and stretched to {height} x {width} pixels, "
            "and must look as those did (dark on light, or light on dark, and so on)"
        )


def _check_order(directory: Path, folder: Path) -> None:
    """Raise `ConfigError` if the run and the images were given the other way round."""
    run = Path("run.db")
    if (folder / run).is_file() and not (directory / run).is_file():
        swapped = shlex.join(map(str, (folder, directory)))
        raise ConfigError(
            f"{directory} is no run's directory, and {folder} is one: the run comes first, as in "
            f"python -m activeloop predict {swapped}"
        )


def _check_free(out: Path, force: bool) -> None:
    """Raise `ConfigError`, before anything is computed, if the table cannot go there."""
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder: name a file, such as {out}/predictions.csv")
    if out.exists() and not force:
        raise ConfigError(
            f"{out} is there already: name another with --out, or have it overwritten with --force"
        )
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")


@contextmanager
def _table(path: Path) -> Iterator[Any]:
    """Give a CSV writer of a file that is there when all of it is."""
    try:
        # Names of files that are no text are written as they are on the disk.
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            yield csv.writer(file, lineterminator="\n")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def _parser() -> Parser:
    parser = Parser(
        "activeloop predict",
        description="Predict the classes of new images with the model of a run, finished or not. "
        "The run's settings say which code is run: predict only by runs that you trust.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the run's directory")
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="images, in folders of any depth; or one image file. Where folders are named as "
        "classes, it is also said what share is right",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("predictions.csv"),
        metavar="FILE",
        help="table to write: key, predicted, confidence, and the probability of each class "
        "(predictions.csv)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite that file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (auto)")
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="images that are decoded and predicted at once (some 64 MiB of them)",
    )
    parser.add_argument(
        "--unreadable",
        choices=("error", "skip"),
        default="error",
        help="skip: leave broken files out, with a warning (error)",
    )
    return parser
