"""`import`: labels made elsewhere, as answers of a run."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from exchanged import changed, folder_config, make_images, make_loop, make_run, stored

from activeloop import NONE_OF_THESE, SKIP
from activeloop.errors import ConfigError, DataError, StoreError
from activeloop.exchange.export_command import export
from activeloop.exchange.import_command import import_labels
from activeloop.lock import Lock
from activeloop.store import Store


@pytest.fixture
def run(tmp_path):
    """A run that waits for answers to its first query; samples 1 and 2 are a and b already."""
    return make_run(tmp_path / "run", {1: 0, 2: 1})


def give(run, text, *words, name="labels.csv"):
    path = run.parent / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    import_labels([str(run), str(path), *words])


def answers(run):
    with stored(run) as store:
        return store.answers()


def events(run):
    with stored(run) as store:
        return store.events()


def test_labels_become_answers_by_key(run, capsys):
    give(run, "key,label\npool/9,c\npool/1,a\npool/5,b\n", "--who", "eve")
    assert answers(run) == {"pool/1": "a", "pool/2": "b", "pool/9": "c", "pool/5": "b"}
    new = events(run)[2:]
    assert [(e.key, e.label, e.who, e.round, e.origin) for e in new] == [
        ("pool/9", "c", "eve", 0, "import"),
        ("pool/5", "b", "eve", 0, "import"),
    ]
    out = capsys.readouterr().out
    assert "2 new labels" in out
    assert "1 there already" in out
    assert "the next round trains on them: python -m activeloop resume" in out
    with (run / "queries.csv").open() as lines:
        assert [r["label"] for r in csv.DictReader(lines)] == ["", "a", "b", ""]


def test_the_next_round_trains_on_them(run):
    give(run, "key,label\npool/9,c\n")
    loop = make_loop(run)
    loop.tell(loop.ask(), {0: 0, 3: 0})
    loop.ask()
    assert loop.rounds[0].labels == 5
    assert loop.pool.answer(9) == 2


@pytest.mark.parametrize(("by_people", "command"), [(True, "label"), (False, "resume")])
def test_what_goes_on_with_the_run_is_said(run, capsys, by_people, command):
    with changed(run) as store:
        store.set_meta("run", {"labelled_by_people": by_people})
    give(run, "key,label\npool/9,c\n")
    assert f"the next round trains on them: python -m activeloop {command} " in (
        capsys.readouterr().out
    )


def test_labels_for_all_of_the_open_query_close_it(run):
    give(run, "key,label\npool/0,a\npool/3,c\n")
    loop = make_loop(run)
    assert loop.ask().round == 1
    assert loop.rounds[0].labels == 4


def test_a_finished_run_is_for_a_branch(run, capsys):
    loop = make_loop(run)
    loop.finish("finished by ann")
    loop.files.close()
    give(run, "key,label\npool/9,c\n")
    assert "activeloop branch" in capsys.readouterr().out
    assert answers(run)["pool/9"] == "c"


@pytest.mark.parametrize(
    "text",
    [
        "key,label\r\npool/9,c\r\n",
        "\ufeffkey;label\r\n\r\npool/9;c\r\n;\r\n",
        '"label"\t"key"\n"c"\t"pool/9"\n',
        'sep=;\r\n"Key";"Label";note\r\npool/9;" c";"a;b, ""c"""\r\n',
        "key,label\npool/9,c\n".encode("utf-16"),
        "key,label\npool/9,c",
    ],
)
def test_csv_of_many_programs(run, text):
    give(run, text)
    assert answers(run)["pool/9"] == "c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a column key"),
        ("name,label\npool/9,c\n", "say which it is with --key-column"),
        ("key,label\npool,9,c\n", "line 2 has 3 fields, the header 2"),
        ('key,label\n"pool/9"x,c\n', "line 2: "),
        (b"key,label\npool/9,\xe9\n", "no text in UTF-8"),
        (f"key,label,{'x' * 200_000}\npool/9,c,\n", "line 1: field larger than field limit"),
        ("[{]", "is no JSON"),
        ("[3]", "task 1: expected an object, got 3"),
        ('[{"data": {"image": "x"}, "annotations": 3}]', "task 1: not as Label Studio exports it"),
    ],
)
def test_files_that_are_none(run, text, message):
    with pytest.raises(DataError, match=message):
        give(run, text)
    assert len(events(run)) == 2


