"""The desk: hands out samples, takes answers, and says how the work goes. A loop runs behind it.

Any thread may call it. Nobody waits for training: that is another thread's, and an answer is one
transaction of the run's database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice

from activeloop.errors import OrderError
from activeloop.journal import indices_of
from activeloop.label.background import Background
from activeloop.label.cards import (
    Card,
    Conflict,
    Estimate,
    Given,
    Said,
    Status,
    TakenBack,
)
from activeloop.label.figures import Figures
from activeloop.label.handing_out import HandingOut
from activeloop.label.insights import Insights
from activeloop.label.intake import Intake
from activeloop.label.ledger import Ledger
from activeloop.label.opinions import Opinions
from activeloop.label.second_looks import SecondLooks
from activeloop.label.trainer import Trainer
from activeloop.label.turns import Turns
from activeloop.loop import ActiveLoop
from activeloop.types import Learner, StoppingRule

__all__ = ["Conflict", "Desk", "Said"]


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
        self._lock = threading.RLock()
        store, pool = loop.files.store, loop.data.pool
        events, asked = store.events(), store.queries()
        keys = {each.key for each in events} | {each.key for each in asked}
        index = indices_of(loop.data, keys) if keys else {}
        ledger = self._ledger = Ledger()
        ledger.add(events, index)
        turns = self._turns = Turns(clock, patience)
        opinions = Opinions(len(pool), asked, index)
        looks = self._second_looks = SecondLooks(store, ledger, pool.keys, index)
        self._figures = Figures(loop, ledger, turns, rule)
        self._background = Background()
        insights = Insights(
            loop,
            self._lock,
            ledger,
            opinions,
            looks,
            self._background,
            make_learner=make_learner,
            threshold=threshold,
            longest_fit=longest_fit,
        )
        drawn = {index[each.key]: each.round for each in asked if each.audit}
        self._trainer = Trainer(
            loop, self._lock, ledger, index, turns, insights, self._background, drawn
        )
        self._out = HandingOut(loop, ledger, turns, opinions, looks, insights, self._trainer)
        self._in = Intake(loop, ledger, index, turns, self._trainer)

    def start(self) -> None:
        """Begin to train and choose in the background."""
        self._background.start(self._trainer.step)

    def stop(self, timeout: float | None = None) -> bool:
        """End what goes on in the background; return whether it has ended within `timeout`.

        A round that is being trained is done again when the run goes on. Answers are on disk.
        """
        return self._background.stop(timeout)

    def step(self) -> bool:
        """Do one thing that `start` has done in the background; False: there is nothing to do."""
        return self._trainer.step()

    # -- what is shown ----------------------------------------------------------------------

    @property
    def round(self) -> int:
        """Number of the query that is shown, or of the one that comes next."""
        return self._trainer.round

    @property
    def directory(self) -> str:
        """Where the run is kept: for pages the run itself, so always by the same path."""
        directory = self._loop.files.directory
        return "" if directory is None else str(directory.resolve())

    @property
    def estimate(self) -> Estimate | None:
        """How good the network is; None: not known yet."""
        with self._lock:
            return self._figures.measures()[1]

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
            return self._out.next(who, count, keep)

    def grid(self, who: str, label: str, count: int) -> list[Card]:
        """Return unlabelled samples of one predicted class, those of the query first."""
        with self._lock:
            self._turns.acts(who)
            return self._out.grid(who, self._in.label(label), count)

    def second_looks(self, who: str, count: int) -> list[Card]:
        """Return samples whose label is doubted, the strongest contradiction first."""
        with self._lock:
            self._turns.acts(who)
            return self._out.second_looks(who, count)

    def card(self, id: int) -> Card:
        """Return any sample.

        Raises:
            OrderError: there is none of that number.
        """
        with self._lock:
            return self._out.card(self._in.checked(id))

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
            return [self._out.card(index) for index in found]

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
            told = {said.id: self._in.meant(said) for said in answers}
            if len(told) < len(answers):
                raise OrderError("one sample has two answers")
            new = {said.id for said in answers if self._in.is_new(said, who)}
            took = [said.seconds for said in answers if said.id in new and said.seconds is not None]
            if new:
                fresh = {index: answer for index, answer in told.items() if index in new}
                origins = {index: self._out.origin(index) for index in fresh}
                self._in.record(fresh, who, sum(took) / len(took) if took else None, origins)
            given = [self._ledger.given(said.id) for said in answers]
            return [each for each in given if each is not None]

    def undo(self, who: str) -> list[TakenBack]:
        """Take back what `who` said last, and give them these samples again.

        That is one answer, or those of a screenful that was answered at once, as far as they stand.
        What was there before is there again. Empty: nothing is left to take back.
        """
        with self._lock:
            self._turns.acts(who)
            if not (last := self._ledger.last_of(who)):
                return []
            self._in.take_back(last, who)
            return self._out.again(who, last)

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
            points, estimated = self._figures.measures()
            ledger, loop, trainer = self._ledger, self._loop, self._trainer
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
                queued=self._out.queued,
                training=trainer.training,
                estimate=estimated,
                curve=points,
                advice=self._figures.advice(),
                rule=self._figures.rule,
                per_hour=ledger.pace.per_hour,
                people=self._figures.people(),
                second_looks=len(self._second_looks.open),
                finished=trainer.ending.said,
                cannot_reopen=trainer.ending.cannot_reopen,
            )
