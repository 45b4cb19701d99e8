"""`python -m activeloop label`, from the words typed to a model, stopped and started again."""

import contextlib
import csv
import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from activeloop.app import main
from activeloop.data import decode
from activeloop.label import browser, command, session, wanted
from activeloop.label.ending import FINISHING
from activeloop.label.link_file import LINK_FILE
from activeloop.label.serving import TOKEN_FILE
from activeloop.reloading import reload
from activeloop.report.runs import read_run
from activeloop.store import Store

FAST = ["model=linear", "learner.epochs=2", "learner.min_steps=1", "data.size=8", "stop_set=10"]
FAST += ["initial.size=6", "query_size=6", "embed.dimensions=4"]
PHOTOS = ["data=image_folder", "data.root=photos", "data.classes=[dark,light]"]
RUN = Path("outputs", "label", "photos")
LINK = re.compile(r"http://127\.0\.0\.1:([0-9]+)/\?token=(\S+)")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work in an empty directory; errors are told in one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def photos(tmp_path):
    """Return a folder of images whose names tell their classes, below the working directory."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        level = 60 if number % 2 else 160
        pixels = rng.integers(level, level + 60, (12, 12, 3), np.uint8)
        name = f"{'dark' if number % 2 else 'light'}-{number}.png"
        Image.fromarray(pixels).save(folder / name)
    return folder


class Person:
    """Somebody who labels through the page's calls."""

    def __init__(self, port, token, who="ann"):
        self._connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.who = who

    def ask(self, path, **body):
        text = json.dumps({"who": self.who} | body)
        self._connection.request("POST", f"/api/{path}", text, self._headers)
        return self._reply()

    def status(self):
        self._connection.request("GET", "/api/status", headers=self._headers)
        return self._reply()

    def _reply(self):
        reply = self._connection.getresponse()
        said = json.loads(reply.read())
        assert reply.status == 200, said
        return said

    def label(self, count):
        """Answer so many samples, and return what the server says was kept."""
        kept = []
        while len(kept) < count:
            for card in self.ask("next", count=min(3, count - len(kept)))["cards"]:
                said = {"id": card["id"], "kind": "label", "label": card["key"].split("-")[0]}
                kept += self.ask("answer", answers=[said])["given"]
        return kept

    def wait_for(self, state):
        for _ in range(600):
            status = self.status()
            if status["training"]["state"] == state:
                return status
            time.sleep(0.05)
        raise AssertionError(status)


@pytest.fixture
def sit(monkeypatch, capfd):
    """Return a function that runs the command, has `work` done, and stops it by a signal."""

    def run(words, work=lambda person: None):
        links, failures = [], []

        def person():
            try:
                for _ in range(600):
                    if links:
                        break
                    time.sleep(0.05)
                work(Person(*LINK.fullmatch(links[0]).groups()))
            except BaseException as error:
                failures.append(error)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        linked = session.link_of
        monkeypatch.setattr(
            session, "link_of", lambda *given: links.append(linked(*given)) or links[0]
        )
        thread = threading.Thread(target=person)
        before = signal.signal(signal.SIGTERM, lambda *caught: pytest.fail("stopped too late"))
        monkeypatch.setattr(
            sys, "argv", ["activeloop", "label", "--no-browser", "--port", "0", *words]
        )
        capfd.readouterr()
        try:
            thread.start()
            with pytest.raises(SystemExit) as ended:
                main()
            thread.join(60)
        finally:
            signal.signal(signal.SIGTERM, before)
            monkeypatch.setattr(session, "link_of", linked)
        if failures:
            raise failures[0]
        return ended.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def fails(refused):
    """Return a function that runs a command which must fail, and returns its line of error."""
    return partial(refused, "label", "--no-browser")


@pytest.fixture
def decoded(monkeypatch):
    """Return how many files were decoded for the network."""
    counted, plain = [0], decode.decode

    def count(*given):
        counted[0] += 1
        return plain(*given)

    monkeypatch.setattr(decode, "decode", count)
    return counted


