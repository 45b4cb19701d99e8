"""Words that Hydra cannot read as key=value, or that are several values: how to write them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Sweep
from hydra.errors import OverrideParseException

from activeloop.config import Config, config_dir
from activeloop.errors import ConfigError

_CLOSING = {"[": "]", "{": "}", "(": ")"}
_LISTS = {"seeds", "query_size"}  # the settings that are in no group and may be lists
_FUNCTIONS = r"(range|choice|interval|glob|sort|shuffle|tag|int|float|str|bool)\("


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Return overrides as Hydra reads them; none where it cannot, which it says better itself."""
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException:
        return []


def check_whole(words: Sequence[str]) -> None:
    """Raise `ConfigError` if the shell has cut a list at its spaces, as `names=[cat, dog]`."""
    for number, word in enumerate(words):
        pieces = [word]
        for piece in words[number + 1 :] if _is_open(word) else ():
            pieces.append(piece)
            whole = " ".join(pieces)
            if not _is_open(whole) and parsed([whole]):
                raise ConfigError(
                    f"{whole} was cut at its spaces by the shell: write it in quotes, as in "
                    f"{shlex.quote(whole)}"
                )


def check_sweeps(overrides: Sequence[Override]) -> None:
    """Raise `ConfigError` for `choice(1,2),3` and the like, which Hydra cannot sweep over."""
    for each in overrides:
        swept = each.value()
        if isinstance(swept, ChoiceSweep) and any(isinstance(one, Sweep) for one in swept.list):
            raise ConfigError(
                f"{each.input_line} cannot be swept over: choice(...), range(...) and the like "
                f"stand alone; several values are written one by one, as in {each.key_or_group}="
                "A,B,C"
            )


def check_directories(overrides: Sequence[Override]) -> None:
    """Raise `ConfigError` if a run's directory has no name, for it would be the one one is in."""
    for each in overrides:
        directory = re.fullmatch(r"hydra\.(run|sweep)\.dir", each.key_or_group)
        if directory and each.value() in ("", None):
            raise ConfigError(
                f"{each.input_line} names no directory: give one, as in "
                f"{each.key_or_group}=outputs/first"
            )


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
    if hint := _as_mapping(key, value) or _as_elements(key, value):
        return f"{said}: {hint}"
    return f"{said}: a value with such characters is written in quotes, as in {quoted(key, value)}"


def quoted(key: str, value: str) -> str:
    """Return how a value with characters that mean something to Hydra is typed."""
    return shlex.quote(literal(key, value))


def literal(key: str, value: str) -> str:
    """Return a word that Hydra reads as this value, whatever is in it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{escaped}"'


def several(line: str, key: str, value: str) -> str:
    """Return what to do with several values where one was expected: a run of each, or a list."""
    if hint := _as_one(key, value):
        return f"{line} is several values: {hint}, and -m makes a run of each"
    return f"{line} is several values: -m makes a run of each, or give one"


def one_value(override: Override) -> str:
    """Return the same where there can be one run only."""
    line = str(override.input_line)
    key, _, value = line.partition("=")
    hint = _as_one(key, value)
    return f"{line} is several values: give one{f'; {hint}' if hint else ''}"


def _as_one(key: str, value: str) -> str:
    """Return how values with commas between them are written as one, of the kind that they are."""
    a_list = as_list(key, value)
    if a_list and ("/" in value or Path(value).exists()):
        return f"one with a comma in it is written {quoted(key, value)}, {a_list}"
    return a_list


def as_list(key: str, value: str) -> str:
    """Return how a list of the values is written; nothing where there is none of that kind."""
    of_no_group = {each.name for each in fields(Config)}
    one = (config_dir() / key).is_dir() or key in of_no_group - _LISTS
    if one or re.match(_FUNCTIONS, value):
        return ""
    return f"a list is written {shlex.quote(f'{key}=[{value}]')}"


def _as_elements(key: str, value: str) -> str:
    """Return how a list that cannot be read is written, its elements in quotes where need be."""
    if not re.fullmatch(r"\(.*\)|\[.*\]", value):
        return ""
    elements = re.split(r"[;, ]+", value[1:-1])
    in_quotes = [e if parsed([f"x={e}"]) else f'"{e}"' for e in elements]
    for each in (elements, in_quotes):
        if parsed([f"{key}=[{','.join(each)}]"]):
            return as_list(key, ",".join(each))
    return f'a list is written {key}=[A,B,C], with " around what holds other characters'


def _as_mapping(key: str, value: str) -> str:
    """Return how a mapping that cannot be read is written."""
    if not re.fullmatch(r"\{.*\}", value):
        return ""
    line = f"{key}=" + re.sub(r"""(["'])([^"']*)\1(\s*:)""", r"\2\3", value)
    if parsed([line]):
        return f"names within {{}} are written without quotes, as in {shlex.quote(line)}"
    example = shlex.quote(f"{key}={{name: A, other: B}}")
    return f"names and values are written as in {example}"


def _is_open(word: str) -> bool:
    key, equals, value = word.partition("=")
    return bool(equals) and not word.startswith("-") and "is not closed" in _unclosed(key, value)


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
    without = re.sub(r"(?:(?<=[\[{(])|^)[\s,]*,|,\s*(?=[,\])}]|$)", "", value)
    if without in ("", value) or not parsed([f"{key}={without}"]):
        return ""
    return f"it has a comma too many, did you mean {shlex.quote(f'{key}={without}')}?"
