"""A new run from the labels of another."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from activeloop.building import check_complete, identity_of
from activeloop.checks import whole
from activeloop.config import without_hydra
from activeloop.errors import ConfigError, StoreError
from activeloop.exchange.composing import beside, branch_config, place, settings_of
from activeloop.exchange.gone import gone_text, without_gone
from activeloop.exchange.origin import Origin, read_origin
from activeloop.exchange.renaming import renamed
from activeloop.flat_settings import differences, flat
from activeloop.messages import shown
from activeloop.report.runs import check_run, read_run
from activeloop.resuming import resume_run
from activeloop.run_directory import RunDirectory
from activeloop.run_paths import found
from activeloop.runner import about_of, announce, describe
from activeloop.store import Store

# How many answers a branch was given by the run that it is a branch of.
_GIVEN = "given"


def begin_branch(
    directory: Path, overrides: Sequence[str], folder: Path | None, renames: Sequence[str]
) -> None:
    """Start a branch of the run in `directory`, or prepare it where people label.

    Args:
        directory: of that run.
        overrides: what is to be otherwise; `round=N` among them: from its labels as of then.
        folder: of the user's own configs.
        renames: `OLD=NEW` for each class that gets another name.

    Raises:
        ConfigError: the overrides or the renames make no sense.
        StoreError: there is no such run, or its labels cannot be read.
    """
    words = [word for word in overrides if not re.match(r"round=", word)]
    rounds = [word.partition("=")[2] for word in overrides if re.match(r"round=", word)]
    check_run(directory)
    origin = read_origin(directory, rounds[-1] if rounds else None)
    config = _config(origin, words, folder)
    origin, gone = without_gone(origin, without_hydra(config))
    origin = renamed(origin, config, renames)
    config.initial.size = origin.labels
    _check_budget(config, origin)
    if _by_people(origin) and not any(word.startswith("hydra.run.dir=") for word in words):
        config.hydra.run.dir = str(beside(directory))
    made = place(config)
    about = about_of(without_hydra(config), made, config.hydra)
    about["run"] |= _by_people(origin)
    _prepare(made, origin, without_hydra(config), about)
    print(f"branch of {origin}")
    for old, new in origin.renamed.items():
        print(f"what {old!r} was there is {new!r} here")
    if gone:
        print(gone_text(gone, origin))
    if _by_people(origin):
        print(f"to go on: python -m activeloop label {shlex.quote(shown(made))}")
        return
    try:
        resume_run(made)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"hydra.run.dir={made}") from interrupt


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
    config = branch_config(settings, words, names, folder)
    check_complete(without_hydra(config))
    return config


def _check_budget(config: DictConfig, origin: Origin) -> None:
    """Raise `ConfigError` if there are as many labels as there may be."""
    if config.budget not in (None, "all") and whole("budget", config.budget) <= origin.labels:
        raise ConfigError(
            f"budget={config.budget} counts all labels, and the branch starts with "
            f"{origin.labels}: give a larger one, as in budget={2 * origin.labels}"
        )


def _by_people(origin: Origin) -> dict[str, Any]:
    name = "labelled_by_people"
    return {name: origin.run[name]} if origin.run.get(name) else {}


def _prepare(directory: Path, origin: Origin, config: DictConfig, about: Mapping[str, Any]) -> None:
    """Have the run of `config` begun in `directory`, with the labels that it starts from.

    Raises:
        StoreError: the directory holds another run, or cannot be written.
    """
    announce(directory, config, about)
    with contextlib.closing(RunDirectory(directory)) as files:
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


def _empty(files: RunDirectory, directory: Path) -> None:
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
