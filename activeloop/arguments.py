"""The options of the command line, whose mistakes are errors like any other."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn, get_args

from activeloop.errors import ConfigError
from activeloop.types import NewSamples


class Parser(argparse.ArgumentParser):
    """Raises `ConfigError`, which the command line prints in one line, for what makes no sense."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the program."""
        if unknown := re.search(r"^unrecognized arguments: (?:.* )?(-\S+)", message):
            takes_settings = any("key=value" in str(each.metavar) for each in self._actions)
            raise ConfigError(_no_option(unknown[1], self._option_string_actions, takes_settings))
        raise ConfigError(f"{self.prog}: {message}{self._choices_of_required(message)}")

    def _choices_of_required(self, message: str) -> str:
        """Return what may be given for the options that are missing, where it is one of few."""
        _, _, names = message.partition("arguments are required: ")
        missing = [each for each in self._actions if each.option_strings[:1] == names.split(", ")]
        return "".join(f" {', '.join(each.choices)}" for each in missing if each.choices)


def _no_option(word: str, options: Iterable[str], takes_settings: bool) -> str:
    """Return that there is no such option, and what is likely meant."""
    name, equals, value = word.partition("=")
    if close := difflib.get_close_matches(name, options, 1, 0.7):
        return f"there is no option {name}: did you mean {close[0]}?"
    if not takes_settings:
        return f"there is no option {name}: --help lists those that there are"
    return (
        f"there is no option {name}: settings are given without -, as in "
        f"{name.lstrip('-')}={value if equals else 'VALUE'}, and --help lists those that there are"
    )


def add_new_samples(parser: argparse.ArgumentParser, things: str) -> None:
    """Add the option that says what to do with `things` that came since a run began."""
    parser.add_argument(
        "--new-samples",
        choices=get_args(NewSamples),
        default="refuse",
        help=f"what to do with {things} that came to the data since the run began: join has them "
        "at the end of the pool, ignore leaves them out (refuse)",
    )


def hydra_parser() -> Parser:
    """Return a parser of what Hydra takes, which itself would print how it is used, and leave."""
    parser = Parser("activeloop", add_help=False)
    parser.add_argument("settings", nargs="*", metavar="key=value")
    flags = [("--help", "-h"), ("--hydra-help",), ("--version",), ("--resolve",), ("--run", "-r")]
    for names in [*flags, ("--multirun", "-m"), ("--shell-completion", "-sc")]:
        parser.add_argument(*names, action="store_true")
    places = [("--config-path", "-cp"), ("--config-name", "-cn"), ("--config-dir", "-cd")]
    for names in [*places, ("--package", "-p"), ("--experimental-rerun",)]:
        parser.add_argument(*names)
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parts = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=parts)
    return parser


def settings_and_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is set by a command line, and its options: by their whole names, as `--a=b`.

    Raises:
        ConfigError: there is no such option, or it is not given as it must be.
    """
    # Settings first: what may have a value, such as --info, would take one for it.
    ordered = sorted(words, key=lambda word: word.startswith("-") or "=" not in word)
    given = vars(hydra_parser().parse_intermixed_args(ordered))
    settings: list[str] = given.pop("settings")
    options = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    return settings, [
        name if value is True else f"{name}={value}"
        for name, value in options.items()
        if value is not None and value is not False
    ]
