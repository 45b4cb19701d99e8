"""What labels together say about the members: joint distributions, exact or sampled.

A configuration is one label for each of the chosen samples. Of each it is enough to know how
probable it is, and how it weighs the members: p(member | configuration). With these weights the
conditional entropies of one more label are a matrix product away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from activeloop.measures import log
from activeloop.memory import rows_at_a_time

# Probabilities below count as this: logarithms stay finite, and what it adds is far below rounding.
_FLOOR = 1e-30


@dataclass(frozen=True, kw_only=True)
class Configurations:
    """Labels of the chosen samples, `S` of them, all there are or a sample of them.

    Attributes:
        shares: how much each counts, `[S]` float64; they sum to 1.
        weights: p(member | configuration), `[S, M]` float64; rows sum to 1.
        generators: the member that each was drawn from, `[S]`; None where these are all.
    """

    shares: Tensor
    weights: Tensor
    generators: Tensor | None = None

    @property
    def exact(self) -> bool:
        """Whether these are all configurations that are possible."""
        return self.generators is None

    def __len__(self) -> int:
        return len(self.shares)

    def gains(self, members: Tensor) -> Tensor:
        """Return I(label; member | labels chosen so far) in nats, `[n]` float64.

        With H(label | configuration) under its weights, and the members' entropies under the mean
        of the weights: exact for all configurations; for a sample of them, an unbiased estimate
        none of whose terms is negative.

        Args:
            members: probabilities of `n` candidates, `[M, n, C]`.
        """
        _, n, classes = members.shape
        probs = members.float().clamp(min=_FLOOR)
        rows = probs.flatten(1).T  # [n C, M]: each is one class of one candidate
        weights, shares = self.weights.float().T.contiguous(), self.shares.float()
        plogp = [
            _plogp(some @ weights) @ shares
            for some in torch.split(
                rows, rows_at_a_time(8 * len(self))
            )  # float32: product and logarithm
        ]
        joint = -torch.cat(plogp).double().view(n, classes).sum(dim=1)
        entropies = -_plogp(probs).double().sum(dim=2)  # [M, n]
        return joint - (self.shares @ self.weights) @ entropies


def _plogp(p: Tensor) -> Tensor:
    return log(p).mul_(p)


def nothing_chosen(members: Tensor) -> Configurations:
    """Return the one configuration of no labels at all, for members `[M, n, C]`."""
    size, device = len(members), members.device
    return Configurations(
        shares=torch.ones(1, dtype=torch.float64, device=device),
        weights=torch.full((1, size), 1 / size, dtype=torch.float64, device=device),
    )


def with_all_labels(before: Configurations, probs: Tensor) -> Configurations:
    """Return all configurations that add a label of one more sample, whose `probs` are `[M, C]`."""
    joint = before.weights[:, None, :] * probs.double().T  # [S, C, M]
    conditional = joint.sum(dim=2)  # p(label | configuration)
    shares = (before.shares[:, None] * conditional).flatten()
    possible = shares > 0
    weights = (joint / conditional[:, :, None]).flatten(0, 1)
    shares = shares[possible]
    return Configurations(shares=shares / shares.sum(), weights=weights[possible])


def drawn(chosen: Tensor, size: int, rng: np.random.Generator) -> Configurations:
    """Return about `size` configurations drawn from the members, equally many from each.

    Args:
        chosen: probabilities of the chosen samples, `[M, n, C]`.
        size: how many; rounded to a multiple of `M`, at least `M`.
        rng: draws the labels.
    """
    each = max(1, size // len(chosen))
    found = nothing_chosen(chosen)
    generators = torch.arange(len(chosen), device=chosen.device).repeat_interleave(each)
    found = Configurations(
        shares=found.shares.expand(len(generators)) / len(generators),
        weights=found.weights.expand(len(generators), -1),
        generators=generators,
    )
    for position in range(chosen.shape[1]):
        found = with_drawn_label(found, chosen[:, position], rng)
    return found


def with_drawn_label(
    before: Configurations, probs: Tensor, rng: np.random.Generator
) -> Configurations:
    """Return drawn configurations with a label each, drawn by its member, of one more sample."""
    assert before.generators is not None
    probs = probs.double()
    cumulative = probs.cumsum(dim=1)[before.generators]  # [S, C]
    uniform = torch.from_numpy(rng.random(len(before))).to(probs.device)
    reached = cumulative <= (uniform * cumulative[:, -1])[:, None]
    labels = reached.sum(dim=1).clamp_(max=probs.shape[1] - 1)
    weights = before.weights * probs.T[labels]
    return Configurations(
        shares=before.shares,
        weights=weights / weights.sum(dim=1, keepdim=True),
        generators=before.generators,
    )
