"""Sweeps whose jobs run in other processes, by Hydra's launchers."""

import csv
import dataclasses
import importlib.util
import json
import os
import pickle
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from activeloop.app import Task
from activeloop.config import composed, config_dir, register
from activeloop.errors import ActiveLoopError, RunsFailed

ROOT = Path(__file__).parent.parent
FAST = ["model=linear", "learner.epochs=1", "learner.min_steps=1", "initial.size=10"]
FAST += ["query_size=5", "rounds=1", "data.pool_size=200"]
PLUGINS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
}


def installed(name):
    try:
        return importlib.util.find_spec(PLUGINS[name]) is not None
    except ModuleNotFoundError:
        return False


def needs(name):
    return pytest.mark.skipif(not installed(name), reason=f"{PLUGINS[name]} is not installed")


@pytest.fixture
def cli(tmp_path, monkeypatch, typed):
    """Return a function that runs a command line in an empty directory: code, output, errors."""
    monkeypatch.chdir(tmp_path)
    path = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))  # of the processes that it starts
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def call(*words):
        return typed(*words, *FAST)

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "options"),
    [
        pytest.param("joblib", ["hydra.launcher.n_jobs=2"], marks=needs("joblib")),
        pytest.param("submitit_local", [], marks=needs("submitit_local")),
    ],
)
def test_a_sweep_in_other_processes_is_compared_and_its_failures_are_named(
    cli, tmp_path, launcher, options
):
    words = ["-m", "strategy=margin", "seed=-1,1", f"hydra/launcher={launcher}", *options]
    code, out, err = cli(*words)
    assert code == 1
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    name = sweep.relative_to(tmp_path)
    assert "error: 1 of 2 runs failed" in err
    assert f"  {name}/margin-seed-1: seed must be a whole number of at least 0, got -1" in err
    assert "Traceback" not in err
    assert f"comparison: {name}/comparison.png" in out
    table = list(csv.DictReader((sweep / "curves.csv").open()))
    accuracy = [row for row in table if row["metric"] == "accuracy"]
    assert [(row["labels"], row["seeds"]) for row in accuracy] == [("10", "1"), ("15", "1")]
    assert not (sweep / ".jobs").exists()
    environment = json.loads((sweep / "margin-seed1" / "environment.json").read_text())
    most = {"joblib": max(1, len(os.sched_getaffinity(0)) // 2), "submitit_local": 1}
    assert environment["hardware"]["threads"] <= most[launcher]
    if launcher == "submitit_local":  # each of its processes takes seconds to start
        return
    # The same command goes on: what is finished is left alone, what failed is named again.
    before = (sweep / "margin-seed1" / "run.db").read_bytes()
    code, _, err = cli(*words, f"hydra.sweep.dir={name}")
    assert code == 1
    assert "error: 1 of 2 runs failed" in err
    assert (sweep / "margin-seed1" / "run.db").read_bytes() == before


class StrangeError(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


@pytest.fixture
def in_a_job(monkeypatch):
    """Have Hydra know of a config, as it does in each job."""
    register()
    monkeypatch.setattr(HydraConfig.instance(), "cfg", composed([]))


@pytest.mark.usefixtures("in_a_job")
def test_any_error_survives_the_way_back_from_another_process(monkeypatch):
    def fails(config):
        raise StrangeError("this", "that")  # cannot be unpickled: it wants two arguments

    monkeypatch.setattr("activeloop.runner.run_config", fails)
    sent = pickle.loads(pickle.dumps(Task()))
    with pytest.raises(ActiveLoopError) as raised:
        sent(OmegaConf.create())
    assert "StrangeError: this and that" in str(pickle.loads(pickle.dumps(raised.value)))


@pytest.mark.usefixtures("in_a_job")
def test_which_runs_of_a_job_failed_survives_it_too(monkeypatch):
    def fails(config):
        raise RunsFailed({"a/x-seed1": "no idea", "a/x-seed2": "none either"})

    monkeypatch.setattr("activeloop.runner.run_config", fails)
    with pytest.raises(RunsFailed) as raised:
        pickle.loads(pickle.dumps(Task()))(OmegaConf.create())
    error = pickle.loads(pickle.dumps(raised.value))
    assert error.reasons == {"a/x-seed1": "no idea", "a/x-seed2": "none either"}
    assert str(error) == "no idea"


@pytest.mark.slow
@needs("joblib")
def test_a_job_whose_process_is_killed_is_named(cli, tmp_path):
    words = ["-m", "strategy=custom", "strategy._target_=ranks.kills", "seed=0"]
    code, _, err = cli(*words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert code == 1
    assert "error: 1 of 1 runs failed" in err
    assert "kills-seed0: it did not end: its process was killed" in err
    assert "TerminatedWorkerError" in err


@needs("submitit_slurm")
def test_slurm_is_asked_for_what_the_config_says(cli, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("srun", ""), ("sbatch", 'cp "$1" asked.sh; echo no such partition >&2\n')):
        (programs / name).write_text(f"#!/bin/sh\n{text}exit 1\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    code, _, err = cli(
        "-m", "seed=1,2", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"
    )
    assert code == 1
    assert "no such partition" in err
    asked = (tmp_path / "asked.sh").read_text()
    for option in ("cpus-per-task=4", "time=240", "partition=gpu", "signal=USR2@120", "array=0-1"):
        assert f"#SBATCH --{option}" in asked, option


@pytest.mark.parametrize("launcher", PLUGINS)
def test_a_launcher_that_is_not_installed_says_what_to_install(
    cli, tmp_path, monkeypatch, launcher
):
    monkeypatch.setattr(Plugins.instance(), "class_name_to_class", only_of_hydra())
    monkeypatch.setattr("activeloop.sweep.find_spec", lambda name: None)
    code, _, err = cli("-m", "seed=1,2", f"hydra/launcher={launcher}")
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith(f"error: hydra/launcher={launcher} is not installed: pip install")
    assert "'activeloop[sweep]'" in err
    assert not list((tmp_path / "outputs" / "multirun").glob("*/*"))


def only_of_hydra():
    known = Plugins.instance().class_name_to_class
    return {name: kind for name, kind in known.items() if not name.startswith("hydra_plugins.")}


@pytest.mark.parametrize(
    ("launcher", "schema", "unset"),
    [
        pytest.param(
            "joblib",
            "JobLibLauncherConf",
            {"backend", "prefer", "require", "max_nbytes", "mmap_mode"},
            marks=needs("joblib"),
        ),
        pytest.param("submitit_local", "LocalQueueConf", set(), marks=needs("submitit_local")),
        pytest.param("submitit_slurm", "SlurmQueueConf", set(), marks=needs("submitit_slurm")),
    ],
)
def test_our_configs_have_the_options_of_the_plugins(launcher, schema, unset):
    module = importlib.import_module(f"{PLUGINS[launcher]}.config")
    fields = {field.name: field.default for field in dataclasses.fields(getattr(module, schema))}
    own = OmegaConf.load(config_dir() / "hydra" / "launcher" / f"{launcher}.yaml")
    own = OmegaConf.to_container(own.get("launcher", own), resolve=False)
    assert set(own) == set(fields) - unset
    assert own["_target_"] == fields["_target_"]
