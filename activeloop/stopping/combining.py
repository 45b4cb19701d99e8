"""Rules made of rules, and the rule that never stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from activeloop.errors import ConfigError
from activeloop.stopping.base import Reading, Rule
from activeloop.types import Round, StoppingRule


class Never(Rule):
    """Stop by no rule: the budget, the number of rounds or the end of the pool does."""

    name = "none"
    needs = frozenset[str]()

    def readings(self, rounds: Sequence[Round]) -> tuple[Reading, ...]:
        """Return nothing."""
        return ()

    def __call__(self, rounds: Sequence[Round]) -> None:
        """Return None."""


class Combined(Rule):
    """Several rules in one.

    Attributes:
        rules: they.

    Args:
        rules: each a rule, its name, or a mapping of options with `name`, as in
            `{"name": "kappa", "threshold": 0.98}`; or with `_target_`, a dotted path.

    Raises:
        ConfigError: there are none, or there is no such rule or option.
    """

    def __init__(self, rules: Sequence[Any]) -> None:
        # Not at the top: the names of rules are those of these classes too.
        from activeloop.stopping.loading import as_rule

        if isinstance(rules, str) or not isinstance(rules, Sequence) or not rules:
            raise ConfigError(
                f"stopping.rules must be a list of at least one rule, got {rules!r}; as in "
                f"stopping={self.name} 'stopping.rules=[kappa,plateau]'"
            )
        self.rules: list[StoppingRule] = [as_rule(rule) for rule in rules]
        self.needs = frozenset().union(*(getattr(rule, "needs", ()) for rule in self.rules))

    def readings(self, rounds: Sequence[Round]) -> tuple[Reading, ...]:
        """Return what each of the rules compares."""
        return tuple(
            reading
            for rule in self.rules
            if isinstance(rule, Rule)
            for reading in rule.readings(rounds)
        )

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.rules))})"


class AnyOf(Combined):
    """Stop when any of several rules says so, and for its reason.

    Args:
        rules: each a rule, its name, or a mapping of options with `name`, as in
            `{"name": "kappa", "threshold": 0.98}`; or with `_target_`, a dotted path.

    Raises:
        ConfigError: there are none, or there is no such rule or option.
    """

    name = "any"

    def __call__(self, rounds: Sequence[Round]) -> str | None:
        """Return the first reason to stop after the last of `rounds`, or None."""
        return next(filter(None, (rule(rounds) for rule in self.rules)), None)


class AllOf(Combined):
    """Stop when all of several rules say so, after the same round.

    Args:
        rules: each a rule, its name, or a mapping of options with `name`, as in
            `{"name": "kappa", "threshold": 0.98}`; or with `_target_`, a dotted path.

    Raises:
        ConfigError: there are none, or there is no such rule or option.
    """

    name = "all"

    def __call__(self, rounds: Sequence[Round]) -> str | None:
        """Return all reasons to stop after the last of `rounds`, or None if one says go on."""
        reasons = [rule(rounds) for rule in self.rules]
        return " and ".join(map(str, reasons)) if all(reasons) else None
