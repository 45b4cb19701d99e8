"""From directories of runs to a report: what is compared, what is found, and what is wrong."""

import dataclasses
import shutil

import numpy as np
import pytest
import yaml
from run_directories import make_run, make_sweep
from scipy import stats

from activeloop.audit import clopper_pearson
from activeloop.errors import ConfigError, DataError
from activeloop.report.document import Duplicates, Pictures, RunLine
from activeloop.report.grouping import grouped
from activeloop.report.latex import tables
from activeloop.report.runs import read_run
from activeloop.report.series import curve, higher_is_better
from activeloop.report.study import make_report
from activeloop.report.table import round_budgets, rows
from activeloop.report.writing import as_json
from activeloop.stopping import Kappa, Plateau, Target

RANDOM = [(0.5, 0.6, 0.7), (0.5, 0.62, 0.7), (0.5, 0.58, 0.72)]
MARGIN = [(0.5, 0.7, 0.8), (0.5, 0.72, 0.8), (0.5, 0.7, 0.82)]
# By trapezoids over 4 to 12 labels.
RANDOM_AREAS, MARGIN_AREAS = [0.6, 0.61, 0.595], [0.675, 0.685, 0.68]


def sweep(folder, **more):
    return make_sweep(folder, {"random": RANDOM, "margin": MARGIN}, **more)


def problems(report):
    return [(problem.level, problem.text) for problem in report.problems]


def texts(report, level=None):
    return [problem.text for problem in report.problems if level in (None, problem.level)]


# -- numbers -----------------------------------------------------------------------------------


def test_numbers_of_a_small_sweep_by_hand(tmp_path):
    report = make_report([sweep(tmp_path)], targets=[0.7, 0.81], budgets=[8, 10])
    assert (report.problems, report.ranks, report.penalties) == ((), None, None)
    assert report.title == "random and margin on digits"
    (comparison,) = report.comparisons
    assert (comparison.name, comparison.title) == ("digits", "digits")
    assert (comparison.baseline, comparison.strategies) == ("random", ("random", "margin"))
    assert comparison.metrics == ("accuracy", "loss")
    assert comparison.higher_is_better == {"accuracy": True, "loss": False}
    curve = comparison.curves[1]
    assert (curve.strategy, curve.metric, curve.labels) == ("margin", "accuracy", (4, 8, 12))
    assert [each.mean for each in curve.estimates] == pytest.approx([0.5, 2.12 / 3, 2.42 / 3])
    assert [each.n for each in curve.estimates] == [3, 3, 3]
    low, high = stats.t.interval(0.95, 2, 2.12 / 3, stats.sem([0.7, 0.72, 0.7]))
    assert (curve.estimates[1].low, curve.estimates[1].high) == pytest.approx((low, high))
    assert curve.runs[2].values == MARGIN[2]
    assert curve.runs[2].seconds == (2.0, 4.0, 6.0)
    random, margin = comparison.table
    assert random.area.mean == pytest.approx(np.mean(RANDOM_AREAS))
    assert margin.area.mean == pytest.approx(0.68)
    assert margin.at[8].mean == pytest.approx(2.12 / 3)
    assert margin.at[10].mean == pytest.approx((0.75 + 0.76 + 0.76) / 3)
    assert margin.seconds == {"train": 1.0, "predict": 0.25, "select": 0.5, "test": 0.25}
    (difference,) = comparison.differences
    assert difference.estimate.mean == pytest.approx(0.235 / 3)
    p = stats.ttest_rel(MARGIN_AREAS, RANDOM_AREAS).pvalue
    assert (difference.p, difference.p_holm) == pytest.approx((p, p))
    assert difference.settled
    assert report.findings[0].startswith("margin beats random by 7.8 points of area (95% 6.4 to ")


def test_targets_that_some_runs_never_reach_are_censored(tmp_path):
    report = make_report([sweep(tmp_path)], targets=[0.7, 0.81])
    random, margin = report.comparisons[0].table
    low, high = margin.reach
    assert (low.reached, low.of) == (3, 3)
    needed = [8, 4 + 4 * 0.2 / 0.22, 8]
    assert low.labels.mean == pytest.approx(np.mean(needed))
    to_reach = [12, 12, 8 + 4 * 0.12 / 0.14]
    saved = [100 * (1 - ours / theirs) for ours, theirs in zip(needed, to_reach, strict=True)]
    assert low.saved.mean == pytest.approx(np.mean(saved))
    assert (high.reached, high.of, high.labels, high.median, high.saved) == (1, 3, None, None, None)
    assert [each.saved for each in random.reach] == [None, None]
    assert "margin reaches 70.0% with 7.9 labels" not in report.findings
    assert any(f.startswith("margin reaches 70.0% with 8 labels, random") for f in report.findings)


def test_targets_and_budgets_that_nobody_names_are_round(tmp_path):
    (comparison,) = make_report([sweep(tmp_path)]).comparisons
    # Random goes from 50% to 70.7%, margin to 80.7%.
    assert comparison.targets == (0.6, 0.7, 0.8)
    assert comparison.budgets == (4, 8, 12)


