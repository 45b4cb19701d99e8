import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from activeloop import neighbors
from activeloop.errors import ConfigError, StrategyError
from activeloop.neighbors import PoolNeighbors, nearest


def brute_force(x: np.ndarray, m: int, reference: np.ndarray | None):
    """Return sorted distances and indices, the row itself left out, ties by index."""
    allowed = range(len(x)) if reference is None else sorted(reference)
    distances = np.full((len(x), m), np.inf)
    indices = np.full((len(x), m), -1)
    for i in range(len(x)):
        found = sorted((float(np.linalg.norm(x[i] - x[j])), j) for j in allowed if j != i)[:m]
        for column, (distance, j) in enumerate(found):
            distances[i, column], indices[i, column] = distance, j
    return distances, indices


@settings(deadline=None)
@given(
    n=st.integers(1, 30),
    m=st.integers(1, 8),
    seed=st.integers(0, 1000),
    labelled=st.one_of(st.none(), st.integers(0, 10)),
)
def test_equals_brute_force_with_and_without_reference(n, m, seed, labelled):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    reference = None if labelled is None else rng.choice(n, min(labelled, n), replace=False)
    distances, indices = nearest(torch.from_numpy(x), m, reference, normalize=False)
    expected, found = brute_force(x, m, reference)
    np.testing.assert_array_equal(indices, found)
    np.testing.assert_allclose(distances, expected, rtol=1e-5, atol=1e-6)


def test_duplicates_are_neighbours_of_each_other_and_never_of_themselves():
    x = torch.zeros(6, 2)
    x[5] = torch.tensor([1.0, 0.0])
    distances, indices = nearest(x, 3, normalize=False)
    for row in range(6):
        assert row not in indices[row].tolist()
        assert len(set(indices[row].tolist())) == 3
    assert distances[:5].max() == 0
    assert distances[5].tolist() == [1, 1, 1]


def test_more_duplicates_than_the_search_is_wide():
    _, indices = nearest(torch.ones(40, 3), 2)
    assert all(row not in indices[row].tolist() for row in range(40))
    assert (indices >= 0).all()


def test_equal_distances_are_ordered_by_number():
    circle = torch.tensor([[0.0, 0], [1, 0], [0, 1], [-1, 0], [0, -1], [3, 3]])
    _, indices = nearest(circle, 4, normalize=False)
    assert indices[0].tolist() == [1, 2, 3, 4]
    found = np.array([[4, 2, 3, 1, 0]])
    matrix = circle.numpy()
    assert neighbors._ordered(matrix, np.array([0]), found)[1].tolist() == [[1, 2, 3, 4, -1]]


def test_normalisation_makes_length_irrelevant_and_keeps_zero_rows():
    x = torch.tensor([[1.0, 0.0], [100.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    distances, indices = nearest(x, 1)
    assert indices[:3, 0].tolist() == [1, 0, 3]  # the zero row is at 1, the others at sqrt(2)
    assert distances[2, 0] == 1
    assert distances[3, 0] == 1


def test_fewer_than_m_neighbours_are_filled_up():
    distances, indices = nearest(torch.eye(2), 3)
    assert indices.tolist() == [[1, -1, -1], [0, -1, -1]]
    assert distances[0, 0] == pytest.approx(math.sqrt(2))
    assert distances[:, 1:].isinf().all()


def test_a_single_sample_has_no_neighbours():
    distances, indices = nearest(torch.ones(1, 4), 2)
    assert indices.tolist() == [[-1, -1]]
    assert distances.isinf().all()


def test_rows_that_were_not_predicted_are_left_out():
    x = torch.tensor([[0.0, 1], [math.nan, math.nan], [0.1, 1], [0.2, 1]])
    _, indices = nearest(x, 2)
    assert indices.tolist() == [[2, 3], [-1, -1], [3, 0], [2, 0]]


def test_small_distances_are_exact():
    x = torch.tensor([[1000.0, 0.0], [1000.0, 1e-2], [2000.0, 0.0]])
    distances, _ = nearest(x, 1, normalize=False)
    assert distances[0, 0] == pytest.approx(1e-2, rel=1e-3)


def test_m_below_one_is_an_error():
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        nearest(torch.eye(3), 0)


def test_tables_are_kept_by_content_and_handed_out_as_copies(monkeypatch):
    calls = []
    real = neighbors.nearest
    monkeypatch.setattr(neighbors, "nearest", lambda *a, **k: calls.append(a) or real(*a, **k))
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(5))
    labelled = np.array([1, 2])
    first = PoolNeighbors(features, None, labelled)(3)
    first[1].fill_(-7)
    again = PoolNeighbors(features.clone(), None, np.array([4]))(3)
    assert len(calls) == 1
    assert (again[1] >= 0).all()
    PoolNeighbors(features, None, labelled)(3, "labelled")
    PoolNeighbors(features + 1, None, labelled)(3)
    assert len(calls) == 3


def test_labelled_reference_and_embedding_space():
    features, embeddings = torch.eye(4), torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    near = PoolNeighbors(features, embeddings, np.array([0, 3]))
    assert near(1, "labelled", space="embeddings", normalize=False)[1].tolist() == [
        [3],
        [0],
        [3],
        [0],
    ]


def test_absent_spaces_say_what_to_choose():
    with pytest.raises(StrategyError, match="embed=pca"):
        PoolNeighbors(torch.eye(3), None, np.array([0]))(1, space="embeddings")
    with pytest.raises(StrategyError, match="before the first round"):
        PoolNeighbors(None, torch.eye(3), np.array([0]))(1)
    with pytest.raises(ConfigError, match="reference must be one of pool, labelled"):
        PoolNeighbors(torch.eye(3), None, np.array([0]))(1, "lablled")  # type: ignore[arg-type]
