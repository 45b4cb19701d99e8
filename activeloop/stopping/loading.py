"""From a name or a config to a stopping rule, and whether a run can have it."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from activeloop.errors import ConfigError, DataError
from activeloop.stop_set import STOP_METRICS
from activeloop.stopping.base import Rule
from activeloop.stopping.combining import AllOf, AnyOf, Combined, Never
from activeloop.stopping.labelled import Budget, Plateau, Target
from activeloop.stopping.stabilising import (
    ClassificationChange,
    Kappa,
    OverallUncertainty,
    PerformanceDifference,
)
from activeloop.strategies.loading import locate
from activeloop.types import StoppingRule

RULES: Final[Mapping[str, type[Rule]]] = {
    rule.name: rule
    for rule in (
        Never,
        Budget,
        Target,
        Plateau,
        Kappa,
        OverallUncertainty,
        ClassificationChange,
        PerformanceDifference,
        AnyOf,
        AllOf,
    )
}


def load_rule(name: str, **options: Any) -> StoppingRule:
    """Return a stopping rule by its name, or by a dotted path `module.name`.

    Raises:
        ConfigError: there is no such rule, or it does not take one of `options`.
    """
    if name not in RULES and "." not in name:
        close = difflib.get_close_matches(name, RULES, 1)
        hint = f"did you mean {close[0]!r}? There are" if close else "choose one of"
        raise ConfigError(f"unknown stopping rule {name!r}: {hint} {', '.join(RULES)}")
    return _bound(RULES[name] if name in RULES else locate(name), options, name)


def from_config(node: Mapping[str, Any]) -> StoppingRule:
    """Build the rule that `{"_target_": dotted path, option: value, ...}` describes.

    Raises:
        ConfigError: the target cannot be imported, or does not take an option.
    """
    options = {str(name): value for name, value in node.items() if name != "_target_"}
    target = locate(node["_target_"])
    return _bound(target, options, getattr(target, "name", node["_target_"]))


def as_rule(rule: StoppingRule | str | Mapping[str, Any]) -> StoppingRule:
    """Return the rule that `rule` is, names, or describes, for a rule made of rules.

    Raises:
        ConfigError: there is no such rule, or it does not take its options.
    """
    if isinstance(rule, str):
        return load_rule(rule)
    if isinstance(rule, Mapping):
        if "_target_" in rule:
            return from_config(rule)
        if not isinstance(rule.get("name"), str):
            raise ConfigError(f"a stopping rule needs a name, as in {{name: kappa}}: {dict(rule)}")
        return load_rule(**{str(name): value for name, value in rule.items()})
    if not callable(rule):
        raise ConfigError(f"a stopping rule must be a name or a callable, got {rule!r}")
    return rule


def _bound(target: Callable[..., Any], options: Mapping[str, Any], name: str) -> StoppingRule:
    """Return `target` with its options: a class is instantiated, a function of rounds bound."""
    made_by_class = inspect.isclass(target)
    parameters = list(inspect.signature(target).parameters)
    taken = parameters if made_by_class else parameters[1:]  # the first is the rounds
    if unknown := sorted(options.keys() - set(taken)):
        close = difflib.get_close_matches(unknown[0], taken, 1)
        hint = f"did you mean {close[0]!r}? It takes" if close else "it takes"
        raise ConfigError(
            f"stopping rule {name} has no option {unknown[0]!r}: {hint} "
            f"{', '.join(taken) or 'none'}"
        )
    try:
        rule: StoppingRule = (
            target(**options) if made_by_class else functools.partial(target, **options)
        )
        inspect.signature(rule).bind(())
    except TypeError as error:
        raise ConfigError(
            f"stopping rule {name} cannot be called: {error}; it should take the rounds so far, "
            "and return the reason to stop or None"
        ) from error
    return rule


def check_rules(rules: Iterable[StoppingRule], metrics: Iterable[str]) -> None:
    """Raise if a rule needs the accuracy, or a metric of a stop set, and rounds will not have it.

    Args:
        rules: any callables; those of this package say what they need.
        metrics: those of these that all rounds will have.

    Raises:
        ConfigError: it needs a stop set.
        DataError: it needs test samples with labels.
    """
    there = set(metrics)
    for rule in rules:
        if isinstance(rule, Combined):
            check_rules(rule.rules, there)  # names the one
            continue
        missing = sorted(getattr(rule, "needs", frozenset()) - there)
        name = getattr(rule, "name", repr(rule))
        if without_set := [metric for metric in missing if metric in STOP_METRICS]:
            raise ConfigError(
                f"stopping={name} needs {without_set[0]}, which networks have on a stop set, and "
                "stop_set is 0: set stop_set=1000"
            )
        if "accuracy" in missing:
            raise DataError(
                f"stopping={name} needs accuracy, and so test samples with labels, which these "
                "data do not have: choose another, such as stopping=kappa, which needs no label"
            )
