"""The active-learning loop: ask, tell, run. Read it from top to bottom.

What was asked and answered is in `answers`, which other threads may add to meanwhile.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from activeloop.answers import Answers
from activeloop.audit import Audit, audited
from activeloop.checks import plain, whole
from activeloop.context import before_predictions, check_available, with_predictions
from activeloop.errors import OrderError, StoreError, StrategyError
from activeloop.evaluation import Evaluation
from activeloop.initial import Initial
from activeloop.journal import check_keys, read_state
from activeloop.memory import default_limit
from activeloop.neighbors import NeighborSearch
from activeloop.opinions import opinions
from activeloop.pool import Pool
from activeloop.rehearsal import rehearse
from activeloop.run_files import RunFiles
from activeloop.schedule import Schedule
from activeloop.selection import candidates, select
from activeloop.stop_set import STOP_METRICS, KeptProbs, StopSet
from activeloop.stopping import check_rules, with_readings
from activeloop.strategies import described, name_of, needs_of
from activeloop.streams import Streams
from activeloop.types import (
    Answer,
    Context,
    Data,
    Epoch,
    Fit,
    Labels,
    Learner,
    Listener,
    Oracle,
    Query,
    Round,
    StoppingRule,
    Strategy,
)
from activeloop.words import counted


class ActiveLoop:
    """One run: one learner, one strategy, one seed, and one directory if it is to last.

    A round's number is that of the query whose labels it adds; round 0 is the initial set.

    Args:
        data: the samples. It holds no labels of pool or test.
        learner: fitted anew each round.
        strategy: any callable from a `Context` to `k` pool indices.
        test_labels: labels of `data.test`, `[T]`; without them there is no accuracy.
        initial: how to start; a number is so many samples at random.
        query_size: labels a round; or a list, one a round, whose last repeats.
        query_growth: each round asks for this factor more than the one before.
        rounds: queries after the initial set; None: as the budget allows, or 10.
        budget: labels in all, the initial set included; "all": until no sample is left.
        stopping: rules `(rounds) -> reason or None`, such as those of `activeloop.stopping`; the
            first reason ends the run.
        stop_set: size of the stop set, a fixed random part of the pool on which consecutive
            networks are compared; 0: none.
        audit: share of each query, at least one sample, that is drawn at random instead of by the
            strategy, and tells the accuracy on the remaining pool without a test set; 0: none.
        seed: of all chance.
        directory: where the run is kept as it goes; None: in memory. The run that a directory
            holds already goes on from its last whole round.
        measures: also compute the mean of the six measures over the test set each round.
        memory_limit: bytes that a strategy may use; None: half of what is free at each query.
        neighbors: how nearest neighbours are searched; None: exactly while that takes seconds.
        identity: what else makes this run this run (the composed config, say); a directory that
            holds a run of another identity is refused.
        listeners: are told how the run goes.
        originals: the samples before embedding took their place; None: those of `data`. Their keys
            are kept, so that a run that goes on can say what changed.
        about: what else to keep with a run that begins, by name, as JSON.

    Attributes:
        answers: what was asked and what was answered.
        rounds: the finished rounds.
        ended: why the run is over, or None.

    Raises:
        ConfigError: sizes that make no sense or do not fit the pool; a stopping rule that needs a
            stop set where there is none.
        DataError: a stopping rule needs test labels, and there are none.
        StrategyError: the strategy needs what this run cannot give: members, embeddings.
        LearnerError: the learner can never fit such data.
        StoreError: the directory holds another run, or cannot be used.
    """

    def __init__(
        self,
        data: Data,
        learner: Learner,
        strategy: Strategy,
        *,
        test_labels: Labels | None = None,
        initial: Initial | int = 20,
        query_size: int | Sequence[int] = 20,
        query_growth: float = 1.0,
        rounds: int | None = None,
        budget: int | Literal["all"] | None = None,
        stopping: Sequence[StoppingRule] = (),
        stop_set: int = 1000,
        audit: float = 0.0,
        seed: int = 0,
        directory: Path | str | None = None,
        measures: bool = False,
        memory_limit: int | None = None,
        neighbors: NeighborSearch | None = None,
        identity: Mapping[str, Any] | None = None,
        listeners: Sequence[Listener] = (),
        originals: Data | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        check_keys(data)
        seed, query_size = plain(seed), plain(query_size)
        rounds, budget, initial = plain(rounds), plain(budget), plain(initial)
        stop_set = whole("stop_set", plain(stop_set))
        self.learner, self.strategy = learner, strategy
        self.memory_limit = memory_limit
        self.neighbors = neighbors or NeighborSearch()
        _check_needs(strategy, data, learner)
        if hasattr(learner, "check"):
            learner.check(data)
        self.initial = initial if isinstance(initial, Initial) else Initial(size=initial)
        for each in (strategy, self.initial.strategy):
            rehearse(each)
        for each in (strategy, self.initial.strategy):
            if hasattr(each, "resolve"):
                each.resolve(data.pool.keys)
        self.initial.check(data)
        self.schedule = Schedule(
            self.initial.size, len(data.pool), query_size, query_growth, rounds, budget
        )
        self.stopping, self.listeners = list(stopping), list(listeners)
        self.evaluate = Evaluation(data, test_labels, measures=measures)
        self.streams = Streams(seed)
        self.audit = Audit(audit)
        self.audit.check(self.schedule)
        self._compares = stop_set > 0
        check_rules(self.stopping, self.metrics_of_all_rounds())
        learner.on_epoch = self._on_epoch

        settings: dict[str, Any] = {
            "strategy": described(strategy),
            "learner": name_of(type(learner)),
        }
        settings |= {"measures": measures, "stop_set": stop_set, "audit": self.audit.share}
        settings |= {"seed": seed, **dataclasses.asdict(self.schedule)}
        self.files = RunFiles(None if directory is None else Path(directory))
        try:
            self.files.claim(
                {
                    "data": data_identity(data),
                    "config": dict(identity) if identity is not None else settings,
                },
                originals or data,
                about,
            )
            self.files.keep_preprocessing(data.preprocessing)
            self.files.save_test_labels(test_labels)
            self.stop_set = self._drawn_stop_set(data, stop_set)
            self._take_up(data)
        except BaseException:
            self.files.close()  # another run's, or another process's turn
            raise

    def _drawn_stop_set(self, data: Data, size: int) -> StopSet | None:
        """Return the stop set: where samples joined the pool, that of when the run began."""
        if size == 0:
            return None
        within = self.files.first_pool_size(len(data.pool))
        drawn = StopSet(data.pool, size, self.streams.rng("stop_set"), within)
        self.files.save_stop_indices(drawn.indices)
        return drawn

    def _take_up(self, data: Data) -> None:
        """Go on from where the run in the directory has come to."""
        state = read_state(self.files.store, data)
        self.answers = Answers(data, self.files.store, state)
        self.rounds: list[Round] = state.rounds
        self.ended: str | None = state.ended
        # Of the learner as it is: classes may be added after it was fitted.
        self._classes = self.rounds[-1].classes if self.rounds else self.data.n_classes
        self._fitted = False
        self.files.write_tables()

    def metrics_of_all_rounds(self) -> list[str]:
        """Return those metrics that stopping rules may count on."""
        tested = self.evaluate.labels is not None and len(self.evaluate.labels) > 0
        return ["accuracy"] * tested + [*STOP_METRICS] * self._compares

    # -- the loop ---------------------------------------------------------------------------

    def run(self, oracle: Oracle) -> list[Round]:
        """Ask `oracle` until the run is over, and return its rounds."""
        while self.step(oracle):
            pass
        return self.rounds

    def step(self, oracle: Oracle) -> bool:
        """Ask, and tell what `oracle` answers; False: the run is over."""
        if (query := self.ask()) is None:
            return False
        who = type(oracle).__name__
        answers = oracle.label(query.open)
        if len(answers) != len(query.open):
            samples = counted(len(query.open), "sample")
            raise OrderError(f"{who} gave {counted(len(answers), 'answer')} to {samples}")
        self.tell(query, dict(zip(query.open.tolist(), answers, strict=True)), who)
        return True

    def due(self) -> Fit | None:
        """Return what the next `ask` has the learner fit, if it does, so that others may do it."""
        if self.query is not None or self.ended is not None or len(self.rounds) == self.round:
            return None
        if self.rounds and self._warm_start:
            self._restore_learner()
        return self._due(self.round - 1)

    def ask(self) -> Query | None:
        """Return the open query, or train on what was told and make the next; None: it is over.

        Raises:
            LearnerError, StrategyError: training or selection failed; asking again tries again.
        """
        while self.query is None and self.ended is None:  # again, if all was answered meanwhile
            if self.round == 0 and self.initial.given:
                self.answers.take_given(self.initial.size)
            elif self.answers.whole:
                self.answers.settle()
            if len(self.rounds) < self.round:
                self._train()
            k, reason = self._next_size()
            if not reason:
                self._make_query(k)
            elif not self.answers.take_rest():  # else a last round is trained on that
                self._end(reason)
        if self.query is not None and self.round == 0 and self.initial.labels is not None:
            # Labels that are there already: nobody is asked.
            self.tell(self.query, self.initial.labels, "file")
            return self.ask()
        return self.query

    def tell(
        self,
        query: Query,
        answers: Mapping[int, Answer] | Sequence[Answer] | Labels,
        annotator: str = "user",
        seconds: float | None = None,
    ) -> None:
        """Give answers to the open query: on disk when the call returns.

        Args:
            query: what `ask` returned.
            answers: a class, SKIP or NONE_OF_THESE by pool index, for some of the query or all; or
                a sequence as long as the query, in its order.
            annotator: who answered.
            seconds: how long each answer took, where that is known.

        Raises:
            OrderError: the query is not the open one, an index is not open in it, or an answer is
                none. Nothing is recorded then.
        """
        self.answers.tell(query, answers, annotator, seconds)

    def record(
        self,
        answers: Mapping[int, Answer | None],
        annotator: str = "user",
        seconds: float | None = None,
        takes_back: Mapping[int, int] | None = None,
        brings_back: Mapping[int, int] | None = None,
        origins: Mapping[int, str] | None = None,
    ) -> None:
        """Take answers to any samples of the pool, asked for or not: on disk when it returns.

        Another thread may be in `ask` meanwhile: the round that it trains is not changed, the next
        one knows them.

        Args:
            answers: by pool index; they take the place of those there are, and None takes one back.
            annotator: who answered.
            seconds: how long each answer took, where that is known.
            takes_back: numbers of the events that these take back, by pool index, where they are
                somebody's undo.
            brings_back: numbers of the events in which the answers were said that are there again
                then, by pool index; none where there was nothing.
            origins: why each sample was answered, by pool index, in a word: see `Event.origin`.

        Raises:
            OrderError: an index is outside the pool, or an answer is none; nothing is recorded.
        """
        self.answers.record(answers, annotator, seconds, origins, takes_back, brings_back)

    def close(self) -> None:
        """End the open query early: what has no answer goes back to the pool.

        Raises:
            OrderError: no query is open, or too few classes have a label yet.
        """
        self.answers.close()

    def close_again(self) -> None:
        """Have a round that could not be trained take the answers that came since its query closed.

        The same fit would fail again. No effect where no round waits to be trained.
        """
        with self.answers.lock:
            if self.query is None and len(self.rounds) < self.round:
                self.answers.close_again()

    def finish(self, reason: str) -> None:
        """Fit on all answers there are, if that is not done yet, and end the run.

        Raises:
            OrderError: no sample is labelled yet, or the run is over.
        """
        if self.ended is not None:
            raise OrderError(f"the run is over already: {self.ended}")
        with self.answers.lock:
            if self.query is not None and self.answers.came_since():
                self.close()
        if len(self.rounds) < self.round:
            self._train()
        while self.answers.take_rest():
            self._train()
        if not self.rounds:
            raise OrderError("cannot finish before any sample has a label")
        self._end(reason)

    def reopen(self) -> None:
        """Go on with a run that is over, from where it ended; no effect on one that is not."""
        if self.ended is None:
            return
        with self.answers.lock:
            self.files.reopen(len(self.rounds) - 1)
            self.ended = None
            self.answers.go_on(read_state(self.files.store, self.data))

    def add_class(self, name: str) -> int:
        """Add a class, known to the learner from the next fit on, and return its label.

        Raises:
            OrderError: there is a class of that name, or it is none.
        """
        return self.answers.add_class(name)

    @property
    def data(self) -> Data:
        """The samples, with the classes that were added since."""
        return self.answers.data

    @property
    def pool(self) -> Pool:
        """Which samples are labelled."""
        return self.answers.pool

    @property
    def query(self) -> Query | None:
        """The open query, with its answers so far; None: there is none at present."""
        return self.answers.query

    @property
    def round(self) -> int:
        """Number of the open query, or of the one that is made next."""
        return self.answers.closed

    def network(self) -> Learner:
        """Return the learner as the last round left it; for the thread that asks.

        Raises:
            OrderError: no round is done.
        """
        if not self.rounds:
            raise OrderError("there is no network before the first round")
        self._restore_learner()
        return self.learner

    # -- its steps --------------------------------------------------------------------------

    def _train(self) -> None:
        """Fit on the labels there were when the query was closed, evaluate, and keep the round."""
        number = self.round - 1
        if self.rounds and self._warm_start:
            self._restore_learner()
        # Until the round is kept: a fit that is tried again must start from the same weights.
        self._fitted = False
        predict_seconds, select_seconds = self.files.store.ask_seconds(number)
        fit = self._due(number)
        with self._timed() as train:
            metrics = self._fit(fit)
        with self._timed() as test:
            tested, test_probs = self.evaluate(self.learner)
        stop_probs, stop = self._compare(number)
        metrics = tested | stop | metrics | self._audited(number)
        metrics |= {"train_seconds": train[0], "predict_seconds": predict_seconds}
        metrics |= {"select_seconds": select_seconds, "test_seconds": test[0]}
        round = Round(
            round=number,
            labels=len(fit.indices),
            classes=fit.data.n_classes,
            metrics=metrics,
        )
        round = with_readings(self.stopping, [*self.rounds, round])
        weights = self.files.save_round(self.learner, number, test_probs, stop_probs)
        self.files.store.add_round(round, weights)
        self.rounds.append(round)
        self._fitted = True
        self.files.drop_older_weights(number)
        self.files.write_tables()
        for listener in self.listeners:
            listener.on_round(round, test_probs)

    def _fit(self, fit: Fit) -> dict[str, float]:
        """Fit the learner, and return what training says."""
        history = self.learner.fit(fit.data, fit.indices, fit.labels, fit.rng)
        self._classes = fit.data.n_classes
        metrics = {"steps": float(history.steps)}
        if history.epochs:
            last = history.epochs[-1]
            metrics |= {"train_loss": last.loss, "train_accuracy": last.accuracy}
        if fit.data.validation is not None:
            metrics["validation_labels"] = float(len(fit.data.validation.labels))
        return metrics

    def _compare(self, round: int) -> tuple[KeptProbs | None, dict[str, float]]:
        """Compare the learner with that of the round before on the stop set, if there is one."""
        if self.stop_set is None:
            return None, {}
        before = self.files.stop_probs(round - 1) if round else None
        with self._timed() as seconds:
            metrics, kept = self.stop_set(self.learner, before)
        return kept, {**metrics, "stop_seconds": seconds[0]}

    def _audited(self, round: int) -> dict[str, float]:
        """Return what the audit in a round's query says of the network of the round before."""
        if self.audit.share == 0:
            return {}
        store = self.files.store
        until, _ = store.horizon(round)
        return audited(store.queries(round), store.labels(until))

    def _due(self, round: int) -> Fit:
        """Return what round `round` is fitted on: what was known when its query was closed."""
        data, indices, labels = self.answers.of_round(round)
        rng = self.streams.rng("training", round)
        return Fit(data=data, indices=indices, labels=labels, rng=rng)

    def _make_query(self, k: int) -> None:
        """Predict, let the strategy pick, and keep the query."""
        initial = self.round == 0
        strategy = self.initial.strategy if initial else self.strategy
        context = self._context(k)
        if (k := context.k) == 0:  # all was answered since it was counted
            return
        audit = np.empty(0, np.int64)
        if self.audit.share and not initial:
            audit = self.audit.draw(context.unlabelled, k, self.streams.rng("audit", self.round))
            left = np.setdiff1d(context.unlabelled, audit, assume_unique=True)
            context = dataclasses.replace(context, k=k - len(audit), unlabelled=left)
        needs = needs_of(strategy, context)
        with self._timed() as predict:
            early = before_predictions(context, self.data, needs, self.neighbors)
            if initial:
                context = early
            else:
                self._restore_learner()
                if (chosen := candidates(strategy, early)) is not None:
                    context = dataclasses.replace(context, unlabelled=chosen)
                context = with_predictions(
                    context,
                    self.data,
                    self.learner,
                    needs,
                    chosen,
                    self.neighbors,
                    self.files.directory,
                )
                if self.memory_limit is None:  # what is free now that the predictions are there
                    context = dataclasses.replace(context, memory_limit=default_limit())
        with self._timed() as choose:
            if initial and self.initial.labels is not None:
                indices, scores = np.array(sorted(self.initial.labels), np.int64), None
            else:
                indices, scores = select(strategy, context)
        query = self.answers.query_of(audit, indices, scores)
        if not initial:
            with self._timed() as record:
                said = opinions(self.data, self.learner, query.indices, context.probs)
                query = dataclasses.replace(query, predicted=said[0], confidence=said[1])
            predict[0] += record[0]
        self.answers.open(query, predict[0], choose[0])
        for listener in self.listeners:
            listener.on_query(query)

    def _context(self, k: int) -> Context:
        """Return the context with indices and labels only."""
        labelled, labels, unlabelled = self.answers.now()
        known = labels < self._classes  # the learner does not know those that were added since
        return Context(
            k=min(k, len(unlabelled)),
            rng=self.streams.rng("strategy" if self.round else "initial", self.round),
            n_classes=self._classes,
            round=self.round,
            labelled=labelled[known],
            labels=labels[known],
            unlabelled=unlabelled,
            embeddings=cast(Tensor, self.data.embeddings),
            memory_limit=self.memory_limit or default_limit(),
        )

    def _next_size(self) -> tuple[int, str]:
        """Return the size of the next query, or 0 and why there is none."""
        left = len(self.pool.unlabelled)
        if self.round == 0:
            k = min(self.initial.size, left)
            return k, "" if k else "no unlabelled sample left"
        for rule in self.stopping:
            if reason := rule(self.rounds):
                return 0, reason
        return self.schedule.next(self.round, self.pool.n_labelled, left)

    def _end(self, reason: str) -> None:
        with self.answers.lock:
            self.files.end(reason, len(self.rounds) - 1)
            self.ended = reason
            self.answers.query = None
        for listener in self.listeners:
            listener.on_end(reason)

    # -- going on ---------------------------------------------------------------------------

    def _restore_learner(self) -> None:
        """Have the learner as the last round left it: loaded, or fitted again."""
        if self._fitted:
            return
        last = self.rounds[-1]
        data = dataclasses.replace(self.data, classes=self.data.classes[: last.classes])
        self._fitted = self.files.load_weights(self.learner, last.round, data)
        if not self._fitted:
            if self._warm_start:
                raise StoreError(
                    f"learner.warm_start needs the weights of round {last.round}, and "
                    f"{self.files.weights_name(last.round)} is not there, or damaged: put a copy "
                    "back"
                )
            self._fit(self._due(last.round))
            self._fitted = True

    @property
    def _warm_start(self) -> bool:
        return bool(getattr(self.learner, "warm_start", False))

    def _on_epoch(self, epoch: Epoch) -> None:
        for listener in self.listeners:
            listener.on_epoch(epoch)

    @contextmanager
    def _timed(self) -> Iterator[list[float]]:
        """Give a list that holds the seconds of the body when it is over."""
        seconds = [0.0]
        clock = getattr(self.learner, "clock", time.perf_counter)
        start = clock()
        yield seconds
        if self.learner.device.type == "cuda":
            torch.cuda.synchronize(self.learner.device)
        seconds[0] = clock() - start


def _check_needs(strategy: Strategy, data: Data, learner: Learner) -> None:
    """Raise `StrategyError` if the strategy can never run: before anything is trained."""
    try:
        check_available(needs_of(strategy), data, learner)
    except StrategyError as error:
        raise StrategyError(f"strategy {name_of(strategy)}: {error}") from error


def data_identity(data: Data) -> dict[str, Any]:
    """Return what makes data those of a run."""
    return {"name": data.name, "classes": list(data.classes), **data.fingerprints}
