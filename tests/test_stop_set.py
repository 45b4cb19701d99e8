"""What consecutive networks say of the stop set."""

import math

import numpy as np
import pytest
import torch
from fakes import CentroidLearner, blobs
from sklearn.metrics import cohen_kappa_score, f1_score

from activeloop.errors import ConfigError
from activeloop.stop_set import StopSet, kappa, overall_uncertainty, performance_difference
from activeloop.types import Prediction


def drawn(seed, classes=4, n=200, agree=0.8):
    rng = np.random.default_rng(seed)
    before = rng.integers(0, classes, n)
    return before, np.where(rng.random(n) < agree, before, rng.integers(0, classes, n))


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed):
    before, now = drawn(seed, classes=2 + seed, agree=seed / 4)
    assert kappa(before, now) == pytest.approx(cohen_kappa_score(before, now), abs=1e-12)
    assert kappa(before, before) == 1.0


def test_kappa_where_a_network_names_one_class_only():
    one, other = np.zeros(50, np.int64), np.ones(50, np.int64)
    assert kappa(one, one) == 0.0  # scikit-learn's is NaN
    assert kappa(one, other) == cohen_kappa_score(one, other) == 0.0
    mixed = np.arange(50) % 2
    assert kappa(one, mixed) == cohen_kappa_score(one, mixed) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_the_performance_difference_is_what_the_old_lacks_in_f_if_the_new_is_right(seed):
    before, now = drawn(seed, classes=2 + seed)
    expected = 1 - f1_score(now, before, average="macro")
    assert performance_difference(before, now) == pytest.approx(expected, abs=1e-12)


def test_the_performance_difference_by_hand():
    before, now = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 5])
    # class 0: a 1, one of them only 1: 1 - 2/3; class 1: a 2, 2: 1 - 4/6; class 5: a 0: 1.
    assert performance_difference(before, now) == pytest.approx((1 / 3 + 1 / 3 + 1) / 3)
    assert performance_difference(now, now) == 0.0


def test_overall_uncertainty_by_hand():
    probs = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    assert overall_uncertainty(probs) == pytest.approx(math.log(2) / 2)


class Saying:
    """Predicts what it was given for the whole pool, whatever is asked."""

    def __init__(self, probs):
        self.probs = torch.as_tensor(probs, dtype=torch.float32)

    def predict(self, samples, indices, needs, out=None):
        assert needs == frozenset()
        return Prediction(probs=self.probs[torch.from_numpy(indices)])


def test_a_stop_set_is_part_of_the_pool_drawn_once_and_compares_with_what_was_kept():
    data, _ = blobs(40)
    one, again = (StopSet(data.pool, 10, np.random.default_rng(3)) for _ in range(2))
    other = StopSet(data.pool, 10, np.random.default_rng(4))
    assert one.indices.tolist() == again.indices.tolist() != other.indices.tolist()
    assert len(set(one.indices.tolist())) == 10
    assert sorted(StopSet(data.pool, 1000, np.random.default_rng(3)).indices) == list(range(40))

    probs = np.tile([0.7, 0.2, 0.1], (40, 1))
    metrics, kept = one(Saying(probs), None)
    assert list(metrics) == ["overall_uncertainty"]
    assert (kept.shape, kept.dtype) == ((10, 3), np.float16)
    changed = probs.copy()
    changed[one.indices[:3]] = [0.1, 0.2, 0.7]
    changed[np.setdiff1d(np.arange(40), one.indices)] = [0.0, 1.0, 0.0]  # not looked at
    metrics, _ = one(Saying(changed), kept)
    assert metrics["classification_change"] == 0.3
    assert metrics["kappa"] == 0.0
    # class 0: 7 in common, 3 only before: 1 - 14/17; class 2: none in common.
    assert metrics["performance_difference"] == pytest.approx((1 - 14 / 17 + 1) / 2)


def test_classes_may_be_added_and_numbers_that_are_not_finite_are_not_compared():
    data, _ = blobs(40)
    stop_set = StopSet(data.pool, 10, np.random.default_rng(3))
    _, three = stop_set(Saying(np.eye(3)[np.arange(40) % 3]), None)
    four = np.eye(4)[np.arange(40) % 3]
    metrics, _ = stop_set(Saying(four), three)
    assert metrics["kappa"] == 1.0
    broken, kept = stop_set(Saying(np.full((40, 3), np.nan)), three)
    assert list(broken) == ["overall_uncertainty"]
    assert list(stop_set(Saying(four), kept)[0]) == ["overall_uncertainty"]


@pytest.mark.parametrize("size", [0, -1, 2.5, "all"])
def test_a_size_that_is_none(size):
    with pytest.raises(ConfigError, match="stop_set must be a whole number"):
        StopSet(blobs()[0].pool, size, np.random.default_rng(0))


def test_learners_of_any_kind_are_asked_for_probabilities_only():
    data, hidden = blobs(40)
    learner = CentroidLearner()
    learner.fit(data, np.arange(9), hidden.pool[:9], np.random.default_rng(0))
    metrics, kept = StopSet(data.pool, 10, np.random.default_rng(3))(learner, None)
    assert learner.predicted == [10]
    assert 0 < metrics["overall_uncertainty"] < math.log(3)
    assert kept.sum(axis=1) == pytest.approx(np.ones(10), abs=2e-3)
