"""The files of a report: CSV, JSON, LaTeX and figures say what the document says."""

import csv
import dataclasses
import json
import math
import re

import pytest
from matplotlib.figure import Figure
from PIL import Image
from run_directories import make_run, make_sweep

from activeloop.report.document import Estimate
from activeloop.report.drawing import draw, draw_figures
from activeloop.report.latex import escaped, tables
from activeloop.report.looks import looks
from activeloop.report.study import make_report
from activeloop.report.writing import as_json, write_report

COURSES = {
    "random": [(0.5, 0.6, 0.7), (0.5, 0.62, 0.7), (0.5, 0.58, 0.72)],
    "random_again": [(0.5, 0.61, 0.7), (0.5, 0.6, 0.7), (0.5, 0.59, 0.71)],
    "margin": [(0.5, 0.7, 0.8), (0.5, 0.72, 0.8), (0.5, 0.7, 0.82)],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = make_sweep(tmp_path_factory.mktemp("sweep"), COURSES)
    make_run(folder / "one", "entropy", 0, [0.5, 0.65, 0.75], strategy__temperature=1e30)
    return make_report([folder], targets=[0.7, 0.81], budgets=[8, 12])


def rows(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def numbers(row):
    return tuple(None if row[n] == "" else float(row[n]) for n in ("mean", "low", "high"))


def interval(estimate):
    return estimate.mean, estimate.low, estimate.high


def test_numbers_in_csv_are_the_documents_to_the_last_bit(report, tmp_path):
    write_report(report, tmp_path)
    (comparison,) = report.comparisons
    found = {
        (row["strategy"], row["metric"], int(row["labels"])): (int(row["seeds"]), numbers(row))
        for row in rows(tmp_path / "curves.csv")
    }
    assert found == {
        (curve.strategy, curve.metric, labels): (each.n, interval(each))
        for curve in comparison.curves
        for labels, each in zip(curve.labels, curve.estimates, strict=True)
    }
    (spent,) = {
        tuple(float(r["seconds"]) for r in rows(tmp_path / "curves.csv") if r["strategy"] == name)
        for name in ("margin",)
    }
    assert spent == (2.0, 4.0, 6.0) * 2  # of both metrics, 2 seconds a round
    assert comparison.area_range == (4, 12)
    table = {(r["strategy"], r["quantity"], r["at"]): r for r in rows(tmp_path / "summary.csv")}
    for row in comparison.table:
        name = row.strategy
        assert numbers(table[name, "area", "4 to 12"]) == interval(row.area)
        assert numbers(table[name, "accuracy", "12"]) == interval(row.at[12])
        assert numbers(table[name, "seconds", "train"])[0] == row.seconds["train"]
        low, high = row.reach
        assert float(table[name, "labels_reached", "0.81"]["mean"]) == high.reached
        assert numbers(table[name, "labels_median", "0.7"])[0] == low.median
        assert ((name, "labels", "0.81") in table) == (high.labels is not None)
        if low.saved is not None:
            assert numbers(table[name, "labels_saved_percent", "0.7"]) == interval(low.saved)
    *differences, floor = rows(tmp_path / "differences.csv")
    assert [row["strategy"] for row in differences] == [d.strategy for d in comparison.differences]
    for row, difference in zip(differences, comparison.differences, strict=True):
        assert numbers(row) == interval(difference.estimate)
        assert float(row["p_holm"] or -1) == (difference.p_holm or -1)
        assert bool(int(row["settled"])) == difference.settled
    assert floor["strategy"] == "random_again"


def test_json_is_the_document_without_what_json_does_not_have(report):
    found = json.loads(as_json(report))
    assert found["comparisons"][0]["table"][0]["at"]["8"]["mean"] == pytest.approx(0.6)
    assert found["findings"] == list(report.findings)
    nothing = Estimate(mean=math.nan, low=-math.inf, high=None, n=0)
    row = dataclasses.replace(report.comparisons[0].table[0], area=nothing)
    comparison = dataclasses.replace(report.comparisons[0], table=(row,))
    odd = json.loads(as_json(dataclasses.replace(report, comparisons=(comparison,))))
    assert odd["comparisons"][0]["table"][0]["area"] == {
        "mean": None,
        "low": None,
        "high": None,
        "n": 0,
    }


def test_special_characters_are_escaped_for_latex():
    assert escaped(r"50% & a_b {x} #1 $5 ~^ \n") == (
        r"50\% \& a\_b \{x\} \#1 \$5 \textasciitilde{}\textasciicircum{} \textbackslash{}n"
    )


def test_latex_has_a_whole_table_with_as_many_cells_in_each_line(report):
    odd = dataclasses.replace(report.comparisons[0].table[1], strategy="mine & co_2, 5%")
    comparison = dataclasses.replace(
        report.comparisons[0], table=(report.comparisons[0].table[0], odd), title="a_b"
    )
    text = tables(dataclasses.replace(report, comparisons=(comparison, comparison)))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert r"\caption{a\_b:" in text
    columns = len(re.search(r"\\begin\{tabular\}\{(l r*|lr*)\}", text)[1])
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 6
    for line in lines:
        assert len(re.split(r"(?<!\\)&", line)) == columns, line
        assert not re.search(r"(?<!\\)[%#_]", line), line
    assert lines[2].startswith(r"mine \& co\_2, 5\% &")
    # Braces are closed again.
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_figures_for_papers_are_the_same_for_the_same_report(report, tmp_path, kind, start):
    paths = [draw_figures(report.comparisons, tmp_path / name, kind) for name in "ab"]
    assert [path.name for path in paths[0]] == [f"digits_accuracy.{kind}", f"digits_loss.{kind}"]
    assert paths[0][0].read_bytes().startswith(start)
    assert paths[0][0].read_bytes() == paths[1][0].read_bytes()


def test_names_are_drawn_as_they_are_whatever_is_in_them(report, tmp_path):
    (comparison,) = report.comparisons
    names = {"margin": "$_{x$", "random": "_mine"}
    odd = {"accuracy": "top/5 $_{$", "loss": "top-5 $_{$"}
    curves = tuple(
        dataclasses.replace(
            curve, strategy=names.get(curve.strategy, curve.strategy), metric=odd[curve.metric]
        )
        for curve in comparison.curves
    )
    comparison = dataclasses.replace(
        comparison,
        title="$_{x$",
        baseline="_mine",
        strategies=tuple(names.get(name, name) for name in comparison.strategies),
        metrics=tuple(odd.values()),
        higher_is_better=dict.fromkeys(odd.values(), True),
        curves=curves,
    )
    paths = draw_figures([comparison], tmp_path, "svg")
    assert [path.name for path in paths] == [
        "digits_top-5--_--.svg",
        "digits_top-5--_--.2.svg",
    ]
    axes = Figure().subplots()
    draw(axes, comparison, comparison.metrics[0], looks([comparison]))
    shown = {text.get_text() for text in axes.get_legend().get_texts()}
    assert shown == {
        *comparison.strategies,
        *(["all labels of the pool"] if comparison.ceiling else []),
    }
    assert not any(text.get_parse_math() for text in axes.get_legend().get_texts())


def test_the_picture_has_a_panel_for_each_comparison(report, tmp_path):
    drawn = write_report(report, tmp_path)
    assert [path.name for path in drawn] == ["comparison.png", "report.html"]
    assert Image.open(tmp_path / "comparison.png").size == (960, 630)
    (comparison,) = report.comparisons
    write_report(dataclasses.replace(report, comparisons=(comparison,) * 3), tmp_path)
    assert Image.open(tmp_path / "comparison.png").size == (1920, 1260)


def test_a_report_without_accuracies_has_no_picture(report, tmp_path):
    bare = dataclasses.replace(report.comparisons[0], curves=())
    drawn = write_report(dataclasses.replace(report, comparisons=(bare,)), tmp_path)
    assert [path.name for path in drawn] == ["report.html"]
    assert not (tmp_path / "comparison.png").exists()
