"""Ready experiments: sweeps in one line that can be trusted, killed and started again."""

import csv
import dataclasses
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from activeloop import building
from activeloop.config import config_dir
from activeloop.lock import LOCK_FILE
from activeloop.strategies import CATALOG

ROOT = Path(__file__).parent.parent
FAST = ["data.pool_size=300", "model=linear", "learner.epochs=1", "learner.min_steps=1"]
FAST += ["initial.size=10", "query_size=5", "budget=20"]


@pytest.fixture
def cli(tmp_path, monkeypatch, typed):
    """Return a function that runs a command line in an empty directory: code, output, errors."""
    monkeypatch.chdir(tmp_path)
    # Drawing takes longer than these runs.
    monkeypatch.setattr("activeloop.runner.draw_curve", lambda rounds, path, title: path.touch())

    def call(*words, fast=FAST):
        given = {word.partition("=")[0] for word in words}
        more = [word for word in fast if word.partition("=")[0] not in given]
        return typed(*words, *more)

    return call


def own(folder, name, text):
    """Add an option to the user's own folder of configs."""
    path = folder / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def runs(folder):
    """Return the runs below `folder` by their name."""
    return {path.parent.name: path.parent for path in folder.rglob("run.db")}


def names(strategies, seeds):
    return {f"{strategy}-seed{seed}" for strategy in strategies for seed in seeds}


def rows(path):
    return list(csv.DictReader(path.open()))


def without_seconds(path):
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows(path)]


def no_data(config):
    raise AssertionError("data were loaded")


SWEEPS = {
    path.stem: config
    for path in sorted((config_dir() / "experiment").glob("*.yaml"))
    if "hydra" in (config := yaml.safe_load(path.read_text()))
}


def strategies_of(name):
    return set(SWEEPS[name]["hydra"]["sweeper"]["params"]["strategy"].split(","))


def test_each_sweep_has_the_baseline_and_its_check_against_itself():
    assert set(SWEEPS) == {"compare", "low_budget", "high_budget", "imbalanced", "redundant"}
    for config in SWEEPS.values():
        assert config["hydra"]["mode"] == "MULTIRUN"
        assert config["seeds"] == 5
        strategies = config["hydra"]["sweeper"]["params"]["strategy"].split(",")
        assert strategies[:2] == ["random", "random_again"]
        assert set(strategies) < set(CATALOG)
        assert len(strategies) == len(set(strategies)) == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SWEEPS.keys() - {"compare"}))
def test_each_sweep_runs(cli, tmp_path, name):
    fast, strategies = FAST, strategies_of(name)
    if name == "low_budget":  # its learner has no such settings
        fast = [word for word in FAST if not word.startswith("learner.")]
    else:  # the others run below
        strategies -= strategies_of("compare")
        fast = [*FAST, f"strategy={','.join(strategies)}"]
    code, _, err = cli(f"experiment={name}", "seeds=1", fast=fast)
    assert (code, err) == (0, "")
    assert set(runs(tmp_path / "outputs" / name)) == names(strategies, [0])


def test_an_experiment_is_a_sweep_in_one_line_and_run_once(cli, tmp_path, monkeypatch):
    command = ("experiment=compare", "data=digits", "strategy=random,margin")
    code, out, err = cli(*command, "seeds=2")
    assert (code, err) == (0, "")
    assert "nothing to do" not in out
    (group,) = (tmp_path / "outputs" / "compare").glob("digits-*")
    assert set(runs(tmp_path)) == names(["random", "margin"], [0, 1])
    # What is finished is found so from its file alone; a figure that is missing is drawn.
    (group / "margin-seed1" / "curve.png").unlink()
    (group / "margin-seed1" / "error.txt").write_text("of an earlier attempt\n")
    with monkeypatch.context() as patch:
        patch.setattr("activeloop.building.build_data", no_data)
        patch.setattr("activeloop.seeds.build_data", no_data)
        code, out, err = cli(*command, "seeds=2")
        assert (code, err) == (0, "")
        assert out.count("finished already (budget of 20 labels spent): nothing to do") == 4
        assert (group / "margin-seed1" / "curve.png").exists()
        assert not (group / "margin-seed1" / "error.txt").exists()
        # With -m, and run by run, it is the same sweep.
        code, out, _ = cli("-m", *command[:2], "strategy=margin", "seed=0,1")
        assert (code, out.count("nothing to do")) == (0, 2)
    # Tables that are missing are made again, from the run as it was.
    (group / "random-seed0" / "curve.csv").unlink()
    assert cli(*command[:2], "strategy=random", "seeds=1")[0] == 0
    assert len(rows(group / "random-seed0" / "curve.csv")) == 3


