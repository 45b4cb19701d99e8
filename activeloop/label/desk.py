"""The desk: hands out samples, takes answers, and says how the work goes. A loop runs behind it.

Any thread may call it. Nobody waits for training: that is another thread's, and an answer is one
transaction of the run's database.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice

import numpy as np

from activeloop.errors import OrderError
from activeloop.journal import indices_of
from activeloop.label.advice import advice_of, checked_rule
from activeloop.label.cards import (
    Card,
    Conflict,
    Estimate,
    Given,
    Near,
    Person,
    Point,
    Said,
    Status,
    Why,
)
from activeloop.label.estimates import by_present, curve, estimate
from activeloop.label.leases import Leases
from activeloop.label.ledger import Ledger
from activeloop.label.opinions import Opinions
from activeloop.label.second_looks import SecondLooks
from activeloop.label.trainer import Trainer
from activeloop.label.turns import Turns
from activeloop.loop import ActiveLoop
from activeloop.store import Asked
from activeloop.strategies import name_of
from activeloop.types import Answer, Learner, Skip, StoppingRule

__all__ = ["Conflict", "Desk", "Said"]

_KINDS = {"skip": Skip.SKIP, "none": Skip.NONE}


class Desk:
    """What the people who label have in common.

    Args:
        loop: the run, without stopping rules: people decide when it is over. Only the desk asks it.
        run: its name.
        make_learner: returns a learner like the loop's, for second looks; None: there are none.
        rule: a stopping rule that gives advice; None: none.
        threshold: least probability of another class for a second look.
        longest_fit: seconds of training, beyond which a round has no second looks.
        patience: seconds after which what somebody has who does nothing goes to others.
        clock: seconds that only grow.

    Raises:
        ConfigError, DataError: the rule needs what the rounds will not have.
        StoreError: the run cannot be read.
    """

    def __init__(
        self,
        loop: ActiveLoop,
        *,
        run: str,
        make_learner: Callable[[], Learner] | None,
        rule: StoppingRule | None,
        threshold: float = 0.9,
        longest_fit: float = 60.0,
        patience: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop, self._run = loop, run
        self._rule = checked_rule(rule, loop)
        self._lock = threading.RLock()
        store, pool = loop.files.store, loop.data.pool
        events, asked = store.events(), store.queries()
        keys = {each.key for each in events} | {each.key for each in asked}
        self._index = indices_of(loop.data, keys) if keys else {}
        self._ledger = Ledger()
        self._ledger.add(events, self._index)
        self._turns = Turns(clock, patience)
        self._leases = Leases(loop.files.directory)
        self._restore_holders()
        self._opinions = Opinions(len(pool), asked, self._index)
        self._second_looks = SecondLooks(store, self._ledger, pool.keys, self._index)
        self._trainer = Trainer(
            loop,
            self._lock,
            self._ledger,
            self._turns,
            self._opinions,
            self._second_looks,
            make_learner=make_learner,
            threshold=threshold,
            longest_fit=longest_fit,
            drawn={self._index[each.key]: each.round for each in asked if each.audit},
        )
        self._rng = loop.streams.rng("waiting", self._ledger.last)
        self._why: dict[int, Why] = {}  # of what people have
        self._audits: dict[int, list[Asked]] = {}  # by round
        self._advised: tuple[int, str | None] = 0, None
        self._said: dict[int, dict[str, str | None]] = {}  # of the audits
        self._measured: tuple[list[Point], Estimate | None] = [], None
        self._measured_at: tuple[int, int] = 0, 0

    def start(self) -> None:
        """Begin to train and choose in the background."""
        self._trainer.start()

    def stop(self, timeout: float | None = None) -> bool:
        """End what goes on in the background; return whether it has ended within `timeout`.

        A round that is being trained is done again when the run goes on. Answers are on disk.
        """
        return self._trainer.stop(timeout)

    def step(self) -> bool:
        """Do one thing that `start` has done in the background; False: there is nothing to do."""
        return self._trainer.step()

    # -- what is shown ----------------------------------------------------------------------

    @property
    def round(self) -> int:
        """Number of the query that is shown, or of the one that comes next."""
        query = self._trainer.query
        return self._loop.round if query is None else query.round

    @property
    def directory(self) -> str:
        """Where the run is kept."""
        return str(self._loop.files.directory or "")

    def next(self, who: str, count: int, keep: Sequence[int] = ()) -> list[Card]:
        """Return at most `count` samples that `who` is to answer, which nobody else gets.

        Args:
            who: asks.
            count: at most so many.
            keep: what was shown just now; it stays with `who`, and comes first, if it still waits
                for an answer. What else they had goes back.
        """
        with self._lock:
            self._turns.acts(who)
            if self._trainer.finishing:
                self._turns.release(who)
                return []
            kept = [i for i in dict.fromkeys(keep) if self._waits(i) and self._turns.free(i, who)]
            more = chain((i for i in self._turns.queue if self._waits(i)), self._at_random())
            return self._hand_out(who, count, kept, more, self._why_next)

    def grid(self, who: str, label: str, count: int) -> list[Card]:
        """Return unlabelled samples of one predicted class, those of the query first."""
        with self._lock:
            self._turns.acts(who)
            number = self._label(label)
            if self._trainer.finishing:
                self._turns.release(who)
                return []
            unlabelled = np.zeros(len(self._loop.pool), np.bool_)
            unlabelled[self._loop.pool.unlabelled] = True
            # They are asked for one by one: here people would leave out the hard ones.
            unlabelled[list(self._trainer.drawn)] = False
            others = self._opinions.of_class(number, unlabelled).tolist()
            queue = [i for i in self._turns.queue if unlabelled[i]]
            queued = [i for i in queue if self._predicts(i, label)]
            why = partial(Why, origin="grid")
            return self._hand_out(who, count, [], chain(queued, others), lambda i: self._made(why))

    def second_looks(self, who: str, count: int) -> list[Card]:
        """Return samples whose label is doubted, the strongest contradiction first."""
        with self._lock:
            self._turns.acts(who)
            why = partial(Why, origin="second look")
            waiting = self._second_looks.open
            return self._hand_out(who, count, [], waiting, lambda i: self._made(why))

    def card(self, id: int) -> Card:
        """Return any sample.

        Raises:
            OrderError: there is none of that number.
        """
        with self._lock:
            return self._card(self._checked(id))

    def history(
        self,
        who: str | None = None,
        label: str | None = None,
        before: int | None = None,
        count: int = 50,
    ) -> list[Card]:
        """Return answered samples, the latest answer first.

        Args:
            who: only theirs.
            label: only those of a class.
            before: only answers before this event.
            count: at most so many.
        """
        with self._lock:
            found = islice(self._ledger.history(who, label, before), max(0, count))
            return [self._card(index) for index in found]

    # -- what is said -----------------------------------------------------------------------

    def answer(self, who: str, answers: Sequence[Said]) -> list[Given]:
        """Take answers, all or none; they are on disk when this returns.

        Raises:
            Conflict: one replaces an answer that is not the present one. The same answer by the
                same person is none: a request that was sent again.
            OrderError: a sample or a class is unknown, another sample than the one that was seen
                has the number, or a sample is there twice.
        """
        with self._lock:
            self._turns.acts(who)
            told = {said.id: self._meant(said) for said in answers}
            if len(told) < len(answers):
                raise OrderError("one sample has two answers")
            new = {said.id for said in answers if self._is_new(said, who)}
            took = [said.seconds for said in answers if said.id in new and said.seconds is not None]
            if new:
                fresh = {index: answer for index, answer in told.items() if index in new}
                self._record(fresh, who, sum(took) / len(took) if took else None)
            given = [self._ledger.given(said.id) for said in answers]
            return [each for each in given if each is not None]

    def undo(self, who: str) -> Card | None:
        """Take back the last answer of `who` that stands, and give them the sample again.

        What was there before that answer is there again. None: nothing is left to take back.
        """
        with self._lock:
            self._turns.acts(who)
            if (last := self._ledger.last_of(who)) is None:
                return None
            index, event = last
            beneath = self._ledger.beneath(index)
            before = None if beneath is None else self._answer_in(beneath.kind, beneath.label)
            self._record({index: before}, who, None, takes_back=event.id)
            self._turns.take(who, [index])
            self._keep_holders()
            self._why.setdefault(index, self._why_next(index))
            return self._card(index)

    def add_class(self, who: str, name: str) -> list[str]:
        """Add a class, known to the network from the next round on; return all of them.

        Raises:
            OrderError: it is there already, or is no name.
        """
        with self._lock:
            self._turns.acts(who)
            if not isinstance(name, str) or not name.strip() or not name.isprintable():
                raise OrderError(f"a class needs a name of printable characters, got {name!r}")
            self._loop.add_class(name.strip())
            return list(self._loop.data.classes)

    def train(self) -> None:
        """Have the next round begin now.

        Raises:
            OrderError: nothing could be learnt.
        """
        with self._lock:
            self._trainer.train()

    def finish(self, who: str) -> None:
        """Have the run end, when a last network is trained on all labels.

        Raises:
            OrderError: fewer than two classes have labels.
        """
        with self._lock:
            self._turns.acts(who)
            self._trainer.finish(f"finished by {who}")

    def reopen(self, who: str) -> None:
        """Go on with a run that is over.

        Raises:
            OrderError: it would be over again at once; why, and what to do.
        """
        with self._lock:
            self._turns.acts(who)
            self._trainer.reopen()

    def heard(self, who: str) -> None:
        """Note that `who` is here."""
        with self._lock:
            self._turns.heard(who)

    def status(self, who: str | None = None) -> Status:
        """Return how the work goes; `who` asks, if anyone."""
        with self._lock:
            if who is not None:
                self._turns.heard(who)
            points, estimated = self._measures()
            ledger, loop, trainer = self._ledger, self._loop, self._trainer
            queued = [i for i in self._turns.queue if self._waits(i) and self._turns.free(i)]
            return Status(
                run=self._run,
                directory=self.directory,
                classes=loop.data.classes,
                counts={name: ledger.labels[name] for name in loop.data.classes},
                labels=ledger.n_labels,
                skipped=ledger.kinds["skip"],
                none=ledger.kinds["none"],
                unlabelled=len(loop.pool) - len(ledger),
                round=self.round,
                queued=len(queued),
                training=trainer.training,
                estimate=estimated,
                curve=points,
                advice=self._advice(),
                rule=None if self._rule is None else getattr(self._rule, "name", "custom"),
                per_hour=ledger.pace.per_hour,
                people=self._people(),
                second_looks=len(self._second_looks.open),
                finished=loop.ended,
                cannot_reopen=trainer.cannot_reopen,
            )

    # -- handing out ------------------------------------------------------------------------

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
        self._keep_holders()
        # What is kept keeps its reason too, unless it went back for another view meanwhile.
        known = {i for i in kept if i in self._why and self._why[i].origin != "grid"}
        fresh = {index: why(index) for index in chosen if index not in known}
        self._why = {i: w for i, w in self._why.items() if not self._turns.free(i)} | fresh
        return [self._card(index) for index in chosen]

    def _keep_holders(self) -> None:
        """Have it on file who has what, before anybody is shown it."""
        keys = self._loop.data.pool.keys
        holders = self._turns.holders.items()
        self._leases.keep({who: [keys[index] for index in held] for who, held in holders})

    def _restore_holders(self) -> None:
        """Give back what people had when the server ended; of another pool, what is still there."""
        if kept := self._leases.read():
            wanted = {key for held in kept.values() for key in held}
            keys = self._loop.data.pool.keys
            index = {key: number for number, key in enumerate(keys) if key in wanted}
            self._turns.restore(
                {who: [index[key] for key in held if key in index] for who, held in kept.items()}
            )

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

    def _made(self, why: Callable[..., Why]) -> Why:
        return why(round=self.round)

    def _why_next(self, index: int) -> Why:
        """Return why a sample is shown to somebody who asks for the next."""
        if index in self._trainer.drawn:
            return Why(origin="audit", round=self._trainer.drawn[index])
        query = self._trainer.query
        found = None if query is None else np.flatnonzero(query.indices == index)
        if query is None or found is None or not len(found):
            return Why(origin="waiting", round=self.round)
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

    def _card(self, index: int) -> Card:
        classes, nearest = self._loop.data.classes, []
        for near in self._trainer.near.get(index, ()):
            given = self._ledger.given(near)
            if given is not None and given.label is not None:
                nearest.append(Near(id=near, label=given.label))
        why = self._why.get(index)
        return Card(
            id=index,
            key=self._loop.data.pool.keys[index],
            why=why if why is not None else Why(origin="asked for", round=self.round),
            opinion=self._second_looks.opinion(index) or self._opinions.of(index, classes),
            nearest=nearest[:3],
            given=self._ledger.given(index),
        )

    # -- taking answers ---------------------------------------------------------------------

    def _checked(self, index: int) -> int:
        if isinstance(index, bool) or not isinstance(index, int):
            raise OrderError(f"a sample has a whole number, got {index!r}")
        if not 0 <= index < len(self._loop.pool):
            raise OrderError(f"there is no sample {index}: the pool has {len(self._loop.pool)}")
        return index

    def _label(self, name: str | None) -> int:
        classes = self._loop.data.classes
        if name not in classes:
            raise OrderError(f"there is no class {name!r}: add it first")
        return classes.index(name)

    def _meant(self, said: Said) -> Answer:
        """Return what `said` means, having checked it."""
        key = self._loop.data.pool.keys[self._checked(said.id)]
        if said.key is not None and said.key != key:  # seen before the server was started again
            raise OrderError(f"image {said.id} is another one by now ({key})")
        if said.kind == "label":
            return self._label(said.label)
        if said.kind not in _KINDS or said.label is not None:
            raise OrderError(f"sample {said.id}: an answer is a label, a skip or none, got {said}")
        return _KINDS[said.kind]

    def _answer_in(self, kind: str, label: str | None) -> Answer:
        return self._label(label) if kind == "label" else _KINDS[kind]

    def _is_new(self, said: Said, who: str) -> bool:
        """Return False for an answer that was taken already, and has come again.

        Raises:
            Conflict: the present answer is not what was seen.
        """
        given = self._ledger.given(said.id)
        if (given and given.event) == said.replaces:
            return True
        if given is None:
            raise Conflict("the answer that this replaces was taken back meanwhile", None)
        if (given.who, given.kind, given.label) == (who, said.kind, said.label):
            return False
        shown = given.label if given.kind == "label" else given.kind
        raise Conflict(f"{given.who} has answered meanwhile: {shown}", given)

    def _record(
        self,
        answers: dict[int, Answer] | dict[int, Answer | None],
        who: str,
        seconds: float | None,
        takes_back: int | None = None,
    ) -> None:
        """Put answers on disk, then on the ledger."""
        before = {index: self._loop.pool.answer(index) for index in answers}
        self._loop.record(answers, who, seconds, takes_back)
        for index in answers:
            self._index[self._loop.data.pool.keys[index]] = index
        self._ledger.add(self._loop.files.store.events(self._ledger.last), self._index)
        self._turns.drop(answers)
        for index, answer in answers.items():
            if answer is None:
                self._trainer.taken_back(index)
            elif answer != before[index]:  # else it was confirmed, and there is nothing to learn
                self._trainer.answered(index)

    # -- how it goes ------------------------------------------------------------------------

    @property
    def _tested(self) -> int:
        labels = self._loop.evaluate.labels
        return 0 if labels is None else len(labels)

    def _measures(self) -> tuple[list[Point], Estimate | None]:
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

    def _advice(self) -> str | None:
        """Return what the rule says, worked out once a round."""
        rounds = list(self._loop.rounds)
        if self._advised[0] != len(rounds):
            self._advised = len(rounds), advice_of(self._rule, rounds)
        return self._advised[1]

    def _people(self) -> list[Person]:
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
