"""`python -m activeloop report`: what it takes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from activeloop.arguments import Parser
from activeloop.checks import real, whole

# Of pictures for papers.
FORMATS = ("pdf", "png", "svg")


def report(arguments: Sequence[str]) -> None:
    """Compare the runs of some directories, and say what was found.

    Raises:
        ConfigError: the arguments make no sense, or there are no runs.
        StoreError: the report cannot be written.
    """
    given = _parser().parse_args(list(arguments))
    from activeloop.report.telling import make_and_tell

    make_and_tell(given)


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
