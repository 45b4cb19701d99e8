"""What strategies that ask other strategies have in common.

A wrapper is a dataclass of options. Those named in `wraps` are strategies: callables, names, or
mappings `{name: ..., option: ...}`, and are built, and so checked, when the wrapper is. It asks
them on `dataclasses.replace(context, unlabelled=subset)`, so that indices stay pool indices.

`candidates` is asked before there are predictions, and `__call__` after; a wrapper in a wrapper may
be called on more than its own candidates. So both narrow, and what is drawn for it comes from
`lottery`, which gives the same in both.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from activeloop.errors import ConfigError, StrategyError
from activeloop.strategies.asking import ask, ask_candidates
from activeloop.strategies.base import needs_of, score_of
from activeloop.strategies.loading import as_strategy, name_of, with_options
from activeloop.types import Context, Indices, Scores, Strategy


class Wrapper:
    """Base of the strategies that ask others.

    Attributes:
        wraps: the options that hold strategies.
        needs: what it uses itself, and on an instance, what the strategies it asks use too.
        inner: the strategies it asks, in the order of `wraps`.
    """

    wraps: ClassVar[tuple[str, ...]] = ("strategy",)
    needs: frozenset[str] = frozenset()
    inner: tuple[Strategy, ...]

    def __post_init__(self) -> None:
        """Build the inner strategies, and check the options.

        Raises:
            ConfigError: there is no such strategy, or an option has no meaning.
        """
        inner: list[Strategy] = []
        for option in self.wraps:
            value = getattr(self, option)
            several = isinstance(value, Sequence) and not isinstance(value, str)
            try:
                built = [as_strategy(each) for each in (value if several else [value])]
            except ConfigError as error:
                raise ConfigError(f"strategy.{option}: {error}") from error
            setattr(self, option, tuple(built) if several else built[0])
            inner += built
        self.inner = tuple(inner)
        self.check()
        self.needs = self._own_needs() | self._union(needs_of(each) for each in self.inner)

    def check(self) -> None:
        """Raise `ConfigError` if an option has no meaning."""

    def weighed(self) -> Callable[[Context], Scores]:
        """Return the score of the first inner strategy, which must be finite and at least 0.

        Raises:
            ConfigError: it picks by no score.
        """
        try:
            score = score_of(self.inner[0])
        except ConfigError as error:
            raise ConfigError(f"strategy.{self.wraps[0]}: {error}") from error
        return functools.partial(_weights, score)

    def asked(self, context: Context) -> tuple[Strategy, ...]:
        """Return those of the inner strategies that would be asked in `context`."""
        return self.inner

    def needs_at(self, context: Context) -> frozenset[str]:
        """Return what the strategies that would be asked in `context` need."""
        asked = self.asked(context)
        return self._own_needs() | self._union(needs_of(each, context) for each in asked)

    def candidates(self, context: Context) -> Indices | None:
        """Return what those asked want predicted, together; None, the whole pool, if one does."""
        wanted = [ask_candidates(each, context) for each in self.asked(context)]
        some = [indices for indices in wanted if indices is not None]
        return np.unique(np.concatenate(some)) if some and len(some) == len(wanted) else None

    def resolve(self, keys: Sequence[str]) -> None:
        """Tell the inner strategies the keys of the pool, `[N]`, if they want them."""
        for each in self.inner:
            if hasattr(each, "resolve"):
                each.resolve(keys)

    @property
    def __name__(self) -> str:
        names = ", ".join(name_of(each) for each in self.inner)
        return f"{self._own_name}({names})" if names else self._own_name

    @property
    def description(self) -> str:
        """Its name with all its options, by which runs are told apart."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
        return with_options(self._own_name, {f.name: getattr(self, f.name) for f in fields})

    def __repr__(self) -> str:
        return self.description

    @property
    def _own_name(self) -> str:
        name = type(self).__qualname__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")

    def _own_needs(self) -> frozenset[str]:
        declared = type(self).needs
        if (space := getattr(self, "space", None)) is not None:
            return declared - {"features", "embeddings"} | {space}
        return declared

    @staticmethod
    def _union(parts: Iterable[frozenset[str]]) -> frozenset[str]:
        return frozenset[str]().union(*parts)


def _weights(score: Callable[[Context], Scores], context: Context) -> Scores:
    """Return the scores `[U]`, or raise `StrategyError` if they are no weights."""
    scores = score(context)
    if len(scores) and not 0 <= scores.min() <= scores.max() < math.inf:
        raise StrategyError(
            "the score weighs samples, so it must be finite and at least 0; it is from "
            f"{scores.min():g} to {scores.max():g}: choose another, such as margin or entropy"
        )
    return scores


def among(context: Context, indices: Indices, k: int | None = None) -> Context:
    """Return `context` with only `indices`, ascending, to pick from, and another `k` if given."""
    return dataclasses.replace(context, unlabelled=indices, k=context.k if k is None else k)


def ask_narrowed(strategy: Strategy, context: Context) -> tuple[Indices, Scores | None]:
    """Return the picks of `strategy`, and their scores, among its own candidates if it has any.

    For a wrapper whose candidates are more than those of a strategy that it asks.
    """
    own = ask_candidates(strategy, context)
    return ask(strategy, context if own is None else among(context, own))


def lottery(context: Context) -> npt.NDArray[np.float64]:
    """Return a random number in [0, 1) for each of `context.unlabelled`, `[U]`.

    A sample has the same number whenever it is asked for within one query, whatever else is there
    to pick and whatever was drawn before: it hangs on the seed of `context.rng`, not on its state.
    """
    seed = context.rng.bit_generator.seed_seq
    assert isinstance(seed, np.random.SeedSequence)
    own = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, crc32(b"lottery")))
    size = int(context.unlabelled[-1]) + 1 if len(context.unlabelled) else 0
    return np.random.default_rng(own).random(size)[context.unlabelled]


def drawn(context: Context, n: int) -> Indices:
    """Return `n` of `context.unlabelled` at random, by `lottery`, ascending; all, if fewer."""
    if n >= len(context.unlabelled):
        return context.unlabelled
    lowest = np.argpartition(lottery(context), n)[:n] if n else np.empty(0, np.int64)
    return np.sort(context.unlabelled[lowest])
