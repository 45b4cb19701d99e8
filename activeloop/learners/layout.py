"""How a network's numbers lie in memory, and how many samples it takes at a time."""

from __future__ import annotations

import torch
from torch import nn

from activeloop.architecture import Network

# How much the largest layer's input may take: on a CPU more leaves the cache.
_MOST_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}
_FEWEST_AND_MOST = {"cpu": (8, 256), "cuda": (64, 4096)}


def prefer_channels_last(module: nn.Module, shape: tuple[int, ...], device: torch.device) -> None:
    """Let channels vary fastest in the convolutions of `module`, on images `[C, H, W]`.

    Tensor cores read them so, and on a CPU pooling is several times faster. A network that cannot
    work so (one that calls `view` where `flatten` would do) stays as it is.
    """
    training = module.training
    module.to(memory_format=torch.channels_last)
    blank = torch.zeros(2, *shape, device=device).contiguous(memory_format=torch.channels_last)
    try:
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        ):
            module.eval()(blank)
    except RuntimeError:
        module.to(memory_format=torch.contiguous_format)
    finally:
        module.train(training)


def eval_batch(network: Network, device: torch.device) -> int:
    """Return how many samples to predict at a time: a power of two."""
    fewest, most = _FEWEST_AND_MOST[device.type]
    fitting = _MOST_BYTES[device.type] // (4 * network.widest)
    return min(most, max(fewest, 1 << max(0, fitting.bit_length() - 1)))
