"""How much memory there is, and how many rows to work on at a time."""

from __future__ import annotations

import os
from pathlib import Path

# Working arrays stay about this small: they fit in a processor's cache, and results do not depend
# on how much memory happens to be free.
_CHUNK_BYTES = 4 * 2**20
_CGROUP = Path("/sys/fs/cgroup")


def default_limit() -> int:
    """Return half of the memory that is free now, in bytes."""
    return available() // 2


def available() -> int:
    """Return the bytes that this process may still take; 4 GiB where the system does not say."""
    found = [value for value in (_system(), _control_group()) if value is not None]
    return max(0, min(found)) if found else 4 * 2**30


def rows_at_a_time(bytes_per_row: int) -> int:
    """Return how many rows of `bytes_per_row`, of all working arrays, to work on at once."""
    return max(1, _CHUNK_BYTES // max(1, bytes_per_row))


def readable(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def _system() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _control_group() -> int | None:
    """Return what a container's limit leaves; pages of files count as used, but can be dropped."""
    try:
        limit = (_CGROUP / "memory.max").read_text("ascii").strip()
        used = int((_CGROUP / "memory.current").read_text("ascii"))
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + int(stat.get("inactive_file", 0))
