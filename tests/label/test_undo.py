"""What one undo takes back: an answer, or a screenful that was answered at once."""

from itertools import count

import pytest
from desks import say, undone

from activeloop.errors import StoreError


def screenful(desk, who, ids, label="a"):
    """Have `who` answer these samples at once."""
    desk.answer(who, [say(desk.card(each), label) for each in ids])


def back(desk, who):
    """Return of which samples `who` takes the answers back, and what these were."""
    return [(taken.card.id, taken.kind, taken.label) for taken in desk.undo(who)]


def test_a_screenful_is_taken_back_at_once_and_then_what_was_before_it(desks):
    desk = desks.begin()
    (first,) = desks.label("ann", 1)
    ids = [each for each in range(90) if each != first][:24]
    odd, *others = [say(desk.card(each), "b") for each in ids]
    desk.answer("ann", [say(desk.card(odd.id), kind="skip"), *others])
    before = len(desks.events())
    desk = desks.open()  # it is on disk what belongs together
    assert back(desk, "ann") == [
        (ids[0], "skip", None),
        *((each, "label", "b") for each in ids[1:]),
    ]
    assert [event.kind for event in desks.events()[before:]] == ["undo"] * 24
    assert [event.takes_back for event in desks.events()[before:]] == [*range(2, 26)]
    assert undone(desk, "ann").id == first
    assert desk.undo("ann") == []
    # They are hers to be answered again, and nobody else's meanwhile.
    assert not {card.id for card in desk.next("bob", 90)} & {first, *ids}


def test_single_answers_in_quick_succession_are_taken_back_one_by_one(desks, monkeypatch):
    ticks = count()  # of a clock that is coarser than people are fast
    monkeypatch.setattr("activeloop.store.now", lambda: f"2026-01-01T12:00:{next(ticks) // 4:02d}")
    desk = desks.open()
    for each in range(5):
        screenful(desk, "ann", [each])
    assert [undone(desk, "ann").id for _ in range(5)] == [4, 3, 2, 1, 0]


def test_of_a_screenful_what_others_have_corrected_stands(desks):
    desk = desks.open()
    screenful(desk, "ann", [1, 2, 3])
    screenful(desk, "bob", [2], "b")
    screenful(desk, "ann", [3], "c")
    assert back(desk, "ann") == [(3, "label", "c")]
    assert desk.card(3).given.label == "a"
    assert back(desk, "ann") == [(1, "label", "a"), (3, "label", "a")]
    assert (desk.card(2).given.who, desk.status().labels) == ("bob", 1)
    undone(desk, "bob")
    assert back(desk, "ann") == [(2, "label", "a")]


def test_a_screenful_of_corrections_brings_back_what_each_was(desks):
    desk = desks.open()
    screenful(desk, "bob", [1, 2], "b")
    screenful(desk, "ann", [1, 2, 3], "c")
    assert [(t.card.id, t.card.given and t.card.given.who) for t in desk.undo("ann")] == [
        (1, "bob"),
        (2, "bob"),
        (3, None),
    ]
    kept = desks.loop.files.store.answers()
    assert kept == {desks.data.pool.keys[each]: "b" for each in (1, 2)}


def test_an_import_is_no_screenful(desks):
    desk = desks.open()
    desks.loop.record(dict.fromkeys(range(5), 0), "ann", origins=dict.fromkeys(range(5), "import"))
    desk = desks.open()
    assert [undone(desk, "ann").id for _ in range(2)] == [4, 3]
    assert desk.status().labels == 3


def test_a_screenful_is_taken_back_whole_or_not_at_all(desks, monkeypatch):
    desk = desks.open()
    screenful(desk, "ann", [1, 2, 3])
    store = desks.loop.files.store
    store._connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.takes_back = 2 "
        "BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(StoreError, match="full"):
        desk.undo("ann")
    assert (desk.status().labels, len(store.answers())) == (3, 3)
    store._connection.execute("DROP TRIGGER full")
    assert [each for each, *_ in back(desk, "ann")] == [1, 2, 3]
