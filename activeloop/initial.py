"""The initial set: what is labelled before there is a network."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from activeloop.checks import whole
from activeloop.errors import ConfigError, DataError
from activeloop.strategies import as_strategy, name_of, needs_of
from activeloop.strategies import random as random_strategy
from activeloop.strategies.loading import Inner
from activeloop.types import Context, Data, HiddenLabels, Indices, Labels, Strategy
from activeloop.words import counted


@dataclass(frozen=True, kw_only=True)
class Initial:
    """How a run starts: `size` samples by a strategy, or labels that are there already.

    Attributes:
        size: number of samples in the initial set.
        strategy: picks them; it sees no predictions.
        labels: known labels by pool index; nobody is asked for them.
        given: whether it is what has a label in the run's file before the run begins.
    """

    size: int
    strategy: Strategy = random_strategy
    labels: Mapping[int, int] | None = None
    given: bool = False

    def check(self, data: Data) -> None:
        """Raise `DataError` if the labels there are do not fit the pool, the classes or `size`."""
        if self.labels is None:
            return
        if len(self.labels) != self.size or not self.labels:
            labels = counted(len(self.labels), "label")
            raise DataError(f"initial.size is {self.size}, but it comes with {labels}")
        for index, label in self.labels.items():
            if not 0 <= index < len(data.pool) or not 0 <= label < data.n_classes:
                raise DataError(
                    f"initial label {label} of sample {index}: there are {data.n_classes} classes "
                    f"and {len(data.pool)} samples"
                )


class Stratified:
    """As many samples of each class as can be, at random: simulation only, for it needs the labels.

    Args:
        labels: the true labels of the pool, `[N]`.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels

    def __call__(self, context: Context) -> Indices:
        """Pick `context.k` indices, going round the classes."""
        shuffled = context.rng.permutation(context.unlabelled)
        turn = np.empty(len(shuffled), np.int64)
        for label in np.unique(self._labels[shuffled]):
            members = np.flatnonzero(self._labels[shuffled] == label)
            turn[members] = np.arange(len(members))
        # By turn; within a turn in the order of the shuffle, so that leftovers fall on any class.
        return shuffled[np.argsort(turn, kind="stable")[: context.k]]


def random(data: Data, hidden: HiddenLabels, *, size: int | None = 20) -> Initial:
    """Return an initial set of `size` samples at random; None: 20, or all where there are fewer."""
    return Initial(size=_size(size, data))


def _size(size: int | None, data: Data) -> int:
    return min(20, len(data.pool)) if size is None else whole("initial.size", size, least=1)


def stratified(data: Data, hidden: HiddenLabels, *, size: int | None = 20) -> Initial:
    """Return an initial set of `size` samples, as even over the classes as can be.

    None: of 20, or of all where there are fewer.

    Raises:
        DataError: the data has no labels.
    """
    if hidden.pool is None:
        raise DataError("initial=stratified needs data with labels; use initial=random")
    return Initial(size=_size(size, data), strategy=Stratified(hidden.pool))


def by_strategy(
    data: Data, hidden: HiddenLabels, *, strategy: Inner, size: int | None = 20
) -> Initial:
    """Return an initial set picked by a strategy that needs no network: a cold start.

    Args:
        data: the pool, with embeddings if the strategy compares samples.
        hidden: not used.
        strategy: its name, a mapping such as `{name: k_center, space: embeddings}`, or a callable.
        size: number of samples in the initial set; None: 20, or all where there are fewer.

    Raises:
        ConfigError: there is no such strategy, or it needs what is not there before the first
            round, or embeddings that this run does not have.
    """
    size = _size(size, data)
    try:
        chosen = as_strategy(strategy)
    except ConfigError as error:
        raise ConfigError(f"initial.strategy: {error}") from error
    needed, name = needs_of(chosen, _nothing_labelled(data, size)), name_of(chosen)
    if early := sorted(needed - {"embeddings", "neighbors"}):
        raise ConfigError(
            f"initial.strategy={name} needs {' and '.join(early)}, and before the first round "
            f"there is no network: choose one that compares embeddings, as in "
            "'initial.strategy={name: k_center, space: embeddings}'"
        )
    if "embeddings" in needed and data.embeddings is None:
        raise ConfigError(
            f"the initial strategy {name} compares embeddings, and there are none: choose "
            "embed=pca, backbone or file (embed.as_input=false leaves the learner the samples)"
        )
    return Initial(size=size, strategy=chosen)


def _nothing_labelled(data: Data, k: int) -> Context:
    nothing = np.empty(0, np.int64)
    return Context(
        k=k,
        rng=np.random.default_rng(0),
        n_classes=data.n_classes,
        round=0,
        labelled=nothing,
        labels=nothing,
        unlabelled=np.arange(len(data.pool)),
    )


def everything(data: Data, hidden: HiddenLabels) -> Initial:
    """Return the whole pool as the initial set: training on all labels."""
    return Initial(size=len(data.pool))


def file(data: Data, hidden: HiddenLabels, *, path: str) -> Initial:
    """Return an initial set from labels already owned.

    Args:
        data: the pool whose keys the file names.
        hidden: not used.
        path: a CSV file with the columns `key` and `label` (a class name), such as the
            `queries.csv` of a run; lines without a label are passed over.

    Raises:
        ConfigError: no path.
        DataError: the file cannot be read, or names an unknown key or class, or one key with two
            labels.
    """
    if not path:
        raise ConfigError("initial=file needs initial.path=labels.csv, with columns key,label")
    labels = read_labels(Path(path), data)
    return Initial(size=len(labels), labels=labels)


def branched(
    data: Data,
    hidden: HiddenLabels,
    *,
    size: int,
    directory: str,
    round: int | None,
    event: int,
) -> Initial:
    """Return the initial set of a branch, whose labels `activeloop branch` put in the run's file.

    Args:
        data: not used.
        hidden: not used.
        size: how many labels they are.
        directory: of the run that they are of; said here so that the config says it.
        round: they are as they were after this round's query; None: as they were then.
        event: the number of the last answer of that run that is among them.
    """
    return Initial(size=whole("initial.size", size, least=1), given=True)


def read_labels(path: Path, data: Data) -> dict[int, int]:
    """Return the labels in a CSV of `key,label` by pool index; see `file`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not rows or not {"key", "label"} <= rows[0].keys():
        raise DataError(f"{path} must be a CSV with columns key,label and at least one row")
    position = {key: index for index, key in enumerate(data.pool.keys)}
    classes = {name: label for label, name in enumerate(data.classes)}
    labels: dict[int, int] = {}
    for line, row in enumerate(rows, start=2):
        key, name = row["key"], row["label"]
        if not name:
            continue  # asked for but not answered, as a run's queries.csv has it
        if key not in position:
            raise DataError(f"{path}, line {line}: no sample of the pool has the key {key!r}")
        if name not in classes:
            known = ", ".join(data.classes[:20])
            raise DataError(f"{path}, line {line}: unknown class {name!r}; there are {known}")
        if labels.setdefault(position[key], classes[name]) != classes[name]:
            raise DataError(f"{path}, line {line}: {key!r} has another label already")
    return labels
