"""A network trained with torch, as a learner."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from activeloop.architecture import Architecture, Network
from activeloop.checks import choice, whole
from activeloop.distributed import ALONE, Ranks
from activeloop.errors import MEMBERS_ADVICE, ConfigError, LearnerError
from activeloop.learners.augment import Augmentation, augmenter
from activeloop.learners.chance import Chance, find_device, repeatable, seeded
from activeloop.learners.inference import DropoutMasks, Predictor, dropout_layers
from activeloop.learners.labels import check_labels
from activeloop.learners.layout import eval_batch, prefer_channels_last
from activeloop.learners.settings import Training, truth
from activeloop.learners.stacked import Stacked
from activeloop.learners.threads import InThreads
from activeloop.learners.training import Examples, train
from activeloop.learners.weights import read_metadata, read_weights, write_weights
from activeloop.types import (
    Data,
    Epoch,
    Head,
    History,
    Indices,
    Labels,
    Prediction,
    Samples,
    Together,
)

log = logging.getLogger(__name__)

VERIFIED_ON = 8  # samples on which the head is compared with the whole network


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit leaves: everything that predictions come from.

    Attributes:
        networks: one, or the members of an ensemble.
        shape: shape of one sample.
        n_classes: number of classes, `C`.
        mask_seed: where Monte Carlo dropout draws its masks from.
        predict: predicts with the networks.
    """

    networks: tuple[Network, ...]
    shape: tuple[int, ...]
    n_classes: int
    mask_seed: int
    predict: Predictor


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitting:
    """A fit that is about to train.

    Attributes:
        data: what is fitted on.
        examples: the labelled samples.
        validation: those that early stopping looks at, if it does.
        augment: augments batches.
        networks: one, or the members of an ensemble, with the weights that they start from.
        chances: where the random stream of each network's training begins.
        mask_seed: where Monte Carlo dropout draws its masks from.
    """

    data: Data
    examples: Examples
    validation: Examples | None
    augment: Augmentation
    networks: tuple[Network, ...]
    chances: tuple[Chance, ...]
    mask_seed: int


