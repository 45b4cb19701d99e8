"""Stopping rules as functions of rounds, alone and combined, by name and by config."""

import inspect
import logging

import pytest
import yaml
from fakes import CentroidLearner, blobs

from activeloop import ActiveLoop, SimulatedOracle, load_strategy
from activeloop.config import config_dir
from activeloop.errors import ConfigError, DataError
from activeloop.stopping import RULES, AllOf, AnyOf, Kappa, Plateau, Target, from_config, load_rule
from activeloop.types import Round


def rounds(**metrics):
    """Return rounds of 20, 30, ... labels; a metric's None is one that a round does not have."""
    length = max(map(len, metrics.values()), default=1)
    return [
        Round(
            round=n,
            labels=20 + 10 * n,
            classes=3,
            metrics={k: v[n] for k, v in metrics.items() if v[n] is not None},
        )
        for n in range(length)
    ]


def stops_at(rule, given):
    """Return how many rounds there are when `rule` first says stop; None: it never does."""
    return next((n for n in range(1, len(given) + 1) if rule(given[:n])), None)


# -- each by hand --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "stop"),
    [
        ({}, 5),
        ({"threshold": 0.98}, 4),
        ({"threshold": 0.98, "window": 2}, 4),
        ({"threshold": 0.97, "window": 2}, 3),
        ({"window": 1}, 4),
        ({"threshold": 1.0}, None),
    ],
)
def test_kappa_is_a_mean_over_a_window(options, stop):
    # Means of three: .983, .991, .991; of two: .975, .99, .9965, .9865.
    agreements = rounds(kappa=[None, 0.97, 0.98, 1.0, 0.993, 0.98])
    assert stops_at(load_rule("kappa", **options), agreements) == stop


def test_rules_wait_for_a_full_window():
    agreements = rounds(kappa=[None, 1.0, 1.0, 1.0])
    assert stops_at(Kappa(), agreements) == 4
    assert stops_at(Kappa(threshold=1.0), agreements) == 4
    assert stops_at(Kappa(window=4), agreements) is None
    # A round without the metric, or with none that is a number, breaks the window.
    for hole in (None, float("nan")):
        broken = rounds(kappa=[None, 1.0, hole, 1.0, 1.0, 1.0])
        assert stops_at(Kappa(), broken) == 6


def test_overall_uncertainty_and_classification_change():
    given = rounds(overall_uncertainty=[0.5, 0.2, 0.05, 0.01])
    assert stops_at(load_rule("overall_uncertainty"), given) == 3
    assert stops_at(load_rule("overall_uncertainty", threshold=0.2), given) == 2
    assert stops_at(load_rule("overall_uncertainty", threshold=0.2, window=3), given) == 4
    given = rounds(classification_change=[None, 0.1, 0.02, 0.0])
    assert stops_at(load_rule("classification_change"), given) == 4
    assert stops_at(load_rule("classification_change", threshold=0.02), given) == 3
    assert stops_at(load_rule("classification_change", threshold=0.07, window=2), given) == 3


def test_a_performance_difference_must_be_low_in_each_of_the_last_rounds():
    given = rounds(performance_difference=[None, 0.3, 0.02, 0.01, 0.03, 0.0, 0.02, 0.01])
    assert stops_at(load_rule("performance_difference"), given) == 8
    assert stops_at(load_rule("performance_difference", window=2), given) == 4
    assert stops_at(load_rule("performance_difference", threshold=0.03), given) == 5


def test_a_plateau_is_a_gain_over_a_window():
    given = rounds(accuracy=[0.5, 0.7, 0.8, 0.9, 0.85, 0.802, 0.8, 0.95])
    assert stops_at(Plateau(), given) == 6  # .802 after .8
    assert stops_at(Plateau(gain=0.002), given) == 7
    assert stops_at(Plateau(gain=0.16), given) == 5
    assert stops_at(Plateau(window=1), given) == 5
    assert stops_at(Plateau(), given[:3]) is None


def test_budget_and_target():
    given = rounds(accuracy=[0.5, 0.95, 0.9])
    assert stops_at(load_rule("budget", labels=35), given) == 3
    assert stops_at(load_rule("budget", labels=30), given) == 2
    assert stops_at(Target(), given) == 2
    assert stops_at(Target(0.96), given) is None


