"""Data in another order: each part made of given samples, found by their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from activeloop.data.samples import TensorSamples
from activeloop.errors import DataError
from activeloop.types import Data, HiddenLabels, Indices, LabelledSamples, Labels, Samples


def in_order(
    data: Data,
    hidden: HiddenLabels,
    keys: Mapping[str, Sequence[str]],
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[Data, HiddenLabels]:
    """Return `data` whose parts are made of the samples with given keys, in their order.

    Args:
        data: without embeddings. Samples of the test and the validation set may be in its pool.
        hidden: its labels.
        keys: of "pool", "test" and "validation"; a part that is not named will not be there.
        mean: for normalising, `[C]` or `[D]`.
        std: likewise.

    Raises:
        DataError: a sample is not there, or they cannot be taken by their index.
    """
    pool = (data.pool, hidden.pool)
    known = data.validation
    others: dict[str, list[tuple[Samples, Labels | None]]] = {
        "pool": [pool],
        "test": [pool] if data.test is None else [(data.test, hidden.test), pool],
        "validation": [pool] if known is None else [(known.samples, known.labels), pool],
    }
    moments = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    made: dict[str, tuple[TensorSamples, Labels | None]] = {}
    for part, wanted in keys.items():
        samples, labels, indices = _found(others[part], wanted, part)
        made[part] = (
            samples.taken(indices, *moments),
            None if labels is None else labels[indices],
        )
    validation = None
    if "validation" in made:
        samples, labels = made["validation"]
        if labels is None:
            raise DataError("the validation set needs labels, and its samples have none now")
        validation = LabelledSamples(samples=samples, labels=labels)
    test, test_labels = made.get("test", (None, None))
    arranged = replace(data, pool=made["pool"][0], test=test, validation=validation)
    return arranged, HiddenLabels(pool=made["pool"][1], test=test_labels)


def _found(
    places: Sequence[tuple[Samples, Labels | None]], wanted: Sequence[str], part: str
) -> tuple[TensorSamples, Labels | None, Indices]:
    """Return the first of `places` that has all that is wanted, its labels, and where they are."""
    missing = ""
    for samples, labels in places:
        at = {key: index for index, key in enumerate(samples.keys)}
        if absent := next((key for key in wanted if key not in at), ""):
            missing = missing or absent
            continue
        if not isinstance(samples, TensorSamples):
            raise DataError(f"a {type(samples).__name__} cannot be put in another order")
        return samples, labels, np.array([at[key] for key in wanted], np.int64)
    raise DataError(f"{part}: the sample {missing!r} is not there")
