"""The end of a run that people label: they say when it is over, and may take that back."""

from __future__ import annotations

import shlex
from contextlib import suppress

from activeloop.errors import OrderError, StoreError
from activeloop.label.ledger import Ledger
from activeloop.loop import ActiveLoop
from activeloop.words import counted

LEAST_CLASSES = 2
# In the run's file, why it is to end: until that is done, whoever opens the run goes on ending it.
FINISHING = "finishing"
# There too: that it was reopened when all samples had answers, and is over when somebody says so.
KEPT_OPEN = "kept_open"


class Ending:
    """Whether the run is over, is to be, or was reopened; kept in its file.

    The desk's lock is held by whoever calls it.

    Args:
        loop: the run.
        ledger: the answers as they are.

    Attributes:
        reason: why the run is to end; None: it is not.
    """

    def __init__(self, loop: ActiveLoop, ledger: Ledger) -> None:
        self._loop, self._ledger, self._store = loop, ledger, loop.files.store
        self.reason: str | None = self._store.meta(FINISHING) if loop.ended is None else None
        self._kept_open = bool(self._store.meta(KEPT_OPEN))

    @property
    def said(self) -> str | None:
        """Why the run is over, and what is not so any more; None: it goes on."""
        loop, ended = self._loop, self._loop.ended
        if ended is None:
            return None
        labels, left = self._ledger.n_labels, len(loop.pool) - len(self._ledger)
        # What the schedule says where no sample is left, or all are labelled.
        last = {loop.schedule.next(loop.round, n, 0)[1] for n in (0, len(loop.pool))}
        if ended not in last or not loop.schedule.next(loop.round, labels, left)[0]:
            return ended
        without = f"{counted(left, 'sample')} {'is' if left == 1 else 'are'} without an answer"
        return (
            f"{ended} when it ended, but answers were taken back since: {counted(labels, 'label')} "
            f"now, {without}"
        )

    @property
    def near(self) -> bool:
        """Whether the run is over, or about to be."""
        return self.reason is not None or self._loop.ended is not None

    @property
    def kept_open(self) -> bool:
        """Whether all samples have answers, and people go on all the same: to correct them."""
        return self._kept_open and self._all_answered

    def ask_for(self, reason: str) -> None:
        """Have the run end for a reason.

        Raises:
            OrderError: there are too few labels for a network.
        """
        if self._ledger.n_classes < LEAST_CLASSES:
            raise OrderError(
                "a network needs labels of at least two classes: label some more samples before "
                "you finish"
            )
        self._store.set_meta(FINISHING, reason)
        self.reason = reason

    def drop(self) -> None:
        """Have the run end for no reason any more: it has, cannot, or need not."""
        self.reason = None
        with suppress(StoreError):  # a full disk; then whoever opens the run goes on ending it
            if self._store.meta(FINISHING) is not None:
                self._store.set_meta(FINISHING, None)

    def reopen(self) -> None:
        """Go on with a run that is over, or is to be.

        One without a sample left stays open until somebody finishes it: labels may be corrected.

        Raises:
            OrderError: it would be over again at once.
        """
        if (reason := self.cannot_reopen) is not None:
            raise OrderError(reason)
        self.drop()
        self._keep_open(self._loop.ended is not None and self._all_answered)
        self._loop.reopen()

    @property
    def cannot_reopen(self) -> str | None:
        """Why a run that is over would be so again at once, and what to do; None: it would not."""
        loop = self._loop
        if loop.ended is None or loop.round == 0 or self._all_answered:
            return None
        if self._ledger.last > loop.files.store.horizon(loop.round - 1)[0]:
            return None  # a last network would learn what was corrected
        left = len(loop.pool) - len(self._ledger)
        _, reason = loop.schedule.next(loop.round, self._ledger.n_labels, left)
        if not reason:
            return None
        directory = shlex.quote(str(loop.files.directory or "DIR"))
        return (
            f"{reason}; for more from these labels: python -m activeloop branch {directory} "
            f"{loop.schedule.more(loop.round)}. Labels may still be corrected in the history: go "
            "on after that, and a last network learns it"
        )

    def settle(self) -> None:
        """Note that a query was made, or the run has ended: nothing is kept open for corrections.

        Where it was reopened just then, it is.
        """
        if self._loop.query is not None or self._loop.ended is not None:
            self._keep_open(False)

    def _keep_open(self, kept: bool) -> None:
        if kept != self._kept_open:
            self._store.set_meta(KEPT_OPEN, kept)
            self._kept_open = kept

    @property
    def _all_answered(self) -> bool:
        return len(self._ledger) == len(self._loop.pool)
