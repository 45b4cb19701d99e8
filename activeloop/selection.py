"""Call a strategy under guard, and check its picks. The only place that trusts no strategy."""

from __future__ import annotations

import functools
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.errors import ActiveLoopError, StrategyError
from activeloop.strategies import name_of, needs_of
from activeloop.types import Context, Indices, Picks, Scores, Strategy

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


def _guarded(name: str, strategy: Callable[[Context], Any], context: Context) -> Any:
    """Return what `strategy` returns, having seen that it did nothing else."""
    with _global_randomness_untouched(name), _context_untouched(name, context):
        try:
            return strategy(context)
        except ActiveLoopError as error:
            raise type(error)(f"strategy {name}: {error}") from error
        except (Exception, SystemExit) as error:
            message = (
                f"strategy {name} raised {type(error).__name__}: {error}{_hint(strategy, error)}"
            )
            raise StrategyError(message) from error


def candidates(strategy: Strategy, context: Context) -> Indices | None:
    """Return the indices `[n]` that a strategy wants predicted, ascending; None: the whole pool.

    Raises:
        StrategyError: they are not distinct unlabelled indices, or fewer than `k`.
    """
    bound: dict[str, Any] = {}
    inner: Any = strategy
    while isinstance(inner, functools.partial):
        bound, inner = inner.keywords | bound, inner.func
    if not hasattr(inner, "candidates"):
        return None
    name = f"{name_of(strategy)}.candidates"
    returned = _guarded(name, functools.partial(inner.candidates, **bound), context)
    chosen = np.sort(_indices(name, context, returned))
    if len(chosen) < context.k:
        raise StrategyError(f"strategy {name} returned {len(chosen)} of at least k = {context.k}")
    return chosen


def checked_picks(name: str, context: Context, returned: object) -> tuple[Indices, Scores | None]:
    """Check what a strategy returned; see `select`."""
    picks = returned if isinstance(returned, Picks) else Picks(returned)  # type: ignore[arg-type]  # _indices checks it
    indices = _indices(name, context, picks.indices)
    if len(indices) != context.k:
        raise StrategyError(
            f"strategy {name} returned {len(indices)} indices, expected k = {context.k}"
        )
    if picks.scores is None:
        return indices, None
    try:
        scores = np.asarray(_array(picks.scores), np.float64)
    except (TypeError, ValueError) as error:
        raise StrategyError(f"strategy {name} returned scores that are no numbers") from error
    if scores.shape != indices.shape:
        raise StrategyError(
            f"strategy {name} returned scores of shape {scores.shape}, expected ({context.k},)"
        )
    if np.isnan(scores).any():
        raise StrategyError(f"strategy {name} returned a score that is NaN")
    return indices, scores


def _indices(name: str, context: Context, returned: object) -> Indices:
    """Return `returned` as distinct unlabelled pool indices, or say what is wrong with it."""
    try:
        array = _array(returned)
    except (TypeError, ValueError) as error:
        raise StrategyError(
            f"strategy {name} returned {type(returned).__name__}, expected pool indices"
        ) from error
    if array.ndim != 1:
        raise StrategyError(
            f"strategy {name} returned an array of shape {array.shape}, expected one dimension"
        )
    if len(array) == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise StrategyError(
            f"strategy {name} returned values of type {array.dtype}, expected whole numbers: "
            "pool indices out of context.unlabelled"
        )
    indices = array.astype(np.int64)
    values, counts = np.unique(indices, return_counts=True)
    if (counts > 1).any():
        raise StrategyError(
            f"strategy {name} returned index {values[counts > 1][0]} more than once, "
            "expected distinct indices"
        )
    # Not np.setdiff1d, which hashes all of the unlabelled: seconds for millions.
    if len(strange := values[~np.isin(values, context.unlabelled)]):
        kind = "labelled already" if strange[0] in context.labelled else "not unlabelled"
        raise StrategyError(
            f"strategy {name} returned index {strange[0]}, which is {kind}; expected pool indices "
            "out of context.unlabelled (not positions in it)"
        )
    return indices


def _array(values: object) -> npt.NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, str | bytes | dict | set) or values is None:
        raise TypeError
    return np.asarray(values)


def _hint(strategy: Callable[..., Any], error: BaseException) -> str:
    """Return advice for the commonest mistake: using a field that was not asked for."""
    if needs_of(strategy) or "None" not in str(error):
        return ""
    return (
        " (it declares no needs, so that context.probs and its like are None: "
        "name what it uses, as in @needs('probs'))"
    )


@contextmanager
def _global_randomness_untouched(name: str) -> Iterator[None]:
    """Raise if the body drew from a global generator: its picks would depend on who drew before."""
    before = random_states()
    yield
    for source, state in random_states().items():
        if state != before[source]:
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
    if torch.cuda.is_available():
        states["torch.cuda"] = torch.cuda.get_rng_state().numpy().tobytes()
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
