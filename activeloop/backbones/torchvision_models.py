"""The classification networks of torchvision as backbones: the input of their last linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from activeloop.architecture import Architecture, closest
from activeloop.backbones.backbone import (
    Backbone,
    Preparation,
    is_file,
    unavailable,
    weights_identity,
)
from activeloop.errors import ConfigError, LearnerError
from activeloop.learners.chance import seeded
from activeloop.pretrained import fetch, load_state, read_state, torchvision

CLASSES = 1000  # ImageNet's; the layer for them is cut off


def torchvision_backbone(name: str, weights: str, size: int | None, seed: int) -> Backbone:
    """Return the network `name` of `torchvision.models`; see `load_backbone`."""
    models = torchvision().models
    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(
            f"there is no model {name!r} in torchvision{closest(name, known)}; "
            f"torchvision.models has {', '.join(known)}"
        )
    entry = _entry(models.get_model_weights(name), name, weights)
    preset = entry.transforms()
    preparation = Preparation(
        resize=(preset.resize_size[0], preset.resize_size[-1]),
        crop=(preset.crop_size[0], preset.crop_size[-1]),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    ).of_size(size)

    def module() -> nn.Module:
        with seeded(seed, torch.device("cpu")):
            network = Architecture(models.get_model_builder(name)).build(
                (3, *preparation.crop), CLASSES
            )
        if network.feature_layer is None:
            raise LearnerError(f"{name} of torchvision has no linear layer: use another network")
        if (state := _state(weights, entry, name)) is not None:
            source = f"embed.weights={weights} does not fit {name}"
            load_state(network.module, state, source, head=network.feature_layer)
        network.module.set_submodule(network.feature_layer, nn.Identity())
        return network.module

    return Backbone(
        title=f"{name} of torchvision",
        identity=f"torchvision {name} {weights_identity(weights, seed, entry.url)}",
        preparation=preparation,
        module=module,
    )


def _entry(entries: Any, name: str, weights: str) -> Any:
    """Return the weights of that name; the default ones also where only their transform counts."""
    if weights in ("default", "random") or is_file(weights):
        return entries.DEFAULT
    named = [each.name for each in entries]
    if weights not in named:
        known = ["default", "random", *named]
        raise ConfigError(
            f"embed.weights={weights}: {name} of torchvision has {', '.join(known)}"
            f"{closest(weights, known)}, or give the path of a .safetensors or .pth file"
        )
    return entries[weights]


def _state(weights: str, entry: Any, name: str) -> Mapping[str, Tensor] | None:
    if weights == "random":
        return None
    if is_file(weights):
        return read_state(Path(weights).expanduser(), "embed.weights")
    state, failure = fetch(entry)
    if state is None:
        raise unavailable(f"{name} of torchvision ({entry.name})", failure)
    return state
