"""Build the context of a round: what the learner says of the pool, as far as the strategy asks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from activeloop.errors import MEMBERS_ADVICE, StrategyError
from activeloop.evaluation import check_finite
from activeloop.neighbors import NeighborSearch, PoolNeighbors
from activeloop.scratch import Scratch
from activeloop.types import Context, Data, Indices, Learner, Prediction


def with_predictions(
    context: Context,
    data: Data,
    learner: Learner,
    needs: frozenset[str],
    chosen: Indices | None,
    search: NeighborSearch,
    folder: Path | None = None,
) -> Context:
    """Return `context` with the fields that `needs` names.

    Args:
        context: with indices and labels only.
        data: the pool.
        learner: fitted.
        needs: names of fields of the context.
        chosen: indices to predict beside the labelled ones, the rest being NaN; None: all.
        search: how neighbours are searched.
        folder: where predictions go that are larger than `context.memory_limit`; None: the
            system's folder for temporary files.

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
        scratch = Scratch(context.memory_limit, folder, learner.device)
        fields |= _predicted(context, data, learner, frozenset(parts), chosen, scratch)
    embeddings = data.embeddings
    if fields and embeddings is not None and "embeddings" in needs:
        # Beside the predictions: an operation takes tensors of one device only.
        fields["embeddings"] = embeddings = embeddings.to(learner.device)
    if "neighbors" in needs:
        fields["neighbors"] = PoolNeighbors(
            fields.get("features"), embeddings, context.labelled, search
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


def before_predictions(
    context: Context, data: Data, needs: frozenset[str], search: NeighborSearch
) -> Context:
    """Return `context` for the initial set or `candidates`: neighbours of embeddings only."""
    _check_embeddings(needs, data)
    if "neighbors" not in needs:
        return context
    return dataclasses.replace(
        context, neighbors=PoolNeighbors(None, data.embeddings, context.labelled, search)
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
        raise StrategyError("the strategy needs embeddings: choose embed=pca, backbone or file")


def _predicted(
    context: Context,
    data: Data,
    learner: Learner,
    parts: frozenset[str],
    chosen: Indices | None,
    scratch: Scratch,
) -> dict[str, Any]:
    size = len(data.pool)
    rows = np.arange(size) if chosen is None else np.union1d(chosen, context.labelled)
    # Predicted once for its shapes: a learner alone knows how many features there are.
    like = learner.predict(data.pool, rows[:1], parts)
    out = _prediction(like, len(rows), scratch)
    prediction = learner.predict(data.pool, rows, parts, out)
    check_finite(data.pool, rows, prediction)
    if chosen is not None:
        prediction = _spread(prediction, rows, _prediction(like, size, scratch))
    return {name: getattr(prediction, name) for name in _PARTS}


# Axis of the samples in each part of a prediction.
_PARTS = {"probs": 0, "features": 0, "members": 1}


def _prediction(like: Prediction, n: int, scratch: Scratch) -> Prediction:
    """Return an empty prediction of `n` samples with the parts of `like`."""

    def empty(name: str, dim: int) -> Tensor | None:
        value = getattr(like, name)
        if value is None:
            return None
        return scratch.empty((*value.shape[:dim], n, *value.shape[dim + 1 :]))

    return Prediction(**{name: empty(name, dim) for name, dim in _PARTS.items()})  # type: ignore[arg-type]  # probs are always there


def _spread(prediction: Prediction, rows: Indices, whole: Prediction) -> Prediction:
    """Fill `whole` with a prediction of `rows`, NaN where nothing was predicted."""
    for name, dim in _PARTS.items():
        value = getattr(prediction, name)
        if value is not None:
            index = torch.from_numpy(rows).to(value.device)
            getattr(whole, name).fill_(torch.nan).index_copy_(dim, index, value)
    return whole
