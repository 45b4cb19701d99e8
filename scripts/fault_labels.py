"""People who answer as fast as they can, while the server of the label page is killed.

Each is a thread that speaks HTTP to a real server, `python -m activeloop label`. An answer counts
as acknowledged when its reply, with status 200, was read; one whose reply was lost is sent again,
as the page does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fault_runs import PRELOADED

# Many images of few pixels and a small network, so that rounds come and go under the answers.
RUN = (
    *("data=digits", "data.size=8", "data.repeat=40", "embed=none", "initial=random"),
    *("model=linear", "learner.epochs=1", "learner.min_steps=20", "device=cpu", "stop_set=100"),
)
_CARDS = 5  # that a person is shown at a time
_PATIENCE = 120.0  # seconds that a server may take to come up


@dataclass
class Held:
    """Who has which image before them, as far as they can know.

    Attributes:
        life: how often the server was started: what it gave out in an earlier one counts no more.
        of: who has an image.
        twice: images that were given to two people at the same time, or after they were answered.
        answered: images with an acknowledged answer.
    """

    life: int = 0
    of: dict[int, str] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def given(self, who: str, images: list[int], life: int) -> bool:
        """Note what `who` was given; False if the server was killed since they asked."""
        with self.lock:
            if life != self.life:
                return False
            for image in images:
                holder = self.of.setdefault(image, who)
                if holder != who:
                    self.twice.append(f"{image} to {who} and {holder}")
                if image in self.answered:
                    self.twice.append(f"{image} to {who} after it was answered")
            return True

    def done(self, image: int, acknowledged: bool) -> None:
        """Note that somebody is through with an image."""
        with self.lock:
            self.of.pop(image, None)
            if acknowledged:
                self.answered.add(image)

    def killed(self) -> None:
        """Note that the server is gone, with all that it had given out."""
        with self.lock:
            self.life += 1
            self.of.clear()


@dataclass(kw_only=True)
class Acknowledged:
    """An answer whose reply was read."""

    event: int
    key: str
    kind: str
    label: str | None
    who: str


@dataclass(kw_only=True)
class Labelled:
    """What came of it.

    Attributes:
        people: how many there were.
        seconds: for which they answered.
        kills: of the server.
        acknowledged: answers.
        again: requests that were sent again, for their reply was lost.
        conflicts: answers that were refused, for there was another one.
        rounds: that were trained meanwhile.
        unacknowledged: answers that are there, and whose reply nobody read.
        lost: acknowledged answers that are not there.
        twice: images with more than one answer, or given to two people at the same time.
        broken: what else is wrong.
    """

    people: int
    seconds: float
    kills: int
    acknowledged: int
    again: int
    conflicts: int
    rounds: int
    unacknowledged: int
    lost: list[str]
    twice: list[str]
    broken: list[str]


class Person(threading.Thread):
    """Answers what they are shown until it is over."""

    def __init__(self, who: str, port: int, token: Path, held: Held, over: threading.Event) -> None:
        super().__init__(name=who)
        self.who, self._port, self._token, self._held, self._over = who, port, token, held, over
        self._connection: http.client.HTTPConnection | None = None
        self._random = random.Random(who)
        self.acknowledged: list[Acknowledged] = []
        self.again = self.conflicts = 0
        self.failure = ""

    def run(self) -> None:
        """Ask for images, and answer each."""
        try:
            while not self._over.is_set():
                life = self._held.life
                cards = self._post("next", {"who": self.who, "count": _CARDS})["cards"]
                if not self._held.given(self.who, [card["id"] for card in cards], life):
                    continue
                for card in cards:
                    self._answer(card)
        except Exception as error:
            self.failure = f"{self.who}: {type(error).__name__}: {error}"

    def _answer(self, card: dict[str, Any]) -> None:
        kind = self._random.choices(["label", "skip", "none"], [18, 1, 1])[0]
        said = {"id": card["id"], "kind": kind, "seconds": 0.1, "replaces": None}
        if kind == "label":
            said["label"] = str(self._random.randrange(10))
        reply = self._post("answer", {"who": self.who, "answers": [said]})
        for given in reply.get("given") or [] if "error" not in reply else []:
            self.acknowledged.append(
                Acknowledged(
                    event=given["event"],
                    key=card["key"],
                    kind=given["kind"],
                    label=given["label"],
                    who=given["who"],
                )
            )
        self.conflicts += "error" in reply
        self._held.done(card["id"], "error" not in reply)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request until it is answered; a conflict's reply has an `error`."""
        while True:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self._port, 60)
                headers = {
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {self._token.read_text('ascii').strip()}",
                }
                self._connection.request("POST", f"/api/{path}", json.dumps(body), headers)
                reply = self._connection.getresponse()
                text = reply.read()
            except (OSError, http.client.HTTPException):
                self._connection = None
                self.again += 1
                time.sleep(0.05)
                continue
            if reply.status == 429:
                time.sleep(0.05)
                continue
            if reply.status not in (200, 409):
                raise RuntimeError(f"{path}: {reply.status}: {text[:200]!r}")
            answer: dict[str, Any] = json.loads(text)
            return answer


