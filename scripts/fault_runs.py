"""Runs that are killed, taken up again to their end, and compared with one that never was.

Each run is a process of its own, forked from one that has imported everything, so that instants are
spread over what a run does and not over its imports.
"""

from __future__ import annotations

import contextlib
import csv
import gc
import json
import multiprocessing
import os
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from crash_points import CrashPoints, Loss

# A little of everything that draws: batches, the audit, wrong answers, crops, weights.
RUN = (
    *("data=digits", "data.size=16", "data.pool_size=200", "model=cnn", "device=cpu"),
    *("learner.epochs=1", "learner.augment=[crop]", "strategy=badge", "oracle=noisy"),
    *("oracle.rate=0.2", "initial.size=4", "query_size=3", "audit=0.3"),
)
SHORT = ("learner.min_steps=4", "rounds=2")  # few writes, each of which it is ended at
LONG = ("learner.min_steps=60", "rounds=6")  # most of whose time is spent in the loop
STARTS = {"cold": (), "warm": ("learner.warm_start=true",)}

PRELOADED = (
    *("activeloop.app", "activeloop.runner", "activeloop.seeds", "activeloop.report.figures"),
    *("activeloop.data", "activeloop.learners", "activeloop.strategies.gradients"),
    *("activeloop.oracle", "hydra._internal.hydra", "matplotlib.backends.backend_agg"),
    *("sklearn.datasets", "torch._dynamo"),
)
_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # how one begins (sqlite.org/fileformat2.html)
_PATIENCE = 600.0  # seconds that a run may take

Answered = tuple[str, str | None]  # a key, and its class or why it has none


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How a run is ended: after some seconds, or at one of its writes.

    Attributes:
        seconds: after which it is killed, from when it touches its directory; None: never.
        point: number of the write before which it ends; None: none.
        loss: what a power cut at that write takes along.
    """

    seconds: float | None = None
    point: int | None = None
    loss: Loss = "nothing"


@dataclass(kw_only=True)
class Life:
    """What became of one process.

    Attributes:
        code: that it left with; -9: it was killed.
        seconds: that it lived from when it first touched its directory.
        answers: those that the store had acknowledged, key and answer.
        point: the write at which it ended, if at one.
        points: how many writes it made, where they were counted.
    """

    code: int
    seconds: float
    answers: list[Answered] = field(default_factory=list)
    point: str = ""
    points: int = 0


@dataclass(kw_only=True)
class Trial:
    """A run that was killed once or more, and taken up until it ended.

    Attributes:
        lives: its processes in turn.
        rounds: how many whole rounds there were at each kill; None: no store yet.
        journals: how many kills left a transaction to be rolled back.
        resumed: how often it was taken up by `resume` rather than by the same command.
        lost: acknowledged answers that were not there, once, after a kill or at the end.
        differences: from the run that was never stopped.
    """

    lives: list[Life] = field(default_factory=list)
    rounds: list[int | None] = field(default_factory=list)
    journals: int = 0
    resumed: int = 0
    lost: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How often it was killed."""
        return sum(life.code == -signal.SIGKILL for life in self.lives)


@dataclass(frozen=True)
class CommandLine:
    """Plays a run as its command line does.

    Attributes:
        words: after `python -m activeloop`, without a directory.
    """

    words: tuple[str, ...]

    def __call__(self, run: Path, resume: bool) -> None:
        """Begin the run in that directory, or go on with it, by `resume` or by its words."""
        from activeloop import app

        words = ["resume", str(run)] if resume else [*self.words, f"hydra.run.dir={run}"]
        sys.argv = ["activeloop", *words]
        app.main()


