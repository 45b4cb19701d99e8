"""`python -m activeloop branch`: what it takes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from activeloop.arguments import Parser


def branch(arguments: Sequence[str]) -> None:
    """Start a new run from the labels of another.

    Raises:
        ConfigError: the arguments make no sense.
        StoreError: there is no such run, or its labels cannot be read.
    """
    given = _parser().parse_intermixed_args(list(arguments))
    from activeloop.exchange.branching import begin_branch

    begin_branch(given.directory, given.overrides, given.config_dir, given.rename)


def _parser() -> Parser:
    parser = Parser(
        "activeloop branch",
        description="Start a new run from the labels of another; its other settings stay.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the other run's directory")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="round=5: from its labels as they were after that round's query (as they are now); "
        "strategy=margin and the like: what is to be otherwise; hydra.run.dir=: where "
        "(of a run that people label, DIR-2)",
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="give a class another name; several times for several",
    )
    parser.add_argument("--config-dir", type=Path, metavar="FOLDER", help="of your own configs")
    return parser
