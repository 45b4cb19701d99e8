"""Processes that are forked from one that has imported what takes seconds, once for all of them."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        *("activeloop.runner", "activeloop.report.figures", "hydra._internal.hydra"),
        *("matplotlib.pyplot", "sklearn.datasets", "torch._dynamo"),
    ]
)


def python_m(
    module: str, words: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module words` in `folder`."""
    with tempfile.TemporaryDirectory() as said:
        files = [Path(said) / name for name in ("out", "err")]
        process = context.Process(
            target=_as_main, args=(module, words, folder, dict(environment), files)
        )
        process.start()
        process.join()
        out, err = (path.read_text("utf-8") for path in files)
    return subprocess.CompletedProcess(words, process.exitcode or 0, out, err)


def _as_main(
    module: str,
    words: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    files: Sequence[Path],
) -> None:
    import torch

    for number, path in enumerate(files, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    torch.set_num_threads(1)
    sys.path.insert(0, str(folder))
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