def test_a_folder_is_labelled_stopped_gone_on_with_and_finished(photos, sit, decoded):
    def begin(person):
        person.label(10)
        person.ask("classes", name="grey")

    code, out, err = sit([*PHOTOS, *FAST], begin)
    assert (code, err) == (0, "")
    assert "photos: 40 images, classes dark, light" in out
    assert "stopped: 10 labels are safe in outputs/label/photos" in out
    assert "python -m activeloop label outputs/label/photos goes on" in out
    token = (RUN / TOKEN_FILE).read_text()
    assert decoded == [40]

    def finish(person):
        assert person.status()["labels"] == 10
        assert person.status()["people"][0]["name"] == "ann"
        person.label(4)
        person.wait_for("idle")
        (RUN / "labels.csv").mkdir()
        person.ask("finish")
        assert person.wait_for("finished")["curve"][-1]["labels"] == 14
        time.sleep(3 * session._TICK)
        assert person.status()["finished"]  # a file that cannot be written keeps nobody from it

    code, out, err = sit([str(RUN)], finish)
    assert code == 0
    assert err.splitlines() == [err.strip()]
    assert err.startswith("warning: labels.csv was not written: ")
    assert "being finished" not in out
    assert "(10 are there)" in out
    assert re.search(r"round [0-9]+: 14 labels, .*[0-9.]+ s", out)
    assert (
        "finished by ann: 14 labels of 2 classes (1 without any), files in outputs/label/photos"
        in out
    )
    assert "python -m activeloop predict outputs/label/photos FOLDER" in out
    assert (RUN / "model.safetensors").exists()
    assert (RUN / TOKEN_FILE).read_text() == token
    assert decoded == [40]  # once for all starts

    def reopen(person):
        assert person.status()["finished"] == "finished by ann"
        person.ask("reopen")
        person.label(1)

    code, out, _ = sit([*PHOTOS, *FAST, "--new-token"], reopen)
    assert code == 0
    assert "stopped: 15 labels are safe" in out
    assert (RUN / TOKEN_FILE).read_text() != token


def test_of_class_folders_it_says_what_is_the_test_set_and_what_people_label(tmp_path, sit):
    for number in range(20):
        path = tmp_path / "photos" / ("dark" if number % 2 else "light") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (number, 5 * number, 2)).save(path)

    def work(person):
        (card,) = person.ask("next", count=1)["cards"]
        person.ask("answer", answers=[{"id": card["id"], "kind": "label", "label": "dark"}])

    _, out, _ = sit(["data=image_folder", "data.root=photos", *FAST], work)
    assert "photos: 16 images, classes dark, light" in out
    assert "4 more images in class folders: the test set, with the folders' names" in out
    assert "those of the others are not taken" in out
    assert "stopped: 1 label is safe" in out


def test_ten_images_need_no_settings(photos, sit, fails):
    for path in photos.iterdir():
        if int(path.stem.split("-")[1]) >= 10:
            path.unlink()
    some = [*FAST[:3], "data.size=8"]

    def work(person):
        person.label(10)
        assert person.wait_for("finished")["curve"][-1]["labels"] == 10

    code, out, err = sit([*PHOTOS, *some], work)
    assert (code, err) == (0, "")
    assert "no unlabelled sample left: 10 labels of 2 classes, files" in out
    assert sit([*PHOTOS, *some])[0] == 0
    other = ["hydra.run.dir=other", *PHOTOS, *some]
    assert "embed.dimensions must be at most 10" in fails(*other, "embed.dimensions=20")
    assert "initial.size is 11, but the pool has 10" in fails(*other, "initial.size=11")


def test_a_finish_that_a_stop_came_before_is_gone_on_with_and_said(photos, sit):
    sit([*PHOTOS, *FAST], lambda person: person.label(6))
    with contextlib.closing(Store(RUN / "run.db")) as store:
        store.set_meta(FINISHING, "finished by ann")
    _, out, _ = sit([str(RUN)], lambda person: person.wait_for("finished"))
    assert "it was being finished, and goes on with that" in out
    assert "6 labels are safe" in out


