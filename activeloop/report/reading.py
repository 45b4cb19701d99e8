"""Read all runs of some directories, and say what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from activeloop.errors import ConfigError, StoreError
from activeloop.report.document import Problem
from activeloop.report.runs import Run, failure, find_runs, read_run
from activeloop.words import counted


def existing(directories: Iterable[Path]) -> list[Path]:
    """Return where `directories` really are, each once: links and `..` are resolved.

    Raises:
        ConfigError: one is not there, or is a file, or there are none.
    """
    found = []
    for directory in directories:
        if directory.is_file():
            raise ConfigError(f"{directory} is a file: give a run's directory, or one above it")
        if not directory.is_dir():
            raise ConfigError(f"there is no directory {directory}")
        found.append(directory.resolve())
    if not found:
        raise ConfigError("a report needs at least one directory with runs")
    return list(dict.fromkeys(found))


def common(directories: Sequence[Path]) -> Path:
    """Return the deepest directory that all of some absolute ones share."""
    return Path(os.path.commonpath(directories))


def short(directory: Path, root: Path) -> str:
    """Return a run's directory as a report calls it: the same wherever the report's root is."""
    if directory == root:
        return directory.name
    return str(directory.relative_to(root) if directory.is_relative_to(root) else directory)


def read_runs(directories: Sequence[Path], root: Path) -> tuple[list[Run], list[Problem]]:
    """Return all runs in and below `directories`, and problems of those that did not end well.

    Raises:
        ConfigError: there is no run, or none that can be read.
    """
    paths, unread = find_runs(directories)
    problems = [
        Problem(
            level="error", text=f"{short(path, root)} cannot be read: what is in it is left out"
        )
        for path in unread
    ]
    if not paths:
        where = " or ".join(map(str, directories))
        but = f" ({problems[0].text})" if problems else ""
        raise ConfigError(f"there is no run in {where}{but}: a run's directory has a file run.db")
    runs = []
    for path in paths:
        run, text = _read(path, short(path, root))
        if run is not None:
            runs.append(run)
        if text is not None:
            problems.append(Problem(level="error", text=text))
    if not runs:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise ConfigError(f"no run can be read: {problems[0].text}{more}")
    return runs, problems


def _read(path: Path, name: str) -> tuple[Run | None, str | None]:
    """Return a run, if there is one to read, and what is wrong with it."""
    if not any(file.name == "run.db" for file in path.iterdir()):
        return None, f"{name} failed: {failure(path)}"
    try:
        run = read_run(path)
    except StoreError as error:
        return None, f"left out: {str(error).replace(str(path), name)}"
    if run is None:
        return None, f"{name} was begun, and stopped before it asked for anything"
    if run.error is not None:
        return run, f"{name} failed: {run.error}"
    return run, None


def unfinished(runs: Iterable[Run], used: Container[Path], root: Path) -> Iterator[Problem]:
    """Yield the runs that are under way, or were stopped; `used` ones are in the numbers."""
    for run in runs:
        if run.finished or run.error is not None:
            continue
        labels = counted(run.rounds[-1].labels if run.rounds else 0, "label")
        if run.by_people:
            name = short(run.directory, root)
            text = f"{name} is being labelled: this is it so far, with {labels}"
            yield Problem(level="warning", text=text)
            continue
        text = f"{short(run.directory, root)} is not finished: it has come to {labels} so far"
        if run.directory in used:
            text += ", and counts that far, for no run beside it is finished"
        else:
            text += ", and is left out of the numbers"
        yield Problem(level="error", text=text)


def without_damaged(runs: Sequence[Run], root: Path) -> tuple[list[Run], list[Problem]]:
    """Return the runs whose labels can be read, and problems of those that are damaged there."""
    whole, problems = [], []
    for run in runs:
        try:
            _ = run.queries, run.answers
        except StoreError as error:
            text = f"left out: {str(error).replace(str(run.directory), short(run.directory, root))}"
            problems.append(Problem(level="error", text=text))
        else:
            whole.append(run)
    return whole, problems
