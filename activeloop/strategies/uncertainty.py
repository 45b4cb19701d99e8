"""Uncertainty sampling: ask where the network is least sure. For high budgets.

O(U C) time, O(U) memory beside the probabilities.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from activeloop import measures
from activeloop.checks import choice
from activeloop.strategies.base import needs, score
from activeloop.types import Context


@score
@needs("probs")
def least_confidence(context: Context) -> Tensor:
    """Lowest top probability first: 1 - max p (Lewis and Gale, SIGIR 1994)."""
    return measures.least_confidence(context.probs[context.unlabelled])


@score
@needs("probs")
def entropy(context: Context) -> Tensor:
    """Highest entropy of the probabilities first (Shannon, 1948; Settles, 2009)."""
    return measures.entropy(context.probs[context.unlabelled])


@score
@needs("probs")
def margin(context: Context, *, against: Literal["second", "worst"] = "second") -> Tensor:
    """Smallest gap between the two likeliest classes first (Scheffer et al., IDA 2001).

    `against="worst"` takes the gap between the likeliest and the least likely class instead.
    The score is 1 - gap.
    """
    choice("strategy.against", against, ["second", "worst"])
    return 1 - measures.margin(context.probs[context.unlabelled], against)
