"""Where a learner computes, and chance that leaves everybody else's alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor

from activeloop.errors import ConfigError


def find_device(name: str | torch.device) -> torch.device:
    """Return the device called `name`: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1".

    Apple's "mps" is left out: it has no float64, which strategies compute with.

    Raises:
        ConfigError: there is no such device here.
    """
    if str(name) == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:<number>, got {str(name)!r}")
    if device.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(f"device={name}: torch finds no CUDA GPU here; use device=auto or cpu")
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ConfigError(f"device={name}: the GPUs here are 0 to {torch.cuda.device_count() - 1}")
    return torch.device("cuda", index)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators of the CPU and of `device`; on leaving they are as before."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        # Not torch.manual_seed: it would reseed every GPU, also those that are not restored.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a GPU, have cuDNN choose algorithms that give the same numbers each time."""
    if device.type != "cuda":
        yield
        return
    _repeated.enter()
    try:
        yield
    finally:
        _repeated.leave()


class _Repeated:
    """cuDNN's setting, which is of the process: several threads may want it at once."""

    def __init__(self) -> None:
        self._lock, self._wanted, self._before = Lock(), 0, False

    def enter(self) -> None:
        with self._lock:
            if not self._wanted:
                self._before = torch.backends.cudnn.deterministic
                torch.backends.cudnn.deterministic = True
            self._wanted += 1

    def leave(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                torch.backends.cudnn.deterministic = self._before


_repeated = _Repeated()


@dataclass(frozen=True, kw_only=True, eq=False)
class Chance:
    """How far the generators of the CPU and of a device have come.

    Attributes:
        device: where the computing is.
        cpu: state of the CPU's generator.
        cuda: state of the GPU's generator; None on a CPU.
    """

    device: torch.device
    cpu: Tensor
    cuda: Tensor | None = None

    @classmethod
    def now(cls, device: torch.device) -> Chance:
        """Return the present state of torch's global generators."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(device=device, cpu=torch.get_rng_state(), cuda=cuda)

    def equals(self, other: Chance) -> bool:
        """Return whether `other` has come just as far."""
        mine, theirs = (self.cpu, self.cuda), (other.cpu, other.cuda)
        return all(
            a is b or (a is not None and b is not None and torch.equal(a, b))
            for a, b in zip(mine, theirs, strict=True)
        )

    def generators(self) -> dict[str, torch.Generator]:
        """Return generators of one's own that go on from here, by the type of their device."""
        found = {"cpu": torch.Generator()}
        found["cpu"].set_state(self.cpu)
        if self.cuda is not None:
            found["cuda"] = torch.Generator(self.device)
            found["cuda"].set_state(self.cuda)
        return found

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Let torch's global generators go on from here; on leaving they are as before."""
        with torch.random.fork_rng(devices=[] if self.cuda is None else [self.device]):
            torch.set_rng_state(self.cpu)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, self.device)
            yield
