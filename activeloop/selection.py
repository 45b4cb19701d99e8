"""Call a strategy under guard, and check its picks. The only place that trusts no strategy."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.errors import StrategyError
from activeloop.strategies import name_of
from activeloop.strategies.asking import (
    called,
    candidates_of,
    checked_candidates,
    checked_picks,
)
from activeloop.types import Context, Indices, Scores, Strategy

# Elements of a tensor that are compared before and after; a larger tensor is sampled evenly, beside
# torch's own count of in-place changes, which misses only writes through numpy.
_COMPARED = 2**18


def select(strategy: Strategy, context: Context) -> tuple[Indices, Scores | None]:
    """Return the strategy's `k` picks as indices `[k]`, and their scores `[k]` or None.

    Raises:
        StrategyError: the strategy raised, used global random state, changed its context, or did
            not return exactly `k` distinct unlabelled indices.
    """
    name = name_of(strategy)
    return checked_picks(name, context, _guarded(name, strategy, context))


def candidates(strategy: Strategy, context: Context) -> Indices | None:
    """Return the indices `[n]` that a strategy wants predicted, ascending; None: the whole pool.

    Raises:
        StrategyError: they are not distinct unlabelled indices, or fewer than `k`.
    """
    if (method := candidates_of(strategy)) is None:
        return None
    name = f"{name_of(strategy)}.candidates"
    return checked_candidates(name, context, _guarded(name, method, context))


def _guarded(name: str, strategy: Callable[[Context], Any], context: Context) -> Any:
    """Return what `strategy` returns, having seen that it did nothing else."""
    with _global_randomness_untouched(name), _context_untouched(name, context):
        return called(name, strategy, context)


@contextmanager
def _global_randomness_untouched(name: str) -> Iterator[None]:
    """Raise if the body drew from a global generator: its picks would depend on who drew before."""
    before = random_states()
    yield
    for source, state in random_states().items():
        if state != before.get(source, state):
            raise StrategyError(
                f"strategy {name} drew from the global random state of {source}, so its picks "
                "cannot be repeated: draw from context.rng"
            )


def random_states() -> dict[str, object]:
    """Return the state of each global generator, by what it is called."""
    numpy_state = np.random.get_state(legacy=True)  # noqa: NPY002  # it is what is being guarded
    states: dict[str, object] = {
        "random": random.getstate(),
        "numpy.random": (numpy_state[1].tobytes(), numpy_state[2:]),  # type: ignore[index]  # a tuple with legacy=True
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        # To ask would start a GPU that nobody uses, in whose process nothing can be forked.
        all_of_them = torch.cuda.get_rng_state_all()
        states["torch.cuda"] = b"".join(state.numpy().tobytes() for state in all_of_them)
    return states


@contextmanager
def _context_untouched(name: str, context: Context) -> Iterator[None]:
    """Raise if the body changed a tensor or array of the context."""
    before = _marks(context)
    yield
    for field, mark in _marks(context).items():
        if mark != before[field]:
            raise StrategyError(
                f"strategy {name} changed context.{field} in place; work on a copy: "
                f"context.{field}.clone()"
            )


def _marks(context: Context) -> dict[str, tuple[int, int]]:
    fields = ("labelled", "labels", "unlabelled", "probs", "features", "members", "embeddings")
    values = {field: getattr(context, field) for field in fields}
    return {field: _mark(value) for field, value in values.items() if value is not None}


def _mark(value: Tensor | npt.NDArray[Any]) -> tuple[int, int]:
    """Return torch's count of in-place changes, and a checksum."""
    if isinstance(value, np.ndarray):
        return 0, zlib.crc32(np.ascontiguousarray(value).data)
    flat = value.detach().reshape(-1)
    some = flat[:: max(1, len(flat) // _COMPARED)]
    # Inference tensors keep no count of changes.
    changes = 0 if value.is_inference() else value._version
    return changes, zlib.crc32(some.cpu().contiguous().numpy().data)
