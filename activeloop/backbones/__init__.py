"""Frozen networks that make vectors of images: torchvision's, timm's and open_clip's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from activeloop.backbones.backbone import Backbone
from activeloop.backbones.open_clip_models import open_clip_backbone
from activeloop.backbones.timm_models import timm_backbone
from activeloop.backbones.torchvision_models import torchvision_backbone
from activeloop.checks import choice, whole
from activeloop.errors import ConfigError

__all__ = ["LIBRARIES", "Backbone", "load_backbone"]

log = logging.getLogger(__name__)

LIBRARIES: Final[dict[str, Callable[[str, str, int | None, int], Backbone]]] = {
    "torchvision": torchvision_backbone,
    "timm": timm_backbone,
    "open_clip": open_clip_backbone,
}


def load_backbone(
    name: str = "resnet18",
    *,
    library: str = "torchvision",
    weights: str = "default",
    size: int | None = None,
    seed: int = 0,
    warns: bool = True,
) -> Backbone:
    """Return the backbone called `name` in `library`. Its weights are read when it is built.

    Args:
        name: as the library calls it: "resnet18", "vit_b_16", "ViT-B-32".
        library: "torchvision", "timm" or "open_clip".
        weights: "default", the library's best, which are downloaded if they are not there; the
            library's name of others; the path of a .safetensors, .pth or .pt file of a state
            dict; or "random".
        size: height and width in pixels that images are given; None: what the weights want.
        seed: of random weights.
        warns: whether to say of random weights what they are worth.

    Raises:
        ConfigError: there is no such library, model or weights, or the library is not installed.
    """
    make = LIBRARIES[choice("embed.library", library, LIBRARIES)]
    if not isinstance(name, str) or not name:
        raise ConfigError(f"embed.name must be the name of a model of {library}, got {name!r}")
    if not isinstance(weights, str) or not weights:
        raise ConfigError(
            "embed.weights must be default, random, the name of weights or the path of a file, "
            f"got {weights!r}"
        )
    if size is not None:
        whole("embed.size", size, least=1)
    backbone = make(name, weights, size, whole("embed.seed", seed))
    if weights == "random" and warns:
        log.warning(
            "%s has random weights (embed.weights=random): a baseline, no pretrained features",
            name,
        )
    return backbone
