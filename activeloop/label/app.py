"""What the label page asks for by HTTP, and how it is answered.

Replies are JSON; what goes wrong is `{"error": sentence, "given": the present answer or null}`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from activeloop.errors import ActiveLoopError, OrderError
from activeloop.label.calls import GRID, Call, table
from activeloop.label.cards import Conflict
from activeloop.label.desk import Desk
from activeloop.label.fields import Fields, Malformed, of_address, parsed
from activeloop.label.images import Images, pool_index
from activeloop.label.page_files import PageFile, read_page
from activeloop.label.second_looks import LEAST_LABELS
from activeloop.label.trouble import told
from activeloop.messages import one_line

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024  # of a body: 200 answers with the longest names
_BODY_SECONDS = 15.0  # within which a body must be there
_IMAGE_THREADS = 4  # so that images never keep an answer waiting

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(
    desk: Desk, images: Images, *, page: Path | None = None, opinions: bool = True
) -> Starlette:
    """Return the application, which anybody who reaches it may use: put a `Guard` before it.

    Args:
        desk: who labels what.
        images: of the pool.
        page: the folder of the page's files; None: activeloop's own.
        opinions: whether the page shows at first what the network thinks.
    """
    files, version = read_page(page)
    options = {"opinions": opinions, "grid": GRID, "page_version": version}
    options |= {"pixelated": images.pixelated, "second_looks_from": LEAST_LABELS}
    routes = [
        Route(
            call.path,
            partial(_answer, call=call, directory=desk.directory),
            methods=[call.method],
        )
        for call in table(desk, images, options)
    ]
    routes += [
        Route("/", partial(_file, files=files, name="index.html")),
        Route("/static/{name}", partial(_file, files=files)),
        Route(
            "/images/{id}", partial(_image, images=images, threads=CapacityLimiter(_IMAGE_THREADS))
        ),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_found})
    app.router.redirect_slashes = False
    return app


async def _answer(request: Request, call: Call, directory: str) -> Response:
    """Answer one call; whatever goes wrong becomes a sentence."""
    try:
        if call.method == "POST":
            values = parsed(await _body(request))
            # An old page may meet another run at this port, in which its numbers mean other images.
            if values.pop("run", directory) != directory:
                return _error(421, f"here is another run by now: {directory}")
            fields = Fields(values, call.fields)
        else:
            values = of_address(request.query_params.multi_items())
            fields = Fields(values, call.fields, texts=True)
        return _json(await run_in_threadpool(call.answer, fields))
    except Malformed as error:
        return _error(400, str(error))
    except HTTPException:
        raise
    except Conflict as error:
        return _error(409, one_line(error), error.given)
    except OrderError as error:
        return _error(409, one_line(error))
    except ActiveLoopError as error:  # of the disk, say
        log.error("%s", told(error))
        return _error(500, told(error))
    except Exception:
        log.exception("%s failed", call.path)
        return _error(500, "the server made a mistake: its terminal says which")


async def _body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        Malformed: it is no JSON by its type.
        HTTPException: it is too large, or does not come.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # what a form can send is not taken
        raise Malformed("the Content-Type must be application/json")
    too_large = HTTPException(413, f"a request has at most {MOST_BYTES:,} bytes")
    said = request.headers.get("content-length", "0")  # it may also come in chunks
    if not said.isdecimal() or int(said[:20]) > MOST_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, "the request's body did not come") from None
    return bytes(body)


async def _file(request: Request, files: Mapping[str, PageFile], name: str = "") -> Response:
    """Send one of the page's own files, which are known by name: no path is made of a request."""
    file = files.get(name or request.path_params["name"])
    if file is None:
        raise HTTPException(404, "there is no such file")
    return _kept(request, file.content, file.media_type, file.etag, 200)


async def _image(request: Request, images: Images, threads: CapacityLimiter) -> Response:
    """Send the image of a sample."""
    size = request.query_params.get("size", "large")
    if size not in ("large", "small"):
        return _error(400, "size must be large or small")
    index = pool_index(request.path_params["id"], len(images))
    if index is None:
        raise HTTPException(404, "there is no such sample")
    picture = await anyio.to_thread.run_sync(images, index, size, limiter=threads)
    return _kept(request, picture.content, picture.media_type, picture.etag, picture.status)


def _kept(request: Request, content: bytes, media_type: str, etag: str, status: int) -> Response:
    """Return what the browser may keep, but must ask about each time.

    An image's address is a number, which may stand for another image when the server is started on
    another run, or on a larger pool: shown from memory, it would be labelled as what it is not.
    """
    headers = {"ETag": etag, "Cache-Control": "private, max-age=0, must-revalidate"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, status, headers, media_type)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = error.detail
    return _error(error.status_code, sentence[0].lower() + sentence[1:])


def _error(status: int, sentence: str, given: Any = None) -> Response:
    return _json({"error": sentence, "given": given}, status)


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def _plain(value: Any) -> Any:
    """Return dataclasses as dictionaries, and numbers that are none as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
