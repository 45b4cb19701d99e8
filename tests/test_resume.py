"""`python -m activeloop resume`, and runs whose data changed since they began."""

import csv
import errno
import json
import logging
import os
import pickle
import re
import shlex
import shutil
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import CentroidLearner, blobs
from PIL import Image

from activeloop import run_files, runner
from activeloop.distributed import Ranks
from activeloop.errors import ConfigError, StoreError
from activeloop.learners import TorchLearner
from activeloop.logs import LogFile
from activeloop.loop import ActiveLoop
from activeloop.manifest import Manifest
from activeloop.oracle import SimulatedOracle
from activeloop.reloading import reload
from activeloop.report.runs import read_run
from activeloop.resume_command import resume
from activeloop.resuming import begun_in, config_of
from activeloop.run_files import RunFiles
from activeloop.scratch import Scratch
from activeloop.store import Store
from activeloop.strategies import margin
from activeloop.torchrun import Place

FAST = ["model=linear", "learner.epochs=1", "learner.min_steps=5", "initial.size=6"]
FAST += ["query_size=3", "rounds=3", "stop_set=20"]
PHOTOS = ["data=image_folder", "data.root=photos", "data.size=6", "device=cpu", *FAST]
DIGITS = [*FAST, "strategy=margin", "seed=1"]


class Killed(BaseException):
    """Ends a command as kill -9 does, as far as a process can do that to itself."""


def die(*args, **kwargs):
    raise Killed


@pytest.fixture
def cli(tmp_path, monkeypatch, typed):
    """Return a function that runs a command line: code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "draw_curve", lambda rounds, path, title: path.touch())
    return typed


@pytest.fixture
def killed(monkeypatch, cli):
    """Return a function that runs a command line and kills it in its n-th fit."""

    def call(*words, fit=3):
        original, calls = TorchLearner.fit, []

        def dying(self, *args):
            calls.append(1)
            if len(calls) == fit:
                raise Killed
            return original(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(TorchLearner, "fit", dying)
            with pytest.raises(Killed):
                cli(*words)

    return call


@pytest.fixture(scope="module")
def made():
    """What is made once for several tests."""
    return {}


@pytest.fixture
def whole(made, cli, tmp_path):
    """Return the outcome of `DIGITS` that nobody stopped."""
    if "whole" not in made:
        assert cli(*DIGITS, "hydra.run.dir=whole")[0] == 0
        made["whole"] = outcome(tmp_path / "whole")
    return made["whole"]


def photos(folder, names, shift=0):
    """Make an image for each of `names`, in a folder of its class, whose colour tells it."""
    for name in names:
        number = int(name[1:])
        rng = np.random.default_rng([number, shift])
        pixels = rng.integers(0, 120, (6, 6, 3), np.uint8)
        pixels[..., number % 2] += 120
        path = folder / ("cat", "dog")[number % 2] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def outcome(directory):
    """Return what of a run does not depend on the time that it took."""
    with (directory / "curve.csv").open() as file:
        curve = [
            {name: value for name, value in row.items() if "seconds" not in name}
            for row in csv.DictReader(file)
        ]
    files = ("queries.csv", "model.safetensors", "stop_probs/indices.npy")
    return curve, {name: (directory / name).read_bytes() for name in files}


def labels_in(directory):
    with closing(Store(directory / "run.db", read_only=True)) as store:
        return store.labels()


def state(directory):
    """Return all that a refused command must leave alone."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.suffix != ".log"
    }


# -- going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True])
def test_a_killed_run_ends_as_if_it_had_not_been(cli, killed, tmp_path, monkeypatch, warm):
    photos(tmp_path / "photos", [f"p{n}" for n in range(60)])
    words = [*PHOTOS, f"learner.warm_start={warm}", "strategy=margin", "seed=2"]
    assert cli(*words, "hydra.run.dir=whole")[0] == 0
    killed(*words, "hydra.run.dir=part")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # its relative paths lead from where it began
    code, out, err = cli("resume", tmp_path / "part")
    assert (code, err) == (0, "")
    assert f"relative paths lead from {tmp_path}" in out
    assert "going on with part after round 1" in out
    assert outcome(tmp_path / "part") == outcome(tmp_path / "whole")
    assert Path.cwd() == tmp_path / "elsewhere"
    assert not list(tmp_path.glob("outputs"))
    assert "round 3 of 3" in (tmp_path / "part" / "activeloop.log").read_text()
    code, out, err = cli("resume", tmp_path / "part")
    assert (code, err) == (0, "")
    assert "finished already (rounds=3 done): nothing to do" in out


