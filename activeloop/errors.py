"""What can go wrong, by whose doing. The command line prints these in one line."""

from __future__ import annotations

from typing import Final

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