class Runs:
    """Starts runs of one kind, each in a folder of its own.

    Args:
        work: an empty folder.
        play: called with a run's directory, and whether to use `resume` if it was begun; it
            returns, or leaves with code 0, when the run is over.
        preloaded: what is imported before runs are forked; heeded by the first of a process.
    """

    def __init__(
        self,
        work: Path,
        play: Callable[[Path, bool], None],
        preloaded: Sequence[str] = PRELOADED,
    ) -> None:
        self.work, self.play = work, play
        # For the server that forks, which keeps the environment that it was started with.
        os.environ["OMP_NUM_THREADS"] = "1"
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preloaded))
        work.mkdir(parents=True, exist_ok=True)
        self.live("warm_up", Fault())  # what is imported late, and files that are read
        self.reference = self.live("reference", Fault(), count=True)
        self.expected = contents(work / "reference" / "run")

    def live(self, name: str, fault: Fault, *, resume: bool = False, count: bool = False) -> Life:
        """Start the run of this name, or go on with it, until it ends or is ended.

        Args:
            name: of its folder.
            fault: what ends it.
            resume: go on by `activeloop resume` instead of the same command.
            count: its writes, where the fault does not anyway.

        Raises:
            RuntimeError: a run that is not to be ended failed, or none ends in time.
        """
        folder = self.work / name
        folder.mkdir(exist_ok=True)
        here, there = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_live, args=(self.play, folder, resume, fault, count, there)
        )
        process.start()
        there.close()
        # What it says, and not its exit code: threads that start processes take each other's.
        life = Life(code=-signal.SIGKILL, seconds=0.0)
        with here:
            killed = _hear(here, life, fault.seconds, process)
        process.join()
        if life.code not in (0, -signal.SIGKILL) or (life.code and not killed and not life.point):
            said = (folder / "said.txt").read_text("utf-8").strip().splitlines()
            how = "taken up by resume" if resume else "begun or taken up"
            raise RuntimeError(f"{name}, {how}, ended with {life.code}: {' '.join(said[-1:])}")
        return life

    def trial(self, name: str, faults: Sequence[Fault], *, resume: bool = False) -> Trial:
        """End a run by each of `faults` in turn, have it go on to its end, and compare."""
        run = self.work / name / "run"
        trial, answers = Trial(), list[Answered]()
        for fault in (*faults, Fault()):
            by_resume = resume and (run / "config.yaml").exists()
            trial.resumed += by_resume
            try:
                life = self.live(name, fault, resume=by_resume)
            except RuntimeError as error:
                trial.differences.append(str(error))
                return trial
            trial.lives.append(life)
            answers += life.answers
            kept = kept_in(run)
            trial.lost += lost([] if kept is None else kept.answers, answers)
            if life.code == 0:
                trial.differences += differences(self.expected, contents(run))
                break
            trial.rounds.append(None if kept is None else kept.rounds)
            trial.journals += is_hot(run / "run.db-journal")
        return trial


def _hear(link: Connection, life: Life, seconds: float | None, process: Any) -> bool:
    """Take what a run tells of itself, until it is silent for good; return whether it was killed.

    That is done so many seconds after it began.
    """
    begun, killed = time.monotonic(), False
    deadline = begun + _PATIENCE
    with contextlib.suppress(EOFError):
        while True:
            left = deadline - time.monotonic()
            if not link.poll(max(0.0, left)):
                process.kill()
                killed = True
                if seconds is None:
                    raise RuntimeError(f"a run was not over after {_PATIENCE:g} s")
                deadline = time.monotonic() + _PATIENCE
                continue
            kind, value = link.recv()
            if kind == "begun":
                begun = time.monotonic()
                deadline = begun + (_PATIENCE if seconds is None else seconds)
            elif kind == "answers":
                life.answers += value
            elif kind == "point":
                life.point = value
            else:
                life.code, life.points = value
    life.seconds = time.monotonic() - begun
    return killed


def _live(
    play: Callable[[Path, bool], None],
    folder: Path,
    resume: bool,
    fault: Fault,
    count: bool,
    link: Connection,
) -> None:
    """Be the run, in a process that was forked for it."""
    import torch

    from activeloop.store import Store

    torch.set_num_threads(1)
    gc.freeze()  # what was imported stays, and need not be looked through again
    with (folder / "said.txt").open("a", encoding="utf-8") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    add_labels = Store.add_labels

    def acknowledged(store: Store, round: int, answers: Any, *rest: Any, **options: Any) -> None:
        add_labels(store, round, answers, *rest, **options)
        link.send(("answers", [(key, _said(answer)) for key, answer in answers.items()]))

    Store.add_labels = acknowledged  # type: ignore[method-assign,assignment]  # tells it
    points = CrashPoints(folder, fault.point, fault.loss, lambda name: link.send(("point", name)))
    if fault.point is not None or count:
        points.install()
    sys.addaudithook(_Beginning(folder / "run", link))
    code: Any = 0
    try:
        play(folder / "run", resume)
    except SystemExit as end:
        code = end.code
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    link.send(("ended", (code or 0, len(points.passed))))
    os._exit(code or 0)