def test_intervals_reach_no_further_than_what_they_are_of():
    runs = [
        RunLine(seed=seed, labels=(10, 20), values=values, seconds=(1.0, 2.0))
        for seed, values in enumerate([(0.7, 0.8), (0.1, 1.0)])
    ]
    lines = {"margin": dict(enumerate(runs))}
    (row,) = rows({"margin": []}, lines, baseline=None, targets=[0.75], budgets=[20])
    assert (row.area.low, row.area.high) == (0, 1)
    assert (row.at[20].low, row.at[20].high) == (0, 1)  # 0.9 plus or minus 1.27
    assert (row.reach[0].labels.low, row.reach[0].labels.high) == (10, 20)


def test_of_two_budgets_as_near_the_rounder_one_is_taken():
    labels = tuple(range(20, 221, 20))
    line = RunLine(seed=0, labels=labels, values=(0.5,) * 11, seconds=(1.0,) * 11)
    assert round_budgets({"random": {0: line}}) == (60, 100, 220)  # 55, 110, 220


def test_areas_are_of_the_labels_that_all_runs_have(tmp_path):
    sweep(tmp_path)
    make_run(tmp_path / "entropy-seed0", "entropy", 0, [0.5, 0.8], budget=8)
    report = make_report([tmp_path])
    areas = {row.strategy: row.area.mean for row in report.comparisons[0].table}
    assert areas["entropy"] == pytest.approx(0.65)
    assert areas["random"] == pytest.approx((0.55 + 0.56 + 0.54) / 3)
    expected = "runs end at 8 (entropy with seed 0) to 12 labels (random with seed 0)"
    (text,) = texts(report, "warning")
    assert text.startswith(expected)
    assert text.endswith("areas are of what all have in common: budget is 8 and 12")


def test_a_run_that_ended_at_once_takes_the_verdict_from_nobody_else(tmp_path):
    sweep(tmp_path)
    make_run(tmp_path / "margin-seed3", "margin", 3, [0.5])
    make_run(tmp_path / "random-seed3", "random", 3, RANDOM[0])
    report = make_report([tmp_path])
    (comparison,) = report.comparisons
    assert comparison.area_range == (4, 12)
    random, margin = comparison.table
    assert (margin.seeds, margin.area.n, random.area.n) == (4, 3, 4)
    assert margin.area.mean == pytest.approx(0.68)
    assert comparison.differences[0].estimate.n == 3
    assert comparison.budgets == (4, 8, 12)
    assert texts(report) == [
        "margin with seed 3 ends at 4 labels, where most runs cover 4 to 12: left out of areas and "
        "differences"
    ]
    (line,) = (each for each in tables(report).splitlines() if each.startswith("margin"))
    assert line.startswith(
        r"margin & 4 & $68.0 \pm 1.2$ (3 of 4) & $7.8 \pm 1.4$ (3 of 4) & $50.0 \pm 0.0$ & "
        r"$70.7 \pm 2.9$ (3 of 4) &"
    )
    assert "margin ends at 80.7% with 12 labels (95% 77.8% to 83.5%), 3 of 4 runs" in (
        report.findings
    )


def test_a_strategy_that_stops_early_in_most_runs_is_told_where_most_are(tmp_path):
    sweep(tmp_path / "sweep")
    for seed in range(3):
        accuracy = [0.5, 0.9, 0.95] if seed == 0 else [0.5, 0.9]
        make_run(tmp_path / f"entropy-{seed}", "entropy", seed, accuracy, ended="plateau")
    report = make_report([tmp_path], budgets=[12])
    assert report.comparisons[0].area_range == (4, 8)
    assert "entropy ends at 90.0% with 8 labels (95% 90.0% to 90.0%)" in report.findings
    row = next(row for row in report.comparisons[0].table if row.strategy == "entropy")
    assert (row.at[12].n, row.seeds) == (1, 3)
    assert r"$95.0$ (1 of 3)" in tables(report)


def test_a_target_that_all_have_from_the_start_saves_nothing(tmp_path):
    report = make_report([sweep(tmp_path)], targets=[0.4])
    assert report.comparisons[0].differences[0].settled
    assert not any("reaches" in finding for finding in report.findings)


@pytest.mark.parametrize(
    "reason",
    [
        Target(0.7).reason(0.71),
        Plateau().reason(0.001),
        f"{Kappa().reason(0.99)} and {Plateau().reason(0.001)}",
    ],
)
def test_runs_that_test_accuracy_ended_are_named(tmp_path, reason):
    sweep(tmp_path)
    for seed in range(2):
        make_run(tmp_path / f"entropy-{seed}", "entropy", seed, MARGIN[seed], ended=reason)
    make_run(tmp_path / "entropy-2", "entropy", 2, MARGIN[2], ended=Kappa().reason(0.99))
    assert texts(make_report([tmp_path]), "warning") == [
        "test accuracy decided where entropy with seeds 0 and 1 ended, by stopping=target or "
        "plateau: their accuracy at the end is optimistic"
    ]


