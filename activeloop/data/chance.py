"""Chance in the items of a dataset, which draw from the global generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def chance_kept() -> Iterator[None]:
    """Leave the global generators as they were."""
    plain, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  # a dataset's chance
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(legacy)  # noqa: NPY002


def seed_chance(*entropy: int) -> None:
    """Seed the global generators: for an item, so that it is the same whoever reads it."""
    state = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(state[0]))
    np.random.seed(int(state[1]))  # noqa: NPY002  # what datasets draw from
    torch.default_generator.manual_seed(int(state[2]))
