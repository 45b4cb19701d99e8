"""When two images are near-duplicates, and how to find them among many.

Images are first reduced to at most 32 pixels a side, by means over blocks of pixels. Two of them
are near-duplicates if one of two things holds.

- Their detail, what differs from the mean of the 3 x 3 pixels around, agrees far beyond chance: at
  a correlation `r` over an effective number `n` of pixels, Fisher's `atanh(r) * sqrt(n - 3)` is at
  least `DETAIL`. So it is with a picture that was stored once more, made brighter, or lost its
  colours. The more detail there is, the lower the correlation may be: strokes of digits are alike.
- What differs is noise, which lies over detail and hides it: the differences of neighbouring pixels
  correlate by less than `NOISE`, along rows and along columns. Two pictures differ by edges.

Both bounds were chosen by eye on MNIST and CIFAR-10, as they are and with noise added as in
Repeated-MNIST. A bound on a distance will not do: two ones of MNIST are closer than a digit and its
noisy copy, and two skies of CIFAR-10 than a picture and the same one stored again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from activeloop.memory import rows_at_a_time
from activeloop.report.samples import Pixels, shrunk
from activeloop.types import Indices

LARGEST = 32  # pixels of a side
DETAIL = 10.0
NOISE = 0.12
HOW = (
    "images whose fine detail agrees far beyond chance, or that differ by noise only (at most 32 x "
    "32 pixels; looked for among the nearest of each)"
)

_COARSE = 8  # pixels of a side by which the nearest are found
_NEAREST = 4  # of those that are looked at
_FAR = 0.1  # root mean square difference there, above which no two are alike
_LEAST_NOISE = 16  # pixels of a side, below which noise cannot be told from differences

Images = npt.NDArray[np.uint8]
Pairs = npt.NDArray[np.int64]


def near_duplicates(images: Images, among: Images | None = None) -> Pairs:
    """Return near-duplicates as pairs of positions, `[p, 2]`, ascending.

    Args:
        images: `[n, C, h, w]`, as `reduced` makes them.
        among: where to look for those like them, `[m, C, h, w]`; None: among themselves, and the
            first of a pair is then the smaller one.
    """
    import faiss  # here, since it is slow to import

    own = among is None
    others = images if among is None else among
    if len(images) == 0 or len(others) == 0:
        return np.empty((0, 2), np.int64)
    rows, references = _coarse(images), _coarse(others)
    squares, found = faiss.knn(rows, references, min(_NEAREST + own, len(references)))
    first = np.repeat(np.arange(len(images)), found.shape[1])
    near = squares.reshape(-1) < (255 * _FAR) ** 2 * rows.shape[1]
    pairs = np.stack([first, found.reshape(-1)], axis=1)[near]
    if own:
        pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    pairs = np.unique(pairs, axis=0)
    return pairs[_alike(images, others, pairs)]


def _coarse(images: Images) -> npt.NDArray[np.float32]:
    """Return images in grey and few pixels as rows, `[n, at most 64]`."""
    n, _, height, width = images.shape
    grey = np.empty((n, 1, height, width), np.float32)
    step = rows_at_a_time(4 * images[0].size)
    for start in range(0, n, step):
        some = slice(start, start + step)
        grey[some] = images[some].mean(axis=1, keepdims=True, dtype=np.float32)
    return shrunk(grey, _COARSE).reshape(n, -1)


def _alike(images: Images, others: Images, pairs: Pairs) -> npt.NDArray[np.bool_]:
    alike = np.empty(len(pairs), np.bool_)
    step = rows_at_a_time(24 * images[0].size)
    for start in range(0, len(pairs), step):
        some = pairs[start : start + step]
        one, other = _floats(images, some[:, 0]), _floats(others, some[:, 1])
        alike[start : start + step] = _same_detail(one, other) | _noise(one - other)
    return alike


def _floats(images: Images, which: Indices) -> Pixels:
    floats: Pixels = images[which].astype(np.float32)
    return floats


def _same_detail(one: Pixels, other: Pixels) -> npt.NDArray[np.bool_]:
    a, b = _detail(one), _detail(other)
    correlation = _sum(a * b) / np.sqrt(_sum(a * a) * _sum(b * b)).clip(min=1e-6)
    # Most pixels of a digit have no detail: those count that do, as far as they do.
    weights = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    pixels = weights.sum(axis=(1, 2)) ** 2 / (weights**2).sum(axis=(1, 2)).clip(min=1e-6)
    # And those of a blurred picture say the same as their neighbours: Bartlett's (1935) correction.
    for axis in (2, 3):
        both = (_to_the_next(a, axis) * _to_the_next(b, axis)).clip(0, 0.99)
        pixels *= (1 - both) / (1 + both)
    agreement = np.arctanh(correlation.clip(-0.999, 0.999)) * np.sqrt((pixels - 3).clip(min=0))
    same: npt.NDArray[np.bool_] = agreement >= DETAIL
    return same


def _detail(pixels: Pixels) -> Pixels:
    """Return what differs from the mean of the 3 x 3 pixels around; edges are continued."""
    height, width = pixels.shape[2:]
    wide = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    columns = wide[..., :width] + wide[..., 1 : width + 1] + wide[..., 2:]
    means = columns[..., :height, :] + columns[..., 1 : height + 1, :] + columns[..., 2:, :]
    detail: Pixels = pixels - means / 9
    return detail


def _noise(difference: Pixels) -> npt.NDArray[np.bool_]:
    """Return whether differences are noise, or nothing at all."""
    nothing: npt.NDArray[np.bool_] = (difference == 0).all(axis=(1, 2, 3))
    if min(difference.shape[2:]) < _LEAST_NOISE:
        return nothing
    correlation = np.maximum(_to_the_next(difference, 2), _to_the_next(difference, 3))
    noise: npt.NDArray[np.bool_] = correlation < NOISE
    return noise | nothing


def _to_the_next(values: Pixels, axis: int) -> npt.NDArray[np.float32]:
    """Return how values `[k, C, h, w]` correlate with the next along `axis`, `[k]`."""
    along = np.moveaxis(values, axis, -1)
    products = _sum(along[..., 1:] * along[..., :-1])
    correlation: npt.NDArray[np.float32] = products / _sum(values**2).clip(min=1e-6)
    return correlation


def _sum(values: Pixels) -> npt.NDArray[np.float32]:
    total: npt.NDArray[np.float32] = values.sum(axis=(1, 2, 3))
    return total
