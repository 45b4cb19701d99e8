"""Any scikit-learn classifier that gives probabilities, as a learner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from activeloop.errors import MEMBERS_ADVICE, ConfigError, LearnerError
from activeloop.learners.inference import check_out
from activeloop.learners.labels import check_labels
from activeloop.types import Data, Epoch, Head, History, Indices, Labels, Prediction, Samples

CHUNK = 4096  # samples held as float32 vectors at once
NEVER = -1e9  # logit of a class without labels: probability 0, and entropy without NaN


def logistic_regression() -> LogisticRegression:
    """Return scikit-learn's multinomial logistic regression, with iterations enough for images.

    The default of the configuration: without arguments, so that none is left over when another
    estimator takes its place.
    """
    return LogisticRegression(max_iter=1000)


class SklearnLearner:
    """Fits a fresh clone of a scikit-learn classifier on flattened, normalised samples.

    Features are what the classifier takes. Classes without a labelled sample get probability 0;
    with one class only among the labels, that class gets 1. It runs on the CPU.

    Args:
        estimator: an unfitted classifier with `predict_proba`, or a pipeline that ends in one.
            Every `random_state` in it is set anew for each fit.
        options: parameters set on `estimator`, as its `set_params` takes them.
        device: where all learners are told to compute; this one does so on the CPU.

    Raises:
        ConfigError: the estimator gives no probabilities, or has no such option.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        options: Mapping[str, Any] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.estimator = _checked(estimator, options or {})
        self.device = torch.device("cpu")
        self.on_epoch: Callable[[Epoch], None] | None = None
        self._classes: Labels | None = None
        self._fitted: Any = None
        self._n_classes = 0
        self._head: Head | None = None

    @property
    def offers(self) -> frozenset[str]:
        """What predictions can hold: no members."""
        return frozenset(["probs", "features", "head"])

    @property
    def head(self) -> Head | None:
        """The decision function, `[n, D]` to logits `[n, C]`, of multinomial linear models.

        None where softmax of it is not what `predict_proba` gives, and before the first fit.
        """
        return self._head

    def fit(
        self, data: Data, indices: Indices, labels: Labels, rng: np.random.Generator
    ) -> History:
        """Fit a clone of the estimator on the pool's samples `indices` `[L]`.

        Raises:
            LearnerError: a label is no class, or the estimator cannot be fitted on these samples.
        """
        check_labels(indices, labels, data)
        estimator, seed = clone(self.estimator), int(rng.integers(2**31 - 1))
        parameters = sorted(estimator.get_params(deep=True))
        random = [name for name in parameters if name.split("__")[-1] == "random_state"]
        estimator.set_params(**{name: int(rng.integers(2**31 - 1)) for name in random})
        self._classes, self._n_classes = np.unique(labels), data.n_classes
        self._fitted = self._head = None
        inputs = _vectors(data.pool, indices)
        if len(self._classes) > 1:
            with _global_seed(seed), _explained(estimator, len(indices)):
                self._fitted = estimator.fit(inputs, labels)
            self._head = self._linear_head(inputs)
        return History()

    def predict(
        self,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Predict `samples[indices]`: probabilities, and features if `needs` says so.

        Raises:
            LearnerError: nothing was fitted, members are needed, or `out` does not fit.
        """
        if self._classes is None:
            raise LearnerError("the learner has nothing to predict with: call fit first")
        if "members" in needs:
            raise LearnerError(
                f"learner=sklearn has no members: use learner=torch and {MEMBERS_ADVICE}"
            )
        shapes: dict[str, tuple[int, ...]] = {"probs": (len(indices), self._n_classes)}
        if "features" in needs:
            shapes["features"] = (len(indices), int(np.prod(samples.shape)))
        if out is None:
            out = Prediction(**{name: torch.empty(shape) for name, shape in shapes.items()})
        check_out(out, shapes)
        for start in range(0, len(indices), CHUNK):
            rows = slice(start, start + CHUNK)
            inputs = _vectors(samples, indices[rows])
            out.probs[rows].copy_(torch.from_numpy(self._probs(inputs)))
            if "features" in needs and out.features is not None:
                out.features[rows].copy_(torch.from_numpy(inputs))
        return out

    def save(self, path: Path) -> bool:
        """Return False: scikit-learn can only be saved with pickle, which runs what it reads."""
        return False

    def load(self, path: Path, data: Data) -> bool:
        """Return False: nothing was saved."""
        return False

    def _probs(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return probabilities `[n, C]`: the estimator's columns, each in its class's place."""
        assert self._classes is not None
        probs = np.zeros((len(inputs), self._n_classes), np.float32)
        if self._fitted is None:
            probs[:, self._classes] = 1
            return probs
        with _global_seed(0), _explained(self._fitted, len(inputs)):
            probs[:, self._fitted.classes_] = self._fitted.predict_proba(inputs)
        return probs

    def _linear_head(self, inputs: npt.NDArray[np.float32]) -> Head | None:
        """Return logits from `coef_` and `intercept_`, if their softmax is `predict_proba`."""
        coefficients = np.atleast_2d(getattr(self._fitted, "coef_", np.empty((0, 0))))
        if coefficients.shape[1] != inputs.shape[1]:
            return None
        bias = np.broadcast_to(getattr(self._fitted, "intercept_", 0.0), len(coefficients))
        if len(coefficients) == 1:  # two classes: the decision function is of the second
            coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
            bias = np.concatenate([np.zeros_like(bias), bias])
        if len(coefficients) != len(self._fitted.classes_):
            return None
        weight = torch.zeros(self._n_classes, inputs.shape[1])
        constant = torch.full((self._n_classes,), NEVER)
        places = torch.from_numpy(self._fitted.classes_.astype(np.int64))
        weight[places] = torch.from_numpy(coefficients.astype(np.float32))
        constant[places] = torch.from_numpy(bias.astype(np.float32))

        def head(features: Tensor) -> Tensor:
            return functional.linear(features, weight, constant)

        # Samples that were fitted have probabilities near 0 or 1, where all formulas agree: what
        # tells them apart is nearer to the origin.
        largest = head(torch.from_numpy(inputs))[:, places].abs().max().clamp(min=1).item()
        probes = np.concatenate([inputs, inputs / np.float32(largest)])
        ours = head(torch.from_numpy(probes)).softmax(1).numpy()
        return head if np.allclose(ours, self._probs(probes), atol=1e-4) else None


def _checked(estimator: Any, options: Mapping[str, Any]) -> Any:
    """Return a clone of `estimator` with `options` set."""
    if isinstance(estimator, type):
        name = estimator.__name__
        raise ConfigError(f"learner.estimator must be an instance: {name}(), not the class {name}")
    try:
        estimator = clone(estimator).set_params(**options)
    except (TypeError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"learner.estimator={estimator} cannot be used: {reason}") from error
    if not (hasattr(estimator, "fit") and hasattr(estimator, "predict_proba")):
        raise ConfigError(
            f"learner.estimator must be a classifier with predict_proba, got {estimator}; "
            "wrap it in CalibratedClassifierCV, or for support vectors use SVC(probability=True)"
        )
    return estimator


def _vectors(samples: Samples, indices: Indices) -> npt.NDArray[np.float32]:
    """Return normalised samples as rows, `[n, D]`."""
    parts = [
        samples.batch(indices[start : start + CHUNK], torch.device("cpu")).flatten(1)
        for start in range(0, max(1, len(indices)), CHUNK)
    ]
    rows: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return rows


@contextmanager
def _explained(estimator: Any, n: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        name = type(estimator).__name__
        reason = str(error).splitlines()[0]
        raise LearnerError(f"{name} failed on {n} samples: {reason}") from error


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which some estimators use; on leaving it is as before."""
    before = np.random.get_state()  # noqa: NPY002  # the legacy generator is the one to guard
    np.random.seed(seed)  # noqa: NPY002  # the same
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002  # the same
