"""`python -m activeloop report`: compare the runs of some directories, and say what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from activeloop.arguments import Parser
from activeloop.checks import real, whole
from activeloop.messages import shown
from activeloop.report.document import Report
from activeloop.report.drawing import FORMATS, draw_figures
from activeloop.report.latex import tables
from activeloop.report.reading import common, existing
from activeloop.report.study import make_report
from activeloop.report.writing import report_errors, write_report

# Of problems that are printed; the report has all.
_MOST_PRINTED = 10


def report(arguments: Sequence[str]) -> None:
    """Make the report that the command line asks for, and print what it found.

    Raises:
        ConfigError: the arguments make no sense, or there are no runs.
        StoreError: the report cannot be written.
    """
    given = _parser().parse_args(list(arguments))
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


def _parser() -> Parser:
    parser = Parser(
        "activeloop report",
        description="Compare runs: strategy by strategy, paired by seed.",
    )
    parser.add_argument(
        "directories",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="a run's directory, a sweep's, or one above them",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the report goes; left out: the deepest directory that all DIRs share",
    )
    parser.add_argument(
        "--baseline", metavar="NAME", help="strategy to compare the others with (random)"
    )
    parser.add_argument(
        "--targets",
        type=_numbers(lambda text: real("--targets", _number(text), above=0, most=1)),
        metavar="0.9,0.95",
        help="accuracies: how many labels does it take to reach them?",
    )
    parser.add_argument(
        "--budgets",
        type=_numbers(lambda text: whole("--budgets", _number(text), least=1)),
        metavar="100,500",
        help="label counts: which accuracy is there?",
    )
    parser.add_argument(
        "--ceiling",
        type=Path,
        metavar="DIR",
        help="runs on all labels of the pool (outputs/ceiling, if that is there)",
    )
    parser.add_argument(
        "--figures", choices=FORMATS, help="also draw each metric of each comparison, for papers"
    )
    parser.add_argument(
        "--latex", action="store_true", help="also print the table for LaTeX, with booktabs"
    )
    parser.add_argument(
        "--no-pictures",
        action="store_true",
        help="leave out what was picked: the data are not loaded, which is done as the run's own "
        "config says (with pictures, report only runs that you trust), and the page is small",
    )
    return parser


def _numbers(
    checked: Callable[[str], float],
) -> Callable[[str], tuple[float, ...]]:
    def numbers(text: str) -> tuple[float, ...]:
        return tuple(dict.fromkeys(checked(part.strip()) for part in text.split(",")))

    return numbers


def _number(text: str) -> float | str:
    """Return a number, or what is none for the error that says so."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
