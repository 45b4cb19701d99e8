"""The HTTP server of the label page: where it listens, and with which limits."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import uvicorn
from starlette.types import ASGIApp

from activeloop.errors import ConfigError
from activeloop.label.connections import Connection
from activeloop.label.security import is_loopback

if sys.platform != "win32":
    import resource

TOKEN_FILE = "label.token"
_TOKEN_BYTES = 32
_PORTS_TRIED = 50
_FILES = 10_240  # at most: some systems take no larger number


def kept_token(directory: Path, *, new: bool = False) -> str:
    """Return the token of the run in `directory`, so that open pages go on after a restart.

    It is in a file that nobody else on this machine may read, and that was never readable: one
    whose mode was loosened, as by a copy of the directory, is replaced.

    Args:
        directory: of the run; there already.
        new: make another one, which shuts out those who have the old one.
    """
    path = directory / TOKEN_FILE
    if not new:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found = path.lstat()  # a link's own mode is never that
            private = found.st_mode & 0o177 == 0 or os.name == "nt"
            own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
            token = path.read_text("ascii").strip()
            if private and own and len(token) >= _TOKEN_BYTES:
                return token
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    write_private(path, token + "\n")
    return token


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)  # a mode given at the opening counts for new files only
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def listen(host: str, port: int, *, exactly: bool) -> socket.socket:
    """Return a socket that listens at `host` and `port`, or unless `exactly` the next free one.

    Raises:
        ConfigError: it cannot; the message says why.
    """
    for number in range(port, min(port + (1 if exactly else _PORTS_TRIED), 65536)):
        try:
            return _bound(host, number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or exactly:
                raise ConfigError(_why_not(host, number, error)) from error
    raise ConfigError(f"ports {port} to {port + _PORTS_TRIED - 1} are all in use: give --port")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":  # there it would let two servers have one port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(128)
    except BaseException:
        made.close()
        raise
    return made


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: stop what uses it, or give another --port"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed: give --port one from 1024 on"
    return f"cannot listen at {host}, port {port}: {error.strerror or error}"


@contextmanager
def serving(app: ASGIApp, listening: socket.socket) -> Iterator[Thread]:
    """Serve `app`, behind its `Guard`, in a thread until the body ends; gives the thread.

    No request is logged: the link is one.
    """
    allow_files()
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="error",  # what strangers send must not fill the disk
        server_header=False,
        proxy_headers=False,  # anybody on this machine could say to come from elsewhere
        h11_max_incomplete_event_size=16 * 1024,  # of address and headers
        backlog=64,  # taken in at once, before any is looked at
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listening],), name="label-server", daemon=True)
    seldom = Seldom()
    # A connection that cannot be taken is logged there thousands of times a second.
    logging.getLogger("asyncio").addFilter(seldom)
    thread.start()
    try:
        yield thread
    finally:
        server.should_exit = True
        thread.join(10)
        logging.getLogger("asyncio").removeFilter(seldom)


def allow_files() -> None:
    """Let this process open as many files as the system lets it, as connections are.

    A large run has many open, and a shell may start programs with few.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # the system has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Seldom(logging.Filter):
    """Lets one line through in each `seconds`, so that a log does not grow without end."""

    def __init__(self, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds, self._clock = seconds, clock
        self._next = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it is time for a line."""
        if self._clock() < self._next:
            return False
        self._next = self._clock() + self._seconds
        return True


def link_of(listening: socket.socket, host: str, token: str) -> str:
    """Return the link that opens the page.

    One that listens at all addresses is reached by its name.
    """
    port = listening.getsockname()[1]
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/?token={token}"


def warning_of(host: str, port: int) -> str | None:
    """Return what to know before others reach the server, or None where nobody else does."""
    if is_loopback(host):
        return None
    return (
        f"warning: {host} can be reached from other machines, and everybody who has the link can "
        "label and see the images. There is no TLS: whoever listens in on the network reads the "
        "link. In a network that is not yours, leave --host out and have people come by ssh "
        f"(ssh -L {port}:127.0.0.1:{port} THIS_MACHINE), or put a reverse proxy with TLS before it "
        "(and give its name by --allow-host)"
    )
