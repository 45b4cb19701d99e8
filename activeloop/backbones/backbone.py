"""What a backbone is: images in, vectors out, and a name for the weights that do it."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as images

from activeloop.architecture import describe
from activeloop.errors import ConfigError, DataError, LearnerError
from activeloop.pretrained import SUFFIXES

# Changed when the same weights and preparation begin to give other vectors.
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How images become what a backbone was trained on; as the libraries do it with theirs.

    Attributes:
        resize: height and width that images are resized to, before the borders are cut.
        crop: height and width of the middle that is kept.
        mean: of each of three channels, pixels in [0, 1].
        std: likewise.
        interpolation: "bilinear" or "bicubic"; antialiased.
        squash: whether images are stretched to `resize`; otherwise they keep their proportions
            and cover it.
    """

    resize: tuple[int, int]
    crop: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    squash: bool = False

    def of_size(self, size: int | None) -> Preparation:
        """Return this for images of `size` x `size` pixels, with the same share cut off."""
        if size is None:
            return self
        both = zip(self.resize, self.crop, strict=True)
        height, width = (round(size * before / after) for before, after in both)
        return replace(self, resize=(height, width), crop=(size, size))

    def __call__(self, raw: Tensor) -> Tensor:
        """Return `raw`, uint8 or float in [0, 1] `[n, 1 or 3, h, w]`, as `[n, 3, *crop]` float32.

        Raises:
            DataError: these are no images, or floats outside [0, 1].
        """
        check_images(tuple(raw.shape[1:]))
        if raw.dtype != torch.uint8 and raw.numel() and not (raw.min() >= 0 and raw.max() <= 1):
            raise DataError(
                "embed=backbone needs uint8 images, or pixels from 0 to 1; these go from "
                f"{float(raw.min()):.3g} to {float(raw.max()):.3g}"
            )
        mode = InterpolationMode(self.interpolation)
        resized = images.resize(raw, self._target(raw), interpolation=mode, antialias=True)
        pixels = images.convert_image_dtype(images.center_crop(resized, list(self.crop)))
        if pixels.shape[1] == 1:  # grey: three equal channels
            pixels = pixels.expand(-1, 3, -1, -1)
        prepared: Tensor = images.normalize(pixels, list(self.mean), list(self.std))
        return prepared

    def _target(self, raw: Tensor) -> list[int]:
        if self.squash:
            return list(self.resize)
        if self.resize[0] == self.resize[1]:
            return [self.resize[0]]  # of the shorter side
        scale = max(want / have for want, have in zip(self.resize, raw.shape[2:], strict=True))
        return [round(have * scale) for have in raw.shape[2:]]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network to be, whose weights never change.

    Attributes:
        title: what it is, for people.
        identity: what tells it and its weights from all others.
        preparation: how images are made ready for it.
        module: returns the network: `[n, 3, h, w]` float32 to vectors `[n, E]`.
    """

    title: str
    identity: str
    preparation: Preparation
    module: Callable[[], nn.Module]

    @property
    def fingerprint(self) -> str:
        """What vectors depend on beside the images."""
        return f"{VERSION} {self.identity} {self.preparation}"

    def build(self, device: torch.device) -> tuple[nn.Module, int]:
        """Return the network on `device`, in evaluation mode and channels-last, and its `E`.

        Raises:
            LearnerError: the weights cannot be had or do not fit, or it does not take images of
                this size, or does not give vectors.
        """
        module = self.module().eval().requires_grad_(False)
        height, width = self.preparation.crop
        try:
            with torch.inference_mode():
                vectors = module(torch.zeros(1, 3, height, width))
        except Exception as error:  # a stranger's network may raise anything
            raise LearnerError(
                f"{self.title} cannot take images of {height}x{width}: {error}; "
                "embed.size=null gives it what its weights want"
            ) from error
        if not isinstance(vectors, Tensor) or vectors.ndim != 2:
            got = list(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise LearnerError(f"{self.title} must give vectors [n, E], got {got}: use another")
        return module.to(device, memory_format=torch.channels_last), vectors.shape[1]  # type: ignore[call-overload]  # torch's stubs know no memory_format here


def check_images(shape: Sequence[int]) -> None:
    """Raise `DataError` unless samples of `shape` are grey or RGB images."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise DataError(
            "embed=backbone needs images of 1 or 3 channels, and these samples are "
            f"{describe(tuple(shape))}"
        )


def is_file(weights: str) -> bool:
    """Return whether `weights` is meant as the path of a file, rather than a name."""
    return Path(weights).suffix in SUFFIXES


def weights_identity(weights: str, seed: int, named: str) -> str:
    """Return what tells weights apart: a file's content, a seed, or what the library calls them.

    Args:
        weights: the setting.
        seed: of random weights.
        named: the library's own name of weights that are neither random nor in a file.

    Raises:
        ConfigError: there is no such file.
    """
    if weights == "random":
        return f"random {seed} torch {torch.__version__}"
    if not is_file(weights):
        return named
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ConfigError(f"embed.weights={weights}: there is no such file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def extra(module: str, package: str) -> Any:
    """Return `module` of `package`, which only those install who want it.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:  # a build for another torch raises any
        raise ConfigError(
            f"embed.library={module} needs {package} ({error}): pip install 'activeloop[backbones]'"
        ) from error


def unavailable(title: str, why: str) -> LearnerError:
    """Return the error for weights that could not be fetched; `why` says what and where from."""
    return LearnerError(
        f"the weights of {title} cannot be had: {why}, or use embed.weights=PATH with that file"
    )
