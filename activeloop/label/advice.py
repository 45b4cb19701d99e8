"""What a stopping rule advises. It never ends a run that people label: they do."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from activeloop.loop import ActiveLoop
from activeloop.messages import one_line
from activeloop.stopping import check_rules
from activeloop.stopping.combining import Never
from activeloop.types import Round, StoppingRule

log = logging.getLogger(__name__)


def checked_rule(rule: StoppingRule | None, loop: ActiveLoop) -> StoppingRule | None:
    """Return `rule`, or None for one that never advises anything.

    Raises:
        ConfigError, DataError: it needs what the rounds of `loop` will not have.
    """
    if rule is None or isinstance(rule, Never):
        return None
    check_rules([rule], loop.metrics_of_all_rounds())
    return rule


def advice_of(rule: StoppingRule | None, rounds: Sequence[Round]) -> str | None:
    """Return the rule's reason to stop after the last of `rounds`, if it has one."""
    if rule is None or not rounds:
        return None
    try:
        return rule(rounds)
    except Exception as error:
        log.warning("the stopping rule failed: %s", one_line(error))
        return None
