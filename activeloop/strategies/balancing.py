"""Balance the classes of what is asked for."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import torch

from activeloop.strategies.asking import ask
from activeloop.strategies.base import needs
from activeloop.strategies.loading import Inner
from activeloop.strategies.wrapping import Wrapper, among
from activeloop.types import Context, Indices, Picks


@needs("probs")
@dataclass(kw_only=True, repr=False, eq=False)
class ClassBalanced(Wrapper):
    """The best of each predicted class, the class with the fewest labels and picks first.

    One after another, the class is taken of which the fewest samples are labelled or predicted and
    picked so far, out of those that still have samples; ties are broken by chance. Of the samples
    predicted to be of it, the one is picked that the inner strategy asks for first. The paper
    weighs balance against the score by an integer program over probabilities; here balance comes
    first, and the predicted class counts.

    Paper: after Bengar et al., Class-Balanced Active Learning for Image Classification, WACV 2022.
    Budget: any, where classes are of unequal size.
    Time: O(U log U + k log C), and the inner one's for all.
    Memory: O(U), and the inner one's.

    Args:
        score: gives the order; best a score, for it is asked for all unlabelled samples.
    """

    wraps = ("score",)
    score: Inner = "margin"

    def __call__(self, context: Context) -> Picks:
        """Pick `context.k` by predicted class."""
        (strategy,) = self.inner
        everything = among(context, context.unlabelled, len(context.unlabelled))
        order, scores = ask(strategy, everything)
        rows = torch.from_numpy(order).to(context.probs.device)
        predicted = context.probs[rows].argmax(dim=1).cpu().numpy()
        chosen = _round_robin(predicted, context)
        return Picks(order[chosen], None if scores is None else scores[chosen])


def _round_robin(predicted: Indices, context: Context) -> Indices:
    """Return `k` positions in `predicted`, `[U]`, the rarest class first, each in its order."""
    counts = np.bincount(context.labels, minlength=context.n_classes)
    by_class = np.argsort(predicted, kind="stable")
    classes, starts = np.unique(predicted[by_class], return_index=True)
    queues = dict(zip(classes.tolist(), np.split(by_class, starts[1:]), strict=True))
    # Count, chance, class, and how many of it are picked.
    waiting = [(int(counts[c]), context.rng.random(), c, 0) for c in queues]
    heapq.heapify(waiting)
    chosen: list[int] = []
    while len(chosen) < context.k:
        count, _, label, taken = heapq.heappop(waiting)
        chosen.append(queues[label][taken])
        if taken + 1 < len(queues[label]):
            heapq.heappush(waiting, (count + 1, context.rng.random(), label, taken + 1))
    return np.array(chosen, np.int64)
