"""Second looks: labels that a network trained without them strongly contradicts.

After each round a second network is fitted without a fifth of the labelled samples, another fifth
each time, and predicts these. A label is in doubt where another class gets at least `threshold` of
the probability. Confident learning (Northcutt, Jiang and Chuang, JAIR 2021) takes each class's mean
probability for its threshold instead, to count errors in a whole data set; with the few labels of a
run's beginning these means are low, and most of what it finds are errors of the network. A person's
time is dear: a fixed, high threshold asks about little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import numpy as np

from activeloop.label.cards import Opinion
from activeloop.label.ledger import Ledger
from activeloop.store import Store
from activeloop.streams import Streams
from activeloop.types import Data, Indices, Labels, Learner

# How the labelled samples are dealt out.
FOLDS = 5
# What a network needs to be trusted more than a person: labels of the class, and in all. With fewer
# it is sure of what is wrong: of 1,800 labels of CIFAR-10 images in six runs, 74 of them made wrong
# by chance, a threshold of 0.9 had 266 looked at again, 28 of the 74 among them, from 50 labels on,
# and 154 with 25 of them from 150 on. Other thresholds from there: 0.95 has 88 with 15, 0.8 has 308
# with 36, 0.7 has 478 with 48. What the strategy picks is hard, and most of it was right.
LEAST_OF_CLASS, LEAST_LABELS = 5, 150


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A label that a network trained without it contradicts.

    Attributes:
        event: in which the label was given.
        label: the class's name.
        predicted: name of the class that the network gives it.
        confidence: the probability of that class.
        round: of the network.
    """

    event: int
    label: str
    predicted: str
    confidence: float
    round: int


def fold_of(key: str) -> int:
    """Return which part of the samples one is in, whatever else is labelled."""
    return crc32(key.encode()) % FOLDS


def contradicted(
    data: Data,
    indices: Indices,
    labels: Labels,
    round: int,
    make_learner: Callable[[], Learner],
    streams: Streams,
    threshold: float,
) -> tuple[Indices, dict[int, tuple[int, float]]]:
    """Return which labels were looked at, and which of them a network without them contradicts.

    Args:
        data: the pool and the classes.
        indices: labelled samples, `[L]`.
        labels: theirs, `[L]`.
        round: its number says which fifth is looked at.
        make_learner: returns a new learner.
        streams: of the run.
        threshold: least probability of another class.

    Returns:
        The samples that were left out, and the class and its probability for those of them that are
        contradicted. None where there are too few labels.
    """
    fold = np.array([fold_of(data.pool.keys[i]) for i in indices.tolist()]) == round % FOLDS
    known = np.bincount(labels, minlength=data.n_classes) >= LEAST_OF_CLASS
    looked_at = fold & known[labels]
    if len(labels) < LEAST_LABELS or not looked_at.any() or known.sum() < 2:
        return np.empty(0, np.int64), {}
    learner = make_learner()
    learner.fit(data, indices[~fold], labels[~fold], streams.rng("second_looks", round))
    probs = learner.predict(data.pool, indices[looked_at], frozenset()).probs
    confidence, predicted = (each.cpu().numpy() for each in probs.max(dim=1))
    against = (predicted != labels[looked_at]) & (confidence >= threshold)
    found = {
        int(index): (int(label), float(value))
        for index, label, value, is_against in zip(
            indices[looked_at], predicted, confidence, against, strict=True
        )
        if is_against
    }
    return indices[looked_at], found


class SecondLooks:
    """The doubts there are, kept in the run's database.

    A doubt is over when its sample gets another answer. If that is the same label again, the label
    is not doubted any more.

    Args:
        store: of the run.
        ledger: the answers as they are.
        keys: of the pool.
        index: the pool index of each sample with an answer, by key.
    """

    def __init__(
        self, store: Store, ledger: Ledger, keys: Sequence[str], index: Mapping[str, int]
    ) -> None:
        self._store, self._ledger, self._keys = store, ledger, keys
        kept: Mapping[str, Mapping[str, Any]] = store.meta("doubts") or {}
        self._doubts = {index[key]: Doubt(**doubt) for key, doubt in kept.items() if key in index}

    def is_open(self, index: int) -> bool:
        """Return whether a sample waits for a second look."""
        doubt, answer = self._doubts.get(index), self._ledger.answer(index)
        return doubt is not None and answer is not None and answer.id == doubt.event

    def opinion(self, index: int) -> Opinion | None:
        """Return what the network says that contradicts a label, while it waits for a look."""
        if not self.is_open(index):
            return None
        doubt = self._doubts[index]
        probs = [(doubt.predicted, doubt.confidence)]
        return Opinion(predicted=doubt.predicted, confidence=doubt.confidence, probs=probs)

    @property
    def open(self) -> list[int]:
        """Samples that wait for a second look, the strongest contradiction first."""
        waiting = [index for index in self._doubts if self.is_open(index)]
        return sorted(waiting, key=lambda index: -self._doubts[index].confidence)

    def update(self, looked_at: Sequence[int], found: Mapping[int, Doubt]) -> None:
        """Take what a round found, of all samples that it looked at."""
        for index in looked_at:
            before, now = self._doubts.get(index), found.get(index)
            if (
                before is not None
                and not self.is_open(index)
                and self._label(index) == before.label
            ):
                continue  # confirmed
            if now is None:
                self._doubts.pop(index, None)
            else:
                self._doubts[index] = now
        kept = {self._keys[index]: asdict(doubt) for index, doubt in self._doubts.items()}
        self._store.set_meta("doubts", kept)

    def _label(self, index: int) -> str | None:
        answer = self._ledger.answer(index)
        return None if answer is None else answer.label