@pytest.mark.parametrize("leaked", [2, 0, None])
def test_near_duplicates_of_test_samples_are_a_warning(tmp_path, monkeypatch, leaked):
    found = Duplicates(how="alike", picked={}, leaked=leaked, test=1000, examples=())
    shown = Pictures(
        galleries=(), balance=None, overlap=None, map=None, duplicates=found, missing=()
    )
    monkeypatch.setattr("activeloop.report.comparison.pictures", lambda runs: shown)
    report = make_report([sweep(tmp_path)], pictures_from=0)
    assert texts(report, "warning") == (
        [
            "2 of 1,000 test samples have near-duplicates in the pool, so that test accuracy is "
            "optimistic"
        ]
        if leaked
        else []
    )


def test_what_differs_within_a_comparison_is_told_with_who_has_it(tmp_path):
    sweep(tmp_path)
    make_run(tmp_path / "a", "entropy", 0, RANDOM[0], measures=True, torch="2.12.0")
    make_run(tmp_path / "b", "entropy", 1, RANDOM[1])
    (comparison,) = make_report([tmp_path]).comparisons
    others = "random, margin and entropy with seed 1"
    assert comparison.differing == {
        "measures": (f"false ({others})", "true (entropy with seed 0)"),
        "torch": (f"2.11.0 ({others})", "2.12.0 (entropy with seed 0)"),
    }
    assert not comparison.differing.keys() & comparison.settings.keys()


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        *[(name, True) for name in ("accuracy", "macro_f1", "audit_accuracy", "train_accuracy")],
        *[(name, False) for name in ("loss", "calibration_error", "train_loss", "train_seconds")],
        *[(name, None) for name in ("margin", "entropy", "least_confidence", "l2_distance")],
        *[(name, None) for name in ("cosine_similarity", "neighbor_kl", "kappa", "my_metric")],
    ],
)
def test_what_is_better_is_said_where_it_has_a_meaning(metric, better):
    assert higher_is_better(metric) is better


def test_runs_that_share_one_label_count_have_no_verdict(tmp_path):
    for strategy in ("random", "margin"):
        for seed in range(2):
            make_run(tmp_path / f"{strategy}-{seed}", strategy, seed, [0.5])
    report = make_report([tmp_path])
    (comparison,) = report.comparisons
    assert (comparison.area_range, comparison.differences) == (None, ())
    assert "runs share no range of labels" in texts(report, "warning")[0]


def test_noise_floor_is_in_no_family_and_in_no_penalty(tmp_path):
    again = [(0.5, 0.61, 0.7), (0.5, 0.6, 0.7), (0.5, 0.59, 0.71)]
    sweep(tmp_path)
    make_sweep(tmp_path, {"random_again": again})
    (comparison,) = make_report([tmp_path]).comparisons
    assert set(comparison.strategies) == {"random", "margin", "random_again"}
    (difference,) = comparison.differences
    assert difference.p_holm == difference.p  # a family of one
    assert comparison.penalties.strategies == ("random", "margin")
    floor = comparison.noise_floor
    assert (floor.strategy, floor.baseline) == ("random_again", "random")
    assert floor.estimate.mean == pytest.approx(np.mean([0.005, -0.01, 0.0025]))
    shutil.rmtree(tmp_path / "random_again-seed1")
    shutil.rmtree(tmp_path / "random_again-seed2")
    (one,) = make_report([tmp_path]).comparisons
    assert one.noise_floor.words == "noise floor: not known with 1 seed in common"
    assert floor.words.startswith("noise floor: random against itself with other draws differs by")


def test_the_mean_of_runs_on_all_labels_is_the_ceiling(tmp_path):
    sweep(tmp_path / "sweep")
    whole = {"initial___target_": "activeloop.initial.everything", "rounds": 0, "budget": None}
    for seed, accuracy in enumerate((0.9, 0.94)):
        make_run(tmp_path / "all" / f"{seed}", "random", seed, [accuracy], **whole)
    make_run(tmp_path / "all" / "other", "random", 0, [0.99], learner__lr=0.1, **whole)
    (comparison,) = make_report([tmp_path]).comparisons
    assert comparison.ceiling["accuracy"] == pytest.approx(0.92)
    assert len(comparison.table[0].reach[0:1]) == 1
    assert [len(c.runs) for c in comparison.curves] == [3, 3, 3, 3]
    report = make_report([tmp_path / "sweep"], ceiling=tmp_path / "all")
    assert report.comparisons[0].ceiling["accuracy"] == pytest.approx(0.92)
    assert any(f.endswith("all labels of the pool give 92.0%") for f in report.findings)
    report = make_report([tmp_path / "sweep"], ceiling=tmp_path / "sweep")
    assert report.comparisons[0].ceiling is None
    assert "on the whole pool" in texts(report, "warning")[0]
    with pytest.raises(ConfigError, match="there is no directory"):
        make_report([tmp_path / "sweep"], ceiling=tmp_path / "nowhere")


