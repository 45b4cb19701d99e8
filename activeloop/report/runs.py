"""Find finished, failed and unfinished runs, and read what reports need of them.

Nothing is written, so that a run under way may be read, and one on a disk that cannot be written.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from activeloop.audit import present_rounds
from activeloop.errors import StoreError
from activeloop.messages import ERROR_FILE
from activeloop.store import Asked, Store
from activeloop.types import Round

# Of a run, what is read from its file when it is asked for.
_READ = ("queries", "answers", "pool_size")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as reports read it.

    Attributes:
        directory: where it is.
        strategy: its name, with what else was swept; in a comparison, its name there.
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

    @property
    def data_called(self) -> str:
        """How a reader is told of its data set: of a folder of images, by the folder's name."""
        settings = self.config.get("data")
        if self.data != "image_folder" or not isinstance(settings, Mapping):
            return self.data
        place = self.environment.get("working_directory") or "."
        root = Path(place, Path(str(settings.get("root") or ".")).expanduser())
        return Path(os.path.normpath(root)).name or self.data

    @property
    def by_people(self) -> bool:
        """Whether people label it."""
        oracle = self.config.get("oracle") or {}
        return bool(oracle.get("_target_") == "activeloop.oracle.People")

    @property
    def versions(self) -> Mapping[str, Any]:
        """Versions of what it ran on, by name; empty where they are not known."""
        return self._environment_of("versions")

    @property
    def hardware(self) -> Mapping[str, Any]:
        """What it ran on; empty where that is not known."""
        return self._environment_of("hardware")

    def _environment_of(self, part: str) -> Mapping[str, Any]:
        found = self.environment.get(part)
        return found if isinstance(found, Mapping) else {}

    @property
    def seconds(self) -> float:
        """What its rounds took."""
        return sum(seconds_of(round) for round in self.rounds)

    @cached_property
    def queries(self) -> tuple[Asked, ...]:
        """All that was asked, in order."""
        with opened(self.directory) as store:
            return tuple(store.queries())

    @cached_property
    def answers(self) -> Mapping[str, str | None]:
        """The present answer for each key that has one; None: skipped."""
        with opened(self.directory) as store:
            return store.labels()

    @cached_property
    def pool_size(self) -> int | None:
        """How many samples its pool has; None: a run of an earlier version kept no such number."""
        with opened(self.directory) as store:
            size: int | None = store.meta("pool_size")
        return size

    def called(self, strategy: str) -> Run:
        """Return this run with another name for its strategy."""
        run = replace(self, strategy=strategy)
        # What was read stays read.
        vars(run).update({n: v for n, v in vars(self).items() if n in _READ})
        return run

    def test_probs(self, round: int) -> npt.NDArray[np.float16] | None:
        """Return the test probabilities of a round, `[T, C]`; None where they are not kept."""
        path = self.directory / "test_probs" / f"round_{round:04d}.npy"
        return np.load(path, allow_pickle=False) if path.exists() else None


def seconds_of(round: Round) -> float:
    """Return what a round took in all."""
    return sum(value for name, value in round.metrics.items() if name.endswith("_seconds"))


