"""What somebody is told who looks at a label a second time."""

from __future__ import annotations

from desks import Desks

from activeloop.label.cards import Said
from activeloop.label.second_looks import Doubt


def test_a_second_look_shows_what_contradicts_the_label():
    desks = Desks()
    desk = desks.open()
    (card,) = desk.next("ann", 1)
    said = Said(id=card.id, kind="label", label="a", seconds=1.0, replaces=None)
    (given,) = desk.answer("ann", [said])
    doubt = Doubt(event=given.event, label="a", predicted="b", confidence=0.97, round=3)
    desk._second_looks.update([card.id], {card.id: doubt})
    (look,) = desk.second_looks("ann", 5)
    assert look.opinion is not None
    assert (look.opinion.predicted, look.opinion.confidence) == ("b", 0.97)
    assert look.opinion.probs == [("b", 0.97)]
    desks.close()
