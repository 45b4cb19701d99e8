"""The pool: which samples are labelled, and how. It knows nothing of models or images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from activeloop.errors import OrderError
from activeloop.types import Answer, Indices, Labels, Skip

_UNLABELLED = -1
_SKIPPED = {Skip.SKIP: -2, Skip.NONE: -3}
_ANSWERS: dict[int, Skip] = {state: answer for answer, state in _SKIPPED.items()}


class Pool:
    """Indices `0..size-1` and the labels given so far.

    Index arrays are ascending, so that what is trained on does not depend on the order in which
    the answers came; each is a copy.
    """

    def __init__(self, size: int) -> None:
        self._state = np.full(size, _UNLABELLED, np.int64)

    def __len__(self) -> int:
        return len(self._state)

    @property
    def labelled(self) -> Indices:
        """Indices of the labelled samples, `[L]`."""
        return np.flatnonzero(self._state >= 0)

    @property
    def labels(self) -> Labels:
        """Labels of the labelled samples, `[L]`, in the order of `labelled`."""
        return self._state[self._state >= 0]

    @property
    def unlabelled(self) -> Indices:
        """Indices that may still be asked for, `[U]`: neither labelled nor skipped."""
        return np.flatnonzero(self._state == _UNLABELLED)

    @property
    def n_labelled(self) -> int:
        """Number of labelled samples, `L`."""
        return int(np.count_nonzero(self._state >= 0))

    @property
    def n_classes(self) -> int:
        """Number of classes that have a label."""
        return len(np.unique(self.labels))

    def answer(self, index: int) -> Answer | None:
        """Return the present answer for a sample; None where there is none."""
        state = int(self._state[index])
        return None if state == _UNLABELLED else _ANSWERS.get(state, state)

    def label(self, answers: Mapping[int, Answer]) -> None:
        """Record answers by index: a class, or a `Skip` for a sample not to be asked for again.

        Raises:
            OrderError: an index is outside the pool, or has an answer already.
        """
        for index in answers:
            if 0 <= index < len(self) and self._state[index] != _UNLABELLED:
                raise OrderError(f"sample {index} has an answer already")
        self.change(answers)

    def change(self, answers: Mapping[int, Answer | None]) -> None:
        """Record answers in the place of those there are; None takes one back.

        Raises:
            OrderError: an index is outside the pool.
        """
        for index in answers:
            if not 0 <= index < len(self):
                raise OrderError(f"index {index} is outside the pool of {len(self)} samples")
        for index, answer in answers.items():
            self._state[index] = (
                _UNLABELLED
                if answer is None
                else _SKIPPED[answer]
                if isinstance(answer, Skip)
                else answer
            )
