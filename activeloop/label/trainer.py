"""What goes on behind the page: rounds, and then what is worked out of the new network.

One thread does it in steps; a round goes before all else. Nobody who labels waits for a step: the
lock is held only to take notes, never while a network is trained or predicts.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
from collections.abc import Iterable, Mapping

from torch import Tensor

from activeloop.errors import OrderError
from activeloop.label.background import Background, Stopped
from activeloop.label.cards import Training
from activeloop.label.ending import LEAST_CLASSES, Ending
from activeloop.label.insights import Insights
from activeloop.label.ledger import Ledger, catch_up
from activeloop.label.trouble import told
from activeloop.label.turns import Turns
from activeloop.listeners import Silent
from activeloop.loop import ActiveLoop
from activeloop.types import Epoch, Query, Round
from activeloop.words import counted

log = logging.getLogger(__name__)

# A round begins when as many new answers came as this share of a query, whatever samples they are
# for: the rest is there to go on with meanwhile. So is a new query for those who label faster than
# the network learns: they answer what it picked while the next one learns.
ANSWERED_SHARE = 0.5


class Trainer(Silent):
    """Makes the queries.

    Args:
        loop: nobody else asks it.
        lock: held by whoever reads or changes `turns`, `ledger`, or what is here.
        ledger: the answers as they are.
        index: the pool index of each sample with an answer, by key; it is kept up.
        turns: gets the new queues.
        insights: what is worked out of each network.
        background: in which it works.
        drawn: samples that were drawn for the audit of a query, with its round.

    Attributes:
        drawn: the same, with those drawn since.
        ending: whether the run is to end.
        query: whose samples are shown; None before there is one, and when the run is over.
    """

    def __init__(
        self,
        loop: ActiveLoop,
        lock: threading.RLock,
        ledger: Ledger,
        index: dict[str, int],
        turns: Turns,
        insights: Insights,
        background: Background,
        drawn: Mapping[int, int],
    ) -> None:
        self._loop, self._lock, self._ledger, self._turns = loop, lock, ledger, turns
        self._index, self._insights, self._background = index, insights, background
        self.query: Query | None = None
        self.drawn = dict(drawn)
        self._learnt = 0  # the last event before the last query was closed
        self._since: set[int] = set()  # samples with an answer that is new since then
        self._wanted = self._finishing = False
        self.ending = Ending(loop, ledger)
        self._failed: tuple[int, str] | None = None  # after which event, and what
        self._doing: Training | None = None
        loop.answers.least_classes = max(loop.answers.least_classes, LEAST_CLASSES)
        loop.listeners.append(self)

    def step(self) -> bool:
        """Do what is most urgent; return False if nothing is to be done."""
        if self._round_due():
            self._make_round()
            return True
        return self._insights.step()

    # -- what others say, with the lock ------------------------------------------------------

    def answered(self, indices: Iterable[int]) -> None:
        """Note that samples were answered, or answers taken back."""
        self._since.difference_update(indices)
        self._since |= self._new(indices)
        self._background.wake()

    def train(self) -> None:
        """Have the next round begin now.

        Raises:
            OrderError: it could not learn anything.
        """
        if self._ledger.n_classes < LEAST_CLASSES:
            raise OrderError("training needs labels of at least two classes")
        if self._doing is not None and self._doing.state in ("training", "choosing"):
            return
        there = self.query is not None or self.ending.kept_open
        if self._failed is None and there and not self._since:
            raise OrderError("nothing was answered since the last round: label some samples first")
        self._wanted = True
        self._background.wake()

    def finish(self, reason: str) -> None:
        """Have the run end, with a network trained on all labels.

        Raises:
            OrderError: there are too few labels for a network.
        """
        if self._loop.ended is None:
            self.ending.ask_for(reason)
            self._background.wake()

    def reopen(self) -> None:
        """Go on with a run that is over.

        Raises:
            OrderError: it would be over again at once, or is just being ended.
        """
        if self._finishing and self._loop.ended is None:
            raise OrderError("the last network is being trained: go on when that is done")
        self.ending.reopen()
        self._background.wake()

    @property
    def round(self) -> int:
        """Number of the query that is shown, or of the one that comes next."""
        return self._loop.round if self.query is None else self.query.round

    @property
    def until_next(self) -> int | None:
        """New answers that are missing until the next round begins; None: not known, or no more."""
        if self.query is None or self.ending.near:
            return None
        enough = math.ceil(ANSWERED_SHARE * len(self.query.indices))
        missing = max(0, enough - len(self._since))
        return None if missing == 0 and self._ledger.n_classes < LEAST_CLASSES else missing

    @property
    def training(self) -> Training:
        """What goes on."""
        if (doing := self._doing or self._insights.doing) is not None:
            return dataclasses.replace(doing, until_next=self.until_next)
        if (ended := self.ending.said) is not None:
            return Training(state="finished", detail=ended, until_next=None)
        if self._failed is not None:
            return Training(state="failed", detail=self._failed[1], until_next=None)
        if self.ending.kept_open:
            detail = "all have answers: correct what is wrong, and finish"
        else:
            few = self._ledger.n_classes < LEAST_CLASSES
            detail = "training begins when two classes have labels" if few else ""
        return Training(state="idle", detail=detail, until_next=self.until_next)

    # -- rounds -----------------------------------------------------------------------------

    def _round_due(self) -> bool:
        with self._lock:
            if self._loop.ended is not None:
                return False
            if self.ending.reason is not None or self._wanted:
                return True
            if self.ending.kept_open:
                return False
            if self._failed is not None and self._failed[0] == self._ledger.last:
                return False
            return self.query is None or self._loop.query is None or self.until_next == 0

    def _make_round(self) -> None:
        done = len(self._loop.rounds)
        with self._lock:
            ending, failed = self.ending.reason, self._failed
            self._wanted, self._failed = False, None
            self._finishing = ending is not None
        try:
            self._show(self._asked(ending, again=failed is not None))
        except Stopped:
            ending = None  # whoever opens the run goes on
            raise
        except Exception as error:
            text = told(error, then="it is tried again with the next answer, or when you say so")
            log.warning("round %d: %s", len(self._loop.rounds), text)
            with self._lock:
                self._failed = (self._ledger.last, text)
        finally:
            with self._lock:
                self._doing, self._finishing = None, False
                if ending is not None:  # else it was asked for meanwhile, and comes next
                    self.ending.drop()
                if len(self._loop.rounds) > done:
                    self._insights.learnt()

    def _asked(self, ending: str | None, again: bool) -> Query | None:
        """Close the query that is open, train, and return the next; None: the run is over."""
        loop = self._loop
        with self._lock:
            # A query that is not shown yet was open when the run was last under way.
            shown = self.query is not None and loop.query is not None
            if shown and ending is None and self._ledger.n_classes >= LEAST_CLASSES:
                loop.close()
            trains = ending is not None or len(loop.rounds) < loop.round
            detail = (
                f"round {len(loop.rounds)}: {counted(self._ledger.n_labels, 'label')}"
                if trains
                else ""
            )
            self._does("training" if trains else "choosing", detail)
        if again or ending is not None:
            loop.close_again()
        if ending is None:
            return loop.ask()
        loop.finish(ending)
        return None

    def _show(self, query: Query | None) -> None:
        """Have a new query take the place of the one before."""
        with self._lock:
            self.query = None  # if something goes wrong here, it is shown the next time
            self.ending.settle()
            store, closed = self._loop.files.store, self._loop.round
            catch_up(self._ledger, self._index, store, self._loop.data)
            self._learnt = store.horizon(closed - 1)[0] if closed else 0
            self._since = self._new({self._index[each.key] for each in store.events(self._learnt)})
            if query is not None and query.audit is not None:
                self.drawn |= dict.fromkeys(query.indices[query.audit].tolist(), query.round)
            # What was drawn before comes first: left over, as the hard ones are, it would be
            # missing in the estimate, and the network seem better than it is.
            waiting = [index for index in self.drawn if index not in self._ledger]
            picked = [] if query is None else query.indices.tolist()
            self._turns.replace(list(dict.fromkeys(waiting + picked)))
            self._insights.expect(query)
            self.query = query

    def _new(self, indices: Iterable[int]) -> set[int]:
        """Return those samples that have an answer which the network has not learnt.

        One that was confirmed, or was changed and changed back, is not new.
        """
        store, keys, new = self._loop.files.store, self._loop.data.pool.keys, set()
        for index in indices:
            given = self._ledger.given(index)
            learnt = store.answer(keys[index], self._learnt)
            if given is not None and (given.kind, given.label) != learnt:
                new.add(index)
        return new

    def on_epoch(self, epoch: Epoch) -> None:
        """Say how far training is; end it if the server ends."""
        self._background.check()
        if self._doing is not None and self._doing.state == "training":
            detail = self._doing.detail.partition(",")[0]
            self._does("training", f"{detail}, epoch {epoch.number} of {epoch.of}")

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Training is over; the next samples are chosen."""
        self._does("choosing", f"after round {round.round}")

    def _does(self, state: str, detail: str) -> None:
        self._doing = Training(state=state, detail=detail, until_next=None)  # type: ignore[arg-type]  # one of its states
