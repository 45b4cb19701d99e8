"""What people are to label: the config of a run that begins or goes on, and its directory."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from activeloop.building import check_complete, identity_of
from activeloop.checks import whole
from activeloop.config import composed, register, strategy_name, without_hydra
from activeloop.errors import IN_USE, ConfigError, StoreError
from activeloop.experiments import check_experiments
from activeloop.flat_settings import differences, flat
from activeloop.label.command import EXAMPLE
from activeloop.messages import shown
from activeloop.overrides import one_value, quoted
from activeloop.resuming import Begun, begun_in, config_of
from activeloop.run_paths import IMAGE_FOLDER
from activeloop.runner import CONFIG_FILE
from activeloop.types import NewSamples

_LAST_PORT = 65_535
# Of every run that people label, unless they say otherwise.
_OWN = {"experiment": "label", "oracle": "people"}
# Of images in a folder, which are seldom as small as those that its own 32 pixels are meant for.
# They are looked at again and again: at each start, and by `predict` and `report`.
_OWN_OF_FOLDERS = {"data.size": "64", "data.cache": "keep"}
# Of a network that is trained on few images: it is surer of itself than it should be without.
_OWN_OF_NETWORKS = {"learner.augment": "auto"}
# What cannot start a run that people label, and what to do instead.
_NO_START = {
    "file": "start it without initial=file, stop it (Ctrl-C), and python -m activeloop import DIR "
    "FILE gives it labels that are there already",
    "all": "leave out initial=all, for people are asked until nothing is left",
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a command line asks for.

    Attributes:
        config: of the run.
        directory: of the run.
        typed: how it is typed from here.
        about: what is kept with the run beside its config: `run` names it for reports.
        working_directory: from which its relative paths lead; None: from here.
        new_samples: what to do with images that came since the run began.
        host: address to listen at.
        port: to listen at; None: the usual one, or the next that is free.
        names: other names by which the server is reached.
        browser: whether to open the page.
        opinions: whether the page shows at first what the network thinks.
        new_token: whether to shut out those who have the old link.
    """

    config: DictConfig
    directory: Path
    typed: str
    about: dict[str, Any]
    working_directory: str | None
    new_samples: NewSamples
    host: str
    port: int | None
    names: Sequence[str]
    browser: bool
    opinions: bool
    new_token: bool


def wanted_by(given: Namespace) -> Wanted:
    """Return what a command line asks for, its config composed or read.

    Args:
        given: what `activeloop.label.command` takes.

    Raises:
        ConfigError: it makes no sense.
        StoreError: the run that it names is in use, or cannot be read.
    """
    words, working_directory = given.words, None
    if directories := [word for word in words if "=" not in word and not word.startswith("~")]:
        if len(words) > 1:
            raise ConfigError(_not_alone(words, directories[0]))
        directory = Path(directories[0]).resolve()
        config, about, working_directory = _kept(directory)
    elif words:
        config, directory, about = _composed(words)
        if (directory / "run.db").is_file():
            directory = directory.resolve()
            about, working_directory = _continued(directory, config)
    else:
        raise ConfigError(
            f"what is to be labelled? {EXAMPLE}, or the directory of a run to go on with"
        )
    return Wanted(
        config=config,
        directory=directory,
        typed=shlex.quote(shown(directory)),
        about=about,
        working_directory=working_directory,
        new_samples=given.new_samples,
        host=given.host,
        port=None if given.port is None else whole("--port", given.port, most=_LAST_PORT),
        names=given.allow_host,
        browser=not given.no_browser,
        opinions=not given.hide_opinions,
        new_token=given.new_token,
    )


def _not_alone(words: Sequence[str], word: str) -> str:
    """Return why a word that is no setting cannot be beside others, and what is likely meant."""
    if Path(word).is_dir():
        other = next((each for each in words if each != word), word)
        return f"label {word} goes on with that run's own settings: leave out {other}"
    said = f"{word!r} is neither a setting (key=value) nor the directory of a run"
    key, equals, value = words[max(0, words.index(word) - 1)].partition("=")
    if not equals:
        return said
    whole_value = quoted(key, f"{value} {word}")
    return f"{said}; a value with spaces is written in quotes, as in {whole_value}"


