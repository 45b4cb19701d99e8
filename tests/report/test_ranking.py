import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from activeloop.report.ranking import penalty_matrix, ranks


def by_seed(values):
    return dict(enumerate(values))


# -- penalty matrix --------------------------------------------------------------------------------


def test_who_loses_has_the_penalties_in_its_row():
    best, worst = [0.90, 0.91, 0.92, 0.90, 0.91], [0.80, 0.82, 0.81, 0.80, 0.83]
    found = penalty_matrix(
        [
            {
                "worst": {n: by_seed(worst) for n in (10, 20)},
                "best": {n: by_seed(best) for n in (10, 20)},
            }
        ]
    )
    assert found.strategies == ("worst", "best")
    assert found.matrix == ((0, 1), (0, 0))  # row of the worst, column of the best
    assert found.data_sets == 1


def test_a_worked_example():
    """Differences of 5 seeds, t = sqrt(5) mean / standard deviation against 2.776.

    MNIST, a - b: at 10 labels 0; at 20 labels 1, 2, 3, 4, 5 points, t = 4.24; at 40 labels
    -1, 0, 1, 2, 3, t = 1.41; at 80 labels -3, -2, -2, -2, -1, t = -6.32.
    MNIST, c is 1 point below b everywhere: the same with every seed, so significant.
    Then c - a: as b - a less 1: at 10 labels c loses; at 20 labels -2, ..., -6, t = -5.66; at 40
    labels 0, -1, ..., -4, t = -2.83; at 80 labels 2, 1, 1, 1, 0, t = 3.16.
    CIFAR: a and b only, at 10 and 20 labels, a loses at the second.
    """
    b = np.array([0.5, 0.52, 0.54, 0.56, 0.58])
    gains = {10: [0] * 5, 20: [1, 2, 3, 4, 5], 40: [-1, 0, 1, 2, 3], 80: [-3, -2, -2, -2, -1]}
    mnist = {
        "a": {n: by_seed(b + np.array(gain) / 100) for n, gain in gains.items()},
        "b": {n: by_seed(b) for n in gains},
        "c": {n: by_seed(b - 0.01) for n in gains},
    }
    cifar = {
        "a": {10: by_seed(b), 20: by_seed(b - 0.03)},
        "b": {10: by_seed(b), 20: by_seed(b)},
    }
    assert penalty_matrix([mnist]).matrix == (
        (0, 1 / 4, 1 / 4),  # a loses to both at 80
        (1 / 4, 0, 0),  # b loses to a at 20
        (3 / 4, 1, 0),
    )
    both = penalty_matrix([mnist, cifar])
    assert both.matrix == ((0, 1 / 4 + 1 / 2, 1 / 4), (1 / 4, 0, 0), (3 / 4, 1, 0))
    assert both.data_sets == 2


@pytest.mark.parametrize("seed", range(20))
def test_five_seeds_are_told_apart_by_the_papers_threshold(seed):
    rng = np.random.default_rng(seed)
    one, two = 0.5 + rng.normal(0, 0.05, 5), 0.55 + rng.normal(0, 0.05, 5)
    t = math.sqrt(5) * (one - two).mean() / (one - two).std(ddof=1)
    found = penalty_matrix([{"one": {10: by_seed(one)}, "two": {10: by_seed(two)}}])
    assert found.matrix == ((0, float(t < -2.776)), (float(t > 2.776), 0))


def test_only_seeds_that_both_have_are_paired_and_too_few_are_no_test():
    one = {10: {0: 0.1, 1: 0.2, 2: 0.9}, 20: {0: 0.1}, 30: {0: 0.5, 1: 0.6}}
    two = {10: {0: 0.2, 1: 0.3, 3: 0.0}, 20: {0: 0.2}, 40: {0: 0.5, 1: 0.6}}
    assert penalty_matrix([{"one": one, "two": two}]).matrix == ((0, 1), (0, 0))
    assert penalty_matrix([{"one": one, "two": two}], least_seeds=3) is None
    assert penalty_matrix([{"one": one}]) is None
    assert penalty_matrix([]) is None


def test_equal_runs_take_no_penalty_but_count_as_label_counts():
    same, less = by_seed([0.5, 0.6]), by_seed([0.4, 0.5])
    found = penalty_matrix([{"one": {10: same, 20: same}, "two": {10: same, 20: less}}])
    assert found.matrix == ((0, 0), (0.5, 0))


values = st.lists(st.sampled_from([0.1, 0.2, 0.5]), min_size=3, max_size=3).map(by_seed)
runs = st.dictionaries(st.sampled_from([10, 20, 30]), values, max_size=3)
data_sets = st.lists(st.dictionaries(st.sampled_from("abc"), runs, max_size=3), max_size=3)


@settings(max_examples=40)
@given(data_sets)
def test_a_data_set_adds_at_most_1_to_a_pair(data_sets):
    found = penalty_matrix(data_sets)
    if found is not None:
        matrix = np.array(found.matrix)
        assert (matrix >= 0).all()
        assert (matrix + matrix.T <= found.data_sets + 1e-12).all()
        assert (np.diag(matrix) == 0).all()


# -- ranks -----------------------------------------------------------------------------------------

# Demsar (2006), table 6: area under the ROC curve of four variants of C4.5 on 14 data sets.
VARIANTS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
DEMSAR = [
    (0.763, 0.768, 0.771, 0.798),
    (0.599, 0.591, 0.590, 0.569),
    (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657),
    (0.882, 0.888, 0.886, 0.898),
    (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685),
    (0.583, 0.583, 0.563, 0.625),
    (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000),
    (0.940, 0.962, 0.965, 0.962),
    (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.9751, 0.975),  # printed as a tie, ranked as none
    (0.957, 0.978, 0.946, 0.970),
]


def test_the_example_of_demsar():
    areas = {str(n): dict(zip(VARIANTS, row, strict=True)) for n, row in enumerate(DEMSAR)}
    found = ranks(areas)
    assert found.strategies == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    assert found.ranks == pytest.approx((1.964, 2.000, 2.893, 3.143), abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    expected = stats.friedmanchisquare(*np.array(DEMSAR).T).pvalue
    assert found.friedman_p == pytest.approx(expected, rel=1e-10)
    assert found.data_sets == tuple(areas)


# Demsar (2006), table 5a
@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_tabulated_quantile(k, q):
    rng = np.random.default_rng(0)
    areas = {name: {str(i): rng.random() for i in range(k)} for name in "abcdef"}
    expected = q * math.sqrt(k * (k + 1) / (6 * 6))
    assert ranks(areas).critical_difference == pytest.approx(expected, abs=2e-3)


def test_strategies_that_a_data_set_lacks_are_left_out_of_the_ranks():
    areas = {"mnist": {"a": 0.5, "b": 0.9, "c": 0.7}, "cifar": {"c": 0.4, "a": 0.4}}
    found = ranks(areas)
    assert found.strategies == ("c", "a")
    assert found.ranks == (1.25, 1.75)
    assert found.friedman_p is None


def test_ranks_take_two_data_sets_and_two_strategies():
    assert ranks({}) is None
    assert ranks({"mnist": {"a": 0.5, "b": 0.9}}) is None
    assert ranks({"mnist": {"a": 0.5, "b": 0.9}, "cifar": {"a": 0.5}}) is None


def test_strategies_that_are_all_equal_share_the_mean_rank():
    found = ranks({name: {"a": 0.5, "b": 0.5, "c": 0.5} for name in ("mnist", "cifar")})
    assert found.ranks == (2, 2, 2)
    assert found.friedman_p == 1.0
