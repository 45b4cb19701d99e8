"""Files of labels made elsewhere, read as rows: CSV, and the JSON that Label Studio exports."""

from __future__ import annotations

from pathlib import Path

from activeloop.errors import DataError
from activeloop.exchange.csv_rows import rows_of_csv
from activeloop.exchange.rows import Columns, Row
from activeloop.exchange.task_rows import rows_of_tasks


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """Return the rows of a CSV file, or the annotations in a JSON file of Label Studio.

    Raises:
        DataError: it cannot be read, or is neither.
        ConfigError: a column that the user named is not there.
    """
    text = _text(path)
    if text.lstrip().startswith(("[", "{")):
        return rows_of_tasks(path, text, columns)
    return rows_of_csv(path, text, columns)


def _text(path: Path) -> str:
    """Return a file's text, without the mark that some programs put before it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is no text in UTF-8 (at byte {error.start}): save it as CSV UTF-8"
        ) from error
