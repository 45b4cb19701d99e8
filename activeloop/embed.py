"""Fixed features of samples: for strategies, and by default for the learner in place of images.

Each builder, here and in `activeloop.backbones.embedding`, takes `Data` and returns it with the
pool's `embeddings`, `[N, E]` float32 on the CPU. Its `check` sees to its settings before the data,
which may take long to read. With `as_input` pool, test and validation samples become these vectors
too, and what the learner trains on is a probe, `learner=probe`. Vectors are then normalised by the
pool's mean and by one common scale, that of their mean variance: so a learning rate fits whatever
made them, and distances keep their proportions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.checks import whole
from activeloop.errors import ConfigError, DataError
from activeloop.types import Data, Embedding, Indices, Samples

log = logging.getLogger(__name__)

CHUNK = 4096  # samples gone through at once
LARGEST_COVARIANCE = 2048  # numbers in a sample above which PCA is approximated

Vectors = npt.NDArray[np.float32]
Builder = TypeVar("Builder", bound=Callable[..., Data])

# The attribute of a builder that checks its settings.
_CHECK = "check_settings"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Vectors of each part of a data set: `[n, E]`, None where there is no such part."""

    pool: Tensor
    test: Tensor | None = None
    validation: Tensor | None = None


def checked_by(check: Callable[..., None]) -> Callable[[Builder], Builder]:
    """Have `check` be called with a builder's settings by name before the data are read.

    It raises what the builder would, as far as that is known by then.
    """

    def mark(builder: Builder) -> Builder:
        setattr(builder, _CHECK, check)
        return builder

    return mark


def check_settings(builder: Callable[..., Data], settings: Mapping[str, Any]) -> None:
    """Raise what is wrong with a builder's settings, as far as that is known without the data."""
    if (check := getattr(builder, _CHECK, None)) is not None:
        check(**settings)


def none(data: Data) -> Data:
    """Return `data` as it is."""
    return data


def _check_pca(
    *, dimensions: object = None, fit_on: object = None, seed: object = 0, **_: object
) -> None:
    if dimensions is not None:
        whole("embed.dimensions", dimensions, least=1)
    if fit_on is not None:
        whole("embed.fit_on", fit_on, least=1)
    whole("embed.seed", seed)


@checked_by(_check_pca)
def pca(
    data: Data,
    *,
    dimensions: int | None = 50,
    fit_on: int | None = None,
    as_input: bool = True,
    seed: int = 0,
) -> Data:
    """Embed samples by their principal components, which are fitted on the pool alone.

    Exact up to 2,048 numbers a sample; above, the randomised method of Halko et al. (2011). Either
    way the largest weight of each component is positive. What they are fitted on is held in memory
    as float32.

    Args:
        data: any data set.
        dimensions: number of components, `E`; None: 20, or as many as there can be.
        fit_on: so many random samples of the pool that components are fitted on; None: all.
        as_input: whether the learner gets the vectors in place of the samples.
        seed: of the randomised method, and of which samples they are fitted on.

    Raises:
        ConfigError: a setting has no meaning, or there are fewer samples or fewer numbers in each
            than `dimensions`.
        DataError: the pool's samples are all equal, or not finite.
    """
    from sklearn.decomposition import PCA

    _check_pca(dimensions=dimensions, fit_on=fit_on, seed=seed)
    n = len(data.pool)
    if fit_on is not None and n > fit_on:
        rows = np.sort(np.random.default_rng(seed).choice(n, fit_on, replace=False))
    else:
        rows = np.arange(n)
    pool = np.concatenate(list(_chunks(data.pool, rows)))
    if dimensions is None:
        dimensions = min(20, *pool.shape)
    if dimensions > min(pool.shape):
        raise ConfigError(
            f"embed.dimensions must be at most {min(pool.shape)}, for {len(pool)} samples of "
            f"{pool.shape[1]} numbers, got {dimensions}"
        )
    if not np.isfinite(pool).all() or (pool == pool[0]).all():
        raise DataError("embed=pca needs a pool of finite samples that are not all equal")
    solver = "covariance_eigh" if pool.shape[1] <= LARGEST_COVARIANCE else "randomized"
    fitted = PCA(dimensions, svd_solver=solver, random_state=seed).fit(pool)
    log.info(
        "%d principal components explain %.1f %% of the pool's variance",
        dimensions,
        100 * float(fitted.explained_variance_ratio_.sum()),
    )
    axes: Vectors = np.ascontiguousarray(fitted.components_.T, np.float32)
    centre: Vectors = fitted.mean_.astype(np.float32)

    tensors = {"centre": torch.from_numpy(centre), "axes": torch.from_numpy(axes)}
    project = projection(tensors)
    parts = Parts(
        pool=torch.from_numpy((pool - centre) @ axes) if len(pool) == n else project(data.pool),
        test=None if data.test is None else project(data.test),
        validation=None if data.validation is None else project(data.validation.samples),
    )
    return embedded(data, parts, as_input, by="pca", tensors=tensors)


def projection(tensors: Mapping[str, Tensor]) -> Callable[[Samples], Tensor]:
    """Return what projects samples as `pca` did: to `[n, E]`, by its `centre` and its `axes`."""
    centre, axes = tensors["centre"].numpy(), tensors["axes"].numpy()

    def project(samples: Samples) -> Tensor:
        return torch.from_numpy(np.concatenate([(x - centre) @ axes for x in _chunks(samples)]))

    return project


def _check_file(**settings: Any) -> None:
    for part in ("pool", "test", "validation"):
        if settings.get(part) is not None:
            _opened(settings[part], part)


