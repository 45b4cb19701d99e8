"""A run's data set once more: as its config says, from what is on this machine."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from activeloop import embed
from activeloop.changes import settled
from activeloop.config import STORAGE, cache_dir
from activeloop.errors import ActiveLoopError, DataError, StoreError
from activeloop.flat_settings import short_digest
from activeloop.loading import build_data, data_of_run, kept_in, whole_settings
from activeloop.manifest import Manifest
from activeloop.report.runs import Run, opened
from activeloop.report.samples import DataSet, Part, Vectors
from activeloop.run_paths import data_settings, found
from activeloop.store import Store
from activeloop.types import Data, HiddenLabels, Indices, Samples

# Above so many bytes, samples are not all read to see whether they are still the same.
_LARGEST_CHECKED = 4 * 2**30
_CPU = torch.device("cpu")


def reload(run: Run) -> DataSet:
    """Return the data set of a run: built anew from the config that the run kept.

    Nothing is downloaded, and nothing embedded: vectors are there only where they are in a file.
    A relative path means one in the directory that the run was started in, if it is there, else
    in the working directory.

    Raises:
        DataError: the run kept no config of its data, or what is there now are other data.
        Exception: whatever building the data set raises, where it is gone, say.
    """
    settings = _settings_here(run)
    data, hidden = _as_it_was(run, settings, *instantiate(settings, _convert_="all"))
    vectors, embedded = _embeddings(run, data)
    doubts = _check(run, data, vectors)
    return as_arrays(data, hidden, embeddings=vectors, embedded=embedded, doubts=doubts)


def rebuilt(run: Run, classes: tuple[str, ...], device: str | torch.device) -> Data:
    """Return the data set that a run's learner was fitted on, embedded anew if need be.

    Args:
        run: the run, whose paths are looked for as by `reload`.
        classes: their names, as many as the learner is to know.
        device: where images are embedded.

    Raises:
        DataError: as `reload` does.
        Exception: likewise.
    """
    vectors = _local(found(run.config["embed"], run))
    if "cache" in vectors:
        vectors["cache"] = _kept(run, "embed").get("cache", "auto")
    settings = {"data": _settings_here(run), "embed": vectors, "memory_limit": None}
    config = OmegaConf.create(settings | {"device": str(device)})
    loaded = build_data(config)
    with opened(run.directory) as store:
        kept = kept_in(store)
    if kept is not None:
        loaded = data_of_run(config, run.directory, kept, loaded, "ignore")
    for part, digest in loaded.data.fingerprints.items():
        if run.identity["data"].get(part) != digest:
            raise _other_data(part, digest, run)
    return replace(loaded.data, classes=classes)


def _other_data(part: str, digest: str | None, run: Run) -> DataError:
    return DataError(
        f"the data that are there now are not those of the run: the {part}'s fingerprint "
        f"is {short_digest(digest)}, the run's was {short_digest(run.identity['data'].get(part))}"
    )


def as_arrays(
    data: Data,
    hidden: HiddenLabels | None = None,
    *,
    embeddings: Vectors | None = None,
    embedded: str = "",
    doubts: tuple[str, ...] = (),
) -> DataSet:
    """Return a data set as reports read it; the labels of its pool are those of `hidden`."""
    return DataSet(
        classes=data.classes,
        pool=_part(data.pool),
        test=None if data.test is None else _part(data.test),
        labels=None if hidden is None else hidden.pool,
        embeddings=embeddings,
        embedded=embedded,
        doubts=doubts,
    )


def _part(samples: Samples) -> Part:
    def read(indices: Indices) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = samples.raw(indices, _CPU).numpy()
        return array

    return Part(keys=samples.keys, shape=samples.shape, read=read)


def _as_it_was(
    run: Run, settings: dict[str, Any], data: Data, hidden: HiddenLabels
) -> tuple[Data, HiddenLabels]:
    """Return the run's own samples in the order they had, where others came since it began."""
    try:
        with contextlib.closing(Store(run.directory / "run.db", read_only=True)) as store:
            kept = Manifest.read(store)
    except StoreError:  # in the middle of a write: the fingerprints will tell
        return data, hidden
    if kept is None:
        return data, hidden
    whole = settings | whole_settings(settings, run.identity["data"]["classes"])
    try:
        found = settled(
            kept,
            (data, hidden),
            lambda: instantiate(whole, _convert_="all"),
            run.directory,
            "ignore",
        )
    except StoreError as error:
        raise DataError(str(error)) from error
    return found.data, found.hidden


