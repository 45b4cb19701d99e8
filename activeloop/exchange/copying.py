"""Image files copied into a folder, or linked there, by their keys: very many small ones.

A hundred thousand take as long as the disk needs only if nothing else is done for each: paths are
strings here, files have no buffers, and threads work while others wait for the disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from activeloop.errors import DataError
from activeloop.exchange.folders import Write

# Where a link cannot be made and a copy can: other disks, and systems without links.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
_BINARY = getattr(os, "O_BINARY", 0)  # Windows has texts too
_CHUNK = 64 * 2**10
_THREADS = min(4, os.cpu_count() or 1)
_FILES_AT_ONCE = 200  # of a thread, before it looks whether to go on


def copier(root: Path, keys: Iterable[str], *, link: bool) -> Write:
    """Return what copies images of the folder `root` by their keys, or makes hard links to them.

    Raises:
        DataError: some are not there, or are not in the folder; later: one cannot be read.
    """
    place = str(root)
    if absent := [key for key in keys if not (_inside(key) and os.path.isfile(f"{place}/{key}"))]:
        raise DataError(
            f"{len(absent)} of the labelled images are not in {root}: {', '.join(absent[:3])}"
        )

    def some(paths: Sequence[tuple[str, str]]) -> None:
        for key, path in paths:
            source = f"{place}/{key}"
            if not (link and _linked(source, path)):
                _write(path, _content(source))

    def write(paths: Mapping[str, str]) -> None:
        files = list(paths.items())
        parts = [files[n : n + _FILES_AT_ONCE] for n in range(0, len(files), _FILES_AT_ONCE)]
        with ThreadPoolExecutor(_THREADS) as threads:
            for _ in threads.map(some, parts):
                pass  # an error in one part ends them all

    return write


def _inside(key: str) -> bool:
    return not os.path.isabs(key) and ".." not in key.split("/")


def _linked(source: str, path: str) -> bool:
    """Return whether `path` was made a hard link to a file, not to a symbolic link to it."""
    try:
        os.link(os.path.realpath(source) if os.path.islink(source) else source, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _content(path: str) -> bytes:
    parts = []
    try:
        file = os.open(path, os.O_RDONLY | _BINARY)
        try:
            while part := os.read(file, _CHUNK):
                parts.append(part)
        finally:
            os.close(file)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return b"".join(parts)


def _write(path: str, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        while content:
            content = content[os.write(file, content) :]  # less than all where a disk gets full
    finally:
        os.close(file)
