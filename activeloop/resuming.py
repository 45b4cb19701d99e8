"""Going on with runs from what is in their directories."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from activeloop import torchrun
from activeloop.building import check_complete, identity_of
from activeloop.config import Config, register
from activeloop.environment import ENVIRONMENT_FILE
from activeloop.errors import ConfigError, StoreError
from activeloop.flat_settings import differences, flat
from activeloop.logs import logging_to
from activeloop.messages import ERROR_FILE, one_line, shown
from activeloop.report.runs import opened
from activeloop.run_directory import RunDirectory
from activeloop.runner import (
    CONFIG_FILE,
    help_run,
    leave_alone,
    run_in,
    write_error,
)
from activeloop.store import Store
from activeloop.types import NewSamples


def resume_all(directories: Sequence[Path], new_samples: NewSamples = "refuse") -> int:
    """Go on with the runs in and below `directories`; return the exit code.

    Raises:
        ConfigError: there is no run, or several processes cannot go on like this.
        Exception: what the run raised, where there is one.
    """
    register()
    runs = [run for directory in directories for run in runs_in(directory)]
    runs = list(dict.fromkeys(runs))
    if len(runs) > 1 and torchrun.place().size > 1:
        raise ConfigError(f"torchrun goes on with one run at a time; there are {len(runs)}")
    if new_samples != "refuse" and torchrun.place().size > 1:
        raise ConfigError(
            f"--new-samples {new_samples} is for one process, and torchrun started several: "
            f"without torchrun, python -m activeloop resume {shlex.quote(shown(runs[0]))} "
            f"--new-samples {new_samples} goes on in one"
        )
    failed = 0
    for run in runs:
        try:
            resume_run(run, new_samples)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on", file=sys.stderr)
            return 130
        except Exception as error:
            if len(runs) == 1:
                raise
            failed += 1
            print(f"error: {shown(run)}: {one_line(error)}", file=sys.stderr)
    if failed:
        print(f"error: {failed} of {len(runs)} runs failed", file=sys.stderr)
    return 1 if failed else 0


def runs_in(directory: Path) -> list[Path]:
    """Return the directories of the runs in and below `directory`, sorted.

    Raises:
        ConfigError: there are none.
    """
    if directory.is_file():
        raise ConfigError(f"{directory} is a file: give a run's directory, or one above it")
    if "=" in directory.name and not directory.exists():
        raise ConfigError(
            f"resume goes on with a run's own settings: leave out {directory}; python -m "
            "activeloop branch begins a run with others from its labels"
        )
    if not directory.is_dir():
        beside = [path.name for path in directory.parent.glob("*/")]
        close = difflib.get_close_matches(directory.name, beside, 1)
        hint = f": did you mean {directory.with_name(close[0])}?" if close else ""
        raise ConfigError(f"there is no directory {directory}{hint}")
    found = sorted(
        Path(folder).resolve()
        for folder, _, names in os.walk(directory)
        if "run.db" in names or {CONFIG_FILE, ENVIRONMENT_FILE} <= set(names)
    )
    if not found:
        raise ConfigError(
            f"there is no run in {directory}: a run's directory has files run.db and {CONFIG_FILE}"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What a run's directory says of it.

    Attributes:
        about: what was kept beside its config: `run` names it.
        identity: what makes it that run; None where it has not come so far.
        environment: in which it began.
        ended: why it is over, or None.
    """

    about: dict[str, Any]
    identity: dict[str, Any] | None
    environment: dict[str, Any]
    ended: str | None


def resume_run(directory: Path, new_samples: NewSamples = "refuse") -> None:
    """Go on with the run in `directory`; say so if it is finished already.

    Raises:
        StoreError: it is in use, or its config or data are not what they were.
        ConfigError: people label it, or its config has no meaning any more.
    """
    begun = begun_in(directory)
    if begun.ended is not None and torchrun.place().size == 1:
        leave_alone(directory, begun.about["run"])
        return
    if begun.about["run"].get("labelled_by_people"):
        raise ConfigError(
            f"people label the run in {directory}: python -m activeloop label "
            f"{shlex.quote(str(directory))} goes on with it"
        )
    with working_in(begun.environment.get("working_directory")), logging_to(directory):
        config = config_of(directory, begun)
        if torchrun.place().rank > 0:
            help_run(config)
            return
        try:
            run_in(directory, config, begun.about, new_samples)
        except Exception as error:
            write_error(directory, error)
            raise
        (directory / ERROR_FILE).unlink(missing_ok=True)


