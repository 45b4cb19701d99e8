"""Several learners on a GPU, their networks stacked into one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from activeloop.architecture import Network
from activeloop.learners.chance import repeatable
from activeloop.learners.inference import Predictor
from activeloop.learners.stack import Stack, why_not
from activeloop.learners.stack_training import StackTraining
from activeloop.memory import default_limit
from activeloop.types import Epoch, Fit, History, Indices, Prediction, Samples

if TYPE_CHECKING:
    from activeloop.learners.torch_learner import Fitting, TorchLearner

log = logging.getLogger(__name__)

# Predictions that wait for their loops may take this share of a GPU's memory: not of what is free,
# so that the choice is the same when the command is given again.
_SHARE = 4


class Stacked:
    """Fits and predicts with several learners as with one: a `Together`.

    A stack always has a place for every network, so that the numbers of one do not depend on how
    many of the others take part: where one does not, another stands in for it. Networks that cannot
    be stacked, and those that may stop early, are trained one after another.

    Args:
        learners: of the same settings.
    """

    def __init__(self, learners: Sequence[TorchLearner]) -> None:
        self._learners = tuple(learners)
        self._device = learners[0].device
        self._reasons: dict[int, str | None] = {}  # by the number of classes
        self._said: set[str] = set()

    def fit_many(self, fits: Mapping[int, Fit]) -> dict[int, History | Exception]:
        """Fit the learners that `fits` names; return what `fit` returns or raises for each."""
        results: dict[int, History | Exception] = {}
        fittings: dict[int, Fitting] = {}
        for which, fit in fits.items():
            try:
                fittings[which] = self._learners[which].begin(
                    fit.data, fit.indices, fit.labels, fit.rng
                )
            except Exception as error:  # the network is anybody's: it may raise anything
                results[which] = error
        lengths = {len(fitting.examples) for fitting in fittings.values()}
        if len(lengths) > 1:
            self._say("seeds have different numbers of labels: those with as many train together")
        for length in sorted(lengths):
            group = {n: f for n, f in fittings.items() if len(f.examples) == length}
            results |= self._train(group)
        return results

    def predict_many(
        self, which: Sequence[int], samples: Samples, needs: frozenset[str], limit: int | None
    ) -> dict[int, Prediction]:
        """Predict all `samples` with all of `which`, or none if that takes too much memory.

        On a GPU, where predictions stay in its memory, that is a quarter of it, and not `limit`.
        """
        everything = np.arange(len(samples))
        predictors = {each: self._learners[each].predictor(needs) for each in which}
        first = predictors[which[0]]
        masked = "members" in needs and first.masks is not None
        size = len(self._learners) * first.size(len(samples), needs)
        if masked or size > self._limit(limit) or len(samples) == 0:
            return {}
        example = samples.batch(everything[:2], self._device)
        if self._why_not(first.networks[0], first.n_classes, example) is not None:
            return {}
        try:
            return self._predict_stacked(predictors, samples, everything, needs)
        except RuntimeError as error:
            self._reasons[first.n_classes] = _in_words(error)
            return {}

    def _predict_stacked(
        self,
        predictors: Mapping[int, Predictor],
        samples: Samples,
        everything: Indices,
        needs: frozenset[str],
    ) -> dict[int, Prediction]:
        first = next(iter(predictors.values()))
        slots = [predictors.get(n, first) for n in range(len(self._learners))]
        stack = Stack([network for slot in slots for network in slot.networks])
        fillings = {n: p.filling(samples, everything, needs) for n, p in predictors.items()}
        m = len(first.networks)
        with torch.no_grad(), repeatable(self._device):
            for rows, indices in first.batches(everything, share=len(slots) * m):
                batch = samples.batch(indices, self._device)
                outputs = stack.evaluate(batch, features="features" in needs)
                each = list(zip(*outputs, strict=True))
                for n, filling in fillings.items():
                    filling.put(rows, filling.joined(each[n * m : (n + 1) * m]))
        return {n: filling.out for n, filling in fillings.items()}

    def predict(
        self,
        which: int,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Predict `samples[indices]` with learner `which`, by itself."""
        return self._learners[which].predict(samples, indices, needs, out)

    def _train(self, fittings: Mapping[int, Fitting]) -> dict[int, History | Exception]:
        """Train on as many samples each, stacked if that can be."""
        first = next(iter(fittings.values()))
        if not self._in_turn(first):
            try:
                return self._train_stacked(fittings)
            except RuntimeError as error:  # what vmap cannot on this device, or its memory
                self._reasons[first.data.n_classes] = _in_words(error)
        assert self._in_turn(first)
        results: dict[int, History | Exception] = {}
        for which, fitting in fittings.items():
            try:
                results[which] = self._learners[which].finish(fitting)
            except Exception as error:
                results[which] = error
        return results

    def _train_stacked(self, fittings: Mapping[int, Fitting]) -> dict[int, History | Exception]:
        first = next(iter(fittings.values()))
        slots = [fittings.get(n, first) for n in range(len(self._learners))]
        m, settings = len(first.networks), self._learners[0].training
        training = StackTraining(
            [network for slot in slots for network in slot.networks],
            [slot.examples for slot in slots for _ in slot.networks],
            [chance for slot in slots for chance in slot.chances],
            settings,
            first.augment if settings.augmentations(first.data.augmentations) else None,
        )

        def tell(position: int, epoch: Epoch) -> None:
            which, member = divmod(position, m)
            if which in fittings:
                self._learners[which].tell(epoch, member)

        with repeatable(self._device):
            outcomes = training.run(tell)
        results: dict[int, History | Exception] = {}
        for which, fitting in fittings.items():
            mine = outcomes[which * m : (which + 1) * m]
            errors = [each for each in mine if isinstance(each, Exception)]
            if errors:
                results[which] = errors[0]
                continue
            for position in range(which * m, (which + 1) * m):
                training.hand_back(position)
            histories = [each for each in mine if isinstance(each, History)]
            results[which] = self._learners[which].end(fitting, histories)
        return results

    def _in_turn(self, fitting: Fitting) -> bool:
        """Return whether networks are trained one after another, and say why."""
        reason: str | None = "early stopping may end some sooner"
        if self._learners[0].training.early_stopping == "none":
            examples = fitting.examples
            few = examples.normalise(examples.raw[torch.tensor([0, -1])])
            reason = self._why_not(fitting.networks[0], fitting.data.n_classes, few)
        if reason is not None:
            self._say(f"seeds are trained one after another: {reason}")
        return reason is not None

    def _why_not(self, network: Network, n_classes: int, batch: Tensor) -> str | None:
        if n_classes not in self._reasons:
            self._reasons[n_classes] = why_not(network, batch)
        return self._reasons[n_classes]

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.info(text)

    def _limit(self, limit: int | None) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.get_device_properties(self._device).total_memory) // _SHARE
        return default_limit() if limit is None else limit


def _in_words(error: RuntimeError) -> str:
    return f"the networks cannot be stacked here ({' '.join(str(error).split())})"