def test_the_ceiling_of_the_experiment_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = {"initial___target_": "activeloop.initial.everything", "rounds": 0, "budget": None}
    make_run(tmp_path / "outputs" / "ceiling" / "digits-1" / "random-seed0", **whole)
    make_run(tmp_path / "outputs" / "ceiling" / "digits-2" / "x", accuracy=[0.8], **whole)
    (comparison,) = make_report([sweep(tmp_path / "sweep")]).comparisons
    assert comparison.ceiling["accuracy"] == pytest.approx(0.8)


def test_validation_labels_are_counted(tmp_path):
    sweep(tmp_path, metrics={"validation_labels": 50.0})
    report = make_report([tmp_path])
    assert report.comparisons[0].validation_labels == 50
    assert "validation_labels" not in report.comparisons[0].metrics
    assert "each run used 50 labels more to validate" in report.findings[-1]


def test_runs_without_test_labels_have_curves_of_what_they_have(tmp_path):
    sweep(tmp_path, metrics={"accuracy": float("nan"), "train_loss": 0.25})
    report = make_report([tmp_path])
    (comparison,) = report.comparisons
    assert comparison.metrics == ("accuracy", "loss", "train_loss")
    assert {curve.metric for curve in comparison.curves} == {"loss", "train_loss"}
    assert [row.area for row in comparison.table] == [None, None]
    assert comparison.differences == ()
    assert "no run has a test accuracy" in texts(report, "warning")[0]


def test_a_run_that_people_are_labelling_is_no_mistake(tmp_path):
    measured = {"accuracy": float("nan"), "audit_accuracy": 0.5}
    people = {"metrics": measured, "oracle": {"_target_": "activeloop.oracle.People"}}
    make_run(tmp_path / "photos", "margin", ended=None, **people)
    report = make_report([tmp_path])
    assert texts(report, "error") == []
    assert texts(report) == ["photos is being labelled: this is it so far, with 12 labels"]
    make_run(tmp_path / "random", "random", ended=None, **people)
    assert "no run has a test accuracy, so that there are no areas and no differences" in (
        texts(make_report([tmp_path]), "warning")
    )


AUDITS = [
    {},
    {"audit_accuracy": 0.5, "audit_labels": 4.0},
    {"audit_accuracy": 0.75, "audit_labels": 4.0},
]


def audited(directory, seed, audits):
    """Return a run whose rounds of 4, 8 and 12 labels have these metrics."""
    run = read_run(make_run(directory, "margin", seed))
    rounds = zip(run.rounds, audits, strict=True)
    return dataclasses.replace(
        run,
        rounds=tuple(
            dataclasses.replace(round, metrics={**round.metrics, **audit})
            for round, audit in rounds
        ),
    )


def test_how_good_a_run_without_test_labels_is_is_told_as_on_its_page(tmp_path):
    untested = {"metrics": {"accuracy": float("nan")}, "audits": [(0, 0), (1, 3), (3, 4)]}
    make_run(tmp_path / "margin", "margin", **untested)
    make_run(tmp_path / "random", "random", audits=[(0, 0), (2, 2), (2, 2)])
    report = make_report([tmp_path])
    (found,) = report.comparisons[0].audited
    assert (found.strategy, found.seed, found.samples, found.labels) == ("margin", 0, 7, (4, 8))
    assert found.accuracy == 4 / 7
    exact = stats.binomtest(4, 7).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert report.findings[-1] == (
        "margin, seed 0: about 57.1% are right (95% 18.4% to 90.1%), by 7 samples drawn at random, "
        "when it had 4 to 8 labels"
    )


def test_audits_stand_at_the_labels_of_the_last_network_that_they_are_about(tmp_path):
    run = audited(tmp_path / "one", 0, AUDITS)
    found = curve("margin", "audit_accuracy", [run])
    assert (found.labels, found.runs[0].values, found.runs[0].seconds) == (
        (4, 8),
        (0.5, 0.625),  # 2 of 4, and then 5 of 8
        (2.0, 4.0),
    )
    spans = [(each.mean, each.low, each.high, each.n) for each in found.estimates]
    assert spans == [(0.5, *clopper_pearson(2, 4), 1), (0.625, *clopper_pearson(5, 8), 1)]
    assert curve("margin", "accuracy", [run]).estimates[0].low is None
    enough = [{}, *({"audit_accuracy": share, "audit_labels": 32.0} for share in (0.5, 0.25))]
    alone = curve("margin", "audit_accuracy", [audited(tmp_path / "large", 0, enough)])
    assert alone.runs[0].values == (0.5, 0.25)
    other = [{}, *({"audit_accuracy": share, "audit_labels": 32.0} for share in (0.5, 0.75))]
    again = [audited(tmp_path / name, 1, each) for name, each in (("a", enough), ("b", other))]
    both = curve("margin", "audit_accuracy", again).estimates
    assert [each.n for each in both] == [2, 2]
    assert (both[0].low, both[0].high) == (0.5, 0.5)  # over the seeds, not of one of them
    assert (both[1].low, both[1].high) == (0, 1)  # it is a share, of 0.75 and 0.25