class TorchLearner:
    """Trains a network on the labelled samples, which stay on the device from start to end.

    All chance comes from the `rng` given to `fit`: the same one gives the same weights, bit for
    bit on a CPU, and torch's global generators are as before. On a GPU cuDNN is told to repeat
    itself; an operation that torch itself cannot repeat there may differ in the last bits. The
    initial weights are drawn first, so they do not depend on what is labelled.

    Args:
        model: the network to build.
        epochs: passes over the labelled samples.
        steps: gradient steps in all, instead of `epochs`.
        min_steps: least gradient steps in all, for few labels: 20 at `batch_size=64` make one
            step an epoch. Early stopping may still end a training sooner.
        batch_size: samples a gradient step, at most: the batches of an epoch are as even as can
            be. For a batch of one, batch normalisation keeps its running statistics.
        optimizer: "adam", "adamw" or "sgd".
        lr: learning rate at the start.
        momentum: of "sgd".
        weight_decay: L2 penalty; decoupled with "adamw".
        schedule: of the learning rate: "none"; "step", times `gamma` every `step_size` epochs;
            "cosine" to zero over all steps.
        step_size: epochs between two reductions. Here and in `early_stopping_patience` an epoch
            is a share of 1 / `epochs` of all steps: one pass, unless `steps` or `min_steps` made
            the training longer or shorter.
        gamma: factor of a reduction.
        label_smoothing: share of the target that is spread over all classes, 0 to 1.
        augment: "none", "auto" for what keeps the class in this data set, or a list of "crop"
            and "flip".
        early_stopping: "none"; "train_accuracy", at an epoch whose running accuracy reaches
            `early_stopping_threshold`; "validation", after `early_stopping_patience` epochs
            without a lower validation loss, back to the best weights.
        early_stopping_threshold: accuracy, 0 to 1.
        early_stopping_patience: epochs.
        mixed_precision: train in bfloat16 on a GPU. Predictions stay in float32, for a rounded
            probability ties with its neighbours.
        cuda_graphs: on a GPU, record a gradient step of a network of torch's and torchvision's own
            layers once, and start it as a whole from then on. Off until it is measured there.
        device: "auto", "cpu", "cuda" or "cuda:<number>".
        warm_start: go on from the last fit's weights; the optimizer always starts afresh.
        members: where stochastic predictions come from: "none"; "mc_dropout"; "ensemble", which
            trains `n_members` networks and averages them.
        n_members: number of passes or networks, `M`.
        eval_batch_size: samples a prediction step; None: as many as keep the largest layer's input
            within 64 MiB on a CPU and 1 GiB on a GPU.

    Attributes:
        ranks: the processes that share its work: each then takes a part of every batch.

    Raises:
        ConfigError: a setting has no meaning, or there is no such device.
    """

    def __init__(
        self,
        model: Architecture,
        *,
        epochs: int = 20,
        steps: int | None = None,
        min_steps: int = 200,
        batch_size: int = 64,
        optimizer: str = "adam",
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: str = "none",
        step_size: int = 5,
        gamma: float = 0.5,
        label_smoothing: float = 0.0,
        augment: str | Sequence[str] = "none",
        early_stopping: str = "none",
        early_stopping_threshold: float = 0.99,
        early_stopping_patience: int = 5,
        mixed_precision: bool = False,
        cuda_graphs: bool = False,
        device: str | torch.device = "auto",
        warm_start: bool = False,
        members: str = "none",
        n_members: int = 10,
        eval_batch_size: int | None = None,
    ) -> None:
        if not isinstance(model, Architecture):
            raise ConfigError(
                f"learner.model must be an Architecture, got {type(model).__name__}; "
                "make one with load_model(name) or Architecture(factory)"
            )
        self.model = model
        self.training = Training(
            epochs=epochs,
            steps=steps,
            min_steps=min_steps,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            schedule=schedule,
            step_size=step_size,
            gamma=gamma,
            label_smoothing=label_smoothing,
            augment=augment,
            early_stopping=early_stopping,
            early_stopping_threshold=early_stopping_threshold,
            early_stopping_patience=early_stopping_patience,
            mixed_precision=mixed_precision,
            cuda_graphs=cuda_graphs,
        )
        self.device = find_device(device)
        self.warm_start = truth("learner.warm_start", warm_start)
        self.members = choice("learner.members", members, ["none", "mc_dropout", "ensemble"])
        self.n_members = whole("learner.n_members", n_members, least=1)
        self.eval_batch_size = (
            None
            if eval_batch_size is None
            else whole("learner.eval_batch_size", eval_batch_size, least=1)
        )
        self.on_epoch: Callable[[Epoch], None] | None = None
        self.ranks: Ranks = ALONE
        self._fitted: Fitted | None = None

    @property
    def offers(self) -> frozenset[str]:
        """What predictions can hold with these settings."""
        members = ["members"] if self.members != "none" else []
        return frozenset(["probs", "features", "head", *members])

    @property
    def head(self) -> Head | None:
        """The last layer on a copy of its weights, features `[n, D]` to logits `[n, C]`.

        None before the first fit, and where the features are not what the last layer takes.
        """
        return None if self._fitted is None else self._fitted.networks[0].head()

    def fit(
        self, data: Data, indices: Indices, labels: Labels, rng: np.random.Generator
    ) -> History:
        """Train on the pool's samples `indices` `[L]` with `labels` `[L]`.

        Raises:
            LearnerError: the network cannot take the samples, a label is no class, or training
                diverged.
        """
        return self.finish(self.begin(data, indices, labels, rng))

    def finish(self, fitting: Fitting) -> History:
        """Train what `begin` returned, as the rest of `fit`."""
        histories = []
        for member, chance in enumerate(fitting.chances):
            with chance.resumed():
                histories.append(self.train(fitting, member))
        return self.end(fitting, histories)

    def begin(
        self, data: Data, indices: Indices, labels: Labels, rng: np.random.Generator
    ) -> Fitting:
        """Return the fit with these arguments, all but its training; raises what `fit` does."""
        check_labels(indices, labels, data)
        mask_seed, *seeds = map(int, rng.integers(2**63 - 1, size=1 + self._n_networks))
        before, self._fitted = self._reusable(data), None
        examples = Examples.fetch(data.pool, indices, labels, self.device)
        networks, chances = [], []
        for member, seed in enumerate(seeds):
            with seeded(seed, self.device):
                networks.append(before[member] if before else self._build(data))
                chances.append(Chance.now(self.device))
        names = self.training.augmentations(data.augmentations)
        return Fitting(
            data=data,
            examples=examples,
            validation=self._validation(data),
            augment=augmenter(names, data.shape),
            networks=tuple(networks),
            chances=tuple(chances),
            mask_seed=mask_seed,
        )

    def train(
        self,
        fitting: Fitting,
        member: int,
        tell: Callable[[Epoch, int], None] | None = None,
    ) -> History:
        """Train network `member`, with chance from torch's generators as they are.

        Epochs are told to `tell`, or else to the method of that name.
        """
        tell = tell or self.tell
        with repeatable(self.device):
            return train(
                fitting.networks[member].module,
                fitting.examples,
                self.training,
                augment=fitting.augment,
                validation=fitting.validation,
                on_epoch=lambda epoch: tell(epoch, member),
                ranks=self.ranks,
            )

    def tell(self, epoch: Epoch, member: int) -> None:
        """Pass on that an epoch of `member` is over; members in a row count as one training."""
        if self.on_epoch is not None:
            number = member * epoch.of + epoch.number
            self.on_epoch(replace(epoch, number=number, of=epoch.of * self._n_networks))

    def end(self, fitting: Fitting, histories: Sequence[History]) -> History:
        """Keep the trained networks; return the `histories` of all members as one."""
        self._keep(fitting.networks, fitting.data, fitting.mask_seed)
        return History(
            epochs=tuple(epoch for history in histories for epoch in history.epochs),
            steps=sum(history.steps for history in histories),
        )

    def predict(
        self,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Predict `samples[indices]`: probabilities, and features and members if `needs` says so.

        Raises:
            LearnerError: nothing was fitted, there are no members, or `out` does not fit.
        """
        with repeatable(self.device):
            return self.predictor(needs)(samples, indices, needs, out)

    def predictor(self, needs: frozenset[str]) -> Predictor:
        """Return what predicts, which can give what `needs` names; raises what `predict` does."""
        fitted = self._require_fitted()
        if "members" in needs and self.members == "none":
            raise LearnerError(f"this strategy needs members: {MEMBERS_ADVICE}")
        return fitted.predict

    def help_predict(self, samples: Samples, indices: Indices, needs: frozenset[str]) -> None:
        """Do this rank's share of a prediction that rank 0 makes with the same arguments."""
        with repeatable(self.device):
            self._require_fitted().predict.help(samples, indices, needs)

    def save(self, path: Path) -> bool:
        """Write weights and all that `predict` needs to `path`, as safetensors.

        Returns:
            False where the network keeps a state that is not a tensor.
        """
        fitted = self._require_fitted()
        metadata = {
            "model": self.model.name,
            "shape": json.dumps(fitted.shape),
            "n_classes": str(fitted.n_classes),
            "n_networks": str(len(fitted.networks)),
            "mask_seed": str(fitted.mask_seed),
        }
        return write_weights(path, [network.module for network in fitted.networks], metadata)

    def load(self, path: Path, data: Data) -> bool:
        """Read what `save` wrote; False if there is no such file.

        Raises:
            LearnerError: the file is damaged, or of another network or data set.
        """
        if not path.is_file():
            return False
        metadata = read_metadata(path)
        here = {
            "model": self.model.name,
            "shape": json.dumps(data.shape),
            "n_classes": str(data.n_classes),
            "n_networks": str(self._n_networks),
        }
        for name, value in here.items():
            if metadata.get(name) != value:
                raise LearnerError(
                    f"{path} does not fit: {name} is {metadata.get(name)} there and {value} here"
                )
        with seeded(0, self.device):
            networks = [self._build(data) for _ in range(self._n_networks)]
        read_weights(path, [network.module for network in networks])
        self._keep(networks, data, int(metadata["mask_seed"]))
        return True

    @staticmethod
    def together(learners: Sequence[TorchLearner]) -> Together:
        """Return what trains `learners`, made alike, at once: in threads, or stacked on a GPU."""
        on_gpu = learners[0].device.type == "cuda"
        return Stacked(learners) if on_gpu else InThreads(learners)

    @property
    def _n_networks(self) -> int:
        return self.n_members if self.members == "ensemble" else 1

    def _build(self, data: Data) -> Network:
        network = self.model.build(data.shape, data.n_classes)
        if self.members == "mc_dropout":
            dropout_layers(network.module)  # says so before training if there are none
        network.module.to(self.device)
        if len(data.shape) == 3:
            prefer_channels_last(network.module, data.shape, self.device)
        return network

    def _reusable(self, data: Data) -> tuple[Network, ...]:
        """Return the last fit's networks if they are to be trained on; classes may have come."""
        fitted = self._fitted
        if not self.warm_start or fitted is None:
            return ()
        if (fitted.shape, fitted.n_classes) != (data.shape, data.n_classes):
            log.warning("the classes or the samples' shape changed: weights start afresh")
            return ()
        return fitted.networks

    def _validation(self, data: Data) -> Examples | None:
        if data.validation is None or self.training.early_stopping != "validation":
            return None
        known = data.validation
        everything = np.arange(len(known.samples))
        return Examples.fetch(known.samples, everything, known.labels, self.device)

    def _keep(self, networks: Sequence[Network], data: Data, mask_seed: int) -> None:
        first, masks = networks[0], None
        first.module.eval()
        few = np.arange(min(VERIFIED_ON, len(data.pool)))
        first.verify_head(data.pool.batch(few, self.device))
        if self.members == "mc_dropout":
            masks = DropoutMasks(first.module, mask_seed, self.n_members)
        self._fitted = Fitted(
            networks=tuple(networks),
            shape=data.shape,
            n_classes=data.n_classes,
            mask_seed=mask_seed,
            predict=Predictor(
                networks,
                n_classes=data.n_classes,
                device=self.device,
                batch_size=self.eval_batch_size or eval_batch(first, self.device),
                masks=masks,
                ranks=self.ranks,
            ),
        )

    def _require_fitted(self) -> Fitted:
        if self._fitted is None:
            raise LearnerError("the learner has nothing to predict with: call fit or load first")
        return self._fitted
