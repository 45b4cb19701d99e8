"""Call a strategy and check what it returns: for the loop, and for strategies that ask others."""

from __future__ import annotations

import functools
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from activeloop.errors import ActiveLoopError, StrategyError
from activeloop.strategies.base import needs_of
from activeloop.strategies.loading import name_of
from activeloop.types import Context, Indices, Picks, Scores, Strategy

# Where code lies that is not the user's: ours, the standard library's and what is installed.
_NOT_THE_USERS = (
    str(Path(__file__).parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    "<",
)


def ask(strategy: Strategy, context: Context) -> tuple[Indices, Scores | None]:
    """Return the `k` picks of `strategy` as indices `[k]`, and their scores `[k]` or None.

    Raises:
        StrategyError: it raised, or did not return exactly `k` distinct unlabelled indices.
    """
    name = name_of(strategy)
    return checked_picks(name, context, called(name, strategy, context))


def ask_candidates(strategy: Strategy, context: Context) -> Indices | None:
    """Return the indices `[n]` that `strategy` wants predicted, ascending; None: the whole pool.

    Raises:
        StrategyError: they are not distinct unlabelled indices, or fewer than `k`.
    """
    if (method := candidates_of(strategy)) is None:
        return None
    name = f"{name_of(strategy)}.candidates"
    return checked_candidates(name, context, called(name, method, context))


def candidates_of(strategy: Strategy) -> Callable[[Context], Any] | None:
    """Return the method `candidates` of `strategy` with its options bound; None if it has none."""
    bound: dict[str, Any] = {}
    inner: Any = strategy
    while isinstance(inner, functools.partial):
        bound, inner = inner.keywords | bound, inner.func
    method: Callable[[Context], Any] | None = getattr(inner, "candidates", None)
    return None if method is None else functools.partial(method, **bound)


def called(name: str, strategy: Callable[[Context], Any], context: Context) -> Any:
    """Return what `strategy` returns; what it raises names it."""
    try:
        return strategy(context)
    except ActiveLoopError as error:
        raise type(error)(f"strategy {name}: {error}") from error
    except (Exception, SystemExit) as error:
        hint = _hint(strategy, error)
        place = _place(error)
        message = f"strategy {name} raised {type(error).__name__}{place}: {error}{hint}"
        raise StrategyError(message) from error


def checked_candidates(name: str, context: Context, returned: object) -> Indices | None:
    """Check what `candidates` returned; see `ask_candidates`."""
    if returned is None:
        return None
    chosen = np.sort(_indices(name, context, returned))
    if len(chosen) < context.k:
        raise StrategyError(f"strategy {name} returned {len(chosen)} of at least k = {context.k}")
    return chosen


def checked_picks(name: str, context: Context, returned: object) -> tuple[Indices, Scores | None]:
    """Check what a strategy returned; see `ask`."""
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
    if len(strange := values[~_among(values, context.unlabelled)]):
        kind = "labelled already" if strange[0] in context.labelled else "not unlabelled"
        raise StrategyError(
            f"strategy {name} returned index {strange[0]}, which is {kind}; expected pool indices "
            "out of context.unlabelled (not positions in it)"
        )
    return indices


def _among(values: Indices, ascending: Indices) -> npt.NDArray[np.bool_]:
    """Return which of `values` are among `ascending`, without a pass over those."""
    if len(ascending) == 0:
        return np.zeros(len(values), np.bool_)
    at = np.searchsorted(ascending, values).clip(max=len(ascending) - 1)
    found: npt.NDArray[np.bool_] = ascending[at] == values
    return found


def _array(values: object) -> npt.NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, str | bytes | dict | set) or values is None:
        raise TypeError
    return np.asarray(values)


def _place(error: BaseException) -> str:
    """Return in which line of the user's own code an error arose; nothing if in none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
    return f" in {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""


def _hint(strategy: Callable[..., Any], error: BaseException) -> str:
    """Return advice for the commonest mistake: using a field that was not asked for."""
    if needs_of(strategy) or "None" not in str(error):
        return ""
    return (
        " (it declares no needs, so that context.probs and its like are None: "
        "name what it uses, as in @needs('probs'))"
    )
