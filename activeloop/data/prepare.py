"""From a data set as it was read to the pool: the steps and options that all builders share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import real, whole
from activeloop.data.parts import (
    Part,
    labels_of,
    mean_and_std,
    pick_per_class,
    set_aside,
    shares,
    whole_part,
)
from activeloop.data.samples import RepeatedKeys, blocks
from activeloop.data.stored import RowFile, StoredRows
from activeloop.data.validate import check_classes, check_classes_present, check_labels
from activeloop.errors import ConfigError, DataError
from activeloop.types import Data, HiddenLabels, Indices, LabelledSamples, Preprocessing


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """What every builder takes beside its own options. The steps are taken in this order.

    Attributes:
        seed: of all chance here, splits too; a run's own seed changes nothing of its data.
        validation: how many samples to take out of the pool, with their labels; stratified.
        imbalance: how many times rarer the last class is made than the first: class `c` keeps at
            most `n_max * imbalance ** (-c / (C - 1))` samples, `n_max` those of the largest class.
        pool_size: how many samples to keep, stratified if there are labels; None keeps all.
        repeat: how many times each sample is in the pool.
        jitter: standard deviation of Gaussian noise on each pool sample, every copy with its own,
            the first too, as in Repeated-MNIST. Of uint8 images in units of the pixel range
            [0, 1], and clipped to it; otherwise in the units of the values.
        mean: for normalising, one number or one per channel (image) or feature (vector), pixels
            in [0, 1]. None takes the data set's known ones, or computes them from the pool.
        std: likewise.

    Raises:
        ConfigError: if a value is of the wrong type or out of range.
    """

    seed: int = 0
    validation: int = 0
    imbalance: float = 1.0
    pool_size: int | None = None
    repeat: int = 1
    jitter: float = 0.0
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        whole("data.seed", self.seed)
        whole("data.validation", self.validation)
        real("data.imbalance", self.imbalance, least=1)
        if self.pool_size is not None:
            whole("data.pool_size", self.pool_size, least=1)
        whole("data.repeat", self.repeat, least=1)
        real("data.jitter", self.jitter, least=0)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> PoolOptions:
        """Return the options of a builder's `**options`, or raise `ConfigError` for others."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise ConfigError(f"no option {name!r}; beside its own, data takes {known}")
        return cls(**options)

    def rng(self, step: str) -> np.random.Generator:
        """Return the generator of one step, so that no step shifts the chance of another."""
        return np.random.default_rng([self.seed, zlib.crc32(step.encode())])


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A data set as a builder read it, before the options.

    Attributes:
        name: the data set's name.
        classes: class names, `[C]`.
        pool: what may be asked for.
        test: what is evaluated on, with labels; None where there is none.
        augmentations: as in `Data`.
        mean: known mean of each channel, pixels in [0, 1]; None if it is to be computed.
        std: likewise.
        root: as in `Data`.
        read: where nothing is read yet: reads rows of what is the parts' common `x`, ascending,
            given how many memory would have to hold; returns samples, and their places in these.
    """

    name: str
    classes: tuple[str, ...]
    pool: Part
    test: Part | None = None
    augmentations: tuple[str, ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    root: Path | None = None
    read: Callable[[Indices, int], tuple[Tensor | StoredRows, Indices]] | None = None


def prepare(source: Source, options: PoolOptions) -> tuple[Data, HiddenLabels]:
    """Take the steps of `options` and return what the loop sees, and the hidden labels.

    Raises:
        ConfigError: if an option asks for more samples than there are, or for labels that are not
            known.
        DataError: if classes, labels and samples do not fit one another.
    """
    _check(source)
    pool, validation = set_aside(source.pool, options.validation, options.rng("validation"))
    pool = _imbalanced(pool, len(source.classes), options)
    pool = _subsampled(pool, options)
    check_classes_present(pool.labels, source.classes)
    pool = _repeated(pool, options)
    parts = [part for part in (pool, validation, source.test) if part is not None]
    read = _reader(source, parts)
    pool = _noisy(read(pool), options)
    validation = None if validation is None else read(validation)
    test = None if source.test is None else read(source.test)
    mean, std = _normalisation(source, pool, options)
    data = Data(
        name=source.name,
        classes=source.classes,
        pool=pool.samples(mean, std),
        test=None if test is None else test.samples(mean, std),
        validation=None
        if validation is None or validation.labels is None
        else LabelledSamples(samples=validation.samples(mean, std), labels=validation.labels),
        augmentations=source.augmentations,
        root=source.root if options.repeat == 1 else None,  # copies are no files
        preprocessing=_preprocessing(source, pool, mean, std),
    )
    return data, HiddenLabels(pool=pool.labels, test=None if test is None else test.labels)


def _preprocessing(source: Source, pool: Part, mean: Tensor, std: Tensor) -> Preprocessing | None:
    """Return how an image file becomes a sample; None unless these are 8-bit images."""
    shape = tuple(pool.x.shape[1:])
    if pool.x.dtype != torch.uint8 or len(shape) != 3 or shape[0] not in (1, 3):
        return None
    return Preprocessing(
        shape=shape,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        files=source.root is not None,
    )


def _imbalanced(pool: Part, n_classes: int, options: PoolOptions) -> Part:
    if options.imbalance == 1:
        return pool
    labels = labels_of(pool, "data.imbalance")
    counts = np.bincount(labels, minlength=n_classes)
    decay = options.imbalance ** (-np.arange(n_classes) / (n_classes - 1))
    quotas = np.minimum(counts, np.rint(counts.max() * decay).astype(np.int64))
    return pool.take(pick_per_class(labels, quotas, options.rng("imbalance")))


def _subsampled(pool: Part, options: PoolOptions) -> Part:
    size = options.pool_size
    if size is None:
        return pool
    if size > len(pool):
        raise ConfigError(
            f"data.pool_size is {size}, but the pool has {len(pool)} samples: lower it, or null"
        )
    labels = np.zeros(len(pool), np.int64) if pool.labels is None else pool.labels
    quotas = shares(np.bincount(labels), size)
    return pool.take(pick_per_class(labels, quotas, options.rng("pool_size")))


def _repeated(pool: Part, options: PoolOptions) -> Part:
    times = options.repeat
    if times > 1:
        labels = None if pool.labels is None else np.tile(pool.labels, times)
        keys = RepeatedKeys(pool.keys, times)
        pool = replace(pool, rows=np.tile(pool.rows, times), keys=keys, labels=labels)
    return pool


def _reader(source: Source, parts: Sequence[Part]) -> Callable[[Part], Part]:
    """Read what the options left, and return what makes each part one that is read."""
    if source.read is None:
        return lambda part: part
    rows = np.unique(np.concatenate([part.rows for part in parts]))
    x, places = source.read(rows, sum(map(len, parts)))
    return lambda part: part.stored_in(x, rows, places)


def _noisy(pool: Part, options: PoolOptions) -> Part:
    if options.jitter == 0:
        return pool
    rng = options.rng("jitter")
    noisy = (_jittered(x, options.jitter, rng) for x in blocks(pool.x, pool.rows))
    if not isinstance(pool.x, StoredRows):
        return whole_part(torch.cat(list(noisy)), pool.keys, pool.labels)
    # Without a name, so that it ends with the run.
    file = RowFile(None, len(pool), pool.x.shape[1:], pool.x.numpy_dtype)
    start = 0
    for part in noisy:
        file.write(np.arange(start, start + len(part)), part.numpy())
        start += len(part)
    return whole_part(file.rows(pool.x.limit), pool.keys, pool.labels)


def _jittered(x: Tensor, std: float, rng: np.random.Generator) -> Tensor:
    noise = torch.from_numpy(rng.standard_normal(tuple(x.shape), np.float32)) * std
    if x.dtype != torch.uint8:
        return x + noise
    return (x + 255 * noise).round().clamp(0, 255).to(torch.uint8)


def _normalisation(source: Source, pool: Part, options: PoolOptions) -> tuple[Tensor, Tensor]:
    """Return mean and std, each `[C]` or `[D]`: the options', the known ones, or the pool's."""
    width = pool.x.shape[1]
    mean = source.mean if options.mean is None else options.mean
    std = source.std if options.std is None else options.std
    if mean is None or std is None:
        own_mean, own_std = mean_and_std(pool)
        mean, std = (own_mean if mean is None else mean), (own_std if std is None else std)
    return _per_channel("mean", mean, width), _per_channel("std", std, width)


def _per_channel(name: str, value: Any, width: int) -> Tensor:
    values = np.atleast_1d(np.asarray(value, dtype=object)).tolist()
    bound = {"above": 0.0} if name == "std" else {}
    numbers = [real(f"data.{name}", number, **bound) for number in values]
    if len(numbers) not in (1, width):
        raise ConfigError(f"data.{name} must be 1 or {width} numbers, got {len(numbers)}")
    return torch.tensor(numbers, dtype=torch.float32).expand(width).clone()


def _check(source: Source) -> None:
    if len(source.pool) == 0:
        raise DataError(f"{source.name}: the pool has no samples")
    check_classes(source.classes)
    parts = {"pool": source.pool} | ({} if source.test is None else {"test set": source.test})
    shape = source.pool.x.shape[1:]
    for name, part in parts.items():
        if part.x.shape[1:] != shape:
            got = list(part.x.shape[1:])
            raise DataError(f"{name}: samples must be as the pool's, {list(shape)}, got {got}")
        if part.labels is not None:
            check_labels(name, part.labels, source.classes)
    if source.test is not None and source.test.labels is None:
        raise DataError(f"{source.name}: the test set has no labels: add them, or leave it out")
