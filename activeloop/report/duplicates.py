"""Near-duplicates: among what was picked, and between pool and test set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from activeloop.report.document import Duplicates, Thumbnail
from activeloop.report.likeness import HOW, LARGEST, Pairs, near_duplicates
from activeloop.report.picks import ByStrategy, Picks, answered
from activeloop.report.samples import DataSet, Part, reduced
from activeloop.report.thumbnails import thumbnails
from activeloop.store import Asked
from activeloop.types import Indices

_READ_BYTES = 2**31  # most bytes of samples that are read
_MOST_LABELS = 5000  # first labels of a run that are compared
_COMPARED = 10**9  # most pairs of labels that are, of all runs together
_HELD_BYTES = 2**28  # most bytes of reduced images that are held
_MOST = 100_000  # samples of the pool that are compared
_MOST_TEST = 10_000  # samples of the test set that are compared
_EXAMPLES = 12


def duplicates(picks: ByStrategy, data: DataSet) -> Duplicates:
    """Return how many picks were near-duplicates, and how much of the test set is in the pool.

    What counts as one is told in `activeloop.report.likeness`; of vectors, those that are equal.
    Of near-duplicates that a run labelled, all but the first count, whether or not that was in the
    initial set. Where samples are too many or too large, fewer are looked at, and `how` says which.
    """
    picked, notes = _picked(picks, data.pool)
    leaked: int | None = None
    tested, examples = 0, tuple[tuple[Thumbnail, Thumbnail], ...]()
    if data.test is not None:
        pool, test = _sample(data.pool, _MOST), _sample(data.test, _MOST_TEST)
        for part, some, name in ((data.pool, pool, "pool"), (data.test, test, "test set")):
            if len(some) < len(part):
                notes.append(f"{len(some):,} of {len(part):,} samples of the {name}")
        pairs = _between(data.test, test, data.pool, pool)
        leaked, tested = len(np.unique(pairs[:, 0])), len(test)
        examples = _examples(data, pairs)
    how = HOW if data.pool.of_images else "vectors that are equal"
    return Duplicates(
        how="; of ".join([how, *notes]),
        picked=picked,
        leaked=leaked,
        test=tested,
        examples=examples,
    )


# -- among the picks --------------------------------------------------------------------


def _picked(picks: ByStrategy, pool: Part) -> tuple[dict[str, float], list[str]]:
    """Return the mean share of repeated picks by strategy, and what that is of if not of all."""
    seeds = sorted({seed for runs in picks.values() for seed in runs})
    shares: dict[str, list[float]] = {strategy: [] for strategy in picks}
    samples = compared = looked_at = longest = 0
    for seed in seeds:
        runs = {strategy: by_seed[seed] for strategy, by_seed in picks.items() if seed in by_seed}
        labelled = {strategy: _labelled(p) for strategy, p in runs.items()}
        sizes = [min(len(each), _MOST_LABELS) for each in labelled.values()]
        samples, compared = samples + sum(sizes), compared + sum(size**2 for size in sizes)
        if looked_at and (samples * pool.sample_bytes > _READ_BYTES or compared > _COMPARED):
            break
        looked_at += 1
        longest = max(longest, *map(len, labelled.values()))
        for strategy, p in runs.items():
            shares[strategy].append(_repeated(p, labelled[strategy][:_MOST_LABELS], pool))
    notes = [f"the runs of {looked_at} of {len(seeds)} seeds"] if looked_at < len(seeds) else []
    notes += [f"the first {_MOST_LABELS:,} labels of a run"] if longest > _MOST_LABELS else []
    return {name: float(np.mean(each)) for name, each in shares.items() if each}, notes


def _labelled(picks: Picks) -> list[Asked]:
    """Return all that a run had labelled when the last of `picks` was, in order."""
    last = picks.asked[-1]
    return [a for a in answered(picks.run) if (a.round, a.position) <= (last.round, last.position)]


def _repeated(picks: Picks, labelled: Sequence[Asked], pool: Part) -> float:
    """Return the share of picks that are near-duplicates of something labelled before them."""
    indices = np.array([a.index for a in labelled], np.int64)
    again = _again(_like(pool, indices), len(indices)).tolist()
    chosen = {a.key for a in picks.asked}
    repeats = [repeat for a, repeat in zip(labelled, again, strict=True) if a.key in chosen]
    return float(np.mean(repeats)) if repeats else 0.0


def _again(pairs: Pairs, n: int) -> npt.NDArray[np.bool_]:
    """Return for each of `n` whether a smaller one is joined to it by pairs."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, groups = connected_components(links, directed=False)
    again = np.ones(n, np.bool_)
    again[np.unique(groups, return_index=True)[1]] = False
    return again


def _like(part: Part, indices: Indices) -> Pairs:
    """Return pairs of positions in `indices` of near-duplicates, the smaller first."""
    if part.of_images:
        return near_duplicates(reduced(part, indices, LARGEST))
    first: dict[bytes, int] = {}
    rows = [row.tobytes() for row in part.read(indices)]
    pairs = [(first.setdefault(row, place), place) for place, row in enumerate(rows)]
    return _array([pair for pair in pairs if pair[0] != pair[1]])


# -- between pool and test set ----------------------------------------------------------


def _sample(part: Part, most: int) -> Indices:
    """Return indices of a random sample that can be held, or all."""
    held = int(np.prod(np.minimum(part.shape[-2:], LARGEST))) * part.shape[0]
    most = min(most, _HELD_BYTES // held, _READ_BYTES // part.sample_bytes)
    if len(part) <= most:
        return np.arange(len(part))
    return np.sort(np.random.default_rng(0).choice(len(part), max(1, most), replace=False))


def _between(test: Part, asked: Indices, pool: Part, among: Indices) -> Pairs:
    """Return pairs of indices, test and pool, of near-duplicates."""
    if test.of_images:
        pairs = near_duplicates(reduced(test, asked, LARGEST), reduced(pool, among, LARGEST))
        return np.stack([asked[pairs[:, 0]], among[pairs[:, 1]]], axis=1)
    rows = {row.tobytes(): index for index, row in zip(among, pool.read(among), strict=True)}
    found = zip(asked, test.read(asked), strict=True)
    return _array([(i, rows[row.tobytes()]) for i, row in found if row.tobytes() in rows])


def _examples(data: DataSet, pairs: Pairs) -> tuple[tuple[Thumbnail, Thumbnail], ...]:
    """Return some pairs, pool beside test, of different samples of the test set."""
    assert data.test is not None
    _, first = np.unique(pairs[:, 0], return_index=True)
    places = first[np.linspace(0, len(first) - 1, min(_EXAMPLES, len(first))).astype(int)]
    shown = pairs[places]
    tests = thumbnails(data.test, shown[:, 0].tolist())
    pools = thumbnails(data.pool, shown[:, 1].tolist())
    return tuple(
        (
            _thumbnail(data.pool, of_pool, pools.get(of_pool)),
            _thumbnail(data.test, of_test, tests.get(of_test)),
        )
        for of_test, of_pool in shown.tolist()
    )


def _thumbnail(part: Part, index: int, image: str | None) -> Thumbnail:
    return Thumbnail(
        image=image,
        key=part.keys[index],
        label=None,
        score=None,
        predicted=None,
        confidence=None,
    )


def _array(pairs: Sequence[tuple[int, int]]) -> Pairs:
    return np.array(pairs, np.int64).reshape(-1, 2)
