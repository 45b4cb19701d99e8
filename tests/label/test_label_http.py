"""The label page's calls: what the desk is asked, what is sent back, and what makes no sense."""

import json
import os

import pytest
from label_fakes import FakeDesk, dumps, given, visitor

from activeloop.errors import DiskError, OrderError
from activeloop.label.app import MOST_BYTES, make_app
from activeloop.label.cards import Conflict, Said
from activeloop.label.images import Picture


class Pictures:
    pixelated = True

    def __len__(self):
        return 5

    def __call__(self, index, size):
        return Picture(b"%d %s" % (index, size.encode()), "image/png", f'"{index}"')

    def changed(self, index):
        return index == 4


@pytest.fixture
def desk():
    return FakeDesk()


@pytest.fixture
def client(desk, tmp_path):
    (tmp_path / "index.html").write_text("the page")
    (tmp_path / "page.js").write_text("the script")
    (tmp_path / "notes.txt").write_text("not of the page")
    return visitor(make_app(desk, Pictures(), page=tmp_path))


def answer(**changes):
    said = {"id": 1, "kind": "label", "label": "cat", "seconds": 1.5, "replaces": None}
    return {"who": "ann", "answers": [said | changes]}


# -- what is asked and answered ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "call"),
    [
        ("next", {"who": "ann", "count": 5, "keep": [1, 2]}, ("next", "ann", 5, [1, 2])),
        ("next", {"who": "ann", "count": 5}, ("next", "ann", 5, [])),
        ("undo", {"who": "ann"}, ("undo", "ann")),
        ("grid", {"who": "ann", "label": "<b>", "count": 9}, ("grid", "ann", "<b>", 9)),
        ("second_looks", {"who": "ann", "count": 9}, ("second_looks", "ann", 9)),
        ("classes", {"who": "ann", "name": "a fox"}, ("add_class", "ann", "a fox")),
        ("train", {"who": "ann"}, ("train",)),
        ("finish", {"who": "Änn Ö."}, ("finish", "Änn Ö.")),
        ("reopen", {"who": "ann"}, ("reopen", "ann")),
    ],
)
def test_calls_reach_the_desk(client, desk, path, body, call):
    assert client.post(f"/api/{path}", json=body).status_code == 200
    assert desk.calls == [call]


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("card?id=4", ("card", 4)),
        ("history", ("history", None, None, None, 50)),
        ("history?who=&label=&before=", ("history", None, None, None, 50)),
        ("history?who=7&label=12&before=9&count=3", ("history", "7", "12", 9, 3)),
    ],
)
def test_what_is_only_read_is_asked_for_by_address(client, desk, path, call):
    assert client.get(f"/api/{path}").status_code == 200
    assert desk.calls == [call]


def test_what_is_meant_for_another_run_reaches_no_desk(client, desk):
    body = answer() | {"run": "outputs/label/other"}
    reply = client.post("/api/answer", json=body)
    assert reply.status_code == 421
    assert "another run by now: outputs/label/photos" in reply.json()["error"]
    assert desk.calls == []
    assert client.post("/api/answer", json=body | {"run": desk.directory}).status_code == 200


def test_answers_reach_the_desk_together_and_come_back_as_they_are_kept(client, desk):
    body = answer()
    seen = {"replaces": 7, "key": "a\udcff.png"}
    body["answers"] += [{"id": 0, "kind": "none"}, {"id": 4, "kind": "skip"} | seen]
    reply = client.post("/api/answer", json=body)
    assert reply.json()["given"][0]["label"] == "cat"
    assert reply.json()["status"]["classes"] == ["cat", "dog"]
    cat = Said(id=1, kind="label", label="cat", seconds=1.5, replaces=None)
    none = Said(id=0, kind="none", label=None, seconds=None, replaces=None)
    skip = Said(id=4, kind="skip", label=None, seconds=None, replaces=7, key="a\udcff.png")
    assert desk.calls == [("answer", "ann", [cat, none, skip])]


def test_numbers_that_are_none_never_leave(client):
    text = client.post("/api/next", json={"who": "ann", "count": 1}).text
    assert "NaN" not in text
    assert "Infinity" not in text
    card = json.loads(text)["cards"][0]
    assert card["why"]["score"] is None
    assert card["opinion"]["confidence"] is None
    assert json.loads(text)["round"] == 3
    assert client.get("/api/status").json()["per_hour"] is None


def test_names_of_files_and_classes_arrive_as_they_are(tmp_path):
    key = 'a "quoted"\n\\name' + os.fsdecode(b"\xff") + "\u2028.png"
    desk = FakeDesk(classes=["<script>alert(1)</script>", "dog"], key=key)
    client = visitor(make_app(desk, Pictures(), page=tmp_path))
    assert client.get("/api/card?id=0").json()["key"] == key
    status = client.get("/api/status")
    assert status.json()["classes"][0] == "<script>alert(1)</script>"
    assert status.headers["content-type"] == "application/json"


