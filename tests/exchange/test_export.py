"""`export`: a run's labels for other tools."""

import csv
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from exchanged import folder_config, make_images, make_loop, make_run, with_classes
from PIL import Image

from activeloop import NONE_OF_THESE, SKIP, initial, load_strategy
from activeloop.data import arrays, image_folder
from activeloop.errors import ConfigError, DataError, StoreError
from activeloop.exchange.copying import copier
from activeloop.exchange.export_command import export
from activeloop.exchange.names import distinct, safe, safe_file
from activeloop.store import Store
from activeloop.types import HiddenLabels


def write(*words):
    export([str(word) for word in words])


def rows(path):
    return list(csv.DictReader(path.open()))


def trained(directory):
    """Leave a run with a network's opinions: round 1 is asked and half answered."""
    loop = make_loop(directory)
    query = loop.ask()
    loop.tell(query, [0, 1, 2, 0], "ann", 2.0)
    query = loop.ask()
    loop.record({int(query.indices[0]): 1}, "bob")
    loop.files.close()
    return directory, query


def test_csv_has_the_present_answers_and_what_the_network_said(tmp_path, capsys):
    directory, query = trained(tmp_path / "run")
    write(directory, "--format", "csv")
    found = rows(directory / "labels.csv")
    assert [row["label"] for row in found] == ["a", "b", "c", "a", "b"]
    assert [row["who"] for row in found] == ["ann"] * 4 + ["bob"]
    first, last = found[0], found[-1]
    assert (first["seconds"], first["round"], first["predicted"]) == ("2.0", "0", "")
    assert last["key"] == query.keys[0]
    assert last["predicted"] == "abc"[query.predicted[0]]
    assert float(last["confidence"]) == query.confidence[0]
    assert [row["origin"] for row in found] == ["initial"] * 4 + [""]
    assert [row["asked"] for row in found] == ["0"] * 4 + ["1"]
    said = capsys.readouterr().out
    assert "5 labels: " in said
    assert "initial=file initial.path=" in said
    write(directory, "--format", "csv", "--all-events", "--out", tmp_path / "events.csv")
    assert "initial=file" not in capsys.readouterr().out  # of several answers to one image


def test_what_was_skipped_corrected_or_taken_back(tmp_path):
    loop = make_loop(tmp_path)
    loop.ask()
    loop.record({1: 0, 2: 1, 3: SKIP, 4: NONE_OF_THESE}, "ann")
    loop.record({1: 2, 2: None}, "bob")
    loop.files.close()
    write(tmp_path, "--format", "jsonl")
    present = [json.loads(line) for line in (tmp_path / "labels.jsonl").open()]
    assert [(row["kind"], row["label"], row["who"]) for row in present] == [
        ("skip", None, "ann"),
        ("none", None, "ann"),
        ("label", "c", "bob"),
    ]
    write(tmp_path, "--format", "csv", "--all-events")
    history = rows(tmp_path / "labels.csv")
    assert [row["kind"] for row in history] == ["label"] * 2 + ["skip", "none", "label", "undo"]
    assert [int(row["event"]) for row in history] == [1, 2, 3, 4, 5, 6]


def test_what_an_undo_brings_back_is_of_whoever_said_it(tmp_path):
    loop = make_loop(tmp_path)
    loop.ask()
    loop.record({1: 0}, "ann", seconds=1.5, origins={1: "grid"})
    loop.record({2: 1}, "ann")
    loop.record({1: 2}, "bob", origins={1: "history"})
    loop.record({1: 0}, "bob", takes_back={1: 3}, brings_back={1: 1}, origins={1: "undo"})
    first = loop.files.store.events()[0]
    loop.files.close()
    write(tmp_path, "--format", "csv")
    there = rows(tmp_path / "labels.csv")
    assert [row["key"] for row in there] == ["pool/1", "pool/2"]
    names = ("label", "who", "at", "round", "seconds", "origin")
    assert [there[0][name] for name in names] == ["a", "ann", first.at, "0", "1.5", "grid"]
    write(tmp_path, "--format", "csv", "--all-events", "--force")
    history = rows(tmp_path / "labels.csv")
    assert [(row["who"], row["origin"], row["takes_back"]) for row in history] == [
        ("ann", "grid", ""),
        ("ann", "", ""),
        ("bob", "history", ""),
        ("bob", "undo", "3"),
    ]


