"""Samples held in memory, or memory-mapped: read by index, normalised in batches on the device."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, device

from activeloop.data.ahead import ahead
from activeloop.data.stored import StoredRows
from activeloop.errors import DataError
from activeloop.memory import readable
from activeloop.types import Indices

BLOCK_BYTES = 1 << 23  # how much of a data set is read at once when all of it is gone through
BATCH_BYTES = 1 << 28  # what batches may take, however low the limit is


@dataclass(frozen=True, eq=False)
class NumberedKeys(Sequence[str]):
    """Keys such as `train/12`, made when read, so that a million of them cost nothing.

    Attributes:
        prefix: the part of the data set that the samples come from.
        positions: each sample's position in that part as published, `[n]`; a subsample keeps it.
    """

    prefix: str
    positions: Indices

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> NumberedKeys: ...
    def __getitem__(self, index: int | slice) -> str | NumberedKeys:
        if isinstance(index, slice):
            return NumberedKeys(self.prefix, self.positions[index])
        return f"{self.prefix}/{self.positions[index]}"

    def __iter__(self) -> Iterator[str]:
        return (f"{self.prefix}/{position}" for position in self.positions.tolist())


@dataclass(frozen=True, eq=False)
class RepeatedKeys(Sequence[str]):
    """The keys `base`, `times` over: the copies after the first end in `~1`, `~2`, ..."""

    base: Sequence[str]
    times: int

    def __len__(self) -> int:
        return len(self.base) * self.times

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        copy, position = divmod(range(len(self))[index], len(self.base))
        return self.base[position] + (f"~{copy}" if copy else "")


def take_keys(keys: Sequence[str], positions: Indices) -> Sequence[str]:
    """Return the keys at `positions` `[n]`, without making those that are numbered."""
    if isinstance(keys, NumberedKeys):
        return NumberedKeys(keys.prefix, keys.positions[positions])
    return [keys[position] for position in positions.tolist()]


def blocks(x: Tensor | StoredRows, rows: Indices | None = None) -> Iterator[Tensor]:
    """Yield all of `x`, or its `rows`, as copies `[n, *shape]` of at most `BLOCK_BYTES` or so."""
    total = len(x) if rows is None else len(rows)
    step = max(1, BLOCK_BYTES // sample_bytes(x))

    def read() -> Iterator[Tensor]:
        for start in range(0, total, step):
            stop = min(start + step, total)
            yield take(x, np.arange(start, stop) if rows is None else rows[start:stop])

    return ahead(read(), depth=1) if isinstance(x, StoredRows) and total > step else read()


def take(x: Tensor | StoredRows, rows: Indices) -> Tensor:
    """Return a copy of `rows` `[n]` of `x`, in the type that samples are handed out in."""
    if isinstance(x, StoredRows):
        return _stored(x.read(rows))
    return _stored(x.index_select(0, torch.tensor(rows)))


def to_device(x: Tensor, device: device) -> Tensor:
    """Return `x`, which is on the CPU, on `device`; the host does not wait until a GPU has it."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def sample_bytes(x: Tensor | StoredRows) -> int:
    """Return the bytes of one sample as it is stored."""
    return max(1, math.prod(x.shape[1:]) * x.dtype.itemsize)


def _stored(x: Tensor) -> Tensor:
    """Return samples in the type they are handed out in: uint8 images, float32 for the rest."""
    return x if x.dtype == torch.uint8 and x.ndim == 4 else x.float()