def find_runs(directories: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the directories of all runs in and below `directories`, those that failed included.

    Links are followed, but for those that lead back up. Directories are called by where they
    really are: each is there once.

    Returns:
        The runs, and the directories that cannot be read; both sorted.
    """
    runs, seen, unread = set(), set(), set()
    waiting = [directory.resolve() for directory in directories]
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        try:
            with os.scandir(folder) as entries:
                found = {entry.name: _inside(entry, folder) for entry in entries}
        except OSError:
            unread.add(folder)
            continue
        if "run.db" in found or _failed_early(folder, found):
            runs.add(folder)
        waiting += [inside for inside in found.values() if inside is not None]
    return sorted(runs), sorted(unread)


def _inside(entry: os.DirEntry[str], folder: Path) -> Path | None:
    """Return where an entry of `folder` really is, if that is a directory to look into."""
    try:
        if not entry.is_dir():
            return None
    except PermissionError:
        pass  # a link to what may not be seen: to be named
    except OSError:
        return None
    if not entry.is_symlink():
        return folder / entry.name
    target = Path(entry.path).resolve()
    return None if target in folder.parents else target


def _failed_early(folder: Path, names: Container[str]) -> bool:
    """Return whether a run failed there before it had a store, and not just anybody left a file.

    There are its log, its config, or at least the traceback.
    """
    if ERROR_FILE not in names:
        return False
    if "config.yaml" in names or "activeloop.log" in names:
        return True
    try:
        text = (folder / ERROR_FILE).read_text("utf-8", errors="replace")
    except OSError:
        return True  # whatever it is, a reader should know
    return "\n\nTraceback" in text or "\n\n  + Exception Group Traceback" in text


def read_run(directory: Path) -> Run | None:
    """Read a run's directory; None where a run was begun that has no name yet.

    Raises:
        StoreError: there is no `run.db`, it is not one of this version, or cannot be read.
    """
    with opened(directory) as store:
        identity = store.meta("identity")
        if identity is None:
            return None
        try:
            return Run(
                directory=directory,
                **_labels(directory, store.meta("run"), identity),
                rounds=tuple(present_rounds(store)),
                ended=store.meta("ended"),
                error=failure(directory),
                identity=identity,
                environment=_environment(directory) or store.meta("environment") or {},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"{directory / 'run.db'} is damaged, or not a run of activeloop: "
                f"{type(error).__name__}: {error}"
            ) from error


def _labels(directory: Path, given: Any, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the run is named: as it was told to be, or, made in Python, by what it is."""
    if given is not None:
        variant = f", {given['variant']}" if given["variant"] else ""
        strategy, seed, data = given["strategy"] + variant, given["seed"], given["data"]
    else:
        config = identity["config"]
        strategy, seed = config.get("strategy", directory.name), config.get("seed", 0)
        data = identity["data"]["name"]
        if isinstance(strategy, Mapping):
            strategy = str(strategy["_target_"]).rpartition(".")[2]
    return {"strategy": strategy, "seed": int(seed), "data": str(data)}


def failure(directory: Path) -> str | None:
    """Return why the run there failed when it was last started; None if it did not."""
    try:
        text = (directory / ERROR_FILE).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{ERROR_FILE} cannot be read: {error.strerror}"
    return text.partition("\n")[0] or "for no reason that it told"


def check_run(directory: Path) -> None:
    """Raise `StoreError` if `directory` holds no run."""
    if (directory / "run.db").is_file():
        return
    if not directory.is_dir():
        found = "is no directory"
    elif below := sorted(directory.glob("*/run.db")):
        found = f"holds no run itself, but has runs inside, such as {below[0].parent}"
    else:
        found = "holds no run (there is no run.db)"
    raise StoreError(f"{directory} {found}: give the directory of a run, as in outputs/mine")


@contextmanager
def opened(directory: Path) -> Iterator[Store]:
    """Open the store of the run in `directory` to read it as it is, and close it.

    Raises:
        StoreError: there is none, it is not one of this version, or cannot be read.
    """
    with contextlib.ExitStack() as stack:
        path = directory / "run.db"
        try:
            store = Store(path, read_only=True)
        except StoreError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", None)
            if code != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            # A process died as it wrote. Its journal must be rolled back first: in a copy.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                for name in (path.name, f"{path.name}-journal"):
                    shutil.copyfile(directory / name, folder / name)
            except OSError as unread:
                raise StoreError(
                    f"{path} was left in the middle of a write, and cannot be copied: {unread}"
                ) from unread
            store = Store(folder / path.name)
        stack.callback(store.close)
        yield store


def _environment(directory: Path) -> Mapping[str, Any]:
    try:
        environment = json.loads((directory / "environment.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return environment if isinstance(environment, dict) else {}
