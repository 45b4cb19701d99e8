"""Trackers: what they are told of runs, read back where they keep it."""

import csv
import io
import json
import logging
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from fakes import FakeSamples
from pictures import Pictures
from PIL import Image
from ranks import command, together

from activeloop.config import config_dir
from activeloop.data import load_data
from activeloop.trackers.images import PoolImages, grid
from activeloop.types import Round, TrackedRun

FAST = ["model=linear", "learner.epochs=1", "learner.min_steps=1", "initial.size=10"]
FAST += ["query_size=5", "rounds=2", "strategy=margin"]

# A tracker that writes down what it hears, a line each.
EAR = """
import json, os
from pathlib import Path
from activeloop.listeners import Silent

class Ear(Silent):
    def __init__(self, has=None, fails="", path="heard"):
        self.has, self.fails, self.path = has, fails, Path(path).absolute()

    def say(self, *what):
        with self.path.open("a") as file:
            file.write(json.dumps(what) + "\\n")
        if self.fails and self.fails in json.dumps(what) and Path("broken").exists():
            raise RuntimeError("the server is gone")

    def on_begin(self, run):
        self.run = run
        self.say("begin", run.name, run.told, len(run.rounds))
        return self.has

    def on_query(self, query):
        self.say("query", query.round, len(query.indices))

    def on_round(self, round, test_probs):
        self.say("round", round.round, round.labels, test_probs is not None)

    def on_end(self, reason):
        self.say("end", reason, (self.run.directory / "curve.png").exists())

    def close(self):
        self.say("close")

class Deaf:
    def on_begin(self, run):
        return None

class Ranked(Silent):
    def on_round(self, round, test_probs):
        Path(f"round{round.round}-rank" + os.environ["RANK"]).touch()
"""
TRACKED = ("tracker=custom", "tracker._target_=ear.Ear")

# Strategies that fail at 15 labels, or leave a network that does, while there is a file `stuck`.
STUCK = """
from pathlib import Path
from torch import nn

def stuck(context):
    if len(context.labelled) == 15 and Path("stuck").exists():
        raise ValueError("no idea")
    return context.unlabelled[: context.k]

def breaks(context):
    if len(context.labelled) == 15:
        Path("late").touch()
    return context.unlabelled[: context.k]

def network(n_classes):
    if Path("late").exists() and Path("stuck").exists():
        raise ValueError("no weights")
    return nn.Sequential(nn.Flatten(), nn.Linear(784, n_classes))
"""


