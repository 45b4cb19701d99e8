"""Pretrained weights: where they come from, and how they are made to fit the data."""

from __future__ import annotations

import functools
import logging
import pickle
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from activeloop.errors import ConfigError, LearnerError

log = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pth", ".pt")  # of files of weights
TIMEOUT = 5.0  # seconds without an answer after which the network counts as absent


def torchvision_resnet18(channels: int, n_classes: int, weights: str | None) -> nn.Module:
    """Return torchvision's ResNet-18 for `channels` and `n_classes`; see `models.resnet18`."""
    network: nn.Module = torchvision().models.resnet18(weights=None, num_classes=n_classes)
    if channels != 3:
        old = network.conv1
        assert isinstance(old, nn.Conv2d)
        network.conv1 = nn.Conv2d(channels, old.out_channels, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    if weights is None:
        return network
    state = _state(weights)
    if state is not None:
        _load_resnet(network, state, channels, weights)
    return network


def adapt_channels(filters: Tensor, channels: int) -> Tensor:
    """Return RGB filters `[out, 3, h, w]` for channels all equal, `[out, channels, h, w]`."""
    return filters.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels


def load_state(network: nn.Module, state: Mapping[str, Tensor], source: str, head: str) -> None:
    """Put `state` into `network`; the layer `head` may be another task's and then starts afresh.

    Raises:
        LearnerError: names or shapes differ elsewhere; `source` says where the state is from.
    """
    own = network.state_dict()
    state = dict(state)
    for name in own:
        theirs = state.get(name)
        if name.startswith(f"{head}.") and (theirs is None or theirs.shape != own[name].shape):
            state[name] = own[name]
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise LearnerError(f"{source}: {reason}") from error


def read_state(path: Path, option: str) -> Mapping[str, Tensor]:
    """Return the state dict in a .safetensors, .pth or .pt file; nothing in it is run.

    Raises:
        ConfigError: there is no such file; `option` is the setting that names it.
        LearnerError: it cannot be read, or holds something else.
    """
    if not path.is_file():
        raise ConfigError(f"{option}={path}: there is no such file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise LearnerError(f"{option}={path} cannot be read: {reason}") from error
    for wrapper in ("state_dict", "model"):  # how training scripts often save it
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise LearnerError(f"{option}={path} must hold a state dict: tensors by their name")
    return state


def fetch(weights: Any) -> tuple[Mapping[str, Tensor] | None, str]:
    """Return the state dict of torchvision's `weights`, or None and why not, and what to fetch."""
    try:
        with _timeout(TIMEOUT):
            return weights.get_state_dict(progress=False, check_hash=True), ""
    except (OSError, RuntimeError) as error:  # no network, no room, or a broken file
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        return None, (
            f"{error}; fetch {weights.url} where there is internet and put it in {folder}"
        )


# One try a process: neither every fit nor every seed waits for a dead network.
fetched = functools.cache(fetch)


def _load_resnet(
    network: nn.Module, state: Mapping[str, Tensor], channels: int, source: str
) -> None:
    state = dict(state)
    filters = state.get("conv1.weight")
    if filters is not None and filters.ndim == 4 and filters.shape[1] == 3 != channels:
        state["conv1.weight"] = adapt_channels(filters, channels)
    load_state(network, state, f"model.weights={source} does not fit resnet18", head="fc")


def _state(weights: str) -> Mapping[str, Tensor] | None:
    if weights in ("imagenet", "auto"):
        state, failure = fetched(torchvision().models.ResNet18_Weights.IMAGENET1K_V1)
        if state is None and weights == "imagenet":
            raise LearnerError(
                f"model.weights=imagenet cannot be had: {failure}, or use model.weights=null"
            )
        if state is None:
            log.warning("resnet18 starts from random weights, not from ImageNet's: %s", failure)
        return state
    path = Path(weights)
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            "model.weights must be null, imagenet, auto or the path of a .safetensors or .pth "
            f"file, got {weights!r}"
        )
    return read_state(path, "model.weights")


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Let every socket opened inside give up: torch.hub has no setting for it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def torchvision() -> Any:
    """Return the module torchvision, which only those need that use it.

    Raises:
        LearnerError: it cannot be imported.
    """
    try:
        import torchvision
        import torchvision.models
    except (ImportError, OSError, RuntimeError) as error:  # a build for another torch raises any
        raise LearnerError(
            f"torchvision cannot be imported ({error}); it must match torch: "
            "pip install --force-reinstall torch torchvision"
        ) from error
    return torchvision
