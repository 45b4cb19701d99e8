"""A tiny data set of images, and what tests of learners share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from activeloop.architecture import Architecture
from activeloop.learners import TorchLearner
from activeloop.models import load_model
from activeloop.types import Data, Indices, LabelledSamples

CPU = torch.device("cpu")
NOTHING: frozenset[str] = frozenset()


class Pictures:
    """uint8 images in memory, normalised to about -1 to 1."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.keys = [str(n) for n in range(len(images))]
        self.shape = tuple(images.shape[1:])
        self.fingerprint = "pictures"
        self.fetched: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def raw(self, indices: Indices, device: torch.device) -> Tensor:
        self.fetched.append(len(indices))
        return self.images[torch.as_tensor(np.array(indices))].to(device)

    def normalise(self, raw: Tensor) -> Tensor:
        return (raw.float() - 127.5) / 127.5

    def batch(self, indices: Indices, device: torch.device) -> Tensor:
        return self.normalise(self.raw(indices, device))


def pictures(
    n: int = 60, classes: int = 3, size: int = 16, validation: bool = False
) -> tuple[Data, np.ndarray]:
    """Return noisy images, each class with a bright bar at its own height, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    images = rng.integers(0, 120, size=(n, 1, size, size), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, 4 * label : 4 * label + 3] += 120
    samples = Pictures(torch.from_numpy(images))
    data = Data(
        name="bars",
        classes=tuple("abcdefgh"[:classes]),
        pool=samples,
        test=Pictures(samples.images.flip(0)),
        augmentations=("crop",),
    )
    if validation:
        known = LabelledSamples(samples=Pictures(samples.images[:12]), labels=labels[:12])
        data = replace(data, validation=known)
    return data, labels


def torch_learner(model: str | Architecture = "cnn", **options: object) -> TorchLearner:
    """Return a learner that trains for a few steps."""
    settings: dict[str, object] = {"steps": 5, "batch_size": 8, "device": "cpu"}
    architecture = load_model(model) if isinstance(model, str) else model
    return TorchLearner(architecture, **(settings | options))  # type: ignore[arg-type]  # of tests


def architecture(build: Callable[[], nn.Module]) -> Architecture:
    """Return an architecture whose factory takes nothing from the data."""
    return Architecture(lambda: build())


def random_state() -> tuple[object, ...]:
    """Return the state of every global generator, to be compared."""
    legacy = np.random.get_state()  # noqa: NPY002  # the one that must not change
    numpy_state = (legacy[1].tolist(), *legacy[2:])
    gpus = [s.tolist() for s in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else []
    return random.getstate(), numpy_state, torch.get_rng_state().tolist(), gpus