@pytest.fixture
def cli(tmp_path, monkeypatch, typed):
    """Return a function that runs a command line in an empty directory: code, output, errors."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("ear", EAR), ("stuck", STUCK)):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    def call(*words):
        given = {word.partition("=")[0] for word in words}
        more = [word for word in FAST if word.partition("=")[0] not in given]
        return typed(*words, *more)

    return call


def rows(path):
    return list(csv.DictReader(path.open()))


def heard(folder):
    """Return what was heard since the last call."""
    path = folder / "heard"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def interrupted(cli, folder, *words):
    """Start a run that fails after its second round; the next command goes on with it."""
    (folder / "stuck").touch()
    given = ("strategy=custom", "strategy._target_=stuck.stuck", "hydra.run.dir=run", *words)
    assert cli(*given)[0] == 1
    (folder / "stuck").unlink()
    assert len(rows(folder / "run" / "curve.csv")) == 2
    return given


WHOLE = [
    ["begin", "margin-seed0", 0, 0],
    ["query", 0, 10],
    ["round", 0, 10, True],
    ["query", 1, 5],
    ["round", 1, 15, True],
    ["query", 2, 5],
    ["round", 2, 20, True],
    ["end", "rounds=2 done", True],
    ["close"],
]
TOLD_LATER = [[*line[:3], False] if line[0] == "round" else line for line in WHOLE]
TOLD_LATER[0] = ["begin", "margin-seed0", 0, 3]


# -- what a tracker is told ----------------------------------------------------------------------


def test_a_tracker_is_told_of_a_run_from_beginning_to_end(cli, tmp_path):
    code, _, err = cli(*TRACKED, "hydra.run.dir=run")
    assert (code, err) == (0, "")
    assert heard(tmp_path) == WHOLE
    assert cli("hydra.run.dir=plain")[0] == 0
    for name in ("queries.csv", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_it_is_told_of_which_run_and_of_seconds(cli, tmp_path):
    (tmp_path / "keeps_runs.py").write_text(
        "from activeloop.listeners import Silent\n"
        "runs, rounds = [], []\n"
        "class Mine(Silent):\n"
        "    def on_begin(self, run):\n"
        "        runs.append(run)\n"
        "    def on_round(self, round, test_probs):\n"
        "        rounds.append(round)\n"
    )
    words = ("tracker=custom", "tracker._target_=keeps_runs.Mine", "hydra.run.dir=run", "seed=4")
    assert cli(*words)[0] == 0
    mine = sys.modules.pop("keeps_runs")
    (run,) = mine.runs
    assert (run.directory, run.home, run.name) == (
        tmp_path / "run",
        tmp_path / "run",
        "margin-seed4",
    )
    assert run.labels == {"strategy": "margin", "variant": "", "seed": 4, "data": "digits"}
    assert type(run.config["learner"]) is dict
    assert run.config["learner"]["epochs"] == 1
    curve = rows(tmp_path / "run" / "curve.csv")
    parts = [sum(float(v) for k, v in row.items() if k.endswith("_seconds")) for row in curve]
    np.testing.assert_allclose([r.metrics["seconds"] for r in mine.rounds], np.cumsum(parts))
    assert [r.metrics["accuracy"] for r in mine.rounds] == [float(r["accuracy"]) for r in curve]
    picked = [int(row["index"]) for row in rows(tmp_path / "run" / "queries.csv")][:3]
    pool = load_data("digits")[0].pool.raw(np.array(picked), torch.device("cpu"))
    np.testing.assert_array_equal(run.images(np.array(picked)), pool.permute(0, 2, 3, 1))


def test_no_round_is_told_twice_when_a_run_goes_on(cli, tmp_path):
    words = interrupted(cli, tmp_path, *TRACKED)
    assert heard(tmp_path) == [["begin", "stuck-seed0", 0, 0], *WHOLE[1:5], ["close"]]
    assert cli(*words)[0] == 0
    assert heard(tmp_path) == [["begin", "stuck-seed0", 2, 2], *WHOLE[5:]]
    code, out, _ = cli(*words)
    assert code == 0
    assert "nothing to do" in out
    assert heard(tmp_path) == []


def test_a_query_whose_round_was_not_done_is_told_again(cli, tmp_path):
    (tmp_path / "stuck").touch()
    given = ("strategy=custom", "strategy._target_=stuck.breaks", "model=custom")
    given += ("model._target_=stuck.network", "hydra.run.dir=run", *TRACKED)
    assert cli(*given)[0] == 1
    assert heard(tmp_path)[-2:] == [["query", 2, 5], ["close"]]
    (tmp_path / "stuck").unlink()
    assert cli(*given)[0] == 0
    assert heard(tmp_path)[1:] == WHOLE[5:]


def test_a_run_is_the_same_with_another_tracker_which_is_told_all(cli, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text("# @package _global_\nbudget: 20\n")
    words = ("--config-dir=mine", "experiment=tiny")
    assert cli(*words)[0] == 0
    code, out, err = cli(*words, *TRACKED)
    assert (code, err) == (0, "")
    assert "nothing to do" in out
    assert heard(tmp_path) == TOLD_LATER
    # With other options it is another tracker.
    assert cli(*words, *TRACKED, "+tracker.has=2")[0] == 0
    assert heard(tmp_path) == [TOLD_LATER[0], *TOLD_LATER[5:]]
    assert cli(*words, *TRACKED)[0] == 0
    assert heard(tmp_path) == []


def test_each_of_several_seeds_has_a_tracker(cli, tmp_path):
    code, _, err = cli("seeds=[3,6]", "rounds=1", *TRACKED)
    assert (code, err) == (0, "")
    lines = heard(tmp_path)
    begun = [line[1] for line in lines if line[0] == "begin"]
    assert begun == [f"margin-seed{seed}" for seed in (3, 6)]
    assert [line[0] for line in lines].count("round") == 2 * 2
    assert lines.count(["end", "rounds=1 done", True]) == 2
    assert lines.count(["close"]) == 2


def test_of_several_processes_the_first_tells_the_tracker(cli, tmp_path):
    words = [*FAST, "tracker=custom", "tracker._target_=ear.Ranked", "hydra.run.dir=run"]
    for code, _, err in together(command, tmp_path, words):
        assert (code, err) == (0, "")
    assert sorted(p.name for p in tmp_path.glob("*-rank*")) == [f"round{n}-rank0" for n in range(3)]


# -- trackers that fail --------------------------------------------------------------------------


@pytest.mark.parametrize("at", ['"round", 1', '"end"'])
def test_one_that_fails_is_left_out_and_told_later(cli, tmp_path, at):
    (tmp_path / "broken").touch()
    words = (*TRACKED, f"+tracker.fails='{at}'", "hydra.run.dir=run")
    code, out, err = cli(*words)
    assert (code, err) == (0, "")
    said = [line for line in out.splitlines() if line.startswith("WARNING")]
    assert len(said) == 1
    assert "tracker ear.Ear failed (RuntimeError: the server is gone)" in said[0]
    assert at in json.dumps(heard(tmp_path)[-1])
    assert len(rows(tmp_path / "run" / "curve.csv")) == 3
    (tmp_path / "broken").unlink()
    assert cli(*words)[0] == 0
    told = {'"round", 1': 1, '"end"': 3}[at]
    expected = [["begin", "margin-seed0", told, 3], *TOLD_LATER[1 + 2 * told :]]
    assert heard(tmp_path) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tracker._target_=ear.Deaf"], "ear.Deaf has no method on_epoch"),
        (["tracker._target_=ear.Nobody"], "Nobody"),
        (["tracker._target_=ear.Ear", "+tracker.colour=red"], "colour"),
        ([], "tracker._target_ has no value"),
        (["tracker=tensorbord"], "tensorbord"),
    ],
)
def test_a_wrong_setting_is_an_error_before_data_are_loaded(cli, tmp_path, words, said):
    code, _, err = cli("tracker=custom", *words, "data=image_folder", "data.root=nowhere")
    assert code == 1
    assert said in err
    assert "nowhere" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("fails=begin", "tracker ear.Ear cannot begin (RuntimeError: the server is gone)"),
        ("has=all", "what ear.Ear.on_begin returns must be a whole number"),
    ],
)
def test_one_that_cannot_begin_is_an_error_before_training(cli, tmp_path, option, said):
    (tmp_path / "broken").touch()
    code, _, err = cli(*TRACKED, f"+tracker.{option}", "hydra.run.dir=run")
    assert code == 1
    assert said in err
    assert rows(tmp_path / "run" / "curve.csv") == []


@pytest.mark.parametrize(
    ("tracker", "package"),
    [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("mlflow", "sqlalchemy")],
)
def test_a_missing_extra_is_named_before_data_are_loaded(cli, monkeypatch, tracker, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("mlflow", "alembic", "sqlalchemy"):
        if name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = cli(f"tracker={tracker}", "data=image_folder", "data.root=nowhere")
    assert code == 1
    assert f"tracker={tracker} needs the package {package}" in err
    assert f"pip install 'activeloop[{tracker}]'" in err
    assert len(err.splitlines()) == 1


def test_configs_list_the_options_of_the_trackers():
    for name, options in (
        ("tensorboard", {"images": 64}),
        ("mlflow", {"uri": None, "experiment": "activeloop", "images": 64}),
    ):
        node = yaml.safe_load((config_dir() / "tracker" / f"{name}.yaml").read_text())
        module, _, made = node.pop("_target_").rpartition(".")
        __import__(module)
        assert getattr(sys.modules[module], made).__init__.__kwdefaults__ == options == node


# -- images --------------------------------------------------------------------------------------


def test_a_grid_has_the_images_row_by_row():
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((5, 48, 40, 1), np.uint8)
    sheet = grid(images)
    assert sheet.shape == (2 * 96 + 2, 3 * 80 + 2 * 2, 3)
    assert [sheet[0, 0, 0], sheet[95, 82, 2], sheet[0, 243, 1]] == [0, 1, 2]
    assert [sheet[98, 79, 0], sheet[193, 161, 0]] == [3, 4]
    assert [sheet[98, 162, 0], sheet[96, 0, 0], sheet[0, 81, 0]] == [255, 255, 255]


def test_large_images_are_made_smaller_and_small_ones_larger():
    assert grid(np.zeros((1, 300, 200, 3), np.uint8)).shape == (96, 64, 3)
    checked = np.array([[0, 200], [100, 0]], np.uint8)
    expected = checked.repeat(48, axis=0).repeat(48, axis=1)
    np.testing.assert_array_equal(grid(checked.reshape(1, 2, 2, 1))[:, :, 1], expected)


def test_images_of_any_scale_and_samples_that_are_none():
    pixels = torch.tensor([[[[-1.0, 0.0]]], [[[1.0, 0.5]]]])
    shown = PoolImages(Pictures(pixels))(np.arange(2))
    np.testing.assert_array_equal(shown.reshape(2, 2), [[0, 128], [255, 191]])
    vectors = FakeSamples(torch.zeros(3, 4), "pool")
    assert PoolImages(vectors)(np.arange(2)) is None
    images = Pictures(torch.full((3, 3, 5, 4), 7, dtype=torch.uint8))
    assert PoolImages(vectors, lambda: images)(np.arange(2)).shape == (2, 5, 4, 3)


# -- TensorBoard ---------------------------------------------------------------------------------


def events(directory):
    """Return what TensorBoard reads of a run."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="activeloop[tensorboard] is not installed",
    )
    found = accumulator.EventAccumulator(str(directory / "tensorboard"), size_guidance={})
    return found.Reload()


