"""Every command and every piece of code in the README is run, in the order in which it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
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


def photos(root: Path) -> None:
    """Make a folder of one's own images: cats are dark, dogs are bright."""
    rng = np.random.default_rng(0)
    for name, brightness in (("cat", 80), ("dog", 170)):
        (root / name).mkdir(parents=True)
        for number in range(60):
            pixels = rng.normal(brightness, 60, (40, 50, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.jpg")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    for block in blocks():
        if block.mark.startswith("file: "):
            path = folder / block.mark.removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    (folder / "scripts").symlink_to(ROOT / "scripts")
    photos(folder / "photos")
    return folder


def test_no_command_and_no_code_is_left_out():
    for block in blocks():
        assert block.mark or block.language == "toml", block.text
    marks = [block.mark for block in blocks()]
    assert marks.count("ci: run") == marks.count("ci: test") == 1  # .ci/run runs these two


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mark", "text"), commands(), ids=lambda value: value[:60])
def test_it_runs(workplace, request, mark, text):
    if "hydra/launcher=joblib" in text:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="activeloop[sweep]")
    for extra, package in (("tensorboard", "tensorboard"), ("mlflow", "mlflow")):
        if f"tracker={extra}" in text:
            pytest.importorskip(package, reason=f"activeloop[{extra}]")
    if mark.endswith("python"):
        words = [sys.executable, "-c", text]
    else:
        words = shlex.split(text)
        assert words[0] == "python"
        words[0] = sys.executable
    if "mnist" in mark and "-m" in words:
        words.append(f"data.root={request.getfixturevalue('real_data')}")
    if "short: " in mark and "activeloop" in words:
        short = mark.partition("short: ")[2].removesuffix(" bash").split()
        replaced = {word.partition("=")[0] for word in short}
        words = [w for w in words if w.partition("=")[0] not in replaced] + short
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        words,
        cwd=workplace,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    if "notebook_table" in text:
        assert done.stdout.count("| `") == 5