def test_options_tell_the_page_how_to_begin(client, desk, tmp_path):
    options = client.get("/api/options").json()
    assert options == {
        "opinions": True,
        "grid": 24,
        "page_version": options["page_version"],
        "pixelated": True,
        "second_looks_from": 150,
    }
    hidden = visitor(make_app(desk, Pictures(), page=tmp_path, opinions=False))
    assert hidden.get("/api/options").json()["opinions"] is False
    (tmp_path / "page.js").write_text("another script")
    changed = visitor(make_app(desk, Pictures(), page=tmp_path)).get("/api/options").json()
    assert changed["page_version"] != options["page_version"]


# -- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (answer(id=-1), "answers[0].id"),
        (answer(id=5), "answers[0].id: there is no sample 5"),
        (answer(id=True), "answers[0].id"),
        (answer(id=1.0), "answers[0].id"),
        (answer(id="1"), "answers[0].id"),
        (answer(id=None), "answers[0].id"),
        (answer(id=10**400), "answers[0].id"),
        (answer(kind="cat"), "answers[0].kind"),
        (answer(kind=["label"]), "answers[0].kind"),
        (answer(kind="skip"), "answers[0].label"),
        (answer(label=None), "answers[0].label"),
        (answer(label=""), "answers[0].label"),
        (answer(label=3), "answers[0].label"),
        (answer(label="\ud800"), "answers[0].label"),
        (answer(label="x" * 1001), "answers[0].label"),
        (answer(seconds=-1), "answers[0].seconds"),
        (answer(seconds="1"), "answers[0].seconds"),
        (answer(seconds=True), "answers[0].seconds"),
        (answer(replaces=-1), "answers[0].replaces"),
        (answer(lable="cat"), "answers[0].'lable'"),
        (answer() | {"who": ""}, "who"),
        (answer() | {"who": "x" * 41}, "who"),
        (answer() | {"who": " ann"}, "who"),
        (answer() | {"who": "a\nb"}, "who"),
        (answer() | {"who": "a\u202eb"}, "who"),
        (answer() | {"who": 3}, "who"),
        (answer() | {"who": None}, "who"),
        (answer() | {"whom": "ann"}, "'whom'"),
        ({"who": "ann"}, "answers"),
        ({"who": "ann", "answers": []}, "answers"),
        ({"who": "ann", "answers": {}}, "answers"),
        ({"who": "ann", "answers": [1]}, "answers[0]"),
        ({"who": "ann", "answers": answer()["answers"] * 2}, "answers has a sample twice"),
        ({"who": "ann", "answers": [{"id": n} for n in range(201)]}, "answers"),
        ([], "a JSON object"),
        ("text", "a JSON object"),
    ],
)
def test_answers_that_make_no_sense_are_refused_by_a_sentence(client, desk, body, field):
    reply = client.post("/api/answer", json=body)
    assert reply.status_code == 400
    assert field in reply.json()["error"]
    assert reply.json()["given"] is None
    assert len(reply.json()["error"]) < 200
    assert desk.calls == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"who": "ann", "answers": [{"id": NaN}]}',
        b'{"who": "ann", "answers": [{"id": 1, "kind": "skip", "seconds": 1e999}]}',
        b'{"who": "ann", "answers": ' + b"9" * 5000 + b"}",
    ],
)
def test_bodies_that_are_no_json_are_refused(client, desk, content):
    reply = client.post("/api/answer", content=content)
    assert reply.status_code == 400
    assert desk.calls == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("next", {"who": "ann"}, "count"),
        ("next", {"who": "ann", "count": 201}, "count must be a whole number from 0 to 200"),
        ("next", {"who": "ann", "count": 1, "keep": [1, "2"]}, "keep[1]"),
        ("next", {"who": "ann", "count": 1, "keep": 1}, "keep"),
        ("grid", {"who": "ann", "count": 1}, "label"),
        ("classes", {"who": "ann", "name": " "}, "name"),
        ("classes", {"who": "ann", "name": "x" * 101}, "name"),
        ("classes", {"who": "ann", "name": "a\tb"}, "name"),
    ],
)
def test_other_calls_that_make_no_sense_are_refused(client, desk, path, body, field):
    reply = client.post(f"/api/{path}", json=body)
    assert reply.status_code == 400
    assert field in reply.json()["error"]
    assert desk.calls == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("card", 400),
        ("card?id=", 400),
        ("card?id=-1", 400),
        ("card?id=1.5", 400),
        ("card?id=12abc", 400),
        ("card?id=%D9%A1", 400),  # a digit, but not one of ours
        ("card?id=1&id=2", 400),
        ("card?id=5", 404),
        ("card?id=0&x=1", 400),
        ("history?before=x", 400),
        ("history?count=201", 400),
        ("nothing", 404),
        ("answer", 405),
    ],
)
def test_addresses_that_make_no_sense_are_refused(client, desk, path, status):
    reply = client.get(f"/api/{path}")
    assert reply.status_code == status
    assert reply.json()["error"]
    assert desk.calls == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_can_send_is_not_taken(client, desk, kind):
    reply = client.post("/api/train", json={"who": "ann"}, headers={"content-type": kind})
    assert reply.status_code == 400
    assert "Content-Type" in reply.json()["error"]
    assert desk.calls == []


