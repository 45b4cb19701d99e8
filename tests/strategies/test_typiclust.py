import numpy as np
import pytest
import torch
from fakes import context
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from activeloop.errors import ConfigError
from activeloop.strategies import load_strategy, typiclust
from activeloop.strategies.kernels import placed
from activeloop.strategies.typicality import _clusters, _ranked, _typicality


def ctx(x, k, labelled=(), seed=0):
    x = torch.as_tensor(x, dtype=torch.float32)
    return context(size=len(x), k=k, labelled=labelled, features=x, seed=seed)


def islands(sizes, seed=0):
    """Return points around distant centres, and the island of each."""
    rng = np.random.default_rng(seed)
    where = np.repeat(np.arange(len(sizes)), sizes)
    return 50 * np.eye(len(sizes), 6)[where] + rng.normal(size=(len(where), 6)), where


@pytest.fixture
def true_clusters(monkeypatch):
    """Cluster by single linkage, which finds islands for certain; k-means may halve one."""

    def clusters(x, size, rng):
        return fcluster(linkage(x[:, :-2].numpy(), "single"), size, "maxclust") - 1

    monkeypatch.setattr("activeloop.strategies.typicality._clusters", clusters)


def typicality(x):
    """Return 1 / the mean distance to min(20, size / 2) others: brute force."""
    m = max(1, min(20, len(x) // 2))
    return 1 / np.sort(cdist(x, x), axis=1)[:, 1 : m + 1].mean(axis=1)


@pytest.mark.parametrize("size", [2, 7, 30, 90])
def test_typicality_equals_brute_force(size):
    x = np.random.default_rng(0).normal(size=(size, 4)).astype(np.float32)
    rows = torch.from_numpy(np.hstack([x, -(x**2).sum(1, keepdims=True) / 2, np.ones((size, 1))]))
    assert _typicality(rows.float()) == pytest.approx(typicality(x), rel=1e-5)


def test_distances_are_not_squared():
    # By distance sample 1 is nearer to all (mean 1.5); by squares sample 4 (8.25 against 9.5).
    x = np.array([0.0, 1, 2, 5, 9])
    apart = np.abs(x[:, None] - x)
    assert np.allclose(apart, cdist(x[:, None], x[:, None]))
    rows = torch.from_numpy(np.stack([x, -(x**2) / 2, np.ones(5)], axis=1)).float()
    by_hand = [1 / 1.5, 1, 1 / 1.5, 1 / 3.5, 1 / 5.5]  # two neighbours each
    assert _typicality(rows) == pytest.approx(by_hand)


def test_one_typical_sample_of_each_island_the_largest_first(true_clusters):
    x, where = islands([30, 60, 15, 45])
    picks = typiclust(ctx(x, 4), normalize=False)
    assert where[picks.indices].tolist() == [1, 3, 0, 2]
    for pick, score in zip(picks.indices, picks.scores, strict=True):
        island = np.flatnonzero(where == where[pick])
        expected = typicality(x[island])
        assert pick == island[expected.argmax()]
        assert score == pytest.approx(expected.max(), rel=1e-4)


def test_islands_without_labels_come_first(true_clusters):
    x, where = islands([30, 60, 15, 45])
    labelled = [int(np.flatnonzero(where == i)[0]) for i in (1, 3)]
    # Four clusters are two labels and two picks.
    picks = typiclust(ctx(x, 2, labelled), normalize=False)
    assert where[picks.indices].tolist() == [0, 2]


def test_more_picks_than_clusters_go_round_again(true_clusters):
    x, where = islands([30, 60])
    picks = typiclust(ctx(x, 5), normalize=False, max_clusters=2)
    assert where[picks.indices].tolist() == [1, 0, 1, 0, 1]
    island = np.flatnonzero(where == 1)
    best = island[np.argsort(-typicality(x[island]))[:3]]
    assert picks.indices[::2].tolist() == best.tolist()


def test_small_clusters_come_last(true_clusters):
    clusters = np.repeat([0, 1, 2], [5, 6, 40])
    order, small = _ranked(clusters, 51, 3, np.random.default_rng(0))
    assert (order, small) == ([2, 1], [0])
    x, where = islands([5, 30, 40])
    picks = typiclust(ctx(x, 4), normalize=False, max_clusters=3)
    assert where[picks.indices].tolist() == [2, 1, 2, 1]
    everything = typiclust(ctx(x, 75), normalize=False, max_clusters=3)
    assert sorted(everything.indices) == list(range(75))
    assert where[everything.indices[-5:]].tolist() == [0] * 5


def test_clusters_all_of_whose_samples_are_labelled_are_left_out():
    clusters = np.array([0] * 8 + [1] * 7)
    assert _ranked(clusters, 8, 2, np.random.default_rng(0)) == ([0], [])


def test_a_crowded_cluster_is_represented_and_still_whole(monkeypatch):
    monkeypatch.setattr("activeloop.strategies.typicality._CROWDED", 20)
    x, _ = islands([50])
    picks = typiclust(ctx(x, 50, seed=1), normalize=False, max_clusters=1)
    assert sorted(picks.indices) == list(range(50))
    assert (picks.scores[:20] > np.zeros(20)).all()
    assert list(picks.scores[20:]) == [0] * 30


def test_islands_agree_with_scikit_activeml(true_clusters):
    pool = pytest.importorskip("skactiveml.pool")
    x, where = islands([42, 60, 48, 54])
    query = pool.TypiClust(
        k=20, random_state=0, cluster_algo_dict={"n_init": 20}, cluster_algo=KMeans
    ).query
    theirs = query(x, np.full(len(x), np.nan), batch_size=4)
    ours = typiclust(ctx(x, 4), normalize=False)
    assert where[ours.indices].tolist() == where[theirs].tolist()
    # Theirs counts the sample itself as a neighbour at distance 0, which changes no order.
    assert ours.indices.tolist() == theirs.tolist()


def test_clusters_are_as_tight_as_those_of_scikit_learn():
    x = np.random.default_rng(0).normal(size=(3000, 5)) + 4 * islands([1] * 5)[0][:1, :5]
    points = placed(torch.from_numpy(x), np.arange(3000), normalize=False, limit=10**9)
    where = _clusters(points, 40, np.random.default_rng(0))
    means = np.stack([x[where == c].mean(axis=0) for c in range(40)])
    theirs = KMeans(40, n_init=3, random_state=0).fit(x).inertia_
    assert ((x - means[where]) ** 2).sum() < 1.05 * theirs


def test_options_without_meaning():
    with pytest.raises(ConfigError, match=r"strategy.max_clusters must be .* got 0"):
        load_strategy("typiclust", max_clusters=0)(ctx(np.zeros((4, 2)), 1))


def test_labelled_samples_are_neighbours_but_no_picks(true_clusters):
    x, where = islands([30, 60])
    first = typiclust(ctx(x, 2), normalize=False).indices
    again = typiclust(ctx(x, 2, sorted(first.tolist())), normalize=False, max_clusters=2)
    assert not set(again.indices) & set(first)
    for island in (0, 1):
        members = np.flatnonzero(where == island)
        assert members[np.argsort(-typicality(x[members]))[1]] in again.indices
