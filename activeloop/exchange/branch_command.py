"""`python -m activeloop branch`: a new run from the labels of another."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from activeloop.arguments import Parser
from activeloop.checks import whole
from activeloop.errors import ConfigError, StoreError
from activeloop.exchange.composing import composed, place, settings_of
from activeloop.exchange.records import check_run, classes_of, present
from activeloop.flat_settings import differences, flat
from activeloop.messages import shown
from activeloop.reloading import found
from activeloop.report.runs import opened, read_run
from activeloop.resuming import resume_run
from activeloop.run_files import RunFiles
from activeloop.runner import about_of, announce, check_complete, describe, identity_of
from activeloop.store import Event, Store


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a branch starts from.

    Attributes:
        directory: of the run that it is a branch of.
        round: the labels are as they were after this round's query; None: as they are now.
        event: the number of the last answer that is among them.
        answers: they, and what was skipped.
        added: the names of all classes where some were added to those of the data; else none.
        run: how reports name that run.
    """

    directory: Path
    round: int | None
    event: int
    answers: tuple[Event, ...]
    added: tuple[str, ...]
    run: Mapping[str, Any]

    @property
    def labels(self) -> int:
        """How many of the answers are labels."""
        return sum(event.kind == "label" for event in self.answers)

    @property
    def kept(self) -> dict[str, Any]:
        """What the new run keeps of it."""
        return {
            "directory": str(self.directory.absolute()),
            "round": self.round,
            "event": self.event,
            "labels": self.labels,
        }

    def __str__(self) -> str:
        """Return it in words."""
        after = "" if self.round is None else f" after round {self.round}"
        skipped = len(self.answers) - self.labels
        more = f", and {skipped:,} that are of no class or skipped" if skipped else ""
        return f"{shown(self.directory)}{after}: {self.labels:,} labels{more}"


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
    directory = place(config)
    about = about_of(_plain(config), directory, config.hydra)
    about["run"] |= _by_people(origin)
    _prepare(directory, origin, _plain(config), about)
    print(f"branch of {origin}")
    if _by_people(origin):
        print(f"to go on: python -m activeloop label {shlex.quote(shown(directory))}")
        return
    try:
        resume_run(directory)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"hydra.run.dir={directory}") from interrupt


def read_origin(directory: Path, round: str | None) -> Origin:
    """Return what a branch of the run in `directory` starts from.

    Args:
        directory: of the run.
        round: as the user gave it; None: all labels that there are.

    Raises:
        ConfigError: there is no such round, or no label.
        StoreError: the run cannot be read.
    """
    with opened(directory) as store:
        store.let_go()
        number = None if round is None else _number(directory, round, store.closed())
        classes, own = classes_of(store), (store.meta("identity") or {"data": {}})["data"]
        if number is None:
            until = store.last_event()
        else:
            until, count = store.horizon(number)
            classes = classes[:count]
        events = present(event for event in store.events() if event.id <= until)
        origin = Origin(
            directory=directory,
            round=number,
            event=until,
            answers=tuple(events),
            added=classes if len(classes) > len(own.get("classes", ())) else (),
            run=store.meta("run") or {},
        )
    if not origin.labels:
        raise ConfigError(f"{shown(directory)} has no labels yet: there is nothing to start from")
    return origin


def _number(directory: Path, round: str, closed: int) -> int:
    if round.isdecimal() and int(round) < closed:
        return int(round)
    there = {0: "none whose query is over", 1: "round 0 only"}.get(closed, f"0 to {closed - 1}")
    raise ConfigError(f"{shown(directory)} has no round {round}: there is {there}")


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
    if config.budget not in (None, "all") and whole("budget", config.budget) <= origin.labels:
        raise ConfigError(
            f"budget={config.budget} counts all labels, and the branch starts with "
            f"{origin.labels}: give a larger one, as in budget={2 * origin.labels}"
        )
    return config


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
        store = files.store
        there = store.meta("branched_from")
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
            store.add_events(replace(event, round=0) for event in origin.answers)
        elif changed := differences(flat(_begun(directory, store)), flat(identity_of(config))):
            raise StoreError(
                f"{shown(directory)} holds a branch with other settings ({changed}): choose "
                "another directory (hydra.run.dir=...)"
            )


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
        "strategy=margin and the like: what is to be otherwise; hydra.run.dir=: where",
    )
    parser.add_argument("--config-dir", type=Path, metavar="FOLDER", help="of your own configs")
    return parser
