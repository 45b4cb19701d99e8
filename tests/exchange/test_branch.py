"""`branch`: a new run from the labels of another."""

import csv
import os
import re
import shutil
from pathlib import Path

import pytest
from exchanged import changed, make_images, make_loop, make_run, stored
from hydra.errors import HydraException
from omegaconf import OmegaConf

import activeloop.answers
from activeloop import NONE_OF_THESE, SKIP, ActiveLoop
from activeloop.answers import Answers
from activeloop.app import dispatch
from activeloop.errors import ConfigError, StoreError
from activeloop.exchange import branching
from activeloop.exchange import gone as exchange_gone
from activeloop.exchange.branch_command import branch
from activeloop.exchange.composing import branch_config, settings_of
from activeloop.exchange.import_command import import_labels
from activeloop.manifest import Manifest
from activeloop.messages import one_line
from activeloop.resume_command import resume
from activeloop.store import Store

FAST = ["model=linear", "learner.epochs=1", "learner.min_steps=1", "stop_set=0", "device=cpu"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three rounds: 10, 15 and 20 labels."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    sizes = ["data.pool_size=60", "initial.size=10", "query_size=5", "rounds=2"]
    words = [*FAST, *sizes, "strategy=least_confidence", f"hydra.run.dir={directory}"]
    assert dispatch(words) == 0
    return directory


@pytest.fixture
def source(finished, tmp_path, monkeypatch):
    """A copy of it, in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "source")
    return Path("source")


def unlabelled(directory):
    """Return a key of the pool that has no answer."""
    with stored(directory) as store:
        answers = store.answers()
        return next(k for k in Manifest.read(store).parts["pool"].keys if k not in answers)


def classes(directory):
    """Return how many classes each round knew."""
    with stored(directory) as store:
        return [round.classes for round in store.rounds()]


def rows(directory, name="queries.csv"):
    return list(csv.DictReader((Path(directory) / name).open()))


def test_a_branch_starts_from_the_labels_after_a_round(source, capsys):
    branch(["source", "round=1", "strategy=margin", "rounds=1", "hydra.run.dir=new"])
    assert "branch of source after round 1: 15 labels" in capsys.readouterr().out
    before = {r["key"]: r["label"] for r in rows("source") if int(r["round"]) <= 1}
    initial = {r["key"]: r["label"] for r in rows("new") if r["round"] == "0"}
    assert initial == before
    assert [r["labels"] for r in rows("new", "curve.csv")] == ["15", "20"]
    old, new = (
        OmegaConf.to_container(OmegaConf.load(f"{d}/config.yaml")) for d in ("source", "new")
    )
    assert new["strategy"]["_target_"] == "activeloop.strategies.margin"
    assert {name for name in new if new[name] != old[name]} == {"strategy", "rounds", "initial"}
    with stored("new") as store, stored("source") as origin:
        assert store.meta("branched_from") == {
            "directory": str(source.absolute()),
            "round": 1,
            "event": 15,
            "labels": 15,
        }
        assert store.meta("run")["strategy"] == "margin"
        given, taken = ({e.key: e for e in each.events()} for each in (origin, store))
    assert all((taken[k].who, taken[k].at) == (given[k].who, given[k].at) for k in before)
    assert {taken[k].origin for k in before} == {"branch"}


def test_by_default_all_labels_count_and_the_directory_is_a_fresh_one(source, capsys):
    new = unlabelled(source)
    with changed(source) as store:
        store.add_labels(3, {new: "7"}, "eve")
    branch(["source", "rounds=0"])
    assert "branch of source: 21 labels" in capsys.readouterr().out
    (made,) = Path("outputs").glob("*/*-digits-least_confidence-seed0")
    assert [r["label"] for r in rows(made) if r["key"] == new] == ["7"]


def test_what_an_undo_brought_back_is_taken_from_whoever_said_it(source):
    new = unlabelled(source)
    with changed(source) as store:
        store.add_labels(3, {new: "7"}, "eve")
        eve = store.events()[-1]
        store.add_labels(3, {new: "8"}, "bob")
        undo = {"takes_back": {new: eve.id + 1}, "brings_back": {new: eve.id}}
        store.add_labels(3, {new: "7"}, "bob", **undo)
    branch(["source", "rounds=0", "hydra.run.dir=new"])
    with stored("new") as store:
        (taken,) = [event for event in store.events() if event.key == new]
    assert (taken.who, taken.at) == ("eve", eve.at)
    assert (taken.takes_back, taken.brings_back) == (None, None)  # numbers of the other run


def test_what_was_skipped_is_not_asked_again(source):
    keys = [row["key"] for row in rows(source)]
    with changed(source) as store:
        store.add_labels(3, {keys[0]: SKIP, keys[1]: NONE_OF_THESE}, "eve")
    branch(["source", "rounds=1", "query_size=60", "strategy=random", "hydra.run.dir=new"])
    asked = [row["key"] for row in rows("new")]
    assert len(asked) == len(set(asked)) == 60 - 2
    assert not set(keys[:2]) & set(asked)
    with stored("new") as store:
        answers = store.answers()
    assert (answers[keys[0]], answers[keys[1]]) == (SKIP, NONE_OF_THESE)
    assert [r["labels"] for r in rows("new", "curve.csv")] == ["18", "58"]


def test_the_budget_counts_the_labels_it_starts_with(source):
    with pytest.raises(ConfigError, match=r"budget=20 counts all .* starts with 20"):
        branch(["source", "rounds=null", "budget=20", "hydra.run.dir=new"])
    assert not Path("new").exists()
    branch(["source", "rounds=null", "budget=22", "hydra.run.dir=new"])
    assert [r["labels"] for r in rows("new", "curve.csv")] == ["20", "22"]


def test_classes_that_were_added_are_there(source):
    new = unlabelled(source)
    with changed(source) as store:
        store.set_meta("classes", [*map(str, range(10)), "ten"])
        store.add_labels(3, {new: "ten"}, "eve")
    branch(["source", "rounds=1", "hydra.run.dir=new"])
    assert classes("new") == [11, 11]
    branch(["source", "round=2", "rounds=0", "hydra.run.dir=before"])
    assert classes("before") == [10]


def test_a_class_that_was_added_is_renamed_and_not_to_what_another_is_called(source):
    new = unlabelled(source)
    with changed(source) as store:
        store.set_meta("classes", [*map(str, range(10)), "a=b", "eleven"])
        store.add_labels(3, {new: "a=b"}, "eve")
    with pytest.raises(ConfigError, match="there would be two classes 'eleven'"):
        branch(["source", "--rename", "a=b=eleven"])
    words = ["source", "rounds=0", "hydra.run.dir=new", "--rename"]
    branch([*words, "a=b=eleven", "--rename", "eleven=a=b"])
    with stored("new") as store:
        assert store.meta("classes") == [*map(str, range(10)), "eleven", "a=b"]
        assert store.labels()[new] == "eleven"
    with stored("source") as store:
        assert store.labels()[new] == "a=b"
    with pytest.raises(StoreError, match="new holds another run"):
        branch([*words, "a=b=twelve"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["added=${seed}"], r"no class can be called '\$\{seed\}'"),
        (["added=???"], r"no class can be called '\?\?\?'"),
        (["added=a", "added=b"], "each class once, got added=a, added=b"),
    ],
)
def test_names_that_no_class_can_have(source, words, message):
    with changed(source) as store:
        store.set_meta("classes", [*map(str, range(10)), "added"])
    with pytest.raises(ConfigError, match=message):
        branch(["source", *(word for each in words for word in ("--rename", each))])


def test_a_folder_that_is_a_class_names_it(photos):
    with pytest.raises(ConfigError, match=r"'cat' has its name from the data \(as of cat/"):
        branch(["source", "--rename", "cat=lion"])
    with pytest.raises(ConfigError, match=r"'cat' has its name from the data \(as of cat/"):
        branch(["source", "data.classes=[cat,dog]", "--rename", "cat=lion"])


def test_a_branch_of_a_branch(source):
    branch(["source", "round=0", "rounds=1", "hydra.run.dir=new"])
    branch(["new", "rounds=1", "seed=3", "hydra.run.dir=newer"])
    assert [r["labels"] for r in rows("newer", "curve.csv")] == ["15", "20"]
    assert OmegaConf.load("newer/config.yaml").seed == 3


def test_a_run_that_people_label_is_prepared_and_goes_on_by_label(source, capsys):
    with changed(source) as store:
        store.set_meta("run", store.meta("run") | {"labelled_by_people": True})
    branch(["source", "round=1", "hydra.run.dir=new"])
    assert "to go on: python -m activeloop label new" in capsys.readouterr().out
    with stored("new") as store:
        assert store.meta("run")["labelled_by_people"] is True
        assert (len(store.answers()), store.rounds()) == (15, [])
    assert Path("new/config.yaml").exists()


def test_labels_are_given_to_a_branch_once_it_has_been_started(source, capsys):
    with changed(source) as store:
        store.set_meta("run", store.meta("run") | {"labelled_by_people": True})
    branch(["source", "hydra.run.dir=my labels"])
    Path("more.csv").write_text("key,label\n")
    with pytest.raises(StoreError, match="start it: python -m activeloop label 'my labels', stop"):
        import_labels(["my labels", "more.csv"])


def test_a_branch_that_people_label_lies_beside_its_origin_unless_they_say_where(source, capsys):
    by_people = Path("my=labels, new")
    shutil.move("source", by_people)
    with changed(by_people) as store:
        store.set_meta("run", store.meta("run") | {"labelled_by_people": True})
    for number in (2, 3):
        branch([str(by_people), "round=1"])
        beside = f"my=labels, new-{number}"
        assert f"python -m activeloop label '{beside}'" in capsys.readouterr().out
        assert Path(beside, "config.yaml").exists()


def test_a_branch_of_what_people_label_is_beside_it(source, capsys):
    with changed(source) as store:
        store.set_meta("run", store.meta("run") | {"labelled_by_people": True})
    for words, new in [
        (["source"], "source-2"),
        (["source", "round=0"], "source-3"),
        (["source-2"], "source-4"),
        (["source", "hydra.run.dir=mine-2"], "mine-2"),
        (["mine-2"], "mine-2-2"),  # there is no run called mine
    ]:
        branch(words)
        assert f"to go on: python -m activeloop label {new}\n" in capsys.readouterr().out
        assert Path(new, "run.db").is_file()
    assert not Path("outputs").exists()


# -- a branch that is stopped ----------------------------------------------------------------------


def curve(directory):
    untimed = [n for n in rows(directory, "curve.csv")[0] if not n.endswith("seconds")]
    return [[row[name] for name in untimed] for row in rows(directory, "curve.csv")]


@pytest.fixture(scope="module")
def straight(finished, tmp_path_factory):
    """A branch that was never stopped."""
    directory = tmp_path_factory.mktemp("straight") / "run"
    branch([str(finished), "round=1", "rounds=1", f"hydra.run.dir={directory}"])
    return directory


@pytest.mark.parametrize(
    ("where", "what", "again"),
    [
        (ActiveLoop, "_train", "resume"),
        (Answers, "take_given", "branch"),
        (activeloop.answers, "write_answers", "resume"),
        (Store, "add_events", "branch"),
        (Store, "set_all", "branch"),
    ],
)
def test_a_branch_that_was_stopped_goes_on_to_the_same_end(
    source, straight, monkeypatch, where, what, again
):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, what, killed)
        with pytest.raises(KeyboardInterrupt):
            branch(["source", "round=1", "rounds=1", "hydra.run.dir=new"])
    if again == "resume":
        assert resume(["new"]) == 0
    else:
        branch(["source", "round=1", "rounds=1", "hydra.run.dir=new"])
    assert curve("new") == curve(straight)
    assert [row["key"] for row in rows("new")] == [row["key"] for row in rows(straight)]


def test_a_branch_that_has_not_got_its_labels_is_not_resumed(source, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_events", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            branch(["source", "round=1", "hydra.run.dir=new"])
    with pytest.raises(StoreError, match="start the run anew with python -m activeloop branch"):
        resume(["new"])


def test_the_same_command_again_and_another_run(source, capsys):
    branch(["source", "round=0", "rounds=0", "hydra.run.dir=new"])
    branch(["source", "round=0", "rounds=0", "hydra.run.dir=new"])
    assert "finished already" in capsys.readouterr().out
    before = Path("new/run.db").read_bytes()
    with pytest.raises(StoreError, match="new holds another run"):
        branch(["source", "round=1", "rounds=0", "hydra.run.dir=new"])
    with pytest.raises(StoreError, match="source holds another run"):
        branch(["source", "round=1", "rounds=0", "hydra.run.dir=source"])
    with pytest.raises(StoreError, match=r"new holds a branch with other .*\(seed was 0, is 5\)"):
        branch(["source", "round=0", "rounds=0", "seed=5", "hydra.run.dir=new"])
    assert Path("new/run.db").read_bytes() == before


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (branching, "resume_run"),
        (Store, "set_all"),
        (Store, "add_events"),
        (Answers, "take_given"),
    ],
)
def test_other_settings_where_a_branch_has_only_its_labels(source, monkeypatch, where, what):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with changed(source) as store:
        store.set_meta("classes", [*map(str, range(10)), "ten"])
    with monkeypatch.context() as patch:
        patch.setattr(where, what, killed)
        with pytest.raises(KeyboardInterrupt):
            branch(["source", "rounds=0", "hydra.run.dir=new"])
    branch(["source", "round=0", "rounds=1", "seed=5", "hydra.run.dir=new"])
    assert OmegaConf.load("new/config.yaml").seed == 5
    with stored("new") as store:
        assert store.meta("identity")["config"]["seed"] == 5
        assert store.meta("branched_from")["labels"] == 10
    assert [r["labels"] for r in rows("new", "curve.csv")] == ["10", "15"]
    assert classes("new") == [10, 10]
    with pytest.raises(StoreError, match=r"with other settings \(rounds was 1, is 2\)"):
        branch(["source", "round=0", "rounds=2", "seed=5", "hydra.run.dir=new"])


def test_a_branch_that_somebody_labelled_in_is_not_begun_anew(source):
    with changed(source) as store:
        store.set_meta("run", store.meta("run") | {"labelled_by_people": True})
    branch(["source", "round=1", "hydra.run.dir=new"])
    branch(["source", "round=0", "seed=5", "hydra.run.dir=new"])
    with stored("new") as store:
        assert (len(store.answers()), store.meta("branched_from")["round"]) == (10, 0)
    with changed("new") as store:
        store.add_labels(1, {unlabelled(source): "7"}, "eve")
    with pytest.raises(StoreError, match="new holds another run"):
        branch(["source", "round=1", "seed=5", "hydra.run.dir=new"])
    with pytest.raises(StoreError, match=r"other settings \(seed was 5, is 0\)"):
        branch(["source", "round=0", "hydra.run.dir=new"])
    with stored("new") as store:
        assert len(store.answers()) == 11


# -- samples that are not in its pool -------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The run `source` on images in two folders, six of them labelled."""
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "photos", [f"{c}/{n}.png" for c in ("cat", "dog") for n in range(10)])
    sizes = ["initial.size=6", "rounds=0", "data.size=8", "data=image_folder", "data.root=photos"]
    assert dispatch([*FAST, *sizes, "data.test_fraction=0", "hydra.run.dir=source"]) == 0
    return tmp_path / "photos"