class _Beginning:
    """Tells when a run first touches its directory: a kill before that leaves no trace."""

    def __init__(self, run: Path, link: Connection) -> None:
        self._run, self._link, self._begun = str(run), link, False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._begun or event not in ("open", "os.mkdir"):
            return
        path = arguments[0]
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._run):
            self._begun = True
            self._link.send(("begun", None))


def _said(answer: Any) -> str | None:
    return answer if isinstance(answer, str) or answer is None else str(answer.value)


# ---------------------------------------------------------------------------- what a run left


def contents(run: Path) -> dict[str, Any]:
    """Return what a run left that is the same each time, by name: files, and rows of the store."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir() or path.name == "run.db":
            continue
        if name == "curve.csv":
            found[name] = _without_seconds(path)
        elif name in ("environment.json", "curve.png"):
            found[name] = path.stat().st_size > 0
        elif name == "activeloop.log":  # for people, and as Hydra writes it
            found[name] = True
        else:
            found[name] = path.read_bytes()
    with contextlib.closing(sqlite3.connect(run / "run.db")) as connection:
        query = connection.execute
        found["integrity_check"] = query("PRAGMA integrity_check").fetchall()
        found["events"] = query(
            "SELECT id, key, kind, label, who, round FROM events ORDER BY id"
        ).fetchall()
        found["queries"] = query("SELECT * FROM queries ORDER BY round, position").fetchall()
        found["asks"] = query("SELECT round, horizon, classes FROM asks ORDER BY round").fetchall()
        rounds = query("SELECT round, labels, classes, metrics FROM rounds ORDER BY round")
        found["rounds"] = [(*row[:3], _timeless(json.loads(row[3]))) for row in rounds]
        meta = query("SELECT name, value FROM meta ORDER BY name")
        found["meta"] = [row for row in meta if row[0] not in ("environment", "home")]
        found["samples"] = query("SELECT * FROM samples ORDER BY part").fetchall()
    return found


def _without_seconds(path: Path) -> list[list[str]]:
    """Return the rows of a table without its columns of seconds."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    kept = [number for number, name in enumerate(head) if not name.endswith("seconds")]
    return [[row[number] for number in kept] for row in (head, *rows)]


def _timeless(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if not name.endswith("seconds")}


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return what differs between two runs' `contents`, in words."""
    said = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    said += [f"{name} is left over" for name in sorted(found.keys() - expected.keys())]
    both = sorted(expected.keys() & found.keys())
    return said + [f"{name} differs" for name in both if expected[name] != found[name]]


def lost(kept: Sequence[Answered], answers: Sequence[Answered]) -> list[str]:
    """Return those acknowledged answers that are not among the kept ones exactly once."""
    times = Counter(kept)
    return [
        f"{key}: {answer}, {times[key, answer]} times"
        for key, answer in answers
        if times[key, answer] != 1
    ]


def is_hot(journal: Path) -> bool:
    """Return whether a journal has what is to be rolled back; SQLite empties its head if not."""
    if not journal.exists():
        return False
    with journal.open("rb") as file:
        return file.read(len(_JOURNAL)) == _JOURNAL


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a run has at a moment: how many whole rounds, and all answers as they were given."""

    rounds: int
    answers: list[Answered]


def kept_in(run: Path) -> Kept | None:
    """Return what a run has; None where it has no store that says what run it is.

    Read from a copy, for whoever opens a store first repairs it.
    """
    copy = run.parent / "copy"
    copy.mkdir(exist_ok=True)
    for name in ("run.db", "run.db-journal"):
        (copy / name).unlink(missing_ok=True)
        if (run / name).exists():
            (copy / name).write_bytes((run / name).read_bytes())
    with contextlib.closing(sqlite3.connect(copy / "run.db")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchall():
            return None
        if not connection.execute("SELECT 1 FROM meta WHERE name = 'identity'").fetchall():
            return None
        ((rounds,),) = connection.execute("SELECT count(*) FROM rounds").fetchall()
        events = connection.execute("SELECT key, kind, label FROM events ORDER BY id").fetchall()
    answers = [(key, label if kind == "label" else kind) for key, kind, label in events]
    return Kept(rounds=rounds, answers=answers)