def test_what_is_corrected_after_the_end_is_in_the_tables_as_well(photos, sit):
    def tables(name):
        with (RUN / name).open() as file:
            return {row["key"]: row["label"] for row in csv.DictReader(file)}

    undone = []

    def finish(person):
        person.label(8)
        person.ask("finish")
        person.wait_for("finished")
        undone.append(person.ask("undo")["taken_back"][0]["card"]["key"])

    assert sit([*PHOTOS, *FAST], finish)[0] == 0
    labels = tables("labels.csv")
    assert len(labels) == 7
    assert undone[0] not in labels
    queries = tables("queries.csv")  # not all that were answered while a network was trained
    assert queries == {key: labels.get(key, "") for key in queries}
    (RUN / "labels.csv").write_text("key,label\n")  # as a run has left it that was killed

    def look(person):
        for _ in range(200):
            if len(tables("labels.csv")) == 7:
                return
            time.sleep(0.05)
        raise AssertionError("labels.csv stays as it was")

    assert sit([str(RUN)], look)[0] == 0
    sit([str(RUN)], lambda person: person.ask("undo"))
    assert len(tables("labels.csv")) == 6


def test_classes_are_renamed_in_a_branch_that_goes_on_with_the_new_names(photos, sit, typed):
    def begin(person):
        person.label(9)
        person.ask("classes", name="dusk")
        (card,) = person.ask("next", count=1)["cards"]
        dusk = {"id": card["id"], "kind": "label", "label": "dusk"}
        person.ask("answer", answers=[dusk])

    def called(command):
        code, out, _ = typed(*command)
        assert code == 0
        return out

    def labels(run, out):
        called(["export", str(run), "--format", "csv", "--out", out])
        with Path(out).open() as file:
            return {row["key"]: (row["label"], row["who"]) for row in csv.DictReader(file)}

    assert sit([*PHOTOS, *FAST], begin)[0] == 0
    before = labels(RUN, "before.csv")
    new = f"{RUN}-2"
    refused = typed("branch", RUN, "data.classes=[night,light]", "--rename", "dark=night")
    assert "'dark' is not in data.classes=[night,light]: leave data.classes= out" in refused[2]
    told = called(["branch", str(RUN), "--rename", "dark=night", "--rename", "dusk=evening"])
    assert "what 'dark' was there is 'night' here" in told
    assert f"python -m activeloop label {new}" in told
    settings = (Path(new) / "config.yaml").read_text()
    assert ("night" in settings, "dark" in settings) == (True, False)
    names = {"dark": "night", "light": "light", "dusk": "evening"}
    renamed = {key: (names[label], who) for key, (label, who) in before.items()}
    assert labels(new, "after.csv") == renamed
    assert labels(RUN, "again.csv") == before
    seen = []

    def go_on(person):
        seen.append(person.status())
        (card,) = person.ask("next", count=1)["cards"]
        night = {"id": card["id"], "kind": "label", "label": "night"}
        person.ask("answer", answers=[night])
        renamed[card["key"]] = ("night", "ann")
        person.ask("finish")
        person.wait_for("finished")

    code, _, err = sit([new], go_on)
    assert (code, err) == (0, "")
    assert seen[0]["classes"] == ["night", "light", "evening"]
    assert seen[0]["counts"]["evening"] == 1
    assert labels(new, "finished.csv") == renamed
    sit([new], lambda person: seen.append(person.status()))  # it is the same run
    assert seen[-1]["finished"] == "finished by ann"
    called(["predict", new, "photos", "--out", "predictions.csv"])
    with Path("predictions.csv").open() as file:
        assert {row["predicted"] for row in csv.DictReader(file)} <= {*names.values()}


def test_the_same_folder_by_another_path_is_the_same_run(photos, sit, monkeypatch, tmp_path):
    sit([*PHOTOS, *FAST], lambda person: person.label(3))
    absolute = ["data=image_folder", f"data.root={photos}", PHOTOS[2], *FAST]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = [*absolute, f"hydra.run.dir={tmp_path / RUN}", "device=cpu"]
    code, out, _ = sit(there, lambda person: person.label(1))
    assert code == 0
    assert "stopped: 4 labels are safe" in out


def test_other_settings_and_a_second_server_are_refused(photos, sit, fails):
    sit([*PHOTOS, *FAST], lambda person: person.label(1))
    error = fails(*PHOTOS, *FAST, "seed=3")
    assert "seed was 0, is 3" in error
    assert "python -m activeloop label outputs/label/photos goes on" in error
    assert "branch" in error
    assert "leave out seed=3" in fails(str(RUN), "seed=3")
    fcntl = pytest.importorskip("fcntl")
    with (RUN / "run.lock").open("w") as lock:  # as a second server meets it
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is in use: another process runs it" in fails(*PHOTOS, *FAST)
        assert "is in use: another process runs it" in fails(str(RUN))


