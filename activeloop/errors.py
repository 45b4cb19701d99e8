"""What can go wrong, by whose doing. The command line prints these in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# How the message about a run ends that another process is at.
IN_USE: Final = "is in use: another process runs it"

# What to do where a strategy needs members and there are none.
MEMBERS_ADVICE: Final = (
    "set learner.members=mc_dropout (with model=cnn_dropout) or learner.members=ensemble"
)


class ActiveLoopError(Exception):
    """Base of every error that names its cause and what to do about it."""


class ConfigError(ActiveLoopError):
    """A setting has no meaning, or two settings contradict each other."""


class DataError(ActiveLoopError):
    """Data is missing, unreadable or inconsistent."""


class LearnerError(ActiveLoopError):
    """A network cannot take the data, or training diverged."""


class StrategyError(ActiveLoopError):
    """A strategy raised, or returned something that is not `k` distinct unlabelled indices."""


class OrderError(ActiveLoopError):
    """`ask` and `tell` were called out of order, or with answers that do not fit the query."""


class StoreError(ActiveLoopError):
    """A run directory holds another run, or cannot be read or written."""


class DiskError(StoreError):
    """The disk of a run is full, or fails, and what was finished is kept.

    Args:
        what: happened, and to which file.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        """Return it for who has run a command."""
        return f"{self.what}; what was finished is kept, and the same command goes on from there"


class RunsFailed(ActiveLoopError):
    """Some of several runs failed, or all of them.

    Args:
        reasons: why, in one line, by the directory of the run.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__(reasons)
        self.reasons = dict(reasons)

    def __str__(self) -> str:
        """Return the first reason."""
        return next(iter(self.reasons.values()))
