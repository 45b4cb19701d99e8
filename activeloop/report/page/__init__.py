"""The report as one HTML page that needs no network, no server and no other file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.resources import files
from numbers import Integral, Real
from pathlib import Path
from string import Template
from typing import Any

from activeloop.report.document import Report
from activeloop.report.looks import ON_DARK, ON_WHITE, looks
from activeloop.whole_files import named_errors, replacing

# One module for the browser, in parts: each uses those before it.
SCRIPTS = (
    "base.js",
    "controls.js",
    "tables.js",
    "chart.js",
    "curves.js",
    "comparison.js",
    "galleries.js",
    "pictures.js",
    "overall.js",
    "report.js",
)


def write_page(report: Report, path: Path) -> None:
    """Write the page of a report, at once: a reader meets the old one or the new one.

    The page has the report's data in it, numbers to six significant digits, which is more than it
    shows. It links to the runs' directories (`Ran.directory`) relative to its own place.

    Raises:
        StoreError: the file cannot be written.
    """
    with named_errors(path.parent), replacing(path, durable=False) as temporary:
        # A path that is no valid text may be in the title; it must not cost the page.
        temporary.write_bytes(page(report).encode("utf-8", "replace"))


def page(report: Report) -> str:
    """Return the text of the page."""
    style = _palette() + _file("report.css")
    script = "\n".join(_file(name) for name in SCRIPTS)
    # Nothing is fetched, and nothing but this style and this script has a say: a name that holds
    # markup could do no harm even if it became markup.
    policy = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return Template(_file("report.html")).substitute(
        policy="; ".join(f"{what} {whence}" for what, whence in policy.items()),
        title=html.escape(report.title),
        style=style,
        data=_json(report),
        looks=_json(looks(report.comparisons)),
        script=script,
    )


def _palette() -> str:
    """Return the hues as variables, and as classes of what has one."""
    on_white, on_dark = (
        " ".join(f"--hue-{name}: {colour};" for name, colour in hues.items())
        for hues in (ON_WHITE, ON_DARK)
    )
    classes = "\n".join(f".hue-{name} {{ --hue: var(--hue-{name}); }}" for name in ON_WHITE)
    return (
        f":root {{ {on_white} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {on_dark} }} }}\n"
        f"{classes}\n"
    )


def _file(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return the name by which a content security policy knows an inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    # Without "<" there is no end tag and no comment in it, whatever the strings say.
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    """Return what JSON can hold: null for NaN and infinity, names for all keys."""
    match value:
        case None | bool() | str():
            return value
        case Integral():
            return int(value)
        case Real():
            return float(f"{value:.6g}") if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)
