"""How many labels an hour, over the time at work."""

from __future__ import annotations

from datetime import datetime

# A longer gap between two answers is a pause.
PAUSE_SECONDS = 120.0
# Fewer labels say little.
LEAST_LABELS = 5


class Pace:
    """Labels over the time between answers.

    The first after a pause has no time, and counts not; nor do those that were given with it.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._timed = False  # whether the time before the last is known
        self._counted: set[int] = set()
        self._seconds = 0.0

    def add(self, at: str, gives: int | None = None, takes: int | None = None) -> None:
        """Take up an event.

        Args:
            at: when it was, ISO 8601.
            gives: the number of the event, if it gave a label.
            takes: the number of the event that it took back.
        """
        now = datetime.fromisoformat(at).timestamp()
        if now != self._last:
            gap = None if self._last is None else max(0.0, now - self._last)
            self._timed = gap is not None and gap <= PAUSE_SECONDS
            self._seconds += gap if gap is not None and self._timed else 0.0
            self._last = now
        if gives is not None and self._timed:
            self._counted.add(gives)
        if takes is not None:
            self._counted.discard(takes)

    @property
    def per_hour(self) -> float | None:
        """Labels an hour; None: there are too few to say."""
        if len(self._counted) < LEAST_LABELS or self._seconds == 0:
            return None
        return 3600 * len(self._counted) / self._seconds
