"""What the same learner does with all labels of the pool: runs of `experiment=ceiling`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from activeloop.report.grouping import Group
from activeloop.report.runs import Run
from activeloop.report.series import metrics_of
from activeloop.report.settings import fingerprints, key

# Where `experiment=ceiling` leaves its runs.
CEILINGS = "outputs/ceiling"
_SAME = ("model", "learner", "embed", "oracle")


def is_ceiling(run: Run) -> bool:
    """Return whether a run asks for the whole pool at once."""
    initial = run.config.get("initial")
    target = str(initial.get("_target_")) if isinstance(initial, dict) else ""
    return target.rpartition(".")[2] == "everything" and len(run.rounds) <= 1


def ceiling(group: Group, runs: Iterable[Run]) -> dict[str, float] | None:
    """Return the metrics of those `runs` that the group could end at, their mean over seeds.

    Args:
        group: the runs that are compared.
        runs: ceilings; those of other data, or of another model or learner, are passed over.
    """
    wanted = _made_of(group.runs[0])
    fitting = [run for run in runs if run.finished and run.rounds and _made_of(run) == wanted]
    # Two of one seed are the same run.
    return _means(list({run.seed: run for run in fitting}.values())) if fitting else None


def _made_of(run: Run) -> str:
    return key([fingerprints(run), {name: run.config.get(name) for name in _SAME}])


def _means(runs: Sequence[Run]) -> dict[str, float]:
    found = {}
    for metric in metrics_of(runs):
        values = [run.rounds[-1].metrics.get(metric, math.nan) for run in runs]
        if finite := [value for value in values if math.isfinite(value)]:
            found[metric] = fmean(finite)
    return found
