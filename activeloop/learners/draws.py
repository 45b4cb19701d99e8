"""Chance that a network draws as it trains, from other generators than torch's global ones.

Networks that train side by side in one process would share the global generators. While one of the
modes here is entered, in the thread that entered it, random functions draw from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Functions that take a generator: those that make a tensor, and those that fill one.
_MAKING: Final = frozenset([torch.rand, torch.randn, torch.randint, torch.randperm])
_FILLING: Final = frozenset(
    [
        torch.bernoulli,
        torch.multinomial,
        Tensor.bernoulli,
        Tensor.bernoulli_,
        Tensor.exponential_,
        Tensor.normal_,
        Tensor.random_,
        Tensor.uniform_,
    ]
)
# Kinds of dropout, and how many dimensions of the input each drops on its own: None is all.
_DROPOUTS: Final[Mapping[Callable[..., Tensor], int | None]] = {
    functional.dropout: None,
    functional.dropout1d: 3,
    functional.dropout2d: 4,
    functional.dropout3d: 5,
}


def noise(like: Tensor, keep: float, generator: torch.Generator) -> Tensor:
    """Return what dropout multiplies with, drawn as torch draws it: 0, or 1 / `keep`."""
    return torch.empty_like(like).bernoulli_(keep, generator=generator).div_(keep)


class _OwnDropout(TorchFunctionMode):
    """Has dropout multiply by what `noise` returns."""

    def noise(self, like: Tensor, keep: float) -> Tensor:
        """Return noise of the shape and layout of `like`; values are kept with chance `keep`."""
        raise NotImplementedError

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _DROPOUTS:
            return self._dropout(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropout(
        self,
        func: Callable[..., Tensor],
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        whole = _DROPOUTS[func]
        if not training or not 0 < p < 1 or (whole is not None and input.ndim != whole):
            return func(input, p, training, inplace)
        like = input
        if whole is not None:  # whole channels
            like = input.new_empty(*input.shape[:2], *[1] * (whole - 2))
        mask = self.noise(like.detach(), 1 - p)
        return input.mul_(mask) if inplace else input * mask


class FromGenerators(_OwnDropout):
    """Draws from given generators, by the type of their device, just what torch would draw."""

    def __init__(self, generators: Mapping[str, torch.Generator]) -> None:
        super().__init__()
        self._generators = generators

    def noise(self, like: Tensor, keep: float) -> Tensor:
        """Draw it."""
        return noise(like, keep, self._generators[like.device.type])

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if (func in _MAKING or func in _FILLING) and given.get("generator") is None:
            at = torch.device(given.get("device") or "cpu") if func in _MAKING else args[0].device
            given["generator"] = self._generators[at.type]
        return super().__torch_function__(func, types, args, given)


class Recorded(_OwnDropout):
    """Drops nothing, and remembers what noise was asked for.

    Attributes:
        asked: shape and layout of each noise, and the chance of a value to be kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Tensor, float]] = []

    def noise(self, like: Tensor, keep: float) -> Tensor:
        """Remember it."""
        self.asked.append((torch.empty_like(like), keep))
        return torch.ones_like(like)


class Given(_OwnDropout):
    """Takes noises that were drawn before, in their order."""

    def __init__(self, noises: Sequence[Tensor]) -> None:
        super().__init__()
        self._noises: Iterator[Tensor] = iter(noises)

    def noise(self, like: Tensor, keep: float) -> Tensor:
        """Take the next."""
        return next(self._noises)
