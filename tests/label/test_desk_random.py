"""All that people can do, in any order and while a network is trained: nothing goes wrong."""

import contextlib
import random

import pytest
from desks import Desks, say
from fakes import CentroidLearner

from activeloop.errors import OrderError
from activeloop.label import second_looks

FROM_WITHIN = ["label"] * 6 + ["next", "grid", "look", "look", "undo", "undo all", "add class"]
FROM_WITHIN += ["correct", "finish", "finish", "reopen", "train"]
ALL = [*FROM_WITHIN, *["work"] * 10, "open"]


class Busy(CentroidLearner):
    """People go on while it is trained."""

    meanwhile = staticmethod(lambda: None)

    def fit(self, data, indices, labels, rng):
        type(self).meanwhile()
        return super().fit(data, indices, labels, rng)


class Crowd:
    """Does things at random, none of which must fail but for orders that make no sense."""

    def __init__(self, directory, seed):
        self.draw = random.Random(seed)
        self.size = self.draw.choice([8, 30, 60])
        sizes = {"initial": self.draw.choice([4, 6]), "query_size": self.draw.choice([2, 4, 6])}
        audit = self.draw.choice([0.0, 0.3])
        self.desks = Desks(directory, self.size, Busy, audit=audit, **sizes)
        self.open()

    def open(self):
        self.desks.open(make_learner=CentroidLearner, threshold=0.35, tested=False)

    def act(self, among=ALL):
        with contextlib.suppress(OrderError):
            self.do(self.draw.choice(among), self.draw.choice(["ann", "bob"]))
        self.desks.desk.status("ann")
        for index in range(self.size):
            self.desks.desk.card(index)

    def do(self, what, who):
        desk = self.desks.desk
        if what == "open":
            self.open()
        elif what == "work":
            Busy.meanwhile = lambda: [self.act(FROM_WITHIN) for _ in range(self.draw.randrange(4))]
            for _ in range(self.draw.randint(1, 5)):
                desk.step()
        elif what == "next":
            desk.next(who, self.draw.randint(1, 4), [self.draw.randrange(self.size)])
        elif what == "undo all":
            while desk.undo("ann") or desk.undo("bob"):
                pass
        elif what == "add class":
            desk.add_class(who, str(self.draw.random()))
        elif what in ("undo", "finish", "reopen"):
            getattr(desk, what)(who)
        elif what == "train":
            desk.train()
        else:
            self.answer(what, who)

    def answer(self, what, who):
        desk = self.desks.desk
        cards = {
            "label": lambda: desk.next(who, self.draw.randint(1, 4)),
            "grid": lambda: desk.grid(who, self.label(), 5),
            "look": lambda: desk.second_looks(who, 3)[: self.draw.randrange(3)],
            "correct": lambda: desk.history(count=1),
        }[what]()
        for card in cards:
            kind = self.draw.choice([*["label"] * 8, "skip", "none"])
            desk.answer(who, [say(card, self.label() if kind == "label" else None, kind)])

    def label(self):
        return self.draw.choice(self.desks.data.classes)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_that_people_do_makes_the_background_fail(tmp_path, seed, caplog, monkeypatch):
    monkeypatch.setattr(second_looks, "LEAST_OF_CLASS", 1)
    monkeypatch.setattr(second_looks, "LEAST_LABELS", 4)
    crowd = Crowd(tmp_path, seed)
    for _ in range(80):
        crowd.act()
    Busy.meanwhile = staticmethod(lambda: None)
    crowd.desks.work(300)
    crowd.desks.close()
    # Who takes all back after they have finished is told why there is no network.
    assert [text for text in caplog.messages if "classes are needed" not in text] == []
