"""Trackers: where a run's metrics, config, curve and picked images go, beside its own files.

A tracker is a listener that is told which run it follows (`activeloop.types.Tracker`). It changes
nothing of the run, and one that fails does not end it. `tensorboard` and `mlflow` need packages
that are extras, which are imported when they are asked for.
"""

from activeloop.trackers.images import PoolImages
from activeloop.trackers.tracking import Tracking, checked, tracking_of

__all__ = ["PoolImages", "Tracking", "checked", "tracking_of"]
