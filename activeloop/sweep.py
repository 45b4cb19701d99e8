"""What a sweep adds to its runs: which of them failed, and their comparison."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from activeloop.config import of_seed, run_name, seeds_of
from activeloop.errors import ConfigError
from activeloop.messages import one_line

ERROR_FILE = "error.txt"


@dataclass
class Sweep:
    """A sweep under way: where it writes, since when, and the directories of its runs.

    Jobs in other processes are not heard of; what they write is found by its time. One job with
    several seeds is a sweep as well; `setting` is what it was given its directory by.
    """

    directory: Path
    setting: str = "hydra.sweep.dir"
    start: float = field(default_factory=time.time)
    jobs: set[Path] = field(default_factory=set)

    def runs(self) -> set[Path]:
        """Return the directories of the runs that this sweep made, went on with or looked at."""
        written = (
            path.parent
            for name in ("run.db", ERROR_FILE)
            for path in self.directory.rglob(name)
            if path.stat().st_mtime >= self.start - 1
        )
        return self.jobs | set(written)


_sweeps: list[Sweep] = []


class SweepCallback(Callback):
    """Remembers, in the process that starts a sweep, where it and its jobs write."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the sweep's directory."""
        _sweeps.append(Sweep(Path(config.hydra.sweep.dir).absolute()))

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the directory of several seeds' runs."""
        if config.seeds is not None:
            _sweeps.append(Sweep(Path(config.hydra.run.dir).absolute(), "hydra.run.dir"))

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the directories of a job's runs."""
        if _sweeps:
            with contextlib.suppress(ConfigError):  # the job will say it, and Hydra not twice
                _sweeps[-1].jobs |= {path.absolute() for path in directories(config).values()}


def directories(root: DictConfig) -> dict[int, Path]:
    """Return the directory of each of a job's runs, by its seed; `root` has Hydra's part."""
    output = Path(root.hydra.runtime.output_dir)
    if root.seeds is None:
        return {root.seed: output}
    return {seed: output / run_name(of_seed(root, seed)) for seed in seeds_of(root)}


def how_to_go_on() -> str:
    """Return the setting that has the command go on with the sweep that this process started."""
    return f"{_sweeps[-1].setting}={_sweeps[-1].directory}" if _sweeps else ""


def started() -> Path | None:
    """Return the directory of the sweep that this process has started, if any."""
    return _sweeps[-1].directory if _sweeps else None


def forget() -> None:
    """Forget the sweeps that this process has started before."""
    _sweeps.clear()


def finish(failure: Exception | None) -> int:
    """Compare the sweep's runs, name those that failed, and return the exit code.

    Args:
        failure: what a job raised, which may be all that is known of it.
    """
    if not _sweeps:
        return 0
    from activeloop.report.comparison import compare
    from activeloop.run_files import shown

    runs = _sweeps[-1].runs()
    for comparison in compare({run.parent for run in runs}):
        print(f"comparison: {shown(comparison)}")
    errors = sorted(run / ERROR_FILE for run in runs if (run / ERROR_FILE).exists())
    if not errors and failure is None:
        return 0
    if not errors:
        print(f"error: {one_line(failure or Exception())}", file=sys.stderr)
        return 1
    print(f"error: {len(errors)} of {len(runs)} runs failed", file=sys.stderr)
    for path in errors:
        reason = path.read_text(encoding="utf-8").splitlines()[0]
        print(f"  {shown(path.parent)}: {reason}", file=sys.stderr)
    return 1
