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
        self._labels, self._seconds = 0, 0.0

    def add(self, at: str, labels: int) -> None:
        """Take up an event: when it was (ISO 8601); 1: it gave a label, -1: it took one back."""
        now = datetime.fromisoformat(at).timestamp()
        if now != self._last:
            gap = None if self._last is None else max(0.0, now - self._last)
            self._timed = gap is not None and gap <= PAUSE_SECONDS
            self._seconds += gap if gap is not None and self._timed else 0.0
            self._last = now
        self._labels += labels if self._timed else 0

    @property
    def per_hour(self) -> float | None:
        """Labels an hour; None: there are too few to say."""
        if self._labels < LEAST_LABELS or self._seconds == 0:
            return None
        return 3600 * self._labels / self._seconds