def test_who_has_lost_the_link_finds_it_by_the_command(photos, sit, fails):
    pytest.importorskip("fcntl")
    errors = []

    def lose(person):
        said = subprocess.run(
            [sys.executable, "-m", "activeloop", "label", "--no-browser", str(RUN)],
            capture_output=True,
            text=True,
        )
        errors.append(said.stderr)
        assert said.returncode == 1
        assert (RUN / LINK_FILE).stat().st_mode & 0o777 == 0o600
        status = http.client.HTTPConnection("127.0.0.1", int(LINK.search(said.stderr)[1]))
        status.request("GET", "/?" + said.stderr.split("/?")[1].strip())
        assert status.getresponse().status == 200

    sit([*PHOTOS, *FAST], lose)
    assert "in use: another process runs it; its page is http://127.0.0.1:" in errors[0]
    assert not (RUN / LINK_FILE).exists()
    # What a server left that was killed is not the link of who has the run now.
    (RUN / LINK_FILE).write_text('{"process": 1, "link": "http://old"}')
    import fcntl

    with (RUN / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"process": os.getpid()}))
        lock.flush()
        assert "http://old" not in fails(str(RUN))


def test_images_that_came_since_may_join(photos, sit, fails):
    sit([*PHOTOS, *FAST], lambda person: person.label(3))
    Image.new("RGB", (12, 12)).save(photos / "dark-new.png")
    assert "1 sample is new (dark-new.png)" in fails(str(RUN))

    def look(person):
        assert person.status()["unlabelled"] == 38

    code, out, _ = sit([str(RUN), "--new-samples", "join"], look)
    assert code == 0
    assert "41 images" in out


@pytest.mark.parametrize("embed", ["pca", "pca_beside"])
def test_a_file_that_is_replaced_while_the_page_is_open_gets_no_label(photos, sit, embed):
    def replace(person):
        first, second = person.ask("next", count=2)["cards"]
        (photos / first["key"]).write_bytes((photos / second["key"]).read_bytes())
        os.utime(photos / second["key"])
        said = [{"id": each["id"], "kind": "label", "label": "dark"} for each in (first, second)]
        with pytest.raises(AssertionError, match="this file was changed since the run was opened"):
            person.ask("answer", answers=said[:1])
        assert len(person.ask("answer", answers=said[1:])["given"]) == 1

    code, out, err = sit([*PHOTOS, *FAST, f"embed={embed}"], replace)
    assert (code, err) == (0, "")
    assert "stopped: 1 label is safe" in out


def test_a_run_that_images_joined_goes_on_whatever_their_names(photos, sit, fails):
    words = [*PHOTOS, *FAST, "device=cpu", "embed=pca_beside", "query_size=2"]
    sit(words, lambda person: person.label(3))
    images = 40
    # Last of all by name, then again so, then in the middle.
    names = ["light-y.png", "light-z.png", "dark-a.png"]
    for name in names:
        Image.new("RGB", (12, 12), "red").save(photos / name)
        assert f"1 sample is new ({name})" in fails(str(RUN))
        images += 1
        for option in (["--new-samples", "join"], [], ["--new-samples", "ignore"]):
            code, out, err = sit([str(RUN), *option])
            assert ("1 sample joined the pool" in out) == (option[-1:] == ["join"])
            assert (code, err) == (0, "")
            assert f"{images} images" in out
    assert sit(words, lambda person: person.label(9))[0] == 0  # as it began
    assert list(reload(read_run(RUN)).pool.keys)[-3:] == names
    Image.new("RGB", (12, 12), "blue").save(photos / "dark-1.png")
    error = fails(str(RUN))
    assert "1 sample has another content (dark-1.png)" in error
    assert not re.search("[0-9a-f]{9}", error)


def test_a_run_with_other_settings_starts_from_its_labels(photos, sit, typed):
    sit([*PHOTOS, *FAST], lambda person: person.label(7))
    assert typed("branch", RUN, "strategy=badge", "hydra.run.dir=other")[0] == 0

    def look(person):
        assert person.status()["labels"] == 7
        person.label(1)

    code, out, err = sit(["other"], look)
    assert (code, err) == (0, "")
    assert "stopped: 8 labels are safe" in out


