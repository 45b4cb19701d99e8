"""Labelled samples that are most like those of the query."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from activeloop.types import Data, Indices, Learner

# One more than is shown twice over: the label of some may be taken back meanwhile.
KEPT = 6
# Labelled samples compared at a time.
_BLOCK = 2048


def nearest_labelled(
    data: Data, learner: Learner | None, queries: Indices, labelled: Indices
) -> dict[int, list[int]]:
    """Return the nearest of `labelled` `[L]` for each of `queries` `[k]`, nearest first.

    They are compared by the cosine of the embeddings, or of the network's features where there are
    none; where it gives no features either, by nothing.

    Args:
        data: the pool.
        learner: fitted; None: there is none yet.
        queries: pool indices.
        labelled: pool indices.
    """
    if not len(queries) or not len(labelled) or not _comparable(data, learner):
        return {}
    wanted = _vectors(data, learner, queries)
    found = torch.empty((len(queries), 0))
    who = torch.empty((len(queries), 0), dtype=torch.int64)
    for block in np.split(labelled, range(_BLOCK, len(labelled), _BLOCK)):
        likeness = wanted @ _vectors(data, learner, block).T
        likeness[torch.from_numpy(queries)[:, None] == torch.from_numpy(block)] = -torch.inf
        found = torch.cat([found, likeness], dim=1)
        who = torch.cat([who, torch.from_numpy(block).expand(len(queries), -1)], dim=1)
        found, order = found.topk(min(KEPT, found.shape[1]), dim=1)
        who = who.gather(1, order)
    return {
        index: [near for near, value in zip(row, values, strict=True) if value > -torch.inf]
        for index, row, values in zip(queries.tolist(), who.tolist(), found.tolist(), strict=True)
    }


def _comparable(data: Data, learner: Learner | None) -> bool:
    if data.embeddings is not None:
        return True
    offers = getattr(learner, "offers", None)
    return learner is not None and (offers is None or "features" in offers)


def _vectors(data: Data, learner: Learner | None, indices: Indices) -> Tensor:
    """Return vectors of length 1, `[n, E]`, on the CPU."""
    if data.embeddings is not None:
        return normalize(data.embeddings[torch.from_numpy(indices)], dim=1)
    assert learner is not None
    features = learner.predict(data.pool, indices, frozenset(["features"])).features
    assert features is not None
    return normalize(features.float().cpu().flatten(1), dim=1)