@pytest.mark.parametrize(
    ("data", "root", "title"),
    [
        ("image_folder", "/tmp/photos", "photos"),
        ("image_folder", "photos/", "photos"),
        ("image_folder", ".", "here"),
        ("image_folder", "/", "image_folder"),
        ("mine", "/tmp/photos", "mine"),
    ],
)
def test_a_folder_of_images_is_called_by_its_name(tmp_path, data, root, title):
    make_run(tmp_path / "run", "margin")
    run = read_run(tmp_path / "run")
    settings = {"data": {"_target_": "activeloop.data.image_folder", "root": root}}
    there = dataclasses.replace(
        run,
        data=data,
        identity={**run.identity, "config": settings},
        environment={"working_directory": "/somewhere/here"},
    )
    assert there.data_called == title
    (group,), _ = grouped([there], tmp_path)
    assert (group.title, group.data) == (title, title)


# -- what is wrong -------------------------------------------------------------------------------


def test_holes_failures_and_what_is_not_over_come_first(tmp_path):
    sweep(tmp_path)
    make_run(tmp_path / "entropy-seed0", "entropy", 0)
    make_run(tmp_path / "entropy-seed1", "entropy", 1, [0.5], ended=None, error="diverged")
    make_run(tmp_path / "random-seed3", "random", 3, [0.5, 0.9], ended=None, budget=16)
    report = make_report([tmp_path])
    assert problems(report)[:4] == [
        ("error", "entropy-seed1 failed: diverged"),
        (
            "error",
            "random-seed3 is not finished: it has come to 8 labels so far, and is left out of the "
            "numbers",
        ),
        ("error", "entropy has no runs with seeds 2 and 3, which others have"),
        ("error", "margin has no run with seed 3, which others have"),
    ]
    (comparison,) = report.comparisons
    seeds = {row.strategy: row.seeds for row in comparison.table}
    assert seeds == {"random": 3, "margin": 3, "entropy": 1}
    assert len(report.runs) == 9
    failed = next(run for run in report.runs if run.error is not None)
    assert (failed.directory, failed.labels, failed.ended) == ("entropy-seed1", 4, None)


def test_runs_of_which_none_is_over_are_compared_as_far_as_they_are(tmp_path):
    for strategy, accuracy in (("random", [0.5, 0.6]), ("margin", [0.5, 0.7, 0.8])):
        make_run(tmp_path / strategy, strategy, 0, accuracy, ended=None)
    report = make_report([tmp_path])
    assert [row.area.mean for row in report.comparisons[0].table] == pytest.approx([0.55, 0.6])
    assert texts(report, "error") == [
        f"{strategy} is not finished: it has come to {labels} labels so far, and counts that far, "
        "for no run beside it is finished"
        for strategy, labels in (("margin", 12), ("random", 8))
    ]


def test_of_two_runs_with_one_strategy_and_seed_the_newest_finished_one_counts(tmp_path):
    for name, day, accuracy, ended in (
        ("old", 1, 0.1, "done"),
        ("new", 2, 0.2, "done"),
        ("newest", 3, 0.3, None),
    ):
        at = f"2026-01-0{day}T00:00:00+00:00"
        make_run(tmp_path / name, "random", 0, [accuracy], ended=ended, at=at)
    report = make_report([tmp_path])
    assert report.comparisons[0].curves[0].runs[0].values == (0.2,)
    (text,) = texts(report, "warning")
    assert text == (
        "new, old and newest are random with seed 0: new counts, the newest that is finished"
    )
    assert [run.comparison for run in report.runs] == ["digits", None, None]


def test_of_two_finished_runs_the_longer_one_counts_though_it_is_older(tmp_path):
    make_sweep(tmp_path / "old", {"random": RANDOM, "margin": MARGIN})
    for strategy in ("random", "margin"):
        for seed in range(3):
            name, at = f"{strategy}-seed{seed}", "2026-02-01T00:00:00+00:00"
            make_run(tmp_path / "new" / name, strategy, seed, [0.1, 0.1], budget=8, at=at)
    report = make_report([tmp_path])
    assert report.comparisons[0].curves[0].labels == (4, 8, 12)
    assert texts(report) == [
        "new/margin-seed0, new/margin-seed1, new/margin-seed2 and 3 more are left out, for there "
        "are longer finished runs of the same strategies and seeds: new/margin-seed0 ends at 8 "
        "labels, old/margin-seed0 at 12"
    ]


def test_strategies_that_a_killed_sweep_never_began_are_named(tmp_path):
    folder = tmp_path / "sweep" / "digits-0123"
    make_sweep(folder, {"random": RANDOM, "margin": MARGIN})
    (folder / "entropy-seed0").mkdir()  # failed at once
    (folder / "entropy-seed0" / "error.txt").write_text("boom\n\nTraceback\n")
    plan = {"overrides": {"task": ["data=digits"]}}
    plan["sweeper"] = {"params": {"strategy": "random,margin,entropy,badge,k_center"}}
    file = tmp_path / "sweep" / "multirun.yaml"
    file.write_text(yaml.safe_dump({"hydra": plan}))
    expected = ["entropy-seed0 failed: boom", "was to have runs of badge and k_center, none of"]
    found = texts(make_report([tmp_path]))
    assert [part in text for part, text in zip(expected, found, strict=True)] == [True, True]
    assert texts(make_report([folder / "random-seed0"])) == []  # a part, as asked for
    plan["overrides"]["task"].append("strategy=choice(random, margin),custom")
    file.write_text(yaml.safe_dump({"hydra": plan}))
    assert len(texts(make_report([tmp_path / "sweep"]))) == 1
    file.write_text("{")
    assert len(texts(make_report([tmp_path / "sweep"]))) == 1


