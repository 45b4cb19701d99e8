"""A map of the pool: its features in two dimensions, and where strategies picked on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from activeloop.report.document import Map
from activeloop.report.picks import chosen
from activeloop.report.runs import Run
from activeloop.report.samples import DataSet, Vectors, reduced
from activeloop.types import Indices

_SAMPLE = 1500  # samples of the pool, drawn at random
_PICKS = 150  # most picks of a strategy
_ALL_PICKS = 800  # most picks of all strategies together
_COMPONENTS = 50  # principal components that t-SNE is given
_PERPLEXITY = 30.0
_ENOUGH = 100  # points, below which there are too few for t-SNE
_LARGEST = 32  # pixels of a side that images are reduced to

Points = npt.NDArray[np.float64]


def pool_map(runs: Mapping[str, Run], data: DataSet, classes: Sequence[str]) -> Map:
    """Return a map of a random sample of the pool, with picks of one run for each strategy.

    Features are the embeddings where they are at hand, else the pixels, reduced to at most 32 x 32,
    or a vector's numbers, each scaled to unit variance. t-SNE (van der Maaten and Hinton, 2008)
    starts from the first two principal components and has a fixed seed, so that the same runs give
    the same map. Distances between far points mean little on it.

    Args:
        runs: by strategy; those of another seed than most are left out.
        data: the data set.
        classes: names of the classes, those of the data set first.
    """
    seed = Counter(run.seed for run in runs.values()).most_common(1)[0][0]
    picks = {name: _some(run, len(runs)) for name, run in runs.items() if run.seed == seed}
    n = len(data.pool)
    sample = np.random.default_rng(0).choice(n, min(n, _SAMPLE), replace=False)
    picked = [index for asked in picks.values() for index, _ in asked]
    indices = np.union1d(sample, np.array(picked, np.int64))
    features, of_what = _features(data, indices)
    points, how = _flat(features)
    place = {index: number for number, index in enumerate(indices.tolist())}
    return Map(
        how=f"{how} of {of_what}; {len(sample):,} of {n:,} samples and some of the picks",
        points=tuple((round(x, 4), round(y, 4)) for x, y in _scaled(points).tolist()),
        classes=_classes(data, runs, indices, classes),
        names=tuple(classes),
        picks={
            name: tuple((place[index], number) for index, number in asked)
            for name, asked in picks.items()
        },
        seed=seed,
    )


def _some(run: Run, strategies: int) -> list[tuple[int, int]]:
    """Return index and round of picks that are evenly spread over a run."""
    asked = chosen(run).asked
    most = min(_PICKS, max(1, _ALL_PICKS // strategies), len(asked))
    places = np.linspace(0, len(asked) - 1, most).round().astype(int)
    return [(asked[place].index, asked[place].round) for place in places.tolist()]


def _features(data: DataSet, indices: Indices) -> tuple[Vectors, str]:
    if data.embeddings is not None:
        return np.asarray(data.embeddings[indices], np.float32), data.embedded
    if data.pool.of_images:
        images = reduced(data.pool, indices, _LARGEST)
        return images.reshape(len(images), -1).astype(np.float32), "the pixels"
    vectors = data.pool.read(indices).astype(np.float32)
    spread = vectors.std(axis=0)
    return (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1), "the vectors"


def _flat(features: Vectors) -> tuple[Points, str]:
    """Return features in two dimensions `[P, 2]`, and what was done to them."""
    from sklearn.decomposition import PCA  # here, since it is slow to import
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n, width = features.shape
    if width < 2 or n < 2 or (features == features[0]).all():
        flat = np.zeros((n, 2))
        flat[:, : min(width, 1)] = features[:, :1]
        return flat, "the values"
    # Threads would add in an order of their own, and t-SNE makes much of the last digits.
    with threadpool_limits(1):
        pca = PCA(min(_COMPONENTS, n, width), random_state=0)
        components: npt.NDArray[Any] = pca.fit_transform(features)
        if n < _ENOUGH:
            return components[:, :2].astype(np.float64), "the first two principal components"
        tsne = TSNE(init="pca", perplexity=_PERPLEXITY, max_iter=500, random_state=0)
        flat = tsne.fit_transform(components)
    what = f"t-SNE (perplexity {_PERPLEXITY:g}) of {components.shape[1]} principal components"
    return flat.astype(np.float64), what


def _scaled(points: Points) -> Points:
    """Return points in the unit square, all stretched alike."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = (high - low).max() or 1.0
    scaled: Points = 0.5 + (points - (low + high) / 2) / extent
    return scaled.clip(0, 1)


def _classes(
    data: DataSet, runs: Mapping[str, Run], indices: Indices, names: Sequence[str]
) -> tuple[int, ...]:
    """Return the class of each of `indices`: the hidden one, else the answer, else -1."""
    if data.labels is not None:
        return tuple(data.labels[indices].tolist())
    number = {name: place for place, name in enumerate(names)}
    answered = {
        a.index: number.get(run.answers.get(a.key) or "", -1)
        for run in runs.values()
        for a in run.queries
    }
    return tuple(answered.get(index, -1) for index in indices.tolist())
