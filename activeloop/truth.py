"""Whether the labels that a data set has are still those that a run began with.

They are hidden from the loop, and no fingerprint of samples tells of them: without this, a run that
goes on would be answered, or tested, by others.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from activeloop.errors import StoreError
from activeloop.store import Store
from activeloop.types import HiddenLabels, Labels


def check_truth(store: Store, hidden: HiddenLabels, directory: Path) -> None:
    """Keep what tells of labels that are there for the first time; compare it with what was kept.

    Args:
        store: of the run.
        hidden: the labels, in the order of the run's samples. Those of samples that joined come
            after those that were there.
        directory: of the run, for messages.

    Raises:
        StoreError: they are not those that they were.
    """
    kept = store.meta("truth") or {}
    now = {}
    for part, labels in (("pool", hidden.pool), ("test", hidden.test)):
        if labels is None:
            continue
        if part in kept:
            n, digest = kept[part]
            if _digest(labels[:n]) != digest:
                raise StoreError(
                    f"{directory}: labels of the {part} are not what they were when the run began: "
                    "put those back, or begin another run; nothing was changed"
                )
        now[part] = [len(labels), _digest(labels)]
    if now != kept:
        store.set_meta("truth", kept | now)


def _digest(labels: Labels) -> str:
    content = np.asarray(labels, "<i8").tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()
