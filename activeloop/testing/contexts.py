"""Contexts made up for tests: everything that a strategy may ask for, consistent with itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from activeloop.neighbors import PoolNeighbors
from activeloop.types import NEEDS, Context, Head, Indices

# The dimension along which each tensor of a context runs over the pool.
POOL_DIMENSION = {"probs": 0, "features": 0, "members": 1, "embeddings": 0}


def make_context(
    size: int = 80,
    *,
    k: int = 5,
    classes: int = 4,
    dimensions: int = 8,
    members: int = 5,
    labelled: int | Sequence[int] = 12,
    unlabelled: Sequence[int] | None = None,
    features: Tensor | None = None,
    scale: float = 1.0,
    sharpness: float = 1.0,
    needs: Collection[str] = NEEDS,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    seed: int = 0,
    data_seed: int = 0,
) -> Context:
    """Return a context over a made-up pool: Gaussian clusters under a linear head.

    Probabilities are exactly the softmax of the head's logits, members the softmaxes of heads with
    other weights. Unless told otherwise, labelled samples stand at the front and further on, and
    some samples are neither labelled nor unlabelled, as skipped ones are: positions in
    `context.unlabelled` are no pool indices, and `size - len(labelled)` is not their number.

    Args:
        size: samples in the pool, `N`.
        k: how many to pick.
        classes: classes, `C`.
        dimensions: of the features, `D`; the embeddings have 6.
        members: members, `M`.
        labelled: how many samples are labelled, or which.
        unlabelled: which samples may be picked; by default all others but a few.
        features: values `[N, D]` to use in the clusters' place.
        scale: what the features are multiplied by; logits stay what they were.
        sharpness: what logits are multiplied by; 1e4 makes probabilities 0 and 1.
        needs: names of the optional fields that are there; the rest is None.
        dtype: of the tensors.
        device: of the tensors.
        seed: of `context.rng`.
        data_seed: of the pool.
    """
    rng = np.random.default_rng(data_seed)
    if features is not None:
        size, dimensions = features.shape
    truth = rng.permutation(np.arange(size) % classes)
    centres = rng.normal(scale=0.7, size=(classes, dimensions))
    noise = rng.normal(size=(size, dimensions))
    projection = rng.normal(size=(dimensions, 6))
    others = [0.3 * rng.normal(size=centres.shape) for _ in range(members)]

    def tensor(values: Any) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    def head_of(centres: npt.NDArray[Any]) -> Head:
        """Return logits of the posterior of clusters of variance 1 around `centres` `[C, D]`."""
        weight = tensor(sharpness * centres / scale)
        bias = tensor(-sharpness * (centres**2).sum(axis=1) / 2)
        # A function and no layer: strategies may call a head, and know nothing else of it.
        return lambda features: functional.linear(features, weight, bias)

    x = tensor(centres[truth] + noise if features is None else features.cpu().numpy())
    scaled, head = x * scale, head_of(centres)
    known = _labelled(size, labelled)
    if unlabelled is None:
        rest = np.setdiff1d(np.arange(size), known)
        open_ = np.delete(rest, slice(2, None, 9)) if len(rest) > 9 else rest
    else:
        open_ = np.array(unlabelled, np.int64)
    fields: dict[str, Any] = {
        "probs": head(scaled).softmax(dim=1),
        "features": scaled,
        "members": torch.stack(
            [head_of(centres + other)(scaled).softmax(dim=1) for other in others]
        ),
        "embeddings": x @ tensor(projection),
        "head": head,
    }
    whole = Context(
        k=k,
        rng=np.random.default_rng(seed),
        n_classes=classes,
        round=3,
        labelled=known,
        labels=truth[known],
        unlabelled=open_,
        **fields,
    )
    return restrict(whole, needs)


def _labelled(size: int, labelled: int | Sequence[int]) -> Indices:
    """Return which samples are labelled: half of them at the front, the others spread."""
    if not isinstance(labelled, int):
        return np.array(labelled, np.int64)
    front = (labelled + 1) // 2
    behind = labelled - front
    spread = front + np.arange(1, behind + 1) * (size - front) // (behind + 1)
    return np.concatenate([np.arange(front), spread])


def restrict(context: Context, needs: Collection[str]) -> Context:
    """Return `context` with None for the optional fields that `needs` does not name.

    Neighbours are those of the features and of the embeddings as a run would have them.
    """
    absent: dict[str, Any] = dict.fromkeys(NEEDS - set(needs))
    if "neighbors" in needs:
        features = context.features if "features" in needs or "embeddings" not in needs else None
        embeddings = context.embeddings if "embeddings" in needs else None
        absent["neighbors"] = PoolNeighbors(features, embeddings, context.labelled)
    return dataclasses.replace(context, **absent)


def rebuild(context: Context, **fields: Any) -> Context:
    """Return `context`, in which every field is there, with other `fields`: neighbours follow."""
    return restrict(dataclasses.replace(context, **fields), NEEDS)


def permuted(context: Context, order: Indices) -> Context:
    """Return `context` with sample `order[i]` in place `i`."""
    place = np.argsort(order)
    labelled = np.argsort(place[context.labelled])
    tensors = {
        name: getattr(context, name).index_select(dim, torch.from_numpy(order))
        for name, dim in POOL_DIMENSION.items()
    }
    return rebuild(
        context,
        labelled=place[context.labelled][labelled],
        labels=context.labels[labelled],
        unlabelled=np.sort(place[context.unlabelled]),
        **tensors,
    )


def unpredicted(context: Context) -> Context:
    """Return `context` as it is where only some samples are predicted: NaN for the others."""
    rows = np.union1d(context.labelled, context.unlabelled)
    fields: dict[str, Tensor] = {}
    for name in ("probs", "features", "members"):
        value: Tensor = getattr(context, name)
        dim = POOL_DIMENSION[name]
        some = torch.from_numpy(rows).to(value.device)
        kept = value.index_select(dim, some)
        fields[name] = torch.full_like(value, torch.nan).index_copy_(dim, some, kept)
    return rebuild(context, **fields)


def memory_mapped(context: Context, folder: Path) -> Context:
    """Return `context` with its tensors on files in `folder`, mapped copy-on-write."""
    fields = {}
    for name in POOL_DIMENSION:
        path = folder / f"{name}.npy"
        np.save(path, getattr(context, name).cpu().numpy())
        fields[name] = torch.from_numpy(np.load(path, mmap_mode="c"))
    return rebuild(context, **fields)
