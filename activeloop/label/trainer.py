"""What goes on behind the page: rounds, and then what is worked out of the new network.

One thread does it in steps; a round goes before all else. Nobody who labels waits for a step: the
lock is held only to take notes, never while a network is trained or predicts.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import shlex
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from torch import Tensor

from activeloop.errors import LearnerError, OrderError, StoreError
from activeloop.journal import indices_of, read_labels
from activeloop.label.cards import Training
from activeloop.label.ledger import Ledger
from activeloop.label.nearest import nearest_labelled
from activeloop.label.opinions import Opinions
from activeloop.label.second_looks import Doubt, SecondLooks, contradicted
from activeloop.label.turns import Turns
from activeloop.listeners import Silent
from activeloop.loop import ActiveLoop
from activeloop.messages import one_line
from activeloop.types import Epoch, Learner, Query, Round

log = logging.getLogger(__name__)

# A round begins when as many answers came as this share of a query, whatever samples they are for:
# the rest is there to go on with meanwhile.
ANSWERED_SHARE = 0.5
# This share of the query itself must be among them: else those who label faster than the network
# learns would never meet what it picked, nor the audits, but samples at random all the time.
PICKED_SHARE = 0.25
LEAST_CLASSES = 2
# In the run's file, why it is to end: until that is done, whoever opens the run goes on ending it.
FINISHING = "finishing"
# There too: that it was reopened when all samples had answers, and is over when somebody says so.
KEPT_OPEN = "kept_open"


class Stopped(Exception):
    """The server ends while a network is trained: the round is done again when it goes on."""


class Trainer(Silent):
    """Makes the queries, and what is shown beside their samples.

    Args:
        loop: nobody else asks it.
        lock: held by whoever reads or changes `turns`, `ledger`, or what is here.
        ledger: the answers as they are.
        turns: gets the new queues.
        opinions: are kept up.
        second_looks: are kept up.
        make_learner: returns a learner for second looks; None: there are none.
        threshold: of second looks: least probability of another class.
        longest_fit: seconds of a round's fit, beyond which there are no second looks after it.
        drawn: samples that were drawn for the audit of a query, with its round.

    Attributes:
        drawn: the same, with those drawn since.
        query: whose samples are shown; None before there is one, and when the run is over.
        near: labelled samples that are like those of the query.
    """

    def __init__(
        self,
        loop: ActiveLoop,
        lock: threading.RLock,
        ledger: Ledger,
        turns: Turns,
        opinions: Opinions,
        second_looks: SecondLooks,
        *,
        make_learner: Callable[[], Learner] | None,
        threshold: float,
        longest_fit: float,
        drawn: Mapping[int, int],
    ) -> None:
        self._loop, self._lock, self._ledger, self._turns = loop, lock, ledger, turns
        self._opinions, self._second_looks = opinions, second_looks
        self._make_learner, self._threshold = make_learner, threshold
        self._longest_fit = longest_fit
        self.query: Query | None = None
        self.near: dict[int, list[int]] = {}
        self.drawn = dict(drawn)
        self._since: set[int] = set()  # answered since the last query was closed
        self._wanted = False
        self._ending: str | None = None
        if loop.ended is None:
            self._ending = loop.files.store.meta(FINISHING)
        self._kept_open = bool(loop.files.store.meta(KEPT_OPEN))
        self._failed: tuple[int, str] | None = None  # after which event, and what
        self._doing: Training | None = None
        self._looks_due = self._predictions_due = False
        self._doubts_due = False
        self._stopping = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        loop.least_classes = max(loop.least_classes, LEAST_CLASSES)
        loop.listeners.append(self)

    # -- the thread -------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work in the background."""
        self._thread = threading.Thread(target=self._work, name="trainer", daemon=True)
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """End after the present step, or epoch; return whether it has ended within `timeout`."""
        self._stopping = True
        self._wake.set()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        with suppress(Stopped):
            while not self._stopping:
                self._wake.clear()
                if not self.step():
                    self._wake.wait()

    def step(self) -> bool:
        """Do what is most urgent; return False if nothing is to be done."""
        if self._round_due():
            self._make_round()
            return True
        for due, work in (
            (self._looks_due, self._look),
            (self._predictions_due, self._begin_predictions),
            (self._opinions.due, self._predict),
            (self._doubts_due, self._doubt),
        ):
            if due:
                try:
                    work()
                except Stopped:
                    raise
                except Exception as error:
                    # The page can do without: it shows less.
                    log.warning("after round %d: %s", self._loop.round - 1, one_line(error))
                finally:
                    self._doing = None
                return True
        return False

    # -- what others say, with the lock ------------------------------------------------------

    def answered(self, index: int) -> None:
        """Note that a sample has a new answer."""
        self._since.add(index)
        self._wake.set()

    def taken_back(self, index: int) -> None:
        """Note that an answer was taken back."""
        self._since.discard(index)

    def train(self) -> None:
        """Have the next round begin now.

        Raises:
            OrderError: it could not learn anything.
        """
        if self._ledger.n_classes < LEAST_CLASSES:
            raise OrderError("training needs labels of at least two classes")
        if self._doing is not None and self._doing.state in ("training", "choosing"):
            return
        there = self.query is not None or self._kept_open
        if self._failed is None and there and not self._since:
            raise OrderError("nothing was answered since the last round: label some samples first")
        self._wanted = True
        self._wake.set()

    def finish(self, reason: str) -> None:
        """Have the run end, with a network trained on all labels.

        Raises:
            OrderError: there are too few labels for a network.
        """
        if self._loop.ended is None:
            if self._ledger.n_classes < LEAST_CLASSES:
                raise OrderError(
                    "a network needs labels of at least two classes: label some more samples "
                    "before you finish"
                )
            self._loop.files.store.set_meta(FINISHING, reason)
            self._ending = reason
            self._wake.set()

    def reopen(self) -> None:
        """Go on with a run that is over.

        One without a sample left stays open until somebody finishes it: labels may be corrected.

        Raises:
            OrderError: it would be over again at once.
        """
        if (reason := self.cannot_reopen) is not None:
            raise OrderError(reason)
        self._finishing_is_over()
        self._keep_open(self._loop.ended is not None and self._all_answered)
        self._loop.reopen()
        self._wake.set()

    @property
    def cannot_reopen(self) -> str | None:
        """Why a run that is over would be so again at once, and what to do; None: it would not."""
        loop = self._loop
        if loop.ended is None or loop.round == 0 or self._all_answered:
            return None
        if self._ledger.last > loop.files.store.horizon(loop.round - 1)[0]:
            return None  # a last network would learn what was corrected
        left = len(loop.pool) - len(self._ledger)
        _, reason = loop.schedule.next(loop.round, self._ledger.n_labels, left)
        if not reason:
            return None
        directory = shlex.quote(str(loop.files.directory or "DIR"))
        return (
            f"{reason}; for more from these labels: python -m activeloop branch {directory} "
            f"{loop.schedule.more(loop.round)}. Labels may still be corrected in the history: go "
            "on after that, and a last network learns it"
        )

    def _keep_open(self, kept: bool) -> None:
        if kept != self._kept_open:
            self._loop.files.store.set_meta(KEPT_OPEN, kept)
            self._kept_open = kept

    @property
    def _all_answered(self) -> bool:
        return len(self._ledger) == len(self._loop.pool)

    def _finishing_is_over(self) -> None:
        self._ending = None
        store = self._loop.files.store
        with suppress(StoreError):  # a full disk; then whoever opens the run goes on ending it
            if store.meta(FINISHING) is not None:
                store.set_meta(FINISHING, None)

    @property
    def finishing(self) -> bool:
        """Whether the run is over, or about to be."""
        return self._ending is not None or self._loop.ended is not None

    @property
    def until_next(self) -> int | None:
        """Answers that are missing until the next round begins; None: not known."""
        if self.query is None:
            return None
        size = len(self.query.indices)
        picked = sum(index in self._ledger for index in self.query.indices.tolist())
        missing = max(
            0,
            math.ceil(ANSWERED_SHARE * size) - len(self._since),
            math.ceil(PICKED_SHARE * size) - picked,
        )
        return None if missing == 0 and self._ledger.n_classes < LEAST_CLASSES else missing

    @property
    def training(self) -> Training:
        """What goes on."""
        if self._doing is not None:
            return dataclasses.replace(self._doing, until_next=self.until_next)
        if self._loop.ended is not None:
            return Training(state="finished", detail=self._loop.ended, until_next=None)
        if self._failed is not None:
            return Training(state="failed", detail=self._failed[1], until_next=None)
        if self._kept_open and self._all_answered:
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
            if self._ending is not None or self._wanted:
                return True
            if self._kept_open and self._all_answered:
                return False
            if self._failed is not None and self._failed[0] == self._ledger.last:
                return False
            return self.query is None or self._loop.query is None or self.until_next == 0

    def _make_round(self) -> None:
        done = len(self._loop.rounds)
        with self._lock:
            ending, failed = self._ending, self._failed
            self._wanted, self._failed = False, None
        try:
            self._show(self._asked(ending, again=failed is not None))
        except Stopped:
            ending = None  # whoever opens the run goes on
            raise
        except Exception as error:
            log.warning("round %d: %s", len(self._loop.rounds), one_line(error))
            with self._lock:
                self._failed = (self._ledger.last, one_line(error))
        finally:
            with self._lock:
                self._doing = None
                if ending is not None:  # else it was asked for meanwhile, and comes next
                    self._finishing_is_over()
                if len(self._loop.rounds) > done:
                    self._doubts_due = self._loop.ended is None
                    self._predictions_due = True  # also where no query could be made

    def _asked(self, ending: str | None, again: bool) -> Query | None:
        """Close the query that is open, train, and return the next; None: the run is over."""
        loop = self._loop
        with self._lock:
            # A query that is not shown yet was open when the run was last under way.
            shown = self.query is not None and loop.query is not None
            if shown and ending is None and self._ledger.n_classes >= LEAST_CLASSES:
                loop.close()
            trains = ending is not None or len(loop.rounds) < loop.round
            detail = f"round {len(loop.rounds)}: {self._ledger.n_labels} labels" if trains else ""
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
            self._keep_open(False)
            self.query, self.near = query, {}
            self._since = self._answered_since()
            if query is not None and query.audit is not None:
                self.drawn |= dict.fromkeys(query.indices[query.audit].tolist(), query.round)
            # What was drawn before comes first: left over, as the hard ones are, it would be
            # missing in the estimate, and the network seem better than it is.
            waiting = [index for index in self.drawn if index not in self._ledger]
            picked = [] if query is None else query.indices.tolist()
            self._turns.replace(list(dict.fromkeys(waiting + picked)))
            self._looks_due = query is not None  # not what was due of the one before
            self._predictions_due = bool(self._loop.rounds)
            if query is not None:
                self._opinions.expect(query)

    def _answered_since(self) -> set[int]:
        """Return the samples that were answered since the last query was closed."""
        store, closed = self._loop.files.store, self._loop.round
        after = store.horizon(closed - 1)[0] if closed else 0
        said = indices_of(self._loop.data, (event.key for event in store.events(after)))
        return {index for index in said.values() if index in self._ledger}

    def on_epoch(self, epoch: Epoch) -> None:
        """Say how far training is; end it if the server ends."""
        if self._stopping:
            raise Stopped
        if self._doing is not None and self._doing.state == "training":
            detail = self._doing.detail.partition(",")[0]
            self._does("training", f"{detail}, epoch {epoch.number} of {epoch.of}")

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Training is over; the next samples are chosen."""
        self._does("choosing", f"after round {round.round}")

    def _does(self, state: str, detail: str) -> None:
        self._doing = Training(state=state, detail=detail, until_next=None)  # type: ignore[arg-type]  # one of its states

    # -- what is worked out of a network -----------------------------------------------------

    def _look(self) -> None:
        """Work out what is shown beside the samples of the query."""
        self._looks_due = False
        loop, query = self._loop, self.query
        assert query is not None
        network = loop.network() if loop.rounds else None
        if network is not None:
            probs = network.predict(loop.data.pool, query.indices, frozenset()).probs
            with self._lock:
                self._opinions.look_at(query.indices, probs)
        with self._lock:
            labelled = loop.pool.labelled
        near = nearest_labelled(loop.data, network, query.indices, labelled)
        with self._lock:
            self.near = near

    def _begin_predictions(self) -> None:
        self._predictions_due = False
        trained, _ = read_labels(
            self._loop.files.store, self._loop.data, len(self._loop.rounds) - 1
        )
        self._opinions.begin(trained)

    def _predict(self) -> None:
        network = self._loop.network()
        n_classes = self._loop.rounds[-1].classes
        self._opinions.predict_some(network, self._loop.data.pool, n_classes)

    def _doubt(self) -> None:
        """Look for labels that a network trained without them contradicts."""
        self._doubts_due = False
        loop, make_learner = self._loop, self._make_learner
        round = loop.rounds[-1]
        if make_learner is None or round.metrics.get("train_seconds", 0.0) > self._longest_fit:
            return
        self._does("second looks", f"after round {round.round}")
        data = dataclasses.replace(loop.data, classes=loop.data.classes[: round.classes])
        indices, labels = read_labels(loop.files.store, data, round.round)
        looked_at, found = contradicted(
            data, indices, labels, round.round, self._learner, loop.streams, self._threshold
        )
        given = dict(zip(indices.tolist(), labels.tolist(), strict=True))
        until, _ = loop.files.store.horizon(round.round)
        with self._lock:
            doubts = {}
            for index, (label, confidence) in found.items():
                answer = self._ledger.answer(index)
                name = data.classes[given[index]]
                if answer is not None and answer.label == name and answer.id <= until:
                    doubts[index] = Doubt(
                        event=answer.id,
                        label=name,
                        predicted=data.classes[label],
                        confidence=confidence,
                        round=round.round,
                    )
            self._second_looks.update(looked_at.tolist(), doubts)

    def _learner(self) -> Learner:
        """Return a learner whose fit ends when the server does."""
        if self._make_learner is None:
            raise LearnerError("there is no learner for second looks")
        learner = self._make_learner()
        learner.on_epoch = self.on_epoch
        return learner
