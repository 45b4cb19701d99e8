"""A desk without a network behind it, and clients of the application."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import unquote, urlencode

from starlette.datastructures import Headers

from activeloop.label.cards import Card, Given, Opinion, Status, Training, Why
from activeloop.label.security import Credentials, Guard, hosts_of

TOKEN = "t" * 43
HOST = "127.0.0.1:8765"


def given(event=1, label="cat", who="ann"):
    return Given(
        event=event, kind="label", label=label, who=who, at="2026-01-01T00:00:00.000+00:00"
    )


def card(index, key="a.png", opinion=None, answer=None):
    why = Why(origin="strategy", round=1, strategy="entropy", score=math.nan)
    return Card(id=index, key=key, why=why, opinion=opinion, nearest=[], given=answer)


class FakeDesk:
    """Remembers what it was called with; `raises` is raised by all of it."""

    def __init__(self, classes=("cat", "dog"), key="a.png"):
        self.calls, self.raises, self.classes, self.key = [], None, list(classes), key

    def _called(self, *call):
        self.calls.append(call)
        if self.raises is not None:
            raise self.raises

    def next(self, who, count, keep=()):
        self._called("next", who, count, list(keep))
        return [card(0, self.key, Opinion(predicted="cat", confidence=math.inf, probs=[]))]

    def answer(self, who, answers):
        self._called("answer", who, answers)
        return [given(label=said.label, who=who) for said in answers]

    def undo(self, who):
        self._called("undo", who)

    def card(self, index):
        self._called("card", index)
        return card(index, self.key)

    def history(self, who=None, label=None, before=None, count=50):
        self._called("history", who, label, before, count)
        return [card(1, answer=given())]

    def grid(self, who, label, count):
        self._called("grid", who, label, count)
        return []

    def second_looks(self, who, count):
        self._called("second_looks", who, count)
        return []

    def add_class(self, who, name):
        self._called("add_class", who, name)
        return [*self.classes, name]

    def train(self):
        self._called("train")

    def finish(self, who):
        self._called("finish", who)

    def reopen(self, who):
        self._called("reopen", who)

    round = 3
    directory = "outputs/label/photos"

    def status(self, who=None):
        self.asked = who
        return Status(
            run="photos",
            directory=self.directory,
            classes=self.classes,
            counts=dict.fromkeys(self.classes, 0),
            labels=0,
            skipped=0,
            none=0,
            unlabelled=5,
            round=3,
            queued=2,
            training=Training(state="idle", detail="", until_next=None),
            estimate=None,
            curve=[],
            advice=None,
            rule=None,
            per_hour=math.nan,
            people=[],
            second_looks=0,
            finished=None,
        )


def guarded(app, **options):
    return Guard(app, Credentials(TOKEN, 8765), hosts_of("127.0.0.1"), **options)


@dataclass
class Reply:
    status_code: int
    headers: Headers
    content: bytes

    @property
    def text(self):
        return self.content.decode()

    def json(self):
        return json.loads(self.content, parse_constant=lambda name: 1 / 0)


class Client:
    """Calls an application as a server would, and keeps cookies.

    Attributes:
        headers: sent with each request.
    """

    def __init__(self, app):
        self._app, self._cookies, self.headers = app, SimpleCookie(), {}

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def request(self, method, path, *, params=None, headers=(), json=None, content=b""):
        """Send a request; `content` may be a list of chunks, of which the length is not said."""
        if json is not None:
            content = dumps(json)
        chunks = content if isinstance(content, list) else [content]
        sent = {"host": HOST, "content-type": "application/json"} | self.headers
        if self._cookies:
            sent["cookie"] = self._cookies.output(attrs=[], header="", sep=";").strip()
        pairs = [(k, v) for k, v in sent.items() if k not in dict(headers)]
        pairs += headers.items() if isinstance(headers, dict) else headers
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": (urlencode(params) if params else query).encode(),
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in pairs],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8765),
        }
        reply = asyncio.run(self._call(scope, chunks))
        for value in reply.headers.getlist("set-cookie"):
            self._cookies.load(value)
        return reply

    async def _call(self, scope, chunks):
        messages, waiting = [], list(chunks)

        async def receive():
            chunk = waiting.pop(0) if waiting else b""
            return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

        async def send(message):
            messages.append(message)

        await self._app(scope, receive, send)
        body = b"".join(each.get("body", b"") for each in messages[1:])
        return Reply(messages[0]["status"], Headers(raw=messages[0]["headers"]), body)


def dumps(value):
    return json.dumps(value).encode()


def stranger(app, **options):
    """Return a client without the cookie."""
    return Client(guarded(app, **options))


def visitor(app, **options):
    """Return a client that has opened the link, and says where its requests come from."""
    client = stranger(app, **options)
    client.get("/", params={"token": TOKEN})
    client.headers["origin"] = f"http://{HOST}"
    return client