@pytest.mark.parametrize("setting", ["data.test_fraction=0.5", "data.validation=10"])
def test_labels_of_what_another_split_holds_out_are_left_out_and_named(photos, setting, capsys):
    before = {r["key"]: r["label"] for r in rows("source")}
    branch(["source", setting, "rounds=0", "hydra.run.dir=new"])
    with stored("new") as store:
        parts, left = Manifest.read(store).parts, store.labels()
    held = sorted({*before} - {*parts["pool"].keys})
    assert held
    assert left == {key: label for key, label in before.items() if key not in held}
    said = "is in the" if len(held) == 1 else "are in the"
    out = capsys.readouterr().out
    assert f": {len(held)} {said} test or validation set ({', '.join(held)}); in source" in out


def test_labels_of_what_the_pool_has_no_room_for_are_left_out_and_named(photos, capsys):
    branch(["source", "data.pool_size=8", "rounds=0", "hydra.run.dir=new"])
    assert re.search(r": \d are left out by the settings of the data \(", capsys.readouterr().out)


def test_each_reason_for_leaving_answers_out_is_told(photos, capsys):
    gone = rows("source")[0]["key"]
    (photos / gone).unlink()
    branch(["source", "data.validation=8", "rounds=0", "hydra.run.dir=new"])
    out = capsys.readouterr().out
    assert f"the pool now: 1 is not there any more ({gone}); " in out
    assert "in the test or validation set (" in out


