"""The training loop: epochs of gradient steps on samples that stay on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from activeloop.distributed import ALONE, Forward, Ranks
from activeloop.errors import LearnerError
from activeloop.learners.augment import Augmentation
from activeloop.learners.blocked import blocked
from activeloop.learners.recorded import Plain, Recorded, may_record, recordable, side_stream
from activeloop.learners.settings import Training
from activeloop.types import Epoch, History, Indices, Labels, Samples


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Samples with labels, fetched once.

    Attributes:
        raw: samples as they are stored, `[L, *shape]`, on the device.
        labels: `[L]` int64, on the device.
        normalise: turns raw samples into what a network takes.
    """

    raw: Tensor
    labels: Tensor
    normalise: Callable[[Tensor], Tensor]

    @classmethod
    def fetch(
        cls, samples: Samples, indices: Indices, labels: Labels, device: torch.device
    ) -> Examples:
        """Return `samples[indices]` and their `labels` on `device`."""
        raw = samples.raw(indices, device)
        copied = torch.from_numpy(np.array(labels, np.int64))  # torch warns of read-only arrays
        return cls(raw=raw, labels=copied.to(device), normalise=samples.normalise)

    def __len__(self) -> int:
        return len(self.labels)


def train(
    module: nn.Module,
    examples: Examples,
    settings: Training,
    *,
    augment: Augmentation,
    validation: Examples | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    ranks: Ranks = ALONE,
) -> History:
    """Train `module` in place, with chance from torch's global generators; leave it in eval mode.

    Several processes take the steps that one would, each on its part of every batch.

    Raises:
        LearnerError: the loss or a weight became infinite or NaN.
    """
    device = examples.labels.device
    recorded = may_record(settings, device) and ranks.size == 1 and recordable(module)
    with side_stream(device) if recorded else nullcontext():
        steps = _Steps(module, examples, settings, augment, ranks, recorded=recorded)
        history = _epochs(module, steps, settings, examples, validation, on_epoch, ranks)
    return history


def _epochs(
    module: nn.Module,
    steps: _Steps,
    settings: Training,
    examples: Examples,
    validation: Examples | None,
    on_epoch: Callable[[Epoch], None] | None,
    ranks: Ranks,
) -> History:
    total = settings.total_steps(len(examples))
    of = math.ceil(total / settings.batches(len(examples)))
    watch = EarlyStopping(settings, module, validation, ranks)
    epochs: list[Epoch] = []
    taken = 0
    for number in range(1, of + 1):
        order = ranks.agree(_shuffled(examples))
        batches = list(settings.split(order))[: total - taken]
        rates = [settings.lr_at(taken + each, total) for each in range(len(batches))]
        loss, accuracy = steps.epoch(batches, rates)
        taken += len(batches)
        epoch = Epoch(number=number, of=of, loss=loss, accuracy=accuracy)
        if not math.isfinite(loss):
            raise diverged(f"the loss is {loss}", epoch, settings)
        epochs.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
        if watch.should_stop(epoch, settings.scheduled_epoch(taken, total)):
            break
    watch.restore_best()
    ranks.level(module)
    module.eval()
    module.zero_grad()  # gradients are not needed any more, and may hold a recording's memory
    if not all(torch.stack([weight.isfinite().all() for weight in module.parameters()]).tolist()):
        raise diverged("a weight is infinite or NaN", epochs[-1], settings)
    return History(epochs=tuple(epochs), steps=taken)


