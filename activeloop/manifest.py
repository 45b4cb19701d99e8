"""What a run keeps of its samples: their keys in order, and a checksum of each that is a file.

With it a run that goes on finds each of its samples by key, wherever that is now, and says which
are gone or have changed. Numbered keys take a few bytes whatever their number, paths about a tenth
of their text. Checksums, 4 bytes each, are kept of images in files: these change one by one, while
a published data set or an array is whole or another one, which its fingerprint tells.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from activeloop.store import Store
from activeloop.types import Data, Samples

Checksums = npt.NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Listed:
    """The samples of a part of the data: keys `[n]` in order, and checksums `[n]` or None."""

    keys: Sequence[str]
    checksums: Checksums | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifest:
    """What is kept of a run's samples.

    Attributes:
        parts: "pool", "test" and "validation", as far as they are there.
        fingerprints: of these parts.
        mean: what normalising subtracts, `[C]` or `[D]`; None where that is not known.
        std: what it divides by.
    """

    parts: Mapping[str, Listed]
    fingerprints: Mapping[str, str]
    mean: list[float] | None
    std: list[float] | None

    @classmethod
    def of(cls, data: Data) -> Manifest:
        """Return that of `data`, whose images are read for it if they are files."""
        return cls(
            parts={name: _listed(part, data) for name, part in parts_of(data).items()},
            fingerprints=fingerprints_of(data),
            mean=_numbers(data.pool, "mean"),
            std=_numbers(data.pool, "std"),
        )

    @classmethod
    def read(cls, store: Store) -> Manifest | None:
        """Return that of the run in `store`; None where it kept none."""
        about, samples = store.meta("samples"), store.samples()
        if about is None:
            return None
        parts = {
            part: Listed(
                keys=unpacked(keys),
                checksums=None
                if checksums is None
                else np.frombuffer(zlib.decompress(checksums), "<u4").astype(np.uint32),
            )
            for part, (keys, checksums) in samples.items()
        }
        return cls(parts=parts, **about)

    @property
    def kept(self) -> dict[str, Any]:
        """What of it goes among a store's values, by name."""
        return {
            "samples": {
                "fingerprints": dict(self.fingerprints),
                "mean": self.mean,
                "std": self.std,
            },
            "pool_size": len(self.parts["pool"].keys),
        }

    @property
    def packed(self) -> dict[str, tuple[bytes, bytes | None]]:
        """What of it goes among a store's samples, by part."""
        return {
            name: (
                packed(part.keys),
                None
                if part.checksums is None
                else zlib.compress(part.checksums.astype("<u4").tobytes(), 1),
            )
            for name, part in self.parts.items()
        }

    def same_keys(self, data: Data) -> bool:
        """Return whether the parts of `data` have the same keys in the same order."""
        parts = parts_of(data)
        return parts.keys() == self.parts.keys() and all(
            _same(self.parts[name].keys, part.keys) for name, part in parts.items()
        )

    def same_moments(self, data: Data) -> bool:
        """Return whether `data` are normalised by the mean and the deviation that were kept."""
        return [self.mean, self.std] == [_numbers(data.pool, name) for name in ("mean", "std")]


def parts_of(data: Data) -> dict[str, Samples]:
    """Return the parts of `data` by name."""
    parts: dict[str, Samples | None] = {"pool": data.pool, "test": data.test}
    parts["validation"] = None if data.validation is None else data.validation.samples
    return {name: part for name, part in parts.items() if part is not None}


def fingerprints_of(data: Data) -> dict[str, str]:
    """Return the fingerprint of each part of `data`, by name."""
    return {name: part.fingerprint for name, part in parts_of(data).items()}


def _listed(part: Samples, data: Data) -> Listed:
    files = data.root is not None and len(part.shape) == 3
    return Listed(keys=part.keys, checksums=getattr(part, "checksums", None) if files else None)


def _numbers(samples: Samples, name: str) -> list[float] | None:
    values = getattr(samples, name, None)
    return None if values is None else [float(value) for value in values]


# Keys that are paths are read without torch, which kinds of keys that are made bring along.


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    from activeloop.data.samples import NumberedKeys, RepeatedKeys

    if isinstance(one, NumberedKeys) and isinstance(other, NumberedKeys):
        alike = one.prefix == other.prefix
        return alike and np.array_equal(one.positions, other.positions)
    if isinstance(one, RepeatedKeys) and isinstance(other, RepeatedKeys):
        return one.times == other.times and _same(one.base, other.base)
    return len(one) == len(other) and all(a == b for a, b in zip(one, other, strict=True))


# -- keys as bytes ----------------------------------------------------------------------


def packed(keys: Sequence[str]) -> bytes:
    """Return `keys` as compressed JSON: a line that says of which kind, and what is in them."""
    from activeloop.data.samples import NumberedKeys, RepeatedKeys

    if isinstance(keys, RepeatedKeys):
        inner = packed(keys.base)
        return _record({"times": keys.times}, inner)
    if isinstance(keys, NumberedKeys):
        steps = np.diff(keys.positions, prepend=0)  # mostly alike, and then they take no room
        low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)
        width = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
        width = np.dtype(np.int64) if width.kind == "f" else width.newbyteorder("<")
        return _record({"prefix": keys.prefix, "steps": width.str}, steps.astype(width).tobytes())
    return _record({}, json.dumps(list(keys)).encode("ascii"))


def _record(kind: Mapping[str, Any], body: bytes) -> bytes:
    return json.dumps(kind).encode("ascii") + b"\n" + zlib.compress(body)


def unpacked(record: bytes) -> Sequence[str]:
    """Return the keys that `packed` made `record` of."""
    head, _, body = record.partition(b"\n")
    kind, body = json.loads(head), zlib.decompress(body)
    if "times" in kind:
        from activeloop.data.samples import RepeatedKeys

        return RepeatedKeys(unpacked(body), kind["times"])
    if "steps" in kind:
        from activeloop.data.samples import NumberedKeys

        steps = np.frombuffer(body, kind["steps"])
        return NumberedKeys(kind["prefix"], np.cumsum(steps.astype(np.int64)))
    keys: list[str] = json.loads(body)
    return keys
