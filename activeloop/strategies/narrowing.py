"""Let a strategy choose among a part of the pool only."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import numpy as np

from activeloop.checks import real, whole
from activeloop.strategies.asking import ask, ask_candidates
from activeloop.strategies.loading import Inner
from activeloop.strategies.wrapping import Wrapper, among, ask_narrowed, drawn, lottery
from activeloop.types import Context, Indices, Picks


class Narrowing(Wrapper, abc.ABC):
    """Base of the wrappers that know before predicting among which samples to choose."""

    @abc.abstractmethod
    def narrowed(self, context: Context) -> Indices | None:
        """Return among which samples to choose, ascending, at least `k`; None: not known yet.

        What it returns within one query must be the same when `context.unlabelled` is that already.
        """

    def candidates(self, context: Context) -> Indices | None:
        """Return the samples to predict, `[n]`: those of the inner strategy, if it has a say."""
        if (chosen := self.narrowed(context)) is None:
            return None
        (strategy,) = self.inner
        wanted = ask_candidates(strategy, among(context, chosen))
        return chosen if wanted is None else wanted

    def __call__(self, context: Context) -> Picks:
        """Pick `context.k` by the inner strategy among the narrowed samples."""
        (strategy,) = self.inner
        chosen = self.narrowed(context)
        narrow = context if chosen is None else among(context, chosen)
        return Picks(*ask(strategy, narrow))


@dataclass(kw_only=True, repr=False, eq=False)
class Subsample(Narrowing):
    """As a strategy picks among a random part of the pool; the rest is not even predicted.

    Budget: any, in large pools.
    Time: O(U), and the inner one's on the part.
    Memory: O(N), and the inner one's on the part.

    Args:
        strategy: chooses among the part.
        size: samples in the part, at least `k`; a new one is drawn for each query.
        share: of the unlabelled samples, about, in place of `size`.
    """

    strategy: Inner = "entropy"
    size: int = 10_000
    share: float | None = None

    def check(self) -> None:
        """Raise `ConfigError` if the size has no meaning."""
        whole("strategy.size", self.size, least=1)
        if self.share is not None:
            real("strategy.share", self.share, above=0, most=1)

    def narrowed(self, context: Context) -> Indices:
        """Return the random part."""
        if self.share is None:
            return drawn(context, max(self.size, context.k))
        # Each sample for itself, so that the part of a part is that part again.
        part = context.unlabelled[lottery(context) < self.share]
        return part if len(part) >= context.k else drawn(context, context.k)


@dataclass(kw_only=True, repr=False, eq=False)
class Filter(Wrapper):
    """The beta k that one strategy asks for first, and among those as another picks.

    With `score=margin then=k_means` the idea of Zhdanov, Diverse Mini-Batch Active Learning, 2019.

    Paper: Zhdanov, Diverse Mini-Batch Active Learning, arXiv:1901.05954, 2019.
    Budget: high.
    Time: O(U), and the inner ones', the second's on beta k.
    Memory: O(U), and the inner ones'.

    Args:
        score: asked for `beta * k`; a score gives its highest.
        then: picks `k` among those.
        beta: how many times `k` are kept; at most all.
    """

    wraps = ("score", "then")
    score: Inner = "margin"
    then: Inner = "k_means"
    beta: float = 10.0

    def check(self) -> None:
        """Raise `ConfigError` if beta is below 1."""
        real("strategy.beta", self.beta, least=1)

    def candidates(self, context: Context) -> Indices | None:
        """Return what the first strategy wants predicted."""
        return ask_candidates(self.inner[0], self._wide(context))

    def __call__(self, context: Context) -> Picks:
        """Pick `context.k` among the kept."""
        first, then = self.inner
        kept, _ = ask(first, self._wide(context))
        return Picks(*ask_narrowed(then, among(context, np.sort(kept))))

    def _wide(self, context: Context) -> Context:
        """Return `context` with `beta * k` to pick, rounded up, or all."""
        wide = min(math.ceil(self.beta * context.k), len(context.unlabelled))
        return among(context, context.unlabelled, wide)
