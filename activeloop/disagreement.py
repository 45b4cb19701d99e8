"""How far members disagree on a sample: the networks of an ensemble, or passes under dropout.

Members are `[M, n, C]` probabilities, results `[n]` on the same device, never below 0.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from activeloop.measures import entropy, log


def variation_ratio(members: Tensor) -> Tensor:
    """Return 1 - the share of members that vote for the class most of them vote for."""
    return (1 - _votes(members).amax(dim=1)).clamp_(min=0)


def vote_entropy(members: Tensor) -> Tensor:
    """Return the entropy, in nats, of the shares of members that vote for each class."""
    return entropy(_votes(members))


def consensus_entropy(members: Tensor) -> Tensor:
    """Return the entropy, in nats, of the mean of the members' probabilities."""
    return entropy(members.mean(dim=0))


def bald(members: Tensor) -> Tensor:
    """Return H[mean p] - mean H[p] in nats: what the label would say about which member is right.

    At most log M and log C.
    """
    return (consensus_entropy(members) - member_entropy(members)).clamp_(min=0)


def member_entropy(members: Tensor) -> Tensor:
    """Return the mean of the members' entropies in nats."""
    return _entropies(members).mean(dim=0)


def kl_to_mean(members: Tensor, over: Literal["mean", "max"] = "mean") -> Tensor:
    """Return the mean, or the largest, over members of KL(p of the member || mean p) in nats."""
    tiny = torch.finfo(members.dtype).tiny
    log_mean = log(members.mean(dim=0).clamp_(min=tiny))
    cross = -torch.einsum("mnc,nc->mn", members, log_mean)
    divergence = cross.sub_(_entropies(members)).clamp_(min=0)
    return divergence.amax(dim=0) if over == "max" else divergence.mean(dim=0)


def mean_std(members: Tensor) -> Tensor:
    """Return the mean over classes of the standard deviation over members (divided by M)."""
    # Two passes, so that rounding stays small; several times faster than torch.std on a CPU.
    deviations = (members - members.mean(dim=0)).square_().mean(dim=0).sqrt_()
    return deviations.mean(dim=1)


def _entropies(members: Tensor) -> Tensor:
    """Return each member's entropy, `[M, n]`."""
    return entropy(members.flatten(0, 1)).view(members.shape[:2])


def _votes(members: Tensor) -> Tensor:
    """Return the share of members that find each class the likeliest, `[n, C]`.

    A member that finds several equally likely votes for the first of them.
    """
    size, n, classes = members.shape
    counts = torch.zeros(n, classes, device=members.device)
    counts.scatter_add_(1, members.argmax(dim=2).T, torch.ones(n, size, device=members.device))
    return counts / size
