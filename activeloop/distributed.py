"""One run by several processes, one for each GPU: what they tell each other.

torchrun starts them, torch.distributed connects them. Rank 0 leads: it alone has the loop, the
labels, the strategy and the run's directory. The others help (`activeloop.learners.leading`): they
load the same data, and do their share of each training and prediction.

A process that fails ends, and torchrun ends the others. None of them waits for ever: sockets close
with the process at their other end.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from activeloop.errors import ActiveLoopError, ConfigError
from activeloop.torchrun import Place

# Steps of one computation, which all ranks do at the same time.
_STEP = timedelta(minutes=10)
# Helpers wait for what rank 0 wants next: a selection, or a person, may take long.
_ORDERS = timedelta(days=365)
# How long a helper that fails waits for word that rank 0 failed too, and says so itself.
_WORD = 5.0  # seconds

Forward = Callable[[Tensor], Tensor]


class RankError(ActiveLoopError):
    """Another process of this run has ended."""


@dataclass(frozen=True)
class Share:
    """A rank's part of a batch: at least one row, so that each has a gradient to add.

    Attributes:
        rows: which.
        count: how many of them count: none, where there are fewer rows than ranks.
        weight: of their mean loss, so that the mean over ranks is the batch's mean.
    """

    rows: slice
    count: int
    weight: float


class Ranks:
    """The processes of a run, seen from one: here it is alone, and nothing has to be done.

    Attributes:
        rank: this one's number; 0 leads.
        size: how many there are.
    """

    rank = 0
    size = 1

    def device(self, name: str) -> str:
        """Return where this process computes, if the user says `name`."""
        return name

    def share(self, n: int) -> Share:
        """Return this rank's part of a batch of `n` samples."""
        return Share(slice(None), n, 1.0)

    def parallel(self, module: nn.Module) -> Forward:
        """Return a forward pass of `module` whose gradients are the mean over the ranks."""
        return module

    def level(self, module: nn.Module) -> None:
        """Give `module` rank 0's weights and buffers on all ranks."""

    def agree(self, value: Tensor) -> Tensor:
        """Return rank 0's `value`, which has the same shape on all ranks."""
        return value

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of `value` over the ranks."""
        return value

    def gather(self, part: Tensor, counts: Sequence[int]) -> Tensor | None:
        """Return the parts of all ranks, of `counts` rows each, in a row; None but on rank 0."""
        return part

    def broadcast(self, value: Any = None) -> Any:
        """Return rank 0's `value`, on the others as soon as it has one."""
        return value

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Run the body on rank 0 first, then on one process of each machine, then on the others.

        So one downloads, and the others find what it left.
        """
        yield

    def check_same(self, what: str, value: Mapping[str, Any]) -> None:
        """Raise `ConfigError` on all ranks unless the items of `value` are the same on all."""


ALONE = Ranks()


class _Joined(Ranks):
    """Processes that torch.distributed connects: NCCL between GPUs, gloo between CPUs."""

    def __init__(self, place: Place, device: str) -> None:
        self.rank, self.size, self._local_rank = place.rank, place.size, place.local_rank
        gpu = self.device(device).startswith("cuda")
        if gpu:
            torch.cuda.set_device(self._local_rank)
        dist.init_process_group(
            "nccl" if gpu else "gloo",
            store=_store(),
            rank=self.rank,
            world_size=self.size,
            timeout=_STEP,
        )
        orders = dist.new_group(backend="gloo", timeout=_ORDERS)
        assert isinstance(orders, dist.ProcessGroup)  # all ranks are in it
        self._orders = orders
        self.check_same("device", {"device": "cuda" if gpu else "cpu"})

    def device(self, name: str) -> str:
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if name == "cpu" or (name == "auto" and gpus == 0):
            return "cpu"
        if name not in ("auto", "cuda"):
            raise ConfigError(
                f"device={name} is one device, and torchrun started {self.size} processes: use "
                "device=auto, which gives each its own GPU, or device=cpu"
            )
        if self._local_rank >= gpus:
            raise ConfigError(
                f"torchrun started more than {gpus} processes on a machine that has {gpus} GPUs: "
                f"use --nproc-per-node={max(gpus, 1)}, or device=cpu"
            )
        return f"cuda:{self._local_rank}"

    def share(self, n: int) -> Share:
        start, stop = n * self.rank // self.size, n * (self.rank + 1) // self.size
        if start == stop:
            return Share(slice(0, 1), 0, 0.0)
        return Share(slice(start, stop), stop - start, (stop - start) * self.size / n)

    def parallel(self, module: nn.Module) -> Forward:
        return _Parallel(module, self.rank)

    def level(self, module: nn.Module) -> None:
        with torch.no_grad():
            for value in module.state_dict().values():
                # In a plain layout: NCCL sends numbers in the order in which they lie.
                value.copy_(self.agree(value.contiguous()))

    def agree(self, value: Tensor) -> Tensor:
        dist.broadcast(value, 0)
        return value

    def total(self, value: Tensor) -> Tensor:
        dist.all_reduce(value)
        return value

    def gather(self, part: Tensor, counts: Sequence[int]) -> Tensor | None:
        same = part.new_zeros(max(counts), *part.shape[1:])
        same[: len(part)] = part
        parts = [torch.empty_like(same) for _ in counts] if self.rank == 0 else None
        dist.gather(same, parts)
        if parts is None:
            return None
        return torch.cat([each[:n] for each, n in zip(parts, counts, strict=True)])

    def broadcast(self, value: Any = None) -> Any:
        values = [value]
        dist.broadcast_object_list(values, group=self._orders)
        return values[0]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        turn = 0 if self.rank == 0 else 1 if self._local_rank == 0 else 2
        for _ in range(turn):
            dist.barrier(self._orders)
        yield
        for _ in range(turn, 2):
            dist.barrier(self._orders)

    def check_same(self, what: str, value: Mapping[str, Any]) -> None:
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self._orders)
        first = values[0]
        for rank, other in enumerate(values):
            for name in sorted(first.keys() | other.keys()):
                if first.get(name) != other.get(name):
                    raise ConfigError(
                        f"the processes differ in their {what}: {name} is {first.get(name)} on "
                        f"rank 0 and {other.get(name)} on rank {rank}; start all with the same "
                        "command, on machines with the same data"
                    )


class _Parallel:
    """A forward pass through DistributedDataParallel, with chance of its own on each rank.

    Ranks shuffle and augment alike, by the same global generators. What a network draws (dropout)
    must differ between ranks, and must leave those generators alike.
    """

    def __init__(self, module: nn.Module, rank: int) -> None:
        # A static graph may have weights that no output depends on.
        self._forward = DistributedDataParallel(module, static_graph=True)
        device = next(module.parameters()).device
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            self._generators.append(torch.cuda.default_generators[device.index])
        seed = torch.initial_seed() + 1 + rank
        self._own = [torch.Generator(g.device).manual_seed(seed) for g in self._generators]

    def __call__(self, inputs: Tensor) -> Tensor:
        common = [generator.get_state() for generator in self._generators]
        for generator, own in zip(self._generators, self._own, strict=True):
            generator.set_state(own.get_state())
        logits: Tensor = self._forward(inputs)
        for generator, own, state in zip(self._generators, self._own, common, strict=True):
            own.set_state(generator.get_state())
            generator.set_state(state)
        return logits


@contextmanager
def joined(place: Place, device: str) -> Iterator[Ranks]:
    """Connect the processes of a run while the body runs.

    Args:
        place: of this process.
        device: the setting `device`.

    Raises:
        ConfigError: the device is not to be had by each process.
        RankError: another process has ended.
    """
    if place.size == 1:
        yield ALONE
        return
    try:
        ranks = _Joined(place, device)
        yield ranks
        dist.destroy_process_group()
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise RankError(
                f"one of the {place.size} processes of this run ended or cannot be reached: its "
                "own message, or torchrun's list of failures, says why; the same command with "
                "hydra.run.dir= the run's directory goes on"
            ) from error
        raise


def failed(place: Place) -> bool:
    """Tell the others that this process failed; return whether it is this one that should say why.

    It is rank 0, unless it is well: where all failed alike, one line is enough.
    """
    try:
        if place.rank == 0:
            _store().set("failed", "yes")
            return True
        until = time.monotonic() + _WORD
        while time.monotonic() < until:
            if _store().check(["failed"]):
                return False
            time.sleep(0.1)
    except RuntimeError:  # it took the store along
        pass
    return True


@functools.cache
def _store() -> Any:
    """Return the key-value store that all ranks reach: a `torch.distributed.Store`."""
    store, _, _ = next(rendezvous("env://"))
    return store