def decoded(image):
    return np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))


def steps(found, name):
    return [event.step for event in found.Scalars(name)]


@pytest.fixture
def tensorboard():
    pytest.importorskip("tensorboard", reason="activeloop[tensorboard] is not installed")


def test_tensorboard_shows_the_run(cli, tmp_path, tensorboard):
    code, _, err = cli("tracker=tensorboard", "tracker.images=4", "hydra.run.dir=run")
    assert (code, err) == (0, "")
    found = events(tmp_path / "run")
    curve = rows(tmp_path / "run" / "curve.csv")
    for name in ("accuracy", "loss", "train_seconds", "steps"):
        assert steps(found, name) == [10, 15, 20]
        values = [event.value for event in found.Scalars(name)]
        np.testing.assert_allclose(values, [float(row[name]) for row in curve], rtol=1e-6)
    at = np.array([event.wall_time for event in found.Scalars("seconds")])
    spent = np.array([event.value for event in found.Scalars("seconds")])
    np.testing.assert_allclose(np.diff(at), np.diff(spent), atol=1e-5)
    picks = found.Images("picks")
    assert [image.step for image in picks] == [10, 15, 20]
    index = [int(row["index"]) for row in rows(tmp_path / "run" / "queries.csv")]
    pool = load_data("digits")[0].pool.raw(np.array(index[10:14]), torch.device("cpu"))
    sheet = decoded(picks[1])
    assert sheet.shape == (170, 170, 3)
    np.testing.assert_array_equal(sheet[86::3, 86::3, 0], pool[3, 0])
    (curve_image,) = found.Images("curve")
    written = np.asarray(Image.open(tmp_path / "run" / "curve.png").convert("RGB"))
    np.testing.assert_array_equal(decoded(curve_image), written)
    (text,) = found.Tensors("config")
    config = text.tensor_proto.string_val[0].decode()
    assert '      "epochs": 1,' in config
    assert all(line.startswith("    ") for line in config.splitlines())