def test_columns_of_other_names(run):
    give(run, "name,species\npool/9,c\n", "--key-column", "name", "--label-column", "species")
    assert answers(run)["pool/9"] == "c"
    with pytest.raises(ConfigError, match="no column 'nam': there is name, species"):
        give(run, "name,species\npool/9,c\n", "--key-column", "nam")


BAD = """key,label
pool/9,c
pool/900,c
pool/10,C at
pool/11,
pool/12,a
pool/12,b
pool/12,b
pool/13,A
pool/14,A
"""


def test_what_is_wrong_is_listed_and_nothing_is_written(run, capsys):
    with pytest.raises(DataError, match=r"nothing was imported .* --skip-unknown"):
        give(run, BAD)
    out = capsys.readouterr().out
    assert "1 not in the pool: 'pool/900' (line 3)" in out
    assert "1 without a label: 'pool/11' (line 5)" in out
    assert "3 of no class of the run: 'C at', 'A' (did you mean 'a'?)" in out
    assert "1 with several labels: 'pool/12' is a and b" in out
    assert len(events(run)) == 2
    give(run, BAD, "--skip-unknown")
    assert [e.key for e in events(run)[2:]] == ["pool/9"]


def test_long_lists_are_cut(run, capsys):
    text = "key,label\n" + "".join(f"pool/{n},a\n" for n in range(100, 130))
    with pytest.raises(DataError):
        give(run, text)
    out = capsys.readouterr().out
    assert "30 not in the pool" in out
    assert "'pool/109' (line 11) and 20 more" in out


def test_classes_are_added_on_request(run):
    give(run, "key,label\npool/9,bird\npool/8,c\n", "--add-classes")
    loop = make_loop(run)
    assert loop.data.classes == ("a", "b", "c", "bird")
    assert loop.pool.answer(9) == 3


def test_conflicts_are_listed_and_kept(run, capsys):
    give(run, "key,label\npool/1,c\npool/2,b\npool/9,c\n")
    assert "1 with another answer (kept; --overwrite" in (out := capsys.readouterr().out)
    assert "'pool/1' is a, not c" in out
    assert answers(run) == {"pool/1": "a", "pool/2": "b", "pool/9": "c"}


def test_conflicts_are_overwritten_on_request_with_an_event_each(run):
    give(run, "key,label\npool/1,c\npool/2,b\n", "--overwrite")
    assert [(e.key, e.label) for e in events(run)] == [
        ("pool/1", "a"),
        ("pool/2", "b"),
        ("pool/1", "c"),
    ]


def test_a_skip_is_an_answer_too(tmp_path, capsys):
    run = make_run(tmp_path / "run", {1: SKIP, 2: NONE_OF_THESE})
    give(run, "key,label\npool/1,c\npool/2,c\n")
    assert "'pool/1' is skipped, not c, 'pool/2' is of no class" in capsys.readouterr().out
    assert len(events(run)) == 2


def test_a_dry_run_writes_nothing_and_needs_no_lock(run, capsys):
    loop = make_loop(run)
    before = (run / "run.db").read_bytes()
    give(run, "key,label\npool/9,c\n", "--dry-run")
    assert (run / "run.db").read_bytes() == before
    assert "1 new label in" in (out := capsys.readouterr().out)
    assert "nothing was written" in out
    loop.ask()  # the run is not taken from who has it


def test_a_run_that_another_process_holds_is_left_alone(run):
    lock = Lock(run)
    with pytest.raises(StoreError, match=r"process \d+ .* in use.*Ctrl-C"):
        give(run, "key,label\npool/9,c\n")
    lock.release()
    assert len(events(run)) == 2