def test_a_run_that_is_served_again_is_the_same_one_for_pages(photos, sit):
    seen = []
    for words in ([*PHOTOS, *FAST], [*PHOTOS, *FAST], [str(RUN)]):
        sit(words, lambda person: seen.append(person.status()["directory"]))
    assert seen == [str(RUN.resolve())] * 3


def test_images_that_were_removed_on_purpose(photos, sit, fails, typed):
    sit([*PHOTOS, *FAST], lambda person: person.label(7))
    with contextlib.closing(Store(RUN / "run.db", read_only=True)) as store:
        labels = store.labels()
    removed, kept = sorted(labels)[:2], sorted(labels)[2:]
    for name in removed:
        (photos / name).unlink()
    (photos / next(p.name for p in photos.iterdir() if p.name not in labels)).unlink()
    error = fails(str(RUN))
    assert "3 samples are gone (" in error
    advised = re.search(r"from the labels of those that are left: python -m (.+)", error)[1]
    code, out, err = typed(*shlex.split(advised)[1:])
    assert (code, err) == (0, "")
    assert (
        "left out: 2 answers to samples that are not in the pool now: 2 are not there any more"
        in out
    )
    assert f"({', '.join(removed)}); in outputs/label/photos they stay" in out
    directory = re.search("to go on: python -m activeloop label (.+)", out)[1]

    def look(person):
        assert person.status()["labels"] == 5
        person.label(1)

    assert sit([directory], look)[0] == 0
    with contextlib.closing(Store(Path(directory) / "run.db", read_only=True)) as store:
        found = store.labels()
    assert {name: found[name] for name in kept} == {name: labels[name] for name in kept}
    assert len(found) == 6
    with contextlib.closing(Store(RUN / "run.db", read_only=True)) as store:
        assert store.labels() == labels


def test_a_spent_budget_is_said_with_the_command_for_a_larger_one(photos, sit, typed):
    said = []

    def spend(person):
        person.label(12)
        while person.status()["finished"] is None:  # a query may be open of which nothing was said
            with contextlib.suppress(AssertionError):
                person.ask("train")
            time.sleep(0.05)
        said.append(person.wait_for("finished")["cannot_reopen"])
        with pytest.raises(AssertionError, match="budget of 12 labels spent; for more"):
            person.ask("reopen")

    code, _, err = sit([*PHOTOS, *FAST, "budget=12"], spend)
    assert (code, err) == (0, "")
    words = shlex.split(re.search("python -m activeloop (branch .*=24)", said[0])[1])
    code, out, _ = typed(*words)
    assert code == 0
    directory = re.search("to go on: python -m activeloop label (.*)", out)[1]

    def go_on(person):
        assert person.status()["labels"] == 12
        person.label(6)
        assert person.status()["finished"] is None

    assert "stopped: 18 labels are safe" in sit([directory], go_on)[1]


def test_what_makes_no_sense_is_said_before_anything_is_made(photos, fails, tmp_path):
    assert "what is to be labelled? python -m activeloop label data=image_folder" in fails()
    assert "there is no directory nowhere" in fails("nowhere")
    assert "holds no run" in fails("photos")
    assert "data.root has no value" in fails("data=image_folder")
    assert "leave out seeds" in fails(*PHOTOS, "seeds=3")
    assert "--port must be a whole number" in fails(*PHOTOS, "--port", "-1")
    assert "there is no option --prot: did you mean --port?" in fails(*PHOTOS, "--prot")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} of 127.0.0.1 is in use" in fails(*PHOTOS, "--port", port)
    assert "no folder" in fails("data.root=photoz", *PHOTOS[::2])
    assert "no folder" in fails("data.root=photos/dark-1.png", *PHOTOS[::2])
    assert not (tmp_path / "outputs").exists()
    (tmp_path / "outputs" / "label" / "photoz").mkdir(parents=True)
    assert "no folder" in fails("data.root=photoz", *PHOTOS[::2])
    assert (tmp_path / "outputs" / "label" / "photoz").is_dir()


def test_labels_that_were_there_before_a_run_are_not_written_over(photos, fails, tmp_path):
    (tmp_path / "mine").mkdir()
    kept = tmp_path / "mine" / "labels.csv"
    kept.write_text("key,label\n")
    words = [*PHOTOS, *FAST, "hydra.run.dir=mine"]
    assert "holds no run, and a labels.csv that is not a run's" in fails(*words)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["labels.csv"]
    assert kept.read_text() == "key,label\n"


