"""The experiment that a command line names: that it is there, and whether it is a sweep by itself.

Hydra would run without an experiment that is not there, for the group is optional; and where one
that is a sweep cannot be composed, it would complain of the commas instead of what is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from activeloop.config import config_dir
from activeloop.errors import ConfigError

_GROUP = "experiment"
# Options with which nothing is run, or that say themselves that it is a sweep.
_OTHER_MODES = {"--multirun", "--help", "--hydra-help", "--cfg", "--info"}


def multirun_option(
    overrides: Sequence[Override], options: Sequence[str], folders: Sequence[Path]
) -> list[str]:
    """Return the option by which Hydra knows that the experiment named is a sweep by itself.

    Args:
        overrides: of the command line.
        options: of the command line, by their whole names.
        folders: other config folders that it names.

    Raises:
        ConfigError: there is no such experiment.
    """
    keys = {override.key_or_group for override in overrides}
    found = check_experiments(overrides, folders)
    if "hydra.mode" in keys or any(option.partition("=")[0] in _OTHER_MODES for option in options):
        return []
    return ["--multirun"] if any(map(_is_sweep, found)) else []


def check_experiments(overrides: Sequence[Override], folders: Sequence[Path] = ()) -> list[Path]:
    """Return the files of the experiments that the command line names, as far as can be told.

    Raises:
        ConfigError: there is no such experiment.
    """
    if any(override.key_or_group == "hydra.searchpath" for override in overrides):
        return []  # configs may come from anywhere
    return [_file(name, folders) for name in _named(overrides)]


def _named(overrides: Sequence[Override]) -> list[str]:
    """Return the experiments that the command line names."""
    names = []
    for override in overrides:
        if override.key_or_group == _GROUP and not override.is_delete():
            swept = override.is_choice_sweep()
            values = override.sweep_string_iterator() if swept else [override.value()]
            names += [str(value) for value in values if value not in (None, "null", "")]
    return names


def _file(name: str, folders: Sequence[Path]) -> Path:
    places = [folder / _GROUP for folder in (config_dir(), *folders)]
    for place in places:
        if (path := place / f"{name}.yaml").is_file():
            return path
    there = sorted({path.stem for place in places for path in place.glob("*.yaml")})
    close = difflib.get_close_matches(name, there, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(there)}"
    raise ConfigError(f"there is no experiment {name!r}: {hint}")


def _is_sweep(path: Path) -> bool:
    return bool(OmegaConf.select(OmegaConf.load(path), "hydra.mode") == "MULTIRUN")