def test_nothing_is_half_written(run, monkeypatch):
    execute = Store.add_events

    def killed(self, given, **options):
        def some():
            for number, event in enumerate(given):
                if number == 2:
                    raise KeyboardInterrupt
                yield event

        execute(self, some(), **options)

    monkeypatch.setattr(Store, "add_events", killed)
    with pytest.raises(KeyboardInterrupt):
        give(run, "key,label\npool/7,c\npool/8,c\npool/9,new\n", "--add-classes")
    assert len(events(run)) == 2
    with stored(run) as store:
        assert "new" not in (store.meta("classes") or [])


# -- what export writes --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["csv", "label-studio"])
def test_what_was_exported_comes_back(tmp_path, how, capsys):
    told = {1: 0, 5: 2, 7: SKIP, 8: NONE_OF_THESE, 20: 1}
    source = make_run(tmp_path / "source", told, who="c@d.org")
    export([str(source), "--format", how, "--out", str(tmp_path / "labels")])
    run = make_run(tmp_path / "run", {})
    import_labels([str(run), str(tmp_path / "labels")])
    assert answers(run) == {"pool/1": "a", "pool/5": "c", "pool/20": "b"}
    assert {(e.who, e.seconds) for e in events(run)} == {("c@d.org", 1.5)}
    assert "2 skipped or of no class, left out" in capsys.readouterr().out


# -- what Label Studio exports -------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """A run on the images cat/1.png, cat/2.png, dog/1.png, dog/2.png, without answers."""
    names = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]
    data = make_images(tmp_path / "photos", names)
    config, sizes = folder_config(tmp_path / "photos"), {"initial": 1, "query_size": 1, "rounds": 1}
    return make_run(tmp_path / "run", {}, data, identity=config, **sizes)


def task(image, *labels, **more):
    result = {"from_name": "choice", "to_name": "image", "type": "choices"}
    annotations = [
        {
            "id": 1,
            "completed_by": 1,
            "lead_time": 2.5,
            "was_cancelled": False,
            "ground_truth": False,
        }
        | {"result": [result | {"value": {"choices": [label]}}] if label else []}
        for label in labels
    ]
    return {"id": 1, "annotations": annotations, "data": {"image": image}, "meta": {}} | more


def minimal(image, label, **more):
    about = {"annotator": 1, "annotation_id": 2, "created_at": "2026-01-01", "lead_time": 2.5}
    return {"image": image, "id": 1, "choice": label} | about | more


LOCAL = "/data/local-files/?d=home/ann/photos/"


def test_labels_come_and_go_without_torch(photos):
    script = (
        "import sys\n"
        "from activeloop.app import main\n"
        "labels = ['labels.csv', '--key-column=image']\n"
        "for words in (['import', 'run', *labels], ['export', 'run', '--format=csv']):\n"
        "    sys.argv = ['activeloop', *words]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code, ended.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    (photos.parent / "labels.csv").write_text("image,label\ncat/1.png,dog\n")
    root = Path(__file__).parent.parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=photos.parent, env=environment, check=False)
    assert done.returncode == 0
    assert answers(photos) == {"cat/1.png": "dog"}
    assert "cat/1.png,dog" in (photos / "labels.csv").read_text()


@pytest.mark.parametrize("made", [task, minimal])
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        LOCAL,
        "s3://bucket/photos/",
        "https://example.org/photos/",
        "C:\\\\photos\\\\",
        "/photos/",
    ],
)
def test_images_are_found_by_the_end_of_their_address(photos, made, prefix, capsys):
    tasks = [made(f"{prefix}cat/1.png", "dog"), made(f"{prefix}dog/1.png", "cat")]
    give(photos, json.dumps(tasks))
    assert answers(photos) == {"cat/1.png": "dog", "dog/1.png": "cat"}
    assert {e.seconds for e in events(photos)} == {2.5}
    assert ("images are known by" in capsys.readouterr().out) == bool(prefix)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("https://example.org/photos/a%20b.png?v=1", "a b.png"),
        ("s3://bucket/photos/a%20b.png", "a%20b.png"),  # there it is a name like others
    ],
)
def test_addresses_of_the_web_are_decoded(tmp_path, address, key):
    data = make_images(tmp_path / "photos", ["a b.png", "a%20b.png", "c.png", "d.png"])
    run = make_run(tmp_path / "run", {}, data, identity=folder_config(tmp_path / "photos"))
    give(run, json.dumps([task(address, "dog")]))
    assert answers(run) == {key: "dog"}


