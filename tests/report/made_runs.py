"""Runs made by hand, and tiny data sets as reports read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from activeloop.report.runs import Run, read_run
from activeloop.report.samples import DataSet, Part
from activeloop.store import Asked, Store


def made_run(
    directory: Path,
    strategy: str,
    seed: int,
    rounds: Sequence[Sequence[int]],
    labels: Mapping[int, str | None],
    *,
    pool_size: int | None = 100,
    ended: str | None = "budget spent",
    identity: Mapping[str, Any] | None = None,
    more: Mapping[int, Mapping[str, Any]] | None = None,
) -> Run:
    """Write a run that asked for the samples `rounds`, and read it; `more` fields by sample."""
    path = directory / f"{strategy}-{seed}"
    path.mkdir(parents=True)
    store = Store(path / "run.db")
    store.set_meta("identity", identity or {"data": {"classes": ["cat", "dog"], "pool": "p"}})
    store.set_meta("run", {"strategy": strategy, "variant": "", "seed": seed, "data": "made"})
    if pool_size is not None:
        store.set_meta("pool_size", pool_size)
    for number, indices in enumerate(rounds):
        asked = []
        for position, i in enumerate(indices):
            fields = {"key": f"k{i}", "index": i, "score": None} | dict((more or {}).get(i, {}))
            asked.append(Asked(round=number, position=position, **fields))
        store.add_query(number, asked, 0.0, 0.0)
        answers = {a.key: labels[a.index] for a in asked}
        store.add_labels(number, answers, "oracle", closes=2)
    if ended is not None:
        store.set_meta("ended", ended)
    store.close()
    run = read_run(path)
    assert run is not None
    return run


def part_of(samples: np.ndarray, prefix: str = "k") -> Part:
    """Return samples as pool or test set, with the keys k0, k1, ..."""
    keys = [f"{prefix}{i}" for i in range(len(samples))]
    return Part(keys=keys, shape=samples.shape[1:], read=lambda indices: samples[indices])


def data_of(pool: np.ndarray, test: np.ndarray | None = None, **more: Any) -> DataSet:
    """Return a data set of the classes cat and dog."""
    tested = None if test is None else part_of(test, "t")
    return DataSet(classes=("cat", "dog"), pool=part_of(pool), test=tested, **more)


def photos(n: int, size: int = 20, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return `n` images of soft blots, `[n, channels, size, size]` uint8, no two alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((n, channels, 7, 7))
    places = np.linspace(0, 5.99, size)
    low, share = places.astype(int), places % 1
    rows = coarse[:, :, low] * (1 - share)[:, None] + coarse[:, :, low + 1] * share[:, None]
    images = rows[..., low] * (1 - share) + rows[..., low + 1] * share
    return np.rint(20 + 200 * images).astype(np.uint8)
