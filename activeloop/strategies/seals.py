"""Choose among the neighbours of what is labelled only."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.checks import choice, whole
from activeloop.memory import rows_at_a_time
from activeloop.strategies.base import needs
from activeloop.strategies.loading import Inner
from activeloop.strategies.narrowing import Narrowing
from activeloop.strategies.spaces import Space, vectors
from activeloop.strategies.wrapping import among, drawn
from activeloop.types import Context, Indices

# Queries compared with a part of the pool at a time.
_QUERIES = 256


@needs("embeddings")
@dataclass(kw_only=True, repr=False, eq=False)
class Seals(Narrowing):
    """As a strategy picks among the m nearest neighbours of the labelled; no other is predicted.

    Neighbours are searched on unit vectors, exactly, and of newly labelled samples only. Where
    they are fewer than `k`, random samples are added; with nothing labelled, the whole pool is
    there to choose from. `space=features` changes with each network, so that everything is
    predicted first.

    Paper: Coleman et al., Similarity Search for Efficient Active Learning, AAAI 2022.
    Budget: any, in large pools of which few samples matter.
    Time: O(k N D), and the inner one's on L m samples.
    Memory: O(N), and the inner one's on L m samples.

    Args:
        strategy: chooses among the neighbours.
        m: nearest neighbours of each labelled sample.
        space: in which they are searched.
    """

    strategy: Inner = "margin"
    m: int = 100
    space: Space = "embeddings"

    def check(self) -> None:
        """Raise `ConfigError` if an option has no meaning."""
        whole("strategy.m", self.m, least=1)
        choice("strategy.space", self.space, ["features", "embeddings"])
        self._near = _Near()

    def narrowed(self, context: Context) -> Indices | None:
        """Return the unlabelled neighbours, with random samples up to `k`."""
        too_early = self.space == "features" and context.features is None
        if too_early or len(context.labelled) == 0:
            return None
        near = self._near.to(context.labelled, vectors(context, self.space), self.m)
        is_near = near[context.unlabelled]
        chosen = context.unlabelled[is_near]
        if len(chosen) >= context.k:
            return chosen
        rest = among(context, context.unlabelled[~is_near])
        return np.sort(np.concatenate([chosen, drawn(rest, context.k - len(chosen))]))


class _Near:
    """Which samples are among the nearest of some labelled one, kept from one query to the next.

    It saves time only: without it, all is searched again.
    """

    def __init__(self) -> None:
        self._of: Callable[[], Tensor | None] = _nothing
        self._searched = self._near = np.zeros(0, np.bool_)

    def to(self, labelled: Indices, space: Tensor, m: int) -> npt.NDArray[np.bool_]:
        """Return which of the pool are among the `m` nearest of some of `labelled`, `[N]`."""
        known = np.zeros(len(space), np.bool_)
        known[labelled] = True
        if self._of() is not space or (self._searched & ~known).any():
            self._of = weakref.ref(space)
            self._searched, self._near = np.zeros_like(known), np.zeros_like(known)
        new = np.flatnonzero(known & ~self._searched)
        self._near[_nearest(space, new, m).ravel()] = True
        self._searched = known
        return self._near

    def __reduce__(self) -> tuple[Any, ...]:
        return _Near, ()


def _nothing() -> None:
    return None


def _nearest(space: Tensor, rows: Indices, m: int) -> Indices:
    """Return the `m` nearest pool indices of each of `rows`, `[r, m]`, itself left out.

    By largest cosine similarity, in float32; rows that are not there (NaN) come last.
    """
    m = min(m, len(space) - 1)
    found = [np.empty((0, m), np.int64)]
    step = rows_at_a_time(4 * (_QUERIES + 2 * space.shape[1]))
    for start in range(0, len(rows), _QUERIES):
        own = torch.from_numpy(rows[start : start + _QUERIES]).to(space.device)
        queries = _unit(space[own])
        best = torch.full((len(own), m), -torch.inf, device=space.device)
        at = torch.zeros((len(own), m), dtype=torch.int64, device=space.device)
        for first in range(0, len(space), step):
            part = queries @ _unit(space[first : first + step]).T
            part.nan_to_num_(-torch.inf, -torch.inf, -torch.inf)
            here = ((own >= first) & (own < first + step)).nonzero()[:, 0]
            part[here, own[here] - first] = -torch.inf
            values, positions = part.topk(min(m, part.shape[1]), dim=1)
            best, order = torch.cat([best, values], dim=1).topk(m, dim=1)
            at = torch.cat([at, positions + first], dim=1).gather(1, order)
        found.append(at.cpu().numpy())
    return np.concatenate(found)


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.detach().float(), dim=1)
