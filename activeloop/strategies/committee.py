"""Query by committee: ask where the members disagree."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from activeloop import disagreement
from activeloop.checks import choice
from activeloop.strategies.base import by_members, needs, score
from activeloop.types import Context


@score
@needs("members")
def vote_entropy(context: Context) -> Tensor:
    """Votes spread most over the classes first: entropy of the shares of votes.

    Few values are possible with few members: most picks are then ties, broken at random.

    Paper: Dagan and Engelson, Committee-Based Sampling for Probabilistic Classifiers, ICML 1995.
    Budget: high.
    Time: O(M U C).
    Memory: O(U).
    """
    return by_members(disagreement.vote_entropy, context)


@score
@needs("members")
def consensus_entropy(context: Context) -> Tensor:
    """Highest entropy of the members' mean probabilities first.

    It does not tell members that disagree from members that are unsure alike; `bald` does.

    Paper: Settles, Active Learning Literature Survey, 2009 (soft vote entropy).
    Budget: high.
    Time: O(M U C).
    Memory: O(U).
    """
    return by_members(disagreement.consensus_entropy, context)


@score
@needs("members")
def kl_to_mean(context: Context, *, over: Literal["mean", "max"] = "mean") -> Tensor:
    """Members farthest from their mean first: mean over members of KL(p of a member || mean p).

    With the mean this is the same number as `bald`. `over="max"` takes the member that is farthest
    instead, which modAL calls max disagreement.

    Paper: McCallum and Nigam, Employing EM and Pool-Based Active Learning, ICML 1998.
    Budget: high.
    Time: O(M U C).
    Memory: O(U).
    """
    choice("strategy.over", over, ["mean", "max"])

    def divergence(members: Tensor) -> Tensor:
        return disagreement.kl_to_mean(members, over)

    return by_members(divergence, context)
