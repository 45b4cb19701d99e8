"""Find finished, failed and unfinished runs, and read what reports need of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from activeloop.messages import ERROR_FILE
from activeloop.store import Asked, Store
from activeloop.types import Round


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as reports read it.

    Attributes:
        directory: where it is.
        strategy: its name, with what else was swept.
        seed: its seed.
        data: the name of its data set.
        rounds: the finished ones.
        ended: why it is over, or None.
        error: why it failed when it was last started, or None.
        identity: `data` (name, classes, fingerprints) and `config` (the composed one).
        environment: versions, hardware, time, command; empty where there is no such file.
    """

    directory: Path
    strategy: str
    seed: int
    data: str
    rounds: tuple[Round, ...]
    ended: str | None
    error: str | None
    identity: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def config(self) -> Mapping[str, Any]:
        """The composed config, but for settings of the machine."""
        config: Mapping[str, Any] = self.identity["config"]
        return config

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.ended is not None

    @cached_property
    def queries(self) -> tuple[Asked, ...]:
        """All that was asked, in order."""
        with _opened(self.directory) as store:
            return tuple(store.queries())

    @cached_property
    def answers(self) -> Mapping[str, str | None]:
        """The present answer for each key that has one; None: skipped."""
        with _opened(self.directory) as store:
            return store.labels()

    @cached_property
    def pool_size(self) -> int | None:
        """How many samples its pool has; None: a run of an earlier version kept no such number."""
        with _opened(self.directory) as store:
            size: int | None = store.meta("pool_size")
        return size

    def test_probs(self, round: int) -> npt.NDArray[np.float16] | None:
        """Return the test probabilities of a round, `[T, C]`; None where they are not kept."""
        path = self.directory / "test_probs" / f"round_{round:04d}.npy"
        return np.load(path, allow_pickle=False) if path.exists() else None


def find_runs(directories: Iterable[Path]) -> list[Path]:
    """Return the directories of all runs in and below `directories`, those that failed included."""
    found = {
        path.parent
        for directory in directories
        for name in ("run.db", ERROR_FILE)
        for path in directory.rglob(name)
    }
    return sorted(found)


def read_run(directory: Path) -> Run | None:
    """Read a run's directory; None where a run was begun that never got a name.

    Raises:
        StoreError: `run.db` is not one of this version, or cannot be read.
    """
    with _opened(directory) as store:
        labels = store.meta("run")
        if labels is None:
            return None
        variant = f", {labels['variant']}" if labels["variant"] else ""
        return Run(
            directory=directory,
            strategy=labels["strategy"] + variant,
            seed=labels["seed"],
            data=labels["data"],
            rounds=tuple(store.rounds()),
            ended=store.meta("ended"),
            error=_error(directory),
            identity=store.meta("identity"),
            environment=_environment(directory),
        )


def _opened(directory: Path) -> contextlib.closing[Store]:
    return contextlib.closing(Store(directory / "run.db"))


def _error(directory: Path) -> str | None:
    path = directory / ERROR_FILE
    return path.read_text("utf-8").partition("\n")[0] if path.exists() else None


def _environment(directory: Path) -> Mapping[str, Any]:
    path = directory / "environment.json"
    if not path.exists():
        return {}
    environment: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return environment