class Server:
    """`python -m activeloop label`, in a process that is forked for it."""

    def __init__(self, run: Path) -> None:
        self.run = run
        os.environ["OMP_NUM_THREADS"] = "1"
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*PRELOADED, "uvicorn", "starlette.applications"])
        self.port = _free_port()
        self._process: Any = None

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: it does not.
        """
        said = self.run.parent / "said.txt"
        words = ["label", *RUN, f"hydra.run.dir={self.run}", "--no-browser", f"--port={self.port}"]
        self._process = self._context.Process(target=_serve, args=(words, said))
        self._process.start()
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            # It listens before it serves: the connection is taken, and answered when it can be.
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                connection.request("GET", "/")
                connection.getresponse()
                return
            if not self._process.is_alive():
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start: {said.read_text('utf-8')[-500:]}")

    def kill(self) -> None:
        """End it as the system would, that has no memory left."""
        self._process.kill()
        self._process.join()

    def stop(self) -> None:
        """Have it end by itself."""
        os.kill(self._process.pid, signal.SIGTERM)
        self._process.join(60)
        if self._process.is_alive():
            self.kill()


def _serve(words: list[str], said: Path) -> None:
    import torch

    from activeloop import app

    torch.set_num_threads(1)
    with said.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["activeloop", *words]
    app.main()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def label(work: Path, people: int, seconds: float, lives: tuple[float, float]) -> Labelled:
    """Have `people` answer for so many seconds, and kill the server now and then.

    Args:
        work: a folder.
        people: how many.
        seconds: for which they answer, the server's starts included.
        lives: how long the server is left alone, from the least to the most, in seconds.
    """
    work.mkdir(parents=True, exist_ok=True)
    server, held, over = Server(work / "run"), Held(), threading.Event()
    server.start()
    token = server.run / "label.token"
    crowd = [Person(f"person {n}", server.port, token, held, over) for n in range(people)]
    begin, kills, chance = time.monotonic(), 0, random.Random(0)
    for person in crowd:
        person.start()
    while (left := begin + seconds - time.monotonic()) > 0:
        time.sleep(min(left, chance.uniform(*lives)))
        if time.monotonic() - begin < seconds:
            held.killed()
            server.kill()
            held.killed()  # what was given in its last moment
            kills += 1
            server.start()
    over.set()
    for person in crowd:
        person.join()
    lasted = time.monotonic() - begin
    server.stop()
    answers = [answer for person in crowd for answer in person.acknowledged]
    return Labelled(
        people=people,
        seconds=lasted,
        kills=kills,
        acknowledged=len(answers),
        again=sum(person.again for person in crowd),
        conflicts=sum(person.conflicts for person in crowd),
        **_kept(server.run, answers),
        twice=[*held.twice, *_twice(server.run)],
        broken=[person.failure for person in crowd if person.failure],
    )


@contextlib.contextmanager
def _opened(run: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(run / "run.db")) as connection:
        yield connection


def _kept(run: Path, answers: list[Acknowledged]) -> dict[str, Any]:
    """Return what of the acknowledged answers is not there as it was, and what is there besides."""
    with _opened(run) as connection:
        events = {
            row[0]: row[1:]
            for row in connection.execute("SELECT id, key, kind, label, who FROM events")
        }
        ((rounds,),) = connection.execute("SELECT count(*) FROM rounds").fetchall()
    wrong = [a for a in answers if events.get(a.event) != (a.key, a.kind, a.label, a.who)]
    return {
        "rounds": rounds,
        "lost": [f"event {a.event}: {a.who} said {a.label or a.kind} of {a.key}" for a in wrong],
        "unacknowledged": len(events.keys() - {answer.event for answer in answers}),
    }


def _twice(run: Path) -> list[str]:
    """Return the images that have more than one answer, and what SQLite has to complain about."""
    with _opened(run) as connection:
        times = Counter(key for (key,) in connection.execute("SELECT key FROM events"))
        ((sound,),) = connection.execute("PRAGMA integrity_check(1)").fetchall()
    found = [f"{key} has {number} answers" for key, number in times.items() if number > 1]
    return found if sound == "ok" else [*found, sound]
