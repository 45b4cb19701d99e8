import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics.pairwise import cosine_similarity as sklearn_cosine
from sklearn.neighbors import NearestNeighbors

from activeloop import measures
from activeloop.evaluation import mean_measures
from activeloop.neighbors import nearest
from activeloop.types import Prediction

P = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])


def test_least_confidence_by_hand():
    assert measures.least_confidence(P).tolist() == pytest.approx([0.5, 0.0, 2 / 3])


def test_entropy_by_hand_and_zero_probabilities_add_nothing():
    by_hand = -(0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.2))
    assert measures.entropy(P).tolist() == pytest.approx([by_hand, 0.0, math.log(3)])


def test_logarithms_are_those_of_every_type_and_layout():
    x = torch.rand(30, 4) + 1e-3
    for each in (x, x.double(), x.T, x[::3], torch.tensor([0.0, 1e-38, 1.0])):
        np.testing.assert_allclose(measures.log(each), each.double().log(), rtol=1e-6, atol=1e-7)


def test_margin_by_hand_against_second_and_worst():
    assert measures.margin(P).tolist() == pytest.approx([0.2, 1.0, 0.0], abs=1e-7)
    assert measures.margin(P, "worst").tolist() == pytest.approx([0.3, 1.0, 0.0], abs=1e-7)


def test_margin_of_a_single_class_is_certain():
    assert measures.margin(torch.ones(4, 1)).tolist() == [1, 1, 1, 1]


@given(arrays(np.float32, (7, 4), elements=st.floats(0, 1, width=32)))
def test_uncertainty_equals_scipy_and_numpy(raw):
    probs = (raw + 1e-3) / (raw + 1e-3).sum(axis=1, keepdims=True)
    probs[raw == raw.max()] = 0  # some probabilities are exactly 0
    total = probs.sum(axis=1, keepdims=True)
    probs = np.where(total > 0, probs / np.where(total > 0, total, 1), 0.25).astype(np.float32)
    tensor = torch.from_numpy(probs)
    descending = -np.sort(-probs, axis=1)
    np.testing.assert_allclose(measures.entropy(tensor), stats.entropy(probs, axis=1), atol=1e-5)
    np.testing.assert_allclose(measures.least_confidence(tensor), 1 - descending[:, 0], atol=1e-6)
    np.testing.assert_allclose(
        measures.margin(tensor), descending[:, 0] - descending[:, 1], atol=1e-6
    )


def test_neighbor_measures_equal_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6)).astype(np.float32)
    probs = rng.dirichlet(np.ones(4), 200).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    distances, near = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(unit).kneighbors(unit)
    distances, near = distances[:, 1:], near[:, 1:]  # the first is the sample itself

    our_distances, ours = nearest(torch.from_numpy(features), 5)

    np.testing.assert_array_equal(ours, near)
    np.testing.assert_allclose(measures.l2_distance(our_distances), distances.mean(axis=1), 1e-5)
    similarity = np.take_along_axis(sklearn_cosine(features), near, axis=1).mean(axis=1)
    np.testing.assert_allclose(
        measures.cosine_similarity(torch.from_numpy(features), ours), similarity, atol=1e-6
    )
    divergence = stats.entropy(probs[near].mean(axis=1), probs, axis=1)
    np.testing.assert_allclose(
        measures.neighbor_kl(torch.from_numpy(probs), ours), divergence, rtol=1e-4, atol=1e-6
    )


def test_neighbor_kl_by_hand():
    probs = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    near = torch.tensor([[1, 2], [0, -1], [-1, -1]])
    q = (0.4, 0.6)  # mean of samples 1 and 2
    first = q[0] * math.log(q[0] / 0.9) + q[1] * math.log(q[1] / 0.1)
    second = 0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4)
    kl = measures.neighbor_kl(probs, near)
    assert kl[:2].tolist() == pytest.approx([first, second], rel=1e-5)
    assert kl[2].isnan()


def test_neighbor_kl_stays_finite_where_the_own_probability_is_zero():
    probs = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    kl = measures.neighbor_kl(probs, torch.tensor([[1], [0]]))
    assert kl.isfinite().all()
    assert (kl > 80).all()  # -log of the smallest float32 is 87


def test_neighbor_kl_is_zero_among_equals_with_zeros():
    probs = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert measures.neighbor_kl(probs, torch.tensor([[1], [0]])).tolist() == [0, 0]


def test_cosine_similarity_by_hand_with_a_row_of_zeros_and_no_neighbours():
    features = torch.tensor([[2.0, 0.0], [3.0, 3.0], [0.0, 0.0]])
    near = torch.tensor([[1, -1], [0, 2], [-1, -1]])
    similarity = measures.cosine_similarity(features, near)
    assert similarity[:2].tolist() == pytest.approx([math.sqrt(0.5), math.sqrt(0.5) / 2])
    assert similarity[2].isnan()


def test_l2_distance_is_the_mean_of_those_that_exist():
    distances = torch.tensor([[1.0, 3.0], [2.0, math.inf], [math.inf, math.inf]])
    means = measures.l2_distance(distances)
    assert means[:2].tolist() == [2, 2]
    assert means[2].isnan()


def test_chunks_do_not_change_results(monkeypatch):
    rng = np.random.default_rng(1)
    probs = torch.from_numpy(rng.dirichlet(np.ones(3), 50).astype(np.float32))
    features = torch.from_numpy(rng.normal(size=(50, 4)).astype(np.float32))
    near = nearest(features, 3)[1]
    whole = measures.neighbor_kl(probs, near), measures.cosine_similarity(features, near)
    monkeypatch.setattr(measures, "rows_at_a_time", lambda size: 7)
    parts = measures.neighbor_kl(probs, near), measures.cosine_similarity(features, near)
    assert torch.equal(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1])


def test_one_class_is_certain():
    probs = torch.ones(3, 1)
    assert measures.least_confidence(probs).tolist() == [0, 0, 0]
    assert measures.entropy(probs).tolist() == [0, 0, 0]
    near = nearest(torch.randn(3, 2), 1)[1]
    assert measures.neighbor_kl(probs, near).tolist() == [0, 0, 0]


def test_means_over_a_set_by_hand_with_fewer_than_m_neighbours():
    probs = torch.tensor([[0.8, 0.2], [0.5, 0.5]])
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    means = mean_measures(Prediction(probs=probs, features=features), m=5)
    kl = [
        0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2),
        0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5),
    ]
    entropy = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    assert means == pytest.approx(
        {
            "least_confidence": 0.35,
            "entropy": (entropy + math.log(2)) / 2,
            "margin": 0.3,
            "cosine_similarity": 0.0,
            "l2_distance": math.sqrt(2),
            "neighbor_kl": sum(kl) / 2,
        },
        rel=1e-5,
        abs=1e-7,
    )


def test_means_of_a_single_sample_have_no_neighbours():
    one = Prediction(probs=torch.tensor([[0.8, 0.2]]), features=torch.ones(1, 3))
    means = mean_measures(one)
    assert means["least_confidence"] == pytest.approx(0.2)
    assert all(math.isnan(means[n]) for n in ("cosine_similarity", "l2_distance", "neighbor_kl"))
