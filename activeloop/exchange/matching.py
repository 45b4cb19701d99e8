"""Which sample of the pool is meant by an image's address or path."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable
from urllib.parse import parse_qs, unquote, urlsplit

from activeloop.exchange.rows import Row

# Label Studio puts eight hexadecimal digits before the name of a file that was uploaded to it.
_UPLOADED = re.compile(r"/data/upload/(?:\d+/)?[0-9a-f]{8}-([^/]+)")


def matched(rows: Iterable[Row], pool: Container[str]) -> tuple[dict[str, str], str]:
    """Return the key of the pool that is meant by each name in a file, as far as there is one.

    A name is a key as it is; or, where it need not be one, an address or path that is a key once
    the same start is left out as of most such names in the file. No two starts are ever left out:
    `a/1.jpg` and `b/1.jpg` are not both the sample `1.jpg`.

    Returns:
        The keys by name, and what was left out before those that were not keys as they were.
    """
    names = {row.key: row.exact for row in rows}
    found: dict[str, str] = {}
    paths: dict[str, str] = {}
    for name, exact in names.items():
        candidates = (name, name.strip())
        key = next((each for each in candidates if each in pool), None)
        if key is None and not exact and (upload := _UPLOADED.fullmatch(name)):
            key = unquote(upload[1]) if unquote(upload[1]) in pool else None
        if key is not None:
            found[name] = key
        elif not exact:
            paths[name] = _path(name.strip())
    left_out = _left_out(list(paths.values()), pool)
    if left_out is not None:
        for name, path in paths.items():
            if path.startswith(left_out) and path.removeprefix(left_out) in pool:
                found[name] = path.removeprefix(left_out)
    return found, left_out or ""


def _path(name: str) -> str:
    """Return the path in an address, in `?d=` where Label Studio has it, or a path, with `/`."""
    if name.startswith("/data/local-files/?"):
        return "".join(parse_qs(urlsplit(name).query).get("d", [""]))
    if "://" in name:
        parts = urlsplit(name)
        return unquote(parts.path) if parts.scheme in ("http", "https", "file") else parts.path
    return name.replace("\\", "/")


def _left_out(paths: list[str], pool: Container[str]) -> str | None:
    """Return the start after which most `paths` are keys; the shortest of several."""
    hits = Counter(
        path[: slash.end()]
        for path in paths
        for slash in re.finditer("/", path)
        if path[slash.end() :] in pool
    )
    hits[""] = sum(path in pool for path in paths)
    start = min(hits, key=lambda each: (-hits[each], len(each)))
    return start if 2 * hits[start] > len(paths) else None
