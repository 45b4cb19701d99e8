"""What stopping rules have in common: one number, compared with a threshold after each round."""

from __future__ import annotations

import inspect
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from activeloop.types import Round, StoppingRule

# Goes to the run's log file.
log = logging.getLogger("activeloop.run")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a rule compares after a round.

    Attributes:
        name: of the number, which is that of a metric.
        value: the number; None while it cannot be known, for there are too few rounds.
        wanted: what it takes to stop, as in "at least 0.99".
    """

    name: str
    value: float | None
    wanted: str

    def __str__(self) -> str:
        value = "not known yet" if self.value is None else f"{self.value:.4g}"
        return f"{self.name} is {value}, to stop: {self.wanted}"


class Rule(ABC):
    """Stops a run; a function of its rounds' metrics, and of nothing else.

    Attributes:
        name: as it is chosen.
        needs: metrics that the rounds must have.
    """

    name: ClassVar[str]
    needs: frozenset[str]

    @abstractmethod
    def readings(self, rounds: Sequence[Round]) -> tuple[Reading, ...]:
        """Return what the rule compares after the last of `rounds`, of which there is one."""

    @abstractmethod
    def __call__(self, rounds: Sequence[Round]) -> str | None:
        """Return the reason to stop after the last of `rounds`, or None."""

    def __str__(self) -> str:
        """Return the rule as it is written: `name(option=value, ...)`."""
        options = [f"{o}={getattr(self, o)!r}" for o in inspect.signature(type(self)).parameters]
        return f"{self.name}({', '.join(options)})"


class Threshold(Rule):
    """A rule that compares one number with a threshold.

    Attributes:
        reading_name: name of the number.
        wanted: what it takes to stop, in words.
    """

    reading_name: str
    wanted: str

    @abstractmethod
    def value(self, rounds: Sequence[Round]) -> float | None:
        """Return the number after the last of `rounds`; None if there are too few."""

    @abstractmethod
    def met(self, value: float) -> bool:
        """Return whether `value` is one to stop at; never for NaN."""

    def readings(self, rounds: Sequence[Round]) -> tuple[Reading, ...]:
        """Return the number that is compared."""
        name, value = self.reading_name, self.value(rounds)
        return (Reading(name=name, value=value, wanted=self.wanted),)

    def __call__(self, rounds: Sequence[Round]) -> str | None:
        """Return the reason to stop after the last of `rounds`, or None."""
        value = self.value(rounds)
        if value is None or not self.met(value):
            return None
        return self.reason(value)

    def reason(self, value: float) -> str:
        """Return why the run stops at `value`."""
        return f"stopping={self.name}: {self.reading_name} is {value:.4g}, {self.wanted}"


def latest(rounds: Sequence[Round], metric: str, count: int) -> list[float] | None:
    """Return `metric` of the last `count` rounds; None if not all of them have it, as a number."""
    values = [round.metrics.get(metric, math.nan) for round in rounds[-count:]]
    return None if len(values) < count or any(map(math.isnan, values)) else values


def with_readings(rules: Sequence[StoppingRule], rounds: Sequence[Round]) -> Round:
    """Return the last of `rounds` with what each of `rules` compares after it, and log it."""
    last = rounds[-1]
    read = [each for rule in rules if isinstance(rule, Rule) for each in rule.readings(rounds)]
    for reading in read:
        log.info("stopping after round %d: %s", last.round, reading)
    there = {"labels", *last.metrics}
    more = {r.name: r.value for r in read if r.value is not None and r.name not in there}
    return replace(last, metrics={**last.metrics, **more})