def test_the_command_line_takes_the_place_of_what_an_experiment_sweeps(cli, tmp_path):
    own(tmp_path, "experiment/tiny.yaml", TINY)
    command = ("--config-dir=mine", "experiment=tiny")
    code, _, err = cli(*command, "strategy=margin", "hydra.run.dir=elsewhere")
    assert code == 0
    assert "warning: this is a sweep, which goes to outputs/tiny: choose another" in err
    assert set(runs(tmp_path / "outputs" / "tiny")) == names(["margin"], [0, 1])
    assert cli(*command, "strategy=margin", "seed=4,6")[0] == 0
    assert set(runs(tmp_path)) == names(["margin"], [0, 1, 4, 6])
    assert cli(*command, "seeds=1", "seed=9")[0] == 0
    assert set(runs(tmp_path)) - names(["margin"], [0, 1, 4, 6]) == names(
        ["random", "entropy"], [9]
    )


TINY = """# @package _global_
seeds: 2
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      strategy: random,entropy
"""


@pytest.mark.parametrize("choice", ["experiment=tiny,small", "experiment=tiny"])
def test_a_run_outside_of_the_sweep_that_an_experiment_is(cli, tmp_path, choice):
    own(tmp_path, "experiment/tiny.yaml", TINY)
    own(tmp_path, "experiment/small.yaml", TINY)
    code, _, err = cli("--config-dir=mine", choice, "-m" if "," in choice else "hydra.mode=RUN")
    assert code == 1
    assert "is a sweep by itself, over strategy=random,entropy: run it alone, or name one" in err
    assert not runs(tmp_path)


def test_one_run_of_an_experiment(cli, tmp_path):
    own(tmp_path, "experiment/tiny.yaml", TINY)
    words = ("--config-dir=mine", "experiment=tiny", "hydra.mode=RUN", "strategy=margin", "seed=3")
    code, _, err = cli(*words)
    assert (code, err) == (0, "")
    assert set(runs(tmp_path / "outputs" / "tiny")) == {"margin-seed3"}


def test_a_setting_that_is_wrong_or_a_strategy_that_is_not_there_starts_nothing(cli, tmp_path):
    for words, part in ((["strategy=random,margn"], "margn"), (["budgt=20"], "budgt")):
        code, _, err = cli("experiment=compare", *words)
        assert code == 1
        assert part in err
        assert not runs(tmp_path)


def test_the_ceiling_is_one_run_on_all_labels(cli, tmp_path):
    fast = [word for word in FAST if not word.startswith(("initial", "budget"))]
    command = ("experiment=ceiling", "data=digits")
    code, _, err = cli(*command, fast=fast)
    assert (code, err) == (0, "")
    (run,) = runs(tmp_path / "outputs" / "ceiling").values()
    assert [row["labels"] for row in rows(run / "curve.csv")] == ["300"]
    assert "nothing to do" in cli(*command, fast=fast)[1]


# -- killed and started again ----------------------------------------------------------------------

FATAL = """
import os, signal
from pathlib import Path

def fatal(context):
    marker = Path("killed")
    if context.round == 2 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return context.unlabelled[: context.k]
"""


