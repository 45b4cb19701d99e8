import math
from dataclasses import replace

import numpy as np
import pytest

from activeloop.report.differences import differences, words
from activeloop.report.document import Difference, Estimate
from activeloop.report.statistics import holm, paired


def by_seed(values, first=0):
    return dict(enumerate(values, start=first))


def said(values, baseline):
    (found,) = differences({"random": by_seed(baseline), "margin": by_seed(values)}, "random")
    return found.words


def areas(seed=0, n=6):
    rng = np.random.default_rng(seed)
    random = rng.normal(0.8, 0.02, n)
    shifts = {"random": 0, "margin": 0.03, "entropy": -0.02, "coreset": 0.004}
    return {
        name: by_seed(random + shift + rng.normal(0, 0.01 if shift else 0, n))
        for name, shift in shifts.items()
    }


def test_every_other_strategy_is_paired_with_the_baseline_and_corrected_for_all():
    values = areas()
    found = differences(values, "random")
    assert [d.strategy for d in found] == ["margin", "entropy", "coreset"]
    alone = [
        paired(list(values[d.strategy].values()), list(values["random"].values())) for d in found
    ]
    assert [d.estimate for d in found] == [each.estimate for each in alone]
    assert [d.p for d in found] == [each.p for each in alone]
    assert [d.p_holm for d in found] == list(holm([each.p for each in alone]))
    assert [d.wilcoxon_p for d in found] == [each.wilcoxon_p for each in alone]
    assert [d.wilcoxon_least for d in found] == [2**-5] * 3
    assert [d.settled for d in found] == [True, True, False]
    assert [d.seeds_needed for d in found[:2]] == [None, None]
    assert found[2].seeds_needed == alone[2].seeds_needed > 6


def test_only_seeds_that_both_have_are_compared():
    values = areas()
    found = differences(values | {"margin": values["margin"] | {99: 0.1}}, "random")
    assert found == differences(values, "random")
    shuffled = dict(reversed(values["margin"].items()))
    assert differences(values | {"margin": shuffled}, "random") == found


def test_who_wins_and_who_loses_is_said_in_points_with_the_interval():
    baseline = np.linspace(0.7, 0.8, 10)
    gains = np.array([3.0, 4.0] * 5) / 100
    # mean 3.5, standard deviation 0.527, t(0.975, 9) = 2.262: 3.5 +- 0.377
    assert said(baseline + gains, baseline) == (
        "margin beats random by 3.5 points of area (95% 3.1 to 3.9, 10 seeds, p < 0.001)"
    )
    assert said(baseline - gains, baseline) == (
        "margin loses to random by 3.5 points of area (95% 3.1 to 3.9, 10 seeds, p < 0.001)"
    )


def test_a_small_difference_is_not_said_to_be_0():
    baseline = np.linspace(0.7, 0.8, 4)
    gains = np.array([0.03, 0.05, 0.04, 0.04]) / 100
    # t = 0.04 / (0.00816 / 2) = 9.80, p = 0.0023; half of the interval 3.182 * 0.00408
    assert said(baseline + gains, baseline) == (
        "margin beats random by 0.04 points of area (95% 0.03 to 0.05, 4 seeds, p = 0.002)"
    )


def test_what_is_settled_by_little_does_not_read_as_if_it_were_not():
    estimate = Estimate(mean=0.0105, low=0.0004, high=0.0206, n=5)
    found = Difference(
        strategy="margin",
        baseline="random",
        estimate=estimate,
        p=0.04996,
        p_holm=0.04996,
        wilcoxon_p=None,
        wilcoxon_least=None,
        seeds_needed=None,
        settled=True,
        words="",
    )
    assert words(found) == (
        "margin beats random by 1.05 points of area (95% 0.04 to 2.06, 5 seeds, p = 0.04996)"
    )
    barely = replace(found, p_holm=math.nextafter(0.05, 0))
    assert words(barely).endswith("p just below 0.05)")
    taken_back = replace(found, settled=False, p=0.0251, p_holm=0.0502)
    assert words(taken_back).endswith("(p = 0.025 alone, p = 0.050 corrected)")


def test_what_is_not_settled_names_the_seeds_that_would_settle_it():
    baseline = np.linspace(0.7, 0.8, 6)
    gains = np.array([-1, 0, 1, 1, 2, 0]) / 100  # d = 0.5 / 1.0488: 7.85 / d^2 + 2 = 36.5
    assert said(baseline + gains, baseline) == (
        "margin: not distinguishable from random with 6 seeds "
        "(about 37 would settle one like this with 80% power, uncorrected)"
    )
    gains = np.array([-1, 1.001] * 3) / 100
    assert said(baseline + gains, baseline) == (
        "margin: not distinguishable from random with 6 seeds "
        "(one as small as this would take over 1,000 for 80% power, uncorrected)"
    )
    gains = np.array([-1, 1] * 3) / 100
    assert said(baseline + gains, baseline) == (
        "margin: not distinguishable from random with 6 seeds"
    )


def test_what_only_the_correction_takes_back_is_said_so():
    baseline = np.linspace(0.7, 0.8, 5)
    gains = np.array([0, 1, 2, 3, 1]) / 100  # t = 1.4 / (1.140 / sqrt(5)) = 2.746, p = 0.0516
    gains += 0.002  # t = 3.138, p = 0.0349
    values = {"random": by_seed(baseline), "margin": by_seed(baseline + gains)}
    values["entropy"] = by_seed(baseline + np.array([1, -1, 1, -1, 0.5]) / 100)
    found = differences(values, "random")[0]
    assert not found.settled
    assert found.seeds_needed is None
    assert found.words == (
        "margin: not distinguishable from random with 5 seeds once corrected for the other "
        "comparisons (p = 0.035 alone, p = 0.070 corrected)"
    )


def test_the_same_difference_or_none_with_every_seed_is_said_so():
    assert said([0.5, 0.6, 0.7], [0.4, 0.5, 0.6]) == (
        "margin beats random by 10.0 points of area (the same with each of 3 seeds)"
    )
    assert said([0.5, 0.6], [0.5, 0.6]) == "margin: the same area as random with each of 2 seeds"


def test_one_seed_tells_nothing_and_no_pair_less():
    assert said([0.9], [0.1]) == "margin: one seed tells nothing of how it compares with random"
    values = {"random": by_seed([0.5, 0.6]), "margin": by_seed([0.7, 0.8], first=2)}
    (found,) = differences(values, "random")
    assert found.words == "margin: no seed in common with random, so nothing to compare"
    assert (found.p, found.settled, found.estimate.n) == (None, False, 0)


def test_an_area_that_is_no_number_is_no_finding():
    assert said([0.9, math.nan], [0.1, 0.1]) == (
        "margin: not comparable with random, for an area is not finite"
    )


def test_a_strategy_without_pairs_does_not_count_in_the_correction():
    values = areas()
    more = differences(values | {"late": {50: 0.5}, "once": {0: 0.5}}, "random")
    assert more[:3] == differences(values, "random")


def test_a_baseline_alone_has_no_differences():
    assert differences({"random": by_seed([0.5, 0.6])}, "random") == ()


@pytest.mark.parametrize("seed", range(5))
def test_settled_and_the_interval_never_contradict_each_other(seed):
    for found in differences(areas(seed), "random"):
        if found.settled:
            assert found.estimate.low > 0 or found.estimate.high < 0
        elif found.seeds_needed is not None:
            assert found.seeds_needed > found.estimate.n
