"""Two people, answers, undo, expiry, training and restarts in any order, against a simple model."""

from desks import Desks, say
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PEOPLE = ("ann", "bob")
PATIENCE = 300.0

STEPS = st.one_of(
    st.tuples(st.just("next"), st.sampled_from(PEOPLE), st.integers(1, 4)),
    st.tuples(st.just("grid"), st.sampled_from(PEOPLE), st.integers(1, 4)),
    st.tuples(st.just("answer"), st.sampled_from(PEOPLE), st.integers(0, 4)),
    st.tuples(st.just("answer_all"), st.sampled_from(PEOPLE), st.just(0)),
    st.tuples(st.just("correct"), st.sampled_from(PEOPLE), st.integers(0, 30)),
    st.tuples(st.just("undo"), st.sampled_from(PEOPLE), st.just(0)),
    st.tuples(st.just("work"), st.just(""), st.integers(1, 4)),
    st.tuples(st.just("wait"), st.just(""), st.sampled_from([100, 400])),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
)


class Model:
    """What should be so: who has which sample, and the answers to each, one on top of the other."""

    def __init__(self, desks):
        self.desks, self.now = desks, 0.0
        self.stacks, self.events, self.said = {}, 0, []
        self.has = {who: {} for who in PEOPLE}  # cards by sample
        self.restart()

    def restart(self):
        """Open the run again: people have what they had, as if they had just acted."""
        self.acted = dict.fromkeys(PEOPLE, self.now)
        self.desk = self.desks.open(patience=PATIENCE)
        assert self.desk.status().labels == sum(len(stack) > 0 for stack in self.stacks.values())

    def step(self, what, who, number):
        if what == "wait":
            self.now = self.desks.clock.now = self.now + number
        elif what == "work":
            for _ in range(number):
                self.desk.step()
        elif what == "restart":
            self.restart()
        else:
            self.acts(who)
            getattr(self, what)(who, number)

    def acts(self, who):
        self.acted[who] = self.now
        for each in PEOPLE:
            if self.now - self.acted[each] > PATIENCE:
                self.has[each] = {}

    def next(self, who, count):
        keep = list(self.has[who])[:1]
        cards = self.desk.next(who, count, keep)
        assert [card.id for card in cards][: len(keep)] == keep
        assert len(cards) == min(count, 40 - self.answered() - self.held_by_others(who))
        self.gets(who, cards)

    def grid(self, who, count):
        cards = self.desk.grid(who, "a", count)
        assert all(card.opinion.predicted == "a" for card in cards)
        self.gets(who, cards)

    def gets(self, who, cards):
        other = PEOPLE[who == PEOPLE[0]]
        assert not {card.id for card in cards} & set(self.has[other])
        assert all(card.given is None for card in cards)
        self.has[who] = {card.id: card for card in cards}

    def answer(self, who, position):
        if len(self.has[who]) > position:
            index = list(self.has[who])[position]
            self.says(who, self.has[who].pop(index))

    def answer_all(self, who, _):
        self.says(who, *self.has[who].values())
        self.has[who] = {}

    def correct(self, who, position):
        answered = sorted(index for index, stack in self.stacks.items() if stack)
        if len(answered) > position:
            self.says(who, self.desk.card(answered[position]))

    def says(self, who, *cards):
        said = [say(c, self.desks.data.classes[(self.events + c.id) % 3]) for c in cards]
        first = self.desk.answer(who, said)
        assert self.desk.answer(who, said) == first  # sent again
        at_once = self.events
        for each, made in zip(said, first, strict=True):
            self.events += 1
            assert made.event == self.events
            self.stacks.setdefault(each.id, []).append((who, each.label))
            self.said.append((who, each.id, len(self.stacks[each.id]), at_once))

    def undo(self, who, _):
        stands = [
            (index, depth, at_once)
            for by, index, depth, at_once in self.said
            if by == who and depth == len(self.stacks[index]) and self.stacks[index][-1][0] == who
        ]
        together = [each for each in stands if each[2] == stands[-1][2]]
        taken = self.desk.undo(who)
        for (index, depth, at_once), back in zip(together, taken, strict=True):
            self.said.remove((who, index, depth, at_once))
            assert (who, back.label) == self.stacks[index].pop()
            self.events += 1
            card = back.card
            assert card.id == index
            present = None if card.given is None else (card.given.who, card.given.label)
            assert present == (self.stacks[index][-1] if self.stacks[index] else None)
            if card.given is None:
                self.has[who][index] = card

    def answered(self):
        return sum(len(stack) > 0 for stack in self.stacks.values())

    def held_by_others(self, who):
        return len(self.has[PEOPLE[who == PEOPLE[0]]])

    def check(self):
        tops = {index: stack[-1] for index, stack in self.stacks.items() if stack}
        kept = self.desks.loop.files.store.answers()
        keys = self.desks.data.pool.keys
        assert kept == {keys[index]: label for index, (_, label) in tops.items()}
        assert len(self.desks.events()) == self.events
        status = self.desk.status()
        labels = [label for _, label in tops.values()]
        assert status.counts == {name: labels.count(name) for name in "abc"}
        assert status.unlabelled == 40 - len(tops)
        assert {p.name: p.answers for p in status.people if p.answers} == {
            who: count for who in PEOPLE if (count := [by for by, _ in tops.values()].count(who))
        }


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=10, max_size=40))
def test_nobody_gets_what_another_has_and_every_answer_is_there_once(tmp_path_factory, steps):
    desks = Desks(tmp_path_factory.mktemp("desk"), n=40, initial=4, query_size=4)
    model = Model(desks)
    for step in steps:
        model.step(*step)
        model.check()
    desks.close()
