"""Rows of a CSV file of labels."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from activeloop.errors import ConfigError, DataError
from activeloop.exchange.rows import KEY_COLUMNS, LABEL_COLUMNS, Columns, Row, seconds_of


def rows_of_csv(path: Path, text: str, columns: Columns) -> list[Row]:
    """Return the rows of the CSV file `path`, whose text is `text`.

    Raises:
        DataError: it is no CSV, or has no such columns as are needed.
        ConfigError: a column that the user named is not there.
    """
    lines = io.StringIO(text, newline="")
    start = lines.readline()
    if not start.lower().startswith("sep="):  # as Excel writes
        lines.seek(0)
    position = lines.tell()
    header = lines.readline()
    lines.seek(position)
    # What is in double quotes separates nothing.
    bare = re.sub('"[^"]*"', "", header)
    separator = max(",;\t", key=bare.count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        of_key = _chosen(path, names, columns.key, KEY_COLUMNS, "--key-column")
        of_label = _chosen(path, names, columns.label, LABEL_COLUMNS, "--label-column")
        offset = position > 0
        rows = []
        for row in filter(lambda row: any(map(str.strip, row)), reader):
            place = f"line {reader.line_num + offset}"
            if any(row[len(names) :]):
                raise DataError(
                    f"{path}, {place} has {len(row)} fields, the header {len(names)}: put text "
                    f"that has a {separator!r} in it in double quotes"
                )
            rows.append(_row(place, dict(zip(names, row, strict=False)), of_key, of_label))
        return rows
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _chosen(
    path: Path, names: Sequence[str], given: str | None, usual: Sequence[str], option: str
) -> str:
    """Return the column that was `given`, or the first of the `usual` ones that is there."""
    if given is not None and given not in names:
        raise ConfigError(f"{path} has no column {given!r}: there is {', '.join(names)}")
    found = given or next((name for each in usual for name in names if name.lower() == each), None)
    if found is None:
        raise DataError(
            f"{path} must have a column {usual[0]} (or {', '.join(usual[1:])}), it has "
            f"{', '.join(names) or 'none'}: say which it is with {option}"
        )
    return found


def _row(place: str, row: Mapping[str, str], of_key: str, of_label: str) -> Row:
    return Row(
        place=place,
        key=row.get(of_key, ""),
        label=row.get(of_label, ""),
        exact=of_key.lower() == "key",
        skipped=row.get("kind") in ("skip", "none"),
        who=row.get("who") or None,
        seconds=seconds_of(row.get("seconds")),
    )
