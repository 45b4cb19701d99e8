"""The command line, from the words typed to the files left."""

import csv
import importlib.metadata
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from activeloop import runner
from activeloop.app import SUBCOMMANDS, main
from activeloop.config import config_dir
from activeloop.strategies import CATALOG, locate

FAST = ["model=linear", "learner.epochs=1", "learner.min_steps=1", "initial.size=10"]
FAST += ["query_size=5", "rounds=1"]


@pytest.fixture
def cli(tmp_path, monkeypatch, typed):
    """Return a function that runs a command line in an empty directory: code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words, fast=True):
        given = {w.partition("=")[0] for w in words}
        if "initial" in given:
            given.add("initial.size")
        more = [w for w in FAST if fast and w.partition("=")[0] not in given]
        return typed(*words, *more)

    return call


def fails(result, *parts):
    """Assert exit code 1 and a single line of error that holds `parts`."""
    code, _, err = result
    lines = [line for line in err.splitlines() if not line.startswith("warning")]
    assert code == 1
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]
    assert "Traceback" not in err


def rows(path):
    return list(csv.DictReader(path.open()))


def accuracies(sweep):
    return [row for row in rows(sweep / "curves.csv") if row["metric"] == "accuracy"]


# -- what a run leaves ---------------------------------------------------------------------------


def test_a_run_leaves_what_was_promised(cli, tmp_path):
    code, out, err = cli("strategy=entropy", "seed=3", "measures=true", "rounds=2")
    assert (code, err) == (0, "")
    (directory,) = (tmp_path / "outputs").glob("*/*-digits-entropy-seed3")
    assert {p.name for p in directory.iterdir()} == {
        "activeloop.log",
        "config.yaml",
        "curve.csv",
        "curve.png",
        "environment.json",
        "model.safetensors",
        "queries.csv",
        "run.db",
        "stop_probs",
        "test_probs",
    }
    assert f"files in {directory.relative_to(tmp_path)}" in out
    assert "round 2 of 2: 20 labels, accuracy" in out
    curve = rows(directory / "curve.csv")
    assert ",".join(list(curve[0])[:8]) == (
        "round,labels,accuracy,loss,train_seconds,predict_seconds,select_seconds,test_seconds"
    )
    assert [row["labels"] for row in curve] == ["10", "15", "20"]
    measures = ["least_confidence", "entropy", "margin", "cosine_similarity"]
    measures += ["l2_distance", "neighbor_kl"]
    assert all(0 <= float(row[m]) < 10 for row in curve for m in measures)
    config = yaml.safe_load((directory / "config.yaml").read_text())
    assert config["strategy"]["_target_"] == "activeloop.strategies.entropy"
    environment = json.loads((directory / "environment.json").read_text())
    assert environment["versions"]["torch"] == importlib.metadata.version("torch")
    assert environment["hardware"]["device"] == "cpu"
    assert environment["working_directory"] == str(tmp_path)
    typed = ["strategy=entropy", "seed=3", "measures=true", "rounds=2"]
    assert environment["command"][1:5] == typed
    assert not any(word.startswith("hydra.job") for word in environment["command"])
    assert Image.open(directory / "curve.png").size == (960, 630)
    assert "round 2 of 2" in (directory / "activeloop.log").read_text()
    with sqlite3.connect(directory / "run.db") as database:
        assert database.execute("SELECT count(*), count(DISTINCT key) FROM events").fetchone() == (
            20,
            20,
        )
        who, at = database.execute("SELECT who, at FROM events").fetchone()
    assert who == "SimulatedOracle"
    assert at.startswith("20")


def test_the_same_command_twice_gives_the_same_run(cli, tmp_path):
    for name in "ab":
        assert cli("strategy=margin", "model=cnn", f"hydra.run.dir={name}")[0] == 0
    a, b = tmp_path / "a", tmp_path / "b"
    assert (a / "queries.csv").read_bytes() == (b / "queries.csv").read_bytes()
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    for one, two in zip(rows(a / "curve.csv"), rows(b / "curve.csv"), strict=True):
        assert {k: v for k, v in one.items() if "seconds" not in k} == {
            k: v for k, v in two.items() if "seconds" not in k
        }


def test_strategies_with_one_seed_start_from_the_same_labels_and_accuracy(cli, tmp_path):
    for name in ("random", "entropy"):
        assert cli(f"strategy={name}", "model=cnn", f"hydra.run.dir={name}")[0] == 0
    firsts = [rows(tmp_path / n / "curve.csv")[0] for n in ("random", "entropy")]
    assert firsts[0]["accuracy"] == firsts[1]["accuracy"]
    assert firsts[0]["loss"] == firsts[1]["loss"]
    initial = [rows(tmp_path / n / "queries.csv")[:10] for n in ("random", "entropy")]
    assert initial[0] == initial[1]


def test_a_finished_run_is_left_alone_and_an_unfinished_one_goes_on(cli, tmp_path, monkeypatch):
    command = ("strategy=entropy", "rounds=3", "model=cnn")
    assert cli(*command, "hydra.run.dir=whole")[0] == 0
    whole = (tmp_path / "whole" / "queries.csv").read_bytes()
    code, out, _ = cli(*command, "hydra.run.dir=whole")
    assert code == 0
    assert "whole holds this run, finished already (rounds=3 done): nothing to do" in out

    from activeloop.learners import TorchLearner

    fit, calls = TorchLearner.fit, []

    def stopping(self, *args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(TorchLearner, "fit", stopping)
        code, _, err = cli(*command, "hydra.run.dir=part")
    assert code == 130
    assert "interrupted; the same command goes on\n" in err
    code, out, _ = cli(*command, "hydra.run.dir=part")
    assert code == 0
    assert "going on with part after round 1" in out
    assert (tmp_path / "part" / "queries.csv").read_bytes() == whole
    assert [r["accuracy"] for r in rows(tmp_path / "part" / "curve.csv")] == [
        r["accuracy"] for r in rows(tmp_path / "whole" / "curve.csv")
    ]


def test_who_is_interrupted_is_told_where_the_run_is(cli, monkeypatch, tmp_path):
    def interrupt(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_config", interrupt)
    code, _, err = cli("strategy=random")
    (directory,) = tmp_path.glob("outputs/*/*")
    assert code == 130
    assert err == f"interrupted; the same command with hydra.run.dir={directory} goes on\n"


def test_a_directory_of_another_run_is_refused_and_unharmed(cli, tmp_path):
    assert cli("strategy=random", "hydra.run.dir=here")[0] == 0
    files = [p for p in (tmp_path / "here").iterdir() if p.is_file() and p.suffix != ".log"]
    before = {p.name: p.read_bytes() for p in files}
    fails(
        cli("strategy=entropy", "hydra.run.dir=here"),
        "here holds another run",
        "strategy._target_ was activeloop.strategies.random",
        "hydra.run.dir=",
    )
    files = [p for p in (tmp_path / "here").iterdir() if p.is_file() and p.suffix != ".log"]
    assert before == {p.name: p.read_bytes() for p in files}


def test_runs_that_start_in_the_same_second_get_directories_of_their_own(cli, tmp_path):
    from activeloop.config import fresh, register

    for expected in ("outputs/2026-01-02/x", "outputs/2026-01-02/x-2", "outputs/2026-01-02/x-3"):
        register()  # as each command does
        assert fresh("outputs/2026-01-02/x", "2026-01-02") == expected
        assert fresh("outputs/2026-01-02/x", "2026-01-02") == expected
    assert fresh("outputs/tiny/x", "2026-01-02") == "outputs/tiny/x"
    for query_size in (5, 6, 7):
        assert cli("strategy=random", f"query_size={query_size}")[0] == 0
    assert len(list((tmp_path / "outputs").glob("*/*/run.db"))) == 3


def test_experiments_go_to_a_directory_without_a_time_in_it(cli, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text("# @package _global_\nseed: 7\n")
    command = ("--config-dir=mine", "experiment=tiny", "strategy=random")
    assert cli(*command)[0] == 0
    assert len(list((tmp_path / "outputs" / "tiny").glob("digits-*/random-seed7"))) == 1
    code, out, _ = cli(*command)
    assert code == 0
    assert "nothing to do" in out
    assert cli(*command, "query_size=6")[0] == 0
    assert len(list((tmp_path / "outputs" / "tiny").glob("digits-*"))) == 2


# -- sweeps ----------------------------------------------------------------------------------------


def test_a_sweep_has_a_directory_for_each_run_and_a_comparison(cli, tmp_path):
    code, out, _ = cli("-m", "strategy=random,margin", "seed=1,2", "measures=false")
    assert code == 0
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    assert sorted(p.name for p in sweep.iterdir() if p.is_dir()) == [
        "margin-seed1",
        "margin-seed2",
        "random-seed1",
        "random-seed2",
    ]
    table = accuracies(sweep)
    assert {(r["strategy"], r["labels"], r["seeds"]) for r in table} == {
        (s, n, "2") for s in ("margin", "random") for n in ("10", "15")
    }
    pair = [float(rows(sweep / f"margin-seed{s}" / "curve.csv")[1]["accuracy"]) for s in (1, 2)]
    (row,) = [r for r in table if r["strategy"] == "margin" and r["labels"] == "15"]
    assert float(row["mean"]) == pytest.approx(np.mean(pair))
    half = 12.7062047 * np.std(pair, ddof=1) / 2**0.5  # Student's t with one degree of freedom
    assert float(row["high"]) - float(row["mean"]) == pytest.approx(half)
    assert Image.open(sweep / "comparison.png").size == (960, 630)
    assert f"comparison: {sweep.relative_to(tmp_path)}/comparison.png" in out


def test_other_swept_keys_get_directories_and_lines_of_their_own(cli, tmp_path):
    assert cli("-m", "strategy=margin", "strategy.against=second,worst", "data.size=10")[0] == 0
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    assert sorted(p.name for p in sweep.iterdir() if p.is_dir()) == [
        "margin-seed0-strategy.against=second",
        "margin-seed0-strategy.against=worst",
    ]
    assert {r["strategy"] for r in accuracies(sweep)} == {
        "margin, strategy.against=second",
        "margin, strategy.against=worst",
    }


def test_a_failed_run_does_not_stop_a_sweep_and_is_named(cli, tmp_path):
    code, _, err = cli("-m", "strategy=random", "query_size=5,0,6")
    assert code == 1
    assert "error: 1 of 3 runs failed" in err
    assert "query_size must be a whole number of at least 1, got 0" in err
    assert "Traceback" not in err
    sweep = sorted((tmp_path / "outputs" / "multirun").glob("*/*"))[-1]
    assert {(r["comparison"], r["strategy"]) for r in accuracies(sweep)} == {
        ("digits, query_size=5", "random"),
        ("digits, query_size=6", "random"),
    }
    (failed,) = sweep.rglob("error.txt")
    assert "Traceback" in failed.read_text()


def test_a_sweep_over_seeds_given_as_a_range(cli, tmp_path):
    assert cli("-m", "strategy=random", "seed=range(2)")[0] == 0
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    assert {p.name for p in sweep.iterdir() if p.is_dir()} == {"random-seed0", "random-seed1"}


def test_options_may_stand_anywhere(cli, tmp_path):
    assert cli("strategy=random,margin", "-m", "seed=1")[0] == 0
    assert len(list((tmp_path / "outputs" / "multirun").glob("*/*/*-seed1"))) == 2
    code, out, _ = cli("seed=5", "--cfg", "job")
    assert code == 0
    assert "seed: 5" in out


def test_a_sweep_that_cannot_begin_says_why(cli):
    code, _, err = cli("-m", "strategy=random,nosuch")
    assert code == 1
    assert "there is no strategy=nosuch: there is alfa_mix, badge" in err


def test_failures_and_damage_of_other_sweeps_are_not_this_ones(cli, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text("# @package _global_\nseed: 7\n")
    command = ("--config-dir=mine", "-m", "experiment=tiny", "strategy=random")
    assert cli(*command, "query_size=0")[0] == 1
    (failed,) = (tmp_path / "outputs" / "tiny").rglob("error.txt")
    past = time.time() - 3600
    os.utime(failed, (past, past))
    code, out, _ = cli(*command)
    assert code == 0
    assert out.count("comparison: outputs/tiny/digits-") == 1
    (group,) = {p.parent.parent for p in (tmp_path / "outputs" / "tiny").rglob("curve.csv")}
    (group / "other").mkdir()
    (group / "other" / "run.db").write_bytes(b"garbage" * 1000)
    code, out, _ = cli(*command)
    assert code == 0
    assert "error: left out: other/run.db: is not a run of activeloop" in out
    assert (group / "comparison.png").exists()


def test_a_figure_that_was_not_drawn_is_drawn_later(cli, tmp_path):
    assert cli("hydra.run.dir=a")[0] == 0
    (tmp_path / "a" / "curve.png").unlink()
    assert "nothing to do" in cli("hydra.run.dir=a")[1]
    assert (tmp_path / "a" / "curve.png").exists()


# -- strategies of one's own -----------------------------------------------------------------------

MINE = """
from activeloop import needs, score