def test_strategies_that_are_not_paired_are_named_with_their_seeds(tmp_path):
    make_sweep(tmp_path, {"random": RANDOM})
    for seed, first in ((0, None), (1, [1, 2, 3, 4]), (2, [5, 6, 7, 8])):
        make_run(tmp_path / f"margin-{seed}", "margin", seed, MARGIN[seed], initial=first)
    assert texts(make_report([tmp_path]), "error") == [
        "margin does not start from the same labels as random with seeds 1 and 2: there they are "
        "not paired"
    ]


def test_an_initial_set_that_is_the_strategys_own_is_compared_with_a_warning(tmp_path):
    make_sweep(tmp_path, {"random": RANDOM})
    own = {"initial___target_": "activeloop.initial.by_strategy"}
    for seed in range(3):
        make_run(
            tmp_path / f"t-{seed}", "typiclust", seed, MARGIN[seed], initial=[7, 8, 9, 6], **own
        )
    report = make_report([tmp_path])
    assert problems(report) == [
        (
            "warning",
            "typiclust starts from another kind of initial set than random with seeds 0 to 2 "
            "(initial is by_strategy and random): what they differ by may come from that",
        )
    ]
    assert report.comparisons[0].strategies == ("random", "typiclust")


def test_runs_that_start_with_other_numbers_of_labels_are_not_compared(tmp_path):
    make_sweep(tmp_path, {"random": RANDOM, "margin": MARGIN})
    for seed in range(3):
        make_run(tmp_path / f"b{seed}", "badge", seed, MARGIN[seed], initial__size=8)
    report = make_report([tmp_path])
    assert [set(each.strategies) for each in report.comparisons] == [
        {"random", "margin"},
        {"badge"},
    ]
    assert texts(report) == [
        "digits: margin and random with seeds 0 to 2 cannot be compared with badge with seeds 0 to "
        "2: initial.size is 4 and 8"
    ]


def test_files_of_initial_labels_are_compared_seed_by_seed(tmp_path):
    for seed in range(2):
        for strategy in ("random", "margin"):
            path = f"{seed}.csv"
            make_run(tmp_path / f"{strategy}{seed}", strategy, seed, initial__path=path)
    assert len(make_report([tmp_path]).comparisons) == 1
    make_run(tmp_path / "badge", "badge", 0, initial__path="mine.csv")
    report = make_report([tmp_path])
    assert {"badge"} in [set(each.strategies) for each in report.comparisons]
    assert "initial.path" in texts(report, "warning")[0]


def test_other_answers_other_test_labels_and_other_weights_are_named(tmp_path):
    make_sweep(tmp_path, {"random": RANDOM})
    make_run(tmp_path / "a", "margin", 0, liar=True)
    make_run(tmp_path / "b", "margin", 1, test_labels=[0, 0, 1])
    make_run(tmp_path / "c", "margin", 2, [0.4, 0.6, 0.7])
    assert problems(make_report([tmp_path])) == [
        (
            "error",
            "margin was given other answers for the same samples than random with seed 0: there "
            "they are not paired",
        ),
        (
            "error",
            "not tested against the same labels as the other runs: margin with seed 1",
        ),
        (
            "warning",
            "margin has another loss on the same first labels than random with seed 2: there they "
            "are not paired",
        ),
    ]


def test_other_versions_are_named(tmp_path):
    make_run(tmp_path / "a", "random", 0)
    make_run(tmp_path / "b", "margin", 0, torch="2.12.0")
    (text,) = texts(make_report([tmp_path]))
    assert text.endswith("torch 2.11.0 (random) and 2.12.0 (margin)")


# -- which runs are compared -----------------------------------------------------------------------


def test_a_sweep_over_a_setting_is_a_comparison_for_each_value(tmp_path):
    for lr in (0.1, 0.01):
        sweep(tmp_path / f"{lr}", learner__lr=lr)
    report = make_report([tmp_path])
    assert texts(report) == []
    titles = [comparison.title for comparison in report.comparisons]
    assert titles == ["digits, learner.lr=0.01", "digits, learner.lr=0.1"]
    names = {comparison.name for comparison in report.comparisons}
    assert names == {"digits-learner.lr=0.01", "digits-learner.lr=0.1"}
    assert report.ranks is None  # one data set
    assert report.findings[0].startswith("digits, learner.lr=0.01: margin beats random")
    assert "learner.lr" in report.comparisons[0].settings
    assert "seed" not in report.comparisons[0].settings


