"""Information density: unsure, and like the rest of the pool."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from activeloop.checks import choice, real
from activeloop.memory import rows_at_a_time
from activeloop.strategies.base import by_score, check_sampling, needs
from activeloop.strategies.loading import Inner
from activeloop.strategies.spaces import Space, vectors
from activeloop.strategies.wrapping import Wrapper
from activeloop.types import Context, Picks, Scores


@needs("features")
@dataclass(kw_only=True, repr=False, eq=False)
class InformationDensity(Wrapper):
    """A score times the mean similarity to the pool: unsure samples that are no outliers.

    Paper: Settles and Craven, An Analysis of Active Learning Strategies, EMNLP 2008.
    Budget: any.
    Time: O(U D) beside the score's.
    Memory: O(U + D) beside the score's.

    The similarity is the cosine; its mean over the unlabelled samples is one product with their
    mean unit vector, exactly. Where it is negative (the paper's features are counts, these need
    not be) the density is 0.

    Args:
        score: the strategy whose score is weighed, a name or a callable; at least 0 everywhere.
        exponent: of the density (beta in the paper); 0 leaves the score alone.
        space: "features" or "embeddings".
        sampling: "top", or how to draw by the score: see `activeloop.strategies.base`.
        beta: how sharply sampling follows the score.

    Raises:
        ConfigError: `score` gives no score.
    """

    wraps = ("score",)
    score: Inner = "entropy"
    exponent: float = 1.0
    space: Space = "features"
    sampling: str = "top"
    beta: float = 1.0

    def check(self) -> None:
        """Raise `ConfigError` if there is no score, or an option has no meaning."""
        self._score = self.weighed()
        real("strategy.exponent", self.exponent, least=0)
        check_sampling(self.sampling, self.beta)
        choice("strategy.space", self.space, ["features", "embeddings"])

    def __call__(self, context: Context) -> Picks:
        """Pick `k` by the score times density^exponent."""
        weights: Scores = density(context, self.space) ** self.exponent
        return by_score(self._score(context) * weights, context, self.sampling, self.beta)


def density(context: Context, space: Space) -> Scores:
    """Return the mean cosine similarity of each unlabelled sample to all, at least 0, `[U]`.

    Each counts itself, as in the paper. Rows of zeros are similar to nothing.
    """
    x, rows = vectors(context, space), context.unlabelled
    step = rows_at_a_time(16 * x.shape[1])

    def units(start: int) -> torch.Tensor:
        some = torch.from_numpy(rows[start : start + step]).to(x.device)
        return torch.nn.functional.normalize(x[some].double(), dim=1)

    mean = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    for start in range(0, len(rows), step):
        mean += units(start).sum(dim=0) / len(rows)
    found = torch.cat([units(start) @ mean for start in range(0, len(rows), step)])
    positive: Scores = found.clamp(min=0).cpu().numpy()
    return positive