def test_a_sweep_killed_half_way_goes_on_to_the_same_end(cli, tmp_path):
    name = f"fatal_{tmp_path.name.replace('-', '_')}"
    own(tmp_path, "strategy/fatal.yaml", f"_target_: {name}.fatal\n")
    (tmp_path / f"{name}.py").write_text(FATAL)
    command = ["--config-dir=mine", "experiment=compare", "strategy=random,fatal,margin"]
    command += ["seeds=2", "budget=25", "oracle=noisy"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        [sys.executable, "-m", "activeloop", *command, *FAST[:-1]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    part = runs(tmp_path / "outputs")
    assert set(part) == names(["random", "fatal"], [0, 1])
    assert "ended" not in meta(part["fatal-seed0"])
    before = {seed: (part[f"random-seed{seed}"] / "run.db").read_bytes() for seed in (0, 1)}

    code, out, err = cli(*command)
    assert (code, err) == (0, "")
    assert out.count("nothing to do") == 2
    assert out.count("going on with") == 2
    whole = runs(tmp_path / "outputs")
    assert set(whole) == names(["random", "fatal", "margin"], [0, 1])
    for seed, file in before.items():
        assert (whole[f"random-seed{seed}"] / "run.db").read_bytes() == file

    command[2] = "strategy=fatal,margin"
    assert cli(*command, "hydra.sweep.dir=uninterrupted")[0] == 0
    uninterrupted = runs(tmp_path / "uninterrupted")
    assert len(uninterrupted) == 4
    for name, other in uninterrupted.items():
        assert without_seconds(whole[name] / "curve.csv") == without_seconds(other / "curve.csv")
        assert (whole[name] / "queries.csv").read_bytes() == (other / "queries.csv").read_bytes()
        assert len(rows(other / "curve.csv")) == 4


def meta(run):
    with sqlite3.connect(run / "run.db") as database:
        return dict(database.execute("SELECT name, value FROM meta"))


def test_an_interrupted_experiment_says_that_the_same_command_goes_on(cli, tmp_path):
    name = f"stopped_{tmp_path.name.replace('-', '_')}"
    own(tmp_path, "strategy/stopped.yaml", f"_target_: {name}.fatal\n")
    text = FATAL.replace("os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt")
    (tmp_path / f"{name}.py").write_text(text)
    command = ("--config-dir=mine", "experiment=compare", "strategy=stopped", "seeds=2")
    code, _, err = cli(*command)
    assert code == 130
    assert "interrupted; the same command goes on\n" in err
    code, out, err = cli(*command)
    assert (code, err) == (0, "")
    assert out.count("going on with") == 2
    assert set(runs(tmp_path)) == names(["stopped"], [0, 1])


def test_a_run_that_another_process_is_at_is_left_to_it(cli, tmp_path):
    command = ("-m", "strategy=margin", "seeds=2", "hydra.sweep.dir=sweep")
    busy = tmp_path / "sweep" / "margin-seed0"
    busy.mkdir(parents=True)
    lock = os.open(busy / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        code, _, err = cli(*command)
    finally:
        os.close(lock)
    assert code == 1
    assert "error: 1 of 2 runs were left to another process; once it is over, the same" in err
    assert "  sweep/margin-seed0: " in err
    assert "runs failed" not in err
    assert set(runs(tmp_path)) == {"margin-seed1"}
    code, out, err = cli(*command)
    assert (code, err) == (0, "")
    assert out.count("nothing to do") == 1
    assert set(runs(tmp_path)) == names(["margin"], [0, 1])


def test_runs_that_fail_are_listed_one_by_one_and_run_again(cli, tmp_path):
    own(tmp_path, "strategy/fails.yaml", "_target_: fails_for_a_while.fails\n")
    (tmp_path / "fails_for_a_while.py").write_text(
        "calls = []\n"
        "def fails(context):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2:\n"
        "        raise ValueError('no idea')\n"
        "    return context.unlabelled[: context.k]\n"
    )
    command = ("--config-dir=mine", "experiment=compare", "strategy=fails,random", "seeds=2")
    code, _, err = cli(*command)
    assert code == 1
    assert "error: 1 of 4 runs failed" in err
    (line,) = [line for line in err.splitlines() if line.startswith("  ")]
    assert "fails-seed1: " in line
    assert "no idea" in line
    code, out, err = cli(*command)
    assert (code, err) == (0, "")
    assert out.count("nothing to do") == 3
    assert not list(tmp_path.rglob("error.txt"))


@pytest.mark.parametrize("experiment", [["experiment=compare"], []])
def test_functions_of_one_name_in_two_modules_are_two_strategies(cli, tmp_path, experiment):
    first, second = (f"{name}_{tmp_path.name.replace('-', '_')}" for name in ("one", "two"))
    for name, where in ((first, ":"), (second, "::-1")):
        text = f"def mine(context):\n    return context.unlabelled[{where}][: context.k]\n"
        (tmp_path / f"{name}.py").write_text(f"{text}\n\nother = mine\n")
    words = [*experiment, "-m", "strategy=custom", "seed=0", "rounds=1", "budget=15"]
    code, _, err = cli(*words, f"strategy._target_={first}.mine,{second}.mine")
    assert (code, err) == (0, "")
    clash = "mine-seed0-strategy._target_="
    assert set(runs(tmp_path)) == {f"{clash}{first}.mine", f"{clash}{second}.mine"}
    code, _, err = cli(*words, f"strategy._target_={first}.mine,{second}.other")
    assert (code, err) == (0, "")
    assert {"mine-seed0", "other-seed0"} < set(runs(tmp_path))


# -- paired by construction ------------------------------------------------------------------------


def test_strategies_with_one_seed_differ_by_what_they_pick_alone(cli, tmp_path):
    strategies = ["random", "margin", "badge", "typiclust"]  # need more and more of the network
    words = (
        f"strategy={','.join(strategies)}",
        "model=cnn",
        "seeds=2",
        "oracle=noisy",
        "oracle.rate=0.4",
    )
    code, _, err = cli("experiment=compare", *words, "query_size=20", "budget=50")
    assert (code, err) == (0, "")
    found = runs(tmp_path)
    assert set(found) == names(strategies, [0, 1])
    answers = {}
    for seed in (0, 1):
        alike = [found[f"{strategy}-seed{seed}"] for strategy in strategies]
        first, *others = ((run / "test_probs" / "round_0000.npy").read_bytes() for run in alike)
        assert all(other == first for other in others)
        first, *others = (
            [row for row in rows(run / "queries.csv") if row["round"] == "0"] for run in alike
        )
        assert len(first) == 10
        assert all(other == first for other in others)
        first, *others = (without_seconds(run / "curve.csv")[0] for run in alike)
        assert all(other == first for other in others)
        given = {}
        for run in alike:
            for row in rows(run / "queries.csv"):
                given.setdefault(row["key"], []).append(row["label"])
        assert all(len(set(labels)) == 1 for labels in given.values())
        assert [key for key, labels in given.items() if 1 < len(labels) < len(alike)]
        answers[seed] = {key: labels[0] for key, labels in given.items()}
    both = answers[0].keys() & answers[1].keys()
    assert any(answers[0][key] != answers[1][key] for key in both)  # the noise is the seed's
    first, *others = ((run / "test_probs" / "labels.npy").read_bytes() for run in found.values())
    assert all(other == first for other in others)


def test_test_labels_change_the_curve_and_nothing_else(cli, tmp_path, monkeypatch):
    words = ["strategy=margin", "seed=1", "model=cnn", "measures=true", "initial=stratified"]
    words += ["data.validation=50", "learner.early_stopping=validation", "learner.min_steps=20"]
    assert cli(*words, "hydra.run.dir=a")[0] == 0
    build = building.build_data

    def permuted(config):
        loaded = build(config)
        mixed = np.random.default_rng(0).permutation(loaded.hidden.test)
        return dataclasses.replace(loaded, hidden=dataclasses.replace(loaded.hidden, test=mixed))

    monkeypatch.setattr("activeloop.building.build_data", permuted)
    assert cli(*words, "hydra.run.dir=b")[0] == 0
    a, b = tmp_path / "a", tmp_path / "b"
    for name in ("queries.csv", "model.safetensors", "test_probs/round_0002.npy"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    of_labels = {"accuracy", "loss", "macro_f1", "worst_class_accuracy", "calibration_error"}
    assert all(curve_of(a, name) != curve_of(b, name) for name in ("accuracy", "loss", "macro_f1"))
    for one, two in zip(rows(a / "curve.csv"), rows(b / "curve.csv"), strict=True):
        others = {name for name in one if "seconds" not in name} - of_labels
        assert {name: one[name] for name in others} == {name: two[name] for name in others}
        assert one["validation_labels"] == "50.0"


def curve_of(run, name):
    return [row[name] for row in rows(run / "curve.csv")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["experiment=compar"], "there is no experiment 'compar': did you mean 'compare'?"),
        (["-m", "experiment=compare,imbalnced"], "did you mean 'imbalanced'?"),
        (["experiment=compare", "bugdet=40"], "bugdet"),
        (
            ["experiment=compare", "data=digts", "strategy=random,margin"],
            "did you mean data=digits?",
        ),
        (["experiment=low_budget", "learner.epochs=2", "strategy=random,margin"], "epochs"),
    ],
)
def test_what_is_misspelt_in_an_experiment_is_named(cli, tmp_path, words, said):
    code, _, err = cli(*words)
    assert code == 1
    assert said in err
    assert "--multirun" not in err
    assert not runs(tmp_path)


def test_a_job_that_fails_before_it_has_directories_is_in_the_report(cli, tmp_path):
    own(tmp_path, "experiment/tiny.yaml", TINY)
    code, _, err = cli("--config-dir=mine", "experiment=tiny", "strategy=random,bald", "seeds=2")
    assert code == 1
    assert "2 of 4 runs failed" in err
    (report,) = (tmp_path / "outputs").rglob("report.json")
    said = [each["text"] for each in json.loads(report.read_text())["problems"]]
    for seed in (0, 1):
        assert any(f"bald-seed{seed}" in text and "needs members" in text for text in said)
