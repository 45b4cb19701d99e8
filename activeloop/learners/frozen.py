"""The forward pass of a network whose weights no longer change, made as fast as the device can."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, jit, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]  # not in its __all__

from activeloop.architecture import Network

log = logging.getLogger(__name__)

# Batches `[n, *shape]` to logits `[n, C]`, and features `[n, D]` (no columns where not asked for).
Forward = Callable[[Tensor], tuple[Tensor, Tensor]]

# The frozen network must agree with the plain one: probabilities, and features beside their size.
_TOLERANCE = 1e-5


def plain(network: Network, *, features: bool) -> Forward:
    """Return the network's own forward pass."""
    if features:
        return network.logits_and_features

    def forward(batch: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = network.module(batch)
        return logits, logits[:, :0]

    return forward


def frozen(forward: Forward, module: nn.Module, example: Tensor) -> Forward:
    """Return `forward` with the present weights built in, or as it is.

    On a CPU the network is traced, batch normalisation is folded into convolutions, and weights are
    laid out for oneDNN: two to five times faster for small convolutional networks. A network that
    cannot be traced, or whose trace does not agree with it within 1e-5, stays as it is: one whose
    path depends on its input, or that draws by chance. The choice depends on the network alone, not
    on the clock, so that the same run gives the same numbers.

    Args:
        forward: a forward pass through `module`.
        module: in evaluation mode.
        example: a batch, `[n, *shape]`.
    """
    if example.device.type != "cpu":
        return forward
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecation: there is a way without it
            warnings.simplefilter("error", TracerWarning)
            traced = jit.trace(  # type: ignore[no-untyped-call]  # torch leaves it untyped
                _Forward(module, forward).eval(), example, check_trace=False
            )
            fast: Forward = jit.optimize_for_inference(traced)
            # A trace may have the example's length built in.
            agrees = _agree(fast, forward, example) and _agree(fast, forward, example[:1])
    except Exception as error:  # tracing runs the network's own code: it may raise anything
        log.debug("the network cannot be traced: %s", error)
        return forward
    if not agrees:
        log.debug("the traced network does not agree with the plain one, which is used")
        return forward
    return fast


class _Forward(nn.Module):
    """A forward pass as a module, as tracing wants it."""

    def __init__(self, module: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.module = module
        self._forward = [forward]  # a list: a function would be compiled

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        return self._forward[0](batch)


def _agree(one: Forward, other: Forward, batch: Tensor) -> bool:
    (logits, features), (other_logits, other_features) = one(batch), other(batch)
    probs, other_probs = logits.float().softmax(1), other_logits.float().softmax(1)
    if features.shape != other_features.shape or probs.shape != other_probs.shape:
        return False
    size = float(other_features.abs().max()) if other_features.numel() else 0.0
    return torch.allclose(probs, other_probs, rtol=0, atol=_TOLERANCE) and torch.allclose(
        features, other_features, rtol=0, atol=_TOLERANCE * max(1.0, size)
    )
