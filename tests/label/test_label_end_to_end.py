"""From 200 images to a trained model: people at the page in Chromium, the whole program behind."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browsers import chromium
from labellers import STOPWATCH, Labeller, other_person
from selenium.webdriver.common.keys import Keys
from sittings import Sitting

pytestmark = pytest.mark.slow

LABELS = "SELECT key, label, who FROM labels"  # of a skipped image the label is null
CLASSES = ("airplane", "frog", "ship")


@pytest.fixture
def photos(real_data: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Return a flat folder of 200 CIFAR-10 images, and what is on each."""
    folder, truth = tmp_path / "photos", {}
    folder.mkdir()
    for place in range(200):
        name = CLASSES[place % 3]
        source = real_data / "cifar10-jpg" / "train" / name / f"{place // 3:04d}.jpg"
        key = f"photo_{place * 7919 % 1000:03d}.jpg"
        shutil.copy(source, folder / key)
        truth[key] = name
    return folder, truth


SETTINGS = [
    "data=image_folder",
    f"data.classes=[{','.join(CLASSES)}]",
    "data.workers=0",
    "embed=pca",
    "embed.dimensions=20",
    "learner=probe",
    "strategy=margin",
    "initial=typiclust",
    "initial.size=16",
    "query_size=12",
    "audit=0.25",
    "budget=null",
    "rounds=1000",
    "device=cpu",
]


class Person:
    """Labels by what is on the images, and remembers what was pressed.

    Attributes:
        said: by key of the image, what they want to be kept.
        seen: the images that they were shown, in order.
    """

    def __init__(self, page: Labeller, name: str, truth: dict[str, str]) -> None:
        self.page, self.name, self.truth = page, name, truth
        self.said: dict[str, str | None] = {}
        self.seen: list[str] = []

    def sees(self) -> str:
        """Return the file name of the image that is shown; nothing while it is loaded."""
        script = "return document.querySelector('.stage:not([aria-busy=true]) img')?.alt"
        alt = self.page.do(script)
        return alt.split(", ")[1] if alt else ""

    def look(self) -> str:
        """Return the file name of the image that is shown, once it is another one."""
        last = self.seen[-1] if self.seen else ""

        def key() -> str | None:
            name = self.sees()
            return name if name != last else None

        self.seen.append(self.page.wait(key, "the next image"))
        return self.seen[-1]

    def answer(self, count: int) -> None:
        for _ in range(count):
            key = self.look()
            # The seventh is not clear to them.
            skips = len(self.seen) % 7 == 0
            self.said[key] = None if skips else self.truth[key]
            self.page.type("s" if skips else str(1 + CLASSES.index(self.truth[key])))


def more_than_three(held: list[int]) -> list[int] | None:
    return held if len(held) > 3 else None


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    running = chromium(tmp_path / "chromium")
    yield running
    running.quit()


def test_from_200_images_to_a_model(photos, browser, tmp_path):
    folder, truth = photos
    directory = tmp_path / "outputs"
    sitting = Sitting(directory, [f"data.root={folder}", *SETTINGS])
    link = sitting.start()
    address = link.split("?")[0]
    page = Labeller(browser).open(link, "Ann")
    page.screen()
    ann = Person(page, "Ann", truth)
    ann.answer(3)
    page.do(STOPWATCH)
    ann.answer(20)
    delays = sorted(page.do("return window.delays"))
    print(f"\nkey to next image, median of {len(delays)}: {delays[len(delays) // 2]:.1f} ms")

    # Taken back, the last first, and said anew.
    ann.look()
    for key in ann.seen[-2:-5:-1]:
        page.type("u")
        page.wait(lambda key=key: page.shown(f".stage img[alt$='{key}']"), key)
        del ann.said[key]
    ann.seen.clear()
    ann.answer(4)

    # A reload in the middle.
    page.saved()
    page.open(address)
    ann.seen.clear()
    ann.answer(5)

    # Two people, never the same image.
    window, other_link = other_person(browser, link)
    ben = Person(window.open(other_link, "Ben"), "Ben", truth)
    ann.look()
    for _ in range(8):
        ben.answer(1)
        ann.seen.pop()
        ann.answer(1)
        ann.look()
    ann.seen.pop()
    assert not set(ann.said) & set(ben.said)
    window.saved()
    page.saved()

    # The server is stopped and started again: what was said in between is not lost.
    page.wait(lambda: sitting.desk.status().training.state == "idle", "a pause")
    for one, whose in ((page, "Ann"), (window, "Ben")):
        one.heard()
        held = one.wait(lambda whose=whose: more_than_three(sitting.held(whose)), "images ahead")
        one.ready(*held)
    sitting.stop()
    ann.answer(3)
    page.says("3 saving", ".saved")
    ben.answer(2)
    sitting.start()
    # What they see is theirs still, before their pages have asked.
    eve = {card.key for card in sitting.desk.next("Eve", 200)}
    assert not {page.wait(one.sees, "an image") for one in (ann, ben)} & eve
    sitting.desk.next("Eve", 0)
    page.saved()
    window.saved()
    page.wait(lambda: page.text(".notices") == "", "the end of the banner")
    assert not set(ann.said) & set(ben.said)

    # People go on until what was drawn at random tells how good the network is.
    def estimated() -> bool:
        status = sitting.desk.status()
        if status.estimate is None and status.training.state == "idle":
            ben.answer(1)
            window.saved()
        return status.estimate is not None

    page.wait(estimated, "an estimate")

    # A class's screenful at once, when the network has looked at all images.
    def looked() -> bool:
        cards = sitting.desk.grid("Eve", CLASSES[0], 24)
        sitting.desk.next("Eve", 0)
        return len(cards) > 3

    page.wait(looked, "what the network thinks")
    page.type("g")
    page.wait(lambda: len(page.texts(".tile")) > 3, "the grid")
    names = page.do("return [...document.querySelectorAll('.tile')].map((e) => e.ariaLabel)")
    for name in names:
        key = name.split(", ")[1].split(":")[0]
        page.type(str(1 + CLASSES.index(truth[key])), Keys.ARROW_RIGHT)
        ann.said[key] = truth[key]
    page.type(Keys.ENTER)
    page.saved()

    page.wait(lambda: sitting.desk.status().training.state == "idle", "a pause")
    page.hear()
    page.says("drawn at random, when it had", ".estimate")
    page.click("Finish", ".panel")
    page.click("Finish", "dialog")
    page.says("Finished by Ann", ".end")
    window.says("Finished by Ann", ".end")
    noise = [line for line in page.complaints() if "Failed to load resource" not in line]
    assert noise == []
    sitting.stop()

    assert (directory / "model.safetensors").is_file()
    with closing(sqlite3.connect(directory / "run.db")) as database:
        kept = {key: (label, who) for key, label, who in database.execute(LABELS)}
    assert kept == {key: (said, one.name) for one in (ann, ben) for key, said in one.said.items()}
    assert len(kept) > 60
