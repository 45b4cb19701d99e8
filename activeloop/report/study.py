"""From directories of runs to a report."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from activeloop import __version__
from activeloop.errors import ConfigError
from activeloop.report.ceiling import CEILINGS, is_ceiling
from activeloop.report.comparability import not_comparable
from activeloop.report.comparison import (
    BASELINE,
    Asked,
    accuracies,
    baseline_of,
    by_labels,
    compared,
    only_chance,
)
from activeloop.report.data_sets import corresponding, labels
from activeloop.report.document import Comparison, Penalties, Problem, Ran, Ranks, Report
from activeloop.report.findings import findings
from activeloop.report.grouping import Group, grouped
from activeloop.report.plans import never_begun
from activeloop.report.ranking import penalty_matrix, ranks
from activeloop.report.reading import common, existing, read_runs, unfinished, without_damaged
from activeloop.report.runs import Run
from activeloop.report.wording import named


def make_report(
    directories: Iterable[Path],
    *,
    baseline: str | None = None,
    targets: Sequence[float] | None = None,
    budgets: Sequence[int] | None = None,
    ceiling: Path | None = None,
    pictures_from: float | None = None,
    root: Path | None = None,
) -> Report:
    """Read all runs in and below `directories`, compare those that can be, and say what is wrong.

    Args:
        directories: of runs, of sweeps, or above.
        baseline: name of the strategy that others are compared with; None: `random`.
        targets: accuracies, 0 to 1, to say when they are reached; None: some that tell something.
        budgets: label counts to give the accuracy at; None: some of the runs' own.
        ceiling: where runs on the whole pool are; None: `outputs/ceiling`, if that is there. Those
            among `directories` count as well.
        pictures_from: show what was picked where the runs of a comparison took so many seconds or
            more. The data are loaded again for it; what cannot be had is named. None: nowhere.
        root: where the report will lie, from which it names directories; None: the deepest
            directory that all of `directories` share.

    Raises:
        ConfigError: a directory is not there, holds no run that can be read, or no comparison has
            the baseline that was asked for.
    """
    places = existing(directories)
    root = common(places) if root is None else root.resolve()
    runs, problems = read_runs(places, root)
    on_all = [run for run in runs if is_ceiling(run)]
    partial = [run for run in runs if not is_ceiling(run)] or runs
    whole, damaged = without_damaged(partial, root)
    groups, twice = grouped(whole, root)
    _check_baseline(groups, baseline)
    asked = Asked(
        baseline=BASELINE if baseline is None else baseline,
        targets=None if targets is None else tuple(sorted(targets)),
        budgets=None if budgets is None else tuple(sorted(budgets)),
        pictures_from=pictures_from,
    )
    on_all += _ceilings(ceiling, root)
    comparisons = []
    counted = {run.directory for group in groups for run in group.counted}
    problems += [*unfinished(runs, counted, root), *damaged, *not_comparable(groups), *twice]
    problems += never_begun(runs, places, root)
    for group in groups:
        comparison, more = compared(group, asked, on_all)
        comparisons.append(comparison)
        where = f"{group.title}: " if len(groups) > 1 else ""
        problems += [replace(each, text=f"{where}{each.text}") for each in more]
    if ceiling is not None and not any(each.ceiling for each in comparisons):
        text = f"no run in {ceiling} is of the same data, model and learner on the whole pool"
        problems.append(Problem(level="warning", text=text))
    over_data, more = corresponding(groups)
    problems += more
    mean_ranks = _ranks(over_data, comparisons)
    return Report(
        title=_title(comparisons),
        version=__version__,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        findings=findings(comparisons, mean_ranks),
        problems=tuple(sorted(problems, key=lambda problem: problem.level != "error")),
        comparisons=tuple(comparisons),
        penalties=_penalties(over_data),
        ranks=mean_ranks,
        runs=_ran(runs, groups, root),
    )


def _check_baseline(groups: Sequence[Group], wanted: str | None) -> None:
    if wanted is None or any(baseline_of(group.runs, wanted) for group in groups):
        return
    names = list(dict.fromkeys(name for group in groups for name in group.strategies))
    close = difflib.get_close_matches(wanted, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there is {named(names, 20)}"
    raise ConfigError(f"no runs of a strategy {wanted!r} to compare with: {hint}")


def _ceilings(directory: Path | None, root: Path) -> list[Run]:
    """Return the runs on the whole pool in `directory`, or where such runs are left."""
    if directory is None and not Path(CEILINGS).is_dir():
        return []
    try:
        runs, _ = read_runs(existing([directory or Path(CEILINGS)]), root)
    except ConfigError:
        if directory is None:
            return []
        raise
    return [run for run in runs if is_ceiling(run)]


def _title(comparisons: Sequence[Comparison]) -> str:
    strategies = list(dict.fromkeys(name for each in comparisons for name in each.strategies))
    shown = f"{len(strategies)} strategies" if len(strategies) > 4 else named(strategies)
    return f"{shown} on {named(dict.fromkeys(each.data for each in comparisons))}"


def _ranks(groups: Sequence[Group], comparisons: Sequence[Comparison]) -> Ranks | None:
    """Return mean ranks over data sets, each strategy by its mean area on one.

    Args:
        groups: that differ by their data alone.
        comparisons: of these groups, and others.
    """
    tables = {comparison.name: comparison.table for comparison in comparisons}
    return ranks(
        {
            label: {
                row.strategy: row.area.mean
                for row in tables[group.name]
                if row.area is not None and not only_chance(row.strategy)
            }
            for label, group in zip(labels(groups), groups, strict=True)
        }
    )


def _penalties(groups: Sequence[Group]) -> Penalties | None:
    """Return the penalty matrix over data sets, of groups that differ by these alone."""
    if not groups:
        return None
    values = []
    for group in groups:
        of_strategies: dict[str, list[Run]] = {}
        for run in group.counted:
            of_strategies.setdefault(run.strategy, []).append(run)
        values.append(by_labels(accuracies(of_strategies)))
    return penalty_matrix(values)


def _ran(runs: Sequence[Run], groups: Sequence[Group], root: Path) -> tuple[Ran, ...]:
    """Return the list of runs, each called as in its comparison."""
    compared = {run.directory: (run, group.name) for group in groups for run in group.runs}
    lines = (compared.get(run.directory, (run, None)) for run in runs)
    return tuple(_line(called, comparison, root) for called, comparison in lines)


def _line(run: Run, comparison: str | None, root: Path) -> Ran:
    hardware = run.hardware
    parts = [hardware.get("accelerator") or hardware.get("processor")]
    for name in ("core", "thread"):
        if (count := hardware.get(f"{name}s")) is not None:
            parts.append(f"{count} {name}" + ("" if count == 1 else "s"))
    return Ran(
        directory=os.path.relpath(run.directory, root),
        strategy=run.strategy,
        seed=run.seed,
        data=run.data_called,
        comparison=comparison,
        labels=run.rounds[-1].labels if run.rounds else 0,
        ended=run.ended,
        error=run.error,
        seconds=run.seconds,
        versions={name: str(v) for name, v in run.versions.items() if v is not None},
        hardware=", ".join(str(part) for part in parts if part),
        at=str(run.environment.get("at", "")),
    )
