"""What was picked, as one can look at it: galleries, balance, overlap, a map, near-duplicates."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from activeloop.errors import ActiveLoopError, DataError, StoreError
from activeloop.messages import one_line
from activeloop.report.balance import balance
from activeloop.report.document import Pictures
from activeloop.report.duplicates import duplicates
from activeloop.report.galleries import galleries
from activeloop.report.overlap import overlap
from activeloop.report.picks import class_names, of_seed, shared
from activeloop.report.pool_map import pool_map
from activeloop.report.runs import Run
from activeloop.report.samples import DataSet, Load

log = logging.getLogger(__name__)

_WITHOUT = "no thumbnails, map and near-duplicates"


def pictures(runs: Sequence[Run], seed: int | None = None, load: Load | None = None) -> Pictures:
    """Return what the runs of one comparison picked; what cannot be had is named in `missing`.

    Words and counts come from the runs alone. Images, the map and near-duplicates need the samples,
    which are loaded once.

    Args:
        runs: of the same data, by several strategies and seeds.
        seed: of the runs in galleries and map; None: the one that most strategies have.
        load: returns the data set of a run; None: `activeloop.reloading.reload`.
    """
    missing: list[str] = []
    runs = _readable(runs, missing)
    data = _loaded(runs, load, missing)
    picks = shared(runs)
    shown = of_seed(runs, seed)
    classes = class_names(runs, () if data is None else data.classes)
    if not picks:
        missing.append("no run has picks beyond its initial set")
    elif len(picks) == 1:
        missing.append("no overlap of picks: there is one strategy")
    size = _pool_size(runs, data)
    if len(picks) > 1 and size is None:
        missing.append("what picks share by chance is not known: the runs kept no size of the pool")
    return Pictures(
        galleries=galleries(shown, None if data is None else data.pool),
        balance=balance(picks, classes, data) if picks else None,
        overlap=overlap(picks, size) if len(picks) > 1 else None,
        map=None if data is None else pool_map(shown, data, classes),
        duplicates=None if data is None or not picks else duplicates(picks, data),
        missing=tuple(missing),
    )


def _readable(runs: Sequence[Run], missing: list[str]) -> list[Run]:
    """Return the runs that asked for something, of the same data as the first of them."""
    found: list[Run] = []
    for run in runs:
        try:
            asked, _ = run.queries, run.answers
        except StoreError as error:
            missing.append(f"{run.directory.name}: {one_line(error)}")
            continue
        if asked and found and _fingerprint(run) != _fingerprint(found[0]):
            missing.append(f"{run.directory.name} is left out: it has other data")
        elif asked:
            found.append(run)
    return found


def _fingerprint(run: Run) -> object:
    return run.identity.get("data", {}).get("pool")


def _loaded(runs: Sequence[Run], load: Load | None, missing: list[str]) -> DataSet | None:
    """Return the data set of the runs, or None and why not."""
    if not runs:
        return None
    from activeloop.reloading import reload  # here, for it imports all that makes data sets

    try:
        data = (load or reload)(runs[0])
        _check_keys(runs, data)
    except Exception as error:  # data sets of strangers may raise anything
        if not isinstance(error, ActiveLoopError | OSError):
            log.warning("the data of %s cannot be loaded", runs[0].directory, exc_info=True)
        missing.append(f"{_WITHOUT}: {one_line(error)}")
        return None
    missing += data.doubts
    return data


def _check_keys(runs: Sequence[Run], data: DataSet) -> None:
    """Raise `DataError` if what was asked for is not in the pool, or is another sample there."""
    for run in runs:
        for a in run.queries:
            if a.index >= len(data.pool) or data.pool.keys[a.index] != a.key:
                raise DataError(
                    f"the data that are there now are not those of the runs: {a.key!r} was sample "
                    f"{a.index} of the pool"
                )


def _pool_size(runs: Sequence[Run], data: DataSet | None) -> int | None:
    if data is not None:
        return len(data.pool)
    return next((run.pool_size for run in runs if run.pool_size is not None), None)
