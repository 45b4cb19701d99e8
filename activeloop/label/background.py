"""A thread that works in steps behind the page, and ends when the server does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress


class Stopped(Exception):
    """The server ends while a network is trained: the round is done again when it goes on."""


class Background:
    """Does what is to be done, and waits for more.

    Attributes:
        stopping: whether the server ends.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._more = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, step: Callable[[], bool]) -> None:
        """Begin; `step` does one thing, and returns False if there is nothing to do."""
        self._thread = threading.Thread(
            target=self._work, args=(step,), name="trainer", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        self._more.set()

    def stop(self, timeout: float | None = None) -> bool:
        """End after the present step, or epoch; return whether it has ended within `timeout`."""
        self.stopping = True
        self.wake()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def check(self) -> None:
        """Raise `Stopped` if the server ends."""
        if self.stopping:
            raise Stopped

    def _work(self, step: Callable[[], bool]) -> None:
        with suppress(Stopped):
            while True:
                self._more.clear()
                if self.stopping:  # after that: else its wake-up might be what was cleared
                    return
                if not step():
                    self._more.wait()