@pytest.mark.parametrize(
    "where",
    [
        "activeloop.runner.build",
        "activeloop.run_files.RunFiles.claim",
        "activeloop.loop.read_state",
    ],
)
def test_a_run_that_was_killed_as_it_began_goes_on(cli, whole, tmp_path, monkeypatch, where):
    with monkeypatch.context() as patch:
        patch.setattr(where, die)
        with pytest.raises(Killed):
            cli(*DIGITS, "hydra.run.dir=part")
    code, _, err = cli("resume", "part")
    assert (code, err) == (0, "")
    assert outcome(tmp_path / "part") == whole
    with closing(Store(tmp_path / "part" / "run.db", read_only=True)) as store:
        labels = store.meta("run")
    assert labels == {"strategy": "margin", "variant": "", "seed": 1, "data": "digits"}


FOREIGN = {
    "config.yaml": "defaults: [mine]\n",
    "environment.json": '{"versions": {"node": 20}}\n',
    "error.txt": "Traceback of mine\n",
    "queries.csv": "key,label\na.png,cat\n",
    "weights_of_mine.safetensors": "not ours",
}


@pytest.mark.parametrize(
    ("way", "name"),
    [*(("run", name) for name in FOREIGN)]
    + [(way, "config.yaml") for way in ("sweep", "seeds", "branch")],
)
def test_nobodys_file_is_written_over_where_a_run_begins(cli, tmp_path, way, name):
    directory = tmp_path / {"run": "mine", "branch": "mine"}.get(way, "mine/margin-seed1")
    directory.mkdir(parents=True)
    (directory / name).write_text(FOREIGN[name])
    (directory / "notes.txt").write_text("mine too")
    before = state(directory)
    words = {
        "run": [*DIGITS, "hydra.run.dir=mine"],
        "sweep": ["-m", *DIGITS, "hydra.sweep.dir=mine"],
        "seeds": [*DIGITS, "seeds=1", "hydra.run.dir=mine"],
        "branch": ["branch", "other", "hydra.run.dir=mine"],
    }[way]
    if way == "branch":
        assert cli(*DIGITS, "rounds=1", "hydra.run.dir=other")[0] == 0
    code, _, err = cli(*words)
    assert code == 1
    (line,) = {line.partition(": ")[2] for line in err.splitlines() if name in line}
    for part in (f"a {name} that is not a run's", "an empty directory", "hydra.run.dir="):
        assert part in line
    assert state(directory) == before
    (directory / name).rename(tmp_path / name)
    assert cli(*words)[0] == 0
    assert (directory / "notes.txt").read_text() == "mine too"
    assert (tmp_path / name).read_text() == FOREIGN[name]


def test_where_a_run_failed_before_it_began_one_with_other_settings_begins(
    cli, tmp_path, monkeypatch
):
    assert cli(*DIGITS, "data.pool_size=5000", "hydra.run.dir=part")[0] == 1
    assert {"config.yaml", "environment.json", "error.txt"} <= set(state(tmp_path / "part"))
    for name in ("config.yaml", "environment.json"):
        (tmp_path / "part" / name).unlink()  # as a run of a sweep that failed as another did
    assert cli(*DIGITS, "hydra.run.dir=part")[0] == 0
    assert "error.txt" not in state(tmp_path / "part")


def test_a_sweep_goes_on_run_by_run(cli, killed, tmp_path):
    sweep = ["-m", "strategy=random,margin", "seed=0,1", "hydra.sweep.dir=sweep", *FAST]
    killed(*sweep, fit=6)  # the first is over, the second under way
    killed(*sweep, "strategy=random", "seed=5", fit=2)
    killed(*FAST, "strategy=random", "seed=6", "hydra.run.dir=sweep/random-seed6", fit=2)
    lost = tmp_path / "sweep" / "random-seed5" / "config.yaml"
    lost.write_text("nosuch: 3\n")
    code, out, err = cli("resume", "sweep")
    assert code == 1
    assert "sweep/random-seed0 holds this run, finished already" in out
    assert "error: sweep/random-seed5: there is no setting 'nosuch'" in err
    assert "error: 1 of 4 runs failed" in err
    for run in ("random-seed1", "random-seed6"):
        with closing(Store(tmp_path / "sweep" / run / "run.db", read_only=True)) as store:
            assert store.meta("ended") == "rounds=3 done"


