"""The page's own files, read once when the server starts."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "page"

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str

    @property
    def etag(self) -> str:
        """Tag that changes with the content."""
        return f'"{blake2b(self.content, digest_size=12).hexdigest()}"'


def read_page(folder: Path | None = None) -> tuple[dict[str, PageFile], str]:
    """Return the files in `folder` by name, and a version of them all."""
    files = {
        path.name: PageFile(path.read_bytes(), _MEDIA_TYPES[path.suffix])
        for path in sorted((folder or FOLDER).glob("*"))
        if path.suffix in _MEDIA_TYPES and path.is_file()
    }
    tags = "".join(f"{name}{file.etag}" for name, file in files.items())
    return files, blake2b(tags.encode(), digest_size=6).hexdigest()
