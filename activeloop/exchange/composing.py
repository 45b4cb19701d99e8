"""The config of a branch: another run's, with what the command line says otherwise."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from activeloop.config import composed, register
from activeloop.errors import ConfigError, StoreError
from activeloop.messages import one_line
from activeloop.overrides import one_value

GROUPS = (
    *("data", "model", "learner", "embed", "strategy", "initial", "oracle", "stopping"),
    "tracker",
)

# What has no meaning for a branch, and why.
_REFUSED = {
    "data": "its labels are of the samples of the run that it is a branch of; settings of the same "
    "data are given as data.root=... and the like",
    "initial": "its initial set is the labels of the run that it is a branch of",
    "seeds": "it is one run: give seed=",
    "experiment": "experiments are of several runs: give the settings themselves",
}
# Of the settings of the data, those by which they would be others.
_OTHER_DATA = ("data", "data._target_")


def settings_of(directory: Path) -> dict[str, Any]:
    """Return the composed config that the run in `directory` was started with.

    Raises:
        StoreError: it has none.
    """
    path = directory / "config.yaml"
    try:
        settings = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError as error:
        raise StoreError(
            f"{directory} has no config.yaml, as a run that was not started from the command line: "
            "start a new one from its labels with initial=file initial.path="
            f"{directory}/queries.csv"
        ) from error
    except (OSError, ValueError, OmegaConfBaseException) as error:
        raise StoreError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise StoreError(f"{path} is no config of a run")
    return {str(name): value for name, value in settings.items()}


def _checked(overrides: Sequence[str]) -> list[Override]:
    """Return overrides as Hydra reads them.

    Raises:
        ConfigError: it cannot, or they have no meaning for a branch.
    """
    try:
        found = OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigError(one_line(error)) from error
    for each in found:
        name = each.key_or_group.partition(".")[0]
        if name in _REFUSED and (name != "data" or each.key_or_group in _OTHER_DATA):
            raise ConfigError(f"a branch takes no {each.key_or_group}=: {_REFUSED[name]}")
        if each.is_sweep_override():
            raise ConfigError(f"a branch is one run, and {one_value(each)}")
        if name == "hydra" and each.key_or_group != "hydra.run.dir":
            raise ConfigError(f"a branch takes hydra.run.dir= and no {each.key_or_group}=")
    return found


def branch_config(
    settings: Mapping[str, Any],
    overrides: Sequence[str],
    names: Mapping[str, str],
    folder: Path | None = None,
) -> DictConfig:
    """Return `settings` with `overrides`, and with Hydra's own config beside them.

    Args:
        settings: a run's composed config.
        overrides: `strategy=margin` takes the place of all of that group; `learner.lr=0.1` of one
            setting.
        names: how that run's options of the groups data and strategy are called.
        folder: of the user's own configs.

    Raises:
        ConfigError: the overrides have no meaning.
    """
    chosen = {each.key_or_group for each in _checked(overrides)}
    kept = {name: value for name, value in settings.items() if name not in chosen & {*GROUPS}}
    register()
    ConfigStore.instance().store("branch", {"defaults": ["config", "_self_"], **kept})
    words = [*overrides, *(f"~{group}" for group in GROUPS if group in kept)]
    if folder is not None:
        address = f"file://{folder.absolute()}".replace("'", "\\'")
        words.append(f"hydra.searchpath=['{address}']")
    config = composed(words, "branch")
    with open_dict(config):
        choices = config.hydra.runtime.choices
        for group, name in names.items():
            choices.setdefault(group, name)
        config.hydra.job.override_dirname = ""  # what differs from the other run is no variant
        config.hydra.mode = RunMode.RUN
    return config


def place(config: DictConfig) -> Path:
    """Return the directory that a config is to be run in, of which Hydra's own knows from now on.

    A fresh one is made, as for any other run.
    """
    directory = Path(config.hydra.run.dir).absolute()
    with open_dict(config):
        config.hydra.runtime.output_dir = str(directory)
    return directory


def beside(directory: Path) -> Path:
    """Return `directory-2`, or that with the next number of which nothing is there.

    A branch of what people label is found where its origin is. One of `photos-2` is `photos-3`, if
    there is a `photos`.
    """
    directory = directory.resolve()
    parts = re.fullmatch(r"(.+)-(\d+)", directory.name)
    if parts and directory.with_name(parts[1]).is_dir():
        directory = directory.with_name(parts[1])
    places = (directory.with_name(f"{directory.name}-{number}") for number in itertools.count(2))
    return next(place for place in places if not place.exists())
