"""The desk: who labels what, and what goes on behind. Its background thread is stepped by hand."""

import pytest
from desks import say
from fakes import CentroidLearner

from activeloop.errors import OrderError
from activeloop.label import insights
from activeloop.label.cards import Conflict


def test_from_the_first_sample_to_a_finished_run(desks):
    desk = desks.open()
    waiting = desk.next("ann", 2)
    assert [card.why.origin for card in waiting] == ["waiting"] * 2
    desks.work()
    cards = desk.next("ann", 3)
    assert [card.why.origin for card in cards] == ["initial"] * 3
    assert desk.status().training.until_next == 3
    desks.label("ann", 6)
    desks.work()
    status = desk.status("ann")
    assert (status.labels, status.round, status.queued) == (6, 1, 6)
    assert status.estimate.source == "test"
    card = desk.next("ann", 1)[0]
    assert card.why.origin == "strategy"
    assert card.why.strategy == "entropy"
    assert card.opinion.predicted == card.opinion.probs[0][0]
    assert len(card.opinion.probs) == 3
    desk.finish("ann")
    assert desk.next("ann", 1) == []
    desks.work()
    assert desk.status().finished == "finished by ann"
    assert desk.status().training.state == "finished"
    assert (desks.directory / "model.safetensors").exists()
    desk.reopen("ann")
    desks.work()
    assert desk.status().finished is None
    assert desk.next("ann", 1)[0].why.round == 1


def test_a_reply_that_was_lost_may_be_sent_for_again(desks):
    desk = desks.begin()
    card = desk.next("ann", 1)[0]
    first = desk.answer("ann", [say(card, "a")])
    assert desk.answer("ann", [say(card, "a")]) == first
    assert len(desks.events()) == 1
    with pytest.raises(Conflict) as refused:
        desk.answer("bob", [say(card, "a")])
    assert refused.value.given == first[0]
    with pytest.raises(OrderError, match="no class 'z'"):
        desk.answer("bob", [say(card, "z")])


def test_the_grid_leaves_out_what_tells_the_accuracy(new_desks):
    desks = new_desks(audit=0.5)
    desk = desks.begin()
    desks.label("ann", 6)
    desks.work()
    query = desks.loop.query
    drawn = set(query.indices[query.audit].tolist())
    shown = {card.id for name in "abc" for card in desk.grid("ann", name, 90)}
    assert drawn
    assert not drawn & shown
    assert drawn <= {card.id for card in desk.next("ann", 6)}


def test_confirming_a_label_is_nothing_new_to_learn(new_desks):
    desks = new_desks()
    desk = desks.begin()
    done = desks.label("ann", 6)
    desks.work()
    rounds = len(desks.loop.rounds)
    for index in done:
        desk.answer("bob", [say(desk.card(index), desks.name(index))])
    desks.work()
    assert len(desks.loop.rounds) == rounds


def test_who_finishes_before_a_round_began_has_one_network_trained_on_all(new_desks):
    desks = new_desks()
    desk = desks.begin()
    desks.label("ann", 7)  # a query, and one more
    desk.finish("ann")
    desks.work()
    assert [round.labels for round in desks.loop.rounds] == [7]
    assert desk.status().finished == "finished by ann"


def test_a_run_that_is_being_finished_hands_out_nothing(new_desks):
    desks = new_desks()
    desk = desks.begin()
    desks.label("ann", 6)
    desks.work()
    names = [name for name in "abc" if desk.grid("bob", name, 5)]
    held = [card.id for card in desk.grid("bob", names[0], 5)]
    desk.finish("ann")
    assert [desk.grid("bob", name, 5) for name in names] == [[]] * len(names)
    desk.reopen("ann")
    assert set(held) <= {card.id for card in desk.next("ann", 90)}  # what he had went back
    desk.finish("ann")
    assert desk.next("ann", 5) == []


def test_of_the_queue_what_nobody_has_is_counted(new_desks):
    desks = new_desks()
    desk = desks.begin()
    assert desk.status().queued == 6
    cards = desk.next("ann", 2)
    assert desk.status("bob").queued == desk.status("ann").queued == 4
    desk.answer("ann", [say(cards[0], "a")])
    assert desk.status().queued == 4
    desk.next("ann", 1)
    assert desk.status().queued == 4
    desk.next("ann", 0)
    assert desk.status().queued == 5


def test_labels_are_doubted_once_a_round(new_desks, monkeypatch):
    doubted = []

    def contradicted(data, indices, labels, round, *others):
        doubted.append(round)
        return indices, {}

    monkeypatch.setattr(insights, "contradicted", contradicted)
    desks = new_desks()
    desk = desks.begin(make_learner=CentroidLearner)
    desks.label("ann", 3)
    desks.work()
    assert doubted == [0]
    desk.finish("ann")
    desks.work()
    desk.reopen("ann")
    desks.work()  # the query again, and no round
    assert doubted == [0]
    desks.label("ann", 3)
    desks.work()
    assert doubted == [0, 1]
