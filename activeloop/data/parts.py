"""Parts of a data set: chosen by position, split by class, read in blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import real
from activeloop.data.samples import TensorSamples, blocks, take_keys
from activeloop.data.stored import StoredRows
from activeloop.errors import ConfigError
from activeloop.memory import rows_at_a_time
from activeloop.types import Indices, Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Some of the samples of a data set.

    Attributes:
        x: uint8 or float images `[m, C, H, W]`, or vectors `[m, D]`; more than this part's. On
            torch's "meta" device while nothing is read yet.
        rows: positions of the part's samples in `x`, `[n]`.
        keys: `[n]`.
        labels: `[n]`, or None where they are not known.
        mapped: whether `x` is memory-mapped and is to stay on the disk.
    """

    x: Tensor | StoredRows
    rows: Indices
    keys: Sequence[str]
    labels: Labels | None
    mapped: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Indices) -> Part:
        """Return the samples at `positions` `[k]` of this part."""
        labels = None if self.labels is None else self.labels[positions]
        keys = take_keys(self.keys, positions)
        return replace(self, rows=self.rows[positions], keys=keys, labels=labels)

    def stored_in(self, x: Tensor | StoredRows, rows: Indices, places: Indices) -> Part:
        """Return the part read: its row `rows[i]`, ascending, is at `places[i]` in `x`."""
        return replace(self, x=x, rows=places[np.searchsorted(rows, self.rows)])

    def samples(self, mean: Tensor, std: Tensor) -> TensorSamples:
        """Return the part as `Samples`; a copy that holds nothing else, unless memory-mapped."""
        if self.mapped or isinstance(self.x, StoredRows):
            return TensorSamples(self.x, self.keys, mean, std, rows=self.rows)
        everything = np.array_equal(self.rows, np.arange(len(self.x)))
        x = self.x if everything else self.x[torch.tensor(self.rows)]
        return TensorSamples(x, self.keys, mean, std)


def whole_part(
    x: Tensor | StoredRows, keys: Sequence[str], labels: Labels | None, mapped: bool = False
) -> Part:
    """Return all of `x` as a part."""
    return Part(x=x, rows=np.arange(len(x)), keys=keys, labels=labels, mapped=mapped)


def split(part: Part, fraction: float, rng: np.random.Generator) -> tuple[Part, Part | None]:
    """Split labelled samples into pool and test set, stratified: `fraction` `[0, 1)` is tested on.

    No class loses its last sample to the test set. At 0 there is no test set.
    """
    fraction = real("data.test_fraction", fraction, least=0)
    if fraction >= 1:
        raise ConfigError(f"data.test_fraction must be below 1, got {fraction:g}")
    return set_aside(part, round(fraction * len(part)), rng, "data.test_fraction")


def set_aside(
    part: Part, size: int, rng: np.random.Generator, name: str = "data.validation"
) -> tuple[Part, Part | None]:
    """Return `part` without `size` stratified samples, and those; None if `size` is 0."""
    if size == 0:
        return part, None
    labels = labels_of(part, name)
    counts = np.bincount(labels)
    spare = np.maximum(counts - 1, 0)
    if size > spare.sum():
        raise ConfigError(
            f"{name} takes {size} samples of {len(part)}, but only {spare.sum()} can go if each "
            "class is to keep one: lower it"
        )
    chosen = pick_per_class(labels, shares(spare, size), rng)
    return part.take(np.setdiff1d(np.arange(len(part)), chosen)), part.take(chosen)


def shares(counts: Indices, size: int) -> Indices:
    """Split `size` over classes in proportion to `counts` `[C]`, by largest remainder."""
    exact = counts * size / counts.sum()
    result: Indices = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(result - exact, kind="stable")
    result[by_remainder[: size - result.sum()]] += 1
    return result


def pick_per_class(labels: Labels, quotas: Indices, rng: np.random.Generator) -> Indices:
    """Return ascending positions of `quotas[c]` random samples of each class `c`.

    With one seed, a larger quota adds samples to those of a smaller one.
    """
    order = rng.permutation(len(labels))
    picked = [order[labels[order] == c][:quota] for c, quota in enumerate(quotas)]
    return np.sort(np.concatenate(picked))


def labels_of(part: Part, option: str) -> Labels:
    """Return the labels, or raise `ConfigError` that names the option that needs them."""
    if part.labels is None:
        raise ConfigError(f"{option} needs labels, and this data set has none: leave it out")
    return part.labels


def mean_and_std(part: Part) -> tuple[list[float], list[float]]:
    """Return mean and std of each channel or feature, pixels in [0, 1]; std 1 if it is constant."""
    of_bytes = part.x.dtype == torch.uint8 and part.x.ndim == 4
    mean, std = _of_bytes(part) if of_bytes else _of_numbers(part)
    # What is below the resolution of float32 is rounding, and would be blown up to noise.
    constant = std <= 1e-7 * mean.abs()
    return mean.tolist(), std.masked_fill(constant, 1.0).tolist()


def _of_bytes(part: Part) -> tuple[Tensor, Tensor]:
    """Count values, in one pass: exact, however many there are, and without a copy in float64."""
    channels = part.x.shape[1]
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    few = rows_at_a_time(8 * math.prod(part.x.shape[2:]))  # to count takes 8 bytes a value
    for block in blocks(part.x, part.rows):
        for x in torch.split(block, few):
            for channel in range(channels):
                counts[channel] += torch.bincount(x[:, channel].flatten(), minlength=256)
    values = torch.arange(256, dtype=torch.float64) / 255
    share = counts.double() / counts[0].sum()
    mean = share @ values
    return mean, (share * (values - mean[:, None]).square()).sum(1).sqrt()


def _of_numbers(part: Part) -> tuple[Tensor, Tensor]:
    along = (0, *range(2, part.x.ndim))
    n = len(part) * math.prod(part.x.shape[2:])
    mean = spread = torch.zeros(part.x.shape[1], dtype=torch.float64)
    for x in blocks(part.x, part.rows):
        mean = mean + x.double().sum(along) / n
    centre = mean.view(-1, *[1] * (part.x.ndim - 2))
    for x in blocks(part.x, part.rows):
        spread = spread + (x.double() - centre).square().sum(along) / n
    return mean, spread.sqrt()
