"""The labelling page in Chromium, against a server with made-up images."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fnmatch import fnmatch
from typing import Any

import pytest
from browsers import chromium
from fake_server import PAGE, FakeDesk, FakeServer, serving
from labellers import STOPWATCH, Labeller, other_person
from selenium.webdriver.common.keys import Keys

from activeloop.exchange.reading import read_rows
from activeloop.exchange.rows import Columns
from activeloop.label.cards import Given, Training

pytest.importorskip("selenium")

SLY_CLASS = "<script>alert(1)</script>"
SLY_FILE = '"><img src=x onerror=alert(1)>.jpg'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    running = chromium(tmp_path_factory.mktemp("chromium"))
    Labeller(running).screen()
    yield running
    running.quit()


@pytest.fixture(scope="module")
def port() -> int:
    """Return one port for all desks: the browser keeps the page's files."""
    with serving(FakeDesk()) as server:
        return server.port


@pytest.fixture
def at_work(
    browser: Any, port: int
) -> Iterator[Callable[..., tuple[Labeller, FakeDesk, FakeServer]]]:
    """Return what opens the page of a desk, in a browser that keeps nothing of the one before.

    In the end the console must be empty, but for requests that a test means to fail.
    """
    Labeller(browser).screen()
    with ExitStack() as used:

        def opened(
            desk: FakeDesk, name: str | None = "Ann"
        ) -> tuple[Labeller, FakeDesk, FakeServer]:
            server = used.enter_context(serving(desk, port))
            person = Labeller(browser)
            used.enter_context(person.known_as(name))
            return person.open(server.url), desk, server

        yield opened
        Labeller(browser).leave()
        left = Labeller(browser).complaints()
    assert [line for line in left if "Failed to load resource" not in line] == []


def given(index: int, label: str, who: str = "Ben", event: int = 900) -> Given:
    return Given(event=event, kind="label", label=label, who=who, at="2026-01-31T12:00:00+00:00")


# -- the files -------------------------------------------------------------------------------------


def test_every_file_of_the_page_is_in_the_wheel():
    project = tomllib.loads((PAGE.parents[2] / "pyproject.toml").read_text())
    globs = project["tool"]["setuptools"]["package-data"]["activeloop.label.page"]
    files = [path.name for path in PAGE.iterdir() if path.suffix not in (".py", "")]
    assert [name for name in files if not any(fnmatch(name, glob) for glob in globs)] == []
    assert "activeloop.label.page" in project["tool"]["setuptools"]["packages"]


def test_the_page_makes_no_markup_of_texts_and_names_no_other_place():
    for path in PAGE.glob("*.*"):
        text = path.read_text()
        assert set(re.findall(r"\w+://[^\s\"'`]*", text)) <= {"http://www.w3.org/2000/svg"}
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text
        )


# Text for screen readers: what is there, and what comes from now on.
LIVE = "return document.querySelector('[aria-live=polite]').textContent"
READ_OUT = """
    window.spoken = [];
    const hear = ([{ target }]) => window.spoken.push(target.textContent);
    for (const live of document.querySelectorAll("[aria-live], [role=status], [role=alert]"))
      new MutationObserver(hear).observe(live, { childList: true });
"""


# -- one image -------------------------------------------------------------------------------------


