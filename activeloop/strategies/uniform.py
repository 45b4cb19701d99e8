"""Random sampling, the baseline that every strategy has to beat."""

from __future__ import annotations

from activeloop.types import Context, Indices


def random(context: Context) -> Indices:
    """Uniformly at random, the baseline.

    Budget: any.
    Time: O(U).
    Memory: O(U).
    """
    return context.rng.choice(context.unlabelled, context.k, replace=False)
