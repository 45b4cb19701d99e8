"""What the network says of the samples of a query, before it is trained on them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from activeloop.types import Data, Indices, Labels, Learner, Scores


def opinions(
    data: Data, learner: Learner, indices: Indices, probs: Tensor | None
) -> tuple[Labels, Scores]:
    """Return the class that the network gives each of `indices` and its probability, `[k]` each.

    Args:
        data: the pool.
        learner: fitted.
        indices: of the pool, `[k]`.
        probs: what is predicted already, `[N, C]`, NaN in the rows that are not; None: nothing is.
            Only what is missing is predicted.

    Returns:
        -1 and NaN where the network predicts a number that is not finite.
    """
    if probs is None:
        given = learner.predict(data.pool, indices, frozenset()).probs
    else:
        given = probs[torch.from_numpy(indices).to(probs.device)]
        missing = given.isnan().any(dim=1)
        if missing.any():
            rest = indices[missing.cpu().numpy()]
            given[missing] = learner.predict(data.pool, rest, frozenset()).probs
    confidence, predicted = given.max(dim=1)
    finite = given.isfinite().all(dim=1).cpu().numpy()
    return (
        np.where(finite, predicted.cpu().numpy(), -1),
        np.where(finite, confidence.double().cpu().numpy(), np.nan),
    )
