"""Metrics of predicted probabilities against labels. Numpy, so that reports can use them too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from activeloop.types import Labels

BINS = 15


def scores(probs: npt.NDArray[Any], labels: Labels) -> dict[str, float]:
    """Return how good `probs` `[T, C]` are for `labels` `[T]`, by name.

    accuracy: the share of samples whose likeliest class is theirs.

    loss: the mean negative log likelihood in nats. A probability of 0 for the true class counts as
    the smallest float32, so that it stays finite.

    macro_f1: the mean of F1 over the classes that occur among labels or predictions.

    worst_class_accuracy: the least share of a class's samples that are recognised, over the
    classes that occur among the labels.

    calibration_error: the expected calibration error of the likeliest class (Naeini et al., 2015;
    Guo et al., 2017). Samples fall into 15 bins of equal width by the probability of that class;
    the mean, over samples, of what separates their bin's mean probability from its accuracy.
    """
    labels = np.asarray(labels)
    rows, classes = np.arange(len(labels)), probs.shape[1]
    predicted = probs.argmax(axis=1)
    correct = predicted == labels
    hits = np.bincount(labels[correct], minlength=classes)
    true = np.bincount(labels, minlength=classes)
    either = true + np.bincount(predicted, minlength=classes)
    likelihood = probs[rows, labels].astype(np.float64)
    return {
        "accuracy": int(correct.sum()) / len(labels),
        "loss": -float(np.log(likelihood.clip(min=np.finfo(np.float32).tiny)).mean()),
        "macro_f1": float((2 * hits[either > 0] / either[either > 0]).mean()),
        "worst_class_accuracy": float((hits[true > 0] / true[true > 0]).min()),
        "calibration_error": _calibration_error(probs[rows, predicted], correct),
    }


def _calibration_error(confidence: npt.NDArray[Any], correct: npt.NDArray[np.bool_]) -> float:
    """Return the gaps of the bins, each weighted by its share of the samples."""
    confidence = confidence.astype(np.float64)
    # A bin includes its upper end, as Guo et al. have it; NaN falls into the last one.
    bins = np.searchsorted(np.arange(1, BINS) / BINS, confidence)
    gaps = np.bincount(bins, weights=confidence - correct)
    return float(np.abs(gaps).sum()) / len(correct)
