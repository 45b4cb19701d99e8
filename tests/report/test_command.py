"""`python -m activeloop report`, and the report that a sweep makes by itself."""

import csv
import json
import shutil

import pytest
from run_directories import make_run, make_sweep

FAST = ["model=linear", "learner.epochs=1", "learner.min_steps=1", "initial.size=10"]
FAST += ["query_size=5", "rounds=1", "data.pool_size=100"]
COURSES = {
    "random": [(0.5, 0.6, 0.7), (0.5, 0.62, 0.7)],
    "margin": [(0.5, 0.7, 0.8), (0.5, 0.72, 0.8)],
}


@pytest.fixture
def cli(tmp_path, monkeypatch, typed):
    """Return a function that runs a command line in an empty directory: code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        fast = ["--no-pictures"] if words[0] == "report" else FAST
        return typed(*words, *fast)

    return call


FILES = {
    "report.html",
    "report.json",
    "curves.csv",
    "summary.csv",
    "differences.csv",
    "comparison.png",
}


def of_report(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_a_report_lies_where_all_runs_have_in_common_and_says_what_it_found(cli, tmp_path):
    make_sweep(tmp_path / "study" / "sweep", COURSES)
    code, out, err = cli("report", "study/sweep/random-seed0", "study/sweep/margin-seed0")
    assert (code, err) == (0, "")
    assert of_report(tmp_path / "study" / "sweep") == FILES
    assert "report: study/sweep/report.html" in out
    assert "margin: one seed tells nothing" in out
    code, out, _ = cli("report", "study")
    assert code == 0
    assert of_report(tmp_path / "study") == FILES
    # What a report leaves is no run, and the next one is the same.
    before = (tmp_path / "study" / "curves.csv").read_bytes()
    assert cli("report", "study")[0] == 0
    assert (tmp_path / "study" / "curves.csv").read_bytes() == before
    assert cli("report", "study/sweep/random-seed0")[0] == 0
    assert of_report(tmp_path / "study" / "sweep" / "random-seed0") >= {*FILES, "run.db"}


def test_options_of_the_command(cli, tmp_path):
    make_sweep(tmp_path / "sweep", COURSES)
    words = ["--out", "there", "--baseline", "margin", "--targets", "0.7,0.65", "--budgets", "8"]
    code, out, err = cli("report", "sweep", *words, "--figures", "svg", "--latex")
    assert (code, err) == (0, "")
    assert of_report(tmp_path / "there") == {*FILES, "table.tex"}
    assert not (tmp_path / "sweep" / "report.json").exists()
    report = json.loads((tmp_path / "there" / "report.json").read_text())
    (comparison,) = report["comparisons"]
    assert (comparison["baseline"], comparison["targets"]) == ("margin", [0.65, 0.7])
    assert (comparison["budgets"], report["runs"][0]["directory"]) == ([8], "../sweep/margin-seed0")
    assert {path.name for path in (tmp_path / "there" / "figures").iterdir()} == {
        "digits_accuracy.svg",
        "digits_loss.svg",
    }
    table = (tmp_path / "there" / "table.tex").read_text()
    assert table in out
    assert r"\toprule" in table


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["activeloop report", "DIR"]),
        (["nowhere"], ["there is no directory nowhere"]),
        (["empty"], ["there is no run in", "empty", "run.db"]),
        (["run/run.db"], ["run/run.db is a file"]),
        (["run", "--targets", "90"], ["--targets must be a number above 0 and at most 1, got 90"]),
        (["run", "--targets", "0.9,x"], ["--targets", "got 'x'"]),
        (["run", "--budgets", "1.5"], ["--budgets must be a whole number of at least 1, got 1.5"]),
        (["run", "--baseline", "margn"], ["'margn'", "random"]),
        (["run", "--figures", "gif"], ["--figures", "gif", "pdf"]),
        (["run", "--ceiling", "nowhere"], ["there is no directory nowhere"]),
        (["run", "--nonsense"], ["--nonsense"]),
        (["run", "--out", "run/run.db"], ["cannot write the report in run/run.db", "--out"]),
    ],
)
def test_what_makes_no_sense_is_one_line(cli, tmp_path, words, parts):
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "run")
    code, _, err = cli("report", *words)
    assert code == 1
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    for part in parts:
        assert part in err


def without_times(path):
    """Return a report without seconds and times."""

    def cleared(value):
        if isinstance(value, dict):
            return {k: cleared(v) for k, v in value.items() if k not in ("seconds", "made", "at")}
        return [cleared(each) for each in value] if isinstance(value, list) else value

    report = json.loads(path.read_text())
    budgets = [row.get("at") for c in report["comparisons"] for row in c["table"]]
    return cleared(report), budgets


def test_a_sweep_that_was_interrupted_has_the_report_of_one_that_was_not(
    cli, tmp_path, monkeypatch
):
    words = ("-m", "strategy=random,margin", "seed=1,2")
    code, out, err = cli(*words, "hydra.sweep.dir=whole")
    assert (code, err) == (0, "")
    assert "report: whole/report.html" in out
    assert "comparison: whole/comparison.png" in out
    assert of_report(tmp_path / "whole") >= FILES
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    shutil.rmtree(tmp_path / "part" / "margin-seed2")
    (tmp_path / "part" / "random-seed1" / "run.db").unlink()
    for name in FILES:
        (tmp_path / "part" / name).unlink()
    assert cli(*words, "hydra.sweep.dir=part")[0] == 0
    reports = [without_times(tmp_path / name / "report.json") for name in ("whole", "part")]
    assert reports[0] == reports[1]
    # What is there is the same that the command makes of it.
    assert cli("report", "whole", "--out", "again")[0] == 0
    curves = [(tmp_path / n / "curves.csv").read_text() for n in ("whole", "part", "again")]
    assert curves[0] == curves[2]
    one, other = ([line.rpartition(",")[0] for line in each.splitlines()] for each in curves[:2])
    assert one == other  # but for the seconds


def test_a_sweep_over_seeds_side_by_side_has_a_report(cli, tmp_path):
    code, out, err = cli("strategy=margin", "seeds=2", "hydra.run.dir=study")
    assert (code, err) == (0, "")
    with (tmp_path / "study" / "curves.csv").open() as lines:
        last = [row for row in csv.DictReader(lines) if row["metric"] == "accuracy"][-1]
    assert (last["strategy"], last["labels"], last["seeds"]) == ("margin", "15", "2")
    assert "margin ends at" in out


def test_a_report_that_cannot_be_made_takes_nothing_from_the_sweep(cli, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no ink")

    monkeypatch.setattr("activeloop.report.study.compared", broken)
    code, _, err = cli("-m", "strategy=random", "seed=1,2", "hydra.sweep.dir=my sweep")
    assert code == 0
    (line,) = err.splitlines()
    assert line.startswith("warning: there is no report: RuntimeError: no ink")
    assert line.endswith("to make it: python -m activeloop report 'my sweep'")
    code, _, err = cli("-m", "strategy=random", "seed=1,-2", "hydra.sweep.dir=my sweep")
    assert code == 1
    assert "error: 1 of 2 runs failed" in err


def test_the_help_says_whose_runs_to_trust(cli):
    code, out, _ = cli("report", "--help")
    assert code == 0
    assert "report only runs that you trust" in " ".join(out.split())
