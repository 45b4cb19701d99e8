"""One sitting: from a run's config to a page that people label on, until it is stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import socket
from threading import Thread

from omegaconf import OmegaConf
from torch import Tensor

from activeloop.environment import write_environment
from activeloop.errors import ActiveLoopError, ConfigError
from activeloop.label.app import make_app
from activeloop.label.command import PORT, Wanted
from activeloop.label.desk import Desk
from activeloop.label.images import Images
from activeloop.label.security import Credentials, Guard, hosts_of, is_loopback
from activeloop.label.serving import (
    kept_token,
    link_of,
    listen,
    serving,
    warning_of,
    write_private,
)
from activeloop.listeners import Silent
from activeloop.loop import ActiveLoop
from activeloop.report.curves import draw_curve
from activeloop.run_files import named_errors, shown
from activeloop.runner import build, build_data, build_learner, original_pool
from activeloop.stopping import Never
from activeloop.types import Round, StoppingRule

# In the directory of the run while the page is served: it leads the browser to the link.
OPENING_FILE = "label.html"

_TICK = 0.2  # seconds
_PATIENCE = 10.0  # seconds that a network which is being trained gets to stop


def label_run(wanted: Wanted) -> None:
    """Serve the page of a run until somebody stops it.

    Raises:
        ConfigError, DataError, LearnerError, StrategyError, StoreError: what is wrong.
    """
    form = "%(levelname)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stdout, force=True)
    port = PORT if wanted.port is None else wanted.port
    with contextlib.closing(
        listen(wanted.host, port, exactly=wanted.port is not None)
    ) as listening:
        taken = listening.getsockname()[1]
        if wanted.port is None and taken != PORT:
            print(f"port {PORT} is in use: taking {taken}")
        print("reading the images", flush=True)
        loop, rule = _loop(wanted)
        try:
            _serve(wanted, listening, loop, rule)
        finally:
            loop.files.close()


def _loop(wanted: Wanted) -> tuple[ActiveLoop, StoppingRule | None]:
    """Return the run, and the stopping rule, which gives advice instead of ending it."""
    directory = wanted.directory
    loop, _ = build(wanted.config, directory)
    try:
        (rule,) = loop.stopping
        loop.stopping.clear()
        store = loop.files.store
        if wanted.labels is not None and store.meta("run") is None:
            store.set_meta("run", wanted.labels | {"labelled_by_people": True})
            with named_errors(directory):
                (directory / "config.yaml").write_text(OmegaConf.to_yaml(wanted.config), "utf-8")
        if not (store.meta("run") or {}).get("labelled_by_people"):
            raise ConfigError(
                f"{shown(directory)} was not labelled by people: python -m activeloop branch "
                "starts a run from its labels"
            )
        write_environment(directory, str(loop.learner.device), store)
    except BaseException:
        loop.files.close()
        raise
    return loop, None if isinstance(rule, Never) else rule


def _serve(wanted: Wanted, listening: socket, loop: ActiveLoop, rule: StoppingRule | None) -> None:
    directory, config = wanted.directory, wanted.config
    original = None if loop.data.embeddings is None else partial(original_pool, config, build_data)
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
        desk.start()
        _welcome(wanted, loop, link, port)
        try:
            with _opened(directory, link) if wanted.browser else contextlib.nullcontext():
                _wait(loop, stopped, thread, partial(_wrap_up, loop, directory))
        finally:
            ended = desk.stop(_PATIENCE)
    if not ended:
        print("a network was being trained: that round is done again when the run goes on")
    print(
        f"stopped: {loop.pool.n_labelled} labels are safe in {shown(directory)}; "
        f"python -m activeloop label {_typed(directory)} goes on"
    )


def _welcome(wanted: Wanted, loop: ActiveLoop, link: str, port: int) -> None:
    """Say where the page is, where the labels go, and how to stop."""
    if warning := warning_of(wanted.host, port):
        print(warning, file=sys.stderr)
    there = loop.pool.n_labelled
    going_on = f" ({there} are there)" if there else ""
    print(f"{loop.data.name}: {len(loop.pool):,} images, classes {', '.join(loop.data.classes)}")
    print(f"labels are kept in {shown(wanted.directory)}{going_on}; Ctrl-C stops, at any time")
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


def _wrap_up(loop: ActiveLoop, directory: Path) -> None:
    """Leave the curve of a run that is over, and say what can be done with it."""
    with named_errors(directory):
        draw_curve(loop.rounds, directory / "curve.png", title=loop.data.name)
    typed = _typed(directory)
    print(f"{loop.ended}: {loop.pool.n_labelled} labels, files in {shown(directory)}")
    if (directory / "model.safetensors").exists():
        print(f"label other images: python -m activeloop predict {typed} FOLDER")
    print(f"labels for other programs: python -m activeloop export {typed} --format csv")
    print("the page stays open; Ctrl-C leaves it", flush=True)


class Lines(Silent):
    """Prints a line for each round."""

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Say what the round brought."""
        print(_line(round.round, round.labels, round.metrics), flush=True)


def _line(number: int, labels: int, metrics: Mapping[str, float]) -> str:
    parts = [f"round {number}: {labels} labels"]
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


def _typed(directory: Path) -> str:
    return shlex.quote(shown(directory))
