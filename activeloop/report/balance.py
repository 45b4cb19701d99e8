"""Which classes were picked, against those of the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from activeloop.report.document import Balance
from activeloop.report.picks import ByStrategy
from activeloop.report.samples import DataSet


def balance(picks: ByStrategy, classes: Sequence[str], data: DataSet | None) -> Balance:
    """Return the shares of the classes among the picks, and in the pool.

    A class's share is of the answers, as they are now, wrong ones included. The pool's shares are
    of its hidden labels: a report comes after the fact, and nothing that picks or learns sees it.

    Args:
        picks: by strategy and seed.
        classes: names of the classes, those of the data set first.
        data: the data set; None: not at hand.
    """
    pool = None
    if data is not None and data.labels is not None:
        counts = np.bincount(data.labels, minlength=len(classes))
        pool = tuple((counts / len(data.labels)).tolist())
    means = {
        strategy: np.mean([_shares(p.labels, classes) for p in seeds.values()], axis=0)
        for strategy, seeds in picks.items()
    }
    return Balance(
        classes=tuple(classes),
        pool=pool,
        picks={strategy: tuple(mean.tolist()) for strategy, mean in means.items()},
    )


def _shares(names: Sequence[str], classes: Sequence[str]) -> tuple[float, ...]:
    counts = Counter(names)
    return tuple(counts[name] / len(names) for name in classes)
