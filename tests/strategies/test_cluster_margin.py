import logging

import numpy as np
import pytest
import torch
from fakes import context
from scipy.cluster.hierarchy import average, cut_tree
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import adjusted_rand_score

from activeloop.strategies import load_strategy
from activeloop.strategies.hierarchy import average_linkage, hierarchical, round_robin


def rng(seed=0):
    return np.random.default_rng(seed)


def binary(margins):
    """Return probabilities of two classes with these margins."""
    return [[(1 + m) / 2, (1 - m) / 2] for m in margins]


@pytest.mark.parametrize("seed", range(5))
def test_linkage_is_that_of_scipy(seed):
    x = rng(seed).normal(size=(80, 3))
    expected = average(pdist(x))
    _, _, heights = average_linkage(squareform(pdist(x)), np.ones(80))
    np.testing.assert_allclose(heights, expected[:, 2], rtol=1e-9)
    for count in (1, 2, 7, 30, 80):
        ours = hierarchical(torch.from_numpy(x), count, 100, rng())
        theirs = cut_tree(expected, n_clusters=count)[:, 0]
        assert adjusted_rand_score(ours, theirs) == 1
        assert len(set(ours.tolist())) == count


def test_sizes_weigh_the_average():
    # Two at 0 and one at 3 are joined; the average from 10 is (2 * 10 + 7) / 3.
    apart = np.abs(np.subtract.outer([0.0, 3, 10], [0, 3, 10]))
    _, _, heights = average_linkage(apart, np.array([2.0, 1, 1]))
    assert list(heights) == pytest.approx([3, 9])


def test_small_clusters_first_find_what_the_exact_linkage_finds(caplog):
    draw = rng(1)
    centres = 12 * draw.normal(size=(10, 8))
    x = centres[draw.integers(10, size=2000)] + draw.normal(size=(2000, 8))
    with caplog.at_level(logging.INFO, "activeloop.strategies"):
        ours = hierarchical(torch.from_numpy(x).float(), 10, 200, draw)
    theirs = cut_tree(average(pdist(x)), n_clusters=10)[:, 0]
    assert adjusted_rand_score(ours, theirs) > 0.98
    assert "200 small clusters stand for 2000 samples" in caplog.text


def test_round_robin_takes_turns_from_the_smallest():
    member = np.array([5, 5, 5, 5, 7, 7, 9])
    for seed in range(20):
        taken = member[round_robin(member, 6, rng(seed))]
        assert taken.tolist() == [9, 7, 5, 7, 5, 5]


def test_round_robin_is_random_within_clusters_and_between_equal_ones():
    member = np.array([1, 1, 2, 2])
    firsts = np.bincount([round_robin(member, 1, rng(s))[0] for s in range(800)], minlength=4)
    assert firsts.min() > 150  # 200 expected each, standard deviation 12


def test_smallest_margins_spread_over_clusters():
    features = torch.tensor([[0.0], [0.1], [0.2], [0.3], [9.0], [9.1], [50.0]])
    probs = binary([0.01, 0.02, 0.03, 0.04, 0.05, 0.9, 0.95])
    ctx = context(probs, k=2, features=features)
    chosen = load_strategy("cluster_margin", beta=2.5)(ctx)
    # The five smallest margins lie in the clusters {0, 1, 2, 3} and {4}: the smaller one first.
    assert chosen.indices[0] == 4
    assert chosen.indices[1] in range(4)
    margins = np.array(probs)[chosen.indices]
    assert list(chosen.scores) == pytest.approx(list(1 - margins[:, 0] + margins[:, 1]), abs=1e-6)


def test_beta_1_is_margin_sampling():
    ctx = context(binary([0.5, 0.1, 0.3, 0.2]), k=2, features=torch.arange(4.0)[:, None])
    assert sorted(load_strategy("cluster_margin", beta=1.0)(ctx).indices) == [1, 3]


def test_the_number_of_clusters_can_be_given():
    features = torch.tensor([[0.0], [0.2], [9.0], [9.3], [100.0], [101.0]])
    ctx = context(binary([0.1] * 6), k=3, features=features)
    seen = {
        frozenset(i // 2 for i in load_strategy("cluster_margin", beta=2.0, clusters=n)(
            context(binary([0.1] * 6), k=3, seed=seed, features=features)
        ).indices.tolist())
        for seed in range(20)
        for n in (3,)
    }  # fmt: skip
    assert seen == {frozenset([0, 1, 2])}
    assert len(load_strategy("cluster_margin", clusters=1)(ctx).indices) == 3
