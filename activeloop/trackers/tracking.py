"""Stands between a run and its tracker: tells it each round once, and goes on without it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from activeloop.checks import whole
from activeloop.errors import ActiveLoopError, ConfigError
from activeloop.listeners import Silent
from activeloop.loop import ActiveLoop
from activeloop.store import Store
from activeloop.types import Epoch, Indices, Pixels, Query, Round, TrackedRun, Tracker

log = logging.getLogger(__name__)

_CALLS = ("on_begin", "on_epoch", "on_query", "on_round", "on_end", "close")

# In the run's store, by tracker: when it was first told of the run, how many rounds it has been
# told of since, and whether of the end.
_TOLD = "trackers"


class Tracking(Silent):
    """Passes on to a tracker what its run says.

    Rounds that the tracker has not been told of (another tracker was, or none, or it failed, or
    the process died) it is told of when the run is started again.

    Args:
        tracker: what is told.
        node: its config, `_target_` and options; with another it is another tracker.
        images: returns images of the pool, `PoolImages`.
    """

    def __init__(
        self,
        tracker: Tracker,
        node: Mapping[str, Any],
        images: Callable[[Indices], Pixels | None],
    ) -> None:
        self._tracker, self._images = tracker, images
        self._name = str(node["_target_"])
        self._key = json.dumps(node, sort_keys=True, default=str)
        self._run: TrackedRun | None = None
        self._store: Store | None = None

    def begin(
        self,
        loop: ActiveLoop,
        *,
        directory: Path,
        home: Path,
        config: Mapping[str, Any],
        labels: Mapping[str, Any],
    ) -> None:
        """Tell the tracker of the run in `loop`, and of rounds that it does not have yet.

        Arguments are as in `TrackedRun`. One that was told of the end of this run is told nothing;
        of a run that is over, another one is told all, the end included.

        Raises:
            ConfigError: the tracker cannot begin.
        """
        self._store = loop.files.store
        before = {"began": time.time(), "rounds": 0, "ended": False} | self._remembered()
        if before["ended"]:
            return
        run = TrackedRun(
            directory=directory,
            home=home,
            config=config,
            labels=labels,
            began=before["began"],
            rounds=loop.rounds,
            told=before["rounds"],
            images=self._images,
        )
        first = self._first(run)
        self._run = run
        self._remember(began=run.began, rounds=first)
        queries = _queries(self._store, first)
        for round in run.rounds[first:]:
            self.on_query(queries[round.round])
            self.on_round(round, None)
        if (still := queries.get(len(run.rounds))) is not None:
            self.on_query(still)
        if loop.ended is not None:
            self.end(loop.ended)

    def _first(self, run: TrackedRun) -> int:
        """Have the tracker begin, and return how many rounds it has."""
        try:
            have = self._tracker.on_begin(run)
        except ActiveLoopError:
            raise
        except Exception as error:
            raise ConfigError(
                f"tracker {self._name} cannot begin ({_said(error)}): mend its settings, or leave "
                "it out with tracker=none"
            ) from error
        if have is None:
            return run.told
        return min(whole(f"what {self._name}.on_begin returns", have), len(run.rounds))

    def on_epoch(self, epoch: Epoch) -> None:
        """Pass it on."""
        self._tell(lambda: self._tracker.on_epoch(epoch))

    def on_query(self, query: Query) -> None:
        """Pass it on."""
        self._tell(lambda: self._tracker.on_query(query))

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Pass it on, with the seconds of all rounds by then among its metrics."""
        if self._run is None:
            return
        seconds = sum(_seconds(each) for each in self._run.rounds[: round.round + 1])
        told = dataclasses.replace(round, metrics={**round.metrics, "seconds": seconds})
        if self._tell(lambda: self._tracker.on_round(told, test_probs)):
            self._remember(rounds=round.round + 1)

    # `on_end` of the loop is not passed on: the curve is not drawn yet.

    def end(self, reason: str) -> None:
        """Tell the tracker that the run is over, and that its last files are there."""
        if self._tell(lambda: self._tracker.on_end(reason)):
            self._remember(ended=True)

    def close(self) -> None:
        """Tell it that nothing more comes."""
        self._tell(self._tracker.close)
        self._run = None

    def _tell(self, say: Callable[[], None]) -> bool:
        """Return whether the tracker was told; one that raises is not told again."""
        if self._run is None:
            return False
        try:
            say()
        except Exception as error:
            self._run = None
            log.warning(
                "tracker %s failed (%s): the run goes on without it; what it misses, it is told "
                "when the same command is run again",
                *(self._name, _said(error)),
            )
            return False
        return True

    def _remembered(self) -> dict[str, Any]:
        assert self._store is not None
        return dict((self._store.meta(_TOLD) or {}).get(self._key, {}))

    def _remember(self, **news: Any) -> None:
        assert self._store is not None
        told = self._store.meta(_TOLD) or {}
        self._store.set_meta(_TOLD, {**told, self._key: self._remembered() | news})


def checked(tracker: Any, name: str) -> Tracker:
    """Return `tracker`, whose class has the dotted path `name`.

    Raises:
        ConfigError: it lacks a method of `Tracker`.
    """
    if lacking := [call for call in _CALLS if not callable(getattr(tracker, call, None))]:
        raise ConfigError(
            f"tracker._target_={name} has no method {lacking[0]}: inherit from "
            "activeloop.listeners.Silent, and override what you want to hear"
        )
    made: Tracker = tracker
    return made


def tracking_of(loop: ActiveLoop) -> Iterator[Tracking]:
    """Yield what passes on to trackers among the listeners of `loop`."""
    return (each for each in loop.listeners if isinstance(each, Tracking))


def _queries(store: Store, first: int) -> dict[int, Query]:
    """Return the queries from round `first` on, by round."""
    asked = (each for each in store.queries() if each.round >= first)
    found = {}
    for round, group in itertools.groupby(asked, key=lambda each: each.round):
        lines = list(group)
        scores = [line.score for line in lines]
        found[round] = Query(
            round=round,
            indices=np.array([line.index for line in lines], np.int64),
            keys=tuple(line.key for line in lines),
            scores=None if None in scores else np.array(scores, np.float64),
        )
    return found


def _seconds(round: Round) -> float:
    return sum(value for name, value in round.metrics.items() if name.endswith("_seconds"))


def _said(error: Exception) -> str:
    """Return an error in one line that is not too long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 300 else text[:297] + "..."
