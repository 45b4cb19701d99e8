"""Random streams, one for each consumer and round, all from one seed.

Streams are stateless: the stream of a name and round is the same whatever was drawn before. So a
resumed run repeats the open round, two strategies with one seed start from the same labels and
weights, and a new consumer shifts nobody's numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from activeloop.checks import whole


@dataclass(frozen=True)
class Streams:
    """The streams of one seed."""

    seed: int

    def __post_init__(self) -> None:
        """Check the seed."""
        whole("seed", self.seed)

    def rng(self, name: str, round: int = 0) -> np.random.Generator:
        """Return the generator of the consumer `name` in `round`, at its beginning."""
        entropy = [self.seed, crc32(name.encode()), round]
        return np.random.default_rng(np.random.SeedSequence(entropy))
