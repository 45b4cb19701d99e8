"""Ask for what another run asked for."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from activeloop.errors import DataError, StrategyError
from activeloop.strategies.wrapping import Wrapper
from activeloop.types import Context, Indices
from activeloop.words import counted


@dataclass(kw_only=True, repr=False, eq=False)
class Replay(Wrapper):
    """What another run asked for, in its order.

    It tells whether what was picked for one learner serves another.

    Samples that have an answer already are passed over, so that two runs with the same seed and the
    same initial set ask for the same, round by round. From another initial set, begin with
    `initial=strategy 'initial.strategy={name: replay, path: ...}'` and that run's `initial.size`.

    Budget: any; that of the other run.
    Time: O(N).
    Memory: O(N).

    Args:
        path: `queries.csv` of the other run, or its directory.

    Raises:
        DataError: the file cannot be read, or has no column `key`.
    """

    wraps = ()
    path: str

    def check(self) -> None:
        """Read the file."""
        given = Path(self.path).expanduser()
        self._file = given / "queries.csv" if given.is_dir() else given
        try:
            with self._file.open(newline="", encoding="utf-8-sig") as lines:
                reader = csv.DictReader(lines)
                self._keys = [row.get("key") or "" for row in reader]
                columns = reader.fieldnames or []
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"strategy.path: cannot read {self._file}: {error}") from error
        if "key" not in columns:
            raise DataError(
                f"strategy.path: {self._file} must be a CSV with a column key, as the queries.csv "
                "of a run"
            )
        self._order: Indices | None = None

    def resolve(self, keys: Sequence[str]) -> None:
        """Find the samples in the pool whose keys are `keys`, `[N]`.

        Raises:
            DataError: there is none of that key.
        """
        position = {key: index for index, key in enumerate(keys)}
        for line, key in enumerate(self._keys, start=2):
            if key not in position:
                raise DataError(
                    f"{self._file}, line {line}: no sample of the pool has the key {key!r}: replay "
                    "needs the data of that run"
                )
        self._order = np.array([position[key] for key in dict.fromkeys(self._keys)], np.int64)

    def __call__(self, context: Context) -> Indices:
        """Return the next `context.k` of the file that may be picked.

        Raises:
            StrategyError: there are fewer left, or the keys of the pool were never told.
        """
        if self._order is None:
            raise StrategyError("the keys of the pool are not known: call resolve(keys) first")
        left = self._order[np.isin(self._order, context.unlabelled)]
        if len(left) < context.k:
            raise StrategyError(
                f"{self._file} names {counted(len(self._order), 'sample')}, {len(left)} of them "
                f"left to ask for, and this query is of {context.k}: ask for fewer rounds, or a "
                "smaller budget"
            )
        return left[: context.k]
