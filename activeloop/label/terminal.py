"""What the terminal says of a page that is served, and the files of a run that is over."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from activeloop.errors import ActiveLoopError
from activeloop.exchange import tables
from activeloop.exchange.export_command import NAMES
from activeloop.exchange.files import write_lines
from activeloop.exchange.records import read
from activeloop.label.cards import Estimate
from activeloop.label.command import PORT
from activeloop.label.ending import FINISHING
from activeloop.label.serving import warning_of
from activeloop.label.trouble import told
from activeloop.label.wanted import Wanted
from activeloop.listeners import Silent
from activeloop.loop import ActiveLoop
from activeloop.report.curves import draw_curve
from activeloop.types import Round
from activeloop.words import counted


def say_where(wanted: Wanted, loop: ActiveLoop, link: str, port: int) -> None:
    """Say where the page is, where the labels go, and how to stop."""
    if warning := warning_of(wanted.host, port):
        print(warning, file=sys.stderr)
    if wanted.port is None and port != PORT:
        print(f"port {PORT} is in use: the page is at {port}")
    there = loop.pool.n_labelled
    going_on = f" ({there:,} {'is' if there == 1 else 'are'} there)" if there else ""
    images, classes = counted(len(loop.pool), "image"), ", ".join(loop.data.classes)
    print(f"{loop.data.name}: {images}, classes {classes}")
    if loop.data.root is not None and loop.data.test is not None:
        print(
            f"{counted(len(loop.data.test), 'more image')} in class folders: the test set, with "
            "the folders' names as labels; those of the others are not taken, people label them"
        )
    print(f"labels are kept in {wanted.typed}{going_on}; Ctrl-C stops, at any time")
    if loop.ended is None and loop.files.store.meta(FINISHING) is not None:
        print("it was being finished, and goes on with that: a last network learns all labels")
    print(f"the page: {link}", flush=True)


def say_stopped(wanted: Wanted, loop: ActiveLoop, ended: bool) -> None:
    """Say that all is safe; unless `ended`, a network was being trained."""
    if not ended:
        print("a network was being trained: that round is done again when the run goes on")
    there = loop.pool.n_labelled
    print(
        f"stopped: {counted(there, 'label')} {'is' if there == 1 else 'are'} safe in "
        f"{wanted.typed}; "
        f"python -m activeloop label {wanted.typed} goes on"
    )


def wrap_up(wanted: Wanted, loop: ActiveLoop) -> None:
    """Leave the curve and the labels of a run that is over, and say what can be done with it."""
    directory, typed = wanted.directory, wanted.typed
    curve = directory / "curve.png"
    _tried(curve, lambda: draw_curve(loop.rounds, curve, title=loop.data.name))
    there = f"{counted(loop.pool.n_labelled, 'label')} of {_classes(loop)}"
    print(f"{loop.ended}: {there}, files in {typed}")
    if (directory / "model.safetensors").exists():
        print(f"label other images: python -m activeloop predict {typed} FOLDER")
    print(
        f"labels for other programs: {typed}/{NAMES['csv']}, or python -m activeloop export "
        f"{typed} --format label-studio|image-folder"
    )
    print("the page stays open; Ctrl-C leaves it", flush=True)


def _classes(loop: ActiveLoop) -> str:
    """Return how many classes have labels, and of how many where some have none."""
    there, n = loop.pool.n_classes, loop.data.n_classes
    words = counted(there, "class", "classes")
    return words if there == n else f"{words} ({n - there} without any)"


class Tables:
    """`labels.csv` of a run that is over, and what else is made of its store for people to read.

    Labels may be corrected and taken back when it is over too.

    Args:
        loop: the run; it has a directory.
    """

    def __init__(self, loop: ActiveLoop) -> None:
        assert loop.files.directory is not None
        self._loop, self._directory = loop, loop.files.directory
        self._path = self._directory / NAMES["csv"]
        # The last event that they have, and whether the run was over.
        self._written: tuple[int, bool] | None = None

    def keep(self) -> None:
        """Have them say what the run does; `labels.csv` if it is over, or was when that was made.

        Any time; what came since they were written is cheap to see.
        """
        over = self._loop.ended is not None
        now = self._loop.files.store.last_event(), over
        if now == self._written:
            return
        self._written = now  # also where they cannot be written: that is said once
        if over or self._is_there():
            _tried(self._path, self._write)
        _tried(self._directory / "queries.csv", self._loop.files.write_tables)

    def _is_there(self) -> bool:
        """Return whether the file is there: not the history of answers, exported to its place."""
        try:
            with self._path.open(encoding="utf-8") as file:
                return file.readline().strip() == ",".join(tables.COLUMNS)
        except (OSError, ValueError):
            return False

    def _write(self) -> None:
        labels = read(self._directory)
        write_lines(self._path, tables.csv_lines(labels, labels.present, numbered=False))


def _tried(path: Path, write: Callable[[], None]) -> None:
    """Write a file; without it, people can go on all the same."""
    try:
        write()
    except (ActiveLoopError, OSError) as error:
        print(f"warning: {path.name} was not written: {told(error)}", file=sys.stderr, flush=True)


class Lines(Silent):
    """Prints a line for each round.

    Args:
        estimate: returns how good the network is, as the page shows it.
    """

    def __init__(self, estimate: Callable[[], Estimate | None]) -> None:
        self._estimate = estimate

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Say what the round brought."""
        metrics, known = round.metrics, self._estimate()
        seconds = sum(value for name, value in metrics.items() if name.endswith("_seconds"))
        print(
            f"round {round.round}: {counted(round.labels, 'label')}, {seconds:.1f} s"
            + ("" if known is None else f"; accuracy {_words(known)}"),
            flush=True,
        )


def _words(known: Estimate) -> str:
    """Return how good the network is in the page's words."""
    images, (first, last) = counted(known.samples, "image"), known.labels
    whence = "of the test set" if known.source == "test" else "drawn at random"
    when = counted(last, "label") if first == last else f"{first:,} to {last:,} labels"
    return (
        f"about {known.accuracy:.0%} ({known.low:.0%} to {known.high:.0%}), from {images} "
        f"{whence}, when it had {when}"
    )
