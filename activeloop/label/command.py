"""`python -m activeloop label`: what is labelled, where it is kept, how the page is reached."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from activeloop.arguments import Parser
from activeloop.checks import whole
from activeloop.config import config_dir, register
from activeloop.errors import ConfigError
from activeloop.run_files import shown

PORT = 8765
_PACKAGES = ("starlette", "uvicorn")
_EXAMPLE = "label data=image_folder data.root=photos 'data.classes=[cat,dog]'"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a command line asks for.

    Attributes:
        config: of the run.
        directory: of the run.
        labels: how reports name it; None: it is there already, and has its names.
        host: address to listen at.
        port: to listen at; None: the usual one, or the next that is free.
        names: other names by which the server is reached.
        browser: whether to open the page.
        opinions: whether the page shows at first what the network thinks.
        new_token: whether to shut out those who have the old link.
    """

    config: DictConfig
    directory: Path
    labels: dict[str, Any] | None
    host: str
    port: int | None
    names: Sequence[str]
    browser: bool
    opinions: bool
    new_token: bool


def label(arguments: Sequence[str]) -> None:
    """Open the page that the command line asks for, until it is stopped.

    Raises:
        ConfigError: the arguments make no sense, or a package is missing.
        DataError, LearnerError, StrategyError, StoreError: what is wrong with the run.
    """
    given = _parser().parse_intermixed_args(list(arguments))
    check_installed()
    wanted = _wanted(given)
    from activeloop.label.session import label_run  # needs the packages

    label_run(wanted)


def check_installed() -> None:
    """Raise `ConfigError` if a package is missing: before anything is loaded."""
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"the label page needs {' and '.join(missing)}: pip install 'activeloop[label]'"
        )


def _wanted(given: argparse.Namespace) -> Wanted:
    """Return what is asked for, its config composed or read."""
    words = given.words
    if directories := [word for word in words if "=" not in word and word[0] not in "~+"]:
        if len(words) > 1:
            raise ConfigError(
                f"label {directories[0]} goes on with that run's own settings: leave out "
                f"{next(word for word in words if word != directories[0])}"
            )
        directory, labels = Path(directories[0]), None
        config = _kept(directory)
    elif words:
        config, directory, labels = _composed(words)
    else:
        raise ConfigError(
            f"what is to be labelled? {_EXAMPLE}, or the directory of a run to go on with"
        )
    return Wanted(
        config=config,
        directory=directory,
        labels=labels,
        host=given.host,
        port=None if given.port is None else whole("--port", given.port),
        names=given.allow_host,
        browser=not given.no_browser,
        opinions=not given.hide_opinions,
        new_token=given.new_token,
    )


def _composed(overrides: Sequence[str]) -> tuple[DictConfig, Path, dict[str, Any]]:
    """Return the config of the overrides, its directory, and how reports name the run."""
    from activeloop.runner import labels_of

    register()
    named = [each.key_or_group for each in OverridesParser.create().parse_overrides([*overrides])]
    own = [f"{key}={value}" for key, value in _OWN.items() if key not in named]
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="activeloop"):
        whole_config = compose("config", [*own, *overrides], return_hydra_config=True)
    names = [str(name) for name in whole_config if name != "hydra"]
    config = OmegaConf.masked_copy(whole_config, names)
    if config.seeds is not None:
        raise ConfigError("people label one run at a time: leave out seeds")
    labels = labels_of(config, whole_config.hydra)
    if "hydra.run.dir" in named:
        directory = Path(whole_config.hydra.run.dir)
    else:
        directory = Path("outputs", "label", _name(config, str(labels["data"])))
    return config, directory, labels


# Of every run that people label, unless they say otherwise.
_OWN = {"experiment": "label", "oracle": "people"}


def _name(config: DictConfig, choice: str) -> str:
    """Return the name of the folder of images, so that the same command finds the same run."""
    root = OmegaConf.select(config, "data.root", throw_on_missing=False)
    return (Path(root).expanduser().resolve().name if isinstance(root, str) else "") or choice


def _kept(directory: Path) -> DictConfig:
    """Return the config of the run in `directory`.

    Raises:
        ConfigError: there is none.
    """
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory}; a new run: {_EXAMPLE}")
    path = directory / "config.yaml"
    if not path.is_file() or not (directory / "run.db").is_file():
        raise ConfigError(f"{shown(directory)} holds no run; a new one: {_EXAMPLE}")
    register()
    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{path} is not the config of a run")
    return config


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "activeloop label",
        description="Open a page in the browser on which one or several people label images, and "
        "run the loop behind it. The same command goes on where it was stopped.",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="DIR | key=value",
        help=f"the directory of a run to go on with, or the settings of one, as in {_EXAMPLE}; "
        "it is kept in outputs/label/NAME of the folder unless hydra.run.dir=DIR is given",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at (127.0.0.1: this machine only); 0.0.0.0 is all addresses",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"port to listen at ({PORT}, or the next that is free)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name by which the page is reached, as through a reverse proxy",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the link")
    parser.add_argument(
        "--hide-opinions",
        action="store_true",
        help="do not show at first what the network thinks, so as not to bias who labels",
    )
    parser.add_argument(
        "--new-token", action="store_true", help="make a new link; pages of the old one are out"
    )
    return parser
