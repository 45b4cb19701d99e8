"""The stop set: a fixed random part of the pool on which consecutive networks are compared.

No label of it is needed. What a network says of it is kept as float16, and networks are compared by
that: a run that goes on compares with the same numbers, and so may anyone later.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from activeloop import measures
from activeloop.checks import whole
from activeloop.types import Indices, Labels, Learner, Samples

KeptProbs = npt.NDArray[np.float16]

# What a round's metrics have where there is a stop set; all but the first from round 1 on.
STOP_METRICS: Final = (
    "overall_uncertainty",
    "kappa",
    "classification_change",
    "performance_difference",
)


class StopSet:
    """Up to `size` samples of the pool, drawn once.

    Some of them may be labelled as the run goes; they stay in it, so that it is the same all along.

    Args:
        pool: what it is drawn from.
        size: how many; the whole pool where that is smaller. At least 1.
        rng: draws them.
        within: from the first so many samples; None: from all.

    Attributes:
        indices: pool indices in the order in which they were drawn, `[S]`.

    Raises:
        ConfigError: `size` is none.
    """

    def __init__(
        self, pool: Samples, size: int, rng: np.random.Generator, within: int | None = None
    ) -> None:
        size = whole("stop_set", size, least=1)
        self._pool = pool
        self.indices: Indices = rng.permutation(len(pool) if within is None else within)[:size]

    def __call__(
        self, learner: Learner, before: KeptProbs | None
    ) -> tuple[dict[str, float], KeptProbs]:
        """Return the metrics of a network, and what is to be kept of it, `[S, C]`.

        Args:
            learner: fitted.
            before: what was kept of the network of the round before; None: there is none to
                compare with.
        """
        probs = learner.predict(self._pool, self.indices, frozenset()).probs
        kept = probs.cpu().numpy().astype(np.float16)
        metrics = {"overall_uncertainty": overall_uncertainty(probs)}
        if before is not None and np.isfinite(before).all() and np.isfinite(kept).all():
            metrics |= compared(before.argmax(axis=1), kept.argmax(axis=1))
        return metrics, kept


def overall_uncertainty(probs: Tensor) -> float:
    """Return the mean entropy of `probs` `[S, C]` in nats (Zhu, Wang and Hovy, Coling 2008)."""
    return float(measures.entropy(probs).double().mean())


def compared(before: Labels, now: Labels) -> dict[str, float]:
    """Return what two networks' classes for the same samples say, `[S]` each."""
    return {
        "kappa": kappa(before, now),
        "classification_change": float(np.mean(before != now)),
        "performance_difference": performance_difference(before, now),
    }


def kappa(before: Labels, now: Labels) -> float:
    """Return Cohen's kappa: the agreement beyond that of chance, 1 where all agree (Cohen, 1960).

    Where both name one class only, and the same, it is not defined, for chance would agree as much:
    0 here, so that two networks that learnt nothing do not pass for stable ones.
    """
    n = len(now)
    agreed = n * int(np.count_nonzero(before == now))
    chance = int(_counts(before, before, now) @ _counts(now, before, now))
    return 0.0 if chance == n * n else (agreed - chance) / (n * n - chance)


def performance_difference(before: Labels, now: Labels) -> float:
    """Return the predicted change of the F measure: 1 - F of the old classes, the new for truth.

    For one class with `a` samples that both name and `b + c` that only one does,
    1 - 2a / (2a + b + c) (Altschuler and Bloodgood, ICSC 2019, for the positive of two classes);
    here the mean over all classes that either names. It knows no labels: it says how much the
    measure can move if the new network is right, not that it improves.
    """
    both = _counts(now[before == now], before, now)
    either = _counts(before, before, now) + _counts(now, before, now)
    named = either > 0
    return float(np.mean(1 - 2 * both[named] / either[named]))


def _counts(classes: Labels, *of: Labels) -> npt.NDArray[Any]:
    return np.bincount(classes, minlength=1 + max(int(each.max()) for each in of))
