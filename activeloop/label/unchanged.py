"""Whether an image file still is the one that its sample was read from."""

from __future__ import annotations

import stat
import zlib
from pathlib import Path

from activeloop.data.decode import decode
from activeloop.manifest import Manifest
from activeloop.types import Data


class Unchanged:
    """Compares files of the pool with the checksums that the run keeps of its samples.

    These are of the decoded pixels, by which a run is refused too that is opened on other images: a
    file that was only touched is the same. A file is decoded the first time that it is asked about,
    and again when its size or times are others. Several threads may call it.

    Args:
        data: the samples.
        kept: what the run keeps of them; None, or without checksums: no file counts as changed.
    """

    def __init__(self, data: Data, kept: Manifest | None) -> None:
        made, listed = data.preprocessing, None if kept is None else kept.parts["pool"]
        self._shape: tuple[int, ...] = ()
        self._checksums: dict[str, int] = {}
        if made is not None and made.files and listed is not None and listed.checksums is not None:
            self._shape = made.shape
            self._checksums = dict(zip(listed.keys, listed.checksums.tolist(), strict=True))
        self._seen: dict[str, tuple[tuple[int, ...], bool]] = {}

    def __call__(self, key: str, path: Path) -> bool:
        """Return whether the file at `path` is what the sample `key` was read from.

        Raises:
            OSError: it is gone, or cannot be reached.
        """
        found = path.stat()
        if (kept := self._checksums.get(key)) is None:
            return True
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            return False
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        before = self._seen.get(key)
        if before is None or before[0] != stamp:
            before = self._seen[key] = stamp, self._checksum(path) == kept
        return before[1]

    def _checksum(self, path: Path) -> int | None:
        """Return the checksum of an image; None: it is no image that can be read."""
        channels, *size = self._shape
        try:
            pixels = decode(path, size, channels)
        except OSError as error:
            if error.errno is not None:  # the disk's word, not Pillow's: it may be there again
                raise
            return None
        except Exception:  # Pillow raises what it likes on broken files
            return None
        return zlib.crc32(pixels.tobytes())
