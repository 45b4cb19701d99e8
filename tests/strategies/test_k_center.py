import math
from collections import Counter

import numpy as np
import pytest
import torch
from fakes import context
from hypothesis import given, settings
from hypothesis import strategies as st

from activeloop.strategies import coreset, load_strategy


def pool(features, k, labelled=(), seed=0, **fields):
    features = torch.as_tensor(np.asarray(features, np.float32))
    return context(
        size=len(features), k=k, labelled=labelled, seed=seed, features=features, **fields
    )


def picks(*args, **fields):
    return load_strategy("k_center")(pool(*args, **fields))


def brute_force(features, labelled, k):
    """Return greedy k-center picks and their distances, one pick at a time, in float64."""
    x = np.asarray(features, np.float64)
    away = np.min([np.linalg.norm(x - x[c], axis=1) for c in labelled], axis=0)
    away[list(labelled)] = -1
    chosen, distances = [], []
    for _ in range(k):
        chosen.append(int(away.argmax()))
        distances.append(away.max())
        away = np.minimum(away, np.linalg.norm(x - x[chosen[-1]], axis=1))
        away[chosen[-1]] = -1
    return chosen, distances


def test_farthest_first_on_a_line_by_hand():
    chosen = picks([[0.0], [1], [2], [7], [10]], k=4, labelled=[0])
    # 10 away from 0; then 7 is 3 from 10, 2 is 2 from 0, 1 is 1 from 0 and from 2.
    assert list(chosen.indices) == [4, 3, 2, 1]
    assert list(chosen.scores) == pytest.approx([10, 3, 2, 1])


@pytest.mark.parametrize("size", [60, 3000])
@pytest.mark.parametrize("labels", [1, 40, 150])
def test_same_picks_as_brute_force(size, labels, monkeypatch):
    monkeypatch.setattr(coreset, "_FEWEST", 128)  # groups smaller than the pool
    x = np.random.default_rng(size + labels).gamma(1.0, size=(size, 7)).astype(np.float32)
    labels = min(labels, size // 2)
    expected, distances = brute_force(x, range(labels), min(200, size - labels))
    chosen = picks(x, k=len(expected), labelled=range(labels))
    assert list(chosen.indices) == expected
    assert list(chosen.scores) == pytest.approx(distances, rel=1e-4)


def test_same_picks_as_scikit_activeml():
    peer = pytest.importorskip("skactiveml.pool")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2500, 20)).astype(np.float32)
    labelled = np.sort(rng.choice(2500, 30, replace=False))
    y = np.full(2500, np.nan)
    y[labelled] = 0
    expected = peer.CoreSet(random_state=0).query(x, y, batch_size=100)
    assert list(picks(x, k=100, labelled=labelled).indices) == expected.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.data())
def test_each_pick_is_farthest_though_samples_repeat(values, data):
    labelled = list(range(data.draw(st.integers(1, len(values) - 1))))
    k = data.draw(st.integers(1, len(values) - len(labelled)))
    x = np.array(values, float)[:, None]
    chosen = picks(x, k=k, labelled=labelled)
    centres = list(labelled)
    assert len(set(chosen.indices.tolist())) == k
    for index, score in zip(chosen.indices, chosen.scores, strict=True):
        away = np.abs(x - x[centres].T).min(axis=1)
        assert away[index] == away.max() == pytest.approx(score, abs=1e-3)
        centres.append(index)


def test_the_first_pick_of_an_empty_start_is_uniform_and_scores_infinity():
    firsts = Counter()
    for seed in range(300):
        chosen = picks([[0.0], [1], [2]], k=2, seed=seed)
        firsts[int(chosen.indices[0])] += 1
        assert chosen.scores[0] == math.inf
        assert chosen.scores[1] in (1, 2)
    assert min(firsts.values()) > 70  # 100 expected each, standard deviation 8
    assert len(firsts) == 3


def test_ties_are_broken_by_rng(monkeypatch):
    cross = [[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]]
    seen = {int(picks(cross, 1, [0], seed=s).indices[0]) for s in range(60)}
    assert seen == {1, 2, 3, 4}
    monkeypatch.setattr(coreset, "_FEWEST", 4)  # most of those tied are outside the group
    seen = {int(picks(np.zeros((50, 2)), 1, [0], seed=s).indices[0]) for s in range(200)}
    assert len(seen) > 40


def test_a_large_offset_does_not_drown_small_distances():
    x = np.array([[0.0], [1e-3], [4e-3], [9e-3]]) + 100.0
    assert list(picks(x, 3, [0]).indices) == [3, 2, 1]


def test_rows_that_were_not_predicted_are_not_read():
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[15:] = np.nan
    ctx = pool(x, 5, [0, 1])
    narrowed = np.arange(2, 15)
    ctx = type(ctx)(**{**vars(ctx), "unlabelled": narrowed})
    assert list(load_strategy("k_center")(ctx).indices) == brute_force(x[:15], [0, 1], 5)[0]


def test_embeddings_serve_before_there_are_features():
    strategy = load_strategy("k_center", space="embeddings")
    ctx = context(size=3, k=1, labelled=[1], embeddings=torch.tensor([[0.0], [1.0], [9.0]]))
    assert list(strategy(ctx).indices) == [2]


def test_without_room_for_a_copy_the_picks_are_the_same():
    x = np.random.default_rng(3).normal(size=(500, 6))
    ample, scarce = (picks(x, 50, [0], memory_limit=limit) for limit in (2**30, 4000))
    assert list(ample.indices) == list(scarce.indices)