def _composed(overrides: Sequence[str]) -> tuple[DictConfig, Path, dict[str, Any]]:
    """Return the config of the overrides, its directory, and what is kept beside it."""
    register()
    parsed = OverridesParser.create().parse_overrides([*overrides])
    if swept := [each for each in parsed if each.is_sweep_override()]:
        raise ConfigError(f"people label one run at a time, and {one_value(swept[0])}")
    check_experiments(parsed)
    named = {each.key_or_group: each.value() for each in parsed}
    if (instead := _NO_START.get(str(named.get("initial")))) is not None:
        raise ConfigError(f"a run that people label starts with what they are asked: {instead}")
    from_folder = named.get("data", "image_folder") == "image_folder"
    own_settings = _OWN | (_OWN_OF_FOLDERS if from_folder else {})
    own_settings |= {} if "learner" in named else _OWN_OF_NETWORKS
    own = [f"{key}={value}" for key, value in own_settings.items() if key not in named]
    whole_config = composed([*own, *overrides])
    config = without_hydra(whole_config)
    check_complete(config)
    if config.seeds is not None:
        raise ConfigError("people label one run at a time: leave out seeds")
    choice = str(whole_config.hydra.runtime.choices.data)
    labels = {
        "strategy": strategy_name(whole_config),
        "variant": "",
        "seed": config.seed,
        "data": choice,
        "labelled_by_people": True,
    }
    directory = Path("outputs", "label", _name(config, choice))
    if "hydra.run.dir" in named:
        directory = Path(whole_config.hydra.run.dir)
    return config, directory, {"run": labels, "home": "."}


def _name(config: DictConfig, choice: str) -> str:
    """Return the name of the folder of images, so that the same command finds the same run.

    That of a published data set is its own, whatever the folder it is kept in.
    """
    if config.data.get("_target_") != IMAGE_FOLDER:
        return choice
    root = OmegaConf.select(config, "data.root", throw_on_missing=False)
    return (Path(root).expanduser().resolve().name if isinstance(root, str) else "") or choice


def _kept(directory: Path) -> tuple[DictConfig, dict[str, Any], str | None]:
    """Return the config of the run in `directory`, what is kept beside it, and where it began.

    Raises:
        ConfigError: there is none, or it is not labelled by people.
        StoreError: another process has it, or its config was changed.
    """
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {shown(directory)}; a new run: {EXAMPLE}")
    if not any((directory / name).is_file() for name in ("run.db", CONFIG_FILE)):
        raise ConfigError(f"{shown(directory)} holds no run; a new one: {EXAMPLE}")
    register()
    begun = _begun(directory)
    return config_of(directory, begun), begun.about, begun.environment.get("working_directory")


def _continued(directory: Path, config: DictConfig) -> tuple[dict[str, Any], str | None]:
    """Return what is kept beside the run in `directory`, and where it began, if `config` is its.

    Raises:
        ConfigError: it is another run's; what differs, and what to do.
    """
    begun = _begun(directory)
    place = begun.environment.get("working_directory")
    settings = {} if begun.identity is None else begun.identity["config"]
    root = settings.get("data", {}).get("root")
    # The same folder by another path is the same folder.
    if root is not None and _resolved(root, place) == _resolved(config.data.get("root"), None):
        config.data.root = root
    if settings and (changed := differences(flat(settings), flat(identity_of(config)))):
        typed = shlex.quote(shown(directory))
        raise ConfigError(
            f"{shown(directory)} holds a run with other settings ({changed}): python -m activeloop "
            f"label {typed} goes on with it, python -m activeloop branch {typed} begins one with "
            "others from its labels, and hydra.run.dir=DIR one without them"
        )
    return begun.about, place


def _resolved(root: object, place: str | None) -> Path | None:
    return (Path(place or ".") / Path(str(root)).expanduser()).resolve() if root else None


def _begun(directory: Path) -> Begun:
    """Return what the directory of a run says of it.

    Raises:
        ConfigError: it is not labelled by people.
        StoreError: another process has it, or it cannot be read.
    """
    try:
        begun = begun_in(directory)
    except StoreError as error:
        from activeloop.label.link_file import link_in  # needs the packages

        if IN_USE not in str(error) or (link := link_in(directory)) is None:
            raise
        raise StoreError(f"{error}; its page is {link}") from error
    if not begun.about["run"].get("labelled_by_people"):
        raise ConfigError(
            f"the run in {shown(directory)} was not labelled by people: python -m activeloop "
            "branch begins another from its labels"
        )
    return begun