def test_runs_of_several_seeds_go_on_each_by_itself(cli, tmp_path, monkeypatch):
    words = [*FAST, "seeds=2", "strategy=margin"]
    assert cli(*words, "hydra.run.dir=whole")[0] == 0
    tell, told = ActiveLoop.tell, []

    def dying(*args):
        told.append(1)
        if len(told) == 6:  # of the second seed, in the third query
            raise Killed
        tell(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ActiveLoop, "tell", dying)
        with pytest.raises(Killed):
            cli(*words, "hydra.run.dir=part")
    assert cli("resume", "part")[0] == 0
    for seed in ("margin-seed0", "margin-seed1"):
        assert outcome(tmp_path / "part" / seed) == outcome(tmp_path / "whole" / seed)


def test_a_tracker_is_told_of_the_same_home_when_a_run_goes_on(cli, killed, tmp_path, monkeypatch):
    (tmp_path / "teller.py").write_text(
        "from activeloop.listeners import Silent\n"
        "homes = []\n"
        "class Tracker(Silent):\n"
        "    def on_begin(self, run):\n"
        "        homes.append((str(run.home), run.name))\n"
        "    def close(self):\n"
        "        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["-m", "strategy=random", "seed=3", "hydra.sweep.dir=sweep", *FAST]
    killed(*words, "tracker=custom", "tracker._target_=teller.Tracker")
    assert cli("resume", "sweep")[0] == 0
    assert sys.modules["teller"].homes == [(str(tmp_path / "sweep"), "random-seed3")] * 2


def test_what_resume_cannot_go_on_with_is_said(cli, killed, tmp_path):
    (tmp_path / "outputs" / "mine").mkdir(parents=True)
    killed(*FAST, "hydra.run.dir=run", "seed=4")
    config = (tmp_path / "run" / "config.yaml").read_text()
    before = state(tmp_path / "run")

    def says(*parts, words=("run",)):
        code, _, err = cli("resume", *words)
        assert code == 1
        assert err.count("\n") == 1
        for part in parts:
            assert part in err

    says("the following arguments are required: DIR", words=())
    says("there is no directory outputs/mime: did you mean outputs/mine?", words=["outputs/mime"])
    says("there is no run in outputs", words=["outputs"])
    says("is a file", words=["run/run.db"])
    says("invalid choice: 'jion'", words=["run", "--new-samples", "jion"])
    (tmp_path / "run" / "config.yaml").write_text(config.replace("seed: 4", "seed: 5", 1))
    says("config.yaml was changed since the run began (seed was 4, is 5)")
    (tmp_path / "run" / "config.yaml").write_text("a: [")
    says("config.yaml cannot be read")
    (tmp_path / "run" / "config.yaml").unlink()
    says("config.yaml is not there: the command", "seed=4", "hydra.run.dir=")
    assert {k: v for k, v in before.items() if k != "config.yaml"} == {
        k: v for k, v in state(tmp_path / "run").items() if k != "error.txt"
    }
    # The command itself writes it anew.
    assert cli(*FAST, "hydra.run.dir=run", "seed=4")[0] == 0
    assert (tmp_path / "run" / "config.yaml").read_text() == config


def test_what_people_label_is_not_answered_by_an_oracle(cli, killed, tmp_path):
    killed(*FAST, "hydra.run.dir=run")
    with closing(Store(tmp_path / "run" / "run.db")) as store:
        store.set_meta("run", store.meta("run") | {"labelled_by_people": True})
        before = store.last_event()
    code, _, err = cli("resume", "run")
    assert code == 1
    assert f"python -m activeloop label {tmp_path}/run goes on with it" in err
    with closing(Store(tmp_path / "run" / "run.db", read_only=True)) as store:
        assert store.last_event() == before


# -- weights ---------------------------------------------------------------------------------------


def damage(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # still a valid file of the same shapes
    path.write_bytes(content)


def test_damaged_weights_are_never_used(cli, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RunFiles, "drop_older_weights", die)
        with pytest.raises(Killed):
            cli(*DIGITS, "hydra.run.dir=part")
    damage(tmp_path / "part" / "weights_0000.safetensors")
    code, out, err = cli("resume", "part")
    assert (code, err) == (0, "")
    assert "weights_0000.safetensors is damaged" in out
    assert outcome(tmp_path / "part") == whole


def test_a_warm_start_from_damaged_weights_is_refused(cli, killed, tmp_path):
    killed(*FAST, "learner.warm_start=true", "hydra.run.dir=run")
    path = tmp_path / "run" / "weights_0001.safetensors"
    damage(path)
    code, _, err = cli("resume", "run")
    assert code == 1
    assert f"needs the weights of round 1, and {path} is not there, or damaged" in err
    damage(path)  # back to what it was
    assert cli("resume", "run")[0] == 0


def test_a_warm_start_goes_on_from_the_model_if_it_was_stopped_as_it_ended(tmp_path, monkeypatch):
    data, hidden = blobs()

    def loop(directory):
        learner = CentroidLearner(warm_start=True)
        return ActiveLoop(data, learner, margin, initial=5, query_size=5, directory=directory)

    oracle = SimulatedOracle(hidden.pool)
    for directory in (tmp_path / "whole", tmp_path / "part"):
        first = loop(directory)
        for _ in range(2):
            first.step(oracle)
        if directory.name == "part":
            with monkeypatch.context() as patch:
                patch.setattr(first.files.store, "set_meta", die)
                with pytest.raises(Killed):
                    first.finish("enough")
            assert not (directory / "weights_0001.safetensors").exists()
            first.files.close()
            first = loop(directory)
        first.step(oracle)
        first.finish("enough")
        first.files.close()
    kept = [tmp_path / name / "model.safetensors" for name in ("whole", "part")]
    assert kept[0].read_bytes() == kept[1].read_bytes()


# -- data that changed -----------------------------------------------------------------------------


@pytest.fixture
def stopped(made, killed, tmp_path, tmp_path_factory):
    """Return the directory of a run on 40 images that was killed, and its command."""
    words = [*PHOTOS, "strategy=margin", "data.validation=4", "hydra.run.dir=run"]
    if "stopped" not in made:
        photos(tmp_path / "photos", [f"p{n}" for n in range(10, 50)])
        killed(*words)
        made["stopped"] = tmp_path_factory.mktemp("stopped") / "kept"
        shutil.copytree(tmp_path, made["stopped"])
    else:
        shutil.copytree(made["stopped"], tmp_path, dirs_exist_ok=True)
        with closing(Store(tmp_path / "run" / "run.db")) as store:
            environment = store.meta("environment") | {"working_directory": str(tmp_path)}
            store.set_meta("environment", environment)
        path = tmp_path / "run" / "environment.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | environment))
    return tmp_path / "run", words


def test_new_images_are_refused_until_it_is_said_what_to_do(cli, stopped, tmp_path):
    run, words = stopped
    photos(tmp_path / "photos", [f"a{n}" for n in range(12)])
    before = state(run)
    for command in (["resume", "run"], words):
        code, _, err = cli(*command)
        assert code == 1
        assert "12 samples are new (cat/a0.png, cat/a10.png, cat/a2.png" in err
        assert "and 2 more" in err
        assert f"resume {run} --new-samples join" in err
        assert state(run) == before


def test_ignored_images_change_nothing(cli, stopped, tmp_path):
    run, words = stopped
    assert cli(*[w.replace("dir=run", "dir=whole") for w in words])[0] == 0
    photos(tmp_path / "photos", [f"a{n}" for n in range(12)])
    (tmp_path / "photos" / "new class").mkdir()
    shutil.copy(tmp_path / "photos" / "cat" / "a0.png", tmp_path / "photos" / "new class")
    code, out, err = cli("resume", "run", "--new-samples", "ignore")
    assert (code, err) == (0, "")
    assert "the run has no class 'new class'" in out
    assert outcome(run) == outcome(tmp_path / "whole")


def test_images_that_join_come_after_those_that_were_there(cli, stopped, tmp_path, monkeypatch):
    run, _ = stopped
    with closing(Store(run / "run.db")) as store:
        first, labels = {e.key: e.index for e in store.queries()}, store.labels()
        before = store.meta("identity")["data"]
        rounds = store.rounds()
    indices = (run / "stop_probs" / "indices.npy").read_bytes()
    photos(tmp_path / "photos", [f"a{n}" for n in range(12)])
    made = []
    build = runner.build

    def noting(*args, **kwargs):
        made.append(build(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(runner, "build", noting)
    code, out, err = cli("resume", "run", "--new-samples", "join")
    assert (code, err) == (0, "")
    assert "12 samples joined the pool of run" in out
    loop, oracle = made[0]
    keys = list(loop.data.pool.keys)
    assert keys[-12:] == sorted(keys[-12:])
    assert all("/a" in key for key in keys[-12:])
    assert len(keys) == 40 - 8 - 4 + 12
    assert {key: keys[index] for key, index in first.items()} == {key: key for key in first}
    # A label is of the image that it was given to, in the oracle's hidden labels too.
    truth = {
        key: ("cat", "dog")[int(label)] for key, label in zip(keys, oracle._labels, strict=True)
    }
    assert all(key.startswith(f"{name}/") for key, name in truth.items())
    answers = labels_in(run)
    assert answers.items() >= labels.items()
    assert all(name == truth[key] for key, name in answers.items())
    with closing(Store(run / "run.db", read_only=True)) as store:
        after = store.meta("identity")["data"]
        (record,) = store.meta("joined")
        assert store.rounds()[: len(rounds)] == rounds
        assert store.meta("pool_size") == len(keys)
    assert (record["samples"], record["pool_size"]) == (12, 28)
    assert {name for name in before if before[name] != after[name]} == {"pool"}
    assert (run / "stop_probs" / "indices.npy").read_bytes() == indices
    assert list(reload(read_run(run)).pool.keys) == keys  # reports show the right images
    assert loop.stop_set.indices.tolist() == np.load(run / "stop_probs" / "indices.npy").tolist()


def test_a_run_that_others_joined_goes_on_to_the_same_end(cli, killed, stopped, tmp_path):
    run, _ = stopped
    shutil.copytree(run, tmp_path / "other")
    photos(tmp_path / "photos", [f"a{n}" for n in range(12)])
    assert cli("resume", "run", "--new-samples", "join")[0] == 0
    killed("resume", "other", "--new-samples", "join", fit=2)
    photos(tmp_path / "photos", ["b1"])
    assert "1 sample is new (dog/b1.png)" in cli("resume", "other")[2]
    code, _, err = cli("resume", "other", "--new-samples", "ignore")
    assert (code, err) == (0, "")
    assert outcome(tmp_path / "other") == outcome(run)


def test_under_torchrun_what_is_said_can_be_followed(cli, killed, stopped, tmp_path, monkeypatch):
    run, _ = stopped
    photos(tmp_path / "photos", ["a1", "a2"])

    class Two(Ranks):
        size = 2

    def said():
        before = state(run)
        config = config_of(run, begun_in(run))
        with monkeypatch.context() as patch:
            patch.setattr("activeloop.torchrun.place", lambda: Place(rank=0, size=2))
            with pytest.raises(StoreError) as raised:
                runner.build(config, run, ranks=Two())
        assert state(run) == before
        return str(raised.value)

    typed = f"python -m activeloop resume {run}"
    assert f"To go on: without torchrun, in one process: {typed} --new-samples join" in said()
    with monkeypatch.context() as patch:
        patch.setattr("activeloop.torchrun.place", lambda: Place(rank=0, size=2))
        with pytest.raises(ConfigError, match="without torchrun, python -m activeloop resume run"):
            resume(["run", "--new-samples", "join"])
    killed("resume", "run", "--new-samples", "join", fit=2)
    assert "2 samples joined the pool" in said()
    assert f"without torchrun, {typed} goes on in one" in said()
    code, _, err = cli("resume", "run")
    assert (code, err) == (0, "")


def test_images_that_are_gone_or_changed_are_named(cli, stopped, tmp_path):
    run, words = stopped
    before = state(run)
    kept = (tmp_path / "photos" / "cat" / "p20.png").read_bytes()
    (tmp_path / "photos" / "cat" / "p20.png").unlink()
    photos(tmp_path / "photos", ["p31"], shift=1)
    photos(tmp_path / "photos", ["c2"])
    for option in ("refuse", "join", "ignore"):
        code, _, err = cli("resume", "run", "--new-samples", option)
        assert code == 1
        assert "1 sample is gone (cat/p20.png)" in err
        assert "1 sample has another content (dog/p31.png)" in err
        assert "1 sample is new (cat/c2.png)" in err
        assert state(run) == before
    (tmp_path / "photos" / "cat" / "p20.png").write_bytes(kept)
    (tmp_path / "photos" / "cat" / "c2.png").unlink()
    code, _, err = cli(*words)
    assert code == 1
    assert "1 sample has another content (dog/p31.png)" in err
    photos(tmp_path / "photos", ["p31"])
    assert cli("resume", "run")[0] == 0


def test_a_branch_goes_on_without_images_that_were_removed(cli, stopped, tmp_path):
    run, _ = stopped
    labels = labels_in(run)
    removed = sorted(labels)[0]
    (tmp_path / "photos" / removed).unlink()
    err = cli("resume", "run")[2]
    assert f"1 sample is gone ({removed})" in err
    advised = re.search(r"those that are left: python -m activeloop (.+)", err)[1]
    code, out, err = cli(*shlex.split(advised), "hydra.run.dir=new")
    assert (code, err) == (0, "")
    assert f"1 is not there any more ({removed})" in out
    (said,) = re.findall(r"left out: \d+ answers? to .* not in the pool now: (.+); in run", out)
    left_out = ", ".join(re.findall(r"\(([^)]+)\)", said)).split(", ")
    there = Path("photos")
    with closing(Store(tmp_path / "new" / "run.db", read_only=True)) as store:
        pool = Manifest.read(store).parts["pool"].keys
        given = {each.key: each.label for each in store.events() if each.round == 0}
    # Of a new split: what is tested on now is not learned from.
    assert given == {key: name for key, name in labels.items() if key in pool}
    assert set(left_out) == labels.keys() - given.keys()
    assert all((there / key).is_file() for key in given)
    assert labels_in(run) == labels


def test_without_a_label_that_is_left_there_is_nothing_to_branch_from(cli, stopped, tmp_path):
    run, _ = stopped
    for key in labels_in(run):
        (tmp_path / "photos" / key).unlink()
    code, _, err = cli("branch", "run", "hydra.run.dir=new")
    assert code == 1
    assert "none of the samples that have a label in run is in the pool of photos now" in err
    assert not (tmp_path / "new").exists()


def test_where_settings_leave_samples_out_nothing_joins(cli, killed, tmp_path):
    photos(tmp_path / "photos", [f"p{n}" for n in range(10, 60)])
    words = [*PHOTOS, "data.pool_size=30", "strategy=margin"]
    assert cli(*words, "hydra.run.dir=whole")[0] == 0
    killed(*words, "hydra.run.dir=run")
    photos(tmp_path / "photos", ["a1", "a2"])
    for option in ("refuse", "join"):
        code, _, err = cli("resume", "run", "--new-samples", option)
        assert code == 1
        assert "data.pool_size chooses from other samples now" in err
    assert cli("resume", "run", "--new-samples", "ignore")[0] == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("as_input", [True, False])
def test_samples_do_not_join_where_that_would_change_the_vectors_of_others(
    cli, killed, tmp_path, as_input
):
    photos(tmp_path / "photos", [f"p{n}" for n in range(10, 50)])
    words = [*PHOTOS, "embed=pca", "embed.dimensions=5", f"embed.as_input={as_input}"]
    assert cli(*words, "hydra.run.dir=whole")[0] == 0
    killed(*words, "hydra.run.dir=run")
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    photos(tmp_path / "photos", ["a1", "a2", "a3"])
    code, _, err = cli("resume", "other", "--new-samples", "join")
    if as_input:
        assert code == 1
        assert "samples that join would change the vectors of all others" in err
    else:
        assert (code, err) == (0, "")
    assert cli("resume", "run", "--new-samples", "ignore")[0] == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.parametrize(
    ("names", "known"), [(["a1", "a2", "a3"], 4), (["z1", "z3", "z5"], 0)]
)  # in the middle, and after all that were there
def test_vectors_of_a_backbone_stay_what_they_were_when_others_join(
    cli, killed, tmp_path, monkeypatch, names, known
):
    photos(tmp_path / "photos", [f"p{n}" for n in range(10, 40)])
    made, build = [], runner.build

    def noting(*args, **kwargs):
        made.append(build(*args, **kwargs)[0])
        return build(*args, **kwargs)

    monkeypatch.setattr(runner, "build", noting)
    words = ["embed=backbone", "embed.weights=random", "embed.size=32", "data.test_fraction=0"]
    killed(*PHOTOS, *words, f"data.validation={known}", "hydra.run.dir=run")
    photos(tmp_path / "photos", names)
    killed("resume", "run", "--new-samples", "join", fit=1)
    assert cli("resume", "run")[0] == 0
    before, *afterwards = (loop.data for loop in made)
    own, device = np.arange(30 - known), torch.device("cpu")
    for after in afterwards:
        assert (len(before.pool), len(after.pool)) == (len(own), len(own) + 3)
        assert torch.equal(before.pool.batch(own, device), after.pool.batch(own, device))
        if known:
            samples = before.validation.samples, after.validation.samples
            assert torch.equal(*(each.batch(np.arange(known), device) for each in samples))


def test_labels_that_are_others_now_are_noticed(cli, killed, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 2
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    words = ["data=arrays", "data.x=x.npy", "data.y=y.npy", "strategy=margin", *FAST]
    assert cli(*words, "hydra.run.dir=whole")[0] == 0
    killed(*words, "hydra.run.dir=run")
    before = labels_in(tmp_path / "run")
    np.save(tmp_path / "y.npy", 1 - y)
    code, _, err = cli("resume", "run")
    assert code == 1
    assert "run: labels of the pool are not what they were when the run began" in err
    assert labels_in(tmp_path / "run") == before
    np.save(tmp_path / "y.npy", y)
    assert cli("resume", "run")[0] == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


# -- files of others -------------------------------------------------------------------------------


def test_no_pickle_in_a_run_directory_is_ever_loaded(cli, killed, tmp_path, monkeypatch):
    killed(*FAST, "seed=4", "hydra.run.dir=run")
    opened = tmp_path / "opened"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(opened),)

    evil = np.array([Evil()], dtype=object)
    for path in tmp_path.glob("run/*_probs/*.npy"):
        np.save(path, evil, allow_pickle=True)
    code, _, err = cli("resume", "run")
    assert code == 1
    assert "stop_probs" in err
    (tmp_path / "run" / "stop_probs" / "round_0001.npy").unlink()
    (tmp_path / "run" / "weights_0001.safetensors").write_bytes(pickle.dumps(Evil()))
    assert cli("resume", "run")[0] == 0
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_run(tmp_path / "run").test_probs(0)
    assert not opened.exists()


@pytest.mark.parametrize("fails", ["fsync", "write_array"])
def test_a_full_disk_ends_a_run_in_one_line_and_it_goes_on(
    cli, whole, tmp_path, monkeypatch, fails
):
    owner = {"fsync": os, "write_array": run_files}[fails]
    real, calls = getattr(owner, fails), []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, fails, full)
        code, _, err = cli(*DIGITS, "hydra.run.dir=part")
    assert code == 1
    assert "No space left on device; what was finished is kept" in err
    assert "Traceback" not in err
    assert cli("resume", "part")[0] == 0
    assert outcome(tmp_path / "part") == whole


def test_a_log_that_cannot_be_written_is_said_once_and_ends_nothing(tmp_path, capsys):
    class Full:
        def write(self, text=""):
            raise OSError(errno.ENOSPC, "No space left on device")

        flush = close = write

    log = LogFile(tmp_path / "activeloop.log")
    log.stream.close()
    log.stream = Full()
    for _ in range(2):
        log.emit(logging.makeLogRecord({"msg": "hello"}))
    log.close()
    err = capsys.readouterr().err
    assert err.count("activeloop.log cannot be written: [Errno 28] No space left") == 1
    assert err.count("\n") == 1


def test_predictions_that_find_no_room_on_the_disk_are_an_error_and_no_signal(
    tmp_path, monkeypatch
):
    def full(file, start, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreError, match="no room for 4 KiB of predictions") as refused:
        Scratch(100, tmp_path, torch.device("cpu")).empty((1024,))
    assert str(tmp_path) in str(refused.value)
