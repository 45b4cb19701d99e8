import importlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from activeloop.report.statistics import (
    estimate,
    holm,
    paired,
    paired_differences,
    seeds_needed,
    t_test,
    wilcoxon,
)

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"
accuracies = st.floats(0, 1, allow_subnormal=False)


def noisy(n, shift=0.01, seed=0):
    rng = np.random.default_rng([n, seed])
    baseline = rng.normal(0.8, 0.02, n)
    return baseline + rng.normal(shift, 0.01, n), baseline


# -- intervals -----------------------------------------------------------------------------------


def test_an_interval_by_hand():
    found = estimate([3, 1, 2])
    # t(0.975, 2) = 4.302653, standard deviation 1
    assert (found.mean, found.n) == (2, 3)
    assert found.high - found.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert found.mean - found.low == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)


@pytest.mark.parametrize("n", [2, 5, 10, 100])
def test_an_interval_is_scipys(n):
    values, _ = noisy(n)
    found = estimate(values)
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)


@pytest.mark.parametrize("value", [0.1, 0.0, 1 / 3, 1e-9])
def test_equal_values_have_an_interval_of_width_0_at_that_value(value):
    found = estimate([value] * 7)
    assert (found.low, found.mean, found.high) == (value, value, value)


def test_one_value_has_no_interval_and_none_has_no_mean():
    found = estimate([0.7])
    assert (found.mean, found.low, found.high, found.n) == (0.7, None, None, 1)
    found = estimate([])
    assert math.isnan(found.mean)
    assert (found.low, found.high, found.n) == (None, None, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_not_left_out_of_the_mean(bad):
    found = estimate([0.7, bad, 0.8])
    assert math.isnan(found.mean)
    assert (found.low, found.high, found.n) == (None, None, 3)


@settings(max_examples=50)
@given(st.lists(accuracies, min_size=2, max_size=12), st.randoms())
def test_an_interval_does_not_depend_on_the_order_and_holds_the_mean(values, chance):
    found = estimate(values)
    shuffled = list(values)
    chance.shuffle(shuffled)
    assert estimate(shuffled) == found
    assert found.low <= found.mean <= found.high


@pytest.mark.parametrize("seeds", [5, 10, 20])
def test_intervals_hold_the_truth_as_often_as_they_say(monkeypatch, seeds):
    monkeypatch.syspath_prepend(SCRIPTS)
    simulation = importlib.import_module("coverage_of_intervals")
    found = simulation.coverage(seeds, repeats=3000, skewed=False)
    assert 0.93 < found.area < 0.97
    assert 0.93 < found.difference < 0.97


# -- paired tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 10, 20])
def test_paired_tests_are_scipys(n):
    values, baseline = noisy(n)
    found = paired(values, baseline)
    assert found.p == pytest.approx(stats.ttest_rel(values, baseline).pvalue, rel=1e-8)
    exact = stats.wilcoxon(values - baseline, method="exact").pvalue
    assert found.wilcoxon_p == pytest.approx(exact, rel=1e-10)
    interval = stats.ttest_rel(values, baseline).confidence_interval(0.95)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(tuple(interval), rel=1e-8)
    assert found.seeds_needed == seeds_needed(values - baseline)


@pytest.mark.parametrize(("n", "least"), [(2, 0.5), (5, 0.0625), (10, 0.001953125)])
def test_the_least_p_of_wilcoxon_is_that_of_differences_of_one_sign(n, least):
    found = paired(np.arange(1.0, n + 1), np.zeros(n))
    assert found.wilcoxon_least == least
    assert found.wilcoxon_p == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize(
    "differences",
    [[1, 1, 1, -1], [0.5, 0, -0.5, 2, 2, 3], [0, 0, 1], [3, -1, -1, 2, 2, -4, 1], [-2, 0]],
)
def test_wilcoxon_is_exact_with_ties_and_leaves_zeros_out(differences):
    kept = np.array([d for d in differences if d])
    ranks = stats.rankdata(abs(kept))
    middle = ranks.sum() / 2
    seen = abs(ranks[kept > 0].sum() - middle)
    sums = [np.dot(signs, ranks) for signs in itertools.product([0, 1], repeat=len(kept))]
    by_hand = np.mean([abs(each - middle) >= seen for each in sums])
    assert wilcoxon(differences) == pytest.approx(by_hand, rel=1e-12)


def test_no_difference_at_all_has_p_1():
    found = paired([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (found.p, found.wilcoxon_p, found.seeds_needed) == (1.0, 1.0, None)
    assert (found.estimate.low, found.estimate.mean, found.estimate.high) == (0, 0, 0)


def test_the_same_difference_with_every_seed_has_p_0_whatever_float64_makes_of_it():
    found = paired([0.3, 0.4, 0.7], [0.2, 0.3, 0.6])  # 0.09999999999999998 and other tenths
    assert found.p == 0.0
    assert (found.estimate.low, found.estimate.mean, found.estimate.high) == (0.1, 0.1, 0.1)
    assert found.wilcoxon_p == 0.25
    assert found.seeds_needed == 2


@pytest.mark.parametrize("scale", [1e-300, 1e-6, 1, 1000, 1e9])
def test_what_float64_adds_is_no_difference(scale):
    left = np.array([0.1 + 0.2, 0.7 + 0.1, 1.1 * 1.1]) * scale
    right = np.array([0.3, 0.8, 1.21]) * scale
    assert (left != right).any()
    assert paired_differences(left, right).tolist() == [0, 0, 0]
    assert paired(left, right).p == 1.0


def test_small_differences_of_large_numbers_are_kept():
    assert paired_differences([1e6 + 1e-3, 5], [1e6, 4]).tolist() == pytest.approx([1e-3, 1])


def test_one_pair_and_none_have_no_test():
    for pairs in ([], [0.5]):
        found = paired(pairs, pairs)
        assert (found.p, found.wilcoxon_p, found.wilcoxon_least) == (None, None, None)
        assert (found.seeds_needed, found.estimate.low, found.estimate.n) == (
            None,
            None,
            len(pairs),
        )


def test_a_value_that_is_no_number_leaves_no_test():
    found = paired([0.5, math.nan, 0.6], [0.4, 0.5, 0.5])
    assert (found.p, found.wilcoxon_p, found.seeds_needed) == (None, None, None)
    assert math.isnan(found.estimate.mean)
    assert t_test([0.1, math.inf]) is None


@pytest.mark.parametrize(("values", "baseline"), [([1, 2], [1]), ([1], [1, 2]), ([[1]], [[1]])])
def test_values_that_are_no_pairs_are_refused(values, baseline):
    with pytest.raises(ValueError, match="of one length, got shapes"):
        paired(values, baseline)


@settings(max_examples=50)
@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=10))
def test_swapping_the_sides_changes_the_sign_only(pairs):
    ours, theirs = zip(*pairs, strict=True)
    one, two = paired(ours, theirs), paired(theirs, ours)
    assert one.estimate.mean == pytest.approx(-two.estimate.mean, abs=1e-15)
    assert (one.p, one.wilcoxon_p) == pytest.approx((two.p, two.wilcoxon_p), rel=1e-6)
    assert 0 <= one.p <= 1
    assert one.wilcoxon_p <= 1


# -- several comparisons ---------------------------------------------------------------------------


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, None, 0.02]) == pytest.approx((0.6, None, 0.04))
    assert holm([0.7, 0.6]) == (1.0, 1.0)
    assert holm([None, None]) == (None, None)
    assert holm([]) == ()


