"""The vectors that a strategy compares samples by."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from activeloop.checks import choice
from activeloop.errors import StrategyError
from activeloop.types import Context

Space = Literal["features", "embeddings"]


def vectors(context: Context, space: Space) -> Tensor:
    """Return the pool's vectors in `space`, `[N, D]`: what the last layer gets, or `embed` made.

    Raises:
        ConfigError: there is no such space.
        StrategyError: this run, or this round, has none.
    """
    choice("strategy.space", space, ["features", "embeddings"])
    found: Tensor | None = context.features if space == "features" else context.embeddings
    if found is None:
        raise StrategyError(
            "there are no embeddings in this run: choose embed=pca, backbone or file"
            if space == "embeddings"
            else "there are no features (before the first round, or not declared by @needs): "
            "use space=embeddings"
        )
    return found
