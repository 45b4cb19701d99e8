"""A tiny data set and a learner that fits in microseconds, for tests of the loop itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from activeloop.types import (
    Context,
    Data,
    Epoch,
    Head,
    HiddenLabels,
    History,
    Indices,
    Labels,
    Prediction,
    Samples,
)


class FakeSamples:
    """Vectors in memory."""

    def __init__(self, values: Tensor, prefix: str) -> None:
        self.values = values.float()
        self.keys: Sequence[str] = [f"{prefix}/{n}" for n in range(len(values))]
        self.shape = tuple(values.shape[1:])

    @property
    def fingerprint(self) -> str:
        return blake2b(self.values.numpy().tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.values)

    def raw(self, indices: Indices, device: torch.device) -> Tensor:
        return self.values[torch.from_numpy(np.array(indices))].to(device)

    def normalise(self, raw: Tensor) -> Tensor:
        return raw

    def batch(self, indices: Indices, device: torch.device) -> Tensor:
        return self.raw(indices, device)


def blobs(n: int = 90, classes: int = 3, seed: int = 0) -> tuple[Data, HiddenLabels]:
    """Return `n` points in `classes` overlapping clouds, and a test set of the same kind."""
    rng = np.random.default_rng(seed)
    centres = 2.0 * np.eye(classes, 4)

    def part(size: int) -> tuple[Tensor, Labels]:
        labels = np.arange(size) % classes
        return torch.from_numpy(centres[labels] + rng.normal(size=(size, 4))), labels

    pool, pool_labels = part(n)
    test, test_labels = part(60)
    data = Data(
        name="blobs",
        classes=tuple("abcdefgh"[:classes]),
        pool=FakeSamples(pool, "pool"),
        test=FakeSamples(test, "test"),
    )
    return data, HiddenLabels(pool=pool_labels, test=test_labels)


class CentroidLearner:
    """Softmax of the negative distance to noisy class means: its weights depend on its `rng`."""

    device = torch.device("cpu")

    def __init__(self, *, warm_start: bool = False) -> None:
        self.on_epoch: Callable[[Epoch], None] | None = None
        self.warm_start = warm_start
        self.centroids: Tensor | None = None
        self.fits = 0
        self.predicted: list[int] = []

    def fit(
        self, data: Data, indices: Indices, labels: Labels, rng: np.random.Generator
    ) -> History:
        x = data.pool.batch(indices, self.device)
        new = torch.from_numpy(0.1 * rng.normal(size=(data.n_classes, x.shape[1]))).float()
        for label in np.unique(labels):
            new[label] += x[torch.from_numpy(labels == label)].mean(dim=0)
        if self.warm_start and self.centroids is not None:
            new[: len(self.centroids)] += 0.5 * self.centroids
        self.centroids = new
        self.fits += 1
        epoch = Epoch(number=1, of=1, loss=0.5, accuracy=0.75)
        if self.on_epoch is not None:
            self.on_epoch(epoch)
        return History(epochs=(epoch,), steps=1)

    def predict(
        self,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        assert self.centroids is not None
        self.predicted.append(len(indices))
        x = samples.batch(indices, self.device)
        return Prediction(
            probs=self.head(x).softmax(dim=1),
            features=x if "features" in needs else None,
        )

    @property
    def head(self) -> Head:
        assert self.centroids is not None
        weight = self.centroids.clone()
        return lambda x: -(torch.cdist(x, weight) ** 2)

    def save(self, path: Path) -> bool:
        assert self.centroids is not None
        save_file({"centroids": self.centroids}, path)
        return True

    def load(self, path: Path, data: Data) -> bool:
        self.centroids = load_file(path)["centroids"]
        return True


def context(
    probs: object = None,
    *,
    k: int = 1,
    labelled: Sequence[int] = (),
    seed: int = 0,
    size: int | None = None,
    **fields: object,
) -> Context:
    """Return a context over `probs` `[N, C]`, of which `labelled` are labelled as class 0."""
    if probs is not None:
        probs = torch.as_tensor(probs, dtype=torch.float32)
        size, fields["n_classes"] = probs.shape
    assert size is not None
    return Context(
        k=k,
        rng=np.random.default_rng(seed),
        n_classes=int(fields.pop("n_classes", 2)),  # type: ignore[call-overload]
        round=1,
        labelled=np.array(labelled, np.int64),
        labels=np.zeros(len(labelled), np.int64),
        unlabelled=np.setdiff1d(np.arange(size), labelled),
        probs=probs,
        **fields,
    )
