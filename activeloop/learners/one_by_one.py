"""Several learners that are asked together, and work one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from activeloop.types import Fit, History, Indices, Learner, Prediction, Samples


class OneByOne:
    """Learners that work one after another, where there is no better way: a `Together`."""

    def __init__(self, learners: Sequence[Learner]) -> None:
        self._learners = tuple(learners)

    def fit_many(self, fits: Mapping[int, Fit]) -> dict[int, History | Exception]:
        """Fit one after another."""
        return {which: self._fit(self._learners[which], fit) for which, fit in fits.items()}

    def predict_many(
        self, which: Sequence[int], samples: Samples, needs: frozenset[str], limit: int | None
    ) -> dict[int, Prediction]:
        """Return nothing: each predicts when it is asked."""
        return {}

    def predict(
        self,
        which: int,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Have the learner predict."""
        return self._learners[which].predict(samples, indices, needs, out)

    @staticmethod
    def _fit(learner: Learner, fit: Fit) -> History | Exception:
        try:
            return learner.fit(fit.data, fit.indices, fit.labels, fit.rng)
        except Exception as error:  # a learner is anybody's: it may raise anything
            return error
