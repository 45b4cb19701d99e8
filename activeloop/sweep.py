"""What a sweep adds to its runs: which of them failed, and their comparison.

Its jobs may run in other processes and on other machines, as the launcher has it. What they share
is the sweep's directory: there each job says that it began, and how it ended.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import uuid
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from activeloop.errors import ConfigError
from activeloop.messages import one_line

ERROR_FILE = "error.txt"

_JOBS = ".jobs"
_NO_END = "it did not end: its process was killed, or the launcher gave up waiting"


@dataclass(frozen=True)
class Job:
    """A job that began: its directory, and why it failed, if it did."""

    directory: Path
    error: str | None


@dataclass(frozen=True)
class Sweep:
    """A sweep under way.

    Attributes:
        directory: where its runs are.
        records: the folder in which its jobs tell of themselves.
        launcher: the name of what starts them, as in hydra/launcher=joblib.
        launcher_class: that one's class, by its path.
    """

    directory: Path
    records: Path
    launcher: str
    launcher_class: str

    def jobs(self) -> list[Job]:
        """Return the jobs that began, in their order."""
        records = sorted(self.records.glob("*.json"), key=lambda path: int(path.stem))
        read = [json.loads(record.read_text("utf-8")) for record in records]
        return [Job(Path(each["directory"]), each["error"]) for each in read]


_sweeps: list[Sweep] = []


class SweepCallback(Callback):
    """Remembers a sweep, and writes down what becomes of its jobs.

    Launchers send it along with each job, so that it is told of a job wherever that runs.
    """

    def __init__(self) -> None:
        self._records: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the sweep, in the process that starts it."""
        directory = Path(config.hydra.sweep.dir).absolute()
        self._records = directory / _JOBS / uuid.uuid4().hex
        self._records.mkdir(parents=True)
        name = str(config.hydra.runtime.choices["hydra/launcher"])
        target = str(config.hydra.launcher._target_)
        _sweeps.append(Sweep(directory, self._records, name, target))

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note that a job began."""
        self._write(config, _NO_END)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note how it ended."""
        reason = None
        if job_return.status == JobStatus.FAILED:
            try:
                _ = job_return.return_value
            except Exception as error:
                reason = one_line(error)
        self._write(config, reason)

    def _write(self, config: DictConfig, error: str | None) -> None:
        if self._records is None:  # a single run
            return
        directory = str(Path(config.hydra.runtime.output_dir).absolute())
        record = json.dumps({"directory": directory, "error": error})
        temporary = self._records / f"{config.hydra.job.num}.tmp"
        with contextlib.suppress(FileNotFoundError):  # the sweep was interrupted, this job was not
            temporary.write_text(record, "utf-8")
            temporary.replace(temporary.with_suffix(".json"))


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
    """Compare the sweep's runs, name those that failed, and return the exit code.

    Args:
        failure: what a job or the launcher raised.
    """
    if not _sweeps:
        return 0
    from activeloop.report.comparison import compare
    from activeloop.run_files import shown

    sweep = _sweeps[-1]
    jobs = sweep.jobs()
    for comparison in compare({job.directory.parent for job in jobs}):
        print(f"comparison: {shown(comparison)}")
    failed = [job for job in jobs if job.error is not None]
    if not failed and failure is None:
        return 0
    if failed:
        print(f"error: {len(failed)} of {len(jobs)} runs failed", file=sys.stderr)
    for job in failed:
        print(f"  {shown(job.directory)}: {job.error}", file=sys.stderr)
    if failure is not None and all(job.error == _NO_END for job in failed):
        print(f"error: {one_line(_explained(failure, sweep))}", file=sys.stderr)
    return 1


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
