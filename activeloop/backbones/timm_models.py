"""The networks of timm as backbones: what they pool before their last layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from activeloop.pretrained import read_state


def timm_backbone(name: str, weights: str, size: int | None, seed: int) -> Backbone:
    """Return the network `name` of timm; a name may have a tag, as in "resnet18.a1_in1k"."""
    timm = extra("timm", "timm")
    if not timm.is_model(name):
        raise ConfigError(
            f"there is no model {name!r} in timm{closest(name, timm.list_models())}; "
            "timm.list_models() lists them"
        )
    if weights not in ("default", "random") and not is_file(weights):
        raise ConfigError(
            f"embed.weights={weights}: with timm, weights are named by the model's tag, as in "
            "embed.name=resnet18.a1_in1k; otherwise give default, random, or the path of a file"
        )
    published = timm.get_pretrained_cfg(name)
    where = published.hf_hub_id or published.url
    if weights == "default" and not where:
        raise ConfigError(f"timm has no weights for {name}: use embed.weights=PATH or random")

    def module() -> nn.Module:
        with seeded(seed, torch.device("cpu")):
            network: nn.Module = timm.create_model(name)
            if weights == "default":
                network = _downloaded(timm, name, published)
            elif weights != "random":
                state = dict(read_state(Path(weights).expanduser(), "embed.weights"))
                network = _from_state(timm, name, state, network, f"embed.weights={weights}")
        network.reset_classifier(0)  # type: ignore[operator]  # all of timm's have it
        return network

    return Backbone(
        title=f"{name} of timm",
        identity=f"timm {name} {weights_identity(weights, seed, f'{published.tag} {where}')}",
        preparation=_preparation(timm, name, published).of_size(size),
        module=module,
    )


def _downloaded(timm: Any, name: str, published: Any) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:  # huggingface_hub raises kinds of these
        url = published.url
        if published.hf_hub_id:
            file = published.hf_hub_filename or "model.safetensors"
            url = f"https://huggingface.co/{published.hf_hub_id}/resolve/main/{file}"
        raise unavailable(f"{name} of timm", f"{error}; fetch {url} where there is internet") from (
            error
        )
    return network


def _from_state(
    timm: Any, name: str, state: dict[str, Tensor], fresh: nn.Module, source: str
) -> nn.Module:
    """Return the network with `state`, converted by timm where it is in an older form."""
    own: Mapping[str, Tensor] = fresh.state_dict()
    cfg: Any = fresh.pretrained_cfg
    heads = cfg.get("classifier") or ()
    for head in (heads,) if isinstance(heads, str) else heads:
        for key in (f"{head}.weight", f"{head}.bias"):  # may be of other classes: it is cut off
            if key in own and (key not in state or state[key].shape != own[key].shape):
                state[key] = own[key]
    try:
        # Safely read before: timm itself would unpickle anything.
        overlay = {"state_dict": state, "custom_load": False}
        network: nn.Module = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay
        )
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LearnerError(f"{source} does not fit {name}: {reason}") from error
    return network


def _preparation(timm: Any, name: str, published: Any) -> Preparation:
    cfg = timm.data.resolve_data_config(pretrained_cfg=published.to_dict())
    if cfg["crop_mode"] not in ("center", "squash"):
        raise ConfigError(f"{name} of timm prepares images by {cfg['crop_mode']}: use another")
    height, width = cfg["input_size"][1:]
    share = cfg["crop_pct"]
    return Preparation(
        resize=(math.floor(height / share), math.floor(width / share)),
        crop=(height, width),
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        interpolation=cfg["interpolation"],
        squash=cfg["crop_mode"] == "squash",
    )