def test_the_score_of_a_pick_goes_with_its_label(tmp_path):
    loop = make_loop(tmp_path)
    loop.strategy = load_strategy("entropy")
    loop.tell(loop.ask(), [0, 1, 2, 0])
    query = loop.ask()
    loop.tell(query, [0] * len(query.indices))
    loop.record({89: 1})
    loop.files.close()
    write(tmp_path, "--format", "jsonl")
    there = {r["key"]: r for r in map(json.loads, (tmp_path / "labels.jsonl").open())}
    picked = [there[key] for key in query.keys]
    assert [row["score"] for row in picked] == query.scores.tolist()
    assert {(row["asked"], row["origin"]) for row in picked} == {(1, "strategy")}
    assert [there["pool/89"][name] for name in ("asked", "score", "origin")] == [None] * 3
    write(tmp_path, "--format", "label-studio")
    tasks = {t["data"]["key"]: t for t in json.loads((tmp_path / "label-studio.json").read_text())}
    meta = tasks[query.keys[0]]["meta"]
    assert (meta["origin"], meta["asked"], meta["score"]) == ("strategy", 1, query.scores[0])
    assert "score" not in tasks["pool/89"]["meta"]


def test_csv_starts_another_run(tmp_path):
    data = with_classes("a", 'b,"x"\n', "ü <script>")
    make_run(tmp_path, {5: 0, 7: 1, 9: 2, 11: SKIP}, data)
    write(tmp_path, "--format", "csv")
    found = initial.file(data, HiddenLabels(), path=str(tmp_path / "labels.csv"))
    assert found.labels == {5: 0, 7: 1, 9: 2}


def test_a_run_under_way_is_exported_and_not_held_up(tmp_path, monkeypatch, capsys):
    loop = make_loop(tmp_path)
    loop.ask()
    loop.record({1: 0})
    read = Store.events

    def answered_meanwhile(self, *words):
        loop.record({2: 0})
        return read(self, *words)

    monkeypatch.setattr(Store, "events", answered_meanwhile)
    write(tmp_path, "--format", "csv")
    assert [row["key"] for row in rows(tmp_path / "labels.csv")] == ["pool/1"]
    assert "1 label: " in capsys.readouterr().out


def test_tasks_of_label_studio(tmp_path):
    directory, query = trained(tmp_path / "run")
    loop = make_loop(directory)
    loop.record({int(query.indices[1]): SKIP, int(query.indices[2]): NONE_OF_THESE}, "c@d.org")
    loop.files.close()
    write(directory, "--format", "label-studio", "--out", tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == 7
    labelled, skipped, fits_none = tasks[4:]
    assert labelled["data"]["image"] == f"/data/local-files/?d={query.keys[0]}"
    (annotation,) = labelled["annotations"]
    assert annotation["result"] == [
        {
            "from_name": "choice",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": ["b"]},
        }
    ]
    assert "completed_by" not in annotation  # bob is no address
    (prediction,) = labelled["predictions"]
    assert prediction["result"][0]["value"]["choices"] == ["abc"[query.predicted[0]]]
    assert prediction["score"] == query.confidence[0]
    assert skipped["annotations"][0]["was_cancelled"]
    assert skipped["annotations"][0]["completed_by"] == {"email": "c@d.org"}
    assert not fits_none["annotations"][0]["was_cancelled"]
    assert fits_none["annotations"][0]["result"] == []
    assert tasks[0]["annotations"][0]["lead_time"] == 2.0
    assert "predictions" not in tasks[0]
    config = (tmp_path / "tasks-config.xml").read_text()
    assert '<Image name="image" value="$image"/>' in config
    assert '<Choice value="b"/>' in config


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("/data/local-files/?d=", "/data/local-files/?d=a%20b/%23%26%25.png"),
        ("s3://bucket/", "s3://bucket/a b/#&%.png"),
    ],
)
def test_keys_in_addresses_are_quoted_where_addresses_are(tmp_path, prefix, address):
    data = make_images(tmp_path / "photos", ["a b/#&%.png", "c/2.png"])
    sizes = {"initial": 1, "query_size": 1, "rounds": 1}
    make_run(tmp_path / "run", {0: 0}, data, identity=folder_config(tmp_path / "photos"), **sizes)
    words = ["--format", "label-studio", "--image-prefix", prefix, "--out", tmp_path / "t.json"]
    write(tmp_path / "run", *words)
    (task,) = json.loads((tmp_path / "t.json").read_text())
    assert task["data"]["image"] == address


