"""How image files become samples of a run whose data need not be there any more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from activeloop import embed
from activeloop.data.samples import TensorSamples
from activeloop.errors import LearnerError
from activeloop.types import Embedding, Preprocessing, Samples

# In a run's directory: what its vectors were made by, where that is more than settings.
TENSORS = "embedding.safetensors"


def to_plain(preprocessing: Preprocessing) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what JSON can hold, and the tensors, which `TENSORS` holds."""
    plain: dict[str, Any] = asdict(preprocessing)
    tensors: dict[str, Tensor] = {}
    if (made := plain["embedding"]) is not None:
        tensors = made.pop("tensors")
        made["digest"] = _digest(tensors)
    return json.loads(json.dumps(plain)), tensors  # tuples as the lists that are read back


def from_plain(plain: Mapping[str, Any], directory: Path) -> Preprocessing:
    """Return what `to_plain` was given, with the tensors that the run's `directory` has.

    Raises:
        LearnerError: they are not there, or damaged.
    """
    values = dict(plain)
    if (made := values.pop("embedding")) is not None:
        settings = dict(made)
        digest = settings.pop("digest")
        tensors = {} if digest is None else _tensors(directory / TENSORS, digest)
        made = Embedding(**settings | {"tensors": tensors, "mean": tuple(settings["mean"])})
    lists = {name: tuple(values[name]) for name in ("shape", "mean", "std")}
    return Preprocessing(**values | lists, embedding=made)


def _tensors(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise LearnerError(
            f"{path}, by which the run made vectors of images, cannot be read: {error}"
        ) from error
    if _digest(tensors) != digest:
        raise LearnerError(f"{path} is damaged, or another run's: it is not what the run wrote")
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str | None:
    if not tensors:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


class Preparing:
    """Makes samples of decoded images, as a run's data set did.

    Args:
        preprocessing: the run's.
        device: where vectors are made, if they are: "auto", "cpu", "cuda" or "cuda:<number>".

    Attributes:
        shape: of one sample.

    Raises:
        LearnerError, ConfigError: the run's vectors cannot be made of other images.
    """

    def __init__(self, preprocessing: Preprocessing, device: str | torch.device = "auto") -> None:
        self._mean = torch.tensor(preprocessing.mean)
        self._std = torch.tensor(preprocessing.std)
        self._embedding = preprocessing.embedding
        self.shape = preprocessing.shape
        if (made := preprocessing.embedding) is not None:
            self._embed = _embedder(made, device)
            self.shape = (len(made.mean),)

    def __call__(self, images: Tensor, keys: Sequence[str]) -> TensorSamples:
        """Return `images`, uint8 `[n, C, H, W]`, as samples that a learner takes."""
        samples = TensorSamples(images, keys, self._mean, self._std)
        if (made := self._embedding) is None:
            return samples
        scale = torch.full((len(made.mean),), made.scale)
        return TensorSamples(self._embed(samples), keys, torch.tensor(made.mean), scale)


def _embedder(made: Embedding, device: str | torch.device) -> Callable[[Samples], Tensor]:
    """Return what makes vectors `[n, E]` of images."""
    if made.by == "pca":
        return embed.projection(made.tensors)
    if made.by == "backbone":
        from activeloop.backbones.embedding import embedder_of

        return embedder_of(made.settings, device)
    how = "come from a file (embed=file)" if made.by == "file" else "were made by code of its own"
    raise LearnerError(
        f"the run was trained on vectors that {how}, which cannot be made of other images: "
        "embed=backbone and embed=pca can, and so can a run on the images themselves"
    )