def test_nothing_is_read_where_the_pool_is_the_same(photos, monkeypatch, capsys):
    monkeypatch.setattr(exchange_gone, "read_data", lambda _: 1 / 0)
    monkeypatch.setattr(branching, "resume_run", lambda _: None)
    branch(["source", "seed=4", "hydra.run.dir=new"])
    assert "left out" not in capsys.readouterr().out


def test_a_pool_without_any_of_the_labels_is_refused(photos):
    for row in rows("source"):
        (photos / row["key"]).unlink()
    with pytest.raises(ConfigError, match="none of the samples that have a label in source"):
        branch(["source", "rounds=0"])
    assert not Path("outputs").exists()


# -- its config ------------------------------------------------------------------------------------


def config_of(source, *words, folder=None):
    config = branch_config(settings_of(source), words, {}, folder)
    plain = OmegaConf.to_container(config)
    plain.pop("hydra")
    return plain


def test_nothing_changes_by_itself(source):
    assert config_of(source) == settings_of(source)


def test_a_group_is_swapped_whole_and_a_setting_alone(source):
    swapped = config_of(source, "strategy=switch", "strategy.at=50", "learner.lr=0.25")
    assert swapped["strategy"]["at"] == 50
    assert "sampling" in settings_of(source)["strategy"]
    assert "sampling" not in swapped["strategy"]
    before = settings_of(source)
    assert swapped["learner"] == before["learner"] | {"lr": 0.25}
    assert swapped["model"] == before["model"]