# -- images ------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    names = ["1.png", "2.png", "3.png", "4.png", "5.png"]
    root = tmp_path / "photos"
    data = make_images(root, names)
    answers = {0: 0, 1: 1, 2: 1, 3: SKIP}
    make_run(tmp_path / "run", answers, data, identity=folder_config(root))
    return tmp_path


def test_a_folder_a_class(photos, capsys):
    out = photos / "new" / "out"
    write(photos / "run", "--format", "image-folder", "--out", out)
    assert {str(p.relative_to(out)) for p in out.glob("*/*")} == {
        *("cat/1.png", "dog/2.png", "dog/3.png")
    }
    assert (out / "dog/3.png").read_bytes() == (photos / "photos/3.png").read_bytes()
    said = capsys.readouterr().out
    assert "1 without a class were left out" in said
    assert "another" not in said
    data, _ = image_folder(out, size=8, test_fraction=0)
    assert data.classes == ("cat", "dog")


def test_a_link_is_to_the_image_and_not_to_a_symbolic_link(photos):
    (photos / "photos/1.png").rename(photos / "elsewhere.png")
    (photos / "photos/1.png").symlink_to(photos / "elsewhere.png")
    write(photos / "run", "--format", "image-folder", "--out", photos / "out", "--link")
    made = photos / "out/cat/1.png"
    assert not made.is_symlink()
    assert made.samefile(photos / "elsewhere.png")


def test_links_or_copies_where_there_are_none(photos, monkeypatch):
    write(photos / "run", "--format", "image-folder", "--out", photos / "out", "--link")
    assert (photos / "out/cat/1.png").samefile(photos / "photos/1.png")

    def refused(source, target):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refused)
    write(photos / "run", "--format", "image-folder", "--out", photos / "copies", "--link")
    assert (photos / "copies/cat/1.png").read_bytes() == (photos / "photos/1.png").read_bytes()


@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_copies_are_whole_where_little_is_written_at_a_time(tmp_path, monkeypatch, size):
    content = np.random.default_rng(0).bytes(size)
    (tmp_path / "a.jpg").write_bytes(content)
    at_once = os.write
    monkeypatch.setattr(os, "write", lambda file, data: at_once(file, data[:70_000]))
    copier(tmp_path, ["a.jpg"], link=False)({"a.jpg": str(tmp_path / "b.jpg")})
    assert (tmp_path / "b.jpg").read_bytes() == content


def test_many_images_are_all_copied(tmp_path):
    names = [f"{number}.jpg" for number in range(1_001)]
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / name).write_text(name)
    copier(tmp_path, names, link=False)({name: f"{tmp_path}/out/{name}" for name in names})
    assert all((tmp_path / "out" / name).read_text() == name for name in names)


