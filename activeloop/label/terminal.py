"""What the terminal says of a page that is served, and the files of a run that is over."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from activeloop.errors import ActiveLoopError
from activeloop.exchange import tables
from activeloop.exchange.export_command import NAMES
from activeloop.exchange.files import write_lines
from activeloop.exchange.records import read
from activeloop.label.command import PORT, Wanted
from activeloop.label.ending import FINISHING
from activeloop.label.serving import warning_of
from activeloop.listeners import Silent
from activeloop.loop import ActiveLoop
from activeloop.messages import one_line
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
    _tried(directory / NAMES["csv"], partial(_write_labels, directory))
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


def _write_labels(directory: Path) -> None:
    labels = read(directory)
    write_lines(directory / NAMES["csv"], tables.csv_lines(labels, labels.present, numbered=False))


def _tried(path: Path, write: Callable[[], None]) -> None:
    """Write a file; without it, people can go on all the same."""
    try:
        write()
    except (ActiveLoopError, OSError) as error:
        print(
            f"warning: {path.name} was not written: {one_line(error)}", file=sys.stderr, flush=True
        )


class Lines(Silent):
    """Prints a line for each round."""

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Say what the round brought."""
        print(_line(round.round, round.labels, round.metrics), flush=True)


def _line(number: int, labels: int, metrics: Mapping[str, float]) -> str:
    parts = [f"round {number}: {counted(labels, 'label')}"]
    if "accuracy" in metrics:
        parts.append(f"accuracy {metrics['accuracy']:.1%}")
    elif "audit_accuracy" in metrics:
        low, high = metrics["audit_low"], metrics["audit_high"]
        parts.append(
            f"accuracy of round {number - 1} by audit {metrics['audit_accuracy']:.1%} "
            f"({low:.1%} to {high:.1%})"
        )
    seconds = sum(value for name, value in metrics.items() if name.endswith("_seconds"))
    return ", ".join([*parts, f"{seconds:.1f} s"])
