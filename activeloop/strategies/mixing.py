"""Share a batch out among several strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from activeloop.checks import real
from activeloop.errors import ConfigError
from activeloop.strategies.loading import Inner
from activeloop.strategies.wrapping import Wrapper, among, ask_narrowed
from activeloop.types import Context, Indices, Picks


@dataclass(kw_only=True, repr=False, eq=False)
class Mix(Wrapper):
    """Several strategies share the batch; each picks from what those before it left.

    Shares of `k` are rounded by largest remainder, equal remainders by chance, so that they sum to
    `k`. Scores are kept if all strategies give them, though those of different ones do not compare.

    Budget: any; a share of random guards against what a strategy is blind to.
    Time: O(U), and the inner ones'.
    Memory: O(U), and the inner ones'.

    Args:
        strategies: at least one.
        shares: a number for each, relative to their sum; None: equal shares.

    Raises:
        ConfigError: `shares` are not as many, negative, or all 0.
    """

    wraps = ("strategies",)
    strategies: Sequence[Inner] = ("margin", "random")
    shares: Sequence[float] | None = None

    def check(self) -> None:
        """Raise `ConfigError` if shares and strategies do not fit."""
        if not self.inner:
            raise ConfigError("strategy.strategies must name at least one strategy, got none")
        if self.shares is None:
            return
        if not isinstance(self.shares, list | tuple):
            raise ConfigError(f"strategy.shares must be a list of numbers, got {self.shares!r}")
        if len(self.shares) != len(self.inner):
            raise ConfigError(
                f"strategy.shares must be as many as strategy.strategies, {len(self.inner)}, got "
                f"{len(self.shares)}"
            )
        shares = [real("each of strategy.shares", share, least=0) for share in self.shares]
        if sum(shares) == 0:
            raise ConfigError("strategy.shares must not all be 0")

    def __call__(self, context: Context) -> Picks:
        """Pick `context.k`, the first strategy's first."""
        left = context.unlabelled
        indices, scores = [], []
        for strategy, k in zip(self.inner, self._sizes(context), strict=True):
            if k == 0:
                continue
            picked, scored = ask_narrowed(strategy, among(context, left, k))
            left = np.delete(left, np.searchsorted(left, picked))
            indices.append(picked)
            scores.append(scored)
        known = [each for each in scores if each is not None]
        whole = np.concatenate(known) if len(known) == len(scores) else None
        return Picks(np.concatenate(indices), whole)

    def _sizes(self, context: Context) -> Indices:
        """Return how many each strategy picks, summing to `k`."""
        shares = np.ones(len(self.inner)) if self.shares is None else np.array(self.shares, float)
        exact = context.k * shares / shares.sum()
        sizes: Indices = np.floor(exact).astype(np.int64)
        # Rounded, so that 6.999... of floating point comes before any true remainder.
        remainder = np.where(shares > 0, np.round(exact - sizes, 9), -1)
        order = np.lexsort((context.rng.permutation(len(sizes)), -remainder))
        sizes[order[: context.k - sizes.sum()]] += 1
        return sizes