# -- combined ------------------------------------------------------------------------------------

COURSE = {
    "accuracy": [0.5, 0.9, 0.9, 0.9, 0.9],
    "kappa": [None, 0.9, 1.0, 1.0, 1.0],
    "overall_uncertainty": [0.5, 0.04, 0.2, 0.04, 0.04],
}


def test_any_stops_with_the_first_and_all_when_all_agree():
    given = rounds(**COURSE)
    assert stops_at(AnyOf(["kappa", "overall_uncertainty"]), given) == 2
    assert stops_at(AllOf(["kappa", "overall_uncertainty"]), given) == 5
    early = {"name": "kappa", "window": 1}
    assert stops_at(AllOf([early, "overall_uncertainty"]), given) == 4
    assert stops_at(AnyOf([early, {"name": "budget", "labels": 60}]), given) == 3
    assert AnyOf(["kappa", "overall_uncertainty"])(given[:2]) == (
        "stopping=overall_uncertainty: overall_uncertainty is 0.04, at most 0.05"
    )
    assert " and stopping=overall_uncertainty: " in AllOf(["kappa", "overall_uncertainty"])(given)


def test_rules_of_rules_and_of_ones_own():
    given = rounds(**COURSE)
    inner = {"name": "all", "rules": ["kappa", "overall_uncertainty"]}
    assert stops_at(AnyOf([inner, Target(0.99)]), given) == 5

    def third(rounds):
        return "the third" if len(rounds) == 3 else None

    assert AnyOf([inner, third])(given[:3]) == "the third"
    node = {"_target_": "activeloop.stopping.AnyOf", "rules": [{"_target_": f"{__name__}.patient"}]}
    assert stops_at(from_config(node), given) == 4
    node["rules"][0]["rounds_at_least"] = 2
    assert stops_at(from_config(node), given) == 2
    assert from_config(node).needs == frozenset()


def patient(rounds, rounds_at_least=4):
    """A rule as a user writes one."""
    return "enough" if len(rounds) >= rounds_at_least else None


# -- by name and config --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: load_rule("kapa"), "unknown stopping rule 'kapa': did you mean 'kappa'"),
        (lambda: load_rule("xyz"), "choose one of none, budget, target"),
        (lambda: load_rule("kappa", treshold=0.9), "no option 'treshold': did you mean 'thresh"),
        (lambda: load_rule("none", labels=3), "no option 'labels': it takes none"),
        (lambda: AnyOf(["kappa", "platau"]), "did you mean 'plateau'"),
        (lambda: AllOf([{"name": "kappa", "windw": 2}]), "did you mean 'window'"),
        (lambda: AnyOf([{"threshold": 2}]), "a stopping rule needs a name"),
        (lambda: AnyOf([]), "stopping.rules must be a list of at least one"),
        (lambda: AnyOf("kappa"), "stopping.rules must be a list of at least one"),
        (lambda: AnyOf([3]), "must be a name or a callable, got 3"),
        (lambda: load_rule("kappa", threshold=1.5), "stopping.threshold must be a number at least"),
        (lambda: load_rule("kappa", window=0), "stopping.window must be a whole number"),
        (lambda: load_rule("plateau", gain="x"), "stopping.gain must be a number"),
        (lambda: load_rule("budget", labels=0.5), "stopping.labels must be a whole number"),
        (lambda: from_config({"_target_": "no_such.rule"}), "cannot import no_such.rule"),
        (lambda: from_config({"_target_": f"{__name__}.no_rule"}), "should take the rounds so far"),
    ],
)
def test_what_is_misspelt_or_makes_no_sense(made, message):
    with pytest.raises(ConfigError, match=message):
        made()


def no_rule():
    """Takes nothing."""


