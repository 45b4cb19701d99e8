"""The options of the command line, whose mistakes are errors like any other."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from activeloop.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """Raises `ConfigError`, which the command line prints in one line, for what makes no sense."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the program."""
        raise ConfigError(f"{self.prog}: {message}")


# Those of Hydra, which itself would print how it is used, and leave.
HYDRA_OPTIONS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p"),
    *("--run", "-r", "--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp"),
    *("--config-name", "-cn", "--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
)


def check_options(words: Sequence[str]) -> None:
    """Raise `ConfigError` if one of `words` is an option that Hydra has not."""
    for word in words:
        name, equals, value = word.partition("=")
        if not name.startswith("-") or any(_is(name, option) for option in HYDRA_OPTIONS):
            continue
        if close := difflib.get_close_matches(name, HYDRA_OPTIONS, 1, 0.7):
            raise ConfigError(f"there is no option {name}: did you mean {close[0]}?")
        setting = name.lstrip("-")
        raise ConfigError(
            f"there is no option {name}: settings are given without -, as in "
            f"{setting}={value if equals else 'VALUE'}, and --help lists those that there are"
        )


def _is(name: str, option: str) -> bool:
    """Return what argparse says: long ones may be cut off, values joined to short ones."""
    return option.startswith(name) if option.startswith("--") else name.startswith(option)
