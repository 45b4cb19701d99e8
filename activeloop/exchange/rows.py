"""Files of labels made elsewhere, read as rows: CSV, and the JSON that Label Studio exports."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activeloop.errors import ConfigError, DataError

KEY_COLUMNS = ("key", "image", "filename", "file_name", "file", "path")
LABEL_COLUMNS = ("label", "choice", "class", "category")

# What Label Studio's JSON-MIN has beside the data and the answers.
_JSON_MIN = (
    *("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"),
    *("inner_id", "total_annotations", "cancelled_annotations", "total_predictions"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answer as a file has it.

    Attributes:
        place: where in the file, for messages.
        key: what it calls the sample.
        label: the class's name; "": none.
        exact: whether `key` is a sample's key as it is; else an address or a path of an image.
        skipped: whether the file says that the sample was left without a class on purpose.
        who: gave the answer, where the file says it.
        seconds: that it took, where the file says it.
    """

    place: str
    key: str
    label: str
    exact: bool = True
    skipped: bool = False
    who: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Columns:
    """What the user says that a file calls key and label; None: as is usual."""

    key: str | None = None
    label: str | None = None


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """Return the rows of a CSV file, or the annotations in a JSON file of Label Studio.

    Raises:
        DataError: it cannot be read, or is neither.
        ConfigError: a column that the user named is not there.
    """
    text = _text(path)
    if text.lstrip().startswith(("[", "{")):
        return _of_tasks(path, text, columns)
    return _of_csv(path, text, columns)


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


# -- CSV --------------------------------------------------------------------------------


def _of_csv(path: Path, text: str, columns: Columns) -> list[Row]:
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
        seconds=_number(row.get("seconds")),
    )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None


# -- Label Studio -----------------------------------------------------------------------


def _of_tasks(path: Path, text: str, columns: Columns) -> list[Row]:
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    tasks = [tasks] if isinstance(tasks, dict) else tasks
    rows: list[Row] = []
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict):
            raise DataError(f"{path}, task {number}: expected an object, got {task!r:.40}")
        of_one = _of_task if isinstance(task.get("data"), dict) else _of_minimal_task
        try:
            rows += of_one(f"task {number}", task, columns)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f"{path}, task {number}: not as Label Studio exports it ({error}); expected JSON "
                "or JSON-MIN of a project for image classification"
            ) from error
    return rows


def _of_task(place: str, task: dict[str, Any], columns: Columns) -> Iterable[Row]:
    """Yield the answers of a task of Label Studio's JSON; nothing for one without annotations."""
    field = _key_field(task["data"], columns)
    meta = task.get("meta") or {}
    for annotation in task.get("annotations", task.get("completions")) or ():
        choices = [
            choice
            for result in annotation["result"]
            if result.get("type") == "choices" and columns.label in (None, result.get("from_name"))
            for choice in result["value"]["choices"]
        ]
        if annotation.get("was_cancelled"):
            choices = []  # what was chosen before it was skipped
        for label in choices or [""]:
            yield Row(
                place=place,
                key=str(task["data"][field]),
                label=str(label),
                exact=field == "key",
                skipped=not choices,
                who=_annotator(annotation.get("completed_by"), meta.get("who")),
                seconds=_number(annotation.get("lead_time")),
            )


def _annotator(by: object, ours: str | None) -> str | None:
    """Return who gave an annotation, if that is known: `ours` only where Label Studio says nobody.

    A number is a user of a server that cannot be asked.
    """
    if by is None:
        return ours
    return by.get("email") if isinstance(by, dict) else None


def _of_minimal_task(place: str, task: dict[str, Any], columns: Columns) -> Iterable[Row]:
    """Yield the answers of a task of Label Studio's JSON-MIN."""
    field = _key_field({n: v for n, v in task.items() if n not in _JSON_MIN}, columns)
    of_label = columns.label or next((n for n in LABEL_COLUMNS if n in task), None)
    if of_label is None:
        others = [name for name in task if name not in (*_JSON_MIN, *KEY_COLUMNS, field)]
        if len(others) > 1:
            raise ValueError(f"which of {', '.join(others)} is the label? --label-column says it")
        of_label = others[0] if others else "label"
    answer = task.get(of_label) or ""
    choices = answer["choices"] if isinstance(answer, dict) else [answer]
    by = task.get("annotator")
    for label in choices or [""]:
        yield Row(
            place=place,
            key=str(task[field]),
            label=str(label),
            exact=field == "key",
            skipped=not label,
            who=by.get("email") if isinstance(by, dict) else None,
            seconds=_number(task.get("lead_time")),
        )


def _key_field(data: Mapping[str, Any], columns: Columns) -> str:
    if columns.key is not None:
        if columns.key not in data:
            raise ValueError(f"it has no {columns.key!r}, but {', '.join(data)}")
        return columns.key
    found = next((name for name in KEY_COLUMNS if isinstance(data.get(name), str)), None)
    texts = [name for name, value in data.items() if isinstance(value, str)]
    if found is None and len(texts) != 1:
        raise ValueError(f"which of {', '.join(data)} is the image? --key-column says it")
    return found or texts[0]
