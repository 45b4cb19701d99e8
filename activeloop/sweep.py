"""What a sweep adds to its runs: which of them failed, and their comparison."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

ERROR_FILE = "error.txt"

_directories: list[Path] = []


class SweepCallback(Callback):
    """Remembers, in the process that starts a sweep, where it writes."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the sweep's directory."""
        _directories.append(Path(config.hydra.sweep.dir))


def started() -> Path | None:
    """Return the directory of the sweep that this process has started, if any."""
    return _directories[-1] if _directories else None


def forget() -> None:
    """Forget the sweeps that this process has started before."""
    _directories.clear()


def finish(*, failed: bool) -> int:
    """Compare the sweep's runs, name those that failed, and return the exit code.

    Args:
        failed: whether a job raised, also where it could not write down why.
    """
    directory = started()
    if directory is None:
        return 0
    from activeloop.report.comparison import compare

    for comparison in compare(directory):
        print(f"comparison: {comparison}")
    errors = sorted(directory.rglob(ERROR_FILE))
    if not errors and not failed:
        return 0
    runs = {path.parent for name in ("run.db", ERROR_FILE) for path in directory.rglob(name)}
    print(f"error: {max(1, len(errors))} of {max(1, len(runs))} runs failed", file=sys.stderr)
    for path in errors:
        reason = path.read_text(encoding="utf-8").splitlines()[0]
        print(f"  {path.parent}: {reason}", file=sys.stderr)
    return 1
