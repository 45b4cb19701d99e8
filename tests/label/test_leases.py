"""Who has what when the server was killed, and when somebody was away for long."""

import signal
import subprocess
import sys

import pytest
from desks import say, undone

from activeloop.label.cards import Conflict, Why
from activeloop.label.leases import LEASES_FILE, Leases


def test_what_people_have_is_theirs_when_the_server_is_started_again(new_desks):
    desks = new_desks(n=12)
    desk = desks.begin()
    ann = [card.id for card in desk.next("ann", 5)]
    bob = [card.id for card in desk.next("bob", 4)]
    desk.answer("ann", [say(desk.card(ann[0]), "a")])
    desk = desks.open()  # nobody has asked again
    desks.work()
    assert len(desk.next("eve", 12)) == 3
    assert [card.id for card in desk.next("ann", 4, keep=ann)] == ann[1:]
    assert [card.id for card in desk.next("bob", 4, keep=bob)] == bob
    desk.next("bob", 1, keep=bob)  # what goes back is not kept for them
    desk = desks.open()
    assert len(desk.next("eve", 12)) == 6
    assert undone(desk, "ann").id == ann[0]
    desk = desks.open()
    assert ann[0] not in {card.id for card in desk.next("eve", 12)}
    desks.clock.now = 301.0  # who does not come back keeps it from nobody
    assert len(desk.next("dan", 12)) == 12


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"ann": 3}',
        '{"ann": ["0"]}',
        '{"ann": {"0": {"why": 1}}}',
        pytest.param("[" * 99999, id="nested"),
    ],
)
def test_a_damaged_file_of_who_has_what_keeps_nobody_from_labelling(new_desks, tmp_path, text):
    desks = new_desks(n=12)
    desks.open()
    (tmp_path / LEASES_FILE).write_text(text)
    assert len(desks.open().next("bob", 12)) >= 11


def test_what_went_back_after_a_restart_is_nobodys_after_the_next(new_desks):
    desks = new_desks(n=12)
    desks.begin().next("bob", 2)
    desks.begin().next("bob", 0)
    assert len(desks.begin().next("ann", 12)) == 12


def test_where_it_cannot_be_written_people_go_on(new_desks, tmp_path, caplog):
    desks = new_desks(n=12)
    desk = desks.open()
    (tmp_path / LEASES_FILE).mkdir()
    assert len(desk.next("ann", 5)) == 5
    assert "label.held was not written" in caplog.text


def test_it_is_there_when_the_program_is_killed(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from activeloop.label.cards import Why\n"
        "from activeloop.label.leases import Leases\n"
        "Leases(Path(sys.argv[1])).keep({'ann': {'é\\udcff.png': Why(origin='audit', round=3)}})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    said = subprocess.run([sys.executable, "-c", program, tmp_path])
    assert said.returncode == -signal.SIGKILL
    why = Why(origin="audit", round=3)
    assert Leases(tmp_path).read() == {"ann": {"é\udcff.png": why}}
    assert [path.name for path in tmp_path.iterdir()] == [LEASES_FILE]


@pytest.mark.parametrize("first", ["ann", "bob"])
def test_an_image_that_went_to_another_while_one_was_away_is_answered_once(new_desks, first):
    desks = new_desks(n=12)
    desk = desks.begin()
    cards = {"ann": desk.next("ann", 1)[0]}
    desks.clock.now = 301.0
    desk.status("ann")  # her page is open, and shows it still
    cards["bob"] = next(card for card in desk.next("bob", 12) if card.id == cards["ann"].id)
    # Her page asks whether it is hers before she answers: it is not, and she gets none twice.
    assert desk.next("ann", 1, keep=[cards["ann"].id]) == []
    second = {"ann": "bob", "bob": "ann"}[first]
    (given,) = desk.answer(first, [say(cards[first], "a")])
    with pytest.raises(Conflict, match=f"{first} has answered meanwhile: a") as refused:
        desk.answer(second, [say(cards[second], "b")])
    assert refused.value.given == given
    assert [(event.who, event.label) for event in desks.events()] == [(first, "a")]
    # Told so, they may correct it: that is an answer to the answer.
    desk.answer(second, [say(desk.card(given and cards["ann"].id), "b")])
    assert desk.card(cards["ann"].id).given.who == second
