"""What the events say: present answers, undo, history, labels an hour."""

from datetime import datetime, timedelta

import pytest

from activeloop.label.ledger import Ledger
from activeloop.store import Event

BEGAN = datetime.fromisoformat("2026-01-01T12:00:00.000+00:00")


def ledger(*lines, seconds=10):
    """Return a ledger of lines `(key, who, label or kind, what it takes back)`, one each 10 s."""
    made = Ledger()
    events = []
    for number, (key, who, said, *back) in enumerate(lines, start=1):
        kind = said if said in ("skip", "none", "undo") else "label"
        at = (BEGAN + timedelta(seconds=seconds * number)).isoformat(timespec="milliseconds")
        events.append(
            Event(
                id=number,
                key=key,
                kind=kind,
                label=said if kind == "label" else None,
                who=who,
                at=at,
                round=0,
                seconds=None,
                takes_back=back[0] if back else None,
            )
        )
    made.add(events, {"x": 0, "y": 1, "z": 2})
    return made


def test_the_latest_answer_counts():
    said = ledger(
        ("x", "ann", "cat"), ("y", "bob", "skip"), ("x", "bob", "dog"), ("z", "ann", "none")
    )
    assert dict(said.labels) == {"cat": 0, "dog": 1}
    assert said.kinds == {"label": 1, "skip": 1, "none": 1}
    assert said.people == {"ann": 1, "bob": 2}
    assert (len(said), said.n_labels, said.n_classes) == (3, 1, 1)


def test_a_corrections_undo_brings_back_whose_answer_it_was():
    said = ledger(("x", "ann", "cat"), ("x", "bob", "dog"), ("x", "bob", "cat", 2))
    given = said.given(0)
    assert (given.event, given.label, given.who) == (3, "cat", "ann")
    assert given.at.startswith("2026-01-01T12:00:10")
    assert said.people == {"ann": 1, "bob": 0}
    assert said.last_of("bob") is None
    assert said.last_of("ann")[1].id == 1


def test_what_others_have_corrected_is_passed_over_until_they_take_it_back():
    lines = [("y", "ann", "cat"), ("x", "ann", "cat"), ("x", "bob", "dog")]
    assert ledger(*lines).last_of("ann")[0] == 1
    assert ledger(*lines, ("x", "bob", "cat", 3)).last_of("ann")[0] == 0


def test_an_undo_of_nothing_in_particular_leaves_nothing():
    said = ledger(("x", "ann", "cat"), ("x", "ann", "dog"), ("x", "ann", "undo"))
    assert said.given(0) is None
    assert said.last_of("ann") is None
    assert 0 not in said


def test_history_has_each_sample_once_newest_first():
    lines = [("x", "ann", "cat"), ("y", "bob", "cat"), ("z", "ann", "dog"), ("x", "bob", "dog")]
    said = ledger(*lines)
    assert list(said.history()) == [0, 2, 1]
    assert list(said.history(who="bob")) == [0, 1]
    assert list(said.history(label="dog")) == [0, 2]
    assert list(said.history(before=4)) == [2, 1]
    assert list(said.history(before=3)) == [1]


def test_labels_an_hour_leave_pauses_out():
    lines = [("x", "ann", "cat")] * 6
    assert ledger(*lines, seconds=10).pace.per_hour == pytest.approx(360)
    assert ledger(*lines, seconds=10).paces["ann"].per_hour == pytest.approx(360)
    assert ledger(*lines, seconds=121).pace.per_hour is None
    assert ledger(*lines[:5], seconds=10).pace.per_hour is None


def test_a_skip_takes_time_and_is_no_label():
    lines = [("x", "ann", "cat"), ("y", "ann", "skip")] * 6
    assert ledger(*lines, seconds=10).pace.per_hour == pytest.approx(3600 * 5 / 110)
