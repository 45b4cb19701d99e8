"""The inputs that every side of the strategy benchmark gets, and how good what it returns is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from benchmarking import Floats, Mixture, softmax

import activeloop
from activeloop.types import Head

Space = Literal["features", "unit", "members"]
Array = npt.NDArray[Any]

LENET_FEATURES = 84
# Members come from dropping half of the features before the head: Monte Carlo dropout.
_DROPPED = 0.5
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A pool as a network sees it; kept in a folder, from which each process reads it."""

    features: Floats  # [N, D]
    probs: Floats  # [N, C]
    labels: Array  # [N]
    labelled: Array  # [L]
    head: Floats  # [C, D + 1]: weights and bias of the last layer

    def save(self, folder: Path) -> None:
        """Write each array to `folder`."""
        for name, array in vars(self).items():
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Inputs:
        """Read what `save` wrote."""
        return cls(**{name: np.load(folder / f"{name}.npy") for name in cls.__annotations__})


def from_mnist(pool: int, labelled: int, seed: int, root: Path, epochs: int = 30) -> Inputs:
    """Train LeNet-5 on `labelled` samples of MNIST, and predict `pool` of them."""
    size = None if pool == 60_000 else pool
    data, hidden = activeloop.load_data("mnist", root=str(root), download=False, pool_size=size)
    assert hidden.pool is not None
    rng = np.random.default_rng([seed, 2])
    chosen = np.sort(rng.choice(len(data.pool), labelled, replace=False))
    learner = activeloop.load_learner("torch", model="lenet5", epochs=epochs)
    learner.fit(data, chosen, hidden.pool[chosen], rng)
    found = learner.predict(data.pool, np.arange(len(data.pool)), frozenset(["probs", "features"]))
    assert found.features is not None
    assert learner.head is not None
    with torch.no_grad():
        bias = learner.head(torch.zeros(1, LENET_FEATURES))
        weights = learner.head(torch.eye(LENET_FEATURES)) - bias
    return Inputs(
        features=found.features.numpy(),
        probs=found.probs.numpy(),
        labels=hidden.pool,
        labelled=chosen,
        head=torch.cat([weights, bias]).T.contiguous().numpy(),
    )


