"""How to train: every setting of the trainer, checked, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from activeloop.checks import choice, real, whole
from activeloop.errors import ConfigError, LearnerError
from activeloop.learners.augment import AUGMENTATIONS


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of one training; `TorchLearner` says what each means.

    Raises:
        ConfigError: a setting has no meaning.
    """

    epochs: int
    steps: int | None
    min_steps: int
    batch_size: int
    optimizer: str
    lr: float
    momentum: float
    weight_decay: float
    schedule: str
    step_size: int
    gamma: float
    label_smoothing: float
    augment: str | Sequence[str]
    early_stopping: str
    early_stopping_threshold: float
    early_stopping_patience: int
    mixed_precision: bool
    cuda_graphs: bool

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "step_size", "early_stopping_patience"):
            whole(f"learner.{name}", getattr(self, name), least=1)
        whole("learner.min_steps", self.min_steps)
        if self.steps is not None:
            whole("learner.steps", self.steps, least=1)
        real("learner.lr", self.lr, above=0)
        real("learner.weight_decay", self.weight_decay, least=0)
        real("learner.gamma", self.gamma, above=0)
        for name in ("momentum", "label_smoothing", "early_stopping_threshold"):
            real(f"learner.{name}", getattr(self, name), least=0, most=1)
        choice("learner.optimizer", self.optimizer, ["adam", "adamw", "sgd"])
        choice("learner.schedule", self.schedule, ["none", "step", "cosine"])
        stops = ["none", "train_accuracy", "validation"]
        choice("learner.early_stopping", self.early_stopping, stops)
        truth("learner.mixed_precision", self.mixed_precision)
        truth("learner.cuda_graphs", self.cuda_graphs)
        _check_augment(self.augment)

    def batches(self, n_samples: int) -> int:
        """Return the gradient steps of one pass over `n_samples`."""
        return math.ceil(n_samples / self.batch_size)

    def split(self, order: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
        """Return the batches of one pass in `order`: of `batch_size` or less, as even as can be.

        A last batch of the few that are left would end each pass with a step in no direction: of
        900 samples at 64, the last 4 cost half a point of accuracy.
        """
        return torch.tensor_split(order, self.batches(order.shape[dim]), dim)

    def total_steps(self, n_samples: int) -> int:
        """Return the gradient steps of the whole training on `n_samples`."""
        if self.steps is not None:
            return self.steps
        return max(self.epochs * self.batches(n_samples), self.min_steps)

    def scheduled_epoch(self, step: int, total: int) -> int:
        """Return how many of `epochs` are over after `step` gradient steps of `total`.

        Where `steps` or `min_steps` made the training longer or shorter than `epochs` passes,
        these stretch with it: 20 labels and 200 steps are 200 passes, after which a rate halved
        every 5 passes would have vanished.
        """
        return step * self.epochs // total

    def lr_at(self, step: int, total: int) -> float:
        """Return the learning rate of gradient step `step` (from 0) out of `total`."""
        if self.schedule == "step":
            return self.lr * self.gamma ** (self.scheduled_epoch(step, total) // self.step_size)
        if self.schedule == "cosine":
            return self.lr * (1 + math.cos(math.pi * step / total)) / 2
        return self.lr

    def augmentations(self, allowed: Sequence[str]) -> tuple[str, ...]:
        """Return names of augmentations; `allowed` are those that keep the class, for "auto"."""
        if isinstance(self.augment, str):
            return tuple(allowed) if self.augment == "auto" else ()
        return tuple(self.augment)

    def make_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of the weights that are not frozen."""
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        if not weights:
            raise LearnerError("the network has no weights to train")
        # One pass over all weights a step, instead of several for each.
        fused = all(weight.is_floating_point() for weight in weights)
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                weights,
                self.lr,
                momentum=self.momentum,
                weight_decay=self.weight_decay,
                fused=fused,
            )
        kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
        return kind(weights, self.lr, weight_decay=self.weight_decay, fused=fused)


def truth(name: str, value: object) -> bool:
    """Return `value` if it is true or false, or raise `ConfigError`."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value!r}")
    return value


def _check_augment(value: object) -> None:
    known = ", ".join(AUGMENTATIONS)
    if isinstance(value, str):
        fits = value in ("none", "auto")
    else:
        fits = isinstance(value, Iterable) and all(each in AUGMENTATIONS for each in value)
    if not fits:
        raise ConfigError(f"learner.augment must be none, auto or a list of {known}, got {value!r}")
