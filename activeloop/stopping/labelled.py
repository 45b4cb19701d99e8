"""Rules that count labels, or look at the test accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from activeloop.checks import real, whole
from activeloop.stopping.base import Threshold, latest
from activeloop.types import Round
from activeloop.words import counted


class Budget(Threshold):
    """Stop at so many labels, the initial set included: what can be paid for is spent.

    The setting `budget` does the same by itself, and cuts the last query to fit; this rule is for
    combining with others, and stops at the first round that has as many.

    Args:
        labels: how many.

    Raises:
        ConfigError: `labels` is no such number.
    """

    name = "budget"
    needs = frozenset[str]()
    reading_name = "labels"

    def __init__(self, labels: int = 200) -> None:
        self.labels = whole("stopping.labels", labels, least=1)
        self.wanted = f"at least {self.labels}"

    def value(self, rounds: Sequence[Round]) -> float:
        """Return the labels so far."""
        return rounds[-1].labels

    def met(self, value: float) -> bool:
        """Return whether they are as many."""
        return value >= self.labels

    def reason(self, value: float) -> str:
        """Return why the run stops at `value`."""
        return f"budget of {counted(self.labels, 'label')} spent"


class Target(Threshold):
    """Stop when the test accuracy reaches `accuracy`.

    It takes a labelled test set: a benchmark has one, a project mostly does not.

    Args:
        accuracy: a share, 0 to 1.

    Raises:
        ConfigError: `accuracy` is no share.
    """

    name = "target"
    needs = frozenset(["accuracy"])
    reading_name = "accuracy"

    def __init__(self, accuracy: float = 0.95) -> None:
        self.accuracy = real("stopping.accuracy", accuracy, least=0, most=1)
        self.wanted = f"at least {self.accuracy:g}"

    def value(self, rounds: Sequence[Round]) -> float | None:
        """Return the accuracy."""
        now = latest(rounds, "accuracy", 1)
        return now[0] if now else None

    def met(self, value: float) -> bool:
        """Return whether it is reached."""
        return value >= self.accuracy

    def reason(self, value: float) -> str:
        """Return why the run stops at `value`."""
        return f"accuracy {value:.2%} reached the target {self.accuracy:.2%}"


class Plateau(Threshold):
    """Stop when the test accuracy gained less than `gain` over the last `window` rounds.

    A rule of thumb, and the simplest of those that look at the slope of the learning curve; Laws
    and Schuetze (Coling 2008) do so with a performance that they estimate without labels.
    It takes a labelled test set.

    Args:
        gain: the least accuracy that is worth going on for, a share: 0.005 is half a point.
        window: over how many rounds; it takes one more before the rule can stop a run.

    Raises:
        ConfigError: an option makes no sense.
    """

    name = "plateau"
    needs = frozenset(["accuracy"])

    def __init__(self, gain: float = 0.005, window: int = 3) -> None:
        self.gain = real("stopping.gain", gain, least=0, most=1)
        self.window = whole("stopping.window", window, least=1)
        self.wanted = f"below {self.gain:g}"
        self.reading_name = f"accuracy_gain_{self.window}"

    def value(self, rounds: Sequence[Round]) -> float | None:
        """Return the gain over the window."""
        accuracies = latest(rounds, "accuracy", self.window + 1)
        return accuracies[-1] - accuracies[0] if accuracies else None

    def met(self, value: float) -> bool:
        """Return whether it is too little."""
        return value < self.gain
