"""Show how a run goes: a moving bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from torch import Tensor

from activeloop.listeners import Silent
from activeloop.types import Epoch, Query, Round
from activeloop.words import counted

# Goes to the run's log file; the console has its own words.
log = logging.getLogger("activeloop.run")

# Seconds between lines about epochs where there is no terminal.
_QUIET = 30.0


class _WithBar:
    """What has a bar, which is there within a `with` block."""

    _bar: Bar

    def __enter__(self) -> Self:
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._bar.stop()


class Progress(_WithBar, Silent):
    """A listener that prints; use it as a context manager.

    Args:
        planned: labels after each round, `[rounds + 1]`.
        done: rounds that were finished before.
        console: where to print; None: standard output.
        name: of the run, before each line, where several go on at once; there is no bar then.
    """

    def __init__(
        self,
        planned: Sequence[int],
        done: Sequence[Round] = (),
        console: Console | None = None,
        name: str = "",
    ) -> None:
        self._planned = planned
        self._name = f"{name}: " if name else ""
        self._first = self._round = len(done)
        self._console = console or Console(soft_wrap=True, highlight=False)
        self._start = self._spoke = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=bool(name) or not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("round 0", total=len(planned), left="")

    def on_query(self, query: Query) -> None:
        """Say which round it is."""
        self._round = query.round
        self._bar.update(self._task, description=self._heading(), left=self._left())

    def on_epoch(self, epoch: Epoch) -> None:
        """Say how training goes."""
        share = len(self._planned) and self._round + epoch.number / epoch.of
        text = (
            f"{self._heading()}, epoch {epoch.number} of {epoch.of}, "
            f"training accuracy {epoch.accuracy:.1%}"
        )
        self._bar.update(self._task, description=text, completed=share)
        if not self._console.is_terminal and time.monotonic() - self._spoke > _QUIET:
            self._print(text)

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Say what the round brought."""
        self._round = round.round + 1
        self._bar.update(self._task, completed=self._round, left=self._left())
        parts = [f"{self._heading(round.round)}: {counted(round.labels, 'label')}"]
        if "accuracy" in round.metrics:
            parts.append(f"accuracy {round.metrics['accuracy']:.2%}")
            parts.append(f"loss {round.metrics['loss']:.4g}")
        elif "audit_accuracy" in round.metrics:
            parts.append(_audit(round))
        seconds = sum(value for name, value in round.metrics.items() if name.endswith("_seconds"))
        parts.append(f"{seconds:.1f} s")
        if left := self._left():
            parts.append(left)
        self._print(", ".join(parts))

    def _heading(self, round: int | None = None) -> str:
        return f"round {self._round if round is None else round} of {len(self._planned) - 1}"

    def _left(self) -> str:
        """Return about how long the rest takes, by the rounds so far."""
        done = self._round - self._first
        if done <= 0 or self._round >= len(self._planned):
            return ""
        seconds = (time.monotonic() - self._start) / done * (len(self._planned) - self._round)
        return f"about {duration(seconds)} left"

    def _print(self, text: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(self._name + text)
        log.info(text)


class Counting(_WithBar):
    """Says how far a long piece of work is: a bar in a terminal, a line now and then elsewhere.

    Use it as a context manager, and call it with how much is done.

    Args:
        what: what is counted, as in "embedding the pool".
        total: when the work is over.
        console: where to print; None: standard output.
    """

    def __init__(self, what: str, total: int, console: Console | None = None) -> None:
        self._what, self._total = what, total
        self._console = console or Console(soft_wrap=True, highlight=False)
        self._first: int | None = None
        self._start = self._spoke = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(what, total=total)

    def __call__(self, done: int) -> None:
        """Say that `done` of all are done; what the first call names was there from before."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._start = done, now
        text = f"{self._what}: {done:,} of {self._total:,}"
        if self._first < done < self._total:
            rest = (now - self._start) / (done - self._first) * (self._total - done)
            text += f", about {duration(rest)} left"
        self._bar.update(self._task, description=text, completed=done)
        if not self._console.is_terminal and now - self._spoke > _QUIET:
            self._spoke = now
            self._console.print(text)
            log.info(text)


def _audit(round: Round) -> str:
    """Return what the audit says, in words: it is of the network of the round before."""
    accuracy, low, high = (round.metrics[f"audit_{part}"] for part in ("accuracy", "low", "high"))
    labels = int(round.metrics["audit_labels"])
    return (
        f"accuracy of round {round.round - 1} by audit {accuracy:.1%} "
        f"({low:.1%} to {high:.1%}, {counted(labels, 'label')})"
    )


def duration(seconds: float) -> str:
    """Return seconds as `8 s`, `3 min` or `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def result_table(rounds: Sequence[Round], console: Console | None = None) -> None:
    """Print the run's rounds as a table, the labels that validation used named beside it."""
    console = console or Console(soft_wrap=True, highlight=False)
    table = Table(box=SIMPLE if console.is_terminal else None)
    columns = {
        "accuracy": "{:.2%}",
        "loss": "{:.4f}",
        "train_seconds": "{:.2f}",
        "predict_seconds": "{:.2f}",
        "select_seconds": "{:.3f}",
        "test_seconds": "{:.2f}",
    }
    for name in ("round", "labels", *columns):
        table.add_column(name.replace("_seconds", " s"), justify="right", no_wrap=True)
    for round in rounds:
        cells = [
            form.format(round.metrics[name]) if name in round.metrics else ""
            for name, form in columns.items()
        ]
        table.add_row(str(round.round), str(round.labels), *cells)
    console.print(table)
    if rounds and (validation := validation_count(rounds[-1])):
        total = rounds[-1].labels + validation
        console.print(
            f"{counted(rounds[-1].labels, 'label')} to train on and {validation:,} to validate: "
            f"{total:,} in all"
        )


def validation_count(round: Round) -> int:
    """Return how many labels validation used."""
    return int(round.metrics.get("validation_labels", 0))
