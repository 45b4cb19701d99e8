"""Errors in one line, and directories and commands as they are typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from activeloop.errors import ActiveLoopError

# In a run's directory: what went wrong when it was last started.
ERROR_FILE = "error.txt"


def one_line(error: BaseException) -> str:
    """Return an error's message in one line: ours if it is among the causes, else the first."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ActiveLoopError):
        cause = cause.__cause__ or cause.__context__
    shown = error if cause is None else cause
    text = " ".join(str(shown).split())
    if isinstance(shown, ActiveLoopError):
        return text
    from activeloop.misspelt import told  # where something went wrong only

    if (sentence := told(shown)) is not None:
        return sentence
    if isinstance(shown, HydraException | OmegaConfBaseException):
        inner = shown.__cause__ or shown.__context__
        detail = " ".join(str(inner).split()) if isinstance(inner, OmegaConfBaseException) else ""
        return f"{text} {detail}" if detail and detail not in text else text
    return f"{type(shown).__name__}: {text} (HYDRA_FULL_ERROR=1 shows where)"


def shown(directory: Path) -> str:
    """Return a directory as the user would type it."""
    here = Path.cwd()
    return str(directory.relative_to(here) if directory.is_relative_to(here) else directory)


def command_of(run: Mapping[str, Any] | None) -> str | None:
    """Return the command that goes on with the run of these values; None: it began in Python."""
    if run is None:
        return None
    return "label" if run.get("labelled_by_people") else "resume"
