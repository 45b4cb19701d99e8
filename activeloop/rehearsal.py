"""A strategy is tried on a few made-up samples first: options without meaning show at once.

Numbers out of range would otherwise show when the strategy is first asked, after a training.
"""

from __future__ import annotations

import copy
import functools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from activeloop.errors import ConfigError
from activeloop.testing.contexts import make_context
from activeloop.types import Strategy

_log = logging.getLogger(__name__)


def rehearse(strategy: Strategy) -> None:
    """Raise `ConfigError` if an option of `strategy`, one of activeloop's own, has no meaning.

    Whatever else goes wrong on so few samples says nothing of the pool, and is let pass. A copy is
    tried, for a strategy may remember what it was asked.
    """
    inner = strategy.func if isinstance(strategy, functools.partial) else strategy
    if not str(getattr(inner, "__module__", "")).startswith("activeloop."):
        return  # what others wrote is called when there is something to pick
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(strategy)(make_context())
    except ConfigError:
        raise
    except Exception as error:
        _log.debug("the rehearsal of a strategy ended in %s: %s", type(error).__name__, error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what is said of made-up samples from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