# -- settings ---------------------------------------------------------------------------


def _settings_here(run: Run) -> dict[str, Any]:
    """Return the settings of a run's data set, with paths from here."""
    here: dict[str, Any] = _local(found(data_settings(run), run)) | _storage(run)
    return here


def _local(node: Any) -> Any:
    """Return settings with every download turned off, those of nested targets too."""
    if isinstance(node, list):
        return [_local(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    settings = {name: _local(value) for name, value in node.items()}
    if "download" in settings or ("_target_" in settings and _downloads(settings["_target_"])):
        settings["download"] = False
    return settings


def _downloads(target: str) -> bool:
    """Return whether a target has an option to download."""
    try:
        return "download" in inspect.signature(get_object(target)).parameters
    except (TypeError, ValueError):  # it has no signature
        return False


def _storage(run: Run) -> dict[str, Any]:
    """Return where the run kept its samples, which is no part of what it is."""
    settings = _kept(run, "data")
    return {name: settings[name] for name in STORAGE if name in settings}


def _kept(run: Run, group: str) -> dict[str, Any]:
    """Return a group of `config.yaml`, which has the settings of the machine too."""
    try:
        config = OmegaConf.load(run.directory / "config.yaml")
        settings = OmegaConf.to_container(OmegaConf.select(config, group), resolve=True)
    except (OSError, ValueError, OmegaConfBaseException):
        return {}
    return (
        {str(name): value for name, value in settings.items()} if isinstance(settings, dict) else {}
    )


# -- embeddings -------------------------------------------------------------------------


def _embeddings(run: Run, data: Data) -> tuple[Vectors | None, str]:
    """Return the pool's vectors where they are in a file, and what they are."""
    from activeloop.backbones import embedding

    settings = dict(found(run.identity["config"].get("embed") or {}, run))
    target = settings.pop("_target_", None)
    try:
        if target == "activeloop.embed.file":
            vectors = embed.file(data, pool=settings["pool"], as_input=False).embeddings
            return _array(vectors), f"the vectors in {Path(settings['pool']).name}"
        if target == "activeloop.backbones.embedding.backbone":
            cache = _kept(run, "embed").get("cache", "auto")
            of = embedding.VECTORS_OF
            known = {name: settings[name] for name in of if name in settings}
            folder = cache_dir() / "embeddings" if cache == "auto" else cache
            vectors = embedding.kept(data.pool, cache=folder, **known)
            return _array(vectors), f"the vectors by {known.get('name', 'the backbone')}"
    except (ActiveLoopError, OSError):
        pass  # not at hand: pixels will do
    return None, ""


def _array(vectors: torch.Tensor | None) -> Vectors | None:
    if vectors is None:
        return None
    array: Vectors = vectors.numpy()
    return array


# -- are these the run's data? ----------------------------------------------------------


def _check(run: Run, data: Data, vectors: Vectors | None) -> tuple[str, ...]:
    """Raise `DataError` if these are other data than the run had; return what doubts are left."""
    before = run.identity["data"]
    settings = run.identity["config"].get("embed") or {}
    how = str(settings.get("_target_", "activeloop.embed.none"))
    if how != "activeloop.embed.none" and settings.get("as_input", True):
        # Vectors of a backbone are kept by what the images are: where they are, so are these.
        if how == "activeloop.backbones.embedding.backbone" and vectors is not None:
            return ()
        return (
            "whether the data are still those of the runs cannot be told: what these kept is a "
            f"fingerprint of vectors (embed={how.rpartition('.')[2]})",
        )
    parts = {"pool": data.pool} | ({} if data.test is None else {"test": data.test})
    if any(len(part) * math.prod(part.shape) > _LARGEST_CHECKED for part in parts.values()):
        return ("whether the data are still those of the runs was not checked: they are too large",)
    now = {name: part.fingerprint for name, part in parts.items()}
    for name in ("pool", "test"):
        if now.get(name) != before.get(name):
            raise _other_data(name, now.get(name), run)
    return ()
