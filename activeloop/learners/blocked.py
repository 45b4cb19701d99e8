"""The forward pass of a convolutional network on a CPU, in the layout that oneDNN likes best.

oneDNN's fastest convolutions and poolings keep channels in blocks of 16. Given torch's layouts it
reorders the numbers around every layer, or takes slower kernels: pooling six channels then takes
longer than the convolution before it. Here images enter its own layout once, and leave it once.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from activeloop.architecture import Network

# Largest block of memory whose release tells glibc to keep such blocks.
_KEPT_BYTES = (32 << 20) - 8192
_TOLERANCE = 1e-5


class Blocked:
    """A forward pass through layers in a row.

    Args:
        first: layers that work in oneDNN's layout: convolutions, ReLU and max pooling.
        rest: all others.

    Attributes:
        rest: as given.
    """

    def __init__(self, first: list[nn.Module], rest: list[nn.Module]) -> None:
        self._first, self.rest = _pooled_early(first), rest

    def __call__(self, batch: Tensor) -> Tensor:
        """Return logits `[n, C]` of `batch` `[n, *shape]`."""
        return self.logits_and_input(batch, None)[0]

    def logits_and_input(self, batch: Tensor, of: nn.Module | None) -> tuple[Tensor, Tensor]:
        """Return logits `[n, C]` and what layer `of` of the rest took, `[n, D]`; None: D = 0."""
        x = self.begin(batch)
        taken = x.new_empty(len(x), 0)
        for layer in self.rest:
            if layer is of:
                taken = x.detach().flatten(1).clone()  # the layer may work in place
            x = layer(x)
        return x, taken

    def begin(self, batch: Tensor) -> Tensor:
        """Return what the first layers make of `batch`."""
        x = batch.to_mkldnn()
        for layer in self._first:
            x = functional.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
        return x.to_dense()


def blocked(module: nn.Module, shape: tuple[int, ...]) -> Blocked | None:
    """Return a faster forward pass of `module`, or None if there is none.

    There is one on a CPU for an `nn.Sequential` that begins with convolutions, ReLU and max
    pooling. Results and gradients are those of `module` but for rounding.

    Args:
        module: keeps its weights, which may change.
        shape: of one sample.
    """
    if type(module) is not nn.Sequential or hooked(module) or _elsewhere(module):
        return None
    layers = list(module)
    first = list(itertools.takewhile(_fits, layers))
    if not any(isinstance(layer, nn.MaxPool2d) for layer in first):
        return None
    forward = Blocked(first, layers[len(first) :])
    _keep_freed_memory()
    example = torch.linspace(-2, 2, 2 * math.prod(shape)).view(2, *shape)
    return forward if _agree(forward.begin, nn.Sequential(*first), example) else None


def blocked_pass(
    network: Network, *, features: bool, shape: tuple[int, ...]
) -> Callable[[Tensor], tuple[Tensor, Tensor]] | None:
    """Return a faster pass to logits and, if wanted, features; None if there is none."""
    forward, of = blocked(network.module, shape), None
    if features and network.feature_layer is not None:
        of = network.module.get_submodule(network.feature_layer)
    if forward is None or (features and of not in forward.rest):
        return None
    return functools.partial(forward.logits_and_input, of=of)


def _fits(layer: nn.Module) -> bool:
    kinds = {(weight.device.type, weight.dtype) for weight in layer.parameters()}
    if hooked(layer) or kinds - {("cpu", torch.float32)}:
        return False
    if type(layer) is nn.Conv2d:
        return layer.padding_mode == "zeros"
    if type(layer) is nn.MaxPool2d:
        return not layer.return_indices
    return type(layer) is nn.ReLU


def _elsewhere(module: nn.Module) -> bool:
    return any(weight.device.type != "cpu" for weight in module.parameters())


def hooked(module: nn.Module) -> bool:
    """Return whether somebody's code runs before or after the passes of `module`."""
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


def _pooled_early(layers: list[nn.Module]) -> list[nn.Module]:
    """Return `layers` with ReLU after max pooling, not before: the same, on fewer numbers."""
    found = list(layers)
    for at in range(1, len(found)):
        if isinstance(found[at - 1], nn.ReLU) and isinstance(found[at], nn.MaxPool2d):
            found[at - 1], found[at] = found[at], found[at - 1]
    return found


def _agree(one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    try:
        with torch.no_grad():
            ours, theirs = one(x), other(x)
    except RuntimeError:  # without oneDNN, or a setting that it does not know
        return False
    size = max(1.0, float(theirs.abs().max())) if theirs.numel() else 1.0
    return ours.shape == theirs.shape and torch.allclose(
        ours, theirs, rtol=0, atol=_TOLERANCE * size, equal_nan=True
    )


@functools.cache
def _keep_freed_memory() -> None:
    """Let glibc keep the memory of a step for the next one.

    It hands large blocks back to the system when they are freed, and new ones cost a page fault
    every 4 KiB: as much time as the step itself. Once a block of this size was freed, it keeps
    them (mallopt(3), M_MMAP_THRESHOLD).
    """
    torch.empty(_KEPT_BYTES, dtype=torch.uint8)
