"""Why each answer came, kept with it."""

from desks import say, undone

from activeloop.label.second_looks import Doubt


def give(desks, who, card, label=None):
    """Answer what is on a card, and return what is kept of why."""
    desks.desk.answer(who, [say(card, label or desks.name(card.id))])
    return desks.events()[-1].origin


def test_picks_audits_and_what_is_drawn_while_nothing_is_asked(new_desks):
    desks = new_desks(audit=0.5)
    desk = desks.open()
    assert give(desks, "ann", desk.next("ann", 1)[0]) == "waiting"
    desks.work()
    while not desks.loop.rounds:
        assert give(desks, "ann", desk.next("ann", 1)[0]) == "initial"
        desks.work()
    query = desks.loop.query
    drawn = query.indices[query.audit].tolist()
    for card in desk.next("ann", len(query.indices)):
        assert give(desks, "ann", card) == ("audit" if card.id in drawn else "strategy")
    assert give(desks, "ann", desk.next("ann", 1)[0]) == "waiting"


def test_grids_second_looks_corrections_and_what_somebody_goes_to(desks):
    desk = desks.begin()
    (done, *_) = desks.label("ann", 3)
    desks.work()
    query = desks.loop.query.indices.tolist()
    (far, near) = (i for i in (80, query[0]))
    assert give(desks, "ann", desk.card(far)) == "asked for"
    assert give(desks, "ann", desk.card(near)) == "strategy"  # it was, whoever had it
    assert give(desks, "ann", desk.grid("ann", "b", 1)[0]) == "grid"
    given = desk.card(done).given
    wrong = next(name for name in "abc" if name != given.label)
    doubt = Doubt(event=given.event, label=given.label, predicted=wrong, confidence=0.9, round=0)
    desk._second_looks.update([done], {done: doubt})
    (card,) = desk.second_looks("ann", 1)
    assert give(desks, "ann", card, wrong) == "second look"
    assert give(desks, "ann", desk.card(done)) == "history"
    desk.undo("ann")
    assert desks.events()[-1].origin == "undo"


def test_what_somebody_had_is_answered_for_the_same_reason_after_a_restart(desks):
    desk = desks.begin()
    desks.label("ann", 3)
    desks.work()
    card = desk.grid("ann", "a", 90)[-1]
    assert card.id not in desks.loop.query.indices
    desk = desks.open()
    assert give(desks, "ann", desk.card(card.id)) == "grid"


def test_what_comes_again_after_an_undo_is_what_it_was(desks):
    desk = desks.begin()
    first = desks.label("ann", 1)
    desks.label("bob", 2)
    desks.work()
    card = desk.grid("ann", "a", 90)[-1]
    give(desks, "ann", card)
    again = undone(desk, "ann")
    assert (again.id, again.why.origin) == (card.id, "asked for")  # and not at random
    desks.open()
    desks.work()
    again = undone(desks.desk, "ann")
    assert (again.id, again.why.origin, again.why.round) == (first[0], "initial", 0)
    (kept,) = desks.desk.next("ann", 1, keep=[again.id])
    assert give(desks, "ann", kept) == "initial"


def test_who_gave_a_label_that_was_brought_back_is_on_disk_as_on_the_page(desks):
    desk = desks.begin()
    (index,) = desks.label("ann", 1)
    given = desk.card(index).given
    wrong = next(name for name in "abc" if name != given.label)
    give(desks, "bob", desk.card(index), wrong)
    give(desks, "bob", desk.card(index), given.label)
    desk.undo("bob")
    desk.undo("bob")
    shown = desk.card(index).given
    assert (shown.who, shown.at) == ("ann", given.at)
    rows = desks.loop.files.store._all("SELECT label, who, at, origin FROM labels")
    assert rows == [(given.label, "ann", given.at, "initial")]
