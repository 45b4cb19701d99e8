"""What the desk tells the page, and with it everyone who answers. JSON is `dataclasses.asdict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from activeloop.errors import OrderError

Kind = Literal["label", "skip", "none"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer as a person gives it.

    Attributes:
        id: the sample's index in the pool.
        kind: a label, "skip", or "none" of the classes fits.
        label: the class's name, for a label.
        seconds: that it took, where known.
        replaces: event of the answer that the person saw on the card; None: there was none.
        key: of the sample that the person saw; None: whatever has the number.
    """

    id: int
    kind: Kind
    label: str | None = None
    seconds: float | None = None
    replaces: int | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Given:
    """The present answer for a sample.

    Attributes:
        event: its number among all events of the run; a correction names the one that it replaces.
        kind: a label, "skip", or "none" of the classes fits.
        label: the class's name, for a label.
        who: gave it.
        at: when, UTC, ISO 8601.
    """

    event: int
    kind: Kind
    label: str | None
    who: str
    at: str


class Conflict(OrderError):
    """Somebody has answered meanwhile; nothing was written.

    Attributes:
        given: the present answer; None: it was taken back.
    """

    def __init__(self, message: str, given: Given | None) -> None:
        super().__init__(message)
        self.given = given


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What the network says of a sample that it was not trained on.

    Attributes:
        predicted: the likeliest class's name.
        confidence: its probability.
        probs: the likeliest classes with their probabilities, at most ten, likeliest first; only
            the first where no more is known.
    """

    predicted: str
    confidence: float
    probs: Sequence[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Near:
    """A labelled sample that is much like the one that is shown."""

    id: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why a sample is shown.

    Attributes:
        origin: "initial", of the first query; "strategy"; "audit", at random to estimate the
            accuracy; "waiting", at random while the next query is made; "grid", of one predicted
            class; "second look"; "asked for", by somebody who jumped to it.
        round: number of the query; of those that are in none, of the one that comes next.
        strategy: its name, where it picked the sample.
        score: by which it did, if by one.
    """

    origin: Literal["initial", "strategy", "audit", "waiting", "grid", "second look", "asked for"]
    round: int
    strategy: str | None = None
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """A sample as it is shown to a person.

    Attributes:
        id: its index in the pool; `/images/ID` is its image.
        key: its key: the path under the folder of images.
        why: it is shown.
        opinion: of the network; None before there is one.
        nearest: labelled samples that are most like it, nearest first, at most three.
        given: the present answer; None where there is none.
    """

    id: int
    key: str
    why: Why
    opinion: Opinion | None
    nearest: Sequence[Near]
    given: Given | None


@dataclass(frozen=True, kw_only=True)
class TakenBack:
    """An answer that was taken back.

    Attributes:
        card: its sample, with the answer that is there again, if there is one.
        kind: of the answer.
        label: the class's name, for a label.
    """

    card: Card
    kind: Kind
    label: str | None


@dataclass(frozen=True, kw_only=True)
class Person:
    """One who answers.

    Attributes:
        name: theirs.
        answers: present answers that are theirs.
        per_hour: labels an hour over their time at work, pauses left out; None: too few to say.
        here: whether they were heard of within the last minute.
    """

    name: str
    answers: int
    per_hour: float | None
    here: bool


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Estimated accuracy of the network on images like those of the pool.

    Attributes:
        accuracy: the share that is right.
        low: the lower end of its 95% interval.
        high: the upper end.
        samples: how many it is from.
        source: "test" set, or "audit": samples drawn at random, predicted before they were trained
            on.
        rounds: first and last round whose networks it is of.
        labels: how many labels these two were trained on.
    """

    accuracy: float
    low: float
    high: float
    samples: int
    source: Literal["test", "audit"]
    rounds: tuple[int, int]
    labels: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One round of the curve. `accuracy` is None where it cannot be estimated."""

    round: int
    labels: int
    accuracy: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Training:
    """What goes on behind the page.

    Attributes:
        state: "idle", until enough answers are there; "training"; "choosing" the next samples;
            "second looks"; "failed"; "finished": the run is over.
        detail: in words, as in "round 3: 60 labels"; what went wrong and what to do, if it failed.
        until_next: new answers, to whatever samples, that are still missing until the next round
            begins; None: not known, or none comes.
    """

    state: Literal["idle", "training", "choosing", "second looks", "failed", "finished"]
    detail: str
    until_next: int | None


@dataclass(frozen=True, kw_only=True)
class Status:
    """How the work goes, for the page's side panel.

    Attributes:
        run: the run's name.
        directory: where it is kept, wherever the program was started: a page knows its run by it.
        classes: names, in the order of their numbers.
        counts: present labels by class name, all classes.
        labels: present labels in all.
        skipped: samples that were skipped.
        none: samples that no class fits.
        unlabelled: samples without an answer.
        round: number of the open query, or of the one that is being made. When it grows, the rest
            of the queue was replaced: ask for `next` anew.
        queued: samples of the queue that nobody has yet.
        training: what goes on behind.
        estimate: of the accuracy; None: not yet.
        curve: all rounds.
        advice: what the stopping rule says: a reason to stop, or None.
        rule: the stopping rule's name; None without one.
        per_hour: labels an hour of all together; None: too few to say.
        people: who answers or did.
        second_looks: samples that wait for a second look.
        finished: why the run is over, or None.
        cannot_reopen: why it would be over again at once, and what to do; None where it can go on.
    """

    run: str
    directory: str
    classes: Sequence[str]
    counts: Mapping[str, int]
    labels: int
    skipped: int
    none: int
    unlabelled: int
    round: int
    queued: int
    training: Training
    estimate: Estimate | None
    curve: Sequence[Point]
    advice: str | None
    rule: str | None
    per_hour: float | None
    people: Sequence[Person]
    second_looks: int
    finished: str | None
    cannot_reopen: str | None = None