def test_options_of_ones_own(source, tmp_path):
    (tmp_path / "my, conf/strategy").mkdir(parents=True)
    (tmp_path / "my, conf/strategy/mine.yaml").write_text("_target_: my_module.mine\nx: 3\n")
    found = config_of(source, "strategy=mine", folder=tmp_path / "my, conf")
    assert found["strategy"] == {"_target_": "my_module.mine", "x": 3}
    found = config_of(source, "strategy=custom", "strategy._target_=a.b", "+strategy.x=1")
    assert found["strategy"] == {"_target_": "a.b", "x": 1}


def test_relative_paths_lead_where_they_led(tmp_path, monkeypatch, capsys):
    there, here = tmp_path / "there", tmp_path / "here"
    names = [f"{each}/{n}.png" for each in ("cat", "dog") for n in range(4)]
    make_images(there / "photos", names)
    here.mkdir()
    monkeypatch.chdir(there)
    sizes = ["initial.size=3", "rounds=0", "data.size=8", "data=image_folder", "data.root=photos"]
    assert dispatch([*FAST, *sizes, "hydra.run.dir=source"]) == 0
    monkeypatch.chdir(here)
    branch([os.path.relpath(there / "source"), "rounds=0", "hydra.run.dir=new"])
    assert [r["labels"] for r in rows("new", "curve.csv")] == ["3"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["source", "round=3"], "source has no round 3: there is 0 to 2"),
        (["source", "round=last"], "source has no round last: there is 0 to 2"),
        (["source", "strategy=margin,entropy"], "is several values: give one$"),
        (["source", "query_size=2,3"], "a list is written 'query_size=.2,3.'"),
        (["source", "query_size=[2,3"], r"its \[ is not closed"),
        (["source", "initial=stratified"], "takes no initial=: its initial set is the labels"),
        (["source", "initial.size=3"], "takes no initial.size=: its initial set is the labels"),
        (["source", "seeds=3"], "it is one run"),
        (["source", "data=mnist"], "takes no data=: its labels are of the samples"),
        (["source", "data._target_=mine.data"], "takes no data._target_=: its labels are of"),
        (["source", "+experiment=compare"], "takes no experiment="),
        (["source", "hydra.sweep.dir=x"], "takes hydra.run.dir= and no hydra.sweep.dir="),
        (["source", "--rename", "7=seven"], "class '7' has its name from the data, and keeps it"),
        (["source", "--rename", "x=y"], "source has no class 'x': there is 0, 1, 2"),
        (["source", "--rename", "7="], "--rename must be OLD=NEW, .* got '7='"),
        (["source", "--multirun"], "there is no option --multirun"),
        (["nowhere"], "nowhere is no directory"),
        (["."], "holds no run"),
        ([], "DIR"),
    ],
)
def test_what_makes_no_sense_is_said(source, words, message):
    with pytest.raises((ConfigError, StoreError), match=message):
        branch(words)
    assert not Path("outputs").exists()


def test_a_setting_that_is_not_there_is_named(source):
    with pytest.raises(HydraException) as raised:
        branch(["source", "query_sise=3"])
    assert one_line(raised.value) == "there is no setting query_sise: did you mean query_size?"
    with pytest.raises(HydraException) as raised:
        branch(["source", "strategy=bagde"])
    assert one_line(raised.value) == "there is no strategy=bagde: did you mean strategy=badge?"


def test_a_run_without_labels_and_one_made_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(Path("empty"), {})
    with pytest.raises(ConfigError, match="has no labels yet"):
        branch(["empty"])
    make_run(Path("made"), {1: 0})
    with pytest.raises(StoreError, match=r"initial=file initial.path=made/queries.csv"):
        branch(["made"])
    with pytest.raises(ConfigError, match="there is none whose query is over"):
        branch(["made", "round=0"])


def test_labels_that_are_not_those_that_were_given_are_not_trained_on(tmp_path):
    initial = activeloop.loop.Initial(size=3, given=True)
    loop = make_loop(tmp_path)
    loop.initial = initial
    loop.record({1: 0})
    with pytest.raises(StoreError, match="the initial set is of 3 labels, and there are 1"):
        loop.ask()
