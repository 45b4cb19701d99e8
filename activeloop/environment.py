"""What a run ran on: versions, hardware, commit and command."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from activeloop import __version__, torchrun
from activeloop.config import EXCLUDED_KEYS
from activeloop.store import Store
from activeloop.whole_files import write_text

log = logging.getLogger(__name__)

ENVIRONMENT_FILE = "environment.json"

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "faiss-cpu",
    "hydra-core",
    "safetensors",
)


def environment(device: str | None) -> dict[str, Any]:
    """Return versions, hardware, commit and command as JSON-able values.

    `device` is None while none is in use yet.
    """
    on_gpu = device is not None and device.startswith("cuda")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [word for word in sys.argv if not word.startswith(EXCLUDED_KEYS)],
        "working_directory": str(Path.cwd()),
        "commit": _commit(),
        "versions": {"python": platform.python_version(), "activeloop": __version__}
        | {package: _version(package) for package in _PACKAGES},
        "hardware": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "processes": torchrun.place().size,
            "device": device,
            "accelerator": torch.cuda.get_device_name(device) if on_gpu else None,
        },
    }


def write_environment(
    directory: Path, device: str | None, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `environment.json`, with what else is kept of a run, and return the environment."""
    now = environment(device)
    text = json.dumps({**now, **about}, indent=2) + "\n"
    write_text(directory / ENVIRONMENT_FILE, text)
    return now


def keep_environment(now: Mapping[str, Any], store: Store) -> None:
    """Keep the environment in which a run began; warn if it is another one now."""
    before = store.meta("environment")
    if before is None:
        store.set_meta("environment", now)
        return
    for part in ("versions", "hardware"):
        for name, value in before[part].items():
            if now[part].get(name) != value:
                log.warning(
                    "the run began with %s %s, now it is %s: results may differ in the last digits",
                    *(name, value, now[part].get(name)),
                )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _commit() -> str | None:
    """Return the commit of the checkout that activeloop runs from, if it is one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _processor() -> str:
    """Return the processor's name; `platform.processor` is empty on most Linux machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