def test_tensorboard_has_each_round_once_when_a_run_goes_on(cli, tmp_path, tensorboard):
    words = interrupted(cli, tmp_path, "tracker=tensorboard")
    (first,) = (tmp_path / "run" / "tensorboard").iterdir()
    # As a process leaves it that is killed when it has written half of a round after.
    record = first.read_bytes()
    first.write_bytes(record + record[-2000:-1000])
    # And as one does that is killed before it notes what it has written.
    with sqlite3.connect(tmp_path / "run" / "run.db") as database:
        ((told,),) = database.execute("SELECT value FROM meta WHERE name = 'trackers'")
        less = told.replace('"rounds": 2', '"rounds": 1')
        assert less != told
        database.execute("UPDATE meta SET value = ? WHERE name = 'trackers'", (less,))
    assert cli(*words)[0] == 0
    found = events(tmp_path / "run")
    assert steps(found, "accuracy") == [10, 15, 20]
    assert [image.step for image in found.Images("picks")] == [10, 15, 20]
    assert len(found.Tensors("config")) == 1
    assert cli(*words)[0] == 0
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 2


def test_tensorboard_asks_for_all_rounds_if_its_files_are_gone(tmp_path, tensorboard):
    from activeloop.trackers.tensorboard import TensorBoard

    rounds = [Round(round=n, labels=10 + n, classes=2, metrics={}) for n in range(3)]
    fields = {"directory": tmp_path, "rounds": rounds, "told": 2, "began": 0.0, "config": {}}
    run = TrackedRun(**dict.fromkeys(TrackedRun.__annotations__) | fields)
    assert [TensorBoard().on_begin(run) for _ in range(2)] == [0, 2]


