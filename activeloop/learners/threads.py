"""Networks side by side on a CPU: a thread for each, on its share of the cores.

A step of a small network gains little from several cores; several networks gain nearly all of them.
Each is computed by itself, with the operations that it would take alone.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from activeloop.learners.chance import Chance
from activeloop.learners.draws import FromGenerators
from activeloop.memory import default_limit
from activeloop.types import Epoch, Fit, History, Indices, Prediction, Samples

if TYPE_CHECKING:
    from activeloop.learners.torch_learner import Fitting, TorchLearner

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """Ends a thread that nobody waits for any more."""


class InThreads:
    """Fits and predicts with several learners in threads: a `Together`.

    The threads that torch has are shared out among the learners, and results may depend on how
    many that makes for each in the last digits. Where it is one, results are those of a run alone
    with one thread, bit for bit.

    Args:
        learners: on the CPU.
    """

    def __init__(self, learners: Sequence[TorchLearner]) -> None:
        self._learners = tuple(learners)
        self._threads = torch.get_num_threads()
        self._each = max(1, self._threads // len(learners))
        self._workers = min(len(learners), self._threads)
        self._talking = threading.Lock()
        self._stopped = threading.Event()
        self._draws_apart: bool | None = None

    def fit_many(self, fits: Mapping[int, Fit]) -> dict[int, History | Exception]:
        """Fit the learners that `fits` names; return what `fit` returns or raises for each."""
        results: dict[int, History | Exception] = {}
        running: dict[Future[list[History]], tuple[int, Fitting]] = {}
        with self._pool() as pool:
            for which, fit in fits.items():
                # Labelled samples are fetched when there is a thread to train on them.
                if len(running) == self._workers:
                    self._collect(running, results)
                try:
                    fitting = self._learners[which].begin(
                        fit.data, fit.indices, fit.labels, fit.rng
                    )
                except Exception as error:  # the network is anybody's: it may raise anything
                    results[which] = error
                    continue
                if self._must_be_alone(fitting):
                    results[which] = self._train_alone(which, fitting)
                else:
                    running[pool.submit(self._train, which, fitting)] = which, fitting
            while running:
                self._collect(running, results)
        return results

    def predict_many(
        self, which: Sequence[int], samples: Samples, needs: frozenset[str], limit: int | None
    ) -> dict[int, Prediction]:
        """Predict all `samples` with the first of `which`, as many as fit in `limit` bytes."""
        predictors = [self._learners[each].predictor(needs) for each in which]
        size = predictors[0].size(len(samples), needs)
        fitting = (default_limit() if limit is None else limit) // max(1, size)
        if fitting < 2:
            return {}
        everything = np.arange(len(samples))
        fillings = {
            each: predictor.filling(samples, everything, needs)
            for each, predictor in list(zip(which, predictors, strict=True))[:fitting]
        }
        device = self._learners[which[0]].device
        with self._pool() as pool:
            running: list[Future[None]] = []
            for rows, indices in predictors[0].batches(everything):
                batch = samples.batch(indices, device)  # while the last one is predicted
                for future in running:
                    future.result()
                running = [pool.submit(filling.fill, rows, batch) for filling in fillings.values()]
            for future in running:
                future.result()
        return {each: filling.out for each, filling in fillings.items()}

    def predict(
        self,
        which: int,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Predict `samples[indices]` with learner `which`, to the bit as `predict_many` does."""
        torch.set_num_threads(self._each)
        try:
            return self._learners[which].predict(samples, indices, needs, out)
        finally:
            torch.set_num_threads(self._threads)

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        """Give threads; if the body is left by an error, they end at their next epoch."""
        self._stopped.clear()
        pool = ThreadPoolExecutor(self._workers, "seed", torch.set_num_threads, (self._each,))
        try:
            yield pool
        except BaseException:
            self._stopped.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            # What a thread sets counts for all that start after it.
            torch.set_num_threads(self._threads)

    def _train(self, which: int, fitting: Fitting) -> list[History]:
        """Train each network of a learner, with chance from generators of its own."""
        learner, histories = self._learners[which], []

        def tell(epoch: Epoch, member: int) -> None:
            with self._talking:
                if self._stopped.is_set():
                    raise Interrupted
                learner.tell(epoch, member)

        for member, chance in enumerate(fitting.chances):
            with FromGenerators(chance.generators()):
                histories.append(learner.train(fitting, member, tell))
        return histories

    def _collect(
        self,
        running: dict[Future[list[History]], tuple[int, Fitting]],
        results: dict[int, History | Exception],
    ) -> None:
        """Wait for a training to end, and keep what came of those that have."""
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            which, fitting = running.pop(future)
            try:
                results[which] = self._learners[which].end(fitting, future.result())
            except Exception as error:
                results[which] = error

    def _must_be_alone(self, fitting: Fitting) -> bool:
        if self._draws_apart is None:
            self._draws_apart = draws_apart(fitting)
            if self._draws_apart:
                log.info(
                    "seeds are trained one after another: the network draws by chance in a way "
                    "that cannot be told apart by seed"
                )
        return self._draws_apart

    def _train_alone(self, which: int, fitting: Fitting) -> History | Exception:
        try:
            return self._learners[which].finish(fitting)
        except Exception as error:
            return error


def draws_apart(fitting: Fitting) -> bool:
    """Return whether the network draws from torch's global generators past `FromGenerators`."""
    chance, examples = fitting.chances[0], fitting.examples
    batch = examples.normalise(examples.raw[torch.zeros(2, dtype=torch.int64)])
    try:
        module = copy.deepcopy(fitting.networks[0].module).train()
        with chance.resumed(), FromGenerators(chance.generators()), torch.no_grad():
            module(batch)
            return not Chance.now(chance.device).equals(chance)
    except Exception as error:  # the network is anybody's: what is wrong shows when it is trained
        log.debug("the network cannot be tried: %s", error)
        return True
