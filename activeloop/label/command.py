"""`python -m activeloop label`: what it takes. Imports nothing heavy."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from activeloop.arguments import Parser, add_new_samples
from activeloop.errors import ConfigError

PORT = 8765
EXAMPLE = "python -m activeloop label data=image_folder data.root=photos 'data.classes=[cat,dog]'"
_PACKAGES = ("starlette", "uvicorn")


def label(arguments: Sequence[str]) -> None:
    """Open the page that the command line asks for, until it is stopped.

    Raises:
        ConfigError: the arguments make no sense, or a package is missing.
        DataError, LearnerError, StrategyError, StoreError: what is wrong with the run.
    """
    given = _parser().parse_intermixed_args(list(arguments))
    check_installed()
    from activeloop.label.session import label_run  # needs the packages
    from activeloop.label.wanted import wanted_by

    label_run(wanted_by(given))


def check_installed() -> None:
    """Raise `ConfigError` if a package is missing: before anything is loaded."""
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"the label page needs {' and '.join(missing)}: pip install 'activeloop[label]'"
        )


def _parser() -> Parser:
    parser = Parser(
        "activeloop label",
        description="Open a page in the browser on which one or several people label images, and "
        "run the loop behind it. The same command goes on where it was stopped.",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="DIR | key=value",
        help=f"the directory of a run to go on with, or the settings of one, as in {EXAMPLE}; "
        "it is kept in outputs/label/NAME of the folder unless hydra.run.dir=DIR is given",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at (127.0.0.1: this machine only); 0.0.0.0 is all addresses",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"port to listen at ({PORT}, or the next that is free)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name by which the page is reached, as through a reverse proxy",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the link")
    parser.add_argument(
        "--hide-opinions",
        action="store_true",
        help="do not show at first what the network thinks, so as not to bias who labels",
    )
    add_new_samples(parser, "images")
    parser.add_argument(
        "--new-token", action="store_true", help="make a new link; pages of the old one are out"
    )
    return parser
