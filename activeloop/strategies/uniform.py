"""Random sampling, the baseline that every strategy has to beat."""

from __future__ import annotations

import numpy as np

from activeloop.types import Context, Indices


def random(context: Context) -> Indices:
    """Uniformly at random, the baseline.

    Budget: any.
    Time: O(U).
    Memory: O(U).
    """
    return context.rng.choice(context.unlabelled, context.k, replace=False)


def random_again(context: Context) -> Indices:
    """Uniformly at random, with other draws than `random`: shows what chance alone does (A/A).

    What a comparison finds between the two is its noise floor.

    Paper: Kohavi et al., Controlled Experiments on the Web, DMKD 2009 (A/A tests).
    Budget: any.
    Time: O(U).
    Memory: O(U).
    """
    # A stream of its own, which the context's seeds: further draws of that one would be shared.
    again = np.random.default_rng(context.rng.integers(2**63, size=4))
    return again.choice(context.unlabelled, context.k, replace=False)
