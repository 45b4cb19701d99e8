"""Rules that end a run before its budget is spent."""

from __future__ import annotations

from collections.abc import Sequence

from activeloop.checks import real
from activeloop.errors import DataError
from activeloop.types import Round


class Target:
    """Stop when the test accuracy reaches `accuracy` (a share, 0 to 1).

    Raises:
        ConfigError: `accuracy` is no share.
        DataError: when called, if the run has no test labels.
    """

    def __init__(self, accuracy: float) -> None:
        self._accuracy = real("stopping.accuracy", accuracy, least=0, most=1)

    def __call__(self, rounds: Sequence[Round]) -> str | None:
        """Return the reason to stop, or None."""
        reached = rounds[-1].metrics.get("accuracy")
        if reached is None:
            raise DataError("stopping=target needs test samples with labels")
        if reached < self._accuracy:
            return None
        return f"accuracy {reached:.2%} reached the target {self._accuracy:.2%}"