def test_tensorboard_shows_images_where_the_learner_has_vectors(cli, tmp_path, tensorboard):
    words = ("embed=pca", "embed.dimensions=5", "seeds=2", "hydra.run.dir=study", "rounds=1")
    assert cli("tracker=tensorboard", *words)[0] == 0
    for run in (tmp_path / "study").glob("margin-seed*"):
        assert [decoded(image).shape for image in events(run).Images("picks")] == [
            (3 * 84 + 4, 4 * 84 + 6, 3),
            (2 * 84 + 2, 3 * 84 + 4, 3),
        ]


def test_a_full_disk_stops_tensorboard_and_not_the_run(cli, tmp_path, monkeypatch, tensorboard):
    from activeloop.trackers.tensorboard import TensorBoard

    write = TensorBoard._write

    def full(self, events):
        if events[0].step == 15:
            self._path = Path("/dev/full")
        write(self, events)

    monkeypatch.setattr(TensorBoard, "_write", full)
    code, out, err = cli("tracker=tensorboard", "hydra.run.dir=run")
    assert (code, err) == (0, "")
    assert out.count("tracker activeloop.trackers.tensorboard.TensorBoard failed (OSError") == 1
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert cli("tracker=tensorboard", "hydra.run.dir=run")[0] == 0
    assert steps(events(tmp_path / "run"), "accuracy") == [10, 15, 20]


# -- MLflow --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """Return an MLflow store without runs: making one takes seconds."""
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package, reason="activeloop[mlflow] is not installed")
    from activeloop.trackers.mlflow import MLflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    root = logging.getLogger()
    before = root.handlers[:], root.level
    MLflow(uri=f"sqlite:///{path}")
    assert (root.handlers, root.level) == before
    return path


@pytest.fixture
def store(empty_store, tmp_path):
    """Return a function that puts an empty store into a directory, and one that reads it."""
    from mlflow import MlflowClient

    def put(folder):
        (tmp_path / folder).mkdir()
        shutil.copy(empty_store, tmp_path / folder / "mlflow.db")

    def read(folder, experiment="activeloop"):
        client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / folder}/mlflow.db")
        found = client.get_experiment_by_name(experiment)
        return client, client.search_runs([found.experiment_id], order_by=["start_time"])

    return SimpleNamespace(put=put, read=read)


def history(client, run, name):
    return client.get_metric_history(run.info.run_id, name)


def artifacts(client, run, path=None):
    return {file.path: file for file in client.list_artifacts(run.info.run_id, path)}


