"""The commands and the code of the README, and how a test runs them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
README, LABELLING = ROOT / "README.md", ROOT / "LABELLING.md"
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.S)


@dataclass(frozen=True)
class Block:
    mark: str
    language: str
    text: str


def blocks(page: Path = README) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(m["mark"] or "", m["language"], m["text"]) for m in found]


@dataclass(frozen=True)
class Command:
    """A shell command or a program; `first`: of its block."""

    mark: str
    text: str
    first: bool


def commands(page: Path = README) -> list[Command]:
    """Return each shell command and each program."""
    listed = []
    for block in blocks(page):
        if not block.mark.startswith("run"):
            continue
        lines = [block.text] if block.language == "python" else block.text.splitlines()
        mark = f"{block.mark} {block.language}"
        listed += [Command(mark, line, first=line == lines[0]) for line in lines]
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
    make_photos(folder / "photos2", number=10)


def make_photos(root: Path, number: int = 60) -> None:
    """Make a folder of one's own images: cats are dark, dogs are bright."""
    rng = np.random.default_rng(number)
    for name, brightness in (("cat", 80), ("dog", 170)):
        (root / name).mkdir(parents=True)
        for n in range(number):
            pixels = rng.normal(brightness, 60, (40, 50, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{n}.jpg")


def flatten(root: Path) -> None:
    """Have a folder's images lie in it directly, as somebody has them who labelled nothing."""
    for path in sorted(root.glob("*/*.jpg")):
        path.rename(root / f"{path.parent.name}-{path.name}")
    for folder in root.iterdir():
        if folder.is_dir():
            folder.rmdir()


def run(
    command: Command, workplace: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command or a program of the README, shortened as its mark says.

    The first of each block is a process of its own from its start; those that follow it are forked.
    """
    mark, text = command.mark, command.text
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
    environment = {**environment, "PYTHONPATH": path}
    if "label" in mark.split():
        return label([*words, "--no-browser"], workplace, environment)
    if words[1:3] == ["-m", "activeloop"] and not command.first:
        return forked.python_m("activeloop", words[3:], workplace, environment)
    return subprocess.run(
        words,
        cwd=workplace,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def label(
    words: Sequence[str], workplace: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the label command, answer on its page what is asked, finish there, and stop it."""
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            words, cwd=workplace, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if link := re.search(r"http://\S+", line):
                _answer_all(link[0])
                process.send_signal(signal.SIGINT)
        said.seek(0)
        errors = said.read()
    return subprocess.CompletedProcess(words, process.returncode, "".join(lines), errors)


def _answer_all(link: str) -> None:
    """Give 40 images the class that is in their path, and finish."""
    address, _, token = link.partition("/?token=")

    def call(path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"{address}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    labels = 0
    while labels < 40:
        for card in call("next", {"who": "ann", "count": 5, "keep": []})["cards"]:
            name = "cat" if "cat" in card["key"] else "dog"
            answer = {"id": card["id"], "kind": "label", "label": name, "seconds": 1.0}
            call("answer", {"who": "ann", "answers": [answer | {"replaces": None}]})
            labels += 1
    call("finish", {"who": "ann"})
    while call("status?who=ann")["finished"] is None:
        time.sleep(0.2)