def from_mixture(pool: int, features: int, classes: int, labelled: int, seed: int) -> Inputs:
    """Draw a Gaussian mixture."""
    mixture = Mixture(features, classes, seed)
    chunks = [mixture.chunk(n) for n in range(-(-pool // mixture.CHUNK))]
    rows, probs, labels = (np.concatenate(part)[:pool] for part in zip(*chunks, strict=True))
    rng = np.random.default_rng([seed, 2])
    return Inputs(
        features=rows,
        probs=probs,
        labels=labels.astype(np.int64),
        labelled=np.sort(rng.choice(pool, labelled, replace=False)),
        head=mixture.parameters()[2],
    )


def make_inputs(
    source: str, pool: int, features: int, classes: int, labelled: int, seed: int
) -> tuple[Inputs, str]:
    """Return the inputs and what they are, in words."""
    root = os.environ.get("ACTIVELOOP_TEST_DATA")
    fits = features == LENET_FEATURES and classes == 10 and pool <= 60_000
    if source == "mnist" and not (root and fits):
        raise SystemExit(
            "--inputs mnist needs ACTIVELOOP_TEST_DATA, a folder with MNIST/raw, and --features "
            f"{LENET_FEATURES}, --classes 10, --pool of at most 60000"
        )
    if source == "mnist" or (source == "auto" and root and fits):
        inputs = from_mnist(pool, labelled, seed, Path(str(root)))
        return inputs, f"MNIST as LeNet-5 sees it, trained on the {labelled:,} labelled samples"
    return from_mixture(pool, features, classes, labelled, seed), "a Gaussian mixture"


@dataclass(kw_only=True)
class Case:
    """What one side of one job is given. All arrays are float32 or int64, in rows.

    Attributes:
        k: how many picks.
        seed: of the benchmark; a run adds its number.
        features: `[N, D]`; of length 1 where the job compares directions.
        probs: `[N, C]`.
        labels: `[N]`; only those at `labelled` may be used.
        labelled: row numbers, ascending.
        unlabelled: the others.
        head: `[C, D + 1]`, weights and bias.
        members: `[M, N, C]` for jobs on members.
        numbers: what else the job fixes: `m`, `delta`, `gamma`, `configurations`.
    """

    k: int
    seed: int
    features: Floats
    probs: Floats
    labels: Array
    labelled: Array
    unlabelled: Array
    head: Floats
    members: Floats | None
    numbers: Mapping[str, float]

    @property
    def candidates(self) -> Floats:
        """The members' probabilities of what may be picked, `[M, U, C]`."""
        assert self.members is not None
        return np.ascontiguousarray(self.members[:, self.unlabelled])

    def nudge(self) -> None:
        """Change one number by a hair, so that nothing kept from an earlier run is met again."""
        self.features[self.labelled[:1], :1] *= 1 + 1e-5 * (1 + np.random.default_rng().random())

    def layer(self) -> Head:
        """Return the last layer as a module."""
        linear = torch.nn.Linear(self.head.shape[1] - 1, len(self.head))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(self.head[:, :-1]))
            linear.bias.copy_(torch.from_numpy(self.head[:, -1]))
        return linear


def make_case(
    inputs: Inputs,
    *,
    k: int,
    seed: int,
    space: Space,
    rows: int | None = None,
    members: int = 0,
    numbers: Mapping[str, float] | None = None,
) -> Case:
    """Return the case of a job on the first `rows` of the pool, all of them unless given."""
    size = min(rows or len(inputs.features), len(inputs.features))
    features = inputs.features[:size].copy()
    if space == "unit":
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        features /= np.maximum(lengths, 1e-12)
    labelled = inputs.labelled[inputs.labelled < size]
    unlabelled = np.setdiff1d(np.arange(size), labelled)
    return Case(
        k=min(k, len(unlabelled) // 2),
        seed=seed,
        features=features,
        probs=inputs.probs[:size].copy(),
        labels=inputs.labels[:size],
        labelled=labelled,
        unlabelled=unlabelled,
        head=inputs.head,
        members=dropped(inputs, size, members, seed) if members else None,
        numbers=dict(numbers or {}),
    )


def dropped(inputs: Inputs, rows: int, members: int, seed: int) -> Floats:
    """Return probabilities `[members, rows, C]` under dropout of the features."""
    rng = np.random.default_rng([seed, 3])
    kept = rng.random((members, inputs.features.shape[1])) >= _DROPPED
    masks = (kept / (1 - _DROPPED)).astype(np.float32)
    logits = [(inputs.features[:rows] * m) @ inputs.head[:, :-1].T for m in masks]
    return softmax(np.stack(logits) + inputs.head[:, -1])


def pure_radius(inputs: Inputs, seed: int, purity: float = 0.95, sample: int = 1000) -> float:
    """Return the largest radius at which `purity` of the balls around unit vectors are pure.

    A ball is pure where all that lies in it is of one class; pseudo-labels are the network's own.
    Measured on `sample` balls.
    """
    vectors = inputs.features / np.linalg.norm(inputs.features, axis=1, keepdims=True)
    label = inputs.probs.argmax(axis=1)
    rng = np.random.default_rng([seed, 4])
    centres = rng.choice(len(vectors), min(sample, len(vectors)), replace=False)
    alien = np.full(len(centres), np.inf)
    for start in range(0, len(vectors), _CHUNK):
        some = slice(start, start + _CHUNK)
        apart = squared(vectors[centres], vectors[some])
        apart[label[centres][:, None] == label[some]] = np.inf
        alien = np.minimum(alien, apart.min(axis=1))
    return float(np.quantile(np.sqrt(alien), 1 - purity))


# ---------------------------------------------------------------------------- objectives


def squared(x: Array, y: Array) -> Array:
    """Return squared Euclidean distances `[n, m]`, none below 0."""
    lengths = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)
    result: Array = np.maximum(lengths - 2 * x @ y.T, 0)
    return result


def _nearest_squared(points: Array, centres: Array) -> Array:
    """Return each point's squared distance to the nearest centre, in float64."""
    near = [
        squared(points[n : n + _CHUNK].astype(np.float64), centres.astype(np.float64)).min(axis=1)
        for n in range(0, len(points), _CHUNK)
    ]
    return np.concatenate(near)


def _chosen(case: Case, picks: Array) -> Array:
    return np.concatenate([case.labelled, picks])


def covering_radius(case: Case, picks: Array) -> float:
    """Largest distance of any sample to the nearest labelled or picked one."""
    return float(_nearest_squared(case.features, case.features[_chosen(case, picks)]).max() ** 0.5)


def centre_cost(case: Case, picks: Array) -> float:
    """Mean squared distance to the nearest pick."""
    return float(_nearest_squared(case.features, case.features[picks]).mean())


def gradient_potential(case: Case, picks: Array) -> float:
    """Sum of squared distances of the gradient embeddings to that of the nearest pick."""
    a = case.probs.astype(np.float64)
    a[np.arange(len(a)), a.argmax(axis=1)] -= 1
    h = case.features.astype(np.float64)
    own = (a**2).sum(axis=1) * (h**2).sum(axis=1)
    total = 0.0
    for start in range(0, len(case.unlabelled), _CHUNK):
        some = case.unlabelled[start : start + _CHUNK]
        apart = own[some, None] + own[picks] - 2 * (a[some] @ a[picks].T) * (h[some] @ h[picks].T)
        total += float(np.maximum(apart, 0).min(axis=1).sum())
    return total


def kernel_coverage(case: Case, picks: Array) -> float:
    """Mean over the pool of the kernel to the nearest labelled or picked sample."""
    near = _nearest_squared(case.features, case.features[_chosen(case, picks)])
    return float(np.exp(-case.numbers["gamma"] * near).mean())


def cosine_coverage(case: Case, picks: Array) -> float:
    """Mean over the pool of the cosine similarity to the nearest labelled or picked sample."""
    near = _nearest_squared(case.features, case.features[_chosen(case, picks)])
    return float((1 - near / 2).mean())


def covered_share(case: Case, picks: Array) -> float:
    """Share of the pool that lies in a ball around a labelled or picked sample."""
    near = _nearest_squared(case.features, case.features[_chosen(case, picks)])
    return float((near <= case.numbers["delta"] ** 2).mean())


def typicality(case: Case, picks: Array) -> float:
    """Mean over the picks of 1 / mean distance to the 20 nearest samples of the pool."""
    rows = case.features.astype(np.float64)
    apart = np.sqrt(squared(rows[picks], rows))
    apart[np.arange(len(picks)), picks] = np.inf
    width = min(20, len(rows) - 1)
    return float((1 / np.partition(apart, width - 1, axis=1)[:, :width].mean(axis=1)).mean())


def recall(case: Case, found: Array, sample: int = 2000) -> float:
    """Share of the m nearest of each of `sample` rows that were found, against float64."""
    rows = case.features.astype(np.float64)
    some = np.random.default_rng(case.seed).choice(len(rows), min(sample, len(rows)), replace=False)
    hits = 0
    for start in range(0, len(some), 256):
        part = some[start : start + 256]
        apart = np.sqrt(squared(rows[part], rows))
        apart[np.arange(len(part)), part] = np.inf
        farthest = np.partition(apart, found.shape[1] - 1, axis=1)[:, found.shape[1] - 1]
        got = np.where(found[part] >= 0, np.take_along_axis(apart, found[part], axis=1), np.inf)
        # Equal distances may come in any order: whoever is as near as the last one counts.
        hits += int((got <= farthest[:, None] + 1e-6).sum())
    return float(hits / (len(some) * found.shape[1]))


def entropies(probs: Array) -> Array:
    """Return the entropy along the last axis, in nats."""
    logs = np.log(np.where(probs > 0, probs, 1))
    result: Array = -(probs * logs).sum(axis=-1)
    return result


def mean_entropy(case: Case, picks: Array) -> float:
    """Mean entropy of the picks."""
    return float(entropies(case.probs[picks].astype(np.float64)).mean())


def mean_margin(case: Case, picks: Array) -> float:
    """Mean gap between the two likeliest classes of the picks."""
    top = np.sort(case.probs[picks], axis=1)
    return float((top[:, -1] - top[:, -2]).mean())


def mean_information(case: Case, picks: Array) -> float:
    """Mean mutual information (BALD) of the picks."""
    assert case.members is not None
    p = case.members[:, picks].astype(np.float64)
    return float((entropies(p.mean(axis=0)) - entropies(p).mean(axis=0)).mean())


def joint_information(case: Case, picks: Array, draws: int = 200_000) -> float:
    """Mutual information of the picks' labels together and the member, by sampling."""
    assert case.members is not None
    p = case.members[:, picks].astype(np.float64)
    rng = np.random.default_rng(case.seed)
    member = rng.integers(len(p), size=draws)
    joint = np.ones((draws, len(p)))
    for one in range(len(picks)):
        bounds = p[:, one].cumsum(axis=1)[member]
        label = (rng.random((draws, 1)) * bounds[:, -1:] > bounds).sum(axis=1)
        joint *= p[:, one, label.clip(max=p.shape[2] - 1)].T
    return float(-np.log(joint.mean(axis=1)).mean() - entropies(p).mean(axis=0).sum())


def mean_contrast(case: Case, picks: Array, k: int = 10) -> float:
    """Mean over the picks of KL(neighbour || pick), over their 10 nearest labelled samples."""
    apart = squared(case.features[picks], case.features[case.labelled])
    near = case.labelled[np.argsort(apart, axis=1)[:, :k]]
    theirs = np.maximum(case.probs[near].astype(np.float64), 1e-12)
    own = np.maximum(case.probs[picks].astype(np.float64), 1e-12)[:, None]
    return float((theirs * np.log(theirs / own)).sum(axis=2).mean())


OBJECTIVES: Mapping[str, tuple[Callable[[Case, Array], float], str]] = {
    "covering radius": (covering_radius, "lower"),
    "cost to the picks": (centre_cost, "lower"),
    "k-means++ potential": (gradient_potential, "lower"),
    "kernel coverage": (kernel_coverage, "higher"),
    "cosine coverage": (cosine_coverage, "higher"),
    "covered share": (covered_share, "higher"),
    "mean typicality": (typicality, "higher"),
    "recall": (recall, "higher"),
    "mean entropy": (mean_entropy, "higher"),
    "mean margin": (mean_margin, "lower"),
    "mean BALD": (mean_information, "higher"),
    "joint information": (joint_information, "higher"),
    "mean divergence": (mean_contrast, "higher"),
}
