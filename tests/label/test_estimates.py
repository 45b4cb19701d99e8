"""The accuracy that is shown: of the test set, or of pooled audits."""

import pytest

from activeloop.audit import clopper_pearson
from activeloop.label.estimates import curve, estimate
from activeloop.types import Round


def rounds(*audits):
    """Return rounds with audits `(right, of)`; round 0 has none."""
    made = [Round(round=0, labels=20, classes=2, metrics={})]
    for number, (right, of) in enumerate(audits, start=1):
        metrics = {"audit_labels": float(of)}
        if of:
            metrics["audit_accuracy"] = right / of
        made.append(Round(round=number, labels=20 + number, classes=2, metrics=metrics))
    return made


def test_of_the_test_set_where_there_is_one():
    done = [Round(round=3, labels=80, classes=2, metrics={"accuracy": 0.75, "audit_labels": 4.0})]
    found = estimate(done, 200)
    assert (found.accuracy, found.samples, found.source, found.rounds) == (
        0.75,
        200,
        "test",
        (3, 3),
    )
    assert (found.low, found.high) == clopper_pearson(150, 200)
    assert found.labels == (80, 80)


def test_audits_are_pooled_until_there_are_thirty_samples():
    found = estimate(rounds((0, 20), (15, 16), (10, 16)), 0)
    assert (found.samples, found.rounds, found.source) == (32, (1, 2), "audit")
    assert found.labels == (21, 22)
    assert found.accuracy == 25 / 32
    assert (found.low, found.high) == clopper_pearson(25, 32)


def test_few_audits_give_a_wide_interval_and_none_gives_nothing():
    few = estimate(rounds((3, 3)), 0)
    assert (few.samples, few.rounds) == (3, (0, 0))
    assert few.low < 0.3
    assert estimate(rounds(), 0) is None
    assert estimate([], 100) is None
    assert estimate(rounds((0, 0)), 0) is None  # all of it was skipped


def test_a_point_of_the_curve_is_of_its_own_network():
    points = curve(rounds((20, 40), (30, 40)), 0)
    assert [p.accuracy for p in points] == [0.5, pytest.approx(0.75), None]
    assert [p.labels for p in points] == [20, 21, 22]
    tested = [Round(round=0, labels=20, classes=2, metrics={"accuracy": 0.5})]
    assert curve(tested, 10)[0].low == clopper_pearson(5, 10)[0]
