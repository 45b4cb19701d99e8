"""Every contract between the rooms of activeloop, in one file.

`N` samples in the pool, `L` of them labelled, `U` unlabelled, `C` classes, `D` features,
`E` embedding dimensions, `M` members, `k` samples to pick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from activeloop.memory import default_limit

if TYPE_CHECKING:  # what reads runs need not wait for torch
    from torch import Tensor, device

Indices = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Head = Callable[["Tensor"], "Tensor"]
Need = Literal["probs", "features", "members", "head", "neighbors", "embeddings"]
NEEDS: Final[frozenset[str]] = frozenset(
    ["probs", "features", "members", "head", "neighbors", "embeddings"]
)


class Skip(Enum):
    """The answer of an oracle that gives a sample no class; it is not asked for again."""

    SKIP = "skip"  # it cannot or will not label it
    NONE = "none"  # none of the classes fits


SKIP: Final = Skip.SKIP
NONE_OF_THESE: Final = Skip.NONE
Answer = int | Skip


# ---------------------------------------------------------------------------- data


@runtime_checkable
class Samples(Protocol):
    """Samples known by their index, without labels."""

    @property
    def keys(self) -> Sequence[str]:
        """A stable, unique name for each sample, `[n]`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: `(channels, height, width)` of an image, `(D,)` of a vector."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of the samples, their keys and their normalisation."""

    def __len__(self) -> int: ...

    def raw(self, indices: Indices, device: device) -> Tensor:
        """Return samples as they are stored (uint8 images, float32 vectors), `[n, *shape]`."""

    def normalise(self, raw: Tensor) -> Tensor:
        """Return `raw` as normalised float32 on the device that it is on, `[n, *shape]`."""

    def batch(self, indices: Indices, device: device) -> Tensor:
        """Return normalised float32 samples, `[n, *shape]`."""


@dataclass(frozen=True, kw_only=True)
class LabelledSamples:
    """Samples whose labels are known to the learner: a validation set, paid for in labels."""

    samples: Samples
    labels: Labels


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """What made vectors of images, where learners get vectors in place of the images.

    Attributes:
        by: "backbone" or "pca"; anything else cannot be done again for other images.
        settings: what it was made with, plain.
        tensors: what else it is made of, by name.
        mean: what normalising subtracts from a vector, `[E]`.
        scale: what it divides by.
    """

    by: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    mean: tuple[float, ...]
    scale: float


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image file becomes a sample: what predicting others takes when the data are gone.

    Attributes:
        shape: of an image as it is decoded to 8 bits: 1 or 3 channels, height, width.
        mean: what normalising subtracts, pixels in [0, 1], for each channel.
        std: what it divides by.
        files: whether the samples were decoded from image files themselves.
        embedding: what makes vectors of the images; None where learners get the images.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    files: bool
    embedding: Embedding | None = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """What learners and the loop see of a data set. The labels of pool and test are not here.

    Attributes:
        name: the data set's name.
        classes: class names, `[C]`; a label is a position in this tuple.
        pool: all samples that may be asked for, `N` of them.
        test: samples for evaluation; None where there are none.
        validation: labelled samples that a learner may use; reports state how many beside the
            label counts, which do not have them in them.
        embeddings: fixed features of the pool, `[N, E]` float32 on the CPU; None without `embed`.
        augmentations: the augmentations that keep the class of these samples: "crop", "flip".
        root: folder of image files, in which the keys of the pool are paths; None where samples
            are no files.
        preprocessing: how an image file becomes such a sample; None where none does.
    """

    name: str
    classes: tuple[str, ...]
    pool: Samples
    test: Samples | None = None
    validation: LabelledSamples | None = None
    embeddings: Tensor | None = None
    augmentations: tuple[str, ...] = ()
    root: Path | None = None
    preprocessing: Preprocessing | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes, `C`."""
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.pool.shape

    @property
    def fingerprints(self) -> dict[str, str]:
        """Digest of each part, by the part's name."""
        parts = {"pool": self.pool, "test": self.test}
        if self.validation is not None:
            parts["validation"] = self.validation.samples
        digests = {name: part.fingerprint for name, part in parts.items() if part is not None}
        if self.embeddings is not None:
            digests["embeddings"] = blake2b(self.embeddings.numpy().data).hexdigest()
        return digests


# What becomes of samples that came to the data since a run began.
NewSamples = Literal["refuse", "join", "ignore"]


@dataclass(frozen=True, kw_only=True)
class HiddenLabels:
    """The labels of pool `[N]` and test set `[T]`: only oracles and evaluation hold them."""

    pool: Labels | None = None
    test: Labels | None = None

    def __iter__(self) -> Iterator[Labels | None]:
        return iter((self.pool, self.test))


