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
    assert said.last_of("bob") == {}
    assert [event.id for event in said.last_of("ann").values()] == [1]


def test_what_others_have_corrected_is_passed_over_until_they_take_it_back():
    lines = [("y", "ann", "cat"), ("x", "ann", "cat"), ("x", "bob", "dog")]
    assert list(ledger(*lines).last_of("ann")) == [1]
    assert list(ledger(*lines, ("x", "bob", "cat", 3)).last_of("ann")) == [0]


def test_an_undo_of_nothing_in_particular_leaves_nothing():
    said = ledger(("x", "ann", "cat"), ("x", "ann", "dog"), ("x", "ann", "undo"))
    assert said.given(0) is None
    assert said.last_of("ann") == {}
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


def together(made, count, *, at, origin="grid", who="ann"):
    """Have a ledger take up so many labels that were written at once, seconds from its begin."""
    when = (BEGAN + timedelta(seconds=at)).isoformat(timespec="milliseconds")
    more = {"kind": "label", "label": "cat", "who": who, "at": when, "round": 0, "seconds": None}
    events = [Event(id=made.last + 1 + n, key=str(n), origin=origin, **more) for n in range(count)]
    made.add(events, {str(n): 10 + n for n in range(count)})


def test_what_was_imported_or_branched_was_labelled_by_nobody_here():
    for origin in ("import", "branch"):
        made = ledger(*[("x", "ann", "cat")] * 6, seconds=10)
        together(made, 500, at=65, origin=origin, who="import")
        together(made, 500, at=66, origin=origin)
        together(made, 1, at=70)
        assert made.pace.per_hour == pytest.approx(360)
        assert made.paces["ann"].per_hour == pytest.approx(360)
        assert made.paces["import"].per_hour is None
        assert made.n_labels == 501  # they are labels all the same


def test_a_label_that_was_taken_back_and_given_again_counts_once():
    lines = [("x", "ann", "cat")] * 8
    for back in (8, 10):
        lines += [("x", "ann", "undo", back), ("x", "ann", "dog")]
    assert ledger(*lines).pace.per_hour == pytest.approx(3600 * 7 / 110)


def test_what_never_counted_is_not_taken_off():
    lines = [("x", "ann", "cat"), ("x", "ann", "undo", 1), *[("x", "ann", "cat")] * 6]
    assert ledger(*lines, seconds=10).pace.per_hour == pytest.approx(3600 * 6 / 70)


def test_a_screenful_counts_with_the_time_that_it_took_or_not_at_all():
    made = ledger()
    together(made, 24, at=0)  # who knows how long they looked at it
    together(made, 1, at=10)
    assert made.pace.per_hour is None
    together(made, 24, at=60)
    assert made.pace.per_hour == pytest.approx(3600 * 25 / 60)
    together(made, 24, at=600)
    assert made.pace.per_hour == pytest.approx(3600 * 25 / 60)


def test_a_skip_takes_time_and_is_no_label():
    lines = [("x", "ann", "cat"), ("y", "ann", "skip")] * 6
    assert ledger(*lines, seconds=10).pace.per_hour == pytest.approx(3600 * 5 / 110)
