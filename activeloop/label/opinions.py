"""What the network thinks of samples that it was not trained on.

After each round the pool is predicted, block by block, but for the samples that the network was
trained on: of these there remains what was said before. Of each sample the likeliest class and its
probability are kept; of those of the query the ten likeliest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from activeloop.label.cards import Opinion
from activeloop.store import Asked
from activeloop.types import Indices, Learner, Query, Samples

# Classes of which the probability is shown.
MOST_CLASSES = 10
# Bytes of the probabilities of one block.
_BLOCK_BYTES = 32 * 2**20
_MOST_ROWS = 4096


class Opinions:
    """The latest opinion of each sample by a network that was not trained on it.

    Args:
        size: of the pool.
        asked: all queries so far, with what was predicted of their samples.
        index: the pool index of these samples by key.
    """

    def __init__(self, size: int, asked: Sequence[Asked], index: Mapping[str, int]) -> None:
        self._predicted = np.full(size, -1, np.int32)
        self._confidence = np.full(size, np.nan, np.float32)
        self._likeliest: dict[int, list[tuple[int, float]]] = {}
        # Of those asked for before a restart; what they were trained on is not predicted again.
        self._before = {
            index[a.key]: (a.predicted, a.confidence)
            for a in asked
            if a.predicted is not None and a.confidence is not None
        }
        self._todo: Indices = np.empty(0, np.int64)

    def begin(self, trained: Indices) -> None:
        """Have all samples predicted anew, but for those that the network was trained on."""
        left = np.ones(len(self._predicted), np.bool_)
        left[trained] = False
        self._todo = np.flatnonzero(left)

    @property
    def due(self) -> bool:
        """Whether samples are still to be predicted."""
        return len(self._todo) > 0

    def predict_some(self, learner: Learner, pool: Samples, n_classes: int) -> None:
        """Predict the next block of samples."""
        rows = min(_MOST_ROWS, max(1, _BLOCK_BYTES // (4 * n_classes)))
        block, self._todo = self._todo[:rows], self._todo[rows:]
        probs = learner.predict(pool, block, frozenset()).probs
        confidence, predicted = (each.cpu().numpy() for each in probs.max(dim=1))
        finite = probs.isfinite().all(dim=1).cpu().numpy()
        self._predicted[block] = np.where(finite, predicted, -1)
        self._confidence[block] = confidence

    def expect(self, query: Query) -> None:
        """Keep what was predicted of a new query when it was made."""
        self._likeliest = {}
        if query.predicted is not None and query.confidence is not None:
            said = zip(query.predicted.tolist(), query.confidence.tolist(), strict=True)
            for index, (label, confidence) in zip(query.indices.tolist(), said, strict=True):
                if label >= 0:
                    self._likeliest[index] = [(label, confidence)]
                    self._predicted[index], self._confidence[index] = label, confidence

    def look_at(self, indices: Indices, probs: Tensor) -> None:
        """Keep the likeliest classes of the samples of the query, `probs` `[k, C]`."""
        best = probs.topk(min(MOST_CLASSES, probs.shape[1]), dim=1)
        self._likeliest = {
            index: list(zip(classes, values, strict=True))
            for index, classes, values, finite in zip(
                indices.tolist(),
                best.indices.tolist(),
                best.values.tolist(),
                probs.isfinite().all(dim=1).tolist(),
                strict=True,
            )
            if finite
        }

    def of(self, index: int, classes: Sequence[str]) -> Opinion | None:
        """Return the opinion of a sample; None before there is one."""
        if (likeliest := self._likeliest.get(index)) is not None:
            probs = tuple((classes[label], value) for label, value in likeliest)
        elif self._predicted[index] >= 0:
            probs = ((classes[self._predicted[index]], float(self._confidence[index])),)
        elif index in self._before:
            probs = (self._before[index],)
        else:
            return None
        return Opinion(predicted=probs[0][0], confidence=probs[0][1], probs=probs)

    def of_class(self, label: int, among: npt.NDArray[np.bool_]) -> Indices:
        """Return the samples `among` `[N]` that are predicted to be of a class, surest first."""
        indices = np.flatnonzero((self._predicted == label) & among)
        return indices[np.argsort(-self._confidence[indices], kind="stable")]
