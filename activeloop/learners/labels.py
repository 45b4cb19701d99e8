"""What any learner asks of the labels that it gets."""

from __future__ import annotations

import numpy as np

from activeloop.errors import LearnerError
from activeloop.types import Data, Indices, Labels
from activeloop.words import counted


def check_labels(indices: Indices, labels: Labels, data: Data) -> None:
    """Raise `LearnerError` unless there is a class for each of at least one index."""
    if len(indices) == 0:
        raise LearnerError("there are no labelled samples to fit on")
    if len(indices) != len(labels):
        raise LearnerError(
            f"expected one label for each of {counted(len(indices), 'sample')}, got {len(labels)}"
        )
    wrong = np.asarray(labels)[(np.asarray(labels) < 0) | (np.asarray(labels) >= data.n_classes)]
    if len(wrong):
        raise LearnerError(f"labels must be 0 to {data.n_classes - 1}, got {wrong[0]}")
