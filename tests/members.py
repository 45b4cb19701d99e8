"""Random predictions of members, for tests."""

from __future__ import annotations

import numpy as np
import torch
from fakes import context
from torch import Tensor

from activeloop.types import Context


def random_members(
    size: int, n: int, classes: int, seed: int = 0, spread: float = 1.0, dtype=torch.float32
) -> Tensor:
    """Return probabilities `[M, n, C]` of members that agree the more, the smaller `spread`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(1, n, classes)) + spread * rng.normal(size=(size, n, classes))
    return torch.from_numpy(logits).softmax(dim=2).to(dtype)


def member_context(members: Tensor, k: int = 1, **options) -> Context:
    """Return a context whose members these are, and whose probabilities are their mean."""
    return context(members.mean(dim=0), k=k, members=members, **options)
