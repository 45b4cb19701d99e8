"""What is worked out of a new network for the page: opinions, nearest samples, doubts."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from functools import partial

from activeloop.journal import read_labels
from activeloop.label.background import Background, Stopped
from activeloop.label.cards import Training
from activeloop.label.ledger import Ledger
from activeloop.label.nearest import nearest_labelled
from activeloop.label.opinions import Opinions
from activeloop.label.second_looks import Doubt, SecondLooks, contradicted
from activeloop.label.trouble import told
from activeloop.loop import ActiveLoop
from activeloop.types import Learner, Query

log = logging.getLogger(__name__)


class Insights:
    """Works it out in steps, while nothing more urgent is to be done.

    Args:
        loop: the run; only its own thread calls `step`.
        lock: held by whoever reads or changes what is here, but for `step`.
        ledger: the answers as they are.
        opinions: are kept up.
        second_looks: are kept up.
        background: in which it works.
        make_learner: returns a learner for second looks; None: there are none.
        threshold: of second looks: least probability of another class.
        longest_fit: seconds of a round's fit, beyond which there are no second looks after it.

    Attributes:
        near: labelled samples that are like those of the query.
        doing: what goes on, where it takes long.
    """

    def __init__(
        self,
        loop: ActiveLoop,
        lock: threading.RLock,
        ledger: Ledger,
        opinions: Opinions,
        second_looks: SecondLooks,
        background: Background,
        *,
        make_learner: Callable[[], Learner] | None,
        threshold: float,
        longest_fit: float,
    ) -> None:
        self._loop, self._lock, self._ledger = loop, lock, ledger
        self._opinions, self._second_looks = opinions, second_looks
        self._background = background
        self._make_learner, self._threshold = make_learner, threshold
        self._longest_fit = longest_fit
        self.near: dict[int, list[int]] = {}
        self.doing: Training | None = None
        self._query: Query | None = None
        self._looks_due = self._predictions_due = self._doubts_due = False

    def expect(self, query: Query | None) -> None:
        """Have `query` be the one that is shown, and nothing be due of the one before."""
        self._query, self.near = query, {}
        self._looks_due = query is not None
        self._predictions_due = bool(self._loop.rounds)
        if query is not None:
            self._opinions.expect(query)

    def learnt(self) -> None:
        """Note that there is a new network."""
        self._doubts_due = self._loop.ended is None
        self._predictions_due = True  # also where no query could be made

    def step(self) -> bool:
        """Do what is most urgent; return False if nothing is to be done."""
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
                    log.warning("after round %d: %s", self._loop.round - 1, told(error))
                finally:
                    self.doing = None
                return True
        return False

    def _look(self) -> None:
        """Work out what is shown beside the samples of the query."""
        self._looks_due = False
        loop, query = self._loop, self._query
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
        detail = f"after round {round.round}"
        self.doing = Training(state="second looks", detail=detail, until_next=None)
        data = dataclasses.replace(loop.data, classes=loop.data.classes[: round.classes])
        indices, labels = read_labels(loop.files.store, data, round.round)
        make = partial(self._stoppable, make_learner)
        looked_at, found = contradicted(
            data, indices, labels, round.round, make, loop.streams, self._threshold
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

    def _stoppable(self, make_learner: Callable[[], Learner]) -> Learner:
        """Return a learner whose fit ends when the server does."""
        learner = make_learner()
        learner.on_epoch = lambda epoch: self._background.check()
        return learner
