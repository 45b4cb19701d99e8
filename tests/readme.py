"""The commands and the code of the README, and how a test runs them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.S)


@dataclass(frozen=True)
class Block:
    mark: str
    language: str
    text: str


def blocks() -> list[Block]:
    found = BLOCK.finditer(README.read_text(encoding="utf-8"))
    return [Block(m["mark"] or "", m["language"], m["text"]) for m in found]


def commands() -> list[tuple[str, str]]:
    """Return mark and text of each shell command and each program."""
    listed = []
    for block in blocks():
        if not block.mark.startswith("run"):
            continue
        lines = [block.text] if block.language == "python" else block.text.splitlines()
        listed += [(f"{block.mark} {block.language}", line) for line in lines]
    return listed


def needs_real_data(mark: str) -> bool:
    return "mnist" in mark


def make_workplace(folder: Path) -> None:
    """Put what the README's commands find around them into `folder`."""
    for block in blocks():
        if block.mark.startswith("file: "):
            path = folder / block.mark.removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    (folder / "scripts").symlink_to(ROOT / "scripts")
    make_photos(folder / "photos")


def make_photos(root: Path) -> None:
    """Make a folder of one's own images: cats are dark, dogs are bright."""
    rng = np.random.default_rng(0)
    for name, brightness in (("cat", 80), ("dog", 170)):
        (root / name).mkdir(parents=True)
        for number in range(60):
            pixels = rng.normal(brightness, 60, (40, 50, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.jpg")


def run(
    mark: str, text: str, workplace: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command or a program of the README, shortened as its mark says."""
    if mark.endswith("python"):
        words = [sys.executable, "-c", text]
    else:
        words = shlex.split(text)
        assert words[0] == "python"
        words[0] = sys.executable
    if needs_real_data(mark) and "-m" in words:
        words.append(f"data.root={environment['ACTIVELOOP_TEST_DATA']}")
    if "short: " in mark and "activeloop" in words:
        short = mark.partition("short: ")[2].removesuffix(" bash").split()
        replaced = {word.partition("=")[0] for word in short}
        words = [w for w in words if w.partition("=")[0] not in replaced] + short
    path = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    return subprocess.run(
        words,
        cwd=workplace,
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
