"""Whose turn it is: which samples of the query are still to be shown, and who has which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

# Heard of within so many seconds, somebody is here.
HERE_SECONDS = 60.0


class Turns:
    """Shares samples out, each to one person at a time.

    What somebody has who did nothing for `patience` seconds goes to others: a page that was left
    open is still heard of.

    Args:
        clock: seconds that only grow.
        patience: in seconds.

    Attributes:
        queue: samples of the query, best first; some may be answered.
    """

    def __init__(self, clock: Callable[[], float], patience: float = 300.0) -> None:
        self.queue: list[int] = []
        self._clock, self._patience = clock, patience
        self._heard: dict[str, float] = {}
        self._acted: dict[str, float] = {}
        self._holder: dict[int, str] = {}
        self._held: dict[str, dict[int, None]] = {}  # by person, in the order of taking

    def heard(self, who: str) -> None:
        """Note that `who` is here."""
        self._heard[who] = self._clock()

    def acts(self, who: str) -> None:
        """Note that `who` is at work, and let go of what those have who are not."""
        self.heard(who)
        now = self._acted[who] = self._clock()
        for name in [name for name, held in self._held.items() if held]:
            if now - self._acted[name] > self._patience:
                self.release(name)

    def here(self, who: str) -> bool:
        """Return whether `who` was heard of just now."""
        return self._clock() - self._heard.get(who, float("-inf")) <= HERE_SECONDS

    @property
    def people(self) -> Iterable[str]:
        """All who were heard of."""
        return self._heard

    def held(self, who: str) -> list[int]:
        """Return what `who` has."""
        return list(self._held.get(who, ()))

    @property
    def holders(self) -> dict[str, list[int]]:
        """What each person has who has anything."""
        return {who: list(held) for who, held in self._held.items() if held}

    def restore(self, who: str, held: Iterable[int]) -> None:
        """Give `who` what they had before the server was started again, as if they just acted."""
        self._acted[who] = self._clock()
        self.take(who, held)

    def free(self, index: int, who: str | None = None) -> bool:
        """Return whether nobody else than `who` has a sample."""
        return self._holder.get(index, who) == who

    def take(self, who: str, indices: Iterable[int]) -> None:
        """Give samples to `who`, whoever had them."""
        for index in indices:
            self.drop([index])
            self._holder[index] = who
            self._held.setdefault(who, {})[index] = None

    def drop(self, indices: Iterable[int]) -> None:
        """Have nobody hold these samples."""
        for index in indices:
            if (holder := self._holder.pop(index, None)) is not None:
                del self._held[holder][index]

    def release(self, who: str, but: Sequence[int] = ()) -> None:
        """Take back what `who` has, but for some."""
        self.drop(set(self.held(who)) - set(but))

    def replace(self, queue: list[int]) -> None:
        """Have the picks of a new query take the place of what is left of the one before."""
        self.queue = queue
