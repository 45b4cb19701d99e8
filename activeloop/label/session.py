"""One sitting: from a run's config to a page that people label on, until it is stopped."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from socket import socket
from threading import Thread

from omegaconf import DictConfig

from activeloop.building import build, build_learner, original_pool
from activeloop.errors import ActiveLoopError, DataError
from activeloop.label.app import make_app
from activeloop.label.browser import opened
from activeloop.label.command import PORT
from activeloop.label.desk import Desk
from activeloop.label.images import Images
from activeloop.label.link_file import link_kept
from activeloop.label.security import Credentials, Guard, hosts_of, is_loopback
from activeloop.label.serving import (
    kept_token,
    link_of,
    listen,
    serving,
)
from activeloop.label.terminal import Lines, Tables, say_stopped, say_where, wrap_up
from activeloop.label.unchanged import Unchanged
from activeloop.label.wanted import Wanted
from activeloop.loading import build_data
from activeloop.logs import logging_to
from activeloop.loop import ActiveLoop
from activeloop.manifest import Manifest
from activeloop.resuming import working_in
from activeloop.runner import announce, close, explain, track
from activeloop.stopping import Never
from activeloop.types import Data, Samples, StoppingRule
from activeloop.whole_files import named_errors

_TICK = 0.2  # seconds
_PATIENCE = 10.0  # seconds that a network which is being trained gets to stop


def label_run(wanted: Wanted) -> None:
    """Serve the page of a run until somebody stops it.

    Raises:
        ConfigError, DataError, LearnerError, StrategyError, StoreError: what is wrong.
    """
    port = PORT if wanted.port is None else wanted.port
    with (
        closing(listen(wanted.host, port, exactly=wanted.port is not None)) as listening,
        _removed_if_nothing_began(wanted.directory),
    ):
        announce(wanted.directory, wanted.config, wanted.about)
        with working_in(wanted.working_directory), logging_to(wanted.directory):
            _label_at(wanted, listening)


@contextmanager
def _removed_if_nothing_began(directory: Path) -> Iterator[None]:
    """Leave no directory behind where a mistake is found before the run has begun."""
    directory = directory.absolute()
    new = [place for place in (directory, *directory.parents) if not place.exists()]
    try:
        yield
    except Exception:
        if directory in new and not (directory / "run.db").exists():
            shutil.rmtree(directory, ignore_errors=True)
            with suppress(OSError):  # others have put something there meanwhile
                for place in new[1:]:
                    place.rmdir()
        raise


def _label_at(wanted: Wanted, listening: socket) -> None:
    directory, config, about = wanted.directory, wanted.config, wanted.about
    print("reading the images", flush=True)
    loop, _ = build(config, directory, about=about, new_samples=wanted.new_samples)
    try:
        explain(loop, directory, config, about)
        track(loop, directory, config)
        (rule,) = loop.stopping
        loop.stopping.clear()  # it gives advice; people decide when it is over
        _serve(wanted, listening, loop, None if isinstance(rule, Never) else rule)
    finally:
        close(loop)


def _originals(config: DictConfig, data: Data) -> Samples:
    """Return the samples of the pool as they were before `embed` took their place."""
    pool = original_pool(config, build_data)
    if list(pool.keys) != list(data.pool.keys):
        raise DataError(
            "the images of the pool are not in the order of its vectors: --new-samples ignore "
            "leaves out those that came since the run began"
        )
    return pool


def _serve(wanted: Wanted, listening: socket, loop: ActiveLoop, rule: StoppingRule | None) -> None:
    directory, config = wanted.directory, wanted.config
    original = None if loop.data.embeddings is None else partial(_originals, config, loop.data)
    noisy = bool(config.data.get("jitter"))  # then samples are not what is in their files
    kept = None if noisy else Manifest.read(loop.files.store)
    images = Images(loop.data, original, Unchanged(loop.data, kept))
    desk = Desk(
        loop, run=directory.resolve().name, make_learner=partial(build_learner, config), rule=rule
    )
    loop.listeners.append(Lines(lambda: desk.estimate))
    tables = Tables(loop)
    with named_errors(directory):
        token = kept_token(directory, new=wanted.new_token)
    port = listening.getsockname()[1]
    guard = Guard(
        make_app(desk, images, opinions=wanted.opinions),
        Credentials(token, port),
        hosts_of(wanted.host, wanted.names),
        any_address=not is_loopback(wanted.host),
    )
    link = link_of(listening, wanted.host, token)
    with _signals() as stopped, serving(guard, listening) as thread:
        say_where(wanted, loop, link, port)
        desk.start()
        try:
            with link_kept(directory, link), opened(directory, link, browser=wanted.browser):
                _wait(loop, stopped, thread, partial(wrap_up, wanted, loop), tables)
        finally:
            ended = desk.stop(_PATIENCE)
    tables.keep()  # when nobody answers any more
    say_stopped(wanted, loop, ended)


def _wait(
    loop: ActiveLoop,
    stopped: list[int],
    thread: Thread,
    when_over: Callable[[], None],
    tables: Tables,
) -> None:
    """Wait until somebody stops the program, doing what is to be done each time the run is over."""
    ended = loop.ended
    while not stopped:
        time.sleep(_TICK)
        if not thread.is_alive():
            raise ActiveLoopError("the server of the page has stopped by itself")
        if loop.ended is not None:
            tables.keep()
        if loop.ended != ended:
            ended = loop.ended
            if ended is not None:
                when_over()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Give a list that the signals to stop are put into; a second one stops at once."""
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
