"""Augmentations of a whole batch at once, on the device that it is on.

They work on samples as they are stored, before normalisation, so uint8 images stay small. Chance
comes from torch's generator of that device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from activeloop.errors import LearnerError

Augmentation = Callable[[Tensor], Tensor]


def crop(images: Tensor) -> Tensor:
    """Shift each image of `[n, c, h, w]` by up to an eighth of its sides; edges are repeated."""
    n, channels, height, width = images.shape
    device = images.device
    rows = _shifted(n, height, device)[:, None, :, None]
    columns = _shifted(n, width, device)[:, None, None, :]
    each = torch.arange(n, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    return images[each, channel, rows, columns]


def flip(images: Tensor) -> Tensor:
    """Mirror each image of `[n, c, h, w]` left to right with probability 1/2."""
    coins = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(coins, images.flip(-1), images)


AUGMENTATIONS: Final[dict[str, Augmentation]] = {"crop": crop, "flip": flip}


def augmenter(names: Sequence[str], shape: tuple[int, ...]) -> Augmentation:
    """Return a function that applies the augmentations `names` in turn to a batch.

    Raises:
        LearnerError: `shape` is not that of an image.
    """
    if names and len(shape) != 3:
        raise LearnerError(
            f"learner.augment={list(names)} needs images, the samples here have shape {shape}; "
            "use learner.augment=none"
        )

    def augment(batch: Tensor) -> Tensor:
        for name in names:
            batch = AUGMENTATIONS[name](batch)
        return batch

    return augment


def _shifted(n: int, side: int, device: torch.device) -> Tensor:
    """Return for each of `n` images which position to read at each of `side` positions."""
    most = max(1, side // 8)
    shifts = torch.randint(-most, most + 1, (n, 1), device=device)
    return (torch.arange(side, device=device) + shifts).clamp(0, side - 1)
