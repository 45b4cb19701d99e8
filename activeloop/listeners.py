"""Listeners are told how a run goes; they cannot change it."""

from __future__ import annotations

from torch import Tensor

from activeloop.types import Epoch, Query, Round, TrackedRun


class Silent:
    """A listener and tracker that does nothing: inherit, and override what you want to hear."""

    def on_begin(self, run: TrackedRun) -> int | None:
        """The run begins or goes on; only trackers are told. Return how many rounds it has."""
        return None

    def on_epoch(self, epoch: Epoch) -> None:
        """Training finished an epoch."""

    def on_query(self, query: Query) -> None:
        """A query was made and stored."""

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """A round ended and is stored."""

    def on_end(self, reason: str) -> None:
        """The run is over."""

    def close(self) -> None:
        """Nothing more comes; only trackers are told."""
