"""What a run's model says of a folder of images, as a table."""

from __future__ import annotations

import csv
import logging
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activeloop.audit import pooled, present_rounds
from activeloop.checks import whole
from activeloop.data.reading import worker_count
from activeloop.errors import ConfigError, StoreError
from activeloop.messages import shown
from activeloop.predicting import Predicted, find_images, predictions
from activeloop.prediction_summary import Summary
from activeloop.report.runs import check_run, opened
from activeloop.trained import Trained, load_trained
from activeloop.whole_files import replacing
from activeloop.words import counted


def write_predictions(given: Namespace) -> None:
    """Write the predictions that a command line asks for, and print what is in them.

    Args:
        given: what `activeloop.predict_command` takes.

    Raises:
        ConfigError: the table is there already.
        StoreError: there is no run, it has no model yet, or the table cannot be written.
        DataError: there are no images, or one cannot be read.
        LearnerError: the weights are damaged, or of another network.
    """
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
    print(summary.text(_known(trained, given.directory)))
    print(f"predictions: {shown(given.out)}")


def _known(trained: Trained, directory: Path) -> str | None:
    """Return how often the model was right in its run, if that is known."""
    if "accuracy" in trained.round.metrics:
        return f"it was right on {trained.round.metrics['accuracy']:.1%} of the run's test set"
    with opened(directory) as store:
        known = pooled(present_rounds(store))
    return None if known is None else f"in the run {known.words}"


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