def first(context, offset=0):
    return context.unlabelled[offset:][: context.k]

@score
@needs("probs")
def unsure(context):
    return 1 - context.probs[context.unlabelled].amax(dim=1)

class Last:
    def __init__(self, step=1):
        self.step = step
    def __call__(self, context):
        return context.unlabelled[:: -self.step][: context.k]

def bad_duplicates(context):
    return [context.unlabelled[0]] * context.k

def bad_labelled(context):
    return context.labelled[: context.k]

def bad_many(context):
    return context.unlabelled[: context.k + 1]

def bad_floats(context):
    return context.unlabelled[: context.k] * 1.0

def bad_global(context):
    import numpy
    return numpy.random.permutation(context.unlabelled)[: context.k]

@needs("probs")
def bad_mutation(context):
    context.probs.add_(1)
    return context.unlabelled[: context.k]

def bad_signature(context, k):
    return context.unlabelled[:k]

class BadSignature:
    def __call__(self, context, k):
        return context.unlabelled[:k]

def bad_error(context):
    return context.probs.shape
"""


@pytest.fixture
def mine(tmp_path):
    # A name of its own for each test: modules stay imported within the process.
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MINE)
    yield name
    sys.modules.pop(name, None)


def asked(directory, round="1"):
    return [int(r["index"]) for r in rows(directory / "queries.csv") if r["round"] == round]


def test_a_function_and_a_class_of_ones_own_by_target(cli, tmp_path, mine):
    custom = "strategy=custom"
    assert cli(custom, f"strategy._target_={mine}.first", "hydra.run.dir=a")[0] == 0
    target = f"strategy._target_={mine}.first"
    assert cli(custom, target, "+strategy.offset=100", "hydra.run.dir=b")[0] == 0
    assert cli(custom, f"strategy._target_={mine}.Last", "hydra.run.dir=c")[0] == 0
    initial = set(asked(tmp_path / "a", "0"))
    free = [i for i in range(1438) if i not in initial]
    assert asked(tmp_path / "a") == free[:5]
    assert asked(tmp_path / "b") == free[100:105]
    assert asked(tmp_path / "c") == free[::-1][:5]
    target = f"strategy._target_={mine}.unsure"
    assert cli(custom, target, "+strategy.sampling=power", "hydra.run.dir=d")[0] == 0
    assert cli(custom, f"strategy._target_={mine}.first")[0] == 0
    assert list((tmp_path / "outputs").glob("*/*-digits-first-seed0"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strategy=random"], "would be shown as random: it goes with strategy=custom$"),
        ([], "shown as the default strategy: it goes with strategy=custom$"),
        (["-m", "strategy=custom,margin"], "with strategy=custom alone; .*strategy=margin,mine$"),
        (["experiment=coin"], "would be shown as margin"),
    ],
)
def test_ones_own_strategy_is_not_shown_as_another(cli, tmp_path, mine, words, said):
    (tmp_path / "my_conf" / "experiment").mkdir(parents=True)
    coin = "# @package _global_\ndefaults: [{override /strategy: margin}]\n"
    (tmp_path / "my_conf" / "experiment" / "coin.yaml").write_text(coin)
    code, _, err = cli(*words, f"strategy._target_={mine}.first", "--config-dir=my_conf")
    assert (code, bool(re.search(said, err.strip()))) == (1, True), err
    assert not list(tmp_path.rglob("run.db"))


def test_a_yaml_file_in_ones_own_folder(cli, tmp_path, mine):
    folder = tmp_path / "my_conf" / "strategy"
    folder.mkdir(parents=True)
    (folder / "latest.yaml").write_text(f"_target_: {mine}.Last\nstep: 2\n")
    assert cli("--config-dir", "my_conf", "strategy=latest", "hydra.run.dir=a")[0] == 0
    initial = set(asked(tmp_path / "a", "0"))
    free = [i for i in range(1438) if i not in initial]
    assert asked(tmp_path / "a") == free[::-2][:5]


def test_a_yaml_file_that_hydra_would_ignore_is_named(cli, tmp_path, mine):
    folder = tmp_path / "my_conf" / "strategy"
    folder.mkdir(parents=True)
    (folder / "entropy.yaml").write_text(f"_target_: {mine}.Last\n")
    code, _, err = cli("--config-dir=my_conf", "strategy=entropy")
    assert code == 0
    assert "my_conf/strategy/entropy.yaml is ignored" in err
    assert "give yours another name" in err


def test_an_installed_package_by_entry_point(cli, tmp_path, mine, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[activeloop.strategies]\nplugged = {mine}:Last\n")
    assert cli("strategy=plugged", "hydra.run.dir=a")[0] == 0
    assert asked(tmp_path / "a") == sorted(asked(tmp_path / "a"), reverse=True)
    assert "plugged" in cli("strategies", fast=False)[1]
    assert "plugged" in cli("--help", fast=False)[1]
    code, _, err = cli("strategy=nonsense")
    assert code == 1
    assert "plugged" in err

    import activeloop

    assert type(activeloop.load_strategy("plugged", step=2)).__name__ == "Last"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_duplicates", "more than once"),
        ("bad_labelled", "labelled already"),
        ("bad_many", "returned 6 indices, expected k = 5"),
        ("bad_floats", "type float64, expected whole numbers"),
        ("bad_global", "global random state of numpy.random"),
        ("bad_mutation", "changed context.probs in place"),
        ("bad_error", "@needs("),
        ("missing", "has no 'missing'"),
    ],
)
def test_a_strategy_that_misbehaves(cli, mine, name, message):
    fails(cli("strategy=custom", f"strategy._target_={mine}.{name}"), name, message)


def test_custom_without_a_target_and_with_a_wrong_option(cli, mine):
    fails(cli("strategy=custom"), "strategy._target_")
    target = f"strategy._target_={mine}.first"
    fails(cli("strategy=custom", target, "+strategy.ofset=1"), "'ofset'", "offset=0")
    for name in ("bad_signature", "BadSignature"):
        fails(cli("strategy=custom", f"strategy._target_={mine}.{name}"), name, "context.k")


# -- strategies of strategies ----------------------------------------------------------------------


def test_inner_strategies_are_named_on_the_command_line(cli, tmp_path, mine):
    words = ["strategy=switch", f"strategy.first={mine}.first", "strategy.then=margin"]
    assert cli(*words, "strategy.at=15", "rounds=2", "hydra.run.dir=a")[0] == 0
    queries = rows(tmp_path / "a" / "queries.csv")
    initial = set(asked(tmp_path / "a", "0"))
    assert asked(tmp_path / "a") == [i for i in range(1438) if i not in initial][:5]
    assert {r["round"] for r in queries if r["score"]} == {"2"}

    def scores(directory):
        queries = rows(tmp_path / directory / "queries.csv")
        return [float(r["score"]) for r in queries if r["round"] == "1"]

    hot = "strategy.strategy={name: entropy, temperature: 50}"
    assert cli("strategy=subsample", hot, "hydra.run.dir=b")[0] == 0
    hot = "strategy.strategy={_target_: activeloop.strategies.entropy, temperature: 50}"
    assert cli("strategy=subsample", hot, "hydra.run.dir=c")[0] == 0
    assert cli("strategy=subsample", "strategy.strategy=entropy", "hydra.run.dir=d")[0] == 0
    assert scores("b") == scores("c")
    assert min(scores("b")) > max(scores("d"))  # near log 10, which is the most there can be
    config = yaml.safe_load((tmp_path / "b" / "config.yaml").read_text())
    assert config["strategy"]["strategy"] == {"name": "entropy", "temperature": 50}
    fails(cli("strategy=subsample", "hydra.run.dir=b"), "b holds another run", "temperature")


def test_sweeps_over_inner_strategies_get_directories_of_their_own(cli, tmp_path):
    inner = "strategy.then={name: entropy, temperature: 1},{name: entropy, temperature: 2},margin"
    assert cli("-m", "strategy=switch", "strategy.round=1", inner)[0] == 0
    mixes = "strategy.strategies=[margin,random],[entropy,random]"
    assert cli("-m", "strategy=mix", mixes, "rounds=1")[0] == 0
    found = [len([d for d in s.iterdir() if d.is_dir()]) for s in sweeps(tmp_path)]
    assert sorted(found) == [2, 3]
    labels = {r["strategy"] for s in sweeps(tmp_path) for r in accuracies(s)}
    assert len(labels) == 5


def sweeps(folder):
    return sorted((folder / "outputs" / "multirun").glob("*/*"))


def test_an_inner_strategy_that_is_not_there_is_found_before_the_data_is_loaded(cli):
    words = ["data=mnist", "data.root=nowhere", "data.download=false"]
    start = "strategy.strategies: "
    fails(cli("strategy=mix", "strategy.strategies=[margn]", *words), start, "mean 'margin'?")
    bad = "strategy.then={name: entropy, temprature: 2}"
    fails(cli("strategy=switch", bad, *words), "strategy.then: ", "'temprature'", "temperature")


def test_a_run_is_replayed_for_another_learner(cli, tmp_path):
    assert cli("strategy=margin", "rounds=2", "hydra.run.dir=a")[0] == 0
    again = ["strategy=replay", "strategy.path=a", "learner=sklearn", "initial.size=10"]
    rest = ["query_size=5", "rounds=2", "hydra.run.dir=b"]
    assert cli(*again, *rest, fast=False)[0] == 0
    one, two = (rows(tmp_path / d / "queries.csv") for d in "ab")
    assert [r["key"] for r in two] == [r["key"] for r in one]
    assert len(one) == 20


def test_an_initial_set_by_a_strategy_on_embeddings(cli, tmp_path):
    node = "{name: l2_diversity, space: embeddings}"
    words = ["initial=strategy", f"initial.strategy={node}", "initial.size=10"]
    assert cli(*words, "embed=pca", "embed.as_input=false", "hydra.run.dir=a")[0] == 0
    same = node.replace("name: ", "_target_: activeloop.strategies.")
    words[1] = f"initial.strategy={same}"
    assert cli(*words, "embed=pca", "hydra.run.dir=b")[0] == 0
    assert len(asked(tmp_path / "a", "0")) == 10
    assert asked(tmp_path / "a", "0") == asked(tmp_path / "b", "0")
    fails(cli(*words), "embed=pca", "l2_diversity")
    fails(cli("initial=strategy", "initial.strategy=margn"), "did you mean 'margin'")


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["strategy=entrpy"], ["no strategy=entrpy", "did you mean strategy=entropy?"]),
        (["data=digts"], ["no data=digts", "did you mean data=digits?"]),
        (["rounds=abc"], ["rounds", "abc"]),
        (["roundz=3"], ["roundz"]),
        (["+stratgy=random"], ["'stratgy'", "did you mean strategy?"]),
        (["strategy=margin", "strategy.agianst=worst"], ["agianst"]),
        (["strategy=margin", "strategy.against=wurst"], ["against", "second, worst", "wurst"]),
        (["budget=5000"], ["budget is 5,000 labels, but the pool has 1,438 samples"]),
        (["budget=5"], ["budget is 5 labels in all, fewer than initial.size 10"]),
        (["initial.size=0"], ["initial.size must be a whole number of at least 1, got 0"]),
        (["initial.size=2000"], ["initial.size is 2000, but the pool has 1,438"]),
        (["initial=file"], ["initial.path"]),
        (["initial=file", "initial.path=none.csv"], ["cannot read none.csv"]),
        (["query_size=-1"], ["query_size", "-1"]),
        (["query_size=[5,ten]"], ["query_size", "'ten'"]),
        (["seed=-1"], ["seed must be a whole number of at least 0"]),
        (["learner.batch_size=0"], ["learner.batch_size", "at least 1, got 0"]),
        (["learner.batch_size=-4"], ["learner.batch_size", "-4"]),
        (["learner.lr=1e30", "learner.min_steps=300", "model=cnn"], ["learner.lr"]),
        (["learner.optimizer=adamm"], ["optimizer", "adam", "adamm"]),
        (["device=cuda:99"], ["cuda:99"]),
        (["device=gpu"], ["gpu"]),
        (["oracle=noisy", "oracle.rate=2"], ["oracle.rate must be a number", "got 2"]),
        (["stopping=target", "stopping.accuracy=95"], ["stopping.accuracy", "at most 1, got 95"]),
        (["stopping=kapa"], ["did you mean stopping=kappa?"]),
        (["stopping=kappa", "stopping.treshold=0.9"], ["treshold"]),
        (["stopping=any"], ["stopping.rules has no value"]),
        (["stopping=any", "stopping.rules=[kapa]"], ["did you mean 'kappa'?"]),
        (["stopping=all", "stopping.rules=[{name: kappa, windw: 2}]"], ["did you mean 'window'?"]),
        (["stopping=kappa", "stop_set=0"], ["stopping=kappa needs kappa", "set stop_set=1000"]),
        (["stop_set=-1"], ["stop_set must be a whole number of at least 0, got -1"]),
        (["audit=2"], ["audit must be a number", "got 2"]),
        (["strategy=l2_diversity", "strategy.space=embeddings"], ["embed=pca"]),
        (["model=lenet5", "data.size=8"], ["lenet5", "8x8"]),
        (["data.pool_size=5000"], ["pool_size", "5000"]),
        (["data=image_folder"], ["data.root"]),
        (["data=image_folder", "data.root=nowhere"], ["nowhere"]),
        (["data=mnist", "data.root=nowhere", "data.download=false"], ["nowhere", "ubyte"]),
        (["bogus"], ["unknown command 'bogus'", "strategies"]),
        (["strategis"], ["did you mean 'strategies'?"]),
    ],
)
def test_bad_settings_are_one_line_and_exit_code_1(cli, tmp_path, words, parts):
    fast = "=" in words[0]
    fails(cli(*words, fast=fast), *parts)
    # What makes no sense begins no run: the corrected command may take the same directory.
    begun = bool({"learner.lr=1e30", "model=lenet5"}.intersection(words))  # which a fit shows
    assert begun == bool(list(tmp_path.rglob("run.db")))


def images(folder, count=6, size=12):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def test_bad_folders(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    fails(cli("data=image_folder", "data.root=empty"), "empty")
    images(tmp_path / "photos" / "cat")
    images(tmp_path / "photos" / "dog")
    small = ["initial.size=2", "query_size=2"]
    assert cli("data=image_folder", "data.root=photos", *small)[0] == 0
    fails(cli("data=image_folder", "data.root=photos", "data.classes=[cat,dog,cow]", *small), "cow")
    (tmp_path / "photos" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 not an image")
    fails(cli("data=image_folder", "data.root=photos", *small), "broken.jpg", "unreadable=skip")
    words = ["data=image_folder", "data.root=photos", "data.unreadable=skip", *small]
    assert cli(*words)[0] == 0


def test_a_flat_folder_is_for_a_person(cli, tmp_path):
    images(tmp_path / "photos")
    words = ["data=image_folder", "data.root=photos", "initial.size=2"]
    fails(cli(*words), "classes")
    fails(cli(*words, "data.classes=[cat,dog]"), "no labels to answer with")


def test_bad_arrays(cli, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 3

    def of(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return cli("data=arrays", "data.path=a.npz")

    assert of(x=x, y=y)[0] == 0
    fails(of(x=x, y=y[:50]), "60", "50")
    fails(of(x=x, y=y + 0.5), "float64")
    bad = x.copy()
    bad[7, 2] = np.nan
    fails(of(x=bad, y=y), "finite" if "finite" in of(x=bad, y=y)[2] else "NaN")
    fails(of(x=np.array([object()] * 60), y=y), "a.npz")


def test_full_tracebacks_on_request(cli, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["activeloop", "budget=5000"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1


def test_no_space_on_disk(cli, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system can be mounted by root only")
    try:
        command = ("model=cnn", "hydra.run.dir=disk/run", "rounds=3")
        fails(cli(*command), "disk")
        kept = sqlite3.connect(f"file:{disk}/run/run.db?mode=ro", uri=True)
        labels = kept.execute("SELECT count(*) FROM events").fetchone()[0]
        kept.close()
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert cli(*command)[0] == 0  # the same command goes on
        assert labels > 0
        assert len(rows(disk / "run" / "curve.csv")) == 4
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# -- the rest --------------------------------------------------------------------------------------


def test_strategies_are_listed_with_what_they_do(cli):
    code, out, _ = cli("strategies", fast=False)
    assert code == 0
    for name in CATALOG:
        assert name in out
    assert "Highest entropy of the" in out


def test_every_strategy_has_a_config_that_names_it_and_its_options():
    import inspect

    from activeloop.strategies import from_config

    folder = config_dir() / "strategy"
    assert {p.stem for p in folder.glob("*.yaml")} == {*CATALOG, "custom"}
    for name, path in CATALOG.items():
        node = yaml.safe_load((folder / f"{name}.yaml").read_text())
        target, strategy = node.pop("_target_"), locate(path)
        assert locate(target) is strategy
        parameters = list(inspect.signature(strategy).parameters.values())
        options = parameters if inspect.isclass(strategy) else parameters[1:]
        defaults = {p.name: "???" if p.default is p.empty else p.default for p in options}
        assert node == {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}
        if "???" not in node.values() and {"typiclust", "k_means"} & set(
            map(str, node.values())
        ) <= {*CATALOG}:
            from_config({"_target_": target, **node})


def test_the_version_is_that_of_activeloop(cli):
    code, out, err = cli("--version", fast=False)
    assert (code, err) == (0, "")
    with_torch, with_hydra = map(importlib.metadata.version, ("torch", "hydra-core"))
    assert out == f"activeloop 0.1.0 (torch {with_torch}, hydra {with_hydra})\n"


def test_help_of_all_commands_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from activeloop.app import SUBCOMMANDS, main\n"
        "for words in (['--help'], *([name, '--help'] for name in SUBCOMMANDS)):\n"
        "    sys.argv = ['activeloop', *words]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code, ended.code\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'faiss', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"strategy: (\w+, )+entropy,", done.stdout)
    assert "python -m activeloop strategy=entropy" in done.stdout
    assert set(re.findall(r"usage: activeloop (\w+)", done.stdout)) == {*SUBCOMMANDS}


def test_torchvision_is_not_imported_where_it_is_not_used(tmp_path):
    script = (
        "import sys\n"
        f"sys.argv = ['activeloop', *{FAST!r}]\n"
        "from activeloop.app import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    assert not ended.code, ended.code\n"
        "assert 'torchvision' not in sys.modules\n"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_runs_of_one_process_do_not_touch_each_other(cli, tmp_path):
    torch.manual_seed(1)
    assert cli("strategy=random", "model=cnn", "hydra.run.dir=a")[0] == 0
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert cli("strategy=random", "model=cnn", "hydra.run.dir=b")[0] == 0
    assert torch.equal(torch.get_rng_state(), state)
    one, two = (tmp_path / n / "queries.csv" for n in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_validation_labels_are_counted_where_the_user_sees_them(cli):
    _, out, _ = cli("data.validation=50")
    assert "15 labels to train on and 50 to validate: 65 in all" in out


def test_initial_labels_from_a_file_are_not_asked_for(cli, tmp_path):
    assert cli("strategy=random", "hydra.run.dir=a")[0] == 0
    known = rows(tmp_path / "a" / "queries.csv")[:6]
    lines = [f"{r['key']},{r['label']}" for r in known]
    (tmp_path / "labels.csv").write_text("\n".join(["key,label", *lines]))
    rest = [w for w in FAST if not w.startswith("initial")]
    words = ["initial=file", "initial.path=labels.csv", "hydra.run.dir=b", *rest]
    code, _, err = cli(*words, fast=False)
    assert (code, err) == (0, "")
    assert {r["key"] for r in rows(tmp_path / "b" / "queries.csv") if r["round"] == "0"} == {
        r["key"] for r in known
    }


# -- frozen backbones ----------------------------------------------------------------------------

RANDOM = ["embed=backbone", "embed.weights=random", "embed.size=32"]
PROBE = ["learner=probe", "initial.size=40", "query_size=5", "rounds=1"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Have an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "activeloop" / "embeddings"


def test_a_probe_on_a_frozen_backbone_and_its_vectors_for_other_runs(cli, tmp_path, cache):
    small = ["data=digits", "data.pool_size=200", *RANDOM, *PROBE]
    code, out, err = cli(*small, "strategy=badge", "hydra.run.dir=a", fast=False)
    assert (code, err) == (0, "")
    assert "resnet18 has random weights" in out
    assert len(list(cache.glob("*.npy"))) == 2
    assert f"the pool's vectors by resnet18 of torchvision go to {cache}" in out
    assert float(rows(tmp_path / "a" / "curve.csv")[-1]["accuracy"]) > 0.3
    before = {path: path.stat().st_mtime_ns for path in cache.glob("*.npy")}
    more = ["strategy=typiclust", "seed=1", "+embed._convert_=all"]  # Hydra's own settings go
    code, out, _ = cli(*small, *more, "hydra.run.dir=b", fast=False)
    assert code == 0
    assert f"the pool's vectors by resnet18 of torchvision are in {cache}" in out
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*.npy")} == before
    # Where vectors are kept does not make it another run.
    again = [*small, *more, "hydra.run.dir=b", "embed.cache=c"]
    code, out, _ = cli(*again, fast=False)
    assert code == 0
    assert "finished already" in out
    assert not (tmp_path / "c").exists()  # and nothing is embedded for a run that is finished
    assert cli("embed", *small[: -len(PROBE)], "embed.cache=c", fast=False)[0] == 0
    assert len(list((tmp_path / "c").glob("*.npy"))) == 2


def test_embedding_without_a_run(cli, tmp_path, cache):
    code, out, err = cli("embed", "data=digits", "data.pool_size=50", *RANDOM, fast=False)
    assert (code, err) == (0, "")
    assert "digits: the pool is 50 vectors of 512" in out
    assert len(list(cache.glob("*.npy"))) == 2
    assert not (tmp_path / "outputs").exists()
    fails(cli("embed", fast=False), "give embed=backbone")
    fails(cli("embed", "embed=pca", fast=False), "give embed=backbone")
    fails(cli("embed", *RANDOM, "embed.cache=null", fast=False), "leave its embed.cache")
    fails(cli("embed", "embed=backbone", "embed.wieghts=random", fast=False), "wieghts")


def test_errors_of_backbones_and_probes_are_one_line(cli, tmp_path, cache, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    for words, *parts in [
        (["embed=backbone"], "no network; fetch https://", "embed.weights=PATH"),
        (["embed=pca", *RANDOM[1:]], "embed.weights"),
        ([], "learner=probe needs vectors", "embed=backbone or embed=pca"),
        (["embed=backbone", "embed.library=tim"], "embed.library must be one of torchvision"),
        (["embed=backbone", "embed.weights=none.pt"], "none.pt: there is no such file"),
        (["embed=pca", "learner.head=svm"], "learner.head must be one of linear, logistic"),
    ]:
        fails(cli(*PROBE, *words, fast=False), *parts)


# -- pools larger than memory --------------------------------------------------------------------


def noise(root, count=30):
    """Make a folder of images: a class is darker, the other brighter."""
    rng = np.random.default_rng(0)
    for name, most in (("cat", 130), ("dog", 256)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, most, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


STREAMED = ["data=image_folder", "data.root=photos", "data.size=16", "model=cnn", "rounds=2"]


def without_seconds(path):
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows(path)]


def test_a_run_from_a_file_is_the_run_from_memory(cli, tmp_path):
    noise(tmp_path / "photos")
    runs = {"memory": [], "file": ["data.memory_limit=1KiB"], "kept": ["data.cache=kept"]}
    for name, more in runs.items():
        more = [*more, "strategy=margin", "data.validation=6", f"hydra.run.dir={name}"]
        code, _, err = cli(*STREAMED, "learner.augment=auto", *more)
        assert (code, err) == (0, "")
    assert list((tmp_path / "kept").glob("*/*.npy"))
    for name in ("file", "kept"):
        for file in ("queries.csv", "model.safetensors"):
            assert (tmp_path / name / file).read_bytes() == (
                tmp_path / "memory" / file
            ).read_bytes()
        curves = [without_seconds(tmp_path / each / "curve.csv") for each in ("memory", name)]
        assert curves[0] == curves[1]
        assert len(curves[0]) == 3
    # Where samples are held is not what a run is: it goes on either way.
    code, out, _ = cli(*STREAMED, "learner.augment=auto", *more, "data.workers=0")
    assert "finished already" in out


def test_the_memory_limit_of_a_run_is_that_of_its_data(cli, tmp_path, monkeypatch):
    noise(tmp_path / "photos")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cli(*STREAMED, "memory_limit=64KiB")[0] == 0
    assert not (tmp_path / "cache" / "activeloop" / "images").exists()
    assert cli(*STREAMED, "memory_limit=8KiB")[0] == 0
    assert list((tmp_path / "cache" / "activeloop" / "images").glob("images_of_photos-3x16x16-*/*"))


def test_labels_that_will_not_fit_are_refused_before_anything_is_trained(
    cli, tmp_path, monkeypatch
):
    noise(tmp_path / "photos")
    monkeypatch.setattr("activeloop.data.samples.BATCH_BYTES", 1)
    fails(
        cli(*STREAMED, "data.memory_limit=4KiB", "query_size=8", "hydra.run.dir=run"),
        "26 samples at once take 19.5 KiB, more than the memory_limit of 4 KiB",
        "budget",
    )
    assert not (tmp_path / "run" / "run.db").exists()
