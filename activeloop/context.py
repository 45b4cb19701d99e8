"""Build the context of a round: what the learner says of the pool, as far as the strategy asks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from activeloop.errors import MEMBERS_ADVICE, StrategyError
from activeloop.evaluation import check_finite
from activeloop.neighbors import PoolNeighbors
from activeloop.types import Context, Data, Indices, Learner, Prediction


def with_predictions(
    context: Context, data: Data, learner: Learner, needs: frozenset[str], chosen: Indices | None
) -> Context:
    """Return `context` with the fields that `needs` names.

    Args:
        context: with indices and labels only.
        data: the pool.
        learner: fitted.
        needs: names of fields of the context.
        chosen: indices to predict beside the labelled ones, the rest being NaN; None: all.

    Raises:
        StrategyError: a field is asked for that this run cannot give.
        LearnerError: a prediction is not finite.
    """
    check_available(needs, data, learner)
    parts = {"features", "members"} & needs
    if "neighbors" in needs and "embeddings" not in needs:
        parts.add("features")
    fields: dict[str, Any] = {}
    if parts or "probs" in needs:
        fields |= _predicted(context, data, learner, frozenset(parts), chosen)
    if "neighbors" in needs:
        fields["neighbors"] = PoolNeighbors(
            fields.get("features"), data.embeddings, context.labelled
        )
    if "head" in needs:
        if learner.head is None:
            raise StrategyError(
                "the strategy needs `head`, and this learner has no linear last layer"
            )
        fields["head"] = learner.head
    return dataclasses.replace(
        context, **{name: value for name, value in fields.items() if name in needs}
    )


def before_predictions(context: Context, data: Data, needs: frozenset[str]) -> Context:
    """Return `context` for the initial set or `candidates`: neighbours of embeddings only."""
    _check_embeddings(needs, data)
    if "neighbors" not in needs:
        return context
    return dataclasses.replace(
        context, neighbors=PoolNeighbors(None, data.embeddings, context.labelled)
    )


def check_available(needs: frozenset[str], data: Data, learner: Learner) -> None:
    """Raise `StrategyError` if `needs` names what this run is known not to have."""
    _check_embeddings(needs, data)
    offers: frozenset[str] | None = getattr(learner, "offers", None)
    asked = needs & {"probs", "features", "members", "head"}
    if offers is None or asked <= offers:
        return
    missing = sorted(asked - offers)[0]
    advice = f"with learner=torch, {MEMBERS_ADVICE}" if missing == "members" else "use another"
    raise StrategyError(
        f"the strategy needs {missing}, and this learner ({type(learner).__name__}, with these "
        f"settings) gives none: {advice}"
    )


def _check_embeddings(needs: frozenset[str], data: Data) -> None:
    if "embeddings" in needs and data.embeddings is None:
        raise StrategyError("the strategy needs embeddings: choose embed=pca or embed=file")


def _predicted(
    context: Context, data: Data, learner: Learner, parts: frozenset[str], chosen: Indices | None
) -> dict[str, Any]:
    size = len(data.pool)
    rows = np.arange(size) if chosen is None else np.union1d(chosen, context.labelled)
    prediction = learner.predict(data.pool, rows, parts)
    check_finite(data.pool, rows, prediction)
    if chosen is not None:
        prediction = _spread(prediction, rows, size)
    return {name: getattr(prediction, name) for name in ("probs", "features", "members")}


def _spread(prediction: Prediction, rows: Indices, size: int) -> Prediction:
    """Return a prediction of `rows` as one of the whole pool, NaN where nothing was predicted."""

    def spread(value: Tensor | None, dim: int) -> Tensor | None:
        if value is None:
            return None
        shape = (*value.shape[:dim], size, *value.shape[dim + 1 :])
        whole = torch.full(shape, torch.nan, dtype=value.dtype, device=value.device)
        return whole.index_copy_(dim, torch.from_numpy(rows).to(value.device), value)

    probs = spread(prediction.probs, 0)
    assert probs is not None
    return Prediction(
        probs=probs,
        features=spread(prediction.features, 0),
        members=spread(prediction.members, 1),
    )
