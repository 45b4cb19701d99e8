"""What the page sends, checked: each mistake is a sentence that names the field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from activeloop.label.cards import Said

MOST_CARDS = 200
_MOST_NAME = 40
_MOST_CLASS_NAME = 100
_MOST_TEXT = 1000
_MOST_PATH = 4096
_LARGEST = 2**53  # from here on, the page's numbers are no longer exact
_SHOWN = 60


class Malformed(Exception):
    """A request that makes no sense; the message says which field does not."""


def parsed(body: bytes) -> dict[str, Any]:
    """Return the object in a body of JSON.

    Raises:
        Malformed: it is none.
    """
    try:
        value = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body must be JSON: {str(error)[:_SHOWN]}") from None
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


class Fields:
    """The fields of one request.

    Args:
        values: by name.
        names: those that there may be.
        prefix: before the names in messages, as in `answers[3].`.
        texts: the values are of an address, where numbers are texts.

    Raises:
        Malformed: one has an unknown name.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        names: Collection[str],
        prefix: str = "",
        *,
        texts: bool = False,
    ) -> None:
        self._values, self._prefix, self._texts = values, prefix, texts
        if unknown := [name for name in values if name not in names]:
            there = ", ".join(names) or "none"
            raise Malformed(f"there is no field {prefix}{_shown(unknown[0])}, there is {there}")

    def who(self) -> str:
        """Return who asks: 1 to 40 printable characters, no spaces at the ends."""
        return self.name("who", _MOST_NAME)

    def optional_who(self) -> str | None:
        """Return who asks or is asked about, or None."""
        return None if self._values.get("who") is None else self.who()

    def name(self, field: str, most: int = _MOST_CLASS_NAME) -> str:
        """Return a name: so many printable characters at most, no spaces at the ends."""
        name = self._values.get(field)
        well = isinstance(name, str) and name.isprintable() and name == name.strip()
        if not isinstance(name, str) or not well or not 1 <= len(name) <= most:
            self._complain(field, f"1 to {most} printable characters, no spaces at its ends")
        return name

    def text(self, field: str) -> str | None:
        """Return a text that is there already, the name of a class, or None."""
        text = self._values.get(field)
        if text is None:
            return None
        # A class's name is whatever its folder is called, but half a character is none.
        if not isinstance(text, str) or not 1 <= len(text) <= _MOST_TEXT or not _whole(text):
            self._complain(field, f"a text of 1 to {_MOST_TEXT} characters")
        return text

    def number(self, field: str, default: int | None, most: int = _LARGEST) -> int:
        """Return a whole number from 0 to `most`; left out it is `default`, or missing if None."""
        value = self._values.get(field)
        if value is None and default is not None:
            return default
        return self._number(field, value, most)

    def maybe(self, field: str) -> int | None:
        """Return a whole number from 0, or None."""
        value = self._values.get(field)
        return None if value is None else self._number(field, value)

    def count(self, default: int | None = None) -> int:
        """Return how many cards are wanted."""
        return self.number("count", default, MOST_CARDS)

    def ids(self, field: str) -> list[int]:
        """Return the ids of samples."""
        value = self._values.get(field, [])
        if not isinstance(value, list) or len(value) > MOST_CARDS:
            self._complain(field, f"a list of at most {MOST_CARDS} ids")
        return [self._number(f"{field}[{place}]", each) for place, each in enumerate(value)]

    def answers(self) -> list[Said]:
        """Return the answers, one a sample."""
        value = self._values.get("answers")
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_CARDS:
            self._complain("answers", f"a list of 1 to {MOST_CARDS} answers")
        said = [_said(each, f"answers[{place}]") for place, each in enumerate(value)]
        if len({each.id for each in said}) < len(said):
            raise Malformed("answers has a sample twice: one answer a sample")
        return said

    def key(self) -> str | None:
        """Return the key of a sample as the page got it, whatever a file may be called, or None."""
        key = self._values.get("key")
        if key is not None and (not isinstance(key, str) or len(key) > _MOST_PATH):
            self._complain("key", f"a text of at most {_MOST_PATH} characters")
        return key

    def kind(self) -> Any:
        """Return the kind of an answer."""
        kind = self._values.get("kind")
        if kind not in ("label", "skip", "none"):
            self._complain("kind", "label, skip or none")
        return kind

    def seconds(self) -> float | None:
        """Return how long an answer took, or None."""
        value = self._values.get("seconds")
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= _LARGEST or not math.isfinite(value):
            self._complain("seconds", "a number from 0, or null")
        return float(value)

    def _number(self, field: str, value: Any, most: int = _LARGEST) -> int:
        if self._texts and re.fullmatch("[0-9]{1,16}", str(value)):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            limit = f" to {most}" if most < _LARGEST else ""
            self._complain(field, f"a whole number from 0{limit}", value)
        return value

    def _complain(self, field: str, expected: str, value: Any = ...) -> NoReturn:
        came = self._values.get(field) if value is ... else value
        raise Malformed(f"{self._prefix}{field} must be {expected}, got {_shown(came)}")


def _said(value: Any, place: str) -> Said:
    """Return one answer.

    Raises:
        Malformed: it is none; the message begins with `place`.
    """
    if not isinstance(value, dict):
        raise Malformed(f"{place} must be an object, got {_shown(value)}")
    fields = Fields(value, ("id", "kind", "label", "seconds", "replaces", "key"), f"{place}.")
    kind, label = fields.kind(), fields.text("label")
    if (label is None) == (kind == "label"):
        raise Malformed(f"{place}.label must be a class's name for a label, and null for a {kind}")
    return Said(
        id=fields.number("id", None),
        kind=kind,
        label=label,
        seconds=fields.seconds(),
        replaces=fields.maybe("replaces"),
        key=fields.key(),
    )


def of_address(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the fields in a request's address; those left empty are left out.

    Raises:
        Malformed: one is there twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        raise Malformed("a field is given twice in the address")
    return {name: value for name, value in values.items() if value}


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
