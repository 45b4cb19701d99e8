"""The temperature at which probabilities are as sure as they are right."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.types import Context, Labels

_log = logging.getLogger("activeloop.strategies")

_GRID = np.logspace(-1, 1, 49)
_BINS = 15
# Labels that a temperature is fitted on at most: more would tell little.
_MOST = 4000


def fitted_temperature(context: Context, x: Tensor) -> float:
    """Return the temperature of `context.probs` with the least calibration error, held out.

    A network knows its own labelled samples by heart: its probabilities of them would give a
    temperature near 0. So each half of the labelled samples is predicted by a linear head (ridge
    regression onto classes) that saw the other half; its logits are scaled to the spread that the
    network's have on the same samples, and the temperature with the least expected calibration
    error (15 bins) is taken from a grid of 49 in [0.1, 10]. 1 where there are fewer than two
    classes or four labels. The features come from a network that saw all labels, which the paper's
    retraining avoids: the temperature is rather too low than too high.
    """
    labelled, labels = context.labelled, context.labels
    if len(np.unique(labels)) < 2 or len(labels) < 4:
        return 1.0
    if len(labelled) > _MOST:
        some = context.rng.choice(len(labelled), _MOST, replace=False)
        labelled, labels = labelled[some], labels[some]
    rows = torch.from_numpy(labelled).to(x.device)
    held_out = _held_out_logits(x[rows].double().cpu().numpy(), labels, context)
    own = context.probs[rows].double().clamp(min=torch.finfo(torch.float32).tiny).log()
    scale = _spread(own.cpu().numpy()) / max(_spread(held_out), 1e-12)
    errors = [calibration_error(_softmax(held_out * scale / t), labels) for t in _GRID]
    least = min(errors)
    # Among equals the one that changes least.
    return float(min(_GRID[np.isclose(errors, least)], key=lambda t: abs(np.log(t))))


def calibration_error(probs: npt.NDArray[np.float64], labels: Labels, bins: int = _BINS) -> float:
    """Return the expected calibration error: mean |confidence - accuracy| over bins, weighted.

    Args:
        probs: `[n, C]`.
        labels: `[n]`.
        bins: of equal width over [0, 1].
    """
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    where = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(where, confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _held_out_logits(
    x: npt.NDArray[np.float64], labels: Labels, context: Context
) -> npt.NDArray[np.float64]:
    """Return logits `[n, C]` of each half by ridge regression on the other."""
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    targets = np.eye(context.n_classes)[labels]
    first = context.rng.permutation(len(x)) < len(x) // 2
    logits = np.empty_like(targets)
    for seen in (first, ~first):
        mean = targets[seen].mean(axis=0)
        gram = x[seen].T @ x[seen] + x.shape[1] * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x[seen].T @ (targets[seen] - mean))
        logits[~seen] = x[~seen] @ weights + mean
    return logits


def _spread(logits: npt.NDArray[np.float64]) -> float:
    """Return the mean distance of the highest logit from the others' mean."""
    if logits.shape[1] < 2:
        return 1.0
    top = logits.max(axis=1)
    return float((top - (logits.sum(axis=1) - top) / (logits.shape[1] - 1)).mean())


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return weights
