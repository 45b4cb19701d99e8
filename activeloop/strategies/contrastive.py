"""Contrastive active learning: predicted unlike the labelled samples that look alike."""

from __future__ import annotations

import torch
from torch import Tensor

from activeloop import measures
from activeloop.memory import rows_at_a_time
from activeloop.strategies.base import needs, score
from activeloop.strategies.spaces import Space
from activeloop.types import Context


@score
@needs("probs", "features", "neighbors")
def cal(context: Context, *, m: int = 10, space: Space = "features") -> Tensor:
    """Predicted most unlike its nearest labelled samples: mean KL(their p || own p).

    The `m` nearest labelled samples on unit vectors; fewer where there are fewer, and a score of 0,
    so that the picks are random, where there are none.

    Paper: Margatina et al., Active Learning by Acquiring Contrastive Examples, EMNLP 2021.
    Budget: high.
    Time: O(N L D + N m C) for L labels.
    Memory: O(N m + L C).

    Own probabilities of 0 count as the smallest float32, so that a score stays finite.

    Args:
        context: what there is to choose from.
        m: labelled neighbours.
        space: "features" or "embeddings", in which they are nearest.
    """
    _, near = context.neighbors(m, "labelled", space=space, queries=context.unlabelled)
    tiny = torch.finfo(torch.float32).tiny
    candidates = torch.from_numpy(context.unlabelled).to(near.device)
    labelled = torch.from_numpy(context.labelled).to(near.device)
    entropies = context.probs.new_zeros(len(context.probs))
    entropies[labelled] = measures.entropy(context.probs[labelled])
    scores = torch.zeros(len(candidates), dtype=torch.float64, device=near.device)
    step = rows_at_a_time(4 * near.shape[1] * context.probs.shape[1])
    for start in range(0, len(candidates), step):
        rows, theirs = candidates[start : start + step], near[start : start + step]
        there, flat = theirs >= 0, theirs.clamp(min=0).flatten()
        entropy = entropies.index_select(0, flat).view_as(theirs).where(there, 0).sum(dim=1)
        probs = context.probs.index_select(0, flat).view(*theirs.shape, -1)
        # sum p log p - sum p log q, summed over the neighbours first where q is shared.
        total = probs.where(there[:, :, None], 0).sum(dim=1)
        own = measures.log(context.probs.index_select(0, rows).clamp_(min=tiny))
        divergence = -entropy.double() - (total * own).sum(dim=1).double()
        scores[start : start + step] = divergence / there.sum(dim=1).clamp(min=1)
    return scores.clamp(min=0)
