"""What strategies are made of: `@needs`, `@score`, and choosing `k` by score."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import choice, real
from activeloop.errors import MEMBERS_ADVICE, ConfigError, StrategyError
from activeloop.memory import rows_at_a_time
from activeloop.types import NEEDS, Context, Indices, Need, Picks, Scores

_Callable = TypeVar("_Callable", bound=Callable[..., Any])
ScoreFunction = Callable[..., Tensor]

# What `@score` adds to the options of a score.
SHARED_OPTIONS = ("sampling", "beta", "temperature")
SAMPLINGS = ("top", "power", "softmax", "gibbs", "rank")

# Up to so many rows for each one wanted, measuring them all costs less than to gather those wanted.
_DENSE = 1.125


def needs(*names: Need) -> Callable[[_Callable], _Callable]:
    """Declare which optional fields of the context a strategy uses; the rest stay None.

    Works on a function and on a class with `__call__`.

    Raises:
        StrategyError: a name is no optional field of the context.
    """

    def declare(target: _Callable) -> _Callable:
        target.needs = _known(names, getattr(target, "__name__", "strategy"))  # type: ignore[attr-defined]  # functions take attributes
        return target

    return declare


def needs_of(strategy: Callable[..., Any], context: Context | None = None) -> frozenset[str]:
    """Return what `strategy` declared with `@needs`, also through `functools.partial`.

    A strategy bound to `space="embeddings"` needs those in place of features. One that needs less
    at times has a method `needs_at(context)`, which is asked for this `context` (indices and labels
    only) if there is one.
    """
    bound: dict[str, Any] = {}
    while isinstance(strategy, functools.partial):
        bound, strategy = strategy.keywords | bound, strategy.func
    if context is not None and hasattr(strategy, "needs_at"):
        return _known(strategy.needs_at(context), type(strategy).__name__)
    found = _known(getattr(strategy, "needs", ()), type(strategy).__name__)
    if bound.get("space") == "embeddings" and "features" in found:
        return found - {"features"} | {"embeddings"}
    return found


def _known(names: Iterable[str], owner: str) -> frozenset[str]:
    if unknown := set(names) - NEEDS:
        raise StrategyError(
            f"{owner} needs {', '.join(map(repr, sorted(unknown)))}; there are "
            f"{', '.join(sorted(NEEDS))}"
        )
    return frozenset(names)


class ScoreStrategy:
    """A strategy that picks by a score. Made by `@score`."""

    __qualname__: str  # the function's

    def __init__(self, function: ScoreFunction) -> None:
        functools.update_wrapper(self, function)
        self.score = function
        self.needs = needs_of(function)
        own = inspect.signature(type(self).__call__).parameters
        given = inspect.signature(function).parameters
        if taken := sorted(given.keys() & set(SHARED_OPTIONS)):
            raise StrategyError(
                f"score {function.__name__} has a parameter {taken[0]!r}, which @score adds by "
                "itself: give it another name"
            )
        rest = [p for p in given.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
        first = [p for p in given.values() if p not in rest]
        shared = [own[name] for name in SHARED_OPTIONS]
        self.__signature__ = inspect.Signature([*first, *shared, *rest])

    def __call__(
        self,
        context: Context,
        *,
        sampling: str = "top",
        beta: float = 1.0,
        temperature: float = 1.0,
        **options: Any,
    ) -> Picks:
        """Pick `context.k` samples by score.

        Args:
            context: what there is to choose from.
            sampling: "top" takes the highest scores. The others draw without replacement, with
                probability proportional to score^beta ("power"), exp(beta score) ("softmax", also
                called "gibbs") or rank^-beta ("rank"): Kirsch et al., Stochastic Batch Acquisition
                (TMLR 2023). They spread a large batch at no cost.
            beta: how sharply sampling follows the score; 0 is uniform.
            temperature: probabilities are tempered to p^(1/temperature) before they are scored.
            options: of the score function.

        Raises:
            ConfigError: an option has no meaning.
            StrategyError: the scores are not one number for each unlabelled sample.
        """
        self.check_sampling(sampling, beta, temperature)
        scores = self.scores(context, temperature=temperature, **options)
        return by_score(scores, context, sampling, beta)

    def scores(self, context: Context, *, temperature: float = 1.0, **options: Any) -> Scores:
        """Return the checked score of each unlabelled sample, `[U]` float64."""
        return self._checked(self.score(_tempered(context, temperature), **options), context)

    def check_sampling(
        self, sampling: str = "top", beta: float = 1.0, temperature: float = 1.0
    ) -> None:
        """Raise `ConfigError` if an option has no meaning: known before a network is trained."""
        check_sampling(sampling, beta)
        real("strategy.temperature", temperature, above=0)

    def _checked(self, scores: Tensor, context: Context) -> Scores:
        expected = context.unlabelled.shape
        try:
            array = torch.as_tensor(scores).detach().cpu().to(torch.float64).numpy()
        except (TypeError, ValueError, RuntimeError) as error:
            raise StrategyError(
                f"scores must be an array or a tensor of shape {expected}, "
                f"got {type(scores).__name__}"
            ) from error
        if array.shape != expected:
            raise StrategyError(f"scores must have shape {expected}, got {array.shape}")
        if np.isnan(array).any():
            first = context.unlabelled[np.flatnonzero(np.isnan(array))[0]]
            raise StrategyError(f"scores must be numbers, got NaN for sample {first}")
        return array

    def __reduce__(self) -> str | tuple[Any, ...]:
        # Where `@score` put the strategy in the function's place, only the name leads to either.
        path = str(getattr(self, "__qualname__", ""))
        found: Any = sys.modules.get(self.__module__)
        for name in path.split("."):
            found = getattr(found, name, None)
        return path if found is self else (type(self), (self.score,))

    def __repr__(self) -> str:
        return f"<strategy {getattr(self, '__name__', 'score')}>"


def score(function: ScoreFunction) -> ScoreStrategy:
    """Turn `(context, **options) -> scores [U]` into a strategy: the highest are asked first.

    The strategy takes `sampling`, `beta` and `temperature` beside the function's own options, and
    the scores of its picks are stored.
    """
    return ScoreStrategy(function)


def score_of(strategy: Callable[..., Any]) -> Callable[[Context], Scores]:
    """Return the score that `strategy` picks by, `(context) -> [U]`, for a wrapper that weighs.

    Raises:
        ConfigError: it does not pick by a score, or samples from it.
    """
    options: dict[str, Any] = {}
    inner: Any = strategy
    while isinstance(inner, functools.partial):
        options, inner = inner.keywords | options, inner.func
    if not isinstance(inner, ScoreStrategy):
        name = getattr(inner, "__name__", type(inner).__name__)
        raise ConfigError(f"{name} gives no score; choose one that does, such as margin or entropy")
    if options.pop("sampling", "top") != "top":
        raise ConfigError("a score that is weighed by another strategy must have sampling=top")
    options.pop("beta", None)
    return functools.partial(inner.scores, **options)


def by_rows(
    measure: Callable[[Tensor], Tensor], values: Tensor, indices: Indices, *, dim: int = 0
) -> Tensor:
    """Return `measure`, one number a row, of the rows `indices` `[n]` of `values`: `[n]`.

    A few rows at a time, so that no copy of all of them is made and working arrays stay in the
    processor's cache. Where nearly all rows of a stretch are asked for, it is measured as it lies.

    Args:
        measure: takes some rows, such as `[rows, C]`, or `[M, rows, C]` with `dim=1`, and leaves
            them as they are.
        values: `[N, C]`, or `[M, N, C]`.
        indices: of rows, ascending.
        dim: along which rows lie.
    """
    row_bytes = values.element_size() * (values.numel() // max(1, values.shape[dim]))
    rows = rows_at_a_time(4 * row_bytes)  # the rows, and what is computed from them
    chosen = torch.from_numpy(indices).to(values.device)
    results = []
    for start in range(0, len(indices), rows):
        some = indices[start : start + rows]
        first, stretch = int(some[0]), int(some[-1] - some[0]) + 1
        numbers = chosen[start : start + rows]
        if stretch <= _DENSE * len(some):
            measured = measure(values.narrow(dim, first, stretch))
            results.append(measured.index_select(0, numbers - first))
        else:
            results.append(measure(values.index_select(dim, numbers)))
    return torch.cat(results) if results else measure(values.narrow(dim, 0, 0))


def by_members(measure: Callable[[Tensor], Tensor], context: Context) -> Tensor:
    """Return `measure` `[M, n, C] -> [n]` of what members say of the unlabelled samples, `[U]`.

    Raises:
        StrategyError: there are no members.
    """
    return by_rows(measure, required_members(context), context.unlabelled, dim=1)


def required_members(context: Context) -> Tensor:
    """Return `context.members`, `[M, N, C]`, or raise `StrategyError` that says where from."""
    members: Tensor | None = context.members
    if members is None:
        raise StrategyError(
            "there are no members (before the first round, or not declared by @needs): "
            f"{MEMBERS_ADVICE}"
        )
    return members


def highest(scores: Scores, k: int, rng: np.random.Generator) -> Indices:
    """Return the positions of the `k` highest scores, highest first, ties broken by `rng`.

    Breaking ties by position instead would ask for one class first where samples come sorted.
    O(U) but for the sort of the `k`.
    """
    if k == 0:
        return np.empty(0, np.int64)
    threshold = np.partition(scores, -k)[-k]
    first = np.flatnonzero(scores >= threshold)
    above, tied = first[scores[first] > threshold], first[scores[first] == threshold]
    chosen = np.concatenate([above, rng.choice(tied, k - len(above), replace=False)])
    return chosen[np.lexsort((rng.permutation(k), -scores[chosen]))]


def by_score(scores: Scores, context: Context, sampling: str, beta: float) -> Picks:
    """Return `k` picks by the scores of the unlabelled samples, `[U]`: see `ScoreStrategy`."""
    keys = _keys(scores, sampling, beta, context.rng)
    chosen = highest(keys, context.k, context.rng)
    return Picks(context.unlabelled[chosen], scores[chosen])


def check_sampling(sampling: str, beta: float) -> None:
    """Raise `ConfigError` unless `sampling` is one, and `beta` a number of at least 0."""
    choice("strategy.sampling", sampling, SAMPLINGS)
    real("strategy.beta", beta, least=0)


def _keys(scores: Scores, sampling: str, beta: float, rng: np.random.Generator) -> Scores:
    """Return keys whose top k are the sample: log weight plus Gumbel noise draws exactly that."""
    if sampling == "top":
        return scores
    if sampling == "power":
        if (scores < 0).any():
            raise StrategyError("sampling=power needs scores of at least 0: use sampling=softmax")
        with np.errstate(divide="ignore"):
            weights = np.log(scores)
    elif sampling == "rank":
        order = np.lexsort((rng.permutation(len(scores)), -scores))
        weights = np.empty_like(scores)
        weights[order] = -np.log(np.arange(1, len(scores) + 1))
    else:
        weights = scores
    weighted = np.zeros_like(weights) if beta == 0 else beta * weights
    keys: Scores = weighted + rng.gumbel(size=len(scores))
    return keys


def _tempered(context: Context, temperature: float) -> Context:
    if temperature == 1:
        return context
    tempered: dict[str, Any] = {}
    for name in ("probs", "members"):
        if (value := getattr(context, name)) is not None:
            logits = value.log().div_(temperature)  # the only copy: the rest is in place
            tempered[name] = logits.sub_(logits.logsumexp(dim=-1, keepdim=True)).exp_()
    return dataclasses.replace(context, **tempered)
