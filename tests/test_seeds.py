"""`seeds=10` on the command line, from the words typed to the files left."""

import csv
import sqlite3
from pathlib import Path

import pytest
import yaml

FAST = ["model=linear", "learner.epochs=1", "learner.min_steps=1", "initial.size=10"]
FAST += ["query_size=5", "rounds=1", "strategy=margin"]


@pytest.fixture
def cli(tmp_path, monkeypatch, typed):
    """Return a function that runs a command line in an empty directory: code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        given = {word.partition("=")[0] for word in words}
        more = [word for word in FAST if word.partition("=")[0] not in given]
        return typed(*words, *more)

    return call


def rows(path):
    return list(csv.DictReader(path.open()))


def accuracies(study):
    return [row for row in rows(study / "curves.csv") if row["metric"] == "accuracy"]


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def without_seconds(path):
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows(path)]


def test_each_seed_leaves_what_a_run_alone_leaves(cli, tmp_path):
    code, out, err = cli("seeds=3", "seed=4", "rounds=2")
    assert (code, err) == (0, "")
    (study,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    assert {p.name for p in study.iterdir() if p.is_dir()} == {f"margin-seed{n}" for n in (4, 5, 6)}
    assert accuracies(study)[-1]["seeds"] == "3"
    assert (study / "comparison.png").exists()
    assert "seed 5: round 2 of 2: 20 labels, accuracy" in out
    assert cli("seed=5", "rounds=2", "hydra.run.dir=alone")[0] == 0
    ours, alone = study / "margin-seed5", tmp_path / "alone"
    assert files(ours) == files(alone)
    for name in ("queries.csv", "model.safetensors", "config.yaml"):
        assert (ours / name).read_bytes() == (alone / name).read_bytes()
    assert without_seconds(ours / "curve.csv") == without_seconds(alone / "curve.csv")
    log = (ours / "activeloop.log").read_text()
    assert "round 2 of 2" in log
    assert log.count("round 0 of 2") == 1
    # The run is as any other: a single run finds it finished.
    code, out, _ = cli("seed=5", "rounds=2", f"hydra.run.dir={ours}")
    assert code == 0
    assert "nothing to do" in out


def test_seeds_as_a_list_and_more_of_them_later(cli, tmp_path):
    assert cli("seeds=[7,2]", "hydra.run.dir=study")[0] == 0
    assert {p.name for p in (tmp_path / "study").glob("margin*")} == {
        "margin-seed2",
        "margin-seed7",
    }
    before = (tmp_path / "study" / "margin-seed2" / "queries.csv").read_bytes()
    code, out, _ = cli("seeds=3", "seed=1", "hydra.run.dir=study")
    assert code == 0
    assert out.count("nothing to do") == 1
    assert (tmp_path / "study" / "margin-seed2" / "queries.csv").read_bytes() == before
    assert accuracies(tmp_path / "study")[-1]["seeds"] == "4"


def test_strategies_are_swept_over_seeds_side_by_side(cli, tmp_path):
    code, _, err = cli("-m", "strategy=random,margin", "seeds=2", "hydra.sweep.dir=sweep")
    assert (code, err) == (0, "")
    found = {p.parent.name for p in (tmp_path / "sweep").glob("*/run.db")}
    assert found == {"random-seed0", "random-seed1", "margin-seed0", "margin-seed1"}
    last = [row for row in accuracies(tmp_path / "sweep") if row["labels"] == "15"]
    assert [(row["strategy"], row["seeds"]) for row in last] == [("random", "2"), ("margin", "2")]


def test_an_experiments_seeds_are_where_its_runs_one_by_one_are(cli, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text("# @package _global_\nbudget: 15\n")
    command = ("--config-dir=mine", "experiment=tiny")
    assert cli(*command, "-m", "seed=0,1")[0] == 0
    code, out, _ = cli(*command, "seeds=3")
    assert code == 0
    assert out.count("nothing to do") == 2
    (group,) = (tmp_path / "outputs" / "tiny").glob("digits-*")
    assert len(list(group.glob("margin-seed*/run.db"))) == 3


def test_a_run_that_fails_is_named_and_stops_no_other(cli, tmp_path):
    (tmp_path / "mine.py").write_text(
        "calls = []\n"
        "def third_time_fails(context):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 3:\n"
        "        raise ValueError('no idea')\n"
        "    return context.unlabelled[: context.k]\n"
    )
    words = ("strategy=custom", "strategy._target_=mine.third_time_fails", "hydra.run.dir=study")
    code, _, err = cli("seeds=2", "rounds=3", *words)
    assert code == 1
    lines = err.splitlines()
    assert lines[0] == "error: 1 of 2 runs failed"
    assert lines[1].startswith("  study/third_time_fails-seed0: ")
    assert "no idea" in lines[1]
    assert len(lines) == 2
    study = tmp_path / "study"
    assert [row["labels"] for row in rows(study / "third_time_fails-seed1" / "curve.csv")][
        -1
    ] == "25"
    # The same command again does what is missing.
    code, _, err = cli("seeds=2", "rounds=3", *words)
    assert (code, err) == (0, "")
    assert not list(study.rglob("error.txt"))
    assert [row["labels"] for row in rows(study / "third_time_fails-seed0" / "curve.csv")][
        -1
    ] == "25"


def test_a_directory_of_another_run_is_refused_and_the_others_go_on(cli, tmp_path):
    assert cli("seed=1", "rounds=2", "hydra.run.dir=study/margin-seed1")[0] == 0
    before = (tmp_path / "study" / "margin-seed1" / "queries.csv").read_bytes()
    code, _, err = cli("seeds=2", "hydra.run.dir=study")
    assert code == 1
    assert "margin-seed1 holds another run" in err
    assert (tmp_path / "study" / "margin-seed1" / "queries.csv").read_bytes() == before
    assert (tmp_path / "study" / "margin-seed0" / "model.safetensors").exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["seeds=0"], "seeds must be a number of seeds, of at least 1"),
        (["seeds=ten"], "seeds must be a number of seeds"),
        (["seeds=[1,1]"], "a list of different ones"),
        (["seeds=[1,-2]"], "seeds must be a whole number of at least 0, got -2"),
        (["seeds=true"], "seeds must be a number of seeds"),
        (["seeds=2", "data.size=0"], "data.size"),
    ],
)
def test_what_is_wrong_with_all_is_said_once(cli, words, part):
    code, _, err = cli(*words)
    assert code == 1
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert part in err


def test_an_interruption_says_how_to_go_on(cli, tmp_path):
    (tmp_path / "mine2.py").write_text(
        "calls = []\n"
        "def interrupted(context):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2:\n"
        "        raise KeyboardInterrupt\n"
        "    return context.unlabelled[: context.k]\n"
    )
    words = ("seeds=2", "strategy=custom", "strategy._target_=mine2.interrupted")
    code, _, err = cli(*words)
    assert code == 130
    assert "hydra.run.dir=" in err
    setting = next(word for word in err.split() if word.startswith("hydra.run.dir="))
    code, out, _ = cli(*words, setting)
    assert code == 0
    assert "going on with" in out
    for seed in (0, 1):
        run = Path(setting.partition("=")[2]) / f"interrupted-seed{seed}"
        assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == seed
        with sqlite3.connect(run / "run.db") as database:
            assert database.execute("SELECT count(*) FROM events").fetchone() == (15,)