def test_runs_that_were_meant_to_be_compared_and_cannot_be_are_named(tmp_path):
    make_sweep(tmp_path / "a", {"random": RANDOM})
    make_sweep(tmp_path / "b", {"margin": MARGIN}, learner__lr=0.1, query_size=8)
    report = make_report([tmp_path])
    assert len(report.comparisons) == 2
    (text,) = texts(report, "warning")
    assert text == (
        "digits: random with seeds 0 to 2 cannot be compared with margin with seeds 0 to 2: "
        "learner.lr is 0.01 and 0.1; query_size is 4 and 8"
    )


def test_seeds_that_were_run_with_another_setting_are_named(tmp_path):
    for seed, lr in ((0, 0.01), (1, 0.1)):
        for strategy in ("random", "margin"):
            make_run(tmp_path / f"{strategy}{seed}", strategy, seed, learner__lr=lr)
    (text,) = texts(make_report([tmp_path]))
    assert "margin and random with seed 0 cannot be compared with margin and random with" in text


def test_another_model_is_told_by_its_name_alone(tmp_path):
    make_sweep(tmp_path / "a", {"random": RANDOM})
    more = {"model___target_": "activeloop.models.lenet5", "model__width": 3}
    make_sweep(tmp_path / "b", {"random": RANDOM}, **more)
    titles = [comparison.title for comparison in make_report([tmp_path]).comparisons]
    assert titles == ["digits, model=cnn", "digits, model=lenet5"]


def test_data_that_changed_under_the_same_settings_are_an_error(tmp_path):
    make_sweep(tmp_path / "a", {"random": RANDOM})
    make_sweep(tmp_path / "b", {"random": RANDOM, "margin": MARGIN}, pool="bbbb")
    report = make_report([tmp_path])
    (text,) = texts(report, "error")
    assert "cannot be compared" in text
    assert "the data were changed between them (the fingerprints of pool are others)" in text
    titles = [comparison.title for comparison in report.comparisons]
    assert titles == ["digits, pool aaaa", "digits, pool bbbb"]


def test_where_the_same_data_lie_is_no_matter(tmp_path):
    make_sweep(tmp_path / "a", {"random": RANDOM})
    make_sweep(tmp_path / "b", {"margin": MARGIN}, data__root="elsewhere", measures=True)
    report = make_report([tmp_path])
    assert texts(report) == []
    assert len(report.comparisons[0].differences) == 1


def test_swept_options_of_a_strategy_are_in_its_name(tmp_path):
    make_sweep(tmp_path / "a", {"random": RANDOM, "margin": MARGIN})
    make_sweep(tmp_path / "b", {"margin": RANDOM}, strategy__temperature=2.0)
    (comparison,) = make_report([tmp_path]).comparisons
    assert comparison.strategies == (
        "random",
        "margin, strategy.temperature=1.0",
        "margin, strategy.temperature=2.0",
    )
    (comparison,) = make_report([tmp_path], baseline="margin, strategy.temperature=2.0").comparisons
    title = make_report([tmp_path]).title
    assert title.startswith("random, 'margin, strategy.temperature=1.0' and 'margin, strategy")
    assert comparison.strategies[0] == comparison.baseline == "margin, strategy.temperature=2.0"


def test_a_path_that_is_another_for_each_seed_is_no_other_strategy(tmp_path):
    make_sweep(tmp_path, {"random": RANDOM})
    for seed in range(3):
        make_run(tmp_path / f"r{seed}", "replay", seed, MARGIN[seed], strategy__path=f"m{seed}")
    assert make_report([tmp_path]).comparisons[0].strategies == ("random", "replay")


def test_an_option_that_is_another_for_each_seed_is_another_strategy(tmp_path):
    for seed in range(2):
        make_run(tmp_path / f"{seed}", "margin", seed, strategy__temperature=1.0 + seed)
    assert set(make_report([tmp_path]).comparisons[0].strategies) == {
        "margin, strategy.temperature=1.0",
        "margin, strategy.temperature=2.0",
    }


def test_initial_sets_of_one_strategy_are_compared_and_of_several_kept_apart(tmp_path):
    for size in (4, 2):
        make_sweep(tmp_path / f"{size}", {"random": RANDOM}, initial__size=size)
    (comparison,) = make_report([tmp_path]).comparisons
    assert set(comparison.strategies) == {"random, initial.size=2", "random, initial.size=4"}
    for size in (4, 2):
        make_sweep(tmp_path / f"{size}", {"margin": MARGIN}, initial__size=size)
    report = make_report([tmp_path])
    titles = [comparison.title for comparison in report.comparisons]
    assert titles == ["digits, initial.size=2", "digits, initial.size=4"]
    assert [comparison.baseline for comparison in report.comparisons] == ["random", "random"]


