"""From a composed config to a finished run: run the loop, leave the files."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from activeloop import torchrun
from activeloop.building import (
    build,
    build_learner,
    check_complete,
    identity_of,
    plain_config,
    shared_data,
)
from activeloop.config import strategy_name, variant
from activeloop.distributed import joined
from activeloop.environment import keep_environment, write_environment
from activeloop.errors import StoreError
from activeloop.finished import finished
from activeloop.foreign import check_nobodys
from activeloop.learners.leading import dismiss_helpers, help_leader
from activeloop.lock import LOCK_FILE, Lock
from activeloop.loop import ActiveLoop
from activeloop.messages import ERROR_FILE, one_line, shown
from activeloop.progress import Progress, result_table
from activeloop.report.curves import draw_curve
from activeloop.store import Store
from activeloop.sweep import check_swept
from activeloop.trackers import tracking_of
from activeloop.types import NewSamples, Round
from activeloop.whole_files import named_errors, write_text

log = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"


def run_config(config: DictConfig) -> None:
    """Run what `config` says, in Hydra's output directory; or help the process that does."""
    hydra = HydraConfig.get()
    check_swept(hydra)
    if torchrun.place().rank > 0:
        help_run(config)
        return
    directory = Path(hydra.runtime.output_dir)
    about = about_of(config, directory, hydra)
    try:
        if torchrun.place().size == 1 and is_finished(directory, config):
            leave_alone(directory, about["run"])
        else:
            run_in(directory, config, about)
    except Exception as error:
        write_error(directory, error)
        if hydra.mode == RunMode.MULTIRUN:
            print(f"error: {one_line(error)}", file=sys.stderr)
        raise
    (directory / ERROR_FILE).unlink(missing_ok=True)


def write_error(directory: Path, error: Exception) -> None:
    """Leave what went wrong in the run's directory."""
    if isinstance(error, StoreError):
        return  # a directory that was refused is another run's
    path = directory / ERROR_FILE
    try:
        trace = "".join(traceback.format_exception(error))
        directory.mkdir(parents=True, exist_ok=True)  # it may have failed before it had one
        path.write_text(f"{one_line(error)}\n\n{trace}", "utf-8")
    except OSError:
        log.warning("cannot write %s", path)


def run_in(
    directory: Path,
    config: DictConfig,
    about: Mapping[str, Any],
    new_samples: NewSamples = "refuse",
) -> None:
    """Run `config` in `directory`, or go on with the run that is there.

    Args:
        directory: of the run.
        config: the composed config.
        about: what `about_of` returns.
        new_samples: what to do with samples that came since it began.
    """
    announce(directory, config, about)
    with joined(torchrun.place(), config.device) as ranks:
        loop, oracle = build(config, directory, ranks=ranks, about=about, new_samples=new_samples)
        try:
            if begin(loop, directory, config, about):
                with Progress(loop.schedule.planned, loop.rounds) as progress:
                    loop.listeners.append(progress)
                    loop.run(oracle)
                result_table(loop.rounds)
                end(loop, directory, about["run"])
        finally:
            close(loop)
        dismiss_helpers(ranks)


def announce(directory: Path, config: DictConfig, about: Mapping[str, Any]) -> None:
    """Leave what `resume` needs, before the run has a database: it may be killed at any time.

    Raises:
        StoreError: the directory cannot be written, or holds somebody else's file of such a name.
    """
    if not (directory / "run.db").exists():
        by_people = bool(about["run"].get("labelled_by_people"))
        check_nobodys(directory, labelled_by_people=by_people)
        describe(directory, config, about)


def describe(directory: Path, config: DictConfig, about: Mapping[str, Any]) -> None:
    """Write the config and what else is known of a run of which nothing is done yet."""
    with named_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        write_environment(directory, None, about)
        write_text(directory / CONFIG_FILE, OmegaConf.to_yaml(config))


def help_run(config: DictConfig) -> None:
    """Do this process's share of the run that rank 0 makes of the same `config`."""
    with joined(torchrun.place(), config.device) as ranks:
        data = shared_data(config, ranks).data
        help_leader(build_learner(config, ranks), data, ranks)


