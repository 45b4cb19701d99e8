import logging

import numpy as np
import pytest
import torch
from fakes import context
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression

from activeloop.errors import ConfigError
from activeloop.strategies import load_strategy
from activeloop.strategies.calibration import calibration_error, fitted_temperature
from activeloop.strategies.uncertainty_herding import least_distance


def pool(n=240, seed=0):
    """Return features, labels and probabilities of three overlapping clouds."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    x = 1.5 * np.eye(3, 5)[labels] + rng.normal(size=(n, 5))
    probs = LogisticRegression().fit(x, labels).predict_proba(x)
    return torch.from_numpy(x).float(), labels, torch.from_numpy(probs).float()


def ctx(x, probs, k, labelled=(), labels=None, seed=0):
    c = context(probs, k=k, labelled=labelled, features=x, seed=seed)
    if labels is not None:
        object.__setattr__(c, "labels", np.asarray(labels)[list(labelled)])
    return c


def unit(x):
    return (x / x.norm(dim=1, keepdim=True)).double().numpy()


def uncertainty(probs, temperature):
    powers = probs.double().numpy() ** (1 / temperature)
    top = np.sort(powers / powers.sum(axis=1, keepdims=True), axis=1)
    return 1 - (top[:, -1] - top[:, -2])


@pytest.mark.parametrize("radius", [0.8, 0.05])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_every_pick_gains_the_most_weighted_coverage(radius, temperature):
    x, _, probs = pool()
    labelled = [0, 50, 100]
    c = ctx(x, probs, 20, labelled)
    picks = load_strategy("uherding", temperature=temperature, radius=radius)(c)
    kernel = np.exp(-cdist(unit(x), unit(x), "sqeuclidean") / radius**2)
    weights = uncertainty(probs, temperature)
    best, left = kernel[labelled].max(axis=0), set(c.unlabelled.tolist())
    for pick, score in zip(picks.indices, picks.scores, strict=True):
        gains = {i: (weights * np.maximum(kernel[i] - best, 0))[c.unlabelled].mean() for i in left}
        assert gains[pick] == pytest.approx(max(gains.values()), rel=1e-4)
        assert score == pytest.approx(gains[pick], rel=1e-3)
        best = np.maximum(best, kernel[pick])
        left.remove(pick)


def test_equal_uncertainty_makes_it_max_herding():
    x, _, _ = pool()
    c = ctx(x, np.full((240, 3), 1 / 3), 12, [3, 70])
    ours = load_strategy("uherding", radius=0.5)(c)
    plain = load_strategy("max_herding", radius=0.5)(ctx(x, np.full((240, 3), 1 / 3), 12, [3, 70]))
    assert ours.indices.tolist() == plain.indices.tolist()


def test_a_tiny_radius_makes_it_margin_sampling():
    x, _, probs = pool()
    ours = load_strategy("uherding", temperature=1.0, radius=1e-3)(ctx(x, probs, 10, [3, 70]))
    margin = load_strategy("margin")(ctx(x, probs, 10, [3, 70]))
    assert ours.indices.tolist() == margin.indices.tolist()


def test_where_nothing_is_unsure_all_count_the_same():
    x, labels, _ = pool()
    c = ctx(x, np.eye(3)[labels], 5, [3, 70])
    picks = load_strategy("uherding", radius=0.5)(c)
    assert picks.scores.min() > 0


def test_radius_is_the_least_distance_of_two_labelled_samples_but_duplicates():
    x, _, _ = pool()
    labelled = np.arange(0, 240, 8)
    apart = cdist(unit(x)[labelled], unit(x)[labelled])
    least = apart[apart > 0].min()
    assert least_distance(x, labelled) == pytest.approx(least, rel=1e-4)
    x[labelled[1]] = 2 * x[labelled[0]]
    x[labelled[2]] = x[labelled[0]]
    apart = cdist(unit(x)[labelled], unit(x)[labelled])
    assert least_distance(x, labelled) == pytest.approx(apart[apart > 1e-4].min(), rel=1e-4)
    assert least_distance(x, labelled[:1]) == 1
    assert least_distance(torch.ones(5, 2), np.arange(5)) == 1


def test_calibration_error_by_hand():
    # Bin of 0.9: two of three right, off by |0.9 - 2/3|; bin of 0.6: right, off by 0.4.
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    expected = (3 * abs(0.9 - 2 / 3) + 0.4) / 4
    assert calibration_error(probs, np.array([0, 0, 1, 0])) == pytest.approx(expected)
    assert calibration_error(np.array([[1.0, 0]]), np.array([0])) == 0


def test_the_temperature_undoes_overconfidence():
    x, labels, probs = pool(n=2000)
    labelled = list(range(0, 2000, 2))
    found = {}
    for power in (0.5, 1.0, 4.0):
        sharp = probs**power / (probs**power).sum(dim=1, keepdim=True)
        found[power] = fitted_temperature(ctx(x, sharp, 1, labelled, labels), x)
    assert 0.6 < found[1.0] < 1.7
    assert found[0.5] == pytest.approx(found[1.0] / 2, rel=0.3)
    assert found[4.0] == pytest.approx(found[1.0] * 4, rel=0.3)


def test_a_network_that_knows_its_labels_by_heart_is_not_believed():
    x, labels, probs = pool(n=600)
    labels = np.random.default_rng(1).permutation(labels)  # nothing to learn
    labelled = list(range(300))
    probs = probs**8 / (probs**8).sum(dim=1, keepdim=True)
    probs[:300] = torch.eye(3)[torch.from_numpy(labels[:300])] * 0.97 + 0.01
    assert fitted_temperature(ctx(x, probs, 1, labelled, labels), x) > 2


def test_too_few_labels_for_a_temperature():
    x, labels, probs = pool()
    assert fitted_temperature(ctx(x, probs, 1), x) == 1
    assert fitted_temperature(ctx(x, probs, 1, [0, 1, 2], labels), x) == 1
    assert fitted_temperature(ctx(x, probs, 1, range(30)), x) == 1  # one class


def test_both_are_logged_and_checked(caplog):
    caplog.set_level(logging.INFO, "activeloop.strategies")
    x, labels, probs = pool()
    load_strategy("uherding")(ctx(x, probs, 2, range(40), labels))
    assert "temperature" in caplog.text
    assert "radius 0." in caplog.text
    for name in ("temperature", "radius"):
        with pytest.raises(ConfigError, match=f"strategy.{name} must be a number above 0, got 0"):
            load_strategy("uherding", **{name: 0})(ctx(x, probs, 2, range(40), labels))
