"""Who may use the label page: those who have the link, and no other page, user or name.

The link carries a token, as Jupyter's does. Opening it leaves the token in a cookie that no script
reads and no other site's request carries, and takes it out of the address. Beyond that, a request
must name a host that is served here (or a page could have its own name point to this machine), and
must come from a page of ours: cookies know no ports, so that they alone would also let in what
another server on this machine has a browser send.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Of all replies. Everything that the page shows comes from here, and nothing is inline.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_MOST_CLIENTS = 1024

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>activeloop</title>
<meta name="viewport" content="width=device-width">{head}</head>
<body><h1>activeloop</h1><p>{text}</p></body></html>
"""
_LET_IN = _PAGE.format(
    head='<meta http-equiv="refresh" content="0;url=/">', text='<a href="/">Go to the page</a>'
)
NO_TOKEN = "open the link that the terminal shows: it has the token that lets you in"


def hosts_of(address: str, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the names by which a server at `address` is reached; `more` are taken as well.

    Names only, without ports: those differ where a connection is forwarded, and no page can have
    a name of this list point anywhere else.
    """
    names = {name.lower() for name in more} | set(_LOOPBACK)
    if not is_loopback(address):
        own = socket.gethostname().lower()
        names |= {address.lower(), f"[{address.lower()}]", own, f"{own}.local"}
        names.add(socket.getfqdn().lower())
    return frozenset(names)


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches `address`."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


class Rates:
    """How often each client may come: so many times at once, so many a second from then on.

    Args:
        per_second: how often in the long run.
        burst: how often at once.
        clock: seconds that only grow.
    """

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, client: str) -> bool:
        """Return whether `client` may come now; it counts if so."""
        now = self._clock()
        left, at = self._left.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        allowed = left >= 1
        self._left[client] = (left - allowed, now)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return allowed


@dataclass(frozen=True)
class Credentials:
    """What lets a request in: the token, in the link, the cookie or the header of programs."""

    token: str
    port: int

    @property
    def cookie(self) -> str:
        """Name of the cookie: cookies know no ports, so that two servers would share one."""
        return f"activeloop-{self.port}"

    def match(self, given: str | None) -> bool:
        """Return whether `given` is the token, in a time that does not depend on how nearly."""
        return given is not None and secrets.compare_digest(given.encode(), self.token.encode())


class Guard:
    """Lets requests pass to `app` that may, and gives all replies the headers of `HEADERS`.

    Those who have the token are never locked out by others at the same address: what is refused
    is counted apart.

    Args:
        app: the application.
        credentials: that let in.
        hosts: names by which the server is reached, in lower case.
        any_address: whether it is also reached by any address in figures.
        people: how often those who may come can do so.
        strangers: how often others are told that they may not.
    """

    def __init__(
        self,
        app: ASGIApp,
        credentials: Credentials,
        hosts: frozenset[str],
        *,
        any_address: bool = False,
        people: Rates | None = None,
        strangers: Rates | None = None,
    ) -> None:
        self._app, self._credentials = app, credentials
        self._hosts, self._any_address = hosts, any_address
        self._people = people or Rates(per_second=1000, burst=4000)
        self._strangers = strangers or Rates(per_second=1, burst=60)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope)
        answer = self._answer(request) or self._app
        await answer(scope, receive, send_with_headers)

    def _answer(self, request: Request) -> Response | None:
        """Return what to answer instead of the application, or None."""
        client = request.client.host if request.client else ""
        if why := self._why_not(request):
            if not self._strangers.allow(client):
                return _refused(request, 429, "too many requests without the token: wait a minute")
            return _refused(request, 403, why)
        if not self._people.allow(client):
            return _refused(request, 429, "too many requests at once: wait a moment")
        return self._let_in(request) if _opens_link(request) else None

    def _why_not(self, request: Request) -> str | None:
        """Return why a request is refused, or None."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_served(hosts[0].lower()):
            return (
                "this name is not served here: open the link that the terminal shows "
                "(label --allow-host NAME serves another name)"
            )
        if _from_elsewhere(request, hosts[0].lower()):
            return "requests of other pages are refused"
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if _opens_link(request):
            known = self._credentials.match(request.query_params["token"])
        elif scheme.lower() == "bearer":
            known = self._credentials.match(bearer)
        else:
            known = self._credentials.match(request.cookies.get(self._credentials.cookie))
            if known and request.method == "POST" and "origin" not in request.headers:
                return "a page's request must say where it comes from"  # browsers always do
        return None if known else NO_TOKEN

    def _is_served(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        # No page's name can be had to point here by an address: it is one already.
        return found[1] in self._hosts or (self._any_address and _is_address(found[1]))

    def _let_in(self, request: Request) -> Response:
        """Keep the token in a cookie, and take it out of the address."""
        # A redirect that began at another site, in a mail say, would not carry the cookie yet; a
        # page of ours that goes on by itself does.
        typed = request.headers.get("sec-fetch-site") == "none"
        answer: Response = RedirectResponse("/", 303) if typed else HTMLResponse(_LET_IN)
        answer.set_cookie(
            self._credentials.cookie,
            self._credentials.token,
            httponly=True,
            samesite="strict",
            secure=request.headers.get("x-forwarded-proto") == "https",
        )
        return answer


def _opens_link(request: Request) -> bool:
    """Return whether this is the link of the terminal being opened."""
    return (
        request.method == "GET" and request.scope["path"] == "/" and "token" in request.query_params
    )


def _from_elsewhere(request: Request, host: str) -> bool:
    """Return whether a page of another origin had the browser send this."""
    origin = request.headers.get("origin")
    if origin is not None:
        parts = urlsplit(origin.lower())
        if parts.scheme not in ("http", "https") or parts.netloc != host:
            return True
    headers = request.headers
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    # A link to the page may be anywhere.
    opened = headers.get("sec-fetch-mode") == "navigate"
    opened &= headers.get("sec-fetch-dest") == "document"
    return not (opened and request.method == "GET" and request.scope["path"] == "/")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _refused(request: Request, status: int, why: str) -> Response:
    headers = {"Retry-After": "60"} if status == 429 else None
    if request.method == "GET" and request.scope["path"] == "/":
        text = why[0].upper() + why[1:] + "."
        return HTMLResponse(_PAGE.format(head="", text=text), status, headers)
    return JSONResponse({"error": why, "given": None}, status, headers)
