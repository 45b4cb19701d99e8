"""What the terminal says of a run, and the labels that a run which is over leaves in a file."""

import csv

from desks import say

from activeloop.label.terminal import Lines, Tables


def rows(directory, name="labels.csv"):
    with (directory / name).open() as file:
        return {row["key"]: row["label"] for row in csv.DictReader(file)}


def test_the_terminal_says_the_same_accuracy_as_the_page(new_desks, capsys):
    desks = new_desks(audit=0.5)
    desk = desks.begin(tested=False)
    desks.loop.listeners.append(Lines(lambda: desk.estimate))
    while len(desks.loop.rounds) < 3:
        assert desk.estimate == desk.status().estimate
        desks.label("ann", 1)
        desks.work()
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("round 0: 3 labels, ")
    assert "accuracy" not in first
    known = desk.estimate
    assert known.rounds == (0, 1)
    assert known.labels == tuple(each.labels for each in desks.loop.rounds[:2])
    assert last.partition("; accuracy ")[2] == (
        f"about {known.accuracy:.0%} ({known.low:.0%} to {known.high:.0%}), from {known.samples} "
        f"images drawn at random, when it had {known.labels[0]} to {known.labels[1]} labels"
    )


def test_of_a_test_set_it_is_the_network_of_now(desks, capsys):
    desk = desks.begin()
    desks.loop.listeners.append(Lines(lambda: desk.estimate))
    desks.label("ann", 3)
    desks.work()
    n = len(desks.test)
    assert f"from {n} images of the test set, when it had 3 labels" in capsys.readouterr().out


def test_labels_that_are_corrected_after_the_end_are_in_the_file(desks, tmp_path):
    desk = desks.begin()
    tables = Tables(desks.loop)
    done = desks.label("ann", 6)
    tables.keep()
    assert not (tmp_path / "labels.csv").exists()
    desk.finish("ann")
    desks.work()
    tables.keep()
    assert len(rows(tmp_path)) == 6
    desk.undo("ann")
    tables.keep()
    assert len(rows(tmp_path)) == 5
    assert rows(tmp_path, "queries.csv")[desks.data.pool.keys[done[-1]]] == ""
    desk.reopen("ann")
    wrong = next(name for name in "abc" if name != desks.name(done[0]))
    desk.answer("ann", [say(desk.card(done[0]), wrong)])
    Tables(desks.loop).keep()  # in another sitting
    key = desks.data.pool.keys[done[0]]
    assert rows(tmp_path)[key] == rows(tmp_path, "queries.csv")[key] == wrong


def test_what_else_was_exported_to_its_place_stays_while_people_label(desks, tmp_path):
    desk = desks.begin()
    desks.label("ann", 2)
    (tmp_path / "labels.csv").write_text("event,key,label\n")
    Tables(desks.loop).keep()
    assert (tmp_path / "labels.csv").read_text() == "event,key,label\n"
    assert desk.status().finished is None