class EarlyStopping:
    """Says when to stop, and keeps the best weights where a validation set tells which they are."""

    def __init__(
        self,
        settings: Training,
        module: nn.Module,
        validation: Examples | None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.rule = settings.early_stopping
        self.threshold = settings.early_stopping_threshold
        self.patience = settings.early_stopping_patience
        self.batch_size = settings.batch_size
        self.module = module
        self.validation = validation
        self.best_loss = math.inf
        self.best_weights: dict[str, Tensor] = {}
        self.waited = 0
        self.looked_at = 0
        if self.rule == "validation" and not validation:
            raise LearnerError(
                "learner.early_stopping=validation needs a validation set: data.validation=100"
            )

    def should_stop(self, epoch: Epoch, scheduled: int) -> bool:
        """Return whether `epoch` was the last; `scheduled` epochs of the schedule are over.

        Validation goes by these: where few labels make an epoch one gradient step, the loss may
        well not fall for a few of them.
        """
        if self.rule == "train_accuracy":
            return epoch.accuracy >= self.threshold
        if self.rule == "none" or self.validation is None or scheduled == self.looked_at:
            return False
        self.looked_at = scheduled
        loss = mean_loss(self.module, self.validation, self.batch_size, self.ranks)
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            weights = self.module.state_dict()
            self.best_weights = {name: value.clone() for name, value in weights.items()}
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore_best(self) -> None:
        """Put the best weights back, if validation found any."""
        if self.best_weights:
            self.module.load_state_dict(self.best_weights)


def mean_loss(
    module: nn.Module, examples: Examples, batch_size: int, ranks: Ranks = ALONE
) -> float:
    """Return the mean cross-entropy of `module` in evaluation mode, rank 0's on all ranks."""
    module.eval()
    total = torch.zeros((), device=examples.labels.device)
    with torch.no_grad():
        parts = zip(
            torch.split(examples.raw, batch_size),
            torch.split(examples.labels, batch_size),
            strict=True,
        )
        for raw, labels in parts:
            logits = module(examples.normalise(raw)).float()
            total += functional.cross_entropy(logits, labels, reduction="sum")
    return float(ranks.agree(total)) / len(examples)


class _Steps:
    """The gradient steps of a training.

    Their sums stay on the device until an epoch ends: reading one would make the host wait at
    every step.
    """

    def __init__(
        self,
        module: nn.Module,
        examples: Examples,
        settings: Training,
        augment: Augmentation,
        ranks: Ranks,
        *,
        recorded: bool,
    ) -> None:
        self._module, self._examples, self._settings = module, examples, settings
        self._augment, self._ranks = augment, ranks
        self._device = examples.labels.device
        self._optimizer = settings.make_optimizer(module)
        self._forward = _forward(module, examples, ranks)
        self._loss = torch.zeros((), device=self._device)
        self._correct = torch.zeros((), device=self._device)
        optimizer = self._optimizer
        self._step = Recorded(optimizer, self._device) if recorded else Plain(optimizer)

    def epoch(self, batches: list[Tensor], rates: list[float]) -> tuple[float, float]:
        """Take one step for each batch; return mean loss and accuracy as they went."""
        self._module.train()
        self._loss.zero_()
        self._correct.zero_()
        for chosen, rate in zip(batches, rates, strict=True):
            self._step(self._take, chosen, rate)
        seen = sum(map(len, batches))
        sums = self._ranks.total(torch.stack([self._loss, self._correct]))
        loss, correct = sums.tolist()
        return loss / seen, correct / seen

    def _take(self, chosen: Tensor) -> None:
        settings, examples, device = self._settings, self._examples, self._device
        bfloat16 = settings.mixed_precision and device.type == "cuda"
        mine = self._ranks.share(len(chosen))
        labels = examples.labels.index_select(0, chosen[mine.rows])
        # The whole batch on every rank: a sample's chance is what it is in one process.
        inputs = examples.normalise(self._augment(examples.raw.index_select(0, chosen))[mine.rows])
        with (
            _lone_sample(self._module, len(labels)),
            torch.autocast(device.type, torch.bfloat16, enabled=bfloat16),
        ):
            logits = self._forward(inputs)
        logits = logits.float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
        self._optimizer.zero_grad()
        weighted = loss if mine.weight == 1 else loss * mine.weight
        weighted.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()
        self._loss += loss.detach() * mine.count
        self._correct += (logits.detach().argmax(1) == labels)[: mine.count].sum()


def _forward(module: nn.Module, examples: Examples, ranks: Ranks) -> Forward:
    """Return the forward pass of `module` that a step takes."""
    if ranks.size > 1:
        return ranks.parallel(module)
    faster = blocked(module, tuple(examples.raw.shape[1:]))
    return module if faster is None else faster


def _shuffled(examples: Examples) -> Tensor:
    return torch.randperm(len(examples), device=examples.labels.device)


@contextmanager
def _lone_sample(module: nn.Module, size: int) -> Iterator[None]:
    """Let batch normalisation use its running statistics for a batch of one, which has none."""
    layers = [m for m in module.modules() if size == 1 and isinstance(m, _BatchNorm) and m.training]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()


def diverged(what: str, epoch: Epoch, settings: Training) -> LearnerError:
    """Return the error of a training whose numbers are no longer finite, as `what` says."""
    return LearnerError(
        f"training diverged in epoch {epoch.number} of {epoch.of}: {what}; lower learner.lr "
        f"(now {settings.lr:g}), or check the data for NaN and infinite values"
    )
