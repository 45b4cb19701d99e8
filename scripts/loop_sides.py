"""One active-learning loop on MNIST, as each library does it by its documented calls.

Every side starts from the same 100 labels, trains the same network from scratch each round with the
same optimizer, epochs and batch size, predicts all that is left of the pool, asks for the 100 of
the highest entropy, and predicts the test set. A side is a function of the job and of a clock that
says what the time is spent on; it returns the accuracy of each round. Libraries are imported by
name, so that those that are not installed are only missing from the table.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

import activeloop
from activeloop import Initial
from activeloop.models import load_model

Array = npt.NDArray[Any]
PACKAGES = ("modAL-python", "scikit-activeml", "baal", "skorch")

SHAPE, CLASSES = (1, 28, 28), 10
MEAN, STD = 0.1307, 0.3081
# Where a side may choose: larger batches leave the processor's cache.
EVAL_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every side does.

    Attributes:
        root: folder that holds MNIST/raw.
        model: network by name, see `activeloop.models`.
        labels: labels in all.
        query: labels a round, and at the start.
        epochs: of each training.
        batch: samples a gradient step.
        rate: Adam's learning rate.
        seed: of the initial labels and of the weights.
    """

    root: str
    model: str = "cnn"
    labels: int = 1000
    query: int = 100
    epochs: int = 20
    batch: int = 64
    rate: float = 1e-3
    seed: int = 0

    @property
    def rounds(self) -> int:
        """How many trainings there are."""
        return self.labels // self.query

    def start(self, pool: int) -> Array:
        """Return the initial indices."""
        return np.random.default_rng(self.seed).choice(pool, self.query, replace=False)

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        return load_model(self.model).build(SHAPE, CLASSES).module


@dataclass
class Clock:
    """Sums up the seconds of each part of a loop."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what is done inside as `part`."""
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start


Side = Callable[[Job, Clock], list[float]]
SIDES: dict[str, Side] = {}
_IMPORTED: dict[str, tuple[str, ...]] = {}


def side(name: str, *imported: str) -> Callable[[Side], Side]:
    """Register a function as `name`'s way, and what it imports, which is not timed."""

    def register(function: Side) -> Side:
        SIDES[name], _IMPORTED[name] = function, imported
        return function

    return register


def prepare(name: str) -> None:
    """Import all that a side needs."""
    for module in ("torchvision.datasets", *_IMPORTED[name]):
        import_module(module)


@side("activeloop", "activeloop.learners", "activeloop.strategies", "activeloop.data")
def _(job: Job, clock: Clock) -> list[float]:
    """ActiveLoop(...).run(oracle), with everything a run leaves on disk but its directory."""
    data, hidden = activeloop.load_data("mnist", root=job.root, download=False)
    assert hidden.pool is not None
    start = {int(index): int(hidden.pool[index]) for index in job.start(len(data.pool))}
    loop = activeloop.ActiveLoop(
        data,
        activeloop.load_learner(
            "torch",
            model=job.model,
            epochs=job.epochs,
            batch_size=job.batch,
            lr=job.rate,
            min_steps=0,
        ),
        activeloop.load_strategy("entropy"),
        test_labels=hidden.test,
        initial=Initial(size=len(start), labels=start),
        query_size=job.query,
        budget=job.labels,
        stop_set=0,  # no other side compares its networks
        seed=job.seed,
    )
    rounds = loop.run(activeloop.SimulatedOracle(hidden.pool))
    for part in ("train", "predict", "select", "test"):
        clock.seconds[part] = sum(each.metrics[f"{part}_seconds"] for each in rounds)
    return [each.metrics["accuracy"] for each in rounds]


