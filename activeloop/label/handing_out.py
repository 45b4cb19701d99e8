"""Handing out: who is to answer which sample, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from activeloop.label.cards import Card, Near, TakenBack, Why
from activeloop.label.insights import Insights
from activeloop.label.leases import Leases
from activeloop.label.ledger import Ledger
from activeloop.label.opinions import Opinions
from activeloop.label.second_looks import SecondLooks
from activeloop.label.trainer import Trainer
from activeloop.label.turns import Turns
from activeloop.loop import ActiveLoop
from activeloop.store import Event
from activeloop.strategies import name_of


class HandingOut:
    """Gives each sample to one person at a time; the desk's lock is held by whoever calls it.

    What people had when the run was last served is theirs still.

    Args:
        loop: whose samples they are.
        ledger: the answers as they are.
        turns: who has what.
        opinions: of the network.
        second_looks: the labels that are doubted.
        insights: knows the nearest labelled samples.
        trainer: makes the queries.
    """

    def __init__(
        self,
        loop: ActiveLoop,
        ledger: Ledger,
        turns: Turns,
        opinions: Opinions,
        second_looks: SecondLooks,
        insights: Insights,
        trainer: Trainer,
    ) -> None:
        self._loop, self._ledger, self._turns = loop, ledger, turns
        self._opinions, self._second_looks = opinions, second_looks
        self._insights, self._trainer = insights, trainer
        self._rng = loop.streams.rng("waiting", ledger.last)
        self._why: dict[int, Why] = {}  # of what people have
        self._leases = Leases(loop.files.directory)
        self._restore()

    def next(self, who: str, count: int, keep: Sequence[int]) -> list[Card]:
        """Return at most `count` unlabelled samples: of `keep`, of the query, then at random."""
        if self._over(who):
            return []
        kept = [i for i in dict.fromkeys(keep) if self._waits(i) and self._turns.free(i, who)]
        more = chain((i for i in self._turns.queue if self._waits(i)), self._at_random())
        return self._hand_out(who, count, kept, more, self._why_next)

    def grid(self, who: str, label: int, count: int) -> list[Card]:
        """Return unlabelled samples of one predicted class, those of the query first."""
        if self._over(who):
            return []
        unlabelled = np.zeros(len(self._loop.pool), np.bool_)
        unlabelled[self._loop.pool.unlabelled] = True
        # They are asked for one by one: here people would leave out the hard ones.
        unlabelled[list(self._trainer.drawn)] = False
        others = self._opinions.of_class(label, unlabelled).tolist()
        queue = [i for i in self._turns.queue if unlabelled[i]]
        queued = [i for i in queue if self._predicts(i, self._loop.data.classes[label])]
        why = Why(origin="grid", round=self._trainer.round)
        return self._hand_out(who, count, [], chain(queued, others), lambda index: why)

    def second_looks(self, who: str, count: int) -> list[Card]:
        """Return samples whose label is doubted, the strongest contradiction first."""
        why = Why(origin="second look", round=self._trainer.round)
        return self._hand_out(who, count, [], self._second_looks.open, lambda index: why)

    def again(self, who: str, said: Mapping[int, Event]) -> list[TakenBack]:
        """Give samples to `who`, whoever has them, as what was `said` of them was taken back."""
        self._turns.take(who, said)
        self._why |= {index: self._why_again(index, event) for index, event in said.items()}
        self._keep()
        return [_taken_back(self.card(index), event) for index, event in said.items()]

    def _why_again(self, index: int, event: Event) -> Why:
        """Return why a sample is shown whose answer was taken back."""
        why = self._why.get(index) or self._why_next(index)
        if why.origin not in ("waiting", "grid"):
            return why
        # It is not at random that it comes now.
        origin = event.origin if event.origin in ("initial", "strategy") else "asked for"
        return Why(origin=origin, round=event.round)  # type: ignore[arg-type]  # one of them

    def origin(self, index: int) -> str:
        """Return why a sample gets the answer that is about to be put on disk."""
        shown = self._why.get(index)
        if index in self._ledger:
            looked = shown is not None and shown.origin == "second look"
            return "second look" if looked and self._second_looks.is_open(index) else "history"
        if shown is None:  # it was not handed out, or has gone back
            shown = self._why_next(index)
            return "asked for" if shown.origin == "waiting" else shown.origin
        return shown.origin

    @property
    def queued(self) -> int:
        """How many samples of the queue nobody has yet."""
        return sum(self._waits(i) and self._turns.free(i) for i in self._turns.queue)

    def _over(self, who: str) -> bool:
        """Return whether nothing more is asked for; what `who` has goes back then."""
        if self._trainer.ending.near:
            self._turns.release(who)
            self._keep()
        return self._trainer.ending.near

    def _hand_out(
        self,
        who: str,
        count: int,
        kept: Sequence[int],
        more: Iterable[int],
        why: Callable[[int], Why],
    ) -> list[Card]:
        """Have `who` hold the first `count` samples of `kept` and `more` that nobody else has."""
        chosen = list(dict.fromkeys(kept))[: max(0, count)]
        self._turns.release(who, but=chosen)
        for index in more:
            if len(chosen) >= count:
                break
            if index not in chosen and self._turns.free(index, who):
                chosen.append(index)
        self._turns.take(who, chosen)
        # What is kept keeps its reason too, unless it went back for another view meanwhile.
        known = {i for i in kept if i in self._why and self._why[i].origin != "grid"}
        fresh = {index: why(index) for index in chosen if index not in known}
        self._why = {i: w for i, w in self._why.items() if not self._turns.free(i)} | fresh
        self._keep()
        return [self.card(index) for index in chosen]

    def _at_random(self) -> Iterator[int]:
        """Yield unlabelled samples at random: all there are, or more than people hold."""
        unlabelled = self._loop.pool.unlabelled
        some = min(len(unlabelled), 4096)
        yield from self._rng.choice(unlabelled, some, replace=False).tolist()

    def _waits(self, index: int) -> bool:
        """Return whether a sample of the pool has no answer."""
        return 0 <= index < len(self._loop.pool) and index not in self._ledger

    def _predicts(self, index: int, label: str) -> bool:
        opinion = self._opinions.of(index, self._loop.data.classes)
        return opinion is not None and opinion.predicted == label

    def _why_next(self, index: int) -> Why:
        """Return why a sample is shown to somebody who asks for the next."""
        if index in self._trainer.drawn:
            return Why(origin="audit", round=self._trainer.drawn[index])
        query = self._trainer.query
        found = None if query is None else np.flatnonzero(query.indices == index)
        if query is None or found is None or not len(found):
            return Why(origin="waiting", round=self._trainer.round)
        position = int(found[0])
        if query.round == 0:
            return Why(origin="initial", round=0)
        score = math.nan if query.scores is None else float(query.scores[position])
        return Why(
            origin="strategy",
            round=query.round,
            strategy=name_of(self._loop.strategy),
            score=score if math.isfinite(score) else None,
        )

    def card(self, index: int) -> Card:
        """Return any sample."""
        classes, nearest = self._loop.data.classes, []
        for near in self._insights.near.get(index, ()):
            given = self._ledger.given(near)
            if given is not None and given.label is not None:
                nearest.append(Near(id=near, label=given.label))
        why = self._why.get(index)
        return Card(
            id=index,
            key=self._loop.data.pool.keys[index],
            why=why if why is not None else Why(origin="asked for", round=self._trainer.round),
            opinion=self._second_looks.opinion(index) or self._opinions.of(index, classes),
            nearest=nearest[:3],
            given=self._ledger.given(index),
        )

    def _keep(self) -> None:
        """Have it on file who has what, before anybody is shown it."""
        keys, why = self._loop.data.pool.keys, self._why
        holders = self._turns.holders.items()
        self._leases.keep({who: {keys[i]: why[i] for i in held} for who, held in holders})

    def _restore(self) -> None:
        """Give back what people had when the server ended; of another pool, what is still there."""
        if kept := self._leases.read():
            wanted = {key for held in kept.values() for key in held}
            keys = self._loop.data.pool.keys
            index = {key: number for number, key in enumerate(keys) if key in wanted}
            for who, held in kept.items():
                there = {index[key]: why for key, why in held.items() if key in index}
                self._turns.restore(who, there)
                self._why |= there


def _taken_back(card: Card, event: Event) -> TakenBack:
    assert event.kind != "undo"
    return TakenBack(card=card, kind=event.kind, label=event.label)