def test_bodies_are_bounded_in_chunks_too(client, desk):
    body = dumps({"who": "ann"})
    padding = [b" " * 1024] * (MOST_BYTES // 1024)
    assert client.post("/api/train", content=[body, *padding[1:]]).status_code == 200
    reply = client.post("/api/train", content=[body, *padding])
    assert reply.status_code == 413
    assert "262,144 bytes" in reply.json()["error"]
    assert client.post("/api/train", content=body + b"".join(padding)).status_code == 413
    assert len(desk.calls) == 1


def test_a_file_that_was_changed_gets_no_label_and_may_be_skipped(client, desk):
    for changes in ({}, {"kind": "none", "label": None}):
        reply = client.post("/api/answer", json=answer(id=4, **changes))
        assert reply.status_code == 409
        assert reply.json()["error"] == "this file was changed since the run was opened"
    several = answer()
    several["answers"] += answer(id=4)["answers"]
    assert client.post("/api/answer", json=several).status_code == 409
    assert desk.calls == []
    skipped = answer(id=4, kind="skip", label=None)
    assert client.post("/api/answer", json=skipped).status_code == 200


def test_what_the_desk_refuses_is_a_sentence_with_the_present_answer(client, desk):
    desk.raises = OrderError("the run is over")
    reply = client.post("/api/answer", json=answer())
    assert (reply.status_code, reply.json()) == (409, {"error": "the run is over", "given": None})
    desk.raises = Conflict("bob was faster", given(7, "dog", "bob"))
    reply = client.post("/api/answer", json=answer())
    assert (reply.status_code, reply.json()["given"]["event"]) == (409, 7)


def test_a_full_disk_is_said_and_a_mistake_of_ours_tells_nothing(client, desk, caplog):
    desk.raises = DiskError("run.db: no space left on the disk, free some")
    reply = client.post("/api/answer", json=answer())
    assert (reply.status_code, reply.json()["error"]) == (
        500,
        "run.db: no space left on the disk, free some; once that is mended the server goes on by "
        "itself, and nothing need be started again",
    )
    assert reply.json()["error"] in caplog.text
    desk.raises = KeyError("secret")
    reply = client.post("/api/answer", json=answer())
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert "secret" in caplog.text


# -- files ------------------------------------------------------------------------------------


def test_the_page_and_its_files_are_sent_by_name(client):
    page, script = client.get("/"), client.get("/static/page.js")
    assert (page.text, page.headers["content-type"]) == ("the page", "text/html; charset=utf-8")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    again = client.get("/static/page.js", headers={"if-none-match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/notes.txt",
        "/static/nothing.js",
        "/static/../desk.py",
        "/static/..%2fdesk.py",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/desk.py",
        "/static//etc/passwd",
        "/static/page.js/",
        "/static/page.js%00",
        "/images/",
        "/images/..%2f..%2fetc/passwd",
        "/images/../0",
        "/images/-1",
        "/images/5",
        "/images/12abc",
        "/images/0x1",
        "/images/1.png",
        "/images/1%0a",
        "/images/%D9%A1",
        "/images/" + "9" * 5000,
        "/docs",
        "/openapi.json",
    ],
)
def test_there_is_nothing_else(client, path):
    reply = client.get(path)
    assert reply.status_code == 404
    assert set(reply.json()) == {"error", "given"}


def test_images_are_sent_by_index_and_asked_about_each_time(client):
    reply = client.get("/images/3?size=small")
    assert (reply.text, reply.headers["content-type"]) == ("3 small", "image/png")
    assert client.get("/images/03").text == "3 large"
    assert reply.headers["cache-control"] == "private, max-age=0, must-revalidate"
    same = {"if-none-match": 'W/"x", "3"'}
    assert client.get("/images/3", headers=same).status_code == 304
    assert client.get("/images/4", headers=same).status_code == 200
    assert client.get("/images/3?size=huge").status_code == 400