@side("modAL + skorch", "modAL.models", "modAL.uncertainty", "skorch")
def _(job: Job, clock: Clock) -> list[float]:
    """ActiveLearner(NeuralNetClassifier(...), entropy_sampling): query, teach, score"""
    models, uncertainty = import_module("modAL.models"), import_module("modAL.uncertainty")
    _mend_modal()
    (x, y), (test_x, test_y) = _arrays(job)
    rest = np.ones(len(x), bool)
    start = job.start(len(x))
    rest[start] = False
    with clock("train"):
        learner = models.ActiveLearner(
            estimator=_skorch(job),
            query_strategy=uncertainty.entropy_sampling,
            X_training=x[start],
            y_training=y[start],
        )
    accuracies = []
    for number in range(job.rounds):
        if number:
            left = np.flatnonzero(rest)
            pool = x[left]
            with clock("predict"):
                picks, _ = learner.query(pool, n_instances=job.query)
            chosen = left[picks]
            rest[chosen] = False
            with clock("train"):
                learner.teach(x[chosen], y[chosen])
        with clock("test"):
            accuracies.append(float(learner.score(test_x, test_y)))
    return accuracies


@side("scikit-activeml + skorch", "skactiveml.pool", "skactiveml.classifier", "skorch")
def _(job: Job, clock: Clock) -> list[float]:
    """UncertaintySampling("entropy").query(X, y, SkorchClassifier(...)), fit, score"""
    pool, classifier = import_module("skactiveml.pool"), import_module("skactiveml.classifier")
    (x, y), (test_x, test_y) = _arrays(job)
    known = np.full(len(x), np.nan)
    start = job.start(len(x))
    known[start] = y[start]
    ours = {"max_epochs": job.epochs, "lr": job.rate, "train_split": None, "verbose": 0}
    loader = {
        "batch_size": job.batch,
        "optimizer": torch.optim.Adam,
        "iterator_train__shuffle": True,
        "iterator_valid__batch_size": EVAL_BATCH,
    }
    network = classifier.SkorchClassifier(
        module=Module,
        criterion=nn.CrossEntropyLoss,
        forward_outputs={"proba": (0, nn.Softmax(dim=-1))},
        classes=list(range(CLASSES)),
        missing_label=np.nan,
        random_state=job.seed,
        neural_net_param_dict={**ours, **loader, "module__name": job.model},
    )
    strategy = pool.UncertaintySampling(method="entropy", random_state=job.seed)
    accuracies = []
    for number in range(job.rounds):
        if number:
            with clock("predict"):
                picks = strategy.query(
                    X=x, y=known, clf=network, fit_clf=False, batch_size=job.query
                )
            known[picks] = y[picks]
        with clock("train"):
            network.fit(x, known)
        with clock("test"):
            accuracies.append(float(network.score(test_x, test_y)))
    return accuracies


@side("Baal", "baal.active", "baal.active.heuristics", "baal.modelwrapper")
def _(job: Job, clock: Clock) -> list[float]:
    """ActiveLearningDataset, ModelWrapper, ActiveLearningLoop(..., Entropy()).step()"""
    active = import_module("baal.active")
    heuristics = import_module("baal.active.heuristics")
    wrapper = import_module("baal.modelwrapper")
    train, test = _torchvision(job)
    dataset = active.ActiveLearningDataset(train)
    start = job.start(len(train))
    dataset.label(start.tolist())
    torch.manual_seed(job.seed)
    module = job.network()
    fresh = {name: value.clone() for name, value in module.state_dict().items()}
    arguments = wrapper.TrainingArgs(
        criterion=nn.CrossEntropyLoss(), batch_size=job.batch, epoch=job.epochs, workers=0
    )
    model = wrapper.ModelWrapper(module, arguments)

    def predict(pool: Any) -> Any:
        arguments.batch_size = EVAL_BATCH
        with clock("predict"):
            return model.predict_on_dataset(pool, iterations=1, verbose=False)

    loop = active.ActiveLearningLoop(dataset, predict, heuristics.Entropy(), query_size=job.query)
    accuracies = []
    for number in range(job.rounds):
        if number:
            with clock("select"):
                loop.step()
        module.load_state_dict(fresh)
        arguments.optimizer = torch.optim.Adam(module.parameters(), lr=job.rate)
        arguments.batch_size = job.batch
        with clock("train"):
            model.train_on_dataset(dataset)
        arguments.batch_size = EVAL_BATCH
        with clock("test"):
            found = model.predict_on_dataset(test, iterations=1, verbose=False)
        accuracies.append(float((found[..., 0].argmax(1) == test.targets.numpy()).mean()))
    clock.seconds["select"] -= clock.seconds["predict"]
    return accuracies


