"""The options of subcommands, whose mistakes are errors like any other."""

from __future__ import annotations

import argparse
from typing import NoReturn

from activeloop.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """Raises `ConfigError`, which the command line prints in one line, for what makes no sense."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the program."""
        raise ConfigError(f"{self.prog}: {message}")
