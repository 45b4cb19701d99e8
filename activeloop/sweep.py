"""What a sweep adds to its runs: which of them failed, and their report.

Its jobs may run in other processes and on other machines, as the launcher has it. What they share
is the sweep's directory: there each job says that it began, and how it ended.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from activeloop.config import made_fresh, of_seed, run_name, seeds_of
from activeloop.errors import IN_USE, ConfigError, RunsFailed
from activeloop.messages import one_line

_JOBS = ".jobs"
# Pictures of what was picked take seconds: not where all runs together took hardly more.
_WORTH_PICTURES = 60.0
_NO_END = "it did not end: its process was killed, or the launcher gave up waiting"


@dataclass(frozen=True)
class Job:
    """A job that began: the directories of its runs, and why some failed, if they did."""

    directories: tuple[Path, ...]
    failures: dict[Path, str]


@dataclass(frozen=True)
class Sweep:
    """A sweep under way. One job with several seeds is a sweep as well.

    Attributes:
        directory: where its runs are.
        setting: what has a command go on in it: nothing where the same command does by itself.
        records: the folder in which its jobs tell of themselves.
        launcher: the name of what starts them, as in hydra/launcher=joblib.
        launcher_class: that one's class, by its path.
    """

    directory: Path
    setting: str
    records: Path
    launcher: str
    launcher_class: str

    def jobs(self) -> list[Job]:
        """Return the jobs that began, in their order."""
        records = sorted(self.records.glob("*.json"), key=lambda path: int(path.stem))
        read = [json.loads(record.read_text("utf-8")) for record in records]
        return [
            Job(
                tuple(map(Path, each["directories"])),
                {Path(run): reason for run, reason in each["failures"].items()},
            )
            for each in read
        ]


_sweeps: list[Sweep] = []


class SweepCallback(Callback):
    """Remembers a sweep, and writes down what becomes of its jobs.

    Launchers send it along with each job, so that it is told of a job wherever that runs.
    """

    def __init__(self) -> None:
        self._records: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the sweep, in the process that starts it."""
        if any(word.startswith("hydra.run.dir=") for word in config.hydra.overrides.hydra):
            print(
                f"warning: this is a sweep, which goes to {config.hydra.sweep.dir}: choose another "
                "directory for it with hydra.sweep.dir=, for hydra.run.dir is that of a single run",
                file=sys.stderr,
            )
        self._begin(config, "hydra.sweep.dir", config.hydra.sweep.dir)

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the runs of several seeds."""
        if config.seeds is not None:
            self._begin(config, "hydra.run.dir", config.hydra.run.dir)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note that a job began."""
        self._write(config, dict.fromkeys(_runs(config), _NO_END))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note how it ended."""
        failures: dict[str, str] = {}
        if job_return.status == JobStatus.FAILED:
            try:
                _ = job_return.return_value
            except RunsFailed as error:
                failures = error.reasons
            except Exception as error:
                failures = dict.fromkeys(_runs(config), one_line(error))
        self._write(config, failures)

    def _begin(self, config: DictConfig, setting: str, where: str) -> None:
        directory = Path(where).absolute()
        again = f"{setting}={directory}" if made_fresh(where) else ""
        self._records = directory / _JOBS / uuid.uuid4().hex
        self._records.mkdir(parents=True)
        name = str(config.hydra.runtime.choices["hydra/launcher"])
        target = str(config.hydra.launcher._target_)
        _sweeps.append(Sweep(directory, again, self._records, name, target))

    def _write(self, config: DictConfig, failures: Mapping[str, str]) -> None:
        if self._records is None:  # a single run
            return
        record = json.dumps({"directories": _runs(config), "failures": dict(failures)})
        number = 0 if OmegaConf.is_missing(config.hydra.job, "num") else config.hydra.job.num
        temporary = self._records / f"{number}.tmp"
        with contextlib.suppress(FileNotFoundError):  # the sweep was interrupted, this job was not
            temporary.write_text(record, "utf-8")
            temporary.replace(temporary.with_suffix(".json"))


def _runs(config: DictConfig) -> list[str]:
    """Return the directories of the runs of a job, as they are written down."""
    try:
        return [str(path.absolute()) for path in directories(config).values()]
    except ConfigError:  # of seeds that have no meaning: the job says it
        return [str(Path(config.hydra.runtime.output_dir).absolute())]


def check_swept(hydra: Any) -> None:
    """Raise `ConfigError` if the experiment is a sweep by itself and this job is none of its jobs.

    So it is with `experiment=a,b`, and where one run is made of an experiment.
    """
    params = OmegaConf.select(hydra, "sweeper.params") or {}
    given = {word.lstrip("+~").partition("=")[0] for word in hydra.overrides.task}
    for name, values in params.items():
        if name not in given:
            raise ConfigError(
                f"experiment={hydra.runtime.choices.get('experiment')} is a sweep by itself, over "
                f"{name}={values}: run it alone, or name one with {name}="
            )


def directories(root: DictConfig) -> dict[int, Path]:
    """Return the directory of each of a job's runs, by its seed; `root` has Hydra's part."""
    output = Path(root.hydra.runtime.output_dir)
    if root.seeds is None:
        return {root.seed: output}
    return {seed: output / run_name(of_seed(root, seed)) for seed in seeds_of(root)}


def how_to_go_on() -> str | None:
    """Return the setting with which the command goes on with the sweep that this process started.

    Nothing where the same command does it by itself; None where there is no sweep.
    """
    return _sweeps[-1].setting if _sweeps else None


def started() -> Path | None:
    """Return the directory of the sweep that this process has started, if any."""
    return _sweeps[-1].directory if _sweeps else None


def forget() -> None:
    """Forget the sweeps that this process has started, and what their jobs told."""
    for sweep in _sweeps:
        shutil.rmtree(sweep.records, ignore_errors=True)
        with contextlib.suppress(OSError):  # another sweep in the same directory, or none
            sweep.records.parent.rmdir()
    _sweeps.clear()


def finish(failure: Exception | None) -> int:
    """Report on the sweep's runs, name those that failed, and return the exit code.

    Args:
        failure: what a job or the launcher raised.
    """
    if not _sweeps:
        return 0
    from activeloop.messages import shown

    sweep = _sweeps[-1]
    jobs = sweep.jobs()
    runs = [run for job in jobs for run in job.directories]
    _report(runs)
    failed = {run: reason for job in jobs for run, reason in job.failures.items()}
    if isinstance(failure, RunsFailed):  # of a job that is a sweep by itself
        failed |= {Path(run): reason for run, reason in failure.reasons.items()}
    if not failed and failure is None:
        return 0
    elsewhere = [run for run, reason in failed.items() if reason.endswith(IN_USE)]
    if len(failed) > len(elsewhere):
        counted = f"{len(failed) - len(elsewhere)} of {len(runs)} runs failed"
        print(f"error: {counted}", file=sys.stderr)
    if elsewhere:
        counted = f"{len(elsewhere)} of {len(runs)} runs were left to another process"
        print(f"error: {counted}; once it is over, the same command goes on", file=sys.stderr)
    for run, reason in failed.items():
        print(f"  {shown(run)}: {reason}", file=sys.stderr)
    if failure is not None and all(reason == _NO_END for reason in failed.values()):
        print(f"error: {one_line(_explained(failure, sweep))}", file=sys.stderr)
    return 1


def _report(runs: Sequence[Path]) -> None:
    """Report on `runs`, and on what lies beside them; what goes wrong with it harms no run."""
    from activeloop.messages import shown

    folders = sorted({run.parent for run in runs})
    beside = {path.parent for folder in folders for path in folder.glob("*/run.db")}
    if not beside:
        return
    again = " ".join(shlex.quote(shown(folder)) for folder in folders)
    try:
        from activeloop.report.reading import common
        from activeloop.report.study import make_report
        from activeloop.report.telling import write_and_tell

        there = beside | {run for run in runs if run.is_dir()}
        out = common([folder.resolve() for folder in folders])
        made = make_report(sorted(there), pictures_from=_WORTH_PICTURES, root=out)
        write_and_tell(made, out)
        if any(each.pictures is None for each in made.comparisons):
            print(f"with pictures of what was picked: python -m activeloop report {again}")
    except Exception as error:
        print(
            f"warning: there is no report: {one_line(error)}; to make it: "
            f"python -m activeloop report {again}",
            file=sys.stderr,
        )


def _explained(failure: Exception, sweep: Sweep) -> Exception:
    """Return `failure`, or what to install where that is why the sweep could not start."""
    try:
        there = find_spec(sweep.launcher_class.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        there = False
    if there:
        return failure
    forget()
    with contextlib.suppress(OSError):  # it was made for this sweep
        sweep.directory.rmdir()
    return ConfigError(
        f"hydra/launcher={sweep.launcher} is not installed: pip install 'activeloop[sweep]', or "
        "leave it out to run one job after another"
    )