def test_samples_that_are_no_images_are_refused(tmp_path, fails, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("vectors.npz", x=np.random.default_rng(0).random((30, 4)), y=np.arange(30) % 2)
    words = ["data=arrays", "data.path=vectors.npz", "learner.epochs=1", "initial.size=4"]
    error = fails(*words, "embed=none", "initial=random", "model=linear")
    assert "no images" in error


def test_a_run_that_nobody_labelled_is_refused(typed, fails):
    words = ["hydra.run.dir=run", "model=linear", "learner.epochs=1", "learner.min_steps=1"]
    typed(*words, "initial.size=4", "rounds=0")
    assert "was not labelled by people" in fails("run")


def test_people_do_not_answer_programs(refused):
    assert "python -m activeloop label" in refused("oracle=people", "model=linear")


def test_a_missing_extra_is_said_with_how_to_get_it(photos, fails, monkeypatch):
    found = command.importlib.util.find_spec
    monkeypatch.setattr(
        command.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name)
    )
    error = fails(*PHOTOS)
    assert "needs uvicorn: pip install 'activeloop[label]'" in error


# -- the browser --------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="always has a display")
def test_the_browser_is_led_to_the_link_by_a_file_that_nobody_else_reads(tmp_path, monkeypatch):
    opened = []
    told = threading.Event()
    monkeypatch.setattr(
        browser.webbrowser, "open", lambda address: opened.append(address) or told.set()
    )
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    with browser.opened(tmp_path, "http://x/?token=secret", browser=True):
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("DISPLAY", ":0")
    (tmp_path / browser.OPENING_FILE).write_text("url=http://x:1/?token=old")  # it was killed
    with browser.opened(tmp_path, "http://x/?token=secret", browser=False):
        assert list(tmp_path.iterdir()) == []
    (tmp_path / browser.OPENING_FILE).write_text("url=http://x:1/?token=old")
    with browser.opened(tmp_path, "http://x/?token=secret", browser=True):
        assert told.wait(10)
        (file,) = tmp_path.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert "url=http://x/?token=secret" in file.read_text()
        assert opened == [file.as_uri()]
        assert "secret" not in opened[0]
    assert list(tmp_path.iterdir()) == []


# -- killed -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_was_acknowledged_is_there_once_after_a_kill(photos, tmp_path):
    for number in range(40, 400):
        Image.new("RGB", (8, 8), (number % 256,) * 3).save(photos / f"light-{number}.png")
    words = [sys.executable, "-u", "-m", "activeloop", "label", "--no-browser", "--port", "0"]
    acknowledged = []

    def work(person):
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                acknowledged.extend((person.who, each["event"]) for each in person.label(1))

    for target in ([*PHOTOS, *FAST], [str(RUN)]):
        least = len(acknowledged) + 40
        with subprocess.Popen([*words, *target], stdout=subprocess.PIPE, text=True) as process:
            try:
                port, token = next(filter(None, map(LINK.search, process.stdout))).groups()
                people = [Person(port, token, f"p{number}") for number in range(4)]
                threads = [threading.Thread(target=work, args=(each,)) for each in people]
                for thread in threads:
                    thread.start()
                while len(acknowledged) < least and process.poll() is None:
                    time.sleep(0.01)
            finally:
                process.kill()
            for thread in threads:
                thread.join(60)
    # To write: to read it only is refused where the kill came in the middle of a write.
    with contextlib.closing(Store(RUN / "run.db")) as store:
        kept = [(event.who, event.id) for event in store.events()]
        keys = [event.key for event in store.events()]
    assert len(acknowledged) >= 80
    assert set(acknowledged) <= set(kept)
    assert len(set(keys)) == len(keys)


def test_a_network_sees_flipped_and_shifted_images_unless_the_learner_is_another():
    own, _, _ = wanted._composed(["data.root=photos"])
    assert (own.learner.augment, own.data.size) == ("auto", 64)
    assert (
        wanted._composed(["data.root=photos", "learner.augment=none"])[0].learner.augment == "none"
    )
    assert "augment" not in wanted._composed(["data.root=photos", "learner=probe"])[0].learner
