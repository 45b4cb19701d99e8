"""The training loop of stacked networks: `activeloop.learners.training`, with `S` of everything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from activeloop.architecture import Network
from activeloop.errors import LearnerError
from activeloop.learners.augment import Augmentation
from activeloop.learners.chance import Chance
from activeloop.learners.draws import FromGenerators, noise
from activeloop.learners.recorded import Plain, Recorded, may_record, recordable, side_stream
from activeloop.learners.settings import Training
from activeloop.learners.stack import Noises, Stack, dropouts
from activeloop.learners.training import Examples, diverged
from activeloop.types import Epoch, History


class StackTraining:
    """Trains `S` networks of one architecture at once, each on its own samples by its own chance.

    Args:
        networks: as they start, on the device; they stay so until `hand_back`.
        examples: of each, all of one length, `L`.
        chances: where the random stream of each begins.
        settings: how to train; without early stopping.
        augment: augments the batch of one network; None: nothing is augmented.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        examples: Sequence[Examples],
        chances: Sequence[Chance],
        settings: Training,
        augment: Augmentation | None,
    ) -> None:
        self._networks, self._settings, self._augment = networks, settings, augment
        self._stack = Stack(networks)
        self._raw = torch.stack([each.raw for each in examples])
        self._labels = torch.stack([each.labels for each in examples])
        self._normalise = examples[0].normalise
        self._generators = [chance.generators() for chance in chances]
        self._device = self._labels.device
        self._rows = torch.arange(len(examples), device=self._device)[:, None]
        self._optimizer = settings.make_optimizer(nn.ParameterList(self._stack.weights.values()))
        # Shapes of the noise of dropout, by the length of a batch.
        self._dropouts: dict[int, list[tuple[Tensor, float]]] = {}
        self._sums = torch.zeros(2, len(networks), device=self._device)
        self._step: Plain | Recorded = Plain(self._optimizer)
        if may_record(settings, self._device) and recordable(networks[0].module):
            own = [each[self._device.type] for each in self._generators]
            self._step = Recorded(self._optimizer, self._device, own)

    def run(self, tell: Callable[[int, Epoch], None]) -> list[History | LearnerError]:
        """Train, and return what `training.train` returns or raises for each network.

        Args:
            tell: is told of each network's epochs, by its position.
        """
        with side_stream(self._device) if isinstance(self._step, Recorded) else nullcontext():
            return self._run(tell)

    def _run(self, tell: Callable[[int, Epoch], None]) -> list[History | LearnerError]:
        size, settings = self._labels.shape[1], self._settings
        total = settings.total_steps(size)
        of = math.ceil(total / settings.batches(size))
        results: dict[int, LearnerError] = {}
        epochs: list[list[Epoch]] = [[] for _ in self._networks]
        taken = 0
        for number in range(1, of + 1):
            batches = self._shuffled()[: total - taken]
            rates = [settings.lr_at(taken + each, total) for each in range(len(batches))]
            outcomes = self._run_epoch(batches, rates)
            taken += len(batches)
            for position, (loss, accuracy) in enumerate(outcomes):
                epoch = Epoch(number=number, of=of, loss=loss, accuracy=accuracy)
                epochs[position].append(epoch)
                if position in results:
                    continue  # it goes on for nothing, but in step with the others
                if math.isfinite(loss):
                    tell(position, epoch)
                else:
                    results[position] = diverged(f"the loss is {loss}", epoch, settings)
        for position, finite in enumerate(self._finite()):
            if not finite and position not in results:
                last = epochs[position][-1]
                results[position] = diverged("a weight is infinite or NaN", last, settings)
        return [
            results.get(position) or History(epochs=tuple(each), steps=taken)
            for position, each in enumerate(epochs)
        ]

    def hand_back(self, position: int) -> None:
        """Give the network in `position` the weights that it was trained to."""
        self._stack.hand_back(self._networks[position], position)

    def _shuffled(self) -> list[Tensor]:
        """Return the positions of an epoch's batches, `[S, n]` each."""
        size, device = self._labels.shape[1], self._device
        orders = [
            torch.randperm(size, device=device, generator=each[device.type])
            for each in self._generators
        ]
        return list(self._settings.split(torch.stack(orders), dim=1))

    def _run_epoch(
        self, batches: Sequence[Tensor], rates: Sequence[float]
    ) -> list[tuple[float, float]]:
        """Take a gradient step for each batch; return mean loss and accuracy of each network.

        Nothing is read from the device before the end.
        """
        self._sums.zero_()
        for chosen, rate in zip(batches, rates, strict=True):
            self._step(self._take, chosen, rate)
        seen = sum(batch.shape[1] for batch in batches)
        return list(zip(*(self._sums / seen).tolist(), strict=True))

    def _take(self, chosen: Tensor) -> None:
        bfloat16 = self._settings.mixed_precision and self._device.type == "cuda"
        smoothing = self._settings.label_smoothing
        labels = self._labels[self._rows, chosen]
        inputs = self._inputs(chosen)
        noises = self._noises(inputs[0])
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            logits = self._stack.train(inputs, noises)
        logits = logits.float()
        losses = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=smoothing
        ).view_as(labels)
        self._optimizer.zero_grad()
        # The sum: the gradient of each network is then that of its own mean loss.
        losses.mean(1).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()
        self._sums[0] += losses.detach().sum(1)
        self._sums[1] += (logits.detach().argmax(2) == labels).sum(1)

    def _inputs(self, chosen: Tensor) -> Tensor:
        """Return the batch of each network, `[S, n, *shape]`."""
        raw = self._raw[self._rows, chosen]
        if self._augment is not None:
            augmented = []
            for own, generators in zip(raw, self._generators, strict=True):
                with FromGenerators(generators):
                    augmented.append(self._augment(own))
            raw = torch.stack(augmented)
        return self._normalise(raw.flatten(0, 1)).reshape(raw.shape)

    def _noises(self, batch: Tensor) -> Noises:
        """Return the noise of each dropout, `[S, ...]`, on a batch such as this of one network."""
        if len(batch) not in self._dropouts:
            self._dropouts[len(batch)] = dropouts(self._networks[0], batch)
        drawn = [
            [noise(like, keep, each[like.device.type]) for each in self._generators]
            for like, keep in self._dropouts[len(batch)]
        ]
        return tuple(torch.stack(each) for each in drawn)

    def _finite(self) -> list[bool]:
        weights = self._stack.weights.values()
        finite = torch.stack([weight.isfinite().flatten(1).all(1) for weight in weights])
        return [bool(each) for each in finite.all(0).tolist()]
