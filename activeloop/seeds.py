"""`seeds=10`: a run for each seed, all in this process, round by round side by side."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from activeloop import torchrun
from activeloop.building import build
from activeloop.cohort import Cohort
from activeloop.config import of_seed
from activeloop.errors import ConfigError, RunsFailed, StoreError
from activeloop.loading import Loaded, build_data
from activeloop.logs import LogFile
from activeloop.loop import ActiveLoop
from activeloop.messages import ERROR_FILE, one_line
from activeloop.progress import Progress
from activeloop.runner import (
    about_of,
    announce,
    begin,
    close,
    end,
    is_finished,
    leave_alone,
    write_error,
)
from activeloop.sweep import check_swept, directories
from activeloop.types import Oracle


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run of one seed.

    Attributes:
        seed: its seed.
        directory: where it is kept.
        config: its config, as if it were alone.
        about: what is kept with it, how reports name it among that.
    """

    seed: int
    directory: Path
    config: DictConfig
    about: dict[str, Any]

    def begin(self, loop: ActiveLoop) -> None:
        """Leave the files that explain the run, and show how it goes from now on."""
        with self.logging():
            if begin(loop, self.directory, self.config, self.about):
                progress = Progress(loop.schedule.planned, loop.rounds, name=f"seed {self.seed}")
                loop.listeners.append(progress)

    def end(self, loop: ActiveLoop) -> None:
        """Leave what a run that is over leaves."""
        with self.logging():
            end(loop, self.directory, self.about["run"])
        (self.directory / ERROR_FILE).unlink(missing_ok=True)

    def failed(self, error: Exception) -> None:
        """Leave what went wrong."""
        write_error(self.directory, error)
        if _in_sweep():
            print(f"error: seed {self.seed}: {one_line(error)}", file=sys.stderr)

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Have what is logged also go to the run's own file."""
        loggers = [logging.getLogger(), logging.getLogger("activeloop.run")]
        files = [h for each in loggers for h in each.handlers if isinstance(h, logging.FileHandler)]
        if not files:
            yield
            return
        handler = LogFile(self.directory / Path(files[0].baseFilename).name)
        handler.setFormatter(files[0].formatter)
        for each in loggers:
            each.addHandler(handler)
        try:
            yield
        finally:
            for each in loggers:
                each.removeHandler(handler)
            handler.close()


def run_seeds(config: DictConfig) -> None:
    """Run what `config` says with each of its seeds, in directories within Hydra's.

    A run that fails is named and stops no other. Where all are finished, nothing is loaded.

    Raises:
        ConfigError: torchrun started several processes.
        RunsFailed: when all are over: which of them failed, and why.
    """
    if torchrun.place().size > 1:
        raise ConfigError(
            "seeds= runs side by side in one process, and torchrun started several: start it "
            "without torchrun, or give one seed="
        )
    hydra = HydraConfig.get()
    check_swept(hydra)
    root = OmegaConf.merge(OmegaConf.create({"hydra": hydra}), config)
    assert isinstance(root, DictConfig)
    runs = []
    for seed, directory in directories(root).items():
        alone = of_seed(config, seed)
        about = about_of(alone, directory, hydra)
        runs.append(Run(seed=seed, directory=directory, config=alone, about=about))
    if all(is_finished(run.directory, run.config) for run in runs):
        for run in runs:
            leave_alone(run.directory, run.about["run"])
        return
    with ExitStack() as stack:
        errors = _run(runs, stack)
    if errors:
        reasons = {str(run.directory): one_line(error) for run, error in errors}
        raise RunsFailed(reasons) from errors[0][1]


def _run(runs: Sequence[Run], stack: ExitStack) -> list[tuple[Run, Exception]]:
    """Run all of `runs`; return what went wrong. `stack` closes their files."""
    made: list[tuple[Run, ActiveLoop, Oracle]] = []
    errors: list[tuple[Run, Exception]] = []
    data = LoadedOnce()
    for run in runs:
        try:
            announce(run.directory, run.config, run.about)
            loop, oracle = build(run.config, run.directory, data, about=run.about)
            stack.callback(close, loop)
            run.begin(loop)
        except StoreError as error:
            run.failed(error)
            errors.append((run, error))
        except Exception as error:
            # What is wrong with one is wrong with all, and said once; but a sweep tells failed
            # runs by what they leave.
            for each in runs if _in_sweep() else ():
                each.failed(error)
            raise
        else:
            made.append((run, loop, oracle))
    if not made:
        return errors
    # Finished runs too: how the others are computed may depend on how many there are.
    cohort = Cohort(
        [loop for _, loop, _ in made],
        [oracle for _, _, oracle in made],
        turn=lambda position: made[position][0].logging(),
    )
    finished = {position for position, (_, loop, _) in enumerate(made) if loop.ended is not None}
    for position, failure in cohort.run():
        run, loop, _ = made[position]
        if failure is not None:
            run.failed(failure)
            errors.append((run, failure))
        elif position not in finished:
            run.end(loop)
        close(loop)
    return errors


class LoadedOnce:
    """Loads data, once for all configs that name the same."""

    def __init__(self) -> None:
        self._loaded: dict[str, Loaded] = {}

    def __call__(self, config: DictConfig) -> Loaded:
        """Return the data that `config` names."""
        resolved: Any = OmegaConf.to_container(config, resolve=True)
        key = json.dumps([resolved["data"], resolved["embed"]], default=str)
        if key not in self._loaded:
            self._loaded[key] = build_data(config)
        return self._loaded[key]


def _in_sweep() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)
