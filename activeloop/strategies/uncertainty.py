"""Uncertainty sampling: ask where the network is least sure."""

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
    """Lowest top probability first: 1 - max p.

    Paper: Lewis and Gale, A Sequential Algorithm for Training Text Classifiers, SIGIR 1994.
    Budget: high.
    Time: O(U C).
    Memory: O(U).
    """
    return measures.least_confidence(context.probs[context.unlabelled])


@score
@needs("probs")
def entropy(context: Context) -> Tensor:
    """Highest entropy of the probabilities first: -sum p log p.

    Paper: Shannon, 1948; Settles, Active Learning Literature Survey, 2009.
    Budget: high.
    Time: O(U C).
    Memory: O(U).
    """
    return measures.entropy(context.probs[context.unlabelled])


@score
@needs("probs")
def margin(context: Context, *, against: Literal["second", "worst"] = "second") -> Tensor:
    """Smallest gap between the two likeliest classes first: 1 - (p1 - p2).

    `against="worst"` takes the gap between the likeliest and the least likely class instead.

    Paper: Scheffer, Decomain and Wrobel, Active Hidden Markov Models, IDA 2001.
    Budget: high.
    Time: O(U C).
    Memory: O(U).
    """
    choice("strategy.against", against, ["second", "worst"])
    return 1 - measures.margin(context.probs[context.unlabelled], against)
