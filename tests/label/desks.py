"""A desk on a tiny data set, opened again as after a crash."""

from __future__ import annotations

from fakes import CentroidLearner, blobs

from activeloop import ActiveLoop, load_strategy
from activeloop.label.cards import Said
from activeloop.label.desk import Desk


class Clock:
    """Seconds that grow when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Desks:
    """The desks of one run, of which the last is open."""

    def __init__(self, directory=None, n=90, learner=CentroidLearner, **options):
        self.directory, self.options = directory, options
        self.data, hidden = blobs(n)
        self.truth, self.test = hidden.pool, hidden.test
        self.learner, self.clock = learner, Clock()
        self.desk = self.loop = None

    def open(self, rule=None, make_learner=None, tested=True, **settings):
        """Open the run, again if it was open: what was before gets nothing more on disk."""
        options = {"initial": 6, "query_size": 6, "budget": "all", "strategy": "entropy"}
        options |= self.options
        self.close()
        self.loop = ActiveLoop(
            self.data,
            self.learner(),
            load_strategy(options.pop("strategy")),
            test_labels=self.test if tested else None,
            directory=self.directory,
            **options,
        )
        settings = {"clock": self.clock} | settings
        self.desk = Desk(self.loop, run="run", make_learner=make_learner, rule=rule, **settings)
        return self.desk

    def begin(self, **settings):
        """Open the run, and do what there is to do in the background."""
        desk = self.open(**settings)
        self.work()
        return desk

    def close(self):
        if self.loop is not None:
            self.loop.files.close()

    def work(self, most=100):
        """Do all that there is to do in the background; return in how many steps."""
        for done in range(most):
            if not self.desk.step():
                return done
        raise AssertionError("the background finds no end")

    def name(self, index):
        """Return the true class of a sample."""
        return self.data.classes[self.truth[index]]

    def label(self, who, count):
        """Have `who` label the next samples as they are; return their indices."""
        done = []
        while len(done) < count:
            (card,) = self.desk.next(who, 1)
            self.desk.answer(who, [say(card, self.name(card.id))])
            done.append(card.id)
        return done

    def events(self):
        return self.loop.files.store.events()


def undone(desk, who):
    """Have `who` take back what they said last, which is one answer; return its card."""
    (taken,) = desk.undo(who)
    return taken.card


def say(card, label=None, kind="label", seconds=None):
    """Return an answer to what is on a card."""
    replaces = None if card.given is None else card.given.event
    return Said(id=card.id, kind=kind, label=label, seconds=seconds, replaces=replaces)