def is_finished(directory: Path, config: DictConfig) -> bool:
    """Return whether the run of `config` in `directory` is over: in milliseconds, without its data.

    One that is to be told to a tracker is not over for that.

    Raises:
        ConfigError: the settings have no meaning.
    """
    if not (directory / "run.db").exists():
        return False
    check_complete(config)
    return config.tracker._target_ is None and finished(directory, identity_of(config))


def leave_alone(directory: Path, labels: Mapping[str, Any]) -> None:
    """Say that the run in `directory` is over, and draw its curve if that is not there."""
    if (directory / LOCK_FILE).exists():  # it was killed after its end, or is just ending
        with contextlib.suppress(StoreError, OSError):
            Lock(directory).release()
    with contextlib.closing(Store(directory / "run.db")) as store:
        _nothing_to_do(directory, store.meta("ended"), store.rounds(), labels)


def _nothing_to_do(
    directory: Path, ended: str, rounds: Sequence[Round], labels: Mapping[str, Any]
) -> None:
    print(f"{shown(directory)} holds this run, finished already ({ended}): nothing to do")
    (directory / ERROR_FILE).unlink(missing_ok=True)
    if not (directory / "curve.png").exists():
        draw_curve(rounds, directory / "curve.png", title=_title(labels))


def begin(loop: ActiveLoop, directory: Path, config: DictConfig, about: Mapping[str, Any]) -> bool:
    """Leave the files that explain the run; False: it is finished already."""
    if loop.ended is not None:
        _nothing_to_do(directory, loop.ended, loop.rounds, about["run"])
        track(loop, directory, config)
        return False
    if loop.rounds:
        print(f"going on with {shown(directory)} after round {loop.rounds[-1].round}")
    explain(loop, directory, config, about)
    track(loop, directory, config)
    return True


def explain(
    loop: ActiveLoop, directory: Path, config: DictConfig, about: Mapping[str, Any]
) -> None:
    """Write the config and the environment of a run that begins or goes on."""
    with named_errors(directory):
        if not loop.rounds or not (directory / CONFIG_FILE).exists():
            write_text(directory / CONFIG_FILE, OmegaConf.to_yaml(config))
        now = write_environment(directory, str(loop.learner.device), about)
    keep_environment(now, loop.files.store)


def end(loop: ActiveLoop, directory: Path, labels: Mapping[str, Any]) -> None:
    """Draw the curve of a run that is over, and say where its files are."""
    draw_curve(loop.rounds, directory / "curve.png", title=_title(labels))
    for tracking in tracking_of(loop):
        tracking.end(str(loop.ended))
    print(f"{loop.ended}; files in {shown(directory)}")


def close(loop: ActiveLoop) -> None:
    """Let go of a run's files, and of who was told of it."""
    for tracking in tracking_of(loop):
        tracking.close()
    loop.files.close()


def track(loop: ActiveLoop, directory: Path, config: DictConfig) -> None:
    """Tell the run's tracker, if it has one, which run this is and what was done before."""
    store = loop.files.store
    for tracking in tracking_of(loop):
        tracking.begin(
            loop,
            directory=directory,
            home=Path(os.path.normpath(directory.absolute() / (store.meta("home") or "."))),
            config=plain_config(config),
            labels=store.meta("run"),
        )


def about_of(config: DictConfig, directory: Path, hydra: Any) -> dict[str, Any]:
    """Return what is kept with a run beside its config, for reports, trackers and `resume`.

    `run` names it; `home` leads from its directory to where several runs keep what is theirs.
    """
    root = OmegaConf.merge(OmegaConf.create({"hydra": hydra}), config)
    assert isinstance(root, DictConfig)
    labels = {
        "strategy": strategy_name(root),
        "variant": variant(root).lstrip("-"),
        "seed": config.seed,
        "data": hydra.runtime.choices.data,
    }
    home = hydra.sweep.dir if hydra.mode == RunMode.MULTIRUN else hydra.runtime.output_dir
    return {"run": labels, "home": os.path.relpath(home, directory)}


def _title(labels: Mapping[str, Any]) -> str:
    variant = f", {labels['variant']}" if labels["variant"] else ""
    return f"{labels['data']}, {labels['strategy']}{variant}, seed {labels['seed']}"
