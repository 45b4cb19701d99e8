"""The report that a command line asks for, and what the terminal says of it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from activeloop.messages import shown
from activeloop.report.document import Report
from activeloop.report.drawing import draw_figures
from activeloop.report.latex import tables
from activeloop.report.reading import common, existing
from activeloop.report.study import make_report
from activeloop.report.writing import report_errors, write_report

# Of problems that are printed; the report has all.
_MOST_PRINTED = 10


def make_and_tell(given: Namespace) -> None:
    """Make the report that a command line asks for, and print what it found.

    Args:
        given: what `activeloop.report.command` takes.

    Raises:
        ConfigError: there are no runs.
        StoreError: the report cannot be written.
    """
    places = existing(given.directories)
    out = common(places) if given.out is None else given.out
    made = make_report(
        places,
        pictures_from=None if given.no_pictures else 0,
        root=out,
        baseline=given.baseline,
        targets=given.targets,
        budgets=given.budgets,
        ceiling=given.ceiling,
    )
    write_and_tell(made, out)
    if given.figures is not None:
        with report_errors(out):
            figures = draw_figures(made.comparisons, out / "figures", given.figures)
        print(f"{len(figures)} figures: {shown(out / 'figures')}")
    if given.latex:
        with report_errors(out):
            (out / "table.tex").write_text(tables(made), "utf-8")
        print(f"table: {shown(out / 'table.tex')}\n\n{tables(made)}", end="")


def write_and_tell(made: Report, out: Path) -> None:
    """Write a report, and print its problems, what it found, and where it is."""
    looked_at = write_report(made, out)
    for problem in made.problems[:_MOST_PRINTED]:
        print(f"{problem.level}: {problem.text}")
    if (more := len(made.problems) - _MOST_PRINTED) > 0:
        print(f"{more} more problems are in the report")
    for finding in made.findings:
        print(finding)
    for path in looked_at:
        print(f"{path.stem}: {shown(path)}")
