"""Whether a run is over already, found from its file alone: no data are loaded for it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from activeloop.flat_settings import flat
from activeloop.schema import VERSION

# What is written anew from the store when a run is built, should somebody have removed it.
_TABLES = ("curve.csv", "queries.csv")


def finished(directory: Path, config: Mapping[str, Any]) -> bool:
    """Return whether `directory` holds the run of `config`, ended and with its tables.

    Whether its data are still the same cannot be seen without loading them, and is not asked: the
    run is what it was, and a report names runs whose data differ.

    Args:
        directory: of the run.
        config: its settings, as the run's identity has them.
    """
    kept = _kept(directory / "run.db")
    if kept.get("ended") is None or flat(kept["identity"]["config"]) != flat(config):
        return False
    return all((directory / name).exists() for name in _TABLES)


def _kept(path: Path) -> dict[str, Any]:
    """Return the values that a run's file keeps by name; nothing where it cannot be read at once.

    Another process may be making the file just now, which opening it as a `Store` would disturb.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)
        ) as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
                return {}
            rows = connection.execute("SELECT name, value FROM meta").fetchall()
    except sqlite3.Error:
        return {}
    return {name: json.loads(value) for name, value in rows}
