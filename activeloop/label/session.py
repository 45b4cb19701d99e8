"""One sitting: from a run's config to a page that people label on, until it is stopped."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from socket import socket
from threading import Thread

from omegaconf import DictConfig
from torch import Tensor

from activeloop.errors import ActiveLoopError, DataError
from activeloop.exchange import tables
from activeloop.exchange.export_command import NAMES
from activeloop.exchange.files import write_lines
from activeloop.exchange.records import read
from activeloop.label.app import make_app
from activeloop.label.command import PORT, Wanted
from activeloop.label.desk import Desk
from activeloop.label.images import Images
from activeloop.label.link_file import link_kept
from activeloop.label.security import Credentials, Guard, hosts_of, is_loopback
from activeloop.label.serving import (
    kept_token,
    link_of,
    listen,
    serving,
    warning_of,
    write_private,
)
from activeloop.label.trainer import FINISHING
from activeloop.listeners import Silent
from activeloop.loading import build_data
from activeloop.logs import logging_to
from activeloop.loop import ActiveLoop
from activeloop.messages import one_line
from activeloop.report.curves import draw_curve
from activeloop.resuming import working_in
from activeloop.runner import announce, build, build_learner, close, explain, original_pool, track
from activeloop.stopping import Never
from activeloop.types import Data, Round, Samples, StoppingRule
from activeloop.whole_files import named_errors
from activeloop.words import counted

# In the directory of the run while the page is served: it leads the browser to the link.
OPENING_FILE = "label.html"

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
    images = Images(loop.data, original)
    loop.listeners.append(Lines())
    desk = Desk(
        loop, run=directory.resolve().name, make_learner=partial(build_learner, config), rule=rule
    )
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
        _welcome(wanted, loop, link, port)
        desk.start()
        try:
            opened = _opened(directory, link) if wanted.browser else nullcontext()
            with link_kept(directory, link), opened:
                _wait(loop, stopped, thread, partial(_wrap_up, loop, wanted))
        finally:
            ended = desk.stop(_PATIENCE)
    if not ended:
        print("a network was being trained: that round is done again when the run goes on")
    there = loop.pool.n_labelled
    print(
        f"stopped: {counted(there, 'label')} {'is' if there == 1 else 'are'} safe in "
        f"{wanted.typed}; "
        f"python -m activeloop label {wanted.typed} goes on"
    )


def _welcome(wanted: Wanted, loop: ActiveLoop, link: str, port: int) -> None:
    """Say where the page is, where the labels go, and how to stop."""
    if warning := warning_of(wanted.host, port):
        print(warning, file=sys.stderr)
    if wanted.port is None and port != PORT:
        print(f"port {PORT} is in use: the page is at {port}")
    there = loop.pool.n_labelled
    going_on = f" ({there:,} {'is' if there == 1 else 'are'} there)" if there else ""
    images, classes = counted(len(loop.pool), "image"), ", ".join(loop.data.classes)
    print(f"{loop.data.name}: {images}, classes {classes}")
    if loop.data.root is not None and loop.data.test is not None:
        print(
            f"{counted(len(loop.data.test), 'more image')} in class folders: the test set, with "
            "the folders' names as labels; those of the others are not taken, people label them"
        )
    print(f"labels are kept in {wanted.typed}{going_on}; Ctrl-C stops, at any time")
    if loop.ended is None and loop.files.store.meta(FINISHING) is not None:
        print("it was being finished, and goes on with that: a last network learns all labels")
    print(f"the page: {link}", flush=True)


def _wait(
    loop: ActiveLoop, stopped: list[int], thread: Thread, wrap_up: Callable[[], None]
) -> None:
    """Wait until somebody stops the program, and wrap up each time the run is finished."""
    ended = loop.ended
    while not stopped:
        time.sleep(_TICK)
        if not thread.is_alive():
            raise ActiveLoopError("the server of the page has stopped by itself")
        if loop.ended != ended:
            ended = loop.ended
            if ended is not None:
                wrap_up()


def _wrap_up(loop: ActiveLoop, wanted: Wanted) -> None:
    """Leave the curve and the labels of a run that is over, and say what can be done with it."""
    directory, typed = wanted.directory, wanted.typed
    curve = directory / "curve.png"
    _tried(curve, lambda: draw_curve(loop.rounds, curve, title=loop.data.name))
    _tried(directory / NAMES["csv"], partial(_write_labels, directory))
    there = f"{counted(loop.pool.n_labelled, 'label')} of {_classes(loop)}"
    print(f"{loop.ended}: {there}, files in {typed}")
    if (directory / "model.safetensors").exists():
        print(f"label other images: python -m activeloop predict {typed} FOLDER")
    print(
        f"labels for other programs: {typed}/{NAMES['csv']}, or python -m activeloop export "
        f"{typed} --format label-studio|image-folder"
    )
    print("the page stays open; Ctrl-C leaves it", flush=True)


def _classes(loop: ActiveLoop) -> str:
    """Return how many classes have labels, and of how many where some have none."""
    there, n = loop.pool.n_classes, loop.data.n_classes
    words = counted(there, "class", "classes")
    return words if there == n else f"{words} ({n - there} without any)"


def _write_labels(directory: Path) -> None:
    labels = read(directory)
    write_lines(directory / NAMES["csv"], tables.csv_lines(labels, labels.present, numbered=False))


def _tried(path: Path, write: Callable[[], None]) -> None:
    """Write a file; without it, people can go on all the same."""
    try:
        write()
    except (ActiveLoopError, OSError) as error:
        print(
            f"warning: {path.name} was not written: {one_line(error)}", file=sys.stderr, flush=True
        )


class Lines(Silent):
    """Prints a line for each round."""

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Say what the round brought."""
        print(_line(round.round, round.labels, round.metrics), flush=True)


def _line(number: int, labels: int, metrics: Mapping[str, float]) -> str:
    parts = [f"round {number}: {counted(labels, 'label')}"]
    if "accuracy" in metrics:
        parts.append(f"accuracy {metrics['accuracy']:.1%}")
    elif "audit_accuracy" in metrics:
        low, high = metrics["audit_low"], metrics["audit_high"]
        parts.append(
            f"accuracy of round {number - 1} by audit {metrics['audit_accuracy']:.1%} "
            f"({low:.1%} to {high:.1%})"
        )
    seconds = sum(value for name, value in metrics.items() if name.endswith("_seconds"))
    return ", ".join([*parts, f"{seconds:.1f} s"])


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


@contextmanager
def _opened(directory: Path, link: str) -> Iterator[None]:
    """Open the page in a browser.

    By a file that nobody else may read: other users of this machine see the words of each
    command, and the link would be one.
    """
    path = directory / OPENING_FILE
    try:
        if _has_display():
            with named_errors(directory):
                write_private(
                    path,
                    '<!doctype html><meta charset="utf-8"><title>activeloop</title>'
                    f'<meta http-equiv="refresh" content="0;url={link}">\n',
                )
            Thread(target=webbrowser.open, args=(path.absolute().as_uri(),), daemon=True).start()
        yield
    finally:
        path.unlink(missing_ok=True)


def _has_display() -> bool:
    """Return whether there is a screen: without one, a browser in the terminal would open."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