def test_every_rule_has_a_config_that_names_it_and_its_options():
    folder = config_dir() / "stopping"
    assert {path.stem for path in folder.glob("*.yaml")} == {*RULES, "custom"}
    for name, rule in RULES.items():
        text = (folder / f"{name}.yaml").read_text()
        node = yaml.safe_load(text)
        assert node.pop("_target_") == f"activeloop.stopping.{rule.__name__}"
        parameters = inspect.signature(rule).parameters.values()
        assert node == {p.name: "???" if p.default is p.empty else p.default for p in parameters}
        for line in text.splitlines()[1:]:
            assert line.startswith("_target_") or " # " in line
        if "???" not in node.values():
            assert str(load_rule(name)).startswith(f"{name}(")


# -- in a run ------------------------------------------------------------------------------------


def run(stopping, seed=1, count=12, labelled=True, **options):
    data, hidden = blobs()
    test = {"test_labels": hidden.test} if labelled else {}
    loop = ActiveLoop(
        data,
        CentroidLearner(),
        load_strategy("margin"),
        initial=6,
        query_size=5,
        rounds=count,
        seed=seed,
        stopping=stopping,
        **test,
        **options,
    )
    loop.run(SimulatedOracle(hidden.pool))
    return loop


def test_a_rule_ends_a_run_and_says_why():
    loop = run([Kappa(threshold=0.8, window=2)])
    assert 2 < len(loop.rounds) < 13
    mean = (loop.rounds[-1].metrics["kappa"] + loop.rounds[-2].metrics["kappa"]) / 2
    assert mean >= 0.8
    assert loop.ended == f"stopping=kappa: kappa_mean_2 is {mean:.4g}, at least 0.8"


def test_what_a_rule_compares_is_logged_each_round(caplog, monkeypatch):
    logger = logging.getLogger("activeloop.run")
    monkeypatch.setattr(logger, "propagate", True)  # a command line run before may have changed it
    monkeypatch.setattr(logger, "disabled", False)
    budget = {"name": "budget", "labels": 90}
    rules = [Kappa(threshold=1.0), Plateau(gain=0.0, window=2), "classification_change", budget]
    with caplog.at_level("INFO", logger="activeloop.run"):
        loop = run([AnyOf(rules), patient], count=5)
    assert len(loop.rounds) == 4  # a rule that is a plain function works beside them
    for n, round in enumerate(loop.rounds):
        agreements = [r.metrics["kappa"] for r in loop.rounds[n - 2 : n + 1]] if n > 2 else []
        if n > 2:
            assert round.metrics["kappa_mean_3"] == pytest.approx(sum(agreements) / 3)
        else:
            assert "kappa_mean_3" not in round.metrics
        gain = round.metrics["accuracy"] - loop.rounds[n - 2].metrics["accuracy"]
        assert round.metrics.get("accuracy_gain_2") == (gain if n > 1 else None)
        assert "labels" not in round.metrics  # it is beside them
    value = loop.rounds[3].metrics["kappa_mean_3"]
    assert (
        f"stopping after round 3: kappa_mean_3 is {value:.4g}, to stop: at least 1" in caplog.text
    )
    assert "stopping after round 2: kappa_mean_3 is not known yet" in caplog.text
    assert "stopping after round 1: classification_change is " in caplog.text


@pytest.mark.parametrize(
    ("stopping", "options", "error", "message"),
    [
        (["target"], {"labelled": False}, DataError, "stopping=target needs accuracy"),
        (["plateau"], {"labelled": False}, DataError, "test samples with labels"),
        (["kappa"], {"stop_set": 0}, ConfigError, "stopping=kappa needs kappa.*set stop_set=1000"),
        (["budget", "overall_uncertainty"], {"stop_set": 0}, ConfigError, "stop_set is 0"),
    ],
)
def test_a_rule_that_the_run_cannot_have_is_an_error_before_anything_is_trained(
    tmp_path, monkeypatch, stopping, options, error, message
):
    monkeypatch.setattr(CentroidLearner, "fit", lambda *_: pytest.fail("it was trained"))
    for rules in ([load_rule(name) for name in stopping], [AnyOf(stopping)], [AllOf(stopping)]):
        with pytest.raises(error, match=message):
            run(rules, directory=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_rules_without_labels_need_no_test_set():
    assert run([Kappa(threshold=0.5)], labelled=False).ended.startswith("stopping=kappa")
