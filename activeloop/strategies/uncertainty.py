"""Uncertainty sampling: ask where the network, or its members between them, are least sure."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from activeloop import disagreement, measures
from activeloop.checks import choice
from activeloop.strategies.base import by_members, by_rows, needs, score
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
    return by_rows(measures.least_confidence, context.probs, context.unlabelled)


@score
@needs("probs")
def entropy(context: Context) -> Tensor:
    """Highest entropy of the probabilities first: -sum p log p.

    Paper: Shannon, 1948; Settles, Active Learning Literature Survey, 2009.
    Budget: high.
    Time: O(U C).
    Memory: O(U).
    """
    return by_rows(measures.entropy, context.probs, context.unlabelled)


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

    def gap(probs: Tensor) -> Tensor:
        return measures.margin(probs, against)

    return (1 - by_rows(gap, context.probs, context.unlabelled)).clamp_(min=0)


@score
@needs("members")
def variation_ratio(context: Context) -> Tensor:
    """Fewest members behind the commonest vote first: 1 - their share.

    Few values are possible with few members: most picks are then ties, broken at random.

    Paper: Freeman, Elementary Applied Statistics, 1965; Gal, Islam and Ghahramani, ICML 2017.
    Budget: high.
    Time: O(M U C).
    Memory: O(U).
    """
    return by_members(disagreement.variation_ratio, context)


@score
@needs("members")
def bald(context: Context) -> Tensor:
    """Most information between label and members first: H[mean p] - mean H[p].

    Paper: Houlsby et al., Bayesian Active Learning, 2011; Gal, Islam and Ghahramani, ICML 2017.
    Budget: high.
    Time: O(M U C).
    Memory: O(U).
    """
    return by_members(disagreement.bald, context)


@score
@needs("members")
def mean_std(context: Context) -> Tensor:
    """Probabilities that vary most over members first: mean over classes of their deviation.

    Paper: Kendall, Badrinarayanan and Cipolla, Bayesian SegNet, BMVC 2017.
    Budget: high.
    Time: O(M U C).
    Memory: O(U).
    """
    return by_members(disagreement.mean_std, context)