# ---------------------------------------------------------------------------- learners


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a learner says of `n` samples, on the learner's device.

    Attributes:
        probs: class probabilities, `[n, C]` float32; rows sum to 1.
        features: raw input of the last layer, `[n, D]` float32, if asked for.
        members: probabilities by stochastic pass or ensemble member, `[M, n, C]`, if asked for.
    """

    probs: Tensor
    features: Tensor | None = None
    members: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the labelled samples, as training goes."""

    number: int
    of: int
    loss: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class History:
    """How a fit went: its epochs, and the gradient steps taken in all."""

    epochs: tuple[Epoch, ...] = ()
    steps: int = 0


class Learner(Protocol):
    """What fits on labelled samples and predicts on any. Knows no pool, strategy or round.

    Attributes:
        device: where predictions are.
        on_epoch: called after each epoch, if set.

    A learner may also say, in an attribute `offers`, which of "probs", "features", "members" and
    "head" it can give; a strategy that needs another is then refused before anything is trained.
    One with a method `check(data)` raises there for data that it can never fit, likewise early.
    It may have a static method `together(learners) -> Together`, for learners of its class that
    differ by nothing but their chance; and `clock() -> seconds`, where its work is done at other
    times than when it is asked for.
    """

    device: device
    on_epoch: Callable[[Epoch], None] | None

    @property
    def head(self) -> Head | None:
        """The last layer, `[n, D] -> [n, C]` logits, differentiable; None where there is none."""

    def fit(
        self, data: Data, indices: Indices, labels: Labels, rng: np.random.Generator
    ) -> History:
        """Fit on the pool's samples `indices` `[L]` with `labels` `[L]`; `rng` is all chance."""

    def predict(
        self,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Predict `samples[indices]`; what `needs` names beyond probs is there; fills `out`."""

    def save(self, path: Path) -> bool:
        """Write the weights to `path`; False where there are none that need no pickle."""

    def load(self, path: Path, data: Data) -> bool:
        """Read weights that `save` wrote; False where the learner must be fitted again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The arguments of one `Learner.fit`."""

    data: Data
    indices: Indices
    labels: Labels
    rng: np.random.Generator


class Together(Protocol):
    """Fits several learners, and predicts with them, at less than the cost of each in turn.

    What comes of a learner depends on its own fit and on how many learners there are, and not on
    which of them take part in a call: a study that goes on where it was interrupted ends alike.
    Learners are known by their position.
    """

    def fit_many(self, fits: Mapping[int, Fit]) -> Mapping[int, History | Exception]:
        """Fit the learners that `fits` names; return what `fit` returns or raises for each."""

    def predict_many(
        self, which: Sequence[int], samples: Samples, needs: frozenset[str], limit: int | None
    ) -> Mapping[int, Prediction]:
        """Predict all `samples` with the learners `which`, going through them once.

        Returns:
            Predictions of the first of `which`, as many as fit in `limit` bytes together (None:
            in the memory that there is); none where that is less than two.
        """

    def predict(
        self,
        which: int,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Predict `samples[indices]` with learner `which`, as `Learner.predict`."""


# ---------------------------------------------------------------------------- strategies


class Neighbors(Protocol):
    """Nearest neighbours in the pool, computed on first use and kept."""

    def __call__(
        self,
        m: int,
        reference: Literal["pool", "labelled"] = "pool",
        *,
        space: Literal["features", "embeddings"] = "features",
        normalize: bool = True,
        queries: Indices | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return Euclidean distances `[N, m]` and pool indices `[N, m]`, nearest first.

        The sample itself is left out. Where fewer than `m` exist, the rest is infinity and -1.
        `normalize` scales rows to length 1 first. With `queries`, pool indices `[q]`, only their
        neighbours are searched, and the result is `[q, m]`.
        """


# Strategies use what they asked for without a check, so the fields are not typed as optional.
_ABSENT: Final[Any] = None


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a strategy sees, and all that it may use. Hidden labels are not reachable from it.

    Fields after `unlabelled` are None unless the strategy asks for them by `@needs(...)`; but
    `embeddings`, which cost nothing, are there whenever the run has them.

    Attributes:
        k: how many samples to pick.
        rng: the only source of chance.
        n_classes: number of classes, `C`.
        round: number of this query; 0 is the initial set, before there is a network.
        labelled: pool indices of the labelled samples, `[L]`, ascending.
        labels: their labels, `[L]`.
        unlabelled: pool indices that may be picked, `[U]`, ascending.
        probs: class probabilities of the pool, `[N, C]`.
        features: raw input of the last layer, `[N, D]`.
        members: probabilities by member, `[M, N, C]`.
        embeddings: fixed features from `embed`, `[N, E]`: on the CPU, or beside the predictions
            where the strategy asks for both.
        head: the last layer, features `[n, D]` to logits `[n, C]`, differentiable.
        neighbors: nearest neighbours, `neighbors(m, reference="pool")`.
        memory_limit: bytes that the strategy may use; half of what is free unless set.
    """

    k: int
    rng: np.random.Generator
    n_classes: int
    round: int
    labelled: Indices
    labels: Labels
    unlabelled: Indices
    probs: Tensor = _ABSENT
    features: Tensor = _ABSENT
    members: Tensor = _ABSENT
    embeddings: Tensor = _ABSENT
    head: Head = _ABSENT
    neighbors: Neighbors = _ABSENT
    memory_limit: int = field(default_factory=default_limit)


@dataclass(frozen=True)
class Picks:
    """What a strategy chose: pool indices `[k]`, first is asked first, and their scores `[k]`."""

    indices: Sequence[int] | npt.NDArray[Any]
    scores: Sequence[float] | npt.NDArray[Any] | None = None


Strategy = Callable[[Context], "Sequence[int] | npt.NDArray[Any] | Picks"]


# ---------------------------------------------------------------------------- the loop


class Oracle(Protocol):
    """Answers for pool indices `[n]`: a class, or SKIP, for each."""

    def label(self, indices: Indices) -> Sequence[Answer] | Labels:
        """Return the answers in the order of `indices`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """What one `ask` returned.

    Attributes:
        round: 0 for the initial set.
        indices: pool indices in the order of asking, `[k]`.
        keys: their keys, `[k]`.
        scores: the strategy's scores, `[k]`, or None; NaN for those drawn for the audit.
        predicted: the class that the network gives each, `[k]`, -1 where it predicts no finite
            number; None before there is a network.
        confidence: the probability of that class, `[k]`, NaN where there is none; or None.
        audit: which were drawn at random for the audit, `[k]`; None where none were.
        answered: the answers so far, by pool index.
    """

    round: int
    indices: Indices
    keys: tuple[str, ...]
    scores: Scores | None = None
    predicted: Labels | None = None
    confidence: Scores | None = None
    audit: npt.NDArray[np.bool_] | None = None
    answered: Mapping[int, Answer] = field(default_factory=dict)

    @property
    def open(self) -> Indices:
        """Pool indices that have no answer yet."""
        return np.array([i for i in self.indices.tolist() if i not in self.answered], np.int64)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round's outcome: the learner fitted on `labels` labels, and every metric measured.

    `classes` is the number of classes that it was fitted for: classes may be added between rounds.
    """

    round: int
    labels: int
    classes: int
    metrics: Mapping[str, float]


class Listener(Protocol):
    """Is told how a run goes. `activeloop.listeners.Silent` has empty methods to inherit."""

    def on_epoch(self, epoch: Epoch) -> None:
        """Training finished an epoch."""

    def on_query(self, query: Query) -> None:
        """A query was made and stored."""

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """A round ended and is stored; `test_probs` `[T, C]` are its test predictions."""

    def on_end(self, reason: str) -> None:
        """The run is over, and why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedRun:
    """What a tracker is told of the run that it follows.

    Attributes:
        directory: the run's; a tracker may leave files there.
        home: where several runs keep what is theirs: the sweep's directory, or the run's own.
        config: the composed config, all plain.
        labels: `strategy`, `variant`, `seed` and `data`, as reports name the run.
        began: when the tracker was first told of the run, in seconds since 1970.
        rounds: the finished rounds; more come as the run goes.
        told: how many of them the tracker was told of when the run was last under way.
        images: returns the images of pool indices `[n]`, uint8 `[n, height, width, channels]` with
            1 or 3 channels; None where samples are no images.
    """

    directory: Path
    home: Path
    config: Mapping[str, Any]
    labels: Mapping[str, Any]
    began: float
    rounds: Sequence[Round]
    told: int
    images: Callable[[Indices], Pixels | None]

    @property
    def name(self) -> str:
        """Name of the run among others, as in margin-seed3."""
        variant = f"-{self.labels['variant']}" if self.labels["variant"] else ""
        return f"{self.labels['strategy']}-seed{self.labels['seed']}{variant}"


class Tracker(Listener, Protocol):
    """A listener that is told which run it follows, and of each round once.

    Rounds that were done before, or that it missed, come after `on_begin`, without `test_probs`.
    Beside what was measured a round has the metric `seconds`, of all rounds by then. A query whose
    round is not done comes again when the run goes on. `on_end` comes when the run's files are
    there, `curve.png` too. If `on_begin` raises, the run does not start; if another method does,
    the run goes on without the tracker. `activeloop.listeners.Silent` has empty methods to inherit.
    """

    def on_begin(self, run: TrackedRun) -> int | None:
        """The run begins or goes on; return how many rounds are there already, None: `run.told`."""

    def close(self) -> None:
        """Nothing more comes: the run is over, has failed or was interrupted."""


StoppingRule = Callable[[Sequence[Round]], "str | None"]
