"""How the work goes in figures, each worked out again only when it may have changed."""

from __future__ import annotations

from itertools import chain

from activeloop.audit import by_present
from activeloop.label.advice import advice_of, checked_rule
from activeloop.label.cards import Estimate, Person, Point
from activeloop.label.estimates import curve, estimate
from activeloop.label.ledger import Ledger
from activeloop.label.turns import Turns
from activeloop.loop import ActiveLoop
from activeloop.store import Asked
from activeloop.types import StoppingRule


class Figures:
    """What the side panel shows; the desk's lock is held by whoever calls it.

    Args:
        loop: the run.
        ledger: the answers as they are.
        turns: who is here.
        rule: a stopping rule that gives advice; None: none.

    Raises:
        ConfigError, DataError: the rule needs what the rounds will not have.
    """

    def __init__(
        self, loop: ActiveLoop, ledger: Ledger, turns: Turns, rule: StoppingRule | None
    ) -> None:
        self._loop, self._ledger, self._turns = loop, ledger, turns
        self._rule = checked_rule(rule, loop)
        self._audits: dict[int, list[Asked]] = {}  # by round
        self._advised: tuple[int, str | None] = 0, None
        self._said: dict[int, dict[str, str | None]] = {}  # of the audits
        self._measured: tuple[list[Point], Estimate | None] = [], None
        self._measured_at: tuple[int, int] = 0, 0

    @property
    def rule(self) -> str | None:
        """The stopping rule's name."""
        return None if self._rule is None else getattr(self._rule, "name", "custom")

    @property
    def _tested(self) -> int:
        labels = self._loop.evaluate.labels
        return 0 if labels is None else len(labels)

    def measures(self) -> tuple[list[Point], Estimate | None]:
        """Return curve and estimate, worked out when a round ends or an audit's answer changes."""
        rounds, at = list(self._loop.rounds), (len(self._loop.rounds), self._ledger.last)
        if at == self._measured_at:
            return self._measured
        self._measured_at = at
        store = self._loop.files.store
        for each in rounds[len(self._audits) :]:
            self._audits[each.round] = [a for a in store.queries(each.round) if a.audit]
        said = {
            round: {a.key: self._standing(a.index) for a in asked}
            for round, asked in self._audits.items()
        }
        if said != self._said:
            self._said = said
            rounds = by_present(rounds, self._audits, said)
            self._measured = curve(rounds, self._tested), estimate(rounds, self._tested)
        return self._measured

    def _standing(self, index: int) -> str | None:
        """Return a sample's label, whenever it was given; None: it has none."""
        given = self._ledger.given(index)
        return None if given is None else given.label

    def advice(self) -> str | None:
        """Return what the rule says, worked out once a round."""
        rounds = list(self._loop.rounds)
        if self._advised[0] != len(rounds):
            self._advised = len(rounds), advice_of(self._rule, rounds)
        return self._advised[1]

    def people(self) -> list[Person]:
        """Return who answers or did, and who is here."""
        names = dict.fromkeys(chain(self._ledger.people, self._turns.people))
        return [
            Person(
                name=name,
                answers=self._ledger.people[name],
                per_hour=self._ledger.paces[name].per_hour,
                here=self._turns.here(name),
            )
            for name in names
        ]
