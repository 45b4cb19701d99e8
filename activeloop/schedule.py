"""How many labels each round asks for, and when they are used up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from activeloop.checks import real, whole
from activeloop.errors import ConfigError
from activeloop.words import counted

DEFAULT_ROUNDS = 10


@dataclass(frozen=True)
class Schedule:
    """The sizes of the queries of a run.

    Args:
        initial: size of the initial set.
        pool: number of samples in the pool.
        query_size: labels a round; or a list, one a round, whose last repeats.
        growth: each round asks for this factor more than the one before (after a list's end).
        rounds: queries after the initial set. None: as the budget allows; without a budget the
            length of the list, or 10.
        budget: labels in all, the initial set included; "all": until no sample is left. None: as
            `rounds` says.

    Raises:
        ConfigError: a size is not positive, or the pool cannot give what is asked.
    """

    initial: int
    pool: int
    query_size: int | Sequence[int] = 20
    growth: float = 1.0
    rounds: int | None = None
    budget: int | Literal["all"] | None = None

    def __post_init__(self) -> None:
        """Check the sizes against each other."""
        whole("initial.size", self.initial, least=1)
        for size in self._sizes:
            whole("query_size", size, least=1)
        if not self._sizes:
            raise ConfigError("query_size must be a number or a list of at least one, got []")
        real("query_growth", self.growth, above=0)
        if self.rounds is not None:
            whole("rounds", self.rounds)
        if self.initial > self.pool:
            raise ConfigError(
                f"initial.size is {self.initial}, but the pool has {counted(self.pool, 'sample')}"
            )
        if (budget := self._limit) is None:
            return
        whole("budget", budget, least=1)
        if budget > self.pool:
            raise ConfigError(
                f"budget is {counted(budget, 'label')}, but the pool has "
                f"{counted(self.pool, 'sample')}: "
                "lower budget, or leave it out and set rounds"
            )
        if budget < self.initial:
            raise ConfigError(
                f"budget is {counted(budget, 'label')} in all, fewer than initial.size "
                f"{self.initial}"
            )

    @property
    def _sizes(self) -> Sequence[int]:
        sizes: Any = self.query_size
        # A str is a Sequence too, and would pass for a list of sizes.
        return sizes if isinstance(sizes, Sequence) and not isinstance(sizes, str) else [sizes]

    @property
    def _limit(self) -> int | None:
        """Labels in all; None: no limit."""
        return None if self.budget is None or self.budget == "all" else self.budget

    @property
    def last_round(self) -> int | None:
        """Number of the last round; None: as the budget allows."""
        if self.rounds is not None or self.budget is not None:
            return self.rounds
        return DEFAULT_ROUNDS if isinstance(self.query_size, int) else len(self._sizes)

    def wanted(self, round: int) -> int:
        """Return the size of round `round`'s query (1 is the first after the initial set)."""
        sizes = self._sizes
        if round <= len(sizes):
            return int(sizes[round - 1])
        return max(1, int(sizes[-1] * self.growth ** (round - len(sizes)) + 0.5))

    def next(self, round: int, labelled: int, unlabelled: int) -> tuple[int, str]:
        """Return the size of round `round`'s query, or 0 and why there is none."""
        if self.last_round is not None and round > self.last_round:
            return 0, f"rounds={self.last_round} done"
        budget = self._limit
        if budget is not None and labelled >= budget:
            return 0, f"budget of {counted(budget, 'label')} spent"
        if unlabelled == 0:
            return 0, "no unlabelled sample left"
        left = unlabelled if budget is None else min(unlabelled, budget - labelled)
        return min(self.wanted(round), left), ""

    def more(self, round: int) -> str:
        """Return the setting of a run that goes on where this one is over in round `round`."""
        if self.last_round is not None and round > self.last_round:
            return f"rounds={2 * max(1, self.last_round)}"
        return f"budget={min(2 * (self._limit or self.pool), self.pool)}"

    @property
    def planned(self) -> list[int]:
        """Labels after each round if every query is answered, `[rounds + 1]`."""
        labels = [self.initial]
        while size := self.next(len(labels), labels[-1], self.pool - labels[-1])[0]:
            labels.append(labels[-1] + size)
        return labels
