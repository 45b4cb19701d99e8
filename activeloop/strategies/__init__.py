"""Strategies: callables that pick `k` samples from a context. Custom ones need no registration."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from activeloop.errors import ConfigError
from activeloop.strategies.base import SHARED_OPTIONS, ScoreStrategy, needs, needs_of, score
from activeloop.strategies.neighborhood import cosine_diversity, l2_diversity, neighbor_kl
from activeloop.strategies.uncertainty import entropy, least_confidence, margin
from activeloop.strategies.uniform import random
from activeloop.types import Strategy

CATALOG: Mapping[str, Callable[..., Any]] = {
    "random": random,
    "least_confidence": least_confidence,
    "margin": margin,
    "entropy": entropy,
    "cosine_diversity": cosine_diversity,
    "l2_diversity": l2_diversity,
    "neighbor_kl": neighbor_kl,
}
ENTRY_POINTS = "activeloop.strategies"


def load_strategy(name: str, **options: Any) -> Strategy:
    """Return a strategy by its name, an installed plug-in's, or a dotted path `module.name`.

    Raises:
        ConfigError: there is no such strategy, or it does not take one of `options`.
    """
    if name in CATALOG:
        return bind(CATALOG[name], options, name)
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return bind(entry.load(), options, name)
    if "." in name:
        return bind(locate(name), options, name)
    known = [*CATALOG, *(entry.name for entry in entry_points(group=ENTRY_POINTS))]
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}? There are" if close else "choose one of"
    raise ConfigError(f"unknown strategy {name!r}: {hint} {', '.join(sorted(known))}")


def known_strategies() -> Iterator[tuple[str, str]]:
    """Yield the name and the first line of documentation of each strategy that can be named."""
    for name, strategy in CATALOG.items():
        yield name, _summary(strategy)
    for entry in entry_points(group=ENTRY_POINTS):
        yield entry.name, _summary(entry.load())


def _summary(strategy: Callable[..., Any]) -> str:
    return (inspect.getdoc(strategy) or "").partition("\n")[0]


def from_config(node: Mapping[str, Any]) -> Strategy:
    """Build the strategy that `{"_target_": dotted path, option: value, ...}` describes.

    Options that are such nodes themselves are built first, so that strategies may wrap strategies.

    Raises:
        ConfigError: the target cannot be imported or does not take an option.
    """
    options = {name: _built(value) for name, value in node.items() if name != "_target_"}
    target = node["_target_"]
    return bind(locate(target), options, target)


def _built(value: Any) -> Any:
    return from_config(value) if isinstance(value, Mapping) and "_target_" in value else value


def bind(target: Callable[..., Any], options: Mapping[str, Any], name: str) -> Strategy:
    """Return `target` with its options bound; a class is instantiated with them.

    Raises:
        ConfigError: `target` does not take these options, or is not callable.
    """
    if not callable(target):
        raise ConfigError(f"strategy {name} must be a function or a class, got {target!r}")
    made_by_class = inspect.isclass(target)
    try:
        first = () if made_by_class else (None,)  # the context
        inspect.signature(target).bind(*first, **options)
    except TypeError as error:
        expected = "options only" if made_by_class else "one context (k is context.k), then options"
        raise ConfigError(
            f"strategy {name} cannot be called: {error}; {name.rpartition('.')[2]} should take "
            f"{expected}, and takes {inspect.signature(target)}"
        ) from error
    if isinstance(target, ScoreStrategy):
        target.check_sampling(**{n: v for n, v in options.items() if n in SHARED_OPTIONS})
    if not made_by_class:
        return functools.partial(target, **options) if options else target
    instance: Strategy = target(**options)
    if not callable(instance):
        raise ConfigError(f"strategy {name}: {target.__qualname__} needs __call__(self, context)")
    try:
        inspect.signature(instance).bind(None)
    except TypeError as error:
        raise ConfigError(
            f"strategy {name}: {target.__qualname__}.__call__ should take one context (k is "
            f"context.k), and takes {inspect.signature(instance)}"
        ) from error
    return instance


def locate(path: str) -> Callable[..., Any]:
    """Import the object at a dotted path.

    Raises:
        ConfigError: no such module or name, or importing it fails.
    """
    module_name, _, attribute = str(path).rpartition(".")
    if not module_name:
        raise ConfigError(
            f"strategy._target_ must be a path like my_module.my_strategy, got {path}"
        )
    try:
        target: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"cannot import {path}: {error}; the module must be installed or lie in the working "
            "directory"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"module {module_name} has no {attribute!r}") from error
    return target


def described(strategy: Callable[..., Any]) -> str:
    """Return a strategy's name and the options bound to it."""
    options = getattr(strategy, "keywords", {})
    listed = ", ".join(f"{name}={value!r}" for name, value in sorted(options.items()))
    return f"{name_of(strategy)}({listed})" if listed else name_of(strategy)


def name_of(strategy: Callable[..., Any]) -> str:
    """Return a name for messages and files."""
    while isinstance(strategy, functools.partial):
        strategy = strategy.func
    return str(getattr(strategy, "__name__", type(strategy).__name__))


__all__ = [
    "CATALOG",
    "ENTRY_POINTS",
    "ScoreStrategy",
    "bind",
    "cosine_diversity",
    "described",
    "entropy",
    "from_config",
    "known_strategies",
    "l2_diversity",
    "least_confidence",
    "load_strategy",
    "locate",
    "margin",
    "name_of",
    "needs",
    "needs_of",
    "neighbor_kl",
    "random",
    "score",
]