def test_the_baseline_that_is_not_there_is_told(tmp_path):
    make_sweep(tmp_path, {"margin": MARGIN, "entropy": RANDOM})
    report = make_report([tmp_path])
    (comparison,) = report.comparisons
    assert (comparison.baseline, comparison.differences) == (None, ())
    assert "there is no baseline 'random'" in texts(report, "warning")[0]
    (comparison,) = make_report([tmp_path], baseline="entropy").comparisons
    assert comparison.differences[0].strategy == "margin"
    with pytest.raises(ConfigError, match="'margn' to compare with: did you mean 'margin'"):
        make_report([tmp_path], baseline="margn")


def test_several_data_sets_give_ranks_and_one_penalty_matrix(tmp_path):
    sweep(tmp_path / "a")
    sweep(tmp_path / "b", data="mnist", pool="cccc")
    report = make_report([tmp_path])
    assert texts(report) == []
    assert [comparison.data for comparison in report.comparisons] == ["digits", "mnist"]
    assert report.ranks.strategies == ("margin", "random")
    assert report.ranks.ranks == (1.0, 2.0)
    assert report.penalties.data_sets == 2
    random, margin = (report.penalties.strategies.index(s) for s in ("random", "margin"))
    # Worse at 8 and at 12 of 3 label counts, on both data sets.
    assert report.penalties.matrix[random][margin] == pytest.approx(4 / 3)
    assert report.penalties.matrix[margin][random] == 0
    # With two strategies on two data sets: 1.96 * sqrt(2 * 3 / (6 * 2)).
    assert report.findings[0].startswith("digits: margin beats random")
    assert report.findings[-1] == (
        "mean ranks over digits and mnist, 1 is best: margin 1.0, random 2.0; their greatest "
        "difference, 1.00, does not exceed the critical one of 1.39, so that they tell none from "
        "another"
    )
    for number in range(2):
        sweep(tmp_path / f"c{number}", data=f"cifar{number}", pool=f"dddd{number}")
    first = make_report([tmp_path]).findings[0]
    assert first.endswith("their greatest difference, 1.00, exceeds the critical one of 0.98")


def test_two_data_sets_of_one_name_are_two(tmp_path):
    sweep(tmp_path / "a", data__imbalance=1.0)
    sweep(tmp_path / "b", data__imbalance=10.0, pool="bbbb")
    report = make_report([tmp_path])
    assert report.ranks.data_sets == ("digits, data.imbalance=1.0", "digits, data.imbalance=10.0")
    assert report.penalties.data_sets == 2


def test_ranks_and_penalties_are_of_comparisons_that_differ_by_data_alone(tmp_path):
    for data in ("digits", "mnist"):
        of_data = {"data": data, "pool": data}
        courses = {"random": MARGIN, "margin": RANDOM, "random_again": RANDOM}
        make_sweep(tmp_path / f"{data}-a", courses, **of_data)
    # Random does badly with the other learner, which does not make it worse than margin.
    bad = {"random": [(0.1, 0.2, 0.2)] * 3, "margin": [(0.1, 0.1, 0.2)] * 3}
    make_sweep(tmp_path / "digits-b", bad | {"entropy": RANDOM}, pool="digits", learner__lr=0.1)
    report = make_report([tmp_path])
    assert (report.ranks.strategies, report.ranks.ranks) == (("random", "margin"), (1.0, 2.0))
    assert len(report.ranks.data_sets) == report.penalties.data_sets == 2
    assert set(report.penalties.strategies) == {"random", "margin"}
    # Where the other learner was on both, no data set may count twice.
    make_sweep(tmp_path / "mnist-b", bad, data="mnist", pool="mnist", learner__lr=0.1)
    report = make_report([tmp_path])
    assert (report.ranks, report.penalties) == (None, None)
    (text,) = [each for each in texts(report, "warning") if "no ranks" in each]
    assert "('digits, learner.lr=0.01' and 'mnist, learner.lr=0.01'; 'digits" in text


# -- the same again --------------------------------------------------------------------------------


def test_the_same_runs_elsewhere_and_later_give_the_same_report(tmp_path):
    first = make_report([sweep(tmp_path / "one")])
    make_sweep(tmp_path / "other", {"margin": MARGIN, "random": RANDOM})
    again = make_report([tmp_path / "other" / "margin-seed0", tmp_path / "other"])
    assert [run.directory for run in again.runs] == [run.directory for run in first.runs]
    made = {"made": ""}
    assert as_json(dataclasses.replace(again, **made)) == as_json(
        dataclasses.replace(first, **made)
    )


def test_stops_and_pictures_are_of_the_runs_that_count(tmp_path, monkeypatch):
    def gone(run):
        raise DataError("the disk is gone")

    monkeypatch.setattr("activeloop.reloading.reload", gone)
    sweep(tmp_path)
    make_run(tmp_path / "random-seed3", "random", 3, [0.5, 0.9], ended=None)
    (comparison,) = make_report([tmp_path], pictures_from=36.0).comparisons  # 6 runs of 6 seconds
    assert {(stop.strategy, stop.of) for stop in comparison.stops} == {("random", 3), ("margin", 3)}
    assert comparison.pictures.missing[0].endswith("the disk is gone")
    assert comparison.pictures.overlap.strategies == ("random", "margin")
    assert make_report([tmp_path], pictures_from=36.1).comparisons[0].pictures is None