def test_mlflow_shows_the_run(cli, tmp_path, store):
    store.put("run")
    code, _, err = cli("tracker=mlflow", "tracker.images=4", "hydra.run.dir=run", "seed=3")
    assert (code, err) == (0, "")
    client, (run,) = store.read("run")
    assert run.info.run_name == "margin-seed3"
    assert run.info.status == "FINISHED"
    assert run.data.tags["strategy"] == "margin"
    assert run.data.tags["ended"] == "rounds=2 done"
    assert run.data.params["learner.epochs"] == "1"
    assert run.data.params["seed"] == "3"
    curve = rows(tmp_path / "run" / "curve.csv")
    for name in ("accuracy", "loss", "train_seconds"):
        points = history(client, run, name)
        assert [point.step for point in points] == [10, 15, 20]
        assert [point.value for point in points] == [float(row[name]) for row in curve]
    spent = history(client, run, "seconds")
    at = [point.timestamp / 1000 - run.info.start_time / 1000 for point in spent]
    np.testing.assert_allclose(at, [point.value for point in spent], atol=0.003)
    names = {"config.yaml", "curve.png", "picks"}
    assert artifacts(client, run).keys() == names
    picks = artifacts(client, run, "picks")
    assert list(picks) == [f"picks/round_000{n}.png" for n in range(3)]
    kept = tmp_path / "run" / "mlflow" / run.info.run_id / "artifacts"
    assert np.asarray(Image.open(kept / "picks" / "round_0001.png")).shape == (170, 170, 3)
    for name in ("config.yaml", "curve.png"):
        assert (kept / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_mlflow_goes_on_with_the_same_run_or_is_told_all_if_it_lost_it(cli, tmp_path, store):
    store.put("run")
    words = interrupted(cli, tmp_path, "tracker=mlflow")
    client, (run,) = store.read("run")
    assert run.info.status == "FAILED"
    # MLflow knows what it has, whatever was noted.
    forget = "DELETE FROM meta WHERE name = 'trackers'"
    with sqlite3.connect(tmp_path / "run" / "run.db") as database:
        database.execute(forget)
    assert cli(*words)[0] == 0
    client, (again,) = store.read("run")
    assert again.info.run_id == run.info.run_id
    assert again.info.status == "FINISHED"
    assert [point.step for point in history(client, run, "accuracy")] == [10, 15, 20]
    client.delete_run(run.info.run_id)
    with sqlite3.connect(tmp_path / "run" / "run.db") as database:
        database.execute(forget)
    assert cli(*words)[0] == 0
    client, (new,) = store.read("run")
    assert new.info.run_id != run.info.run_id
    assert [point.step for point in history(client, new, "accuracy")] == [10, 15, 20]


def test_a_sweep_has_one_store_of_mlflow(cli, tmp_path, store):
    store.put("sweep")
    words = ("tracker=mlflow", "tracker.experiment=mine", "hydra.sweep.dir=sweep", "rounds=1")
    assert cli("-m", "seed=0,1", *words)[0] == 0
    _, runs = store.read("sweep", "mine")
    assert sorted(run.info.run_name for run in runs) == ["margin-seed0", "margin-seed1"]
    assert list(tmp_path.rglob("mlflow.db")) == [tmp_path / "sweep" / "mlflow.db"]


def test_mlflow_sends_nothing_of_its_use(empty_store):
    from mlflow.telemetry import get_telemetry_client

    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert get_telemetry_client() is None


def test_a_server_that_does_not_answer_is_an_error_before_data_are_loaded(
    cli, monkeypatch, empty_store
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    words = ("tracker.uri=http://127.0.0.1:9", "data=image_folder", "data.root=nowhere")
    code, _, err = cli("tracker=mlflow", *words)
    assert code == 1
    assert "tracker.uri=http://127.0.0.1:9 cannot be used" in err
    assert len(err.splitlines()) == 1


def test_a_store_that_breaks_does_not_stop_the_run(cli, tmp_path, store, monkeypatch):
    from activeloop.trackers.mlflow import MLflow

    store.put("run")
    on_query = MLflow.on_query

    def broken(self, query):
        on_query(self, query)
        if query.round == 1:
            with sqlite3.connect(tmp_path / "run" / "mlflow.db") as database:
                database.execute("ALTER TABLE metrics RENAME TO lost")

    monkeypatch.setattr(MLflow, "on_query", broken)
    code, out, _ = cli("tracker=mlflow", "hydra.run.dir=run")
    assert code == 0
    assert out.count("tracker activeloop.trackers.mlflow.MLflow failed") == 1
    assert len(rows(tmp_path / "run" / "curve.csv")) == 3


def test_a_run_has_a_name_with_what_varies():
    labels = {"strategy": "margin", "variant": "model=cnn", "seed": 2, "data": "digits"}
    run = TrackedRun(**dict.fromkeys(TrackedRun.__annotations__) | {"labels": labels})
    assert run.name == "margin-seed2-model=cnn"
