import math

import numpy as np
import pytest
import torch
from fakes import context

from activeloop.neighbors import PoolNeighbors
from activeloop.strategies import load_strategy


def ctx(x, probs, k, labelled):
    x = torch.as_tensor(x, dtype=torch.float32)
    near = PoolNeighbors(x, None, np.array(labelled, np.int64))
    return context(probs, k=k, labelled=labelled, features=x, neighbors=near)


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a)


def test_scores_by_hand_and_labelled_neighbours_only():
    # Sample 3 lies between unlabelled 2 and labelled 0, 1: only the labelled ones count.
    x = [[1, 0.0], [1, 0.1], [1, 0.3], [1, 0.2], [0, 1]]
    probs = [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.7, 0.3]]
    picks = load_strategy("cal", m=2)(ctx(x, probs, 3, labelled=[0, 1]))
    by_sample = dict(zip(picks.indices.tolist(), picks.scores, strict=True))
    for sample in (2, 3, 4):
        expected = (kl(probs[0], probs[sample]) + kl(probs[1], probs[sample])) / 2
        assert by_sample[sample] == pytest.approx(expected, rel=1e-4)
    assert picks.indices[0] == 3


def test_it_is_the_mean_of_divergences_not_the_divergence_of_the_mean():
    x, probs = [[1, 0], [1, 0], [1, 0]], [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]]
    picks = load_strategy("cal", m=2)(ctx(x, probs, 1, labelled=[0, 1]))
    assert picks.scores[0] == pytest.approx(kl([0.9, 0.1], [0.5, 0.5]), rel=1e-5)


def test_fewer_labels_than_neighbours_and_none():
    x, probs = np.eye(4), [[0.9, 0.1], [0.5, 0.5], [0.4, 0.6], [0.3, 0.7]]
    picks = load_strategy("cal")(ctx(x, probs, 1, labelled=[0]))
    assert picks.indices[0] == 3
    assert picks.scores[0] == pytest.approx(kl(probs[0], probs[3]), rel=1e-5)
    none = load_strategy("cal")(ctx(x, probs, 4, labelled=[]))
    assert list(none.scores) == [0] * 4


def test_probabilities_of_zero_and_one_stay_finite():
    picks = load_strategy("cal")(ctx(np.eye(3), np.eye(3), 2, labelled=[0]))
    assert np.isfinite(picks.scores).all()
    assert picks.scores[0] > 80


@pytest.mark.parametrize("n_classes", [2, 12])
def test_scores_equal_scikit_activeml(n_classes):
    pool = pytest.importorskip("skactiveml.pool")
    from skactiveml.classifier import SklearnClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import normalize

    rng = np.random.default_rng(0)
    x = normalize(rng.normal(size=(300, 8)))
    y = np.full(300, np.nan)
    y[:60] = np.arange(60) % n_classes
    model = SklearnClassifier(LogisticRegression(C=20), classes=range(n_classes)).fit(x, y)
    _, utilities = pool.ContrastiveAL(nearest_neighbors_dict={"n_neighbors": 10}).query(
        x, y, model, fit_clf=False, return_utilities=True
    )
    c = ctx(x, model.predict_proba(x), 240, labelled=range(60))
    ours = load_strategy("cal")(c)
    assert ours.scores == pytest.approx(utilities[0][ours.indices], rel=1e-3, abs=1e-5)
