"""Annotations in a JSON file that Label Studio exported, as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from activeloop.errors import DataError
from activeloop.exchange.rows import KEY_COLUMNS, LABEL_COLUMNS, Columns, Row, seconds_of

# What Label Studio's JSON-MIN has beside the data and the answers.
_JSON_MIN = (
    *("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"),
    *("inner_id", "total_annotations", "cancelled_annotations", "total_predictions"),
)


def rows_of_tasks(path: Path, text: str, columns: Columns) -> list[Row]:
    """Return the annotations in the JSON file `path`, whose text is `text`.

    Raises:
        DataError: it is no JSON, or not as Label Studio exports it.
    """
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
                seconds=seconds_of(annotation.get("lead_time")),
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
            seconds=seconds_of(task.get("lead_time")),
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
