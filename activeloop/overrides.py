"""Words that Hydra cannot read as key=value, or that are several values: how to write them."""

from __future__ import annotations

import re
import shlex

from hydra.core.override_parser.types import Override

from activeloop.config import config_dir

_CLOSING = {"[": "]", "{": "}", "(": ")"}
_FUNCTIONS = r"(range|choice|interval|glob|sort|shuffle|tag|int|float|str|bool)\("


def unreadable(word: str, message: str) -> str:
    """Return why a word is no setting, and how to write it.

    Args:
        word: as it was typed.
        message: what Hydra says of it.
    """
    key, equals, value = word.partition("=")
    if not equals:
        return (
            f"{word!r} is no setting: expected key=value; a value with spaces is written in "
            "quotes, as in 'data.root=\"my photos\"'"
        )
    said = f"{word} cannot be read"
    if not re.fullmatch(r"[~+]{0,2}[\w$][\w$./@:-]*", key):
        return f"{said}: expected the name of a setting before the =, got {key!r}"
    if value.startswith("~"):
        return f"{said}: write the home directory out, as in {key}=$HOME{value[1:]}"
    if hint := _unclosed(key, value) or _comma_too_many(key, value):
        return f"{said}: {hint}"
    if re.match(_FUNCTIONS, value):
        inner = message.partition("\n")[2].partition("\n")[0].partition(": ")[2]
        return f"{said}{f': {inner}' if inner else ''}"
    if re.fullmatch(r"\(.*\)|\[.*\]", value):
        return f"{said}: {as_list(key, ','.join(re.split(r'[;, ]+', value[1:-1])))}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    quoted = shlex.quote(f'{key}="{escaped}"')
    return f"{said}: a value with such characters is written in quotes, as in {quoted}"


def several(line: str, key: str, value: str) -> str:
    """Return what to do with several values where one was expected: a run of each, or a list."""
    if as_list(key, value):
        return f"{line} is several values: {as_list(key, value)}, and -m makes a run of each"
    return f"{line} is several values: -m makes a run of each, or give one"


def one_value(override: Override) -> str:
    """Return the same where there can be one run only."""
    line = str(override.input_line)
    key, _, value = line.partition("=")
    hint = as_list(key, value)
    return f"{line} is several values: give one{f'; {hint}' if hint else ''}"


def as_list(key: str, value: str) -> str:
    """Return how a list of the values is written; nothing where there is none of that kind."""
    if (config_dir() / key).is_dir() or re.match(_FUNCTIONS, value):
        return ""
    return f"a list is written {shlex.quote(f'{key}=[{value}]')}"


def _unclosed(key: str, value: str) -> str:
    """Return which quote or bracket is not closed, or closes nothing."""
    opened: list[str] = []
    quote = ""
    for character in re.sub(r"\\.", "", value):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _CLOSING:
            opened.append(character)
        elif character in _CLOSING.values() and (not opened or _CLOSING[opened.pop()] != character):
            return f"its {character} closes nothing"
    if quote:
        return f"its {quote} is not closed; one that is part of the value is written \\{quote}"
    if opened:
        whole = shlex.quote(f"{key}={value}" + "".join(_CLOSING[each] for each in reversed(opened)))
        return f"its {opened[-1]} is not closed; one word holds all of it, in quotes, as in {whole}"
    return ""


def _comma_too_many(key: str, value: str) -> str:
    without = re.sub(r",\s*(?=[,\]}])|(?<=[\[{])\s*,", "", value)
    return f"it has a comma too many, did you mean {shlex.quote(f'{key}={without}')}?" * (
        without != value
    )
