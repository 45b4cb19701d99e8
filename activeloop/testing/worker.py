"""A second process, started once and shared by all checks, in which a strategy is called too."""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch


class UnloadableError(Exception):
    """A call cannot be sent to another process, or not be loaded there."""


class WorkerError(Exception):
    """A call raised in the other process, or ended it."""


class Worker:
    """A Python process that makes one call at a time, and ends with this one.

    `concurrent.futures` would import the main script anew, and so run a script that checks a
    strategy in its last line once more.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process if there is none; it imports torch while this one goes on."""
        if self._process is not None and self._process.poll() is None:
            return
        # Another seed for hashes: orders of sets and dictionaries of strings differ.
        seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(_import_path()),
            "PYTHONHASHSEED": seed,
        }
        command = "from activeloop.testing.worker import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return `function(*args)`, called in the other process with as many threads.

        Raises:
            UnloadableError: the call cannot be pickled, or not be unpickled there.
            WorkerError: it raised, or ended the process.
        """
        try:
            payload = pickle.dumps((function, args))
        except Exception as error:  # whatever a `__reduce__` raises
            raise UnloadableError(f"{type(error).__name__}: {error}") from error
        self.start()
        assert self._process is not None
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None
        assert replies is not None
        try:
            pickle.dump((_import_path(), torch.get_num_threads(), payload), requests)
            requests.flush()
            failure, result = pickle.load(replies)
        except (EOFError, BrokenPipeError) as cause:
            code = self._process.wait()
            self.close()
            raise WorkerError(f"it ended with exit code {code}") from cause
        except BaseException:
            # Interrupted: the reply would be taken for that of the next call.
            self.close()
            raise
        if failure is not None:
            raise failure
        return result

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def serve() -> None:
    """Make the calls that come on standard input, until it is closed."""
    # What a strategy prints must not come between the replies.
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (reply := _reply(requests)) is not None:
        pickle.dump(reply, replies)
        replies.flush()


def _reply(requests: BinaryIO) -> tuple[Exception | None, Any] | None:
    """Make one call and return its error or its result; None where there are no more."""
    try:
        path, threads, payload = pickle.load(requests)
    except EOFError:
        return None
    sys.path[:] = path
    torch.set_num_threads(threads)
    try:
        function, args = pickle.loads(payload)
    except Exception as error:  # whatever importing a module raises
        return UnloadableError(f"{type(error).__name__}: {error}"), None
    try:
        return None, function(*args)
    except Exception as error:  # it is the caller's to judge
        return WorkerError(str(error) or type(error).__name__), None


def _import_path() -> list[str]:
    return [str(Path(entry).absolute()) for entry in sys.path]


WORKER = Worker()
atexit.register(WORKER.close)