@checked_by(_check_file)
def file(
    data: Data,
    *,
    pool: str | Path | None = None,
    test: str | Path | None = None,
    validation: str | Path | None = None,
    as_input: bool = True,
) -> Data:
    """Embed samples by vectors from `.npy` files, such as a foundation model's features.

    Files of float32 are memory-mapped, others converted in memory.

    Args:
        data: any data set.
        pool: file with a row for each sample of the pool, in its order, `[N, E]`.
        test: the same for the test set; needed with `as_input` if there is one.
        validation: the same for the validation set.
        as_input: whether the learner gets the vectors in place of the samples.

    Raises:
        DataError: a file is missing, unreadable, not finite, or does not fit the data.
    """
    vectors = _read(pool, "pool", len(data.pool))
    if not as_input:
        return embedded(data, Parts(pool=vectors), as_input)
    known = data.validation
    parts = Parts(
        pool=vectors,
        test=None if data.test is None else _read(test, "test", len(data.test), vectors.shape[1]),
        validation=None
        if known is None
        else _read(validation, "validation", len(known.samples), vectors.shape[1]),
    )
    return embedded(data, parts, as_input, by="file")


def embedded(
    data: Data,
    parts: Parts,
    as_input: bool,
    *,
    by: str = "",
    settings: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Tensor] | None = None,
) -> Data:
    """Return `data` with the pool's vectors as `embeddings`, and with `as_input` as samples.

    Test and validation set need vectors too, with `as_input`, where they are there. What the
    vectors were made `by`, its `settings` and `tensors`, is for other images: see `Embedding`.
    """
    if not as_input:
        return replace(data, embeddings=parts.pool)
    mean, std = _moments(parts.pool)
    made = Embedding(
        by=by,
        settings=settings or {},
        tensors=tensors or {},
        mean=tuple(mean.tolist()),
        scale=float(std[0]),
    )

    def samples(vectors: Tensor | None, old: Samples) -> Samples:
        from activeloop.data.samples import TensorSamples

        assert vectors is not None
        return TensorSamples(vectors, old.keys, mean, std)

    known = data.validation
    return replace(
        data,
        embeddings=parts.pool,
        pool=samples(parts.pool, data.pool),
        test=None if data.test is None else samples(parts.test, data.test),
        validation=None
        if known is None
        else replace(known, samples=samples(parts.validation, known.samples)),
        augmentations=(),
        preprocessing=data.preprocessing and replace(data.preprocessing, embedding=made),
    )


def normalised_by_first(data: Data, n: int) -> Data:
    """Return data made of vectors with the normalisation of the first `n` vectors of the pool.

    With it, samples that join a pool later do not change what the others are to a learner.
    """
    from activeloop.data.samples import TensorSamples

    assert data.embeddings is not None
    mean, std = _moments(data.embeddings[:n])

    def again(samples: Samples) -> Samples:
        assert isinstance(samples, TensorSamples)
        return samples.normalised_by(mean, std)

    known = data.validation
    return replace(
        data,
        pool=again(data.pool),
        test=None if data.test is None else again(data.test),
        validation=None if known is None else replace(known, samples=again(known.samples)),
    )


def _chunks(samples: Samples, rows: Indices | None = None) -> Iterator[Vectors]:
    """Yield normalised samples as rows, `[n, numbers in a sample]`; at least one chunk.

    Args:
        samples: to go through.
        rows: indices of those to yield, ascending; None: all.
    """
    rows = np.arange(len(samples)) if rows is None else rows
    for start in range(0, max(1, len(rows)), CHUNK):
        indices = rows[start : start + CHUNK]
        yield samples.batch(indices, torch.device("cpu")).flatten(1).numpy()


def _moments(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean `[E]`, and `[E]` times the root of the mean variance, 1 if that is 0."""
    mean = torch.zeros(vectors.shape[1], dtype=torch.float64)
    for part in torch.split(vectors, CHUNK):
        mean += part.double().sum(0) / len(vectors)
    variance = torch.zeros((), dtype=torch.float64)
    for part in torch.split(vectors, CHUNK):
        variance += (part.double() - mean).square().sum() / vectors.numel()
    scale = float(variance.sqrt()) or 1.0
    return mean.float(), torch.full((vectors.shape[1],), scale)


def _read(path: str | Path | None, part: str, rows: int, columns: int | None = None) -> Tensor:
    """Return the vectors in `path`, of which there must be `rows`, `[rows, columns]`."""
    if path is None:
        hint = "" if part == "pool" else ", or embed.as_input=false"
        raise DataError(f"embed=file needs the vectors of the {part}: embed.{part}=PATH.npy{hint}")
    array = _opened(path, part, rows)
    width = array.shape[1] if columns is None else columns
    if array.shape != (rows, width) or width == 0:
        raise DataError(
            f"embed.{part}={path} must have shape [{rows}, {columns or 'E'}], a row for each "
            f"sample of the {part}, got {list(array.shape)}"
        )
    vectors = torch.from_numpy(array if array.dtype == np.float32 else array.astype(np.float32))
    for start, chunk in enumerate(torch.split(vectors, CHUNK)):
        if not (good := chunk.isfinite().all(1)).all():
            row = start * CHUNK + int((~good).nonzero()[0])
            raise DataError(f"embed.{part}={path} holds NaN or infinity, first in row {row}")
    return vectors


def _opened(path: str | Path, part: str, rows: int | str = "n") -> npt.NDArray[Any]:
    """Return the numbers in `path`, memory-mapped: `[rows, E]`, as messages say."""
    path = Path(path).expanduser()
    try:
        # Copy-on-write: torch has no read-only tensors, and writing to a read-only map kills.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"embed.{part}={path} cannot be read: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiu":
        kind = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise DataError(f"embed.{part}={path} must hold numbers [{rows}, E], got {kind}")
    return array
