"""From a name or a config to a strategy, and from a strategy to its name."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, get_args, get_origin, get_type_hints

from activeloop.checks import choice
from activeloop.errors import ConfigError
from activeloop.strategies.base import SHARED_OPTIONS, ScoreStrategy, needs_of
from activeloop.strategies.catalog import CATALOG, FAMILIES
from activeloop.types import Strategy

ENTRY_POINTS = "activeloop.strategies"

# How wrappers are told what to wrap: a strategy, its name, or `{name: ..., option: ...}`.
Inner = Strategy | str | Mapping[str, Any]


def load_strategy(name: str, **options: Any) -> Strategy:
    """Return a strategy by its name, an installed plug-in's, or a dotted path `module.name`.

    Raises:
        ConfigError: there is no such strategy, or it does not take one of `options`.
    """
    return bind(find(name), options, name)


def find(name: str) -> Callable[..., Any]:
    """Return the function or class of a strategy by its name; see `load_strategy`.

    Raises:
        ConfigError: there is no such strategy.
    """
    if name in CATALOG:
        return locate(CATALOG[name])
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        plugged: Callable[..., Any] = entry.load()
        return plugged
    if "." in name:
        return locate(name)
    known = [*CATALOG, *(entry.name for entry in entry_points(group=ENTRY_POINTS))]
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}? There are" if close else "choose one of"
    raise ConfigError(f"unknown strategy {name!r}: {hint} {', '.join(sorted(known))}")


def as_strategy(inner: Inner) -> Strategy:
    """Return the strategy that `inner` is or names, for a strategy that wraps others.

    Args:
        inner: a callable; a name; or a mapping of options with `name`, or with `_target_`, a dotted
            path: `{"name": "entropy", "temperature": 2}`.

    Raises:
        ConfigError: there is no such strategy, or it does not take its options.
    """
    if isinstance(inner, str):
        return load_strategy(inner)
    if isinstance(inner, Mapping):
        if "_target_" in inner:
            return from_config(inner)
        if not isinstance(inner.get("name"), str):
            raise ConfigError(f"an inner strategy needs a name, as in {{name: margin}}: {inner}")
        return load_strategy(**{str(name): value for name, value in inner.items()})
    if not callable(inner):
        raise ConfigError(f"an inner strategy must be a name or a callable, got {inner!r}")
    return inner


@dataclass(frozen=True, kw_only=True)
class About:
    """What the documentation of a strategy says of it; fields that it does not have are empty.

    Attributes:
        name: by which it is chosen.
        family: its group in the catalogue, or "installed".
        summary: the first line of its docstring.
        paper: where it comes from.
        budget: the label budgets that it is for: low, high or any.
        time: its cost in time.
        memory: its cost in memory, beside the prediction.
        needs: what it uses of a context.
        wraps: whether it asks other strategies, and so needs what they need.
    """

    name: str
    family: str
    summary: str
    paper: str
    budget: str
    time: str
    memory: str
    needs: frozenset[str]
    wraps: bool = False


def known_strategies() -> Iterator[About]:
    """Yield what is known of each strategy that can be named: ours, then installed ones."""
    for family, members in FAMILIES.items():
        for name, path in members.items():
            yield about(locate(path), name, family)
    for entry in entry_points(group=ENTRY_POINTS):
        yield about(entry.load(), entry.name, "installed")


def about(strategy: Callable[..., Any], name: str, family: str) -> About:
    """Read what the docstring of `strategy` says: lines `Paper:`, `Budget:`, `Time:`, `Memory:`."""
    text = inspect.getdoc(strategy) or ""
    found = dict(re.findall(r"^(Paper|Budget|Time|Memory): (.+)$", text, re.MULTILINE))
    fields = {key.lower(): found.get(key, "").rstrip(".") for key in _FIELDS}
    summary = text.partition("\n")[0]
    return About(
        name=name,
        family=family,
        summary=summary,
        needs=needs_of(strategy),
        wraps=bool(getattr(strategy, "wraps", ())),
        **fields,
    )


_FIELDS = ("Paper", "Budget", "Time", "Memory")


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
        _check_choices(getattr(target, "score", target), options)
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


def _check_choices(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if an option is none of those that the function's types list."""
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # types that are there for a type checker only
        return
    for option, value in options.items():
        if get_origin(hints.get(option)) is Literal:
            choice(f"strategy.{option}", value, get_args(hints[option]))


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
    """Return a strategy's name and the options bound to it.

    An instance of a class may have a `description` of its own: it tells runs apart.
    """
    if (own := getattr(strategy, "description", None)) is not None:
        return str(own)
    return with_options(name_of(strategy), getattr(strategy, "keywords", {}))


def with_options(name: str, options: Mapping[str, Any]) -> str:
    """Return `name(option=value, ...)`; strategies among the values are described."""
    listed = ", ".join(f"{option}={_shown(value)}" for option, value in sorted(options.items()))
    return f"{name}({listed})" if listed else name


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return described(value) if callable(value) else repr(value)


def name_of(strategy: Callable[..., Any]) -> str:
    """Return a name for messages and files."""
    while isinstance(strategy, functools.partial):
        strategy = strategy.func
    return str(getattr(strategy, "__name__", type(strategy).__name__))
