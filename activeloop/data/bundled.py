"""Scikit-learn's handwritten digits: on every machine, nothing to download."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from activeloop.checks import whole
from activeloop.data.parts import split, whole_part
from activeloop.data.prepare import PoolOptions, Source, prepare
from activeloop.data.samples import NumberedKeys
from activeloop.types import Data, HiddenLabels


def digits(
    *, size: int = 28, test_fraction: float = 0.2, **options: Any
) -> tuple[Data, HiddenLabels]:
    """Return the 1,797 digits of 8 x 8 pixels, scaled to `size` x `size`: uint8 `[1, size, size]`.

    Args:
        size: height and width in pixels; bilinear.
        test_fraction: how much of the set is the test set, stratified, drawn by `seed`.
        options: `PoolOptions`.

    Raises:
        ConfigError: on options that have no meaning or ask for too much.
    """
    from sklearn.datasets import load_digits  # here, since it is slow to import

    chosen = PoolOptions.of(options)
    whole("data.size", size, least=1)
    bunch = load_digits()
    # Pixels are 0..16.
    images = torch.from_numpy(bunch.images * (255 / 16)).float().unsqueeze(1)
    images = interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    x = images.round().clamp(0, 255).to(torch.uint8)
    labels = bunch.target.astype(np.int64)
    everything = whole_part(x, NumberedKeys("all", np.arange(len(x))), labels)
    pool, test = split(everything, test_fraction, chosen.rng("test"))
    source = Source(
        name="digits",
        classes=tuple(str(digit) for digit in range(10)),
        pool=pool,
        test=test,
        augmentations=("crop",),
    )
    return prepare(source, chosen)
