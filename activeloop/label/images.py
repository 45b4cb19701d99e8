"""The pool's images as a browser shows them, by index and never by path."""

from __future__ import annotations

import io
import re
import stat
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from activeloop.data.decode import eight_bit
from activeloop.errors import DataError
from activeloop.label.unchanged import Unchanged
from activeloop.trackers import PoolImages
from activeloop.types import Data, Samples

Size = Literal["large", "small"]

# Of a file that is another one by now: on the picture, and to who answers it all the same.
CHANGED = "this file was changed since the run was opened"
LARGEST = {"large": 1600, "small": 256}  # pixels of the longer side
MOST_PIXELS = 100_000_000  # of a file, after a JPEG's own reduction
CACHE_BYTES = 64 * 2**20

_LOSSLESS_SIDE = 160  # up to which images are kept to the pixel: they are shown enlarged
# Those that image_folder lists. Pillow knows others that run programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}
_ENCODING = 1  # to be raised when the same file is sent as other bytes


@dataclass(frozen=True)
class Picture:
    """An image as it is sent. `status` is 200, or of a placeholder 404 (broken), 409 (changed) or
    410 (gone)."""

    content: bytes
    media_type: str
    etag: str
    status: int = 200


def pool_index(text: str, size: int) -> int | None:
    """Return the index that `text` is, of a pool of `size`, or None."""
    index = int(text) if re.fullmatch("[0-9]{1,15}", text) else size
    return index if index < size else None


class Images:
    """Gives the pool's images, encoded. Several threads may call it.

    Image files are read anew, as large as they are; what samples were made of anything else is
    shown as the learner gets it. Which file it is, is decided by the pool's own listing: links in
    a folder of images are part of the data, as they are for `image_folder`.

    Args:
        data: the samples.
        original: returns the samples that `data.pool` was made from, where these are vectors.
        unchanged: says whether a file is still the sample's; None: all are.
        cache_bytes: of encoded images that are kept.

    Attributes:
        pixelated: whether images are so small that their pixels are better shown as squares.

    Raises:
        DataError: the samples are no images.
    """

    def __init__(
        self,
        data: Data,
        original: Callable[[], Samples] | None = None,
        unchanged: Unchanged | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._keys, self._root = data.pool.keys, data.root
        self._fingerprint = data.pool.fingerprint if data.root is None else ""
        self._pixels = PoolImages(data.pool, original)
        self._unchanged = unchanged
        self._kept: OrderedDict[tuple[int, Size], Picture] = OrderedDict()
        self._kept_bytes, self._cache_bytes = 0, cache_bytes
        self._lock, self._pixels_lock = Lock(), Lock()
        Image.init()  # has Pillow know which of its formats this machine has
        self.pixelated = False
        if data.root is None:
            self.pixelated = max(self._array(0).size) <= _LOSSLESS_SIDE

    def __len__(self) -> int:
        return len(self._keys)

    def __call__(self, index: int, size: Size) -> Picture:
        """Return the image of a pool index, scaled down only, or a picture that says why not."""
        try:
            etag = self._tag(index, size)
            if (kept := self._find(index, size, etag)) is not None:
                return kept
            if self.changed(index):
                return _placeholder(f"{CHANGED[0].upper()}{CHANGED[1:]}", 409)
            image = self._array(index) if self._root is None else _open(self._path(index), size)
            image.thumbnail((LARGEST[size],) * 2)
            picture = _encoded(image, etag)
        except FileNotFoundError:
            return _placeholder("This file is gone", 410)
        except Exception as error:  # Pillow raises what it likes on broken files
            return _placeholder(f"This file cannot be shown:\n{_reason(error)}", 404)
        self._keep(index, size, picture)
        return picture

    def changed(self, index: int) -> bool:
        """Return whether a sample's file is another one than the run was opened with.

        One that is gone, or cannot be reached, is not another one.
        """
        if self._root is None or self._unchanged is None:
            return False
        try:
            return not self._unchanged(self._keys[index], self._path(index))
        except (OSError, ValueError):
            return False

    def _path(self, index: int) -> Path:
        assert self._root is not None
        key = Path(self._keys[index])
        if key.is_absolute() or ".." in key.parts:  # no listing of a folder has such
            raise ValueError("it is outside the folder of images")
        return self._root / key

    def _tag(self, index: int, size: Size) -> str:
        """Return a tag of what will be sent, without reading more than the file's times."""
        said = f"{_ENCODING} {index} {size} {self._fingerprint}"
        if self._root is not None:
            found = self._path(index).stat()
            if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
                raise ValueError("it is no regular file")
            said += f" {self._keys[index]} {found.st_ino} {found.st_size} {found.st_mtime_ns}"
        digest = blake2b(said.encode(errors="surrogateescape"), digest_size=12)
        return f'"{digest.hexdigest()}"'

    def _array(self, index: int) -> Image.Image:
        with self._pixels_lock:  # the first call may load the originals
            pixels = self._pixels(np.array([index]))
        if pixels is None:
            raise DataError("samples are no images: there is nothing to show to who labels them")
        return Image.fromarray(pixels[0].squeeze(2) if pixels.shape[3] == 1 else pixels[0])

    # -- what is kept -----------------------------------------------------------------------

    def _find(self, index: int, size: Size, etag: str) -> Picture | None:
        with self._lock:
            picture = self._kept.get((index, size))
            if picture is None or picture.etag != etag:
                return None
            self._kept.move_to_end((index, size))
            return picture

    def _keep(self, index: int, size: Size, picture: Picture) -> None:
        with self._lock:
            if (older := self._kept.pop((index, size), None)) is not None:
                self._kept_bytes -= len(older.content)
            self._kept[index, size] = picture
            self._kept_bytes += len(picture.content)
            while self._kept_bytes > self._cache_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= len(oldest.content)


def _open(path: Path, size: Size) -> Image.Image:
    """Return an image file upright, with 8 bits a channel and nothing transparent.

    Raises:
        OSError, ValueError: and others of Pillow, if it cannot be read or is too large.
    """
    formats = [name for name in _FORMATS if name in Image.OPEN]
    with Image.open(path, formats=formats) as image:
        image.draft(None, (2 * LARGEST[size],) * 2)  # lets the JPEG decoder skip detail
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels are too many")
        upright = ImageOps.exif_transpose(image)
    plain = eight_bit(upright)
    return plain if plain.mode == "L" else plain.convert("RGB")


def _encoded(image: Image.Image, etag: str, status: int = 200) -> Picture:
    """Return an image as PNG if it is small, else as JPEG, without what its file says about it."""
    image.info = {}  # position, camera, comments: written again by Pillow otherwise
    small = max(image.size) <= _LOSSLESS_SIDE
    kind = "PNG" if small else "JPEG"
    file = io.BytesIO()
    image.save(file, kind, **({} if small else {"quality": 88}))
    return Picture(file.getvalue(), _MEDIA_TYPES[kind], etag, status)


def _placeholder(text: str, status: int) -> Picture:
    """Return a drawn image that says why there is none."""
    image = Image.new("L", (640, 480), 235)
    ImageDraw.Draw(image).multiline_text(
        (320, 240),
        text,
        fill=70,
        font=ImageFont.load_default(24),
        anchor="mm",
        align="center",
    )
    return _encoded(image, '""', status)


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, without its path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnidentifiedImageError):
        return "no image of a known format"
    text = str(error) or type(error).__name__
    return text[:60].encode("ascii", "replace").decode()
