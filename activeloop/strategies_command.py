"""`python -m activeloop strategies`: what it takes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from activeloop.arguments import Parser


def strategies(arguments: Sequence[str]) -> None:
    """Print the strategies as a table, or all of one.

    Raises:
        ConfigError: the arguments make no sense, or there is no such strategy or folder.
    """
    given = _parser().parse_args(list(arguments))
    from activeloop.listing import listed

    print(listed(given.name, given.config_dir, as_markdown=given.markdown))


def _parser() -> Parser:
    parser = Parser("activeloop strategies", description="List the strategies, or show one.")
    parser.add_argument("name", nargs="?", help="of the strategy to show in full")
    parser.add_argument("--markdown", action="store_true", help="the table of the README")
    parser.add_argument("--config-dir", metavar="DIR", help="a folder with strategy/*.yaml")
    return parser
