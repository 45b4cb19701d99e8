"""Several runs of one study side by side: loops that differ by their seed share the learner's work.

The loops take turns, round by round. Before a turn, all fits that are due are done together; what
one loop has predicted for a whole set of samples is predicted for the others as well, and waits for
them. To its loop each learner looks like one that works alone.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from activeloop.learners.one_by_one import OneByOne
from activeloop.loop import ActiveLoop
from activeloop.types import (
    Data,
    Epoch,
    Fit,
    Head,
    History,
    Indices,
    Labels,
    Learner,
    Oracle,
    Prediction,
    Samples,
    Together,
)

log = logging.getLogger(__name__)

# What is asked of a learner about all samples of a set: which set, by its id, and what beside
# probabilities.
Request = tuple[int, frozenset[str]]


class Cohort:
    """Runs loops side by side; takes the place of their learners.

    A loop that fails ends, and the others go on. With the same loops the results are the same,
    wherever it was interrupted before.

    Args:
        loops: made alike but for seed and directory, each with a learner of its own.
        oracles: one for each loop.
        turn: is entered for each turn of the loop with a given position.
    """

    def __init__(
        self,
        loops: Sequence[ActiveLoop],
        oracles: Sequence[Oracle],
        turn: Callable[[int], AbstractContextManager[None]] = lambda position: nullcontext(),
    ) -> None:
        self._loops, self._oracles, self._turn = tuple(loops), tuple(oracles), turn
        shared = Shared(
            [loop.learner for loop in loops],
            loops[0].memory_limit,
            alike=len({id(loop.data.pool) for loop in loops}) == 1,
        )
        for loop, member in zip(loops, shared.members, strict=True):
            loop.learner = member
        self._shared = shared

    def run(self) -> Iterator[tuple[int, Exception | None]]:
        """Run all loops to their ends; yield the position of each that is over, and its error."""
        going = dict(enumerate(self._loops))
        while going:
            # Those that are behind first: after an interruption, they catch up with the others.
            behind = min(len(loop.rounds) for loop in going.values())
            group = [n for n, loop in going.items() if len(loop.rounds) == behind]
            failed = self._fit(group)
            for position in group:
                error = failed.get(position)
                try:
                    with self._turn(position):
                        if error is None and self._loops[position].step(self._oracles[position]):
                            continue
                except Exception as raised:
                    error = raised
                del going[position]
                self._shared.leave(position)
                yield position, error

    def _fit(self, group: Sequence[int]) -> dict[int, Exception]:
        """Do the fits that are due together; return why one could not even begin."""
        fits: dict[int, Fit] = {}
        failed: dict[int, Exception] = {}
        for position in group:
            try:
                if (fit := self._loops[position].due()) is not None:
                    fits[position] = fit
            except Exception as error:
                failed[position] = error
        if fits:
            self._shared.fit(fits)
        return failed


class Shared:
    """The work of several learners, done together and handed out to each.

    Args:
        learners: of one class, and made alike.
        limit: bytes that predictions may take that wait for their loops; None: as there is memory.
        alike: whether all work on the same samples.

    Attributes:
        together: does the work.
        members: stand for the learners, in the same order.
    """

    def __init__(self, learners: Sequence[Learner], limit: int | None, *, alike: bool) -> None:
        together: Callable[[Sequence[Learner]], Together] | None
        together = getattr(learners[0], "together", None)
        if together is None or not alike:
            why = f"{type(learners[0]).__name__} has no other way" if alike else "their data differ"
            log.info("seeds are trained one after another: %s", why)
        self.together = together(learners) if together and alike else OneByOne(learners)
        self.members = [Member(self, n, learner) for n, learner in enumerate(learners)]
        self._limit = limit

    def fit(self, fits: Mapping[int, Fit]) -> None:
        """Do `fits` and hand out what came of them."""
        for position in fits:
            self.members[position].forget()
        seconds, results = self._timed(lambda: self.together.fit_many(fits))
        for position, result in results.items():
            self.members[position].fitted = not isinstance(result, Exception)
            self.members[position].done = (fits[position], result, seconds / len(fits))

    def predict(self, asking: Member, samples: Samples, needs: frozenset[str]) -> None:
        """Have `asking`, and all that may ask the same, hold their predictions of `samples`."""
        request = (id(samples), needs)
        others = [m for m in self.members if m is not asking and m.may_ask(request)]
        which = [asking.position, *(member.position for member in others)]
        seconds, predictions = self._timed(
            lambda: self.together.predict_many(which, samples, needs, self._limit)
        )
        for position, prediction in predictions.items():
            self.members[position].ready[request] = (prediction, seconds / len(predictions))
        if predictions:
            asking.seconds -= seconds  # `Member.predict` adds its share

    def leave(self, position: int) -> None:
        """Let go of what a loop that is over will not ask for."""
        self.members[position].forget()

    def _timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        device, start = self.members[0].device, time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start, result


class Member:
    """A learner of several that work together, as its loop sees it.

    Attributes:
        position: which of the learners it is.
        device: where predictions are.
        fitted: whether the learner is as its loop needs it next.
        done: a fit that the loop will ask for, what came of it, and its share of the time.
        ready: predictions that the loop may ask for, and their shares of the time.
        seconds: how much more time its work took than passed while the loop waited for it.
    """

    def __init__(self, shared: Shared, position: int, learner: Learner) -> None:
        self._shared, self._learner = shared, learner
        self.position = position
        self.device = learner.device
        self.fitted = False
        self.done: tuple[Fit, History | Exception, float] | None = None
        self.ready: dict[Request, tuple[Prediction, float]] = {}
        self.seconds = 0.0
        self._taken: set[Request] = set()

    def __getattr__(self, name: str) -> Any:
        """Return what else the learner has: `device`, `offers`, `warm_start` and the like."""
        return getattr(self._learner, name)

    @property
    def on_epoch(self) -> Callable[[Epoch], None] | None:
        """Called after each epoch, if set."""
        return self._learner.on_epoch

    @on_epoch.setter
    def on_epoch(self, told: Callable[[Epoch], None] | None) -> None:
        self._learner.on_epoch = told

    @property
    def head(self) -> Head | None:
        """The last layer of the learner."""
        return self._learner.head

    def clock(self) -> float:
        """Return seconds that count the learner's work when it is handed out."""
        return time.perf_counter() + self.seconds

    def forget(self) -> None:
        """Drop what was done for the loop: the learner changes, or its loop is over."""
        self.fitted, self.done = False, None
        self.ready.clear()
        self._taken.clear()

    def may_ask(self, request: Request) -> bool:
        """Return whether the loop has not asked that yet of the learner as it is."""
        return self.fitted and request not in self._taken and request not in self.ready

    def fit(
        self, data: Data, indices: Indices, labels: Labels, rng: np.random.Generator
    ) -> History:
        """Return what came of the fit, which mostly is done already."""
        if self.done is None or not np.array_equal(self.done[0].indices, indices):
            fit = Fit(data=data, indices=indices, labels=labels, rng=rng)
            self._shared.fit({self.position: fit})
            self.seconds -= self.done[2] if self.done else 0  # it was waited for
        assert self.done is not None
        (_, result, seconds), self.done = self.done, None
        self.seconds += seconds
        if isinstance(result, Exception):
            raise result
        return result

    def predict(
        self,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Return the prediction; of all samples, with those of the others if it is not there."""
        request = (id(samples), needs)
        whole = len(indices) == len(samples) and bool(np.all(np.diff(indices) == 1))
        if whole and request not in self.ready:
            self._shared.predict(self, samples, needs)
        if not whole or request not in self.ready:
            return self._shared.together.predict(self.position, samples, indices, needs, out)
        prediction, seconds = self.ready.pop(request)
        self._taken.add(request)
        self.seconds += seconds
        return prediction if out is None else _copied(prediction, out)

    def save(self, path: Path) -> bool:
        """Have the learner write its weights."""
        return self._learner.save(path)

    def load(self, path: Path, data: Data) -> bool:
        """Have the learner read its weights."""
        self.forget()
        self.fitted = self._learner.load(path, data)
        return self.fitted


def _copied(prediction: Prediction, out: Prediction) -> Prediction:
    """Put `prediction` into `out`."""
    for field in dataclasses.fields(prediction):
        value = getattr(prediction, field.name)
        if value is not None:
            getattr(out, field.name).copy_(value)
    return out