def begun_in(directory: Path) -> Begun:
    """Return what the directory of a run says of it.

    Raises:
        StoreError: another process runs it, it was not begun from the command line, or its files
            cannot be used.
    """
    written = _written(directory)
    kept: dict[str, Any] = {}
    if (directory / "run.db").exists():
        with _store_of(directory) as store:
            names = ("identity", "run", "home", "environment", "ended")
            kept = {name: store.meta(name) for name in names}
    if kept.get("identity") is not None and kept["run"] is None:
        raise StoreError(
            f"the run in {directory} was not begun from the command line: run the program that "
            "began it again"
        )
    if kept.get("run") is None and "run" not in written:
        raise StoreError(
            f"the run in {directory} was stopped before it was known what it is: run the command "
            "that began it again"
        )
    source = kept if kept.get("run") is not None else written
    return Begun(
        about={name: source[name] for name in ("run", "home")},
        identity=kept.get("identity"),
        environment=kept.get("environment") or written,
        ended=kept.get("ended"),
    )


@contextlib.contextmanager
def _store_of(directory: Path) -> Iterator[Store]:
    """Open a run's database, as who will hold the run, or as one of those that help rank 0."""
    if torchrun.place().rank > 0:
        with opened(directory) as store:
            yield store
    else:
        with contextlib.closing(RunDirectory(directory)) as files:
            yield files.store


def _written(directory: Path) -> dict[str, Any]:
    """Return what is in the file of the environment; nothing where it is not there or damaged."""
    try:
        found = json.loads((directory / ENVIRONMENT_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def config_of(directory: Path, begun: Begun) -> DictConfig:
    """Return the composed config of a run.

    Raises:
        StoreError: it is not there, or not that of the run: what differs.
        ConfigError: it cannot be read, or has no meaning.
    """
    path = directory / CONFIG_FILE
    try:
        read = OmegaConf.load(path)
    except FileNotFoundError:
        raise StoreError(
            f"{path} is not there: the command that began the run writes it anew and goes on "
            f"({_command(directory, begun.environment)})"
        ) from None
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(read, DictConfig):
        raise ConfigError(f"{path} cannot be read: it must hold settings by name")
    check_complete(read)
    try:
        config = OmegaConf.merge(OmegaConf.structured(Config), read)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    assert isinstance(config, DictConfig)
    if begun.identity is not None:
        changed = differences(flat(begun.identity["config"]), flat(identity_of(config)))
        if changed:
            raise StoreError(
                f"{path} was changed since the run began ({changed}): put that back; to run with "
                "other settings, begin another run"
            )
    return config


def _command(directory: Path, environment: Mapping[str, Any]) -> str:
    """Return the command by which a run began, as it is typed."""
    words = [str(word) for word in environment.get("command", ["python -m activeloop", "..."])]
    if words and words[0].endswith("__main__.py"):
        words[:1] = ["python", "-m", "activeloop"]
    if not any(word.startswith("hydra.run.dir=") for word in words):
        words.append(f"hydra.run.dir={directory}")
    place = environment.get("working_directory")
    return (f"cd {shlex.quote(place)} && " if place else "") + shlex.join(words)


@contextlib.contextmanager
def working_in(directory: str | None) -> Iterator[None]:
    """Work where a run began: its relative paths lead from there, and its own modules are there."""
    here = Path.cwd()
    if directory is None or Path(directory) == here:
        yield
        return
    if not Path(directory).is_dir():
        print(
            f"warning: the run began in {directory}, which is not there: its relative paths are "
            f"taken from {here}",
            file=sys.stderr,
        )
        yield
        return
    print(f"relative paths lead from {directory}, where the run began")
    os.chdir(directory)
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        sys.path.remove(directory)
        os.chdir(here)