class TensorSamples:
    """Samples in one tensor or file. Implements `activeloop.types.Samples`.

    On a device other than the CPU all samples are moved once and kept there, if they take no
    more than half of the memory that is free; otherwise batches are moved.

    Args:
        x: uint8 images `[n, C, H, W]`, float images `[n, C, H, W]` or vectors `[n, D]`.
            Not copied: it must not change any more.
        keys: a unique key for each sample, `[n]`.
        mean: subtracted, per channel `[C]` or per feature `[D]`; of uint8 images divided by 255.
        std: divided by, `[C]` or `[D]`, positive, in the same units.
        rows: positions in `x` `[n]` that are the samples. For memory maps: `x` then stays where it
            is, and only batches leave it.

    Raises:
        DataError: on shapes or lengths that do not fit.
    """

    def __init__(
        self,
        x: Tensor | StoredRows,
        keys: Sequence[str],
        mean: Tensor,
        std: Tensor,
        *,
        rows: Indices | None = None,
    ) -> None:
        self._x, self._rows, self._keys = x, rows, keys
        self._n = len(x) if rows is None else len(rows)
        if x.ndim not in (2, 4):
            expected = "images [n, C, H, W] or vectors [n, D]"
            raise DataError(f"samples must be {expected}, got shape {list(x.shape)}")
        if len(keys) != self._n:
            raise DataError(f"{self._n} samples need as many keys, got {len(keys)}")
        for name, value in (("mean", mean), ("std", std)):
            if value.shape != (x.shape[1],):
                got = list(value.shape)
                raise DataError(f"{name} must have shape [{x.shape[1]}], got {got}")
        along = (1, -1) + (1,) * (x.ndim - 2)
        self._mean, self._std = (value.float().cpu().view(along) for value in (mean, std))
        self._resident: dict[device, Tensor] = {}
        self._constants: dict[device, tuple[Tensor, Tensor]] = {}
        self._fits: dict[device, bool] = {}
        self._fingerprint: str | None = None
        self._checksums: npt.NDArray[np.uint32] | None = None

    @property
    def keys(self) -> Sequence[str]:
        """A unique name for each sample, `[n]`."""
        return self._keys

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: `(C, H, W)` or `(D,)`."""
        return tuple(self._x.shape[1:])

    @property
    def mean(self) -> Tensor:
        """What normalising subtracts, `[C]` or `[D]` float32 on the CPU."""
        return self._mean.flatten()

    @property
    def std(self) -> Tensor:
        """What normalising divides by, `[C]` or `[D]` float32 on the CPU."""
        return self._std.flatten()

    @property
    def fingerprint(self) -> str:
        """Digest of samples, keys and normalisation: 32 hexadecimal digits, computed once.

        It is of what `raw` returns, so that neither device nor layout in memory change it.
        """
        if self._fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            digest.update(f"{self._n} {self.shape} {take(self._x, np.arange(0)).dtype}".encode())
            for part in blocks(self._x, self._rows):
                digest.update(part.contiguous().numpy().data)
            for key in self._keys:
                digest.update(key.encode() + b"\0")
            digest.update(self._mean.numpy().tobytes() + self._std.numpy().tobytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    @property
    def checksums(self) -> npt.NDArray[np.uint32]:
        """CRC-32 of each sample as `raw` returns it, `[n]`, computed once."""
        if self._checksums is None:
            found = [
                zlib.crc32(sample)
                for part in blocks(self._x, self._rows)
                for sample in part.contiguous().numpy()
            ]
            self._checksums = np.array(found, np.uint32)
        return self._checksums

    def __len__(self) -> int:
        return self._n

    def taken(self, indices: Indices, mean: Tensor, std: Tensor) -> TensorSamples:
        """Return samples `indices` `[k]` in that order, normalised by `mean` and `std`.

        A copy, but of what lies in a file.
        """
        keys = take_keys(self._keys, indices)
        if self._rows is None and not isinstance(self._x, StoredRows):
            return TensorSamples(self._x[torch.tensor(indices)], keys, mean, std)
        rows = indices if self._rows is None else self._rows[indices]
        return TensorSamples(self._x, keys, mean, std, rows=rows)

    def normalised_by(self, mean: Tensor, std: Tensor) -> TensorSamples:
        """Return the same samples, normalised by `mean` and `std`."""
        return TensorSamples(self._x, self._keys, mean, std, rows=self._rows)

    def raw(self, indices: Indices, device: device) -> Tensor:
        """Return samples `indices` `[n]` as stored, `[n, *shape]` uint8 or float32, a copy.

        Raises:
            IndexError: if an index is not in 0..len - 1. (A GPU would abort the process instead.)
        """
        indices = np.asarray(indices, np.int64)
        if indices.size and not (indices.min() >= 0 and indices.max() < self._n):
            outside = indices[(indices < 0) | (indices >= self._n)][0]
            raise IndexError(f"sample {outside} is not in 0..{self._n - 1}")
        if not self._stays_on_host(device):
            return self._on_device(device).index_select(0, to_device(torch.tensor(indices), device))
        self.check_fits(len(indices))
        found = take(self._x, indices if self._rows is None else self._rows[indices])
        return to_device(found, device)

    def normalise(self, raw: Tensor) -> Tensor:
        """Return `(raw - mean) / std` as float32 on raw's device; uint8 is divided by 255 first."""
        if raw.device not in self._constants:
            self._constants[raw.device] = (
                to_device(self._mean, raw.device),
                to_device(self._std, raw.device),
            )
        mean, std = self._constants[raw.device]
        x = raw.float() / 255 if raw.dtype == torch.uint8 else raw.float()
        return (x - mean) / std

    def batch(self, indices: Indices, device: device) -> Tensor:
        """Return samples `indices` `[n]`, normalised float32 on `device`, `[n, *shape]`."""
        return self.normalise(self.raw(indices, device))

    def streams(self, device: device) -> bool:
        """Whether batches come from a disk, or from memory to a GPU: it pays to read ahead."""
        return self._stays_on_host(device) and (self._rows is not None or device.type != "cpu")

    def check_fits(self, n: int) -> None:
        """Raise `DataError` if samples in a file are too large for `n` of them to be in memory."""
        if not isinstance(self._x, StoredRows):
            return
        size, limit = n * sample_bytes(self._x), max(self._x.limit, BATCH_BYTES)
        if size > limit:
            raise DataError(
                f"{n} samples at once take {readable(size)}, more than the memory_limit of "
                f"{readable(limit)}: all that are labelled are held in memory while a learner is "
                "trained on them; set a smaller budget, smaller samples (data.size) or a larger "
                "memory_limit"
            )

    def _stays_on_host(self, device: device) -> bool:
        if device.type != "cuda":
            return device.type == "cpu" or (self._rows is not None and device not in self._resident)
        if device not in self._fits:  # asked once: a stream must not find them moved half way
            free, _ = torch.cuda.mem_get_info(device)
            self._fits[device] = self._n * sample_bytes(self._x) <= free // 2
        return not self._fits[device]

    def _on_device(self, device: device) -> Tensor:
        """Return all samples on `device`, moved there the first time."""
        if device not in self._resident:
            like = take(self._x, np.arange(0))
            moved = torch.empty((self._n, *self.shape), dtype=like.dtype, device=device)
            start = 0
            for part in blocks(self._x, self._rows):
                moved[start : start + len(part)] = part.to(device)
                start += len(part)
            self._resident[device] = moved
        return self._resident[device]