def test_keys_answer_and_the_answers_reach_the_server_with_what_they_replace(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    # A key that is held answers once, one with Control not at all.
    person.do(
        "for (const how of [{repeat: true}, {ctrlKey: true}, {metaKey: true}, {altKey: true}])"
        " document.body.dispatchEvent("
        "new KeyboardEvent('keydown', {key: '1', bubbles: true, ...how}))"
    )
    person.wait(lambda: "Image 0, photo_0000.jpg" in person.do(LIVE), "its name")
    person.do(READ_OUT)
    person.press("1", "2", "s", "n", "1")
    person.see(5)
    person.saved()
    person.wait(lambda: "Image 5, photo_0005.jpg" in person.do(LIVE), "its name")
    spoken = ". ".join(person.do("return window.spoken"))
    assert spoken == ". ".join(f"Image {n}, photo_{n:04d}.jpg" for n in range(1, 6))
    assert desk.events == [
        ("Ann", 0, "label", "cat"),
        ("Ann", 1, "label", "dog"),
        ("Ann", 2, "skip", None),
        ("Ann", 3, "none", None),
        ("Ann", 4, "label", "cat"),
    ]
    said = [
        each for path, body in desk.requests if path == "/api/answer" for each in body["answers"]
    ]
    assert all(each["replaces"] is None and each["seconds"] >= 0 for each in said)
    assert person.text(".totals b") == "3"
    assert [text.split("\n")[0] for text in person.texts(".recent li")][:2] == [
        "cat",
        "none of these",
    ]


def test_five_images_ahead_are_decoded_before_they_are_needed(at_work):
    person, _, _ = at_work(FakeDesk(pixels=900))
    person.see(0)
    person.ready(5)
    person.do(STOPWATCH)
    for index in range(15):
        person.see(index)
        person.ready(index + 3)
        person.type("1")
    person.wait(lambda: len(person.do("return window.delays")) == 15, "fifteen times")
    print("median ms from key to next image:", sorted(person.do("return window.delays"))[7])
    # Of each image it is known whether it was there when its turn came.
    assert person.do("return window.late") == 0


def test_an_image_that_is_not_there_yet_cannot_be_answered(at_work):
    desk = FakeDesk()
    desk.pictures.clear()
    person, _, _ = at_work(desk)
    person.wait(lambda: person.shown(".stage img"), "the place of an image")
    person.type("1", "s", "n")
    assert person.image() is None
    desk.pictures.set()
    person.see(0)
    person.type("2")
    person.see(1)
    person.saved()
    assert desk.events == [("Ann", 0, "label", "dog")]


def test_keys_are_not_taken_from_fields(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    person.type("+")
    person.wait(lambda: person.shown("dialog"), "the dialog")
    person.says("only a branch of the run can rename it", "dialog")
    person.type("Cat", Keys.ENTER)
    person.says("There is a class “cat” already", "dialog")
    person.type(Keys.BACKSPACE * 3, "sun 12")
    assert person.do("return document.querySelector('dialog input').value") == "sun 12"
    person.type(Keys.ENTER)
    person.see(1)
    person.saved()
    assert desk.classes == ["cat", "dog", "sun 12"]
    assert desk.events == [("Ann", 0, "label", "sun 12")]
    person.press("3")
    person.see(2)
    person.saved()
    assert desk.events[-1] == ("Ann", 1, "label", "sun 12")


def test_the_grid_gives_nothing_back_that_an_undo_brings(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.press("1")
    person.see(1)
    person.saved()
    with desk.lock:  # the answer to the undo takes its time
        person.type("u")
        person.wait(lambda: desk.requests[-1][0] == "/api/undo", "the undo")
        person.type("g")
        person.wait(lambda: person.shown(".grid"), "the grid")
    person.see(0)
    assert "/api/grid" not in [path for path, _ in desk.requests]
    person.type("g")  # once more, with nothing on its way
    person.wait(lambda: person.texts(".tile"), "the grid's images")


def test_undo_goes_back_as_far_as_wanted_and_over_a_reload(at_work):
    person, desk, server = at_work(FakeDesk())
    person.press("1", "2", "1")
    person.see(3)
    person.saved()
    person.type("u", Keys.BACKSPACE, "1")  # at once, and for the image that comes back
    person.wait(lambda: len(desk.events) == 6, "two undone, one said anew")
    person.see(2)
    person.saved()
    person.open(server.url)
    person.see(2)
    assert "taken back" not in person.text(".reason")
    person.type_with(Keys.CONTROL, "z")
    person.see(1)
    person.says("Here again, for its answer was taken back.", ".reason")
    person.type("u")
    person.see(0)
    person.type("u")
    person.says("There is nothing left to take back")
    assert person.image() == 0
    assert [event[1:3] for event in desk.events] == [
        (0, "label"),
        (1, "label"),
        (2, "label"),
        (2, "undo"),
        (1, "undo"),
        (1, "label"),
        (1, "undo"),
        (0, "undo"),
    ]
    assert person.text(".totals b") == "0"


def test_with_more_classes_than_keys_a_letter_searches(at_work):
    classes = [f"breed {n:03d}" for n in range(98)] + ["collie", "border collie"]
    person, desk, _ = at_work(FakeDesk(tuple(classes)))
    person.see(0)
    person.type("c")
    person.type("oll")
    person.wait(lambda: person.texts(".classes button span") == ["collie", "border collie"], "two")
    person.type(Keys.ENTER)
    person.see(1)
    person.type("/")
    person.type("r col", Keys.ENTER)
    person.see(2)
    person.type("9")  # the field has given the keys back
    person.see(3)
    person.saved()
    assert [event[3] for event in desk.events] == ["collie", "border collie", "breed 008"]


def test_letters_stand_for_the_classes_after_the_ninth_and_never_for_commands(at_work):
    classes = [f"class {n}" for n in range(27)]
    classes[3] = "a name of three words " * 3  # which has room all the same
    person, desk, _ = at_work(FakeDesk(tuple(classes)))
    person.see(0)
    buttons = "return [...document.querySelectorAll('.classes button')]"
    assert person.do(f"{buttons}.every((b) => b.scrollHeight <= b.clientHeight)")
    keys = person.texts(".classes kbd")
    assert keys == [*"123456789", *"abcdefijkmoqrtvwxy"]
    assert not set(keys) & set("snughlpz")
    person.type("y")
    person.see(1)
    person.saved()
    assert desk.events == [("Ann", 0, "label", "class 26")]


def test_what_the_network_thinks_is_hidden_until_asked_for_and_that_is_remembered(at_work):
    person, _, server = at_work(FakeDesk())
    person.see(0)
    assert not person.shown(".hints")
    assert "Chosen in round 2 by margin" in person.text(".reason")
    assert "score 0.123" in person.text(".reason")
    person.type("p")
    person.says("80%", ".hints")
    assert person.do("return document.querySelector('.hints .fill').style.width") == "80%"
    assert person.texts(".nearest li") == ["cat"]
    person.open(server.url)
    person.see(0)
    assert person.shown(".hints")


def test_what_the_network_thinks_is_shown_when_it_is_known_not_with_the_next_image(at_work):
    person, desk, _ = at_work(FakeDesk())
    desk.confidence, desk.opinions = None, True
    person.open(person.driver.current_url)
    person.see(0)
    assert person.texts(".nearest li") == ["cat"]
    person.do("window.seen = document.querySelector('.stage img')")
    desk.confidence = 0.8
    person.hear()
    person.says("80%", ".hints")
    desk.confidence, desk.changes["round"] = 0.6, 3
    person.hear()
    person.says("60%", ".hints")
    assert person.do("return document.querySelector('.stage img') === window.seen")


def test_small_images_are_not_blurred_and_large_ones_can_be_looked_at_closely(at_work):
    person, _, _ = at_work(FakeDesk(pixels=28))
    person.see(0)
    rendering = "return getComputedStyle(document.querySelector('.stage img')).imageRendering"
    person.wait(lambda: person.do(rendering) == "pixelated", "pixels")
    width = "return document.querySelector('.stage img').getBoundingClientRect().width"
    whole = person.do(width)
    assert whole > 200
    person.type("z")
    person.wait(lambda: person.shown(".pane.close"), "the image closer")
    assert person.do("return document.querySelector('.pane').scrollHeight") > 500
    person.type("1")  # the keys stay
    person.see(1)
    assert not person.shown(".pane.close")


# -- nothing is lost -------------------------------------------------------------------------------


def test_answers_while_the_server_is_gone_are_kept_over_a_reload_and_sent_once(at_work):
    person, desk, server = at_work(FakeDesk())
    person.press("1")
    person.see(1)
    person.saved()
    person.ready(2, 3)
    # The page stays in the browser's memory while its server is away.
    server.stop()
    person.press("2", "1")
    person.says("2 saving", ".saved")
    person.says("The server does not answer", ".notices")
    kept = "return Object.keys(localStorage).filter((name) => name.includes('outbox')).length"
    assert person.do(kept) == 2
    drawn = "return [...document.querySelectorAll('.recent img')].map((i) => i.naturalWidth > 0)"
    person.wait(lambda: person.do(drawn) == [True] * 3, "the images of the last answers")
    server.start()
    person.open(server.url)
    person.saved()
    assert person.text(".notices") == ""
    assert desk.events == [
        ("Ann", 0, "label", "cat"),
        ("Ann", 1, "label", "dog"),
        ("Ann", 2, "label", "cat"),
    ]
    assert person.do(kept) == 0
    person.see(3)


def test_a_server_that_comes_back_gets_the_answers_without_a_reload(at_work):
    person, desk, server = at_work(FakeDesk())
    person.see(0)
    person.ready(1, 2, 3)
    server.stop()
    person.press("2", "2")
    person.type("u")  # never sent, so it needs no server
    person.see(1)
    person.type("1")
    person.do("localStorage.clear()")  # the page itself still has them
    desk.version = "2"
    server.start()
    person.saved()
    person.wait(
        lambda: person.text(".notices p") == "This page has a new version.", "that and nothing else"
    )
    assert desk.events == [("Ann", 0, "label", "dog"), ("Ann", 1, "label", "cat")]


def test_while_the_server_is_gone_the_images_that_are_there_come_first(at_work):
    desk = FakeDesk()
    desk.missing = {1, 3}  # not fetched yet when it goes
    person, _, server = at_work(desk)
    person.see(0)
    person.ready(1, 2, 3, 4, 5)
    server.stop()
    person.says("The server does not answer", ".notices")
    person.press("1")
    person.see(2)
    person.press("1")
    person.see(4)
    desk.missing.clear()
    server.start()
    person.saved()
    person.wait(lambda: person.text(".notices") == "", "the end of the banner")
    for index in (4, 1, 3):
        person.see(index)
        person.type("2")
    person.see(5)
    person.saved()
    assert [index for _, index, *_ in desk.events] == [0, 2, 4, 1, 3]


LOADED = """return [...document.querySelectorAll(arguments[0])]
    .filter((image) => image.complete).map((image) => image.naturalWidth > 0)"""


def test_small_images_that_failed_to_load_are_fetched_again_when_the_server_is_back(at_work):
    desk = FakeDesk()
    desk.missing = missing = set(range(6, len(desk.keys)))  # but those that are asked for first
    person, _, server = at_work(desk)

    def failed(selector):
        person.wait(lambda: False in person.do(LOADED, selector), f"no image in {selector}")

    def mended(selector, count):
        person.wait(
            lambda: person.do(LOADED, selector).count(True) >= count, f"images in {selector}"
        )
        assert all(person.do(LOADED, selector))

    def away_and_back():
        server.stop()
        person.hear()
        person.says("The server does not answer", ".notices")
        desk.missing = set()
        server.start()
        person.wait(lambda: person.text(".notices") == "", "the end of the banner")

    person.see(0)
    person.type("p")
    failed(".hints img")
    away_and_back()
    mended(".hints img", 1)
    desk.missing = missing
    person.type("g")
    tiles = "return document.querySelectorAll('.tiles img').length"
    person.wait(lambda: person.do(tiles) == 24, "the first tiles")
    person.type(Keys.ENTER)
    person.wait(lambda: person.do(tiles) == 6, "those that are left of 30")
    failed(".tiles img")
    away_and_back()
    mended(".tiles img", 6)
    person.type(Keys.ESCAPE)  # to the last answers, which were not on the page meanwhile
    mended(".recent img", 6)


def test_an_image_that_could_not_be_loaded_ahead_is_fetched_again_in_its_turn(at_work):
    desk = FakeDesk()
    desk.missing = {1}
    person, _, _ = at_work(desk)
    person.see(0)
    person.ready(1, 2)
    person.heard()
    desk.missing.clear()
    person.press("1")
    person.see(1)


def test_views_that_were_asked_for_while_the_server_was_gone_are_filled_when_it_is_back(at_work):
    desk = FakeDesk()
    desk.given[9] = [given(9, "cat")]
    person, _, server = at_work(desk)
    person.see(0)
    for key, view in (("g", ".grid"), ("h", ".history")):
        server.stop()
        person.hear()
        person.says("The server does not answer", ".notices")
        person.type(key)
        person.says("The server does not answer.", f"{view} .empty")
        server.start()
        person.wait(lambda view=view: person.texts(f"{view} .tile"), "tiles")
        person.wait(lambda: person.text(".notices") == "", "nothing that is not so any more")


def test_an_image_that_cannot_be_read_is_said_and_skipped_in_its_turn(at_work):
    desk = FakeDesk()
    desk.missing = {1}
    person, _, _ = at_work(desk)
    person.press("1")
    person.says("This image cannot be shown", ".stage")
    person.says("photo_0001.jpg", ".stage")
    person.type("s")
    person.see(2)
    person.saved()
    assert desk.events == [("Ann", 0, "label", "cat"), ("Ann", 1, "skip", None)]


def test_an_answer_whose_reply_was_lost_is_sent_again_and_counts_once(at_work):
    person, desk, _ = at_work(FakeDesk())
    desk.lose = 1
    person.press("1", "2")
    person.see(2)
    person.saved()
    assert desk.events == [("Ann", 0, "label", "cat"), ("Ann", 1, "label", "dog")]
    assert [path for path, _ in desk.requests].count("/api/answer") == 3


def test_a_full_disk_is_said_and_answers_wait_for_room(at_work):
    person, desk, _ = at_work(FakeDesk())
    desk.broken = 500
    person.press("1", "2")
    person.says("The disk is full. They are kept in this browser", ".notices")
    assert person.text(".saved").startswith("2 saving")
    assert person.texts(".mark") == ["…", "…"]
    desk.broken = 404  # another program has the port
    tries = len(desk.requests)
    person.wait(lambda: len(desk.requests) >= tries + 2, "that it is tried again")
    assert person.text(".saved") == "2 saving…"
    desk.broken = None
    person.saved()
    assert person.texts(".mark") == ["✓", "✓"]
    person.wait(lambda: person.text(".notices") == "", "the end of the banner")
    assert len(desk.events) == 2


def test_what_cannot_be_drawn_keeps_no_answer_from_being_sent_once(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    desk.broken = 500
    person.press("1", "2")
    person.says("2 saving", ".saved")
    desk.changes["counts"] = None  # which no status has
    person.hear()
    person.wait(lambda: any("TypeError" in line for line in person.complaints()), "a complaint")
    desk.broken = None
    tries = len(desk.requests)
    person.saved()
    person.complaints()
    desk.changes.clear()
    desk.given[9] = [given(9, "cat")]
    person.hear()
    person.wait(lambda: person.text(".totals b") == "3", "three labels")
    assert len(desk.events) == 2
    assert [path for path, _ in desk.requests[tries:]].count("/api/answer") <= 3


def test_a_conflict_is_said_with_what_the_other_said(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    desk.given[0] = [given(0, "dog")]
    person.type("1")
    person.says("Not saved: “cat” for photo_0000.jpg. Ben has said “dog” meanwhile.", ".notices")
    assert desk.events == []
    person.click("Look at it")
    person.see(0)
    person.says("Answered by Ben: dog", ".asked")
    person.type("1")  # now a correction, meant
    person.see(1)
    person.saved()
    assert desk.events == [("Ann", 0, "label", "cat")]
    assert person.text(".notices") == ""


def test_an_answer_never_goes_to_another_image_of_the_same_number(at_work):
    person, desk, server = at_work(FakeDesk())
    person.see(0)
    person.ready(1, 2, 3)
    server.stop()
    person.press("1", "2")
    desk.keys[0] = "joined.jpg"
    server.start()
    person.says("Not saved: “cat” for photo_0000.jpg. Image 0 is another one by now", ".notices")
    person.saved()
    assert desk.events == [("Ann", 1, "label", "dog")]


def test_another_run_at_the_same_port_gets_no_answer(at_work):
    person, desk, server = at_work(FakeDesk())
    person.see(0)
    person.ready(1, 2, 3)
    server.stop()
    person.press("1")
    person.see(1)
    desk.directory = "/runs/other photos"
    server.start()
    person.says("Another run is served here by now", ".notices")
    person.press("2")
    person.hear()
    assert person.text(".saved") == "1 saving…"
    assert desk.events == []
    desk.directory = "/runs/my photos"
    person.hear()
    person.saved()
    assert person.text(".notices") == ""
    person.press("2")
    person.saved()
    assert [event[1:] for event in desk.events] == [(0, "label", "cat"), (1, "label", "dog")]


def test_answers_for_a_run_that_is_gone_are_not_given_to_another_and_not_forgotten(
    at_work, tmp_path
):
    person, desk, server = at_work(FakeDesk())
    person.see(0)
    person.ready(1, 2, 3)
    server.stop()
    person.press("1", "s")
    person.says("2 saving", ".saved")
    desk.directory = "/runs/my"  # whose name begins as the other's does
    server.start()
    person.open(server.url)
    told = "2 answers for another run, /runs/my photos, not saved yet: “cat” for photo_0000.jpg, "
    person.says(f"{told}“skipped” for photo_0001.jpg.", ".notices")
    person.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    person.click("Save as a file", ".notices")
    file = tmp_path / "answers-my photos.csv"
    person.wait(file.is_file, "the file")
    person.says("python -m activeloop import /runs/my 'answers-my photos.csv', start", ".notices")
    person.click("Dismiss", ".message:last-child")
    rows = read_rows(file, Columns())
    assert [(row.key, row.label, row.who, row.skipped) for row in rows] == [
        ("photo_0000.jpg", "cat", "Ann", False),
        ("photo_0001.jpg", "", "Ann", True),
    ]
    assert all(row.seconds is not None for row in rows)
    person.press("2")
    person.see(1)
    person.saved()
    assert desk.events == [("Ann", 0, "label", "dog")]
    person.click("Forget", ".notices")
    person.click("Cancel", "dialog")
    assert person.shown(".notice")
    person.click("Forget", ".notices")
    person.click("Forget", "dialog")
    person.wait(lambda: not person.shown(".notice"), "the end of the notice")
    desk.directory = "/runs/my photos"
    person.open(server.url)
    person.see(1)
    assert person.text(".saved") == "all saved"
    assert len(desk.events) == 1


def test_who_may_not_label_is_told_to_open_the_link(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    desk.forbidden = True
    person.type("1")
    person.says("Open the link that the terminal shows", ".notices")
    desk.forbidden = False
    person.saved()
    assert desk.events == [("Ann", 0, "label", "cat")]
    desk.forbidden = True
    person.driver.refresh()
    person.says("Open the link that the terminal shows")


def test_two_people_never_see_the_same_image(browser, at_work):
    person, desk, server = at_work(FakeDesk(size=12))
    other, address = other_person(browser, server.url)
    other.open(address, "Ben")
    seen: dict[str, list[int]] = {"Ann": [], "Ben": []}
    for _ in range(4):
        for who, name in ((person, "Ann"), (other, "Ben")):
            who.wait(lambda who=who: who.image() is not None, "an image")
            seen[name].append(who.image())
            who.type("1" if name == "Ann" else "2")
            who.saved()
    assert not set(seen["Ann"]) & set(seen["Ben"])
    assert [event[1] for event in desk.events if event[0] == "Ben"] == seen["Ben"]
    assert {event[3] for event in desk.events if event[0] == "Ben"} == {"dog"}
    person.says("Ben", ".people")
    other.close()
    person.look()


# -- other views -----------------------------------------------------------------------------------


def test_the_grid_answers_a_screenful_in_one_request(at_work):
    person, desk, _ = at_work(FakeDesk(("cat", "dog", "hen")))
    person.see(0)
    person.type("g")
    person.wait(lambda: len(person.texts(".tile")) == 20, "the grid")
    person.type(Keys.ARROW_RIGHT, "2")  # image 3
    person.type(Keys.ARROW_RIGHT, "s")  # image 6
    person.type(Keys.ARROW_RIGHT, Keys.SPACE)  # image 9: left out
    person.says("Confirm 19 images")
    person.type(Keys.ENTER)
    person.saved()
    answers = [body["answers"] for path, body in desk.requests if path == "/api/answer"]
    assert [len(each) for each in answers] == [19]
    said = {each["id"]: (each["kind"], each["label"]) for each in answers[0]}
    assert said.pop(3) == ("label", "dog")
    assert said.pop(6) == ("skip", None)
    assert set(said.values()) == {("label", "cat")}
    assert set(said) == set(range(0, 60, 3)) - {3, 6, 9}
    person.wait(lambda: len(person.texts(".tile")) == 1, "what was left out")
    person.type(Keys.ESCAPE)
    person.see(1)
    assert "somebody else" not in person.text("body")  # image 0 was answered in the grid
    last = "return [...document.querySelectorAll('.recent button')].map((b) => b.ariaLabel)"
    assert person.do(last) == [
        f"Image {n}, photo_{n:04d}.jpg: cat. Correct it" for n in range(57, 39, -3)
    ]
    person.wait(lambda: person.texts(".mark") == ["✓"] * 6, "that they are saved")


def test_a_screenful_of_the_grid_is_taken_back_at_once_as_it_was_marked(at_work):
    person, desk, server = at_work(FakeDesk(("cat", "dog", "hen")))
    person.press("1")
    person.see(1)
    person.type("g")
    person.wait(lambda: len(person.texts(".tile")) == 19, "the grid")
    person.type(Keys.ARROW_RIGHT, "2")  # image 6
    person.type(Keys.ARROW_RIGHT, Keys.SPACE)  # image 9: left out
    person.type(Keys.ARROW_RIGHT, "s", Keys.ENTER)  # image 12
    person.saved()
    said = desk.events[1:]
    assert len(said) == 18
    person.open(server.url)
    person.see(1)
    person.type("u", "1")  # the second is meant for nothing that is there then
    person.wait(lambda: len(person.texts(".tile")) == 18, "the screenful")
    marks = ["cat", "dog", "skipped", *["cat"] * 15]
    assert person.texts(".tile .said") == marks
    assert person.do("return document.getElementById('grid-class').value") == "cat"
    assert person.text(".toast") == "Taken back: 18 answers"
    assert desk.events[19:] == [("Ann", index, "undo", None) for _, index, *_ in said]
    person.type(Keys.ENTER)
    person.saved()
    assert desk.events[37:] == said
    person.wait(lambda: len(person.texts(".tile")) == 1, "what was left out")
    person.click("Undo", ".grid")
    person.wait(lambda: person.texts(".tile .said") == marks, "the screenful")
    person.type("u")
    person.see(0)
    person.says("Here again, for its answer was taken back.", ".reason")
    person.wait(lambda: person.text(".totals b") == "0", "that nothing has an answer")


def test_a_screenful_that_was_not_sent_comes_back_when_it_is_taken_back(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    person.do(
        "const wait = setTimeout; window.setTimeout = (then, milliseconds) => "
        "wait(then, milliseconds === 3000 ? 1000 : milliseconds)"
    )
    desk.broken = 500
    person.press("1")  # is tried, and what comes after it waits
    person.type("g")
    person.wait(lambda: len(person.texts(".tile")) == 23, "the grid")
    person.type(Keys.ARROW_RIGHT, "2", Keys.ENTER, "u")
    marks = ["cat", "dog", *["cat"] * 21]
    person.wait(lambda: person.texts(".tile .said") == marks, "the screenful")
    assert person.text(".saved").startswith("1 saving")
    desk.broken = None
    person.saved()
    assert desk.events == [("Ann", 0, "label", "cat")]
    assert person.texts(".tile .said") == marks
    # Another screenful would give these back.
    assert [path for path, _ in desk.requests].count("/api/grid") == 1
    person.type(Keys.ENTER)
    person.saved()
    assert len(desk.events) == 24


def test_an_answer_of_the_grid_that_is_refused_costs_no_other(at_work):
    person, desk, _ = at_work(FakeDesk(size=10))
    person.see(0)
    person.type("g")
    person.wait(lambda: len(person.texts(".tile")) == 5, "the grid")
    desk.given[4] = [given(4, "dog")]
    desk.malformed = 2
    person.type(Keys.ENTER)
    person.says("“cat” for photo_0004.jpg. Ben has said “dog” meanwhile", ".notices")
    person.says("Not saved: “cat” for photo_0002.jpg. That is no answer.", ".notices")
    person.saved()
    assert sorted(event[1] for event in desk.events) == [0, 6, 8]
    person.type(Keys.ESCAPE)
    marks = ["✓", "✓", "✗ not saved", "✗ not saved", "✓"]
    person.wait(lambda: person.texts(".mark") == marks, "which are saved")


def test_the_history_finds_and_corrects_answers(at_work):
    desk = FakeDesk()
    for index in range(3):
        desk.given[index] = [given(index, ("cat", "dog", "cat")[index], event=index)]
    desk.event = 10
    person, _, _ = at_work(desk)
    person.see(3)
    person.press("2")
    person.see(4)
    person.type("h")
    person.wait(lambda: len(person.texts(".tiles li")) == 4, "four answers")
    person.says("Click on an image to correct its answer.", ".history")
    choose = (
        "const list = document.getElementById(arguments[0]); list.value = arguments[1];"
        "list.dispatchEvent(new Event('change'))"
    )
    person.do(choose, "history-class", "cat")
    person.wait(lambda: len(person.texts(".tiles li")) == 2, "the cats")
    person.do(choose, "history-class", "dog")
    person.do(choose, "history-who", "Ben")
    person.wait(lambda: [t.split("\n")[0] for t in person.texts(".tiles li")] == ["dog"], "a dog")
    person.click("Image 1, photo_0001.jpg: dog, by Ben. Correct it")
    person.see(1)
    person.type("1")
    person.says("No answers yet", ".history")  # of a dog, by Ben
    assert "Click on" not in person.text(".history")
    assert desk.events[-1] == ("Ann", 1, "label", "cat")
    person.type(Keys.ESCAPE)
    person.see(4)  # where one image had been left


def test_any_image_can_be_gone_to(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    person.type("h")
    person.wait(lambda: person.shown("#history-id"), "the history")
    person.do("document.getElementById('history-id').focus()")
    assert person.do("return document.getElementById('history-id').placeholder") == "0 to 59"
    person.type("60", Keys.ENTER)
    assert person.shown(".history")  # the browser says what is too large
    person.type(Keys.BACKSPACE * 2, "44", Keys.ENTER)
    person.see(44)
    person.says("This image has no answer yet")
    person.type("1")
    person.wait(lambda: person.shown(".history"), "the history")
    person.saved()
    assert desk.events == [("Ann", 44, "label", "cat")]


def test_second_looks_are_kept_or_changed(at_work):
    person, desk, _ = at_work(FakeDesk())
    for index, label in ((5, "cat"), (8, "dog"), (11, "dog"), (14, "dog")):
        desk.given[index] = [given(index, label, event=900 + index)]
    desk.looks = [5, 8, 11, 14]
    person.hear()
    person.says("Second looks (4)")
    person.type("l")
    person.see(5)
    person.says("Ben said cat. The network, trained without this label, says dog (80%)", ".asked")
    assert person.shown(".hints")
    person.type(Keys.ENTER)
    person.see(8)
    person.type("u")  # it is looked at again as it was
    person.see(5)
    person.says("Ben said cat", ".asked")
    person.type(Keys.ENTER)
    person.see(8)
    person.click("Change to cat")
    person.see(11)
    person.click("1cat", ".classes")
    person.see(14)
    person.type(Keys.ENTER)  # keeps this one, and presses no button that was clicked for another
    person.says("No second looks")
    person.says("Second looks begin at 150 labels: there are 4 so far.", ".stage")
    desk.changes["labels"] = 150
    person.hear()
    person.says("No label is contradicted strongly", ".stage")
    person.saved()
    assert [event[1:] for event in desk.events] == [
        (5, "label", "cat"),
        (5, "undo", None),
        (5, "label", "cat"),
        (8, "label", "cat"),
        (11, "label", "cat"),
        (14, "label", "dog"),
    ]
    person.click("Back to one image")
    person.see(0)


# -- how it goes -----------------------------------------------------------------------------------


def test_the_panel_says_how_it_goes(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.press("1")
    person.see(1)
    person.saved()
    of_images = "about 87% (79% to 93%), from 42 images drawn at random"
    person.says(f"{of_images}, when it had 20 to 40 labels", ".estimate")
    assert person.texts(".balance li") == ["cat\n1", "dog\n0"]
    assert person.do("return document.querySelectorAll('.curve circle').length") == 2
    person.do("document.querySelector('.chart details').open = true")
    assert person.texts(".chart tbody tr") == [
        "0\t10\tnot known\t",
        "1\t20\t60%\t40% to 75%",
        "2\t40\t87%\t79% to 93%",
    ]
    assert "7 more answers until the next round" in person.text(".behind")
    desk.changes["advice"] = "no gain in 3 rounds"
    person.click("Train now")
    person.says("Round 3: 60 labels.", ".behind")
    assert person.text(".panel").count("Training") == 1  # the heading
    person.hear()
    person.says("You may stop: no gain in 3 rounds", ".advice")
    desk.changes["training"] = Training(state="failed", detail="the disk is full", until_next=None)
    person.hear()
    person.says("Training failed: The disk is full. You can go on labelling.", ".notices")
    person.says("Failed: the disk is full", ".behind")
    person.press("2")
    person.see(2)
    person.click("Try again", ".notices")
    person.wait(lambda: person.text(".notices") == "", "the end of the banner")


def test_finishing_is_asked_twice_and_says_what_to_do_next(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.press("1")
    person.see(1)
    person.click("Finish", ".panel")
    person.click("Cancel", "dialog")
    assert "finished" not in desk.changes
    person.click("Finish", ".panel")
    person.click("Finish", "dialog")
    person.says("Finished by hand", ".end")
    commands = person.texts(".command")
    assert "python -m activeloop predict '/runs/my photos' FOLDER --out predictions.csv" in commands
    assert "/runs/my photos/labels.csv" in person.texts(".end code")
    assert "1 label of 1 of 2 classes" in person.text(".summary")
    desk.spent = "the budget of 1 label is spent; give a larger one"
    person.click("Go on labelling", ".end")
    person.says("The budget of 1 label is spent; give a larger one.", ".notices")
    person.click("Dismiss", ".notices")
    desk.changes["cannot_reopen"] = desk.spent  # as the server says it beforehand
    person.hear()
    person.says("The budget of 1 label is spent; give a larger one.", ".why")
    assert "Go on labelling" not in person.text("body")
    desk.spent = desk.changes["cannot_reopen"] = None
    person.hear()
    person.click("Go on labelling", ".end")
    person.see(1)
    for said, seen in (("finished by Ben", ".end"), (None, ".stage img")):  # somebody else's doing
        desk.changes["finished"] = said
        person.hear()
        person.wait(lambda seen=seen: person.shown(seen), seen)
    desk.changes["finished"] = "finished by hand"
    person.hear()
    person.wait(lambda: person.shown(".end"), "the end")
    person.type("u")  # the model has learnt from it: not without being asked
    person.click("Cancel", "dialog")
    assert person.shown(".end")
    assert person.text(".totals b") == "1"
    person.type("u")
    person.click("Take back", "dialog")
    person.see(0)
    assert person.text(".totals b") == "0"
    person.type("2")
    person.wait(lambda: person.shown(".end"), "the summary")  # nothing more is asked
    person.saved()
    assert desk.events[-1] == ("Ann", 0, "label", "dog")


def test_after_a_finish_the_image_is_shown_with_what_the_last_network_thinks(at_work):
    desk = FakeDesk()
    desk.opinions = True
    person, _, _ = at_work(desk)
    person.see(0)
    person.says("cat\n80%", ".hints")
    person.click("Finish", ".panel")
    person.click("Finish", "dialog")
    person.wait(lambda: person.shown(".end"), "the summary")
    desk.confidence = 0.9
    person.click("Go on labelling", ".end")
    person.see(0)
    person.says("cat\n90%", ".hints")


def test_a_new_round_replaces_what_is_ahead_but_not_what_is_shown(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    person.wait(lambda: desk.requests, "a request")
    desk.given |= {index: [given(index, "cat")] for index in range(1, 6)}
    desk.changes["round"] = 3
    person.hear()
    person.wait(lambda: person.has_loaded("/images/10?"), "the new images")
    assert desk.requests[-1][1]["keep"] == [0]
    assert person.image() == 0
    person.type("1")
    person.see(6)


def test_an_image_that_went_to_somebody_else_is_not_asked_of_both(at_work):
    person, desk, server = at_work(FakeDesk())
    person.see(0)
    person.type("h")
    person.says("No answers yet")
    desk.leased = {0: "Ben", 1: "Ben"}
    person.type(Keys.ESCAPE)
    person.see(2)
    server.stop()
    person.hear()
    person.says("The server does not answer", ".notices")
    desk.leased = {2: "Ben"}  # who was faster when it was started again
    server.start()
    person.see(3)


def test_at_the_end_of_a_run_nobody_is_told_that_their_image_went_to_somebody_else(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    desk.changes["finished"] = "the budget of 1 label is spent"
    person.do(LATER)
    person.do("document.dispatchEvent(new Event('pointermove'))")  # asks whose the image is
    person.wait(lambda: person.image() is None, "nothing to be answered")
    person.hear()
    person.says("The budget of 1 label is spent.", ".end")
    assert person.do("return document.querySelector('.toast').textContent") == ""
    assert "somebody else" not in person.do(LIVE)


LATER = "const now = Date.now; Date.now = () => now() + 300_000"


def test_what_was_left_alone_for_minutes_is_asked_for_again_before_it_is_answered(at_work):
    person, desk, _ = at_work(FakeDesk())
    person.see(0)
    person.do(LATER)
    person.type("1")  # nobody else has it
    person.see(1)
    person.do(LATER)
    desk.leased = {1: "Ben"}
    person.type("1")
    person.see(2)
    expected = "That image went to somebody else. Image 2, photo_0002.jpg"
    person.wait(lambda: expected in person.do(LIVE), "both")
    person.do(LATER)
    desk.leased = {2: "Ben"}
    person.do("document.dispatchEvent(new Event('pointermove'))")  # somebody is back
    person.see(3)
    person.saved()
    assert desk.events == [("Ann", 0, "label", "cat")]
    # The grid's images would be given back by that.
    person.type("g")
    person.wait(lambda: len(person.texts(".tile")) == 24, "the grid")
    person.do(LATER)
    asked = len(desk.requests)
    person.type(Keys.ARROW_RIGHT, "2", Keys.ENTER)
    person.saved()
    assert [path for path, _ in desk.requests[asked:]][:1] == ["/api/answer"]


def test_when_no_images_are_left_that_is_said(at_work):
    person, _, _ = at_work(FakeDesk(size=2))
    person.press("1", "2")
    person.says("No images are left", ".stage")
    person.type("1")
    person.type("u")
    person.see(1)


def test_names_with_markup_are_shown_as_text(at_work):
    desk = FakeDesk((SLY_CLASS, "dog"))
    desk.keys[0] = SLY_FILE
    desk.given[1] = [given(1, SLY_CLASS, who="<b>Ben</b>")]
    person, _, _ = at_work(desk, "<i>Ann</i>")
    person.see(0)
    assert person.text(".classes button span") == SLY_CLASS
    assert SLY_FILE in person.text(".reason")
    person.type("h")
    person.says(SLY_CLASS, ".tiles")
    person.says("<b>Ben</b>", ".tiles")
    assert person.do("return document.querySelectorAll('script').length") == 1
    assert person.do("return document.querySelectorAll('i, main b, img[src=x]').length") == 0


# -- everybody can use it --------------------------------------------------------------------------


NAMED = {"button", "textbox", "searchbox", "combobox", "spinbutton", "image", "img", "dialog"}
LANDMARKS = {"main", "navigation", "complementary", "banner"}


def views(person: Labeller, desk: FakeDesk) -> Iterator[str]:
    """Go through all views of the page."""
    person.see(1)
    yield "one image"
    person.type("g")
    person.wait(lambda: person.shown(".grid .tile"), "the grid")
    yield "grid"
    person.type("h")
    person.wait(lambda: person.shown(".history .tile"), "the history")
    yield "history"
    person.type("l")
    person.see(0)
    yield "second looks"
    person.type("?")
    person.wait(lambda: person.shown("dialog"), "the help")
    yield "help"
    person.type(Keys.ESCAPE)
    desk.changes["finished"] = "finished by hand"
    person.hear()
    person.wait(lambda: person.shown(".end"), "the end")
    yield "end"


def test_on_a_phone_nothing_is_cut_off_all_can_be_touched_and_has_a_name(at_work):
    long = "a class with a name that is much longer than any button would be wide"
    desk = FakeDesk(("cat", long, "w" * 60, *(f"class {n}" for n in range(8))), pixels=1200)
    desk.given[0], desk.looks = [given(0, long)], [0]
    desk.opinions = True
    person, _, _ = at_work(desk, None)
    person.screen(375, 740)
    person.open(person.driver.current_url, "Ann of the very long name")
    for view in views(person, desk):
        assert person.do("return document.documentElement.scrollWidth") <= 375, view
        cut = person.do(
            "return [...document.querySelectorAll('main, main *')].filter((e) => "
            "e.checkVisibility() && /auto|scroll/.test(getComputedStyle(e).overflowX) "
            "&& e.scrollWidth > e.clientWidth).map((e) => e.className)"
        )
        assert cut == [], view
        small = person.do(
            "return [...document.querySelectorAll('button, select')].filter((b) => "
            "b.checkVisibility() && b.getBoundingClientRect().height < 33).map((b) => b.outerHTML)"
        )
        assert small == [], view
        tree = person.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        known = [(node["role"]["value"], node.get("name")) for node in tree if not node["ignored"]]
        assert [
            role for role, name in known if role in NAMED and not (name or {}).get("value")
        ] == []
        roles = {role for role, _ in known}
        assert "button" in roles
        assert view == "help" or roles >= LANDMARKS, view
        if view == "help":  # from its beginning, and with the keys that it is about
            assert person.do("return document.querySelector('dialog').scrollTop") == 0
            keys = "return [...document.querySelectorAll('dialog kbd')]"
            assert person.do(f"{keys}.length") > 20
            assert person.do(f"{keys}.every((key) => key.checkVisibility())")
    assert person.do("return document.querySelector('h1').textContent") == "Finished"


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2 of `rgb(...)`, which must be opaque."""
    channels = [int(channel) / 255 for channel in re.findall(r"[\d.]+", colour)]
    assert colour.startswith("rgb(")
    assert len(channels) == 3
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_hints_in_empty_fields_can_be_read(at_work, scheme):
    person, _, _ = at_work(FakeDesk(tuple(f"breed {n}" for n in range(30))))
    person.screen(scheme=scheme)
    for key, field in (("p", ".choice input"), ("h", "#history-id")):
        person.see(0)
        person.type(key)
        person.wait(lambda field=field: person.shown(field), "the field")
        hint, back, opacity = person.do(
            "const field = document.querySelector(arguments[0]);"
            "const hint = getComputedStyle(field, '::placeholder');"
            "return [hint.color, getComputedStyle(field).backgroundColor, hint.opacity]",
            field,
        )
        light, dark = sorted([luminance(hint), luminance(back)], reverse=True)
        assert opacity == "1"
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_name_is_asked_once_and_a_name_in_use_is_pointed_out(at_work):
    desk = FakeDesk()
    desk.people["Ben"] = 1
    person, _, server = at_work(desk, None)
    person.wait(lambda: person.shown("dialog"), "the question")
    person.do("window.first = document.querySelector('dialog')")
    person.type(Keys.ESCAPE)
    person.wait(lambda: person.do("return !window.first.isConnected"), "it to be closed")
    person.wait(lambda: person.shown("dialog"), "the question again")
    person.type(Keys.ENTER)
    person.says("Type a name", "dialog")
    person.type("Ben", Keys.ENTER)
    person.says("Ben is labelling in another window right now", "dialog")
    person.type(Keys.BACKSPACE * 3, "Eve", Keys.ENTER)
    person.see(0)
    person.do("localStorage['activeloop label name'] = 'Zoe'")  # in another window of this browser
    person.open(server.url)
    person.see(0)
    assert person.text(".name") == "Eve"
