"""Several processes of one run, as torchrun starts them but without the seconds that it takes."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from forked import context
from torch import Tensor, nn
from torch.distributed import TCPStore

PATIENCE = 60  # seconds after which a process counts as hanging


def together(function: Callable[..., Any], *arguments: Any, size: int = 2) -> list[Any]:
    """Return what `function(*arguments)` returns on each of `size` ranks."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # as torchrun has it
    started = []
    for rank in range(size):
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_as_rank, args=(theirs, rank, size, store.port, function, arguments)
        )
        process.start()
        theirs.close()
        started.append((process, mine))
    results = []
    until = time.monotonic() + PATIENCE
    for process, mine in started:
        try:
            assert mine.poll(max(0, until - time.monotonic())), "a process hangs"
            results.append(mine.recv())
        except EOFError:  # it ended without a word
            process.join()
            results.append(process.exitcode)
        finally:
            process.join(1)
            process.kill()
    return results


def _as_rank(
    pipe: Any, rank: int, size: int, port: int, function: Callable[..., Any], arguments: Any
) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    pipe.send(function(*arguments))


def command(
    folder: Path | Sequence[Path], words: Sequence[str] | Sequence[Sequence[str]]
) -> tuple[int, str, str]:
    """Run a command line in `folder`, both of which may differ by rank: code, output, errors."""
    rank = os.environ["RANK"]
    if not isinstance(folder, Path):
        folder = folder[int(rank)]
    if not isinstance(words[0], str):
        words = words[int(rank)]
    os.chdir(folder)
    files = [folder / f"{name}{rank}" for name in ("out", "err")]
    for number, path in enumerate(files, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.pop("HYDRA_FULL_ERROR", None)  # set by command lines in the tests' own process
    from activeloop.app import main

    sys.argv = ["activeloop", *words]
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = (path.read_text("utf-8") for path in files)
    for path in files:
        path.unlink()
    return code, out, err


# -- what goes wrong -----------------------------------------------------------------------------


def breaks_at_40(context):
    """Pick the first, but raise at 40 labels while there is a file `broken`."""
    if len(context.labelled) == 40 and Path("broken").exists():
        raise ValueError("cannot pick")
    return context.unlabelled[: context.k]


class Fragile(nn.Module):
    """A linear model, for which the process of rank 1 dies or raises in its tenth training step."""

    def __init__(self, shape: tuple[int, ...], n_classes: int, end: str) -> None:
        super().__init__()
        self.last = nn.Linear(math.prod(shape), n_classes)
        self.end = end
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        if self.steps == 10 and os.environ.get("RANK") == "1":
            if self.end == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("no more memory")
        return self.last(x.flatten(1))


def kills(context):
    """End the process that asks."""
    os.kill(os.getpid(), signal.SIGKILL)
