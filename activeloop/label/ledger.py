"""The answers as they are, worked out from the events: counted, listed, and what an undo undoes.

Each sample has a stack of answers: a correction lies on top of what it corrects, and an undo takes
the top away. Whoever gave the answer on top may take it back; what lies beneath others' stays.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from activeloop.journal import indices_of
from activeloop.label.cards import Given
from activeloop.label.pace import Pace
from activeloop.store import Event, Store
from activeloop.types import Data

# Origins of what was written as a whole, and not said at the page.
_FROM_ELSEWHERE = ("import", "branch")


class Ledger:
    """What the events say, kept up with each that is added.

    Attributes:
        last: number of the last event.
        labels: present labels by class name.
        kinds: present answers by kind.
        people: present answers by who gave them; everyone who ever did is in it.
        paces: how fast each works.
        pace: how fast they all do.
    """

    def __init__(self) -> None:
        self.last = 0
        self.labels: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.people: Counter[str] = Counter()
        self.paces: defaultdict[str, Pace] = defaultdict(Pace)
        self.pace = Pace()
        self._stacks: dict[int, list[Event]] = {}
        self._given: dict[int, Given] = {}
        self._order: list[tuple[int, int]] = []  # event and sample, ascending
        self._theirs: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)

    def __len__(self) -> int:
        """Return how many samples have an answer."""
        return len(self._given)

    def __contains__(self, index: int) -> bool:
        """Return whether a sample has an answer."""
        return index in self._given

    @property
    def n_labels(self) -> int:
        """Number of present labels."""
        return self.kinds["label"]

    @property
    def n_classes(self) -> int:
        """Number of classes with a label."""
        return sum(count > 0 for count in self.labels.values())

    def given(self, index: int) -> Given | None:
        """Return the present answer for a sample."""
        return self._given.get(index)

    def answer(self, index: int) -> Event | None:
        """Return the event in which the present answer was said: not one that brought it back."""
        stack = self._stacks.get(index)
        return stack[-1] if stack else None

    def add(self, events: Iterable[Event], index: Mapping[str, int]) -> None:
        """Take up `events`, in order; `index` has the pool index by key."""
        for event in events:
            self._add(event, index[event.key])

    def history(
        self, who: str | None = None, label: str | None = None, before: int | None = None
    ) -> Iterator[int]:
        """Yield answered samples, newest first: of one person, of one label, before an event."""
        end = len(self._order) if before is None else bisect_left(self._order, (before, -1))
        for position in range(end - 1, -1, -1):
            event, index = self._order[position]
            given = self._given.get(index)
            if given is None or given.event != event:
                continue
            if (who is None or given.who == who) and (label is None or given.label == label):
                yield index

    def last_of(self, who: str) -> dict[int, Event]:
        """Return the answers that an undo by `who` takes back, by sample, in the order of giving.

        These are what they said last, as far as it stands: all of what they said at once.
        """
        last: dict[int, Event] = {}
        at = ""
        for event, index in reversed(self._theirs.get(who, ())):
            top = self.answer(index)
            if top is None or top.id != event:
                continue
            if last and top.at != at:
                break
            last[index], at = top, top.at
            if top.origin in _FROM_ELSEWHERE:
                break
        return dict(reversed(last.items()))

    def beneath(self, index: int) -> Event | None:
        """Return the answer that comes back when the present one is taken back."""
        stack = self._stacks[index]
        return stack[-2] if len(stack) > 1 else None

    def _add(self, event: Event, index: int) -> None:
        self.last = event.id
        self._count(self._given.pop(index, None), -1)
        stack = self._stacks.setdefault(index, [])
        gives, takes = event.id if event.kind == "label" else None, None
        if event.takes_back is not None and stack and stack[-1].id == event.takes_back:
            gives, takes = None, event.takes_back
            self._forget(stack.pop(), index)
        elif event.kind == "undo":  # not of one answer: the sample is as if it never had any
            while stack:
                self._forget(stack.pop(), index)
        else:
            stack.append(event)
            self._theirs[event.who].append((event.id, index))
        if stack:
            self._given[index] = _given(event.id, stack[-1])
            self._order.append((event.id, index))
        self._count(self._given.get(index), 1)
        if event.origin in _FROM_ELSEWHERE:  # nobody was at work here
            return
        for pace in (self.paces[event.who], self.pace):
            pace.add(event.at, gives, takes)

    def _forget(self, event: Event, index: int) -> None:
        theirs = self._theirs[event.who]
        del theirs[bisect_left(theirs, (event.id, index))]

    def _count(self, given: Given | None, by: int) -> None:
        if given is None:
            return
        self.kinds[given.kind] += by
        self.people[given.who] += by
        if given.label is not None:
            self.labels[given.label] += by


def catch_up(ledger: Ledger, index: dict[str, int], store: Store, data: Data) -> None:
    """Take up all that is on disk by now: also what the run told itself, as labels in a file.

    Args:
        ledger: takes it up.
        index: the pool index of each sample with an answer, by key; it is kept up.
        store: of the run.
        data: of the run.
    """
    events = store.events(ledger.last)
    if unknown := {event.key for event in events} - index.keys():
        index |= indices_of(data, unknown)
    ledger.add(events, index)


def _given(event: int, said: Event) -> Given:
    """Return what was `said`, as it stands since `event`."""
    assert said.kind != "undo"
    return Given(event=event, kind=said.kind, label=said.label, who=said.who, at=said.at)