@side("DataLoader loop")
def _(job: Job, clock: Clock) -> list[float]:
    """torchvision's MNIST behind DataLoaders, as tutorials train and predict, by us"""
    train, test = _torchvision(job)
    chosen = job.start(len(train)).tolist()
    accuracies = []
    module = job.network()
    for number in range(job.rounds):
        if number:
            rest = np.setdiff1d(np.arange(len(train)), chosen)
            with clock("predict"):
                logits = _logits(module, Subset(train, rest.tolist()))
            with clock("select"):
                log = logits.log_softmax(1)
                entropy = -(log.exp() * log).sum(1)
                chosen += rest[entropy.topk(job.query).indices.numpy()].tolist()
        torch.manual_seed(job.seed)
        module = job.network()
        with clock("train"):
            _train(module, Subset(train, chosen), job)
        with clock("test"):
            found = _logits(module, test).argmax(1)
        accuracies.append(float((found == test.targets).float().mean()))
    return accuracies


class Module(nn.Module):
    """The network for flat rows, as libraries built on scikit-learn's arrays want it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = load_model(name).build(SHAPE, CLASSES).module

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.network(x.reshape(-1, *SHAPE))
        return logits


def _skorch(job: Job) -> Any:
    """Return the classifier that modAL's own examples use."""
    torch.manual_seed(job.seed)
    return import_module("skorch").NeuralNetClassifier(
        Module,
        module__name=job.model,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=job.rate,
        max_epochs=job.epochs,
        batch_size=job.batch,
        iterator_train__shuffle=True,
        iterator_valid__batch_size=EVAL_BATCH,
        train_split=None,
        verbose=0,
        device="cpu",
    )


def _mend_modal() -> None:
    """Let modAL 0.4.2 run with scikit-learn 1.8 and later, which renamed one keyword."""
    learners: Any = import_module("modAL.models.learners")
    check = import_module("sklearn.utils").check_X_y

    def check_x_y(*arrays: Any, force_all_finite: bool = True, **options: Any) -> Any:
        return check(*arrays, ensure_all_finite=force_all_finite, **options)

    learners.check_X_y = check_x_y


def _arrays(job: Job) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return training and test images as normalised float32 rows, and labels."""
    parts = []
    for dataset in _torchvision(job):
        x = (dataset.data.numpy().astype(np.float32) / 255 - MEAN) / STD
        parts.append((x.reshape(len(x), -1).astype(np.float32), dataset.targets.numpy()))
    return parts[0], parts[1]


def _torchvision(job: Job) -> tuple[Any, Any]:
    from torchvision import datasets, transforms

    prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    train, test = (
        datasets.MNIST(job.root, train=train, transform=prepare) for train in (True, False)
    )
    return train, test


def _train(module: nn.Module, dataset: Dataset[Any], job: Job) -> None:
    optimizer = torch.optim.Adam(module.parameters(), lr=job.rate)
    loader = DataLoader(dataset, batch_size=job.batch, shuffle=True)
    module.train()
    for _ in range(job.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _logits(module: nn.Module, dataset: Dataset[Any]) -> Tensor:
    module.eval()
    with torch.no_grad():
        return torch.cat([module(x) for x, _ in DataLoader(dataset, batch_size=EVAL_BATCH)])
