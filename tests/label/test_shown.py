"""What is shown with a sample and how the work goes: opinions, grids, likenesses, estimates."""

import numpy as np
import pytest
import torch
from desks import say

from activeloop.errors import ConfigError, OrderError
from activeloop.label.cards import Said
from activeloop.stopping import load_rule


def test_the_opinion_shown_is_of_a_network_that_was_not_trained_on_the_sample(desks):
    desk = desks.begin()
    first = desks.label("ann", 3)
    desks.work()
    assert all(desk.card(index).opinion is None for index in first)
    others = [i for i in range(90) if i not in first]
    probs = desks.loop.learner.predict(desks.data.pool, np.array(others), frozenset()).probs
    said = [desk.card(index).opinion for index in others]
    assert [o.predicted for o in said] == ["abc"[c] for c in probs.argmax(dim=1).tolist()]
    assert [o.confidence for o in said] == pytest.approx(probs.max(dim=1).values.tolist())
    second = desks.label("ann", 3)
    kept = {index: desk.card(index).opinion.predicted for index in second}
    desks.work()
    assert {index: desk.card(index).opinion.predicted for index in second} == kept
    desk = desks.open()
    assert {index: desk.card(index).opinion.predicted for index in second} == kept
    assert desk.card(others[-1]).opinion is None
    desks.work()
    assert desk.card(others[-1]).opinion is not None
    assert all(desk.card(index).opinion is None for index in first)


def test_a_grid_has_one_predicted_class_those_of_the_query_first(desks):
    desk = desks.open()
    assert desk.grid("ann", "a", 5) == []
    desks.work()
    desks.label("ann", 3)
    desks.work()
    queue = desks.loop.query.indices.tolist()
    shown = [card.id for card in desk.next("ann", 3)]
    cards = desk.grid("ann", "b", 50)
    assert {card.opinion.predicted for card in cards} == {"b"}
    assert {card.why.origin for card in cards} == {"grid"}
    queued = [card.id in queue for card in cards]
    assert queued == sorted(queued, reverse=True)
    sure = [card.opinion.confidence for card in cards if card.id not in queue]
    assert sure == sorted(sure, reverse=True)
    back = desk.next("ann", 90, keep=shown)  # from the grid to one image, nothing was asked for
    assert [card.id for card in back[: len(shown)]] == shown
    assert {card.why.origin for card in back} == {"strategy", "waiting"}
    cards = desk.grid("ann", "b", 50)
    assert not {c.id for c in cards} & {c.id for c in desk.next("bob", 90)}
    with pytest.raises(OrderError, match="no class 'z'"):
        desk.grid("ann", "z", 5)
    given = desk.answer("ann", [say(card, "b", seconds=float(n)) for n, card in enumerate(cards)])
    assert len(given) == len(cards)
    assert desks.events()[-1].seconds == pytest.approx((len(cards) - 1) / 2)


def test_what_was_shown_before_a_grid_is_shown_after_it_for_the_same_reason(desks):
    desk = desks.begin()
    (card,) = desk.next("ann", 1)
    desk.grid("ann", "a", 5)
    (again,) = desk.next("ann", 1, keep=[card.id])
    assert (again.id, again.why) == (card.id, card.why)
    desk = desks.begin()
    assert desk.next("ann", 1, keep=[card.id])[0].why == card.why


def test_the_nearest_labelled_are_those_that_look_alike(desks):
    desk = desks.begin()
    first = desks.label("ann", 6)
    desks.work()
    card = desk.next("bob", 1)[0]
    unit = torch.nn.functional.normalize(desks.data.pool.values, dim=1)
    likeness = unit[first] @ unit[card.id]
    nearest = [first[i] for i in likeness.argsort(descending=True).tolist()]
    assert [near.id for near in card.nearest] == nearest[:3]
    assert [near.label for near in card.nearest] == [desks.name(i) for i in nearest[:3]]
    desk.answer(
        "bob", [Said(id=nearest[0], kind="skip", replaces=desk.card(nearest[0]).given.event)]
    )
    assert [near.id for near in desk.card(card.id).nearest] == nearest[1:4]


def test_audits_come_first_and_give_the_estimate_without_a_test_set(new_desks):
    desks = new_desks(audit=0.5, query_size=8)
    desk = desks.begin(tested=False)
    desks.label("ann", 3)
    desks.work()
    origins = [card.why.origin for card in desk.next("ann", 8)]
    assert origins == ["audit"] * 4 + ["strategy"] * 4
    assert desk.status().estimate is None
    desks.label("ann", 4)
    desks.work()
    found = desk.status().estimate
    assert (found.samples, found.source, found.rounds) == (4, "audit", (0, 0))
    assert desk.status().curve[0].accuracy == found.accuracy
    corrected = desk.history()[0]
    wrong = next(name for name in "abc" if name != corrected.opinion.predicted)
    right = corrected.given.label == corrected.opinion.predicted
    desk.answer("ann", [say(corrected, wrong)])
    assert desk.status().estimate.accuracy == found.accuracy - 0.25 * right
    desk.undo("ann")
    assert desk.status().estimate == found
    while desk.undo("ann"):
        pass
    for opened in (desk, desks.open(tested=False)):
        assert opened.status().estimate is None
        assert [point.accuracy for point in opened.status().curve] == [None, None]


def test_what_was_drawn_for_an_audit_is_asked_for_until_it_is_answered_and_counts(new_desks):
    desks = new_desks(audit=0.5, query_size=8)
    desk = desks.begin(tested=False)
    desks.label("ann", 3)
    desks.work()
    first, *others = desk.next("ann", 8)
    desk.answer("ann", [say(card, desks.name(card.id)) for card in others[:4]])
    desks.work()
    assert desk.status().estimate.samples == 3
    for _ in range(2):
        assert first.id not in {card.id for name in "abc" for card in desk.grid("bob", name, 90)}
        (again,) = desk.next("ann", 1)
        assert (again.id, again.why.origin, again.why.round) == (first.id, "audit", 1)
        desk = desks.open(tested=False)
        desks.work()
    right = desk.status().estimate.accuracy * 3
    desk.answer("ann", [say(desk.card(first.id), "a")])
    found = desk.status().estimate
    assert found.samples == 4
    assert found.accuracy * 4 == pytest.approx(right + (first.opinion.predicted == "a"))
    assert {card.why.round for card in desk.next("ann", 4)} == {2}


def test_a_rule_gives_advice_and_ends_nothing(desks):
    desk = desks.begin(rule=load_rule("budget", labels=3))
    assert desk.status().advice is None
    desks.label("ann", 3)
    desks.work()
    assert "3" in desk.status().advice
    assert (desk.status().rule, desk.status().finished) == ("budget", None)
    desks.options["stop_set"] = 0
    desks.directory = None
    with pytest.raises(ConfigError, match="stop_set"):
        desks.open(rule=load_rule("kappa"))
