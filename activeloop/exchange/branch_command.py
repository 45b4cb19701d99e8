"""`python -m activeloop branch`: a new run from the labels of another."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from activeloop.arguments import Parser
from activeloop.checks import whole
from activeloop.errors import ConfigError, StoreError
from activeloop.exchange.composing import beside, composed, place, settings_of
from activeloop.exchange.gone import gone_text, without_gone
from activeloop.exchange.origin import Origin, read_origin
from activeloop.exchange.records import check_run
from activeloop.exchange.renaming import renamed
from activeloop.flat_settings import differences, flat
from activeloop.messages import shown
from activeloop.report.runs import read_run
from activeloop.resuming import resume_run
from activeloop.run_files import RunFiles
from activeloop.run_paths import found
from activeloop.runner import about_of, announce, check_complete, describe, identity_of
from activeloop.store import Store

# How many answers a branch was given by the run that it is a branch of.
_GIVEN = "given"


def branch(arguments: Sequence[str]) -> None:
    """Start the run that the command line says, or prepare it where people label.

    Raises:
        ConfigError: the arguments make no sense.
        StoreError: there is no such run, or its labels cannot be read.
    """
    given = _parser().parse_intermixed_args(list(arguments))
    words = [word for word in given.overrides if not re.match(r"round=", word)]
    rounds = [word.partition("=")[2] for word in given.overrides if re.match(r"round=", word)]
    check_run(given.directory)
    origin = read_origin(given.directory, rounds[-1] if rounds else None)
    config = _config(origin, words, given.config_dir)
    origin, gone = without_gone(origin, _plain(config))
    origin = renamed(origin, config, given.rename)
    config.initial.size = origin.labels
    _check_budget(config, origin)
    if _by_people(origin) and not any(word.startswith("hydra.run.dir=") for word in words):
        config.hydra.run.dir = str(beside(given.directory))
    directory = place(config)
    about = about_of(_plain(config), directory, config.hydra)
    about["run"] |= _by_people(origin)
    _prepare(directory, origin, _plain(config), about)
    print(f"branch of {origin}")
    for old, new in origin.renamed.items():
        print(f"what {old!r} was there is {new!r} here")
    if gone:
        print(gone_text(gone, origin))
    if _by_people(origin):
        print(f"to go on: python -m activeloop label {shlex.quote(shown(directory))}")
        return
    try:
        resume_run(directory)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"hydra.run.dir={directory}") from interrupt


def _config(origin: Origin, words: Sequence[str], folder: Path | None) -> DictConfig:
    """Return the config of the branch, with Hydra's beside it.

    Raises:
        ConfigError: it makes no sense.
    """
    settings = settings_of(origin.directory)
    run = read_run(origin.directory)
    if run is not None and run.environment.get("working_directory") != str(Path.cwd()):
        settings = found(settings, run)  # relative paths as that run had them
    settings["initial"] = {"_target_": "activeloop.initial.branched", "size": origin.labels}
    settings["initial"] |= {n: v for n, v in origin.kept.items() if n != "labels"}
    names = {group: str(origin.run.get(group, "run")) for group in ("data", "strategy")}
    config = composed(settings, words, names, folder)
    check_complete(_plain(config))
    return config


def _check_budget(config: DictConfig, origin: Origin) -> None:
    """Raise `ConfigError` if there are as many labels as there may be."""
    if config.budget not in (None, "all") and whole("budget", config.budget) <= origin.labels:
        raise ConfigError(
            f"budget={config.budget} counts all labels, and the branch starts with "
            f"{origin.labels}: give a larger one, as in budget={2 * origin.labels}"
        )


def _plain(config: DictConfig) -> DictConfig:
    """Return a config without Hydra's own."""
    plain: DictConfig = config.copy()
    with open_dict(plain):
        plain.pop("hydra", None)
    return plain


def _by_people(origin: Origin) -> dict[str, Any]:
    name = "labelled_by_people"
    return {name: origin.run[name]} if origin.run.get(name) else {}


def _prepare(directory: Path, origin: Origin, config: DictConfig, about: Mapping[str, Any]) -> None:
    """Have the run of `config` begun in `directory`, with the labels that it starts from.

    Raises:
        StoreError: the directory holds another run, or cannot be written.
    """
    announce(directory, config, about)
    with contextlib.closing(RunFiles(directory)) as files:
        there = files.store.meta("branched_from")
        changed = "" if there is None else _changed(directory, config, files.store)
        if (changed or there not in (None, origin.kept)) and _untouched(files.store):
            _empty(files, directory)
            there = None
        store = files.store
        if there != origin.kept and (there is not None or store.meta("run") is not None):
            raise StoreError(
                f"{shown(directory)} holds another run: choose another directory "
                "(hydra.run.dir=...), or go on with the one that is there: python -m activeloop "
                f"resume {shlex.quote(shown(directory))}"
            )
        if store.last_event() == 0:
            describe(directory, config, about)  # it may be there with other settings
            values = {**about, "branched_from": origin.kept}
            store.set_all(values | ({"classes": origin.added} if origin.added else {}))
            events = [replace(event, round=0, origin="branch") for event in origin.answers]
            store.add_events(events, values={_GIVEN: len(events)})
        elif changed:
            raise StoreError(
                f"{shown(directory)} holds a branch with other settings ({changed}): choose "
                "another directory (hydra.run.dir=...)"
            )


def _untouched(store: Store) -> bool:
    """Return whether a branch has nothing yet but the labels that it was given."""
    return store.last_event() == (store.meta(_GIVEN) or 0) and not store.rounds()


def _empty(files: RunFiles, directory: Path) -> None:
    """Begin the file of a branch anew: what it holds is the other run's, which has it still."""
    files.store.close()
    (directory / "run.db").unlink()
    files.store = Store(directory / "run.db")


def _changed(directory: Path, config: DictConfig, store: Store) -> str:
    """Return in words what differs from the settings of the branch that is there already."""
    return differences(flat(_begun(directory, store)), flat(identity_of(config)))


def _begun(directory: Path, store: Store) -> Mapping[str, Any]:
    """Return the settings of the run that is in `directory` already."""
    if (identity := store.meta("identity")) is not None:
        config: Mapping[str, Any] = identity["config"]
        return config
    return identity_of(OmegaConf.create(settings_of(directory)))


def _parser() -> Parser:
    parser = Parser(
        "activeloop branch",
        description="Start a new run from the labels of another; its other settings stay.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the other run's directory")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="round=5: from its labels as they were after that round's query (as they are now); "
        "strategy=margin and the like: what is to be otherwise; hydra.run.dir=: where "
        "(of a run that people label, DIR-2)",
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="give a class another name; several times for several",
    )
    parser.add_argument("--config-dir", type=Path, metavar="FOLDER", help="of your own configs")
    return parser
