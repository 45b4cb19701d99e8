import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc

from activeloop.report.learning_curves import (
    area,
    labels_saved,
    labels_to_reach,
    median_labels,
    reach,
)

LABELS, VALUES = [10, 20, 40], [0.5, 0.7, 0.8]

curves = st.lists(
    st.tuples(st.integers(1, 1000), st.floats(0, 1)),
    min_size=1,
    max_size=12,
    unique_by=lambda p: p[0],
).map(lambda points: tuple(np.array(each) for each in zip(*sorted(points), strict=True)))


# -- area ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (10, 40, (0.6 * 10 + 0.75 * 20) / 30),
        (15, 40, (0.65 * 5 + 0.75 * 20) / 25),
        (15, 30, (0.65 * 5 + 0.725 * 10) / 15),
        (22, 30, (0.71 + 0.75) / 2),
        (20, 20, 0.7),
        (15, 15, 0.6),
        (40, 40, 0.8),
    ],
)
def test_area_by_hand_its_ends_between_rounds_interpolated(low, high, expected):
    assert area(LABELS, VALUES, low, high) == pytest.approx(expected, rel=1e-12)


def test_area_is_scikit_learns_over_the_width():
    rng = np.random.default_rng(0)
    labels = np.sort(rng.choice(1000, 20, replace=False))
    values = rng.random(20)
    width = labels[-1] - labels[0]
    found = area(labels, values, labels[0], labels[-1])
    assert found == pytest.approx(auc(labels, values) / width, rel=1e-12)


def test_of_rounds_with_the_same_labels_the_last_counts():
    assert area([10, 20, 20], [0, 0.4, 1], 10, 20) == 0.5
    assert area([20, 10] * 20, np.arange(40), 10, 20) == 38.5
    assert labels_to_reach([10, 20, 20, 30], [0.1, 0.9, 0.2, 1.0], 0.6) == 25


def test_a_curve_of_one_round_has_an_area_at_its_point():
    assert area([10], [0.3], 10, 10) == 0.3


@pytest.mark.parametrize(("low", "high"), [(9, 40), (10, 41), (30, 20), (math.nan, 40)])
def test_a_range_beyond_the_curve_is_refused(low, high):
    with pytest.raises(ValueError, match="within the curve's 10 to 40 labels, got"):
        area(LABELS, VALUES, low, high)


@pytest.mark.parametrize(
    ("labels", "values"), [([], []), ([1, 2], [0.5]), ([[1]], [[1]]), ([1, 2], [0.5, math.nan])]
)
def test_what_is_no_curve_is_refused(labels, values):
    with pytest.raises(ValueError, match="a curve"):
        area(labels, values, 1, 2)
    with pytest.raises(ValueError, match="a curve"):
        labels_to_reach(labels, values, 0.5)


@settings(max_examples=50)
@given(curves, st.data())
def test_area_lies_between_the_extremes_whatever_the_order(curve, data):
    labels, values = curve
    inside = st.floats(float(labels[0]), float(labels[-1]))
    low, high = sorted([data.draw(inside), data.draw(inside)])
    found = area(labels, values, low, high)
    assert values.min() - 1e-9 <= found <= values.max() + 1e-9
    order = data.draw(st.permutations(range(len(labels))))
    assert area(labels[order], values[order], low, high) == found


@settings(max_examples=50)
@given(curves, st.data())
def test_areas_of_parts_make_the_whole(curve, data):
    labels, values = curve
    low, high = float(labels[0]), float(labels[-1])
    middle = data.draw(st.floats(low, high))
    parts = area(labels, values, low, middle) * (middle - low)
    parts += area(labels, values, middle, high) * (high - middle)
    assert parts == pytest.approx(area(labels, values, low, high) * (high - low), abs=1e-6)


# -- labels to a target ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "labels"), [(0.6, 15), (0.7, 20), (0.75, 30), (0.8, 40), (0.81, None)]
)
def test_labels_to_reach_a_target_are_interpolated_between_rounds(target, labels):
    assert labels_to_reach(LABELS, VALUES, target) == pytest.approx(labels)


@pytest.mark.parametrize("target", [0.5, 0.3, 0])
def test_a_target_that_the_first_round_has_takes_its_labels(target):
    assert labels_to_reach(LABELS, VALUES, target) == 10


def test_the_first_crossing_counts_though_the_curve_falls_again():
    assert labels_to_reach([10, 20, 30, 40], [0.2, 0.6, 0.1, 0.9], 0.5) == 17.5


@settings(max_examples=50)
@given(curves, st.floats(0.01, 0.99))
def test_at_the_labels_to_reach_the_target_is_there_and_not_before(curve, target):
    labels, values = curve
    found = labels_to_reach(labels, values, target)
    if found is None:
        assert values.max() < target
    elif found == labels[0]:
        assert values[0] >= target - 1e-9
    else:
        assert np.interp(found, labels, values) == pytest.approx(target, abs=1e-9)
        assert (values[labels < found] < target).all()


def test_the_median_counts_who_never_got_there_as_more():
    assert median_labels([30, None, 10]) == 30
    assert median_labels([30, None, 10, 20]) == 25
    assert median_labels([10, None]) is None
    assert median_labels([None, 10, None]) is None
    assert median_labels([]) is None


def test_labels_saved_are_paired_by_seed():
    ours = {0: 50.0, 1: 80.0, 2: None, 3: 10.0, 4: 10.0}
    baseline = {0: 100.0, 1: 100.0, 2: 100.0, 3: None, 7: 1.0}
    saved = labels_saved(ours, baseline)
    assert (saved.mean, saved.n) == (pytest.approx(35), 2)
    # By Student's t 35 plus or minus 190.6; nobody saves more than all labels.
    assert (saved.low, saved.high) == (pytest.approx(35 - 12.7062 * 15, rel=1e-4), 100)
    # Both had 20 to 120 labels: they could save -20% to 80%.
    cut = labels_saved(ours, baseline, (20, 120))
    assert (cut.low, cut.mean, cut.high) == (pytest.approx(-20), saved.mean, pytest.approx(80))
    assert labels_saved({0: 150.0}, {0: 100.0}).mean == -50
    assert labels_saved({0: None}, {0: 100.0}) is None
    assert labels_saved({0: 10.0}, {1: 100.0}) is None


def test_reach_says_who_got_there():
    all_there = reach(0.8, {0: 50.0, 1: 70.0}, {0: 100.0, 1: 100.0})
    assert (all_there.target, all_there.reached, all_there.of) == (0.8, 2, 2)
    assert (all_there.labels.mean, all_there.median) == (60, 60)
    assert all_there.saved.mean == pytest.approx(40)
    assert all_there.labels.low == 0  # by Student's t 60 plus or minus 127
    cut = reach(0.8, {0: 50.0, 1: 70.0}, {0: 100.0, 1: 100.0}, between=(20, 90))
    assert (cut.labels.low, cut.labels.high) == (20, 90)
    assert (cut.saved.low, cut.saved.high) == pytest.approx((10, 80))
    some = reach(0.8, {0: 50.0, 1: 70.0, 2: None})
    assert (some.reached, some.of, some.labels, some.median, some.saved) == (2, 3, None, 70, None)
    none = reach(0.9, {0: None}, {0: 10.0})
    assert (none.reached, none.labels, none.median, none.saved) == (0, None, None, None)
