"""The networks of open_clip as backbones: their embedding of the image, of any length."""

from __future__ import annotations

import dataclasses
import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from activeloop.architecture import closest
from activeloop.backbones.backbone import (
    Backbone,
    Preparation,
    extra,
    is_file,
    unavailable,
    weights_identity,
)
from activeloop.errors import ConfigError, LearnerError
from activeloop.learners.chance import seeded


def open_clip_backbone(name: str, weights: str, size: int | None, seed: int) -> Backbone:
    """Return the image part of the network `name` of open_clip, such as "ViT-B-32"."""
    library = extra("open_clip", "open_clip_torch")
    config = library.get_model_config(name)
    if config is None:
        raise ConfigError(
            f"there is no model {name!r} in open_clip{closest(name, library.list_models())}; "
            "open_clip.list_models() lists them"
        )
    tag = _tag(library.list_pretrained_tags_by_model(name), name, weights)
    published = library.get_pretrained_cfg(name, tag) if tag else {}

    def module() -> nn.Module:
        with seeded(seed, torch.device("cpu")):
            return _Images(_clip(library, name, weights, tag, published, size))

    return Backbone(
        title=f"{name} of open_clip",
        identity=f"open_clip {name} {weights_identity(weights, seed, f'{tag} {published}')}",
        preparation=_preparation(library, name, config, published).of_size(size),
        module=module,
    )


class _Images(nn.Module):
    """What a CLIP does with images, as a module."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, batch: Tensor) -> Tensor:
        vectors: Tensor = self.clip.encode_image(batch)  # type: ignore[operator]  # all of them have it
        return vectors


def _tag(tags: list[str], name: str, weights: str) -> str | None:
    """Return the tag of the weights, or of those whose preparation is taken for others."""
    if weights == "random" or is_file(weights):
        return tags[0] if tags else None
    if weights == "default" and tags:
        return tags[0]
    if weights not in tags:
        raise ConfigError(
            f"embed.weights={weights}: {name} of open_clip has "
            f"{', '.join(tags) or 'none to download'}{closest(weights, tags)}, or give random or "
            "the path of a .safetensors or .pt file"
        )
    return weights


def _clip(
    library: Any,
    name: str,
    weights: str,
    tag: str | None,
    published: Mapping[str, Any],
    size: int | None,
) -> nn.Module:
    """Return the whole network: with its text part, without which files do not fit."""
    source: str | None = tag
    if weights == "random":
        source = None
    elif is_file(weights):
        source = str(Path(weights).expanduser())
    try:
        with _quiet():
            clip: nn.Module = library.create_model(
                name,
                pretrained=source,
                pretrained_text=False,
                force_quick_gelu=source == tag is not None and bool(published.get("quick_gelu")),
                force_image_size=size,
                weights_only=True,
            )
    except (OSError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:300]
        if source == tag is not None:
            hub = str(published.get("hf_hub", "")).rstrip("/")
            url = f"https://huggingface.co/{hub}" if hub else published.get("url")
            why = f"{reason}; fetch the weights at {url} where there is internet"
            raise unavailable(f"{name} of open_clip ({tag})", why) from error
        raise LearnerError(f"embed.weights={weights} does not fit {name}: {reason}") from error
    return clip


def _preparation(
    library: Any, name: str, config: Mapping[str, Any], published: Mapping[str, Any]
) -> Preparation:
    cfg = dataclasses.asdict(library.transform.PreprocessCfg())
    cfg |= {key: value for key, value in published.items() if key in cfg and value is not None}
    size = config["vision_cfg"].get("image_size", cfg["size"])
    both = (size, size) if isinstance(size, int) else tuple(size)
    if cfg["resize_mode"] not in ("shortest", "squash"):
        raise ConfigError(
            f"{name} of open_clip prepares images by {cfg['resize_mode']}: use another"
        )
    return Preparation(
        resize=both,
        crop=both,
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        interpolation="bilinear" if cfg["interpolation"] == "bilinear" else "bicubic",
        squash=cfg["resize_mode"] == "squash",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's running commentary, which goes to the root logger, from the console."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
