"""Samples to vectors by a frozen backbone, once: the vectors are kept for later runs."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from activeloop.backbones import load_backbone
from activeloop.backbones.backbone import Backbone, check_images, is_file
from activeloop.checks import whole
from activeloop.embed import Parts, checked_by, embedded
from activeloop.errors import DataError, LearnerError
from activeloop.learners.chance import find_device
from activeloop.learners.settings import truth
from activeloop.memory import available, readable
from activeloop.progress import Counting
from activeloop.types import Data, Samples
from activeloop.vector_files import SHARD, VectorFile, Vectors

log = logging.getLogger(__name__)

# The settings that say which network it is.
_NETWORK = ("name", "library", "weights", "size", "seed")
#: Those that vectors depend on.
VECTORS_OF = (*_NETWORK, "mixed_precision")


def _check_making(batch_size: object, mixed_precision: object) -> None:
    whole("embed.batch_size", batch_size, least=1)
    truth("embed.mixed_precision", mixed_precision)


def _check(*, batch_size: object = 1, mixed_precision: object = False, **settings: Any) -> None:
    _check_making(batch_size, mixed_precision)
    network = {name: settings[name] for name in _NETWORK if name in settings}
    load_backbone(**network, warns=False)


@checked_by(_check)
def backbone(
    data: Data,
    *,
    name: str = "resnet18",
    library: str = "torchvision",
    weights: str = "default",
    size: int | None = None,
    batch_size: int = 64,
    mixed_precision: bool = False,
    as_input: bool = True,
    seed: int = 0,
    cache: str | Path | None = None,
    device: str | torch.device = "auto",
) -> Data:
    """Embed images by a network that is not trained any further, in evaluation mode.

    Images are resized, cut and normalised as the weights want, from the pixels as they are stored:
    `data.mean` and `data.std` play no part. Vectors are what the network's last layer takes
    (torchvision), what it pools (timm), or the embedding of the image (open_clip).

    With `cache`, vectors are kept there by what they depend on, and memory-mapped. An embedding
    that was interrupted goes on where it stopped, and processes that do the same one share it.

    Args:
        data: images of 1 or 3 channels, uint8 or floats from 0 to 1.
        name: the network, as its library calls it.
        library: "torchvision"; or "timm" or "open_clip", which are extras.
        weights: "default", downloaded if they are not there; the library's name of others; the
            path of a .safetensors, .pth or .pt file of a state dict; or "random".
        size: height and width in pixels that images are given; None: what the weights want.
        batch_size: images at a time.
        mixed_precision: compute in bfloat16: faster where there are units for it, less exact.
        as_input: whether the learner gets the vectors in place of the images. Without it, only
            the pool is embedded, for strategies.
        seed: of random weights.
        cache: folder in which vectors are kept; None: nowhere.
        device: "auto", "cpu", "cuda" or "cuda:<number>".

    Raises:
        ConfigError: a setting has no meaning, or the library is not installed.
        DataError: these are no such images, or the vectors cannot be written or are not finite.
        LearnerError: the weights cannot be had, or do not fit.
    """
    _check_making(batch_size, mixed_precision)
    frozen = load_backbone(name, library=library, weights=weights, size=size, seed=seed)
    check_images(data.shape)
    embedder = Embedder(
        frozen,
        batch_size=batch_size,
        mixed_precision=mixed_precision,
        cache=None if cache is None else Path(cache).expanduser(),
        device=find_device(device),
    )
    known = data.validation
    parts = Parts(
        pool=embedder(data.pool, "pool"),
        test=embedder(data.test, "test set") if as_input and data.test is not None else None,
        validation=embedder(known.samples, "validation set")
        if as_input and known is not None
        else None,
    )
    settings = {"name": name, "library": library, "weights": weights, "size": size, "seed": seed}
    settings |= {"batch_size": batch_size, "mixed_precision": mixed_precision}
    if is_file(weights):
        settings["weights"] = str(Path(weights).expanduser().resolve())
    settings["fingerprint"] = frozen.fingerprint
    return embedded(data, parts, as_input, by="backbone", settings=settings)


def embedder_of(
    settings: Mapping[str, Any], device: str | torch.device
) -> Callable[[Samples], Tensor]:
    """Return what makes vectors `[n, E]` of images as `backbone` did.

    Args:
        settings: those that `backbone` left in the data's preprocessing.
        device: "auto", "cpu", "cuda" or "cuda:<number>".

    Raises:
        ConfigError: the library, or the file of weights, is not there.
        LearnerError: the weights cannot be had, or are others.
    """
    options = dict(settings)
    known, batch_size = options.pop("fingerprint"), options.pop("batch_size")
    mixed_precision = options.pop("mixed_precision")
    frozen = load_backbone(**options)
    if frozen.fingerprint != known:
        raise LearnerError(
            f"the vectors were made by another {frozen.title}: its weights, or the library's way "
            f"with them, changed (was {known}; is {frozen.fingerprint})"
        )
    embedder = Embedder(
        frozen,
        batch_size=batch_size,
        mixed_precision=mixed_precision,
        cache=None,
        device=find_device(device),
    )
    return lambda samples: torch.from_numpy(embedder.make(samples, 0, len(samples)))


def kept(
    samples: Samples,
    *,
    cache: str | Path | None,
    name: str = "resnet18",
    library: str = "torchvision",
    weights: str = "default",
    size: int | None = None,
    mixed_precision: bool = False,
    seed: int = 0,
) -> Tensor | None:
    """Return vectors that `backbone` left in `cache`, `[n, E]`; None: not all are there.

    Raises:
        ConfigError: a setting has no meaning, or the library is not installed.
        OSError: the file cannot be read.
    """
    if cache is None:
        return None
    frozen = load_backbone(name, library=library, weights=weights, size=size, seed=seed)
    return _file(samples, frozen, mixed_precision, Path(cache).expanduser()).read()


def _file(samples: Samples, backbone: Backbone, mixed_precision: bool, folder: Path) -> VectorFile:
    """Return the file of the vectors, named by all that they depend on."""
    on = f"{samples.fingerprint} {backbone.fingerprint} {mixed_precision}"
    key = hashlib.blake2b(on.encode(), digest_size=16).hexdigest()
    return VectorFile(folder, key, len(samples))


class Embedder:
    """Makes vectors of samples, or finds them in `cache`. The network is built when needed."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        batch_size: int,
        mixed_precision: bool,
        cache: Path | None,
        device: torch.device,
    ) -> None:
        self.backbone = backbone
        self.batch_size = batch_size
        self.mixed_precision = mixed_precision
        self.cache = cache
        self.device = device
        self._built: tuple[nn.Module, int] | None = None

    def __call__(self, samples: Samples, part: str) -> Tensor:
        """Return the vectors of `samples`, `[n, E]` float32 on the CPU; `part` says which."""
        if self.cache is None or len(samples) == 0:
            return self._in_memory(samples, part)
        file = _file(samples, self.backbone, self.mixed_precision, self.cache)
        try:
            if (found := file.read()) is not None:
                log.info("the %s's vectors by %s are in %s", part, self.backbone.title, file.path)
                return found
            _, width = self._network()
            file.begin(width)
        except OSError as error:
            log.warning(
                "cannot keep vectors in %s (%s): they stay in memory, and the next run makes them "
                "again; embed.cache=FOLDER keeps them elsewhere",
                self.cache,
                error.strerror or error,
            )
            return self._in_memory(samples, part)
        log.info("the %s's vectors by %s go to %s", part, self.backbone.title, file.path)
        with Counting(f"embedding the {part}", len(samples)) as tell:
            return file.fill(width, functools.partial(self.make, samples), tell)

    def _in_memory(self, samples: Samples, part: str) -> Tensor:
        _, width = self._network()
        size, free = 4 * len(samples) * width, available()
        if size > free:
            raise DataError(
                f"{len(samples):,} vectors of {width} take {readable(size)}, and {readable(free)} "
                "of memory are free: keep them on a disk with embed.cache=FOLDER"
            )
        vectors = torch.empty(len(samples), width)
        with Counting(f"embedding the {part}", len(samples)) as tell:
            for start in range(0, len(samples), SHARD):
                stop = min(start + SHARD, len(samples))
                vectors[start:stop] = torch.from_numpy(self.make(samples, start, stop))
                tell(stop)
        return vectors

    def _network(self) -> tuple[nn.Module, int]:
        if self._built is None:
            self._built = self.backbone.build(self.device)
        return self._built

    @torch.inference_mode()
    def make(self, samples: Samples, start: int, stop: int) -> Vectors:
        """Return the vectors of samples `start` to `stop`, `[stop - start, E]`."""
        module, width = self._network()
        rows = torch.empty(stop - start, width)
        for first in range(start, stop, self.batch_size):
            last = min(first + self.batch_size, stop)
            raw = samples.raw(np.arange(first, last), self.device)
            batch = self.backbone.preparation(raw).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision):
                rows[first - start : last - start] = module(batch)
        if not (good := rows.isfinite().all(1)).all():
            key = samples.keys[start + int((~good).nonzero()[0])]
            raise LearnerError(
                f"{self.backbone.title} makes NaN or infinity of {key}: check its weights"
                f"{', or use embed.mixed_precision=false' if self.mixed_precision else ''}"
            )
        vectors: Vectors = rows.numpy()
        return vectors