@pytest.mark.parametrize("key", ["../a.jpg", "b/../../a.jpg", "/a.jpg"])
def test_only_images_of_the_folder_are_copied(tmp_path, key):
    (tmp_path / "photos/b").mkdir(parents=True)
    (tmp_path / "a.jpg").touch()
    key = str(tmp_path / "a.jpg") if key[0] == "/" else key
    with pytest.raises(DataError, match="1 of the labelled images are not in"):
        copier(tmp_path / "photos", [key], link=False)


def test_arrays_become_png(tmp_path):
    x = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    np.save(tmp_path / "x.npy", x)
    settings = {"x": str(tmp_path / "x.npy"), "classes": ["cat", "dog"]}
    data, _ = arrays(**settings)
    config = {"data": {"_target_": "activeloop.data.arrays", **settings}}
    make_run(tmp_path / "run", {2: 1}, data, identity=config)
    write(tmp_path / "run", "--format", "image-folder", "--out", tmp_path / "out")
    (path,) = (tmp_path / "out").glob("dog/*.png")
    assert np.array_equal(np.asarray(Image.open(path)), x[2])


def test_vectors_are_no_images(tmp_path):
    np.save(tmp_path / "x.npy", torch.randn(6, 3).numpy())
    settings = {"x": str(tmp_path / "x.npy"), "classes": ["cat", "dog"]}
    config = {"data": {"_target_": "activeloop.data.arrays", **settings}}
    make_run(tmp_path / "run", {2: 1}, arrays(**settings)[0], identity=config)
    with pytest.raises(DataError, match="no images"):
        write(tmp_path / "run", "--format", "image-folder")


def test_names_of_classes_that_are_no_folders(tmp_path, capsys):
    names = ["a/b", "a_b", "..", "<script>", "A_B"]
    x = np.zeros((10, 4, 4), np.uint8)
    np.save(tmp_path / "x.npy", x)
    settings = {"x": str(tmp_path / "x.npy"), "classes": names}
    config = {"data": {"_target_": "activeloop.data.arrays", **settings}}
    answers = {n: n for n in range(5)}
    make_run(tmp_path / "run", answers, arrays(**settings)[0], identity=config)
    write(tmp_path / "run", "--format", "image-folder", "--out", tmp_path / "out")
    made = {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()}
    assert len({name.casefold() for name in made}) == 5
    told = json.loads((tmp_path / "out/.activeloop.json").read_text())["classes"]
    assert set(told) == made
    assert set(told.values()) == set(names)
    assert "'..' is" in capsys.readouterr().out


def test_images_of_one_name_in_one_class(tmp_path, capsys):
    names = ["x/1.png", "y/1.png", "y/1-2.png"]
    root = tmp_path / "photos"
    config, data = folder_config(root), make_images(root, names)
    answers = dict.fromkeys(range(3), 0)
    make_run(tmp_path / "run", answers, data, identity=config, initial=1, query_size=1, rounds=1)
    write(tmp_path / "run", "--format", "image-folder", "--out", tmp_path / "out")
    content = {p.read_bytes() for p in (tmp_path / "out/x").iterdir()}
    assert content == {(root / name).read_bytes() for name in names}
    assert "1 image, with a name that was taken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("cat", "cat"),
        ("a/b", "a_b"),
        ("..", "__"),
        (".hidden", "_hidden"),
        ("", "_"),
        ("dog. ", "dog_"),
        ("con", "_con"),
        ("Nul.txt", "_Nul.txt"),
        ("a\\b:c\n", "a_b_c_"),
        ("é" * 300, "é" * 100),
    ],
)
def test_safe_names(name, made):
    assert safe(name) == made


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("IMG 1.JPG", "IMG 1.JPG"),
        ("a.tar.gz", "a.tar.gz"),
        ("a?.j?g", "a_.j_g"),
        (".jpg", "_jpg"),
        ("no suffix", "no suffix"),
        ("dots...", "dots_"),
        ("...", "__"),
    ],
)
def test_safe_names_of_files_keep_their_suffix(name, made):
    assert safe_file(name) == made


