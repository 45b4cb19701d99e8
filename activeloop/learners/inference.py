"""Predictions by batches: probabilities, features, and members by dropout or ensemble."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from activeloop.architecture import Network
from activeloop.errors import LearnerError
from activeloop.types import Indices, Prediction, Samples

Dropout = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


class DropoutMasks:
    """Monte Carlo dropout (Gal and Ghahramani 2016) with masks that all samples share.

    Each member is one thinned network, the same for every sample and batch, so that what members
    say of two samples may be compared and joined, as BatchBALD (Kirsch et al. 2019) needs.
    Kept values are scaled by 1 / (1 - p). Masks are drawn on the CPU: every device has the same.

    Args:
        module: a network with dropout layers.
        seed: with it, masks are the same whenever they are drawn.
        size: number of members, `M`.

    Raises:
        LearnerError: the network has no dropout layer.
    """

    def __init__(self, module: nn.Module, seed: int, size: int) -> None:
        self.layers = dropout_layers(module)
        self.seed = seed
        self.size = size
        self._draw = functools.cache(self._new_mask)

    @contextmanager
    def of_member(self, member: int) -> Iterator[None]:
        """Put member `member`'s masks behind the dropout layers, which must be in eval mode."""
        hooks = [
            layer.register_forward_hook(self._hook(member, position))
            for position, layer in enumerate(self.layers)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, member: int, position: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def mask(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
            whole_channels = not isinstance(layer, nn.Dropout)
            shape = output.shape[1:]
            if whole_channels:
                shape = shape[:1] + (1,) * (len(shape) - 1)
            return output * self._draw(member, position, tuple(shape), output.device)

        return mask

    def _new_mask(
        self, member: int, position: int, shape: tuple[int, ...], device: torch.device
    ) -> Tensor:
        state = np.random.SeedSequence([self.seed, member, position]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]))
        keep = 1 - self.layers[position].p
        kept = torch.rand(shape, generator=generator) < keep
        return (kept / max(keep, 1e-12)).to(device)


def dropout_layers(module: nn.Module) -> list[Dropout]:
    """Return the dropout layers in `module`, or raise `LearnerError` if it has none."""
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    if not layers:
        raise LearnerError(
            "learner.members=mc_dropout needs a network with dropout layers (nn.Dropout): "
            "use model=cnn_dropout, or learner.members=ensemble"
        )
    return layers


def predict(
    networks: Sequence[Network],
    samples: Samples,
    indices: Indices,
    needs: frozenset[str],
    *,
    n_classes: int,
    device: torch.device,
    batch_size: int,
    masks: DropoutMasks | None = None,
    out: Prediction | None = None,
) -> Prediction:
    """Predict `samples[indices]`, `n` of them, in float32.

    Probabilities are the mean over `networks`; features are the first one's. Members are the
    networks, or the passes of the first one under `masks`.

    Raises:
        LearnerError: `out` lacks what `needs` names, or has another shape.
    """
    size = masks.size if masks is not None else len(networks)
    shapes: dict[str, tuple[int, ...]] = {"probs": (len(indices), n_classes)}
    if "features" in needs:
        shapes["features"] = (len(indices), networks[0].feature_size)
    if "members" in needs:
        shapes["members"] = (size, len(indices), n_classes)
    if out is None:
        out = Prediction(**{name: torch.empty(s, device=device) for name, s in shapes.items()})
    check_out(out, shapes)
    for network in networks:
        network.module.eval()
    with torch.no_grad():
        for start in range(0, len(indices), batch_size):
            rows = slice(start, start + batch_size)
            batch = samples.batch(indices[rows], device)
            part = _predict_batch(networks, batch, shapes.keys(), masks)
            for name in shapes:
                target = getattr(out, name)
                target = target[:, rows] if name == "members" else target[rows]
                target.copy_(part[name])
    return out


def _predict_batch(
    networks: Sequence[Network], batch: Tensor, names: Collection[str], masks: DropoutMasks | None
) -> dict[str, Tensor]:
    part: dict[str, Tensor] = {}
    first = networks[0]
    if "features" in names:
        logits, part["features"] = first.logits_and_features(batch)
    else:
        logits = first.module(batch)
    members = [_softmax(logits), *(_softmax(each.module(batch)) for each in networks[1:])]
    part["probs"] = members[0] if len(members) == 1 else torch.stack(members).mean(0)
    if "members" in names and masks is not None:
        members = []
        for member in range(masks.size):
            with masks.of_member(member):
                members.append(_softmax(first.module(batch)))
    if "members" in names:
        part["members"] = torch.stack(members)
    return part


def _softmax(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(1).exp()


def check_out(out: Prediction, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `LearnerError` unless `out` has tensors of these `shapes`, by name."""
    for name, shape in shapes.items():
        tensor = getattr(out, name)
        got = None if tensor is None else tuple(tensor.shape)
        if got != shape:
            raise LearnerError(f"out.{name} must have shape {list(shape)}, got {got}")
