"""Gradient steps on a GPU as CUDA graphs: recorded once, then started as a whole."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from activeloop.learners.blocked import hooked
from activeloop.learners.settings import Training

log = logging.getLogger(__name__)

# Steps of each size that are taken as they are: they set up what a recording must find there.
_WARM_UP = 3
# Who writes layers that do the same in every step. In others a number that lives in Python, such
# as a count of the steps, would stay what it was when the step was recorded.
_KNOWN = frozenset(["torch", "torchvision", "timm", "open_clip"])


def may_record(settings: Training, device: torch.device) -> bool:
    """Return whether steps on `device` are to be recorded, if the network lets them."""
    return settings.cuda_graphs and device.type == "cuda"


def recordable(module: nn.Module) -> bool:
    """Return whether every step of `module` is known to run the same operations."""
    if not all(weight.is_floating_point() for weight in module.parameters()):
        return False  # steps of complex weights are not fused
    hooks = ("_backward_hooks", "_post_accumulate_grad_hooks")
    if any(getattr(weight, name) for weight in module.parameters() for name in hooks):
        return False
    return all(map(_same_each_time, module.modules()))


def _same_each_time(layer: nn.Module) -> bool:
    if hooked(layer):
        return False
    if isinstance(layer, _BatchNorm) and layer.momentum is None:  # it reads its count of batches
        return False
    return type(layer).__module__.partition(".")[0] in _KNOWN


@contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Run the body on another stream than the default one, on which nothing can be recorded."""
    stream, here = _side_stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(here)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        here.wait_stream(stream)


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    # Always the same: memory that a stream gave back is not given to another.
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped


class Plain:
    """Takes gradient steps as they are.

    Args:
        optimizer: of the steps.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def __call__(self, take: Callable[[Tensor], None], chosen: Tensor, rate: float) -> None:
        """Take a step at a learning rate, as `Recorded` does."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        take(chosen)


class Recorded:
    """Takes gradient steps, on a side stream.

    A step of a small network is hundreds of short kernels, which take the host longer to start than
    the GPU to run. Steps of one size differ in their samples and learning rate only, which lie in
    tensors that stay where they are. What cannot be recorded is taken as it is.

    Args:
        optimizer: of the steps, fused.
        device: a GPU.
        generators: those of the GPU that steps draw from beside the global one.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        generators: Sequence[torch.Generator] = (),
    ) -> None:
        self._optimizer, self._own = optimizer, generators
        self._generators = (torch.cuda.default_generators[device.index], *generators)
        self._rate = torch.zeros((), device=device)
        for group in optimizer.param_groups:
            group["lr"] = self._rate
        self._taken: Counter[int] = Counter()
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._possible = True

    def __call__(self, take: Callable[[Tensor], None], chosen: Tensor, rate: float) -> None:
        """Take a step at a learning rate.

        Args:
            take: takes a step on samples by their positions; it reads nothing from the device.
            chosen: positions, `[..., n]` on the device.
            rate: the learning rate.
        """
        self._rate.fill_(rate)
        size = chosen.shape[-1]
        if size not in self._graphs and self._possible and self._taken[size] >= _WARM_UP:
            self._record(take, chosen)
        if size in self._graphs:
            graph, samples = self._graphs[size]
            samples.copy_(chosen)
            graph.replay()
        else:
            self._taken[size] += 1
            take(chosen)

    def _record(self, take: Callable[[Tensor], None], chosen: Tensor) -> None:
        """Record a step of this size, which takes none."""
        graph, samples = torch.cuda.CUDAGraph(), chosen.clone()
        before = [generator.clone_state() for generator in self._generators]
        self._capturable(True)
        try:
            for generator in self._own:
                graph.register_generator_state(generator)
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                take(samples)
            finally:
                graph.capture_end()
            self._graphs[chosen.shape[-1]] = graph, samples
        except RuntimeError as error:
            self._possible = False
            for generator, state in zip(self._generators, before, strict=True):
                generator.graphsafe_set_state(state)  # or it would go on as if it were recorded
            log.info("gradient steps cannot be recorded: %s", " ".join(str(error).split()))
        finally:
            self._capturable(False)

    def _capturable(self, value: bool) -> None:
        for group in self._optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = value
