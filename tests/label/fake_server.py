"""A server with made-up images that speaks as the label page's does, and fails on demand."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from PIL import Image, ImageDraw

import activeloop.label.page
from activeloop.label.cards import (
    Card,
    Estimate,
    Given,
    Near,
    Opinion,
    Person,
    Point,
    Status,
    TakenBack,
    Training,
    Why,
)

PAGE = Path(activeloop.label.page.__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Refusal(Exception):
    """What is answered instead, with a status."""

    def __init__(self, status: int, error: str, given: Given | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.given = status, error, given


class FakeDesk:
    """Cards, leases and answers in memory.

    Attributes:
        events: `(who, id, kind, label)`, or "undo" as the kind, as they came.
        requests: `(path, body)`, as they came.
        confidence: of the network in what it thinks; None: it thinks nothing yet.
        lose: so many replies to answers are lost after they were taken in.
        broken: the status that every answer gets, or None.
        spent: why the run cannot be opened again, or None.
        malformed: answers to this image are refused as such.
        forbidden: whether nothing is allowed.
        pictures: images are sent while it is set.
        missing: images whose picture cannot be read.
    """

    def __init__(
        self, classes: tuple[str, ...] = ("cat", "dog"), size: int = 60, pixels: int = 48
    ) -> None:
        self.classes = list(classes)
        self.keys = [f"photo_{n:04d}.jpg" for n in range(size)]
        self.pixels = pixels
        self.given: dict[int, list[Given]] = {}
        self.leased: dict[int, str] = {}
        self.events: list[tuple[str, int, str, str | None]] = []
        self.requests: list[tuple[str, Any]] = []
        self.undone: dict[str, list[list[tuple[int, str, str | None]]]] = {}
        self.looks: list[int] = []
        self.people: dict[str, int] = {}
        self.lose = 0
        self.broken: int | None = None
        self.spent: str | None = None
        self.malformed: int | None = None
        self.forbidden = False
        self.opinions = False
        self.confidence: float | None = 0.8
        self.version = "1"
        self.directory = "/runs/my photos"
        self.pictures = threading.Event()
        self.pictures.set()
        self.missing: set[int] = set()
        self.changes: dict[str, Any] = {}
        self.lock = threading.Lock()
        self.event = 0

    # -- what it says --------------------------------------------------------------------------

    def card(self, index: int, origin: str = "strategy") -> Card:
        given = self.given.get(index) or [None]
        guess = index % len(self.classes)
        sure, opinion = self.confidence, None
        if sure is not None:
            probs = [(name, sure if n == guess else 0.2) for n, name in enumerate(self.classes)]
            probs = sorted(probs, key=lambda each: -each[1])[:10]
            opinion = Opinion(predicted=self.classes[guess], confidence=sure, probs=probs)
        why = Why(origin=origin, round=2, strategy="margin", score=0.123456)  # type: ignore[arg-type]
        return Card(
            id=index,
            key=self.keys[index],
            why=why,
            opinion=opinion,
            nearest=[Near(id=(index + 7) % len(self.keys), label=self.classes[0])],
            given=given[-1],
        )

    def status(self) -> Status:
        present = [each[-1] for each in self.given.values() if each]
        labels = [each.label for each in present if each.kind == "label"]
        names = {each.who for each in present} | set(self.people)
        status = Status(
            run="photos",
            directory=self.directory,
            classes=self.classes,
            counts={name: labels.count(name) for name in self.classes},
            labels=len(labels),
            skipped=sum(each.kind == "skip" for each in present),
            none=sum(each.kind == "none" for each in present),
            unlabelled=len(self.keys) - len(present),
            round=2,
            queued=20,
            training=Training(state="idle", detail="", until_next=7),
            estimate=Estimate(
                accuracy=0.87,
                low=0.79,
                high=0.93,
                samples=42,
                source="audit",
                rounds=(1, 2),
                labels=(20, 40),
            ),
            curve=[
                Point(round=0, labels=10, accuracy=None, low=None, high=None),
                Point(round=1, labels=20, accuracy=0.6, low=0.4, high=0.75),
                Point(round=2, labels=40, accuracy=0.87, low=0.79, high=0.93),
            ],
            advice=None,
            rule="plateau",
            per_hour=812.0,
            people=[
                Person(
                    name=name,
                    answers=sum(each.who == name for each in present),
                    per_hour=None,
                    here=True,
                )
                for name in sorted(names)
            ],
            second_looks=len(self.looks),
            finished=None,
        )
        return replace(status, **self.changes)

    def free(self, who: str) -> Iterator[int]:
        if self.changes.get("finished"):
            return
        for index in range(len(self.keys)):
            if not self.given.get(index) and self.leased.get(index, who) == who:
                yield index

    # -- what it is asked ----------------------------------------------------------------------

    def next(self, body: dict[str, Any]) -> Any:
        who = body["who"]
        mine = [index for index in body["keep"] if index in set(self.free(who))]
        for index in self.free(who):
            if len(mine) >= body["count"]:
                break
            if index not in mine:
                mine.append(index)
        self._lease(who, mine)
        return {"cards": [self.card(index) for index in mine], "round": self.status().round}

    def _lease(self, who: str, mine: list[int]) -> None:
        self.leased = {index: name for index, name in self.leased.items() if name != who}
        self.leased |= dict.fromkeys(mine, who)

    def answer(self, body: dict[str, Any]) -> Any:
        if self.broken is not None:
            raise Refusal(self.broken, "the disk is full")
        who, result = body["who"], []
        for said in body["answers"]:
            if said["id"] == self.malformed:
                raise Refusal(400, "that is no answer")
            if said["key"] != self.keys[said["id"]]:
                raise Refusal(409, f"image {said['id']} is another one by now")
            present = (self.given.get(said["id"]) or [None])[-1]
            same = present and (present.who, present.kind, present.label) == (
                who,
                said["kind"],
                said["label"],
            )
            if not same and said["replaces"] != (present and present.event):
                raise Refusal(409, "somebody else was faster", present)
        together: list[tuple[int, str, str | None]] = []
        for said in body["answers"]:
            present = (self.given.get(said["id"]) or [None])[-1]
            if present and said["replaces"] != present.event:
                result.append(present)
                continue
            self.event += 1
            given = Given(
                event=self.event,
                kind=said["kind"],
                label=said["label"],
                who=who,
                at="2026-01-31T12:00:00+00:00",
            )
            self.given.setdefault(said["id"], []).append(given)
            self.events.append((who, said["id"], said["kind"], said["label"]))
            together.append((said["id"], said["kind"], said["label"]))
            self.looks = [index for index in self.looks if index != said["id"]]
            result.append(given)
        if together:
            self.undone.setdefault(who, []).append(together)
        return {"given": result, "status": self.status()}

    def undo(self, body: dict[str, Any]) -> Any:
        mine = self.undone.get(body["who"])
        taken = []
        for index, kind, label in mine.pop() if mine else []:
            self.given[index].pop()
            self.events.append((body["who"], index, "undo", None))
            self.leased[index] = body["who"]
            taken.append(TakenBack(card=self.card(index, "asked for"), kind=kind, label=label))  # type: ignore[arg-type]
        return {"taken_back": taken, "status": self.status()}

    def history(self, query: dict[str, str]) -> Any:
        cards = [self.card(index) for index, given in self.given.items() if given]
        cards = [
            card
            for card in cards
            if card.given
            and query.get("who", card.given.who) == card.given.who
            and query.get("label", card.given.label) == card.given.label
            and card.given.event < int(query.get("before", 10**9))
        ]
        cards.sort(key=lambda card: -(card.given.event if card.given else 0))
        return {"cards": cards[: int(query["count"])]}

    def grid(self, body: dict[str, Any]) -> Any:
        cards = [self.card(index, "grid") for index in self.free(body["who"])]
        cards = [card for card in cards if card.opinion and card.opinion.predicted == body["label"]]
        self._lease(body["who"], [card.id for card in cards[: body["count"]]])
        return {"cards": cards[: body["count"]]}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        if body["run"] != self.directory:
            raise Refusal(421, "here is another run by now")
        match path:
            case "/api/next":
                return self.next(body)
            case "/api/answer":
                return self.answer(body)
            case "/api/undo":
                return self.undo(body)
            case "/api/grid":
                return self.grid(body)
            case "/api/second_looks":
                return {"cards": [self.card(index, "second look") for index in self.looks]}
            case "/api/classes":
                self.classes.append(body["name"])
                return {"classes": self.classes}
            case "/api/train":
                self.changes["training"] = Training(
                    state="training", detail="round 3: 60 labels", until_next=None
                )
            case "/api/finish":
                self.changes["finished"] = "finished by hand"
            case "/api/reopen":
                if self.spent is not None:
                    raise Refusal(409, self.spent)
                self.changes["finished"] = None
            case _:
                raise Refusal(404, "no such call")
        return self.status()

    def get(self, path: str, query: dict[str, str]) -> Any:
        match path:
            case "/api/options":
                return {
                    "opinions": self.opinions,
                    "grid": 24,
                    "page_version": self.version,
                    "second_looks_from": 150,
                }
            case "/api/status":
                if who := query.get("who"):
                    self.people[who] = 1
                return self.status()
            case "/api/card":
                return self.card(int(query["id"]), "asked for")
            case "/api/history":
                return self.history(query)
        raise Refusal(404, "no such call")

    def picture(self, index: int) -> bytes:
        self.pictures.wait(20)
        if index in self.missing:
            return b"no image"
        colour = (60 + 37 * index % 180, 60 + 91 * index % 180, 60 + 53 * index % 180)
        image = Image.new("RGB", (self.pixels, self.pixels), colour)
        ImageDraw.Draw(image).text((self.pixels // 3, self.pixels // 3), str(index), fill="white")
        written = io.BytesIO()
        image.save(written, "PNG")
        return written.getvalue()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"

    @property
    def desk(self) -> FakeDesk:
        return self.server.desk

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def send(self, content: bytes, kind: str, status: int = 200, keep: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        if keep:
            self.send_header("Cache-Control", "max-age=3600")
        self.end_headers()
        self.wfile.write(content)

    def json(self, act: Any) -> None:
        try:
            if self.desk.forbidden:
                raise Refusal(403, "open the link that the terminal shows")
            with self.desk.lock:
                value, status = act(), 200
        except Refusal as refusal:
            given = asdict(refusal.given) if refusal.given else None
            value, status = {"error": refusal.error, "given": given}, refusal.status
        text = json.dumps(value, default=asdict)
        self.send(text.encode(), "application/json", status)

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path.startswith("/api/"):
            self.json(lambda: self.desk.get(place.path, dict(parse_qsl(place.query))))
        elif place.path.startswith("/images/"):
            self.send(self.desk.picture(int(place.path.rsplit("/", 1)[1])), "image/png")
        else:
            name = "index.html" if place.path == "/" else place.path.removeprefix("/static/")
            file = PAGE / name
            if file.is_file():
                self.send(file.read_bytes(), TYPES[name.rsplit(".", 1)[1]], keep=True)
            else:
                self.send(b"{}", "application/json", 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.desk.requests.append((self.path, body))
        if self.path == "/api/answer" and self.desk.lose:
            self.desk.lose -= 1
            with self.desk.lock:
                self.desk.answer(body)
            self.close_connection = True
            return
        self.json(lambda: self.desk.post(self.path, body))


class Server(ThreadingHTTPServer):
    """Forgets its connections when it is closed, as a process that ends does."""

    daemon_threads = True

    def __init__(self, port: int, desk: FakeDesk) -> None:
        self.open: set[socket.socket] = set()
        self.desk = desk
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: browsers leave."""


class FakeServer:
    """`stop` and `start` it as often as wanted: always at the same address."""

    def __init__(self, desk: FakeDesk, port: int = 0) -> None:
        self.desk = desk
        self.port = port
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self.server = Server(self.port, self.desk)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.server.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.thread.join()


@contextmanager
def serving(desk: FakeDesk, port: int = 0) -> Iterator[FakeServer]:
    """Serve until the block ends; port 0: any that is free."""
    server = FakeServer(desk, port)
    try:
        yield server
    finally:
        server.stop()