def test_images_of_two_folders_are_not_mixed_up(tmp_path):
    data = make_images(tmp_path / "photos", ["1.png", "2.png", "3.png", "4.png"])
    config = folder_config(tmp_path / "photos")
    run = make_run(tmp_path / "run", {}, data, identity=config)
    text = "filename,class\nmon/1.png,cat\ntue/1.png,dog\ntue/2.png,dog\nmon/2.png,cat\n"
    give(run, text, "--skip-unknown")
    assert events(run) == []


def test_uploaded_images_are_known_by_their_names(tmp_path):
    data = make_images(tmp_path / "photos", ["1.png", "2.png", "3.png", "4.png"])
    run = make_run(tmp_path / "run", {}, data, identity=folder_config(tmp_path / "photos"))
    give(run, json.dumps([task("/data/upload/3/0a1b2c3d-2.png", "dog")]))
    assert answers(run) == {"2.png": "dog"}


def test_keys_are_not_guessed_where_they_are_called_keys(photos):
    with pytest.raises(DataError):
        give(photos, "key,label\nphotos/cat/1.png,cat\n")


def test_several_annotators_and_no_answer(photos, capsys):
    tasks = [
        task("cat/1.png", "cat", "dog"),
        task("cat/2.png", "cat", "cat"),
        task("dog/1.png", None),
        task("dog/2.png"),
    ]
    with pytest.raises(DataError):
        give(photos, json.dumps(tasks))
    assert "'cat/1.png' is cat and dog" in capsys.readouterr().out
    give(photos, json.dumps(tasks[1:]))
    assert answers(photos) == {"cat/2.png": "cat"}
    assert len(events(photos)) == 1


def test_a_cancelled_annotation_is_no_label(photos, capsys):
    cancelled = task("cat/1.png", "cat")
    cancelled["annotations"][0]["was_cancelled"] = True
    give(photos, json.dumps([cancelled]))
    assert events(photos) == []
    assert "1 skipped or of no class" in capsys.readouterr().out


def test_whose_label_it_is_in_label_studio(photos):
    tasks = []
    for name, by in (("cat/1.png", 7), ("cat/2.png", {"email": "c@d.org"}), ("dog/1.png", None)):
        made = task(name, "cat", meta={"who": "ann"})
        made["annotations"][0]["completed_by"] = by
        tasks.append(made)
    give(photos, json.dumps(tasks))
    assert [event.who for event in events(photos)] == ["import", "c@d.org", "ann"]


def test_other_names_in_label_studio(photos):
    minimal_task = {"photo": "cat/1.png", "animal": "dog", "quality": "good", "id": 3}
    with pytest.raises(DataError, match="--key-column says it"):
        give(photos, json.dumps([minimal_task]))
    words = ["--key-column", "photo", "--label-column", "animal"]
    give(photos, json.dumps([minimal_task]), *words)
    assert answers(photos) == {"cat/1.png": "dog"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "labels.csv"], "is no directory.* to begin one.* hydra.run.dir=nowhere"),
        (["run", "missing.csv"], "cannot read missing.csv"),
        (["run"], "FILE"),
        (["run", "labels.csv", "--who", ""], "--who needs a name"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", {})
    (tmp_path / "labels.csv").write_text("key,label\npool/1,a\n")
    with pytest.raises((ConfigError, DataError, StoreError), match=message):
        import_labels(words)
