"""What a sweep was to run, by the `multirun.yaml` that it leaves in its directory as it starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from activeloop.report.document import Problem
from activeloop.report.grouping import plain_name
from activeloop.report.reading import short
from activeloop.report.runs import Run
from activeloop.report.wording import named

_PLAN = "multirun.yaml"


def never_begun(runs: Sequence[Run], places: Sequence[Path], root: Path) -> Iterator[Problem]:
    """Yield the strategies that a sweep was to run and never began, as when it was killed.

    Only sweeps whose directory is in or below `places` are looked at, for of others a part was
    asked for. A sweep's directory has the plan of the last command only: strategies that an
    earlier one there did not come to are not known.
    """
    above = dict.fromkeys(folder for run in runs for folder in run.directory.parents[:2])
    for sweep in above:
        if not any(sweep.is_relative_to(place) for place in places):
            continue
        begun = {plain_name(run) for run in runs if run.directory.is_relative_to(sweep)}
        missing = [
            name
            for name in _planned(sweep / _PLAN)
            if name not in begun and not _has_directory(sweep, name)
        ]
        if missing:
            text = (
                f"the sweep in {short(sweep, root)} was to have runs of {named(missing)}, none of "
                "which began"
            )
            yield Problem(level="error", text=text)


def _has_directory(sweep: Path, strategy: str) -> bool:
    """Return whether a run of the strategy began, and may have failed before it had a store."""
    return any(any(sweep.glob(f"{above}{strategy}-seed*")) for above in ("", "*/"))


def _planned(path: Path) -> list[str]:
    """Return the strategies of a sweep; none where they are not known, or not by their names."""
    try:
        hydra = yaml.safe_load(path.read_text("utf-8"))["hydra"]
        words = [str(word).lstrip("+") for word in hydra["overrides"]["task"]]
        given = [word.partition("=")[2] for word in words if word.startswith("strategy=")]
        text = str(given[-1] if given else hydra["sweeper"]["params"]["strategy"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return []
    names = re.sub(r"^choice\((.*)\)$", r"\1", text.strip()).replace(" ", "").split(",")
    # Runs of `custom` are called by what it has them call.
    return [name for name in names if re.fullmatch(r"\w+", name) and name != "custom"]
