"""Labels as tasks of Label Studio, for image classification.

The format: https://labelstud.io/guide/task_format and https://labelstud.io/guide/predictions
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from activeloop.exchange.records import Labels
from activeloop.store import Event

# As the tags are called in Label Studio's own template for image classification.
_IMAGE, _CHOICE = "image", "choice"

# Where its server finds files that lie on its own machine, below its document root.
LOCAL_FILES = "/data/local-files/?d="


def task_lines(labels: Labels, events: Iterable[Event], prefix: str) -> Iterator[str]:
    """Yield the lines of a JSON list of tasks, one for each sample that has an answer.

    A skipped sample has a cancelled annotation; one that no class fits, an empty one.
    """
    start = "["
    for event in events:
        yield f"{start}\n{json.dumps(_task(labels, event, prefix), ensure_ascii=False)}"
        start = ","
    yield "\n]\n"


def config_lines(classes: Iterable[str]) -> Iterator[str]:
    """Yield the labelling configuration of the project that the tasks are made for."""
    yield f'<View>\n  <Image name="{_IMAGE}" value="${_IMAGE}"/>\n'
    yield f'  <Choices name="{_CHOICE}" toName="{_IMAGE}" choice="single">\n'
    for name in classes:
        yield f"    <Choice value={quoteattr(name)}/>\n"
    yield "  </Choices>\n</View>\n"


def is_address(who: str) -> bool:
    """Return whether a person is called by an address of e-mail."""
    return re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", who) is not None


def _task(labels: Labels, event: Event, prefix: str) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "result": [] if event.label is None else _result(event.label),
        "was_cancelled": event.kind == "skip",
        "ground_truth": False,
    }
    # It knows its people by their address alone, and refuses a task with any other name.
    if is_address(event.who):
        annotation["completed_by"] = {"email": event.who}
    if event.seconds is not None:
        annotation["lead_time"] = event.seconds
    task: dict[str, Any] = {
        "data": {_IMAGE: prefix + _path(event.key, prefix), "key": event.key},
        "meta": {name: getattr(event, name) for name in ("who", "at", "round", "origin")},
        "annotations": [annotation],
    }
    asked = labels.asked.get(event.key)
    if asked is not None:
        task["meta"] |= {"asked": asked.round, "score": asked.score}
    if asked is not None and asked.predicted is not None:
        prediction: dict[str, Any] = {"result": _result(asked.predicted)}
        if asked.confidence is not None:
            prediction["score"] = asked.confidence
        prediction["model_version"] = f"round {asked.round - 1}"
        task["predictions"] = [prediction]
    return task


def _path(key: str, prefix: str) -> str:
    """Return a key as it stands in an address; in one such as s3://bucket/ it stands as it is."""
    return quote(key) if prefix.startswith(("/", "http://", "https://")) else key


def _result(label: str) -> list[dict[str, Any]]:
    return [
        {
            "from_name": _CHOICE,
            "to_name": _IMAGE,
            "type": "choices",
            "value": {"choices": [label]},
        }
    ]