def test_distinct_names():
    assert distinct(["a", "A", "a-2", "b.png", "B.png"]) == ["a", "A-3", "a-2", "b.png", "B-2.png"]


def test_nothing_half_made_is_left(photos, monkeypatch):
    linked = []

    def full(source, path):
        linked.append(path)
        if len(linked) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        Path(path).touch()

    monkeypatch.setattr(os, "link", full)
    before = sorted(photos.iterdir())
    with pytest.raises(StoreError, match=r"cannot write .*out: No space left"):
        write(photos / "run", "--format", "image-folder", "--out", photos / "out", "--link")
    assert sorted(photos.iterdir()) == before


def test_an_image_that_cannot_be_read_is_named(photos):
    image = photos / "photos/2.png"
    image.unlink()
    image.symlink_to("/proc/self/mem")  # a file that is there, and gives an error when it is read
    before = sorted(photos.iterdir())
    with pytest.raises(DataError, match=r"cannot read .*2\.png: Input/output error"):
        write(photos / "run", "--format", "image-folder", "--out", photos / "out")
    assert sorted(photos.iterdir()) == before


def test_a_missing_image_is_named_before_anything_is_written(photos):
    (photos / "photos/2.png").unlink()
    with pytest.raises(DataError, match=r"1 of the labelled images .*: 2\.png"):
        write(photos / "run", "--format", "image-folder", "--out", photos / "out")
    assert not (photos / "out").exists()


# -- what is there already ---------------------------------------------------------------------


def test_nothing_is_overwritten_without_a_word(photos):
    for each, name in {"csv": "labels.csv", "label-studio": "label-studio.json"}.items():
        write(photos / "run", "--format", each)
        before = (photos / "run" / name).read_bytes()
        with pytest.raises(ConfigError, match=f"{name} is there already"):
            write(photos / "run", "--format", each)
        (photos / "run" / name).write_text("mine")
        write(photos / "run", "--format", each, "--force")
        assert (photos / "run" / name).read_bytes() == before


def test_a_folder_is_replaced_by_force_if_it_was_exported(photos):
    words = [photos / "run", "--format", "image-folder", "--out", photos / "out"]
    write(*words)
    (photos / "out/old").mkdir()
    with pytest.raises(ConfigError, match="replace it with --force"):
        write(*words)
    write(*words, "--force")
    assert {p.name for p in (photos / "out").iterdir()} == {"cat", "dog", ".activeloop.json"}
    assert [p.name for p in photos.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("place", ["photos", "photos/out", "mine"])
def test_nothing_else_is_ever_replaced_by_a_folder(photos, place):
    (photos / "mine").mkdir()
    (photos / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"not made by export|in the folder of the run's images"):
        write(photos / "run", "--format", "image-folder", "--out", photos / place, "--force")
    assert len(list((photos / "photos").iterdir())) == 5
    assert (photos / "mine/thesis.txt").exists()


def test_where_nothing_can_be_written(tmp_path):
    directory, _ = trained(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another place with --out"):
        write(directory, "--format", "csv", "--out", tmp_path / "file/labels.csv")


def test_without_labels_nothing_is_written(tmp_path, capsys):
    make_run(tmp_path, {})
    for each in ("csv", "jsonl", "label-studio", "image-folder"):
        write(tmp_path, "--format", each)
        assert "has no labels yet: nothing was exported" in capsys.readouterr().out
    assert not list(tmp_path.glob("label*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--format", "csv"], "nowhere is no directory"),
        (["run", "--format", "coco"], "invalid choice: 'coco'"),
        (["run", "--format", "image-folder", "--all-events"], "choose --format csv or jsonl"),
        (["run", "--format", "csv", "--link"], "--link is for"),
        (["run"], "required: --format csv, jsonl, label-studio, image-folder"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    make_run(Path("run"), {1: 0})
    with pytest.raises((ConfigError, StoreError), match=message):
        write(*words)
