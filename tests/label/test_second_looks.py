"""Labels that a network trained without them contradicts are asked about once."""

import numpy as np
import pytest
from desks import Desks, say, undone
from fakes import CentroidLearner

from activeloop.label import second_looks
from activeloop.label.background import Stopped
from activeloop.label.second_looks import contradicted


class Sharp(CentroidLearner):
    """Is sure of what it thinks."""

    def predict(self, samples, indices, needs, out=None):
        said = super().predict(samples, indices, needs, out)
        said.probs.pow_(8).div_(said.probs.sum(dim=1, keepdim=True))
        return said


def plain(desks):
    """Return samples of other classes than the first that lie far from it."""
    values = desks.data.pool.values
    return {i for i, y in enumerate(desks.truth) if y and values[i, y] - values[i, 0] > 3}


@pytest.fixture
def wrong(tmp_path, monkeypatch):
    """Return desks where 120 of 300 samples are labelled, five of them wrongly, and which five."""
    monkeypatch.setattr(second_looks, "LEAST_LABELS", 100)
    desks = Desks(tmp_path, n=300, learner=Sharp, initial=120, query_size=20, strategy="random")
    desk = desks.open(make_learner=Sharp)
    desks.work()
    cards = desk.next("ann", 120)
    planted = [card.id for card in cards if card.id in plain(desks)][:5]
    said = [say(c, "a" if c.id in planted else desks.name(c.id)) for c in cards]
    desk.answer("ann", said)
    yield desks, planted
    desks.close()


def rounds(desks, count):
    """Have `count` further rounds trained."""
    for _ in range(count):
        desks.work()
        desks.label("ann", 10)
    desks.work()


def test_planted_wrong_labels_are_found_within_five_rounds_and_settled(wrong):
    desks, planted = wrong
    rounds(desks, 5)
    found = [card.id for card in desks.desk.second_looks("bob", 100)]
    assert set(planted) <= set(found)
    assert len(found) < 25
    assert desks.desk.status().second_looks == len(found)

    desk = desks.open(make_learner=Sharp)  # a restart keeps them
    looks = {card.id: card for card in desk.second_looks("bob", 100)}
    assert set(looks) == set(found)
    assert looks[planted[0]].why.origin == "second look"
    assert looks[planted[0]].given.label == "a"
    assert desk.second_looks("cat", 100) == []  # bob has them
    corrected, confirmed, changed = planted[:3]
    desk.answer("bob", [say(looks[corrected], desks.name(corrected))])
    desk.answer("bob", [say(looks[confirmed], "a")])
    desk.answer("ann", [say(desk.card(changed), desks.name(changed))])
    left = {card.id for card in desk.second_looks("bob", 100)}
    assert left == set(found) - {corrected, confirmed, changed}
    rounds(desks, 5)
    again = {card.id for card in desk.second_looks("bob", 100)}
    assert confirmed not in again  # somebody has said so twice
    assert corrected not in again

    assert undone(desk, "bob").id == confirmed
    assert confirmed in {card.id for card in desk.second_looks("bob", 100)}


def test_few_labels_are_not_doubted(tmp_path):
    desks = Desks(tmp_path, 300, Sharp, initial=148, query_size=2, strategy="random")
    desks.open(make_learner=Sharp)
    desks.work()
    for index in [card.id for card in desks.desk.next("ann", 148)]:
        desks.desk.answer("ann", [say(desks.desk.card(index), "abc"[index % 2])])
    desks.work()
    assert len(desks.loop.rounds) == 1
    assert desks.desk.status().second_looks == 0
    desks.close()


def test_none_where_training_takes_long(wrong):
    desks, _ = wrong
    desks.open(make_learner=Sharp, longest_fit=0.0)
    rounds(desks, 5)
    assert desks.desk.status().second_looks == 0


def test_a_stop_ends_what_trains_for_second_looks(wrong, caplog):
    desks, _ = wrong
    fitted = []

    class Stopping(Sharp):
        def fit(self, *args):
            desks.desk.stop()
            fitted.append(super().fit(*args))
            return fitted[-1]

    desks.open(make_learner=Stopping)
    with pytest.raises(Stopped):
        rounds(desks, 1)
    assert fitted == []
    assert caplog.messages == []  # it is no failure
    desks.open(make_learner=Sharp)
    rounds(desks, 1)
    assert desks.desk.status().second_looks > 0


def test_a_label_that_was_given_while_it_was_doubted_is_not(wrong):
    desks, planted = wrong
    desk = desks.desk
    for _ in range(5):
        assert desk.step()  # the round; what is doubted after it comes last
        desk.answer("bob", [say(desk.card(index), "a") for index in planted])
        desks.work()
        assert not set(planted) & {card.id for card in desk.second_looks("bob", 100)}
        desk.second_looks("bob", 0)
        desks.label("ann", 10)


class Recording(Sharp):
    """Remembers what it was fitted on."""

    fitted = None

    def fit(self, data, indices, labels, rng):
        type(self).fitted = set(indices.tolist())
        return super().fit(data, indices, labels, rng)


def test_every_label_is_judged_once_in_five_rounds_by_a_network_without_it(wrong):
    desks, _ = wrong
    indices = np.arange(0, 300, 3)
    labels = desks.truth[indices + 1].copy()
    labels[::2], labels[0] = 0, 2  # one label of a class is too few to judge it
    seen = []
    for number in range(5, 10):
        looked_at, found = contradicted(
            desks.data, indices, labels, number, Recording, desks.loop.streams, 0.9
        )
        assert not Recording.fitted & set(looked_at.tolist())
        assert len(Recording.fitted) > 60
        assert set(found) <= set(looked_at.tolist())
        assert all(confidence >= 0.9 for _, confidence in found.values())
        seen += looked_at.tolist()
    assert sorted(seen) == indices[1:].tolist()
