"""The label page's calls: which fields each has, and what it comes to at the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException

from activeloop.errors import OrderError
from activeloop.label.desk import Desk
from activeloop.label.fields import Fields, Malformed
from activeloop.label.images import CHANGED, Images

GRID = 24  # images at once


class Call(NamedTuple):
    """One of the page's calls: its fields, and what answers it in a thread."""

    method: str
    path: str
    fields: tuple[str, ...]
    answer: Callable[[Fields], Any]


def table(desk: Desk, images: Images, options: Mapping[str, Any]) -> list[Call]:
    """Return all calls.

    Args:
        desk: who labels what.
        images: of the pool.
        options: of the page.
    """
    does = _Calls(desk, images)
    return [
        Call("GET", "/api/options", (), lambda fields: options),
        Call("GET", "/api/status", ("who",), does.status),
        Call("GET", "/api/card", ("id",), does.card),
        Call("GET", "/api/history", ("who", "label", "before", "count"), does.history),
        Call("POST", "/api/next", ("who", "count", "keep"), does.next),
        Call("POST", "/api/answer", ("who", "answers"), does.answer),
        Call("POST", "/api/undo", ("who",), does.undo),
        Call("POST", "/api/grid", ("who", "label", "count"), does.grid),
        Call("POST", "/api/second_looks", ("who", "count"), does.second_looks),
        Call("POST", "/api/classes", ("who", "name"), does.classes),
        Call("POST", "/api/train", ("who",), does.train),
        Call("POST", "/api/finish", ("who",), does.finish),
        Call("POST", "/api/reopen", ("who",), does.reopen),
    ]


class _Calls:
    """What the page's calls come to, each a method from its fields to what is sent back."""

    def __init__(self, desk: Desk, images: Images) -> None:
        self._desk, self._images = desk, images

    def status(self, fields: Fields) -> Any:
        return self._desk.status(fields.optional_who())

    def next(self, fields: Fields) -> Any:
        cards = self._desk.next(fields.who(), fields.count(), fields.ids("keep"))
        return {"cards": cards, "round": self._desk.round}

    def answer(self, fields: Fields) -> Any:
        who, answers = fields.who(), fields.answers()
        for place, said in enumerate(answers):
            if said.id >= len(self._images):
                raise Malformed(f"answers[{place}].id: there is no sample {said.id}")
            # What is skipped gets no label: people must be able to go on.
            if said.kind != "skip" and self._images.changed(said.id):
                raise OrderError(CHANGED)
        return {"given": self._desk.answer(who, answers), "status": self._desk.status(who)}

    def undo(self, fields: Fields) -> Any:
        who = fields.who()
        return {"taken_back": self._desk.undo(who), "status": self._desk.status(who)}

    def card(self, fields: Fields) -> Any:
        index = fields.number("id", None)
        if index >= len(self._images):
            raise HTTPException(404, f"there is no sample {index}")
        return self._desk.card(index)

    def history(self, fields: Fields) -> Any:
        who, label, before = fields.optional_who(), fields.text("label"), fields.maybe("before")
        return {"cards": self._desk.history(who, label, before, fields.count(50))}

    def grid(self, fields: Fields) -> Any:
        label = fields.text("label")
        if label is None:
            raise Malformed("label must be a class's name: whose predictions are wanted?")
        return {"cards": self._desk.grid(fields.who(), label, fields.count(GRID))}

    def second_looks(self, fields: Fields) -> Any:
        return {"cards": self._desk.second_looks(fields.who(), fields.count(GRID))}

    def classes(self, fields: Fields) -> Any:
        return {"classes": self._desk.add_class(fields.who(), fields.name("name"))}

    def train(self, fields: Fields) -> Any:
        who = fields.who()
        self._desk.train()
        return self._desk.status(who)

    def finish(self, fields: Fields) -> Any:
        who = fields.who()
        self._desk.finish(who)
        return self._desk.status(who)

    def reopen(self, fields: Fields) -> Any:
        who = fields.who()
        self._desk.reopen(who)
        return self._desk.status(who)
