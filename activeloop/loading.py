"""The data that a config names; of a run that goes on, its own samples in the order they had."""

from __future__ import annotations

import contextlib
import inspect
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from activeloop.changes import settled
from activeloop.config import cache_dir
from activeloop.embed import check_settings, normalised_by_first
from activeloop.errors import StoreError
from activeloop.loop import data_identity
from activeloop.manifest import Manifest
from activeloop.messages import command_of
from activeloop.run_files import RunFiles, first_pool_size
from activeloop.store import Store
from activeloop.types import Data, HiddenLabels, NewSamples
from activeloop.words import counted

# Settings by which a data set splits samples, or leaves some out, and what they are without.
_SPLITS = {"validation": 0, "test_fraction": 0.0}
_CUTS = {"pool_size": None, "imbalance": 1.0}

_BY_POSITION = "activeloop.embed.file"
# What makes the vector of a sample of that sample alone.
_ONE_BY_ONE = "activeloop.backbones.embedding.backbone"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A data set.

    Attributes:
        data: as learners and the loop see it.
        hidden: its labels.
        originals: the data before embedding; `data` itself where there is none.
    """

    data: Data
    hidden: HiddenLabels
    originals: Data


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a run kept of its data.

    Attributes:
        identity: what makes it that run.
        command: that goes on with it; None: it began in Python.
        manifest: its samples.
        first: how many of the pool were there when it began.
    """

    identity: dict[str, Any]
    command: str | None
    manifest: Manifest
    first: int


def build_data(config: DictConfig) -> Loaded:
    """Return the data that `config` names."""
    check_embed(config)
    originals, hidden = read_data(config)
    return Loaded(data=embed_data(config, originals), hidden=hidden, originals=originals)


def read_data(config: DictConfig, **other: Any) -> tuple[Data, HiddenLabels]:
    """Return the data set as it is before embedding, and the hidden labels.

    A data set that takes a `memory_limit` gets the run's if it has none. `other` are settings that
    take the place of those of `config.data`.
    """
    if "memory_limit" in config.data and config.data.memory_limit is None:
        other["memory_limit"] = config.memory_limit
    read: tuple[Data, HiddenLabels] = instantiate(config.data, _convert_="all", **other)
    return read


def check_embed(config: DictConfig) -> None:
    """See that the settings of `config.embed` have a meaning, before data are read for it.

    Raises:
        ConfigError, DataError: what is wrong with them.
    """
    settings: Any = OmegaConf.to_container(config.embed, resolve=True)
    check_settings(get_object(settings.pop("_target_")), settings)


def embed_data(config: DictConfig, data: Data) -> Data:
    """Return `data` with the embeddings that `config` names."""
    parameters = inspect.signature(get_object(config.embed._target_)).parameters
    given: dict[str, Any] = {"device": config.device} if "device" in parameters else {}
    if config.embed.get("cache") == "auto":
        given["cache"] = cache_dir() / "embeddings"
    # Not as an argument of `instantiate`, which would make a config of a dataclass.
    embedded: Data = instantiate(config.embed, _partial_=True, _convert_="all")(data, **given)
    return embedded


def kept_of(directory: Path) -> Kept | None:
    """Return what the run in `directory` kept of its data; None where none began.

    Raises:
        StoreError: another process runs it, or its file cannot be used.
    """
    if not (directory / "run.db").exists():
        return None
    with contextlib.closing(RunFiles(directory)) as files:
        return kept_in(files.store)


def kept_in(store: Store) -> Kept | None:
    """Return what a run's file says of its data; None where none began."""
    if (manifest := Manifest.read(store)) is None:
        return None
    return Kept(
        identity=store.meta("identity"),
        command=command_of(store.meta("run")),
        manifest=manifest,
        first=first_pool_size(store, len(manifest.parts["pool"].keys)),
    )


def whole_settings(settings: Mapping[Any, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Return what of a data set's `settings` is otherwise where nothing is split or left out."""
    whole = {**_SPLITS, **_CUTS, "classes": list(classes)}
    return {name: value for name, value in whole.items() if name in settings}


def check_as_read(directory: Path, kept: Kept, loaded: Loaded) -> None:
    """See that several processes may go on with a run: each reads its data as they lie.

    Raises:
        StoreError: samples joined its pool, which are in another place there.
    """
    joined = len(kept.manifest.parts["pool"].keys) - kept.first
    as_kept = kept.manifest.same_keys(loaded.originals)
    if joined and not (as_kept and kept.manifest.same_moments(loaded.originals)):
        raise StoreError(
            f"{counted(joined, 'sample')} joined the pool of {directory} since it began, and "
            "several processes cannot read them in that order: without torchrun, python -m "
            f"activeloop resume {shlex.quote(str(directory))} goes on in one"
        )


def data_of_run(
    config: DictConfig, directory: Path, kept: Kept, loaded: Loaded, new_samples: NewSamples
) -> Loaded:
    """Return the data with which the run in `directory` goes on; samples that join are recorded.

    Args:
        config: of the run.
        directory: of the run.
        kept: what it kept of its data.
        loaded: the data that are there now.
        new_samples: what to do with samples that it did not have.

    Raises:
        StoreError: they are other data: which samples changed, and what to do. All is as it was.
    """
    whole = whole_settings(config.data, kept.identity["data"]["classes"])
    cuts = [f"data.{n}" for n, value in _CUTS.items() if config.data.get(n, value) != value]
    found = settled(
        kept.manifest,
        (loaded.originals, loaded.hidden),
        lambda: read_data(config, **whole),
        directory,
        new_samples,
        " and ".join(cuts),
        kept.command,
    )
    target, as_input = config.embed._target_, bool(config.embed.get("as_input", False))
    joined_before = len(kept.manifest.parts["pool"].keys) > kept.first
    if found.data is loaded.originals and not (as_input and joined_before):
        return loaded
    if target == _BY_POSITION:
        raise StoreError(
            f"{directory}: samples came to the data of the run, and embed=file has vectors by "
            "position: which are whose cannot be told; nothing was changed"
        )
    if found.joined and as_input and target != _ONE_BY_ONE:
        raise StoreError(
            f"{directory}: with {target} as the learner's input, samples that join would change "
            "the vectors of all others: --new-samples ignore goes on without them"
        )
    data = embed_data(config, found.data)
    if as_input and len(data.pool) > kept.first:
        data = normalised_by_first(data, kept.first)
    if found.joined:
        identity = {**kept.identity, "data": data_identity(data)}
        with contextlib.closing(RunFiles(directory)) as files:
            files.join(identity, found.data, len(found.joined))
        print(f"{counted(len(found.joined), 'sample')} joined the pool of {directory.name}")
    return replace(loaded, data=data, hidden=found.hidden, originals=found.data)