@settings(max_examples=50)
@given(st.lists(st.none() | accuracies, max_size=12))
def test_holm_keeps_the_order_and_never_makes_a_p_smaller(ps):
    corrected = holm(ps)
    assert [p is None for p in corrected] == [p is None for p in ps]
    pairs = sorted((p, c) for p, c in zip(ps, corrected, strict=True) if p is not None)
    assert all(p <= c <= 1 for p, c in pairs)
    assert all(one[1] <= two[1] for one, two in itertools.pairwise(pairs))
    if pairs:
        assert pairs[0][1] == min(1, pairs[0][0] * len(pairs))
        assert pairs[-1][1] == max(pairs[-1][0], *(c for _, c in pairs))


# -- how many seeds --------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "n"), [(1, 10), (-1, 10), (0.5, 34), (0.1, 787), (100, 3)])
def test_seeds_needed_by_hand(d, n):
    assert seeds_needed([d - 1, d, d + 1]) == n  # standard deviation 1


@pytest.mark.parametrize("d", [0.2, 0.5, 1.0, 1.5])
def test_seeds_needed_give_a_power_of_about_80_percent(d):
    n = seeds_needed([d - 1, d, d + 1])
    critical = stats.t.ppf(0.975, n - 1)
    power = stats.nct.sf(critical, n - 1, d * math.sqrt(n))
    assert 0.78 < power < 0.87


def test_seeds_needed_are_not_known_without_a_difference():
    assert seeds_needed([-1, 1]) is None
    assert seeds_needed([0.1, 0.7, 0.3, -0.1, -0.7, -0.3]) is None  # though float64 sums to 1e-17
    assert seeds_needed([0, 0, 0]) is None
    assert seeds_needed([0.1]) is None
    assert seeds_needed([]) is None
    assert seeds_needed([0.1, math.nan]) is None
