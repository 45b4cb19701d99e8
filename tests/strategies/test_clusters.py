"""k-means and the strategies that ask one sample a cluster: k_means, DBAL, CLUE."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from fakes import context
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from activeloop.errors import ConfigError, StrategyError
from activeloop.strategies import load_strategy, needs_of, score
from activeloop.strategies.clustering import k_means, nearest_to_centroids, representatives
from activeloop.strategies.seeding import greedy_plus_plus


def rng(seed=0):
    return np.random.default_rng(seed)


def clouds(n=600, groups=6, width=5, seed=0, apart=4.0):
    draw = rng(seed)
    centres = apart * draw.normal(size=(groups, width))
    group = np.arange(n) % groups
    return torch.from_numpy(
        (centres[group] + draw.normal(size=(n, width))).astype(np.float32)
    ), group


def objective(x, centroids, assignment, weights=None):
    squared = (x - centroids[assignment]).square().sum(dim=1)
    return float((squared if weights is None else squared * weights).sum())


def test_separate_groups_are_found_and_their_means():
    x, group = clouds(apart=20.0)
    centroids, assignment = k_means(x, 6, rng())
    for cluster in range(6):
        own = x[assignment == cluster]
        assert len(set(group[(assignment == cluster).numpy()])) == 1
        torch.testing.assert_close(centroids[cluster], own.mean(dim=0), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("n", "groups", "k"), [(500, 8, 8), (1000, 30, 40), (800, 5, 200)])
def test_objective_is_on_average_no_worse_than_that_of_scikit_learn(n, groups, k):
    ours, theirs = [], []
    for seed in range(20):
        x, _ = clouds(n, groups, seed=seed)
        ours.append(objective(x, *k_means(x, k, rng(seed))))
        theirs.append(KMeans(k, n_init=1, random_state=seed).fit(x.numpy()).inertia_)
    assert np.mean(ours) < 1.015 * np.mean(theirs)


def test_weights_count_as_copies():
    x, _ = clouds(300)
    copies = rng(1).integers(0, 4, 300)
    weights = torch.from_numpy(copies).float()
    repeated = x[torch.from_numpy(np.repeat(np.arange(300), copies))]
    ours = [objective(x, *k_means(x, 12, rng(s), weights=weights), weights) for s in range(20)]
    theirs = [objective(repeated, *k_means(repeated, 12, rng(s))) for s in range(20)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.03)
    unweighted = [objective(x, *k_means(x, 12, rng(s)), weights) for s in range(20)]
    assert np.mean(ours) < np.mean(unweighted)


def test_a_weight_of_zero_draws_no_centroid():
    x = torch.cat([clouds(50, 2)[0], torch.full((10, 5), 1000.0)])
    weights = torch.cat([torch.ones(50), torch.zeros(10)])
    centroids, _ = k_means(x, 3, rng(), weights=weights)
    assert centroids.abs().max() < 100


def test_every_row_is_with_its_nearest_centroid_though_few_are_trained_on():
    x, _ = clouds(3000, 3)
    centroids, assignment = k_means(x, 3, rng())  # trained on 768 of them
    nearest = torch.cdist(x, centroids).argmin(dim=1)
    assert (assignment == nearest).float().mean() > 0.999


def test_same_seed_same_clusters_and_the_input_stays():
    x, _ = clouds()
    before = x.clone()
    first, again = (k_means(x, 20, rng(4)) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert torch.equal(x, before)


@pytest.mark.parametrize("greedy", [True, False])
def test_seeds_are_distinct_though_rows_repeat(greedy):
    x = torch.eye(3).repeat(20, 1)
    centroids, assignment = k_means(x, 10, rng(), greedy=greedy)
    assert centroids.isfinite().all()
    assert objective(x, centroids, assignment) < 1e-3  # empty clusters take a part of a large one
    seeds = greedy_plus_plus(x, torch.ones(60), 10, rng())
    assert len(set(seeds.tolist())) == 10
    assert len(set((seeds[:3] % 3).tolist())) == 3


def test_greedy_seeds_leave_less_than_plain_draws():
    x, _ = clouds(600, 20, apart=10.0)

    def left(seeds):
        return float(torch.cdist(x, x[torch.from_numpy(seeds)]).amin(dim=1).square().sum())

    greedy = [left(greedy_plus_plus(x, torch.ones(600), 20, rng(s))) for s in range(20)]
    uniform = [left(rng(s).choice(600, 20, replace=False)) for s in range(20)]
    assert np.mean(greedy) < 0.5 * np.mean(uniform)


def test_nearest_to_centroids_by_hand():
    x = torch.tensor([[0.0], [1], [2.2], [10], [11]])
    centroids, assignment = torch.tensor([[10.4], [1.1]]), torch.tensor([1, 1, 1, 0, 0])
    chosen, sizes = nearest_to_centroids(x, centroids, assignment, rng())
    assert list(chosen) == [1, 3]
    assert list(sizes) == [3, 2]
    weights = torch.tensor([1.0, 1, 1, 2, 2])
    chosen, sizes = nearest_to_centroids(x, centroids, assignment, rng(), weights)
    assert list(chosen) == [3, 1]
    assert list(sizes) == [4, 3]


def test_empty_clusters_are_made_up_for_by_the_farthest():
    x, centroids = torch.tensor([[0.0], [1], [5]]), torch.tensor([[0.4], [99.0]])
    chosen, sizes = nearest_to_centroids(x, centroids, torch.zeros(3, dtype=torch.int64), rng())
    assert list(chosen) == [0, 2]
    assert list(sizes) == [3, 0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=25), st.data())
def test_any_number_of_distinct_representatives(values, data):
    k = data.draw(st.integers(0, len(values)))
    chosen, sizes = representatives(torch.tensor(values).float()[:, None], k, rng())
    assert len(set(chosen.tolist())) == len(sizes) == k
    assert len({values[i] for i in chosen}) == min(k, len(set(values)))


def test_k_means_asks_the_middle_of_each_cluster_the_largest_first():
    features = torch.tensor([[0.0], [1], [2], [50], [51.5], [52], [53], [99], [100]])
    ctx = context(size=9, k=3, features=features)
    chosen = load_strategy("k_means")(ctx)
    # Centroids: 1, 51.625 and 99.5, of which both samples are as near.
    assert list(chosen.indices[:2]) == [4, 1]
    assert chosen.indices[2] in (7, 8)
    assert list(chosen.scores) == [4, 3, 2]


def test_k_means_reads_the_unlabelled_only_and_in_embeddings():
    features = torch.tensor([[0.0], [1], [2], [90], [91], [92], [torch.nan]])
    ctx = dataclasses.replace(
        context(size=7, k=2, labelled=[1], embeddings=features),
        unlabelled=np.array([0, 2, 3, 4, 5]),
    )
    chosen = load_strategy("k_means", space="embeddings")(ctx).indices
    assert chosen[0] == 4
    assert chosen[1] in (0, 2)


PROBS = [[0.5, 0.5], [0.5, 0.5], [0.99, 0.01], [0.98, 0.02], [0.6, 0.4], [0.55, 0.45]]


def test_dbal_clusters_the_most_uncertain_only():
    features = torch.tensor([[0.0], [1], [500], [900], [40], [41]])
    ctx = context(PROBS, k=2, features=features)
    chosen = load_strategy("weighted_k_means", beta=2.0)(ctx)
    # Margins keep 0, 1, 4 and 5; the clusters {0, 1} and {4, 5} weigh 2 and 0.8 + 0.9. The
    # centroid of the second is at 40.53, nearer to 41.
    assert list(chosen.scores) == pytest.approx([2, 1.7], rel=1e-5)
    assert chosen.indices[0] in (0, 1)
    assert chosen.indices[1] == 5


def test_dbal_with_beta_1_asks_the_most_uncertain():
    features = torch.arange(6.0)[:, None]
    chosen = load_strategy("weighted_k_means", beta=1.0)(context(PROBS, k=3, features=features))
    assert sorted(chosen.indices) == [0, 1, 5]


def test_dbal_takes_any_score_and_needs_what_that_needs():
    named = load_strategy("weighted_k_means", score={"name": "entropy", "temperature": 2.0})
    assert needs_of(named) == {"probs", "features"}
    far = load_strategy("weighted_k_means", score="l2_diversity", space="embeddings")
    assert needs_of(far) == {"embeddings", "features", "neighbors"}
    with pytest.raises(ConfigError, match="gives no score"):
        load_strategy("weighted_k_means", score="random")
    with pytest.raises(ConfigError, match="beta must be a number at least 1"):
        load_strategy("weighted_k_means", beta=0.5)


def test_dbal_refuses_weights_that_are_negative():
    @score
    def below(context):
        return torch.full((len(context.unlabelled),), -1.0)

    strategy = load_strategy("weighted_k_means", score=below)
    with pytest.raises(StrategyError, match="at least 0; it is from -1 to -1"):
        strategy(context(PROBS, k=1, features=torch.ones(6, 1)))


def test_clue_centroids_are_drawn_by_entropy():
    features = torch.tensor([[0.0], [1], [2], [3], [4], [5]])
    probs = [[1.0, 0], [1, 0], [1, 0], [0.99, 0.01], [0.9, 0.1], [0.5, 0.5]]
    chosen = load_strategy("clue")(context(probs, k=1, features=features))
    h = [-sum(p * math.log(p) for p in row if p) for row in probs]
    centroid = sum(h[i] * i for i in range(6)) / sum(h)
    assert list(chosen.indices) == [round(centroid)] == [5]
    assert list(chosen.scores) == pytest.approx([sum(h)], rel=1e-5)
    # Tempered to be more alike, the others pull the centroid back.
    assert list(
        load_strategy("clue", temperature=10.0)(context(probs, k=1, features=features)).indices
    ) == [4]


def test_clue_weighs_all_the_same_where_all_are_sure():
    features = torch.tensor([[0.0], [1], [2], [3], [4]])
    chosen = load_strategy("clue")(context([[1.0, 0]] * 5, k=1, features=features))
    assert list(chosen.indices) == [2]
    assert list(chosen.scores) == [5]


def test_clue_asks_the_same_as_scikit_activeml_where_clusters_are_plain():
    peer = pytest.importorskip("skactiveml.pool")
    base = pytest.importorskip("skactiveml.base")
    x, _ = clouds(240, 6, apart=30.0)
    probs = rng(3).dirichlet(np.ones(4), 240)

    class Fixed(base.SkactivemlClassifier):
        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            return probs

    expected = peer.Clue(random_state=0, cluster_algo_dict={"n_init": 5, "random_state": 0}).query(
        x.numpy(), np.full(240, np.nan), Fixed(classes=range(4)), fit_estimator=False, batch_size=6
    )
    chosen = load_strategy("clue")(context(probs, k=6, features=x)).indices
    assert sorted(chosen) == sorted(expected)
