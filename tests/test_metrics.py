import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from activeloop.metrics import scores


def drawn(seed, samples=200, classes=5, sharpness=3.0):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, sharpness, (samples, classes)).astype(np.float32))
    return logits.softmax(dim=1).numpy(), rng.integers(0, classes, samples)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("samples", "classes"), [(200, 5), (6, 20), (50, 2)])
def test_scores_are_scikit_learns(seed, samples, classes):
    probs, labels = drawn(seed, samples, classes)
    found, predicted = scores(probs, labels), probs.argmax(axis=1)
    assert found["accuracy"] == accuracy_score(labels, predicted)
    there = np.clip(probs.astype(np.float64), 1e-30, None)
    expected = log_loss(labels, there / there.sum(axis=1)[:, None], labels=range(classes))
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    expected = f1_score(labels, predicted, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected, rel=1e-12)
    recalls = recall_score(labels, predicted, average=None, labels=np.unique(labels))
    assert found["worst_class_accuracy"] == recalls.min()


def test_f1_and_the_worst_class_by_hand():
    # Class 3 is nowhere; 2 is predicted once and is nobody's; 1 has one of two right.
    labels = np.array([0, 0, 1, 1])
    probs = np.eye(4)[[0, 0, 1, 2]]
    found = scores(probs, labels)
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found["worst_class_accuracy"] == 0.5


def test_calibration_error_by_hand():
    # One bin has 0.95 right and 0.95 wrong: 0.9 apart together, and 0.55 right is 0.45 apart.
    probs = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45]])
    found = scores(probs, np.array([0, 1, 0]))
    assert found["calibration_error"] == pytest.approx((0.9 + 0.45) / 3)


def test_a_bin_includes_its_upper_end():
    # 0.6 = 9/15 is in the bin below, so that the two gaps do not cancel.
    probs = np.array([[0.6, 0.4], [0.62, 0.38]])
    found = scores(probs, np.array([0, 1]))
    assert found["calibration_error"] == pytest.approx((0.4 + 0.62) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_bin_by_bin(seed):
    probs, labels = drawn(seed, samples=500)
    confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == labels
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            gap = abs(confidence[inside].mean() - correct[inside].mean())
            expected += inside.mean() * gap
    assert scores(probs, labels)["calibration_error"] == pytest.approx(expected, rel=1e-5)


def test_certain_and_right_is_perfect():
    labels = np.array([2, 0, 1, 1])
    assert scores(np.eye(3, dtype=np.float32)[labels], labels) == {
        "accuracy": 1.0,
        "loss": 0.0,
        "macro_f1": 1.0,
        "worst_class_accuracy": 1.0,
        "calibration_error": 0.0,
    }


def test_a_probability_of_0_for_the_truth_leaves_the_loss_finite():
    found = scores(np.array([[1.0, 0.0]], dtype=np.float32), np.array([1]))
    assert found["loss"] == pytest.approx(87.3365, rel=1e-5)
    assert (found["accuracy"], found["macro_f1"], found["calibration_error"]) == (0, 0, 1)


def test_probabilities_of_a_diverged_network_are_an_answer_not_an_error():
    found = scores(np.full((3, 2), np.nan, dtype=np.float32), np.array([0, 1, 1]))
    assert np.isnan(found["loss"])
    assert np.isnan(found["calibration_error"])


def test_what_a_run_keeps_in_half_precision_gives_nearly_the_same():
    probs, labels = drawn(0, samples=1000, sharpness=1.0)
    full, half = scores(probs, labels), scores(probs.astype(np.float16), labels)
    assert half == pytest.approx(full, abs=5e-3)


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 6))
def test_scores_are_shares(seed, samples, classes):
    probs, labels = drawn(seed, samples, classes)
    found = scores(probs, labels)
    assert found.pop("loss") >= 0
    assert all(0 <= value <= 1 for value in found.values())
    assert found["worst_class_accuracy"] <= found["accuracy"]
