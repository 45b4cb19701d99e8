"""`python -m activeloop resume DIR`: what it takes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from activeloop.arguments import Parser, add_new_samples


def resume(arguments: Sequence[str]) -> int:
    """Go on with the runs that the command line names; return the exit code.

    Raises:
        ConfigError: the arguments make no sense, or there is no run.
        Exception: what the run raised, where there is one.
    """
    given = _parser().parse_args(list(arguments))
    from activeloop.resuming import resume_all

    return resume_all(given.directories, given.new_samples)


def _parser() -> Parser:
    parser = Parser(
        "activeloop resume",
        description="Go on with runs that were stopped, killed or lost their power, to the same "
        "end as if they had not been.",
    )
    parser.add_argument(
        "directories",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="a run's directory; or one above several, such as a sweep's: each that is not "
        "finished goes on",
    )
    add_new_samples(parser, "samples")
    return parser
