from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activeloop.errors import ConfigError
from activeloop.schedule import Schedule


def test_ten_rounds_by_default():
    assert Schedule(20, 1000).planned == [20 * n for n in range(1, 12)]


def test_a_budget_includes_the_initial_set_and_its_last_batch_may_be_smaller():
    schedule = Schedule(100, 60_000, query_size=100, budget=250)
    assert schedule.planned == [100, 200, 250]
    assert schedule.next(3, 250, 59_750) == (0, "budget of 250 labels spent")


def test_an_empty_pool_ends_the_run():
    schedule = Schedule(5, 12, query_size=5)
    assert schedule.planned == [5, 10, 12]
    assert schedule.next(3, 12, 0) == (0, "no unlabelled sample left")


def test_a_budget_of_all_goes_on_until_no_sample_is_left():
    schedule = Schedule(5, 31, query_size=5, budget="all")
    assert schedule.planned == [5, 10, 15, 20, 25, 30, 31]
    assert schedule.next(4, 20, 0) == (0, "no unlabelled sample left")  # the others were skipped
    assert Schedule(5, 31, query_size=5, rounds=1, budget="all").planned == [5, 10]


def test_rounds_end_the_run_also_at_zero():
    assert Schedule(5, 100, rounds=0).planned == [5]
    assert Schedule(5, 100, query_size=2, rounds=2).planned == [5, 7, 9]


def test_a_list_sets_the_rounds_and_its_last_repeats_where_more_are_wanted():
    assert Schedule(5, 100, query_size=[1, 2, 4]).planned == [5, 6, 8, 12]
    assert Schedule(5, 100, query_size=[1, 2], rounds=4).planned == [5, 6, 8, 10, 12]


def test_growth():
    assert Schedule(10, 1000, query_size=10, growth=2.0, rounds=3).planned == [10, 20, 40, 80]
    assert Schedule(10, 1000, query_size=3, growth=0.1, rounds=3).planned == [10, 13, 14, 15]


@given(
    st.integers(1, 50),
    st.integers(1, 200),
    st.integers(1, 40),
    st.floats(0.5, 2),
    st.none() | st.integers(0, 30),
    st.none() | st.integers(1, 300),
)
def test_no_schedule_ever_exceeds_budget_or_pool(initial, pool, size, growth, rounds, budget):
    try:
        schedule = Schedule(initial, pool, size, growth, rounds, budget)
    except ConfigError:
        assert initial > pool or (budget is not None and not initial <= budget <= pool)
        return
    planned = schedule.planned
    assert planned[-1] <= min(pool, budget or pool)
    assert all(a < b for a, b in pairwise(planned))
    if rounds is None and budget is not None:
        assert planned[-1] == budget


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 0}, "initial.size must be a whole number of at least 1, got 0"),
        ({"initial": 101}, "initial.size is 101, but the pool has 100"),
        ({"budget": 101}, "budget is 101 labels, but the pool has 100 samples"),
        ({"budget": "most"}, "budget must be a whole number of at least 1, got 'most'"),
        ({"budget": 9}, "budget is 9 labels in all, fewer than initial.size 10"),
        ({"query_size": 0}, "query_size must be a whole number of at least 1, got 0"),
        ({"query_size": -5}, "query_size must be .* got -5"),
        ({"query_size": [5, 0]}, "query_size must be .* got 0"),
        ({"query_size": []}, "query_size must be"),
        ({"query_size": 2.5}, "query_size must be .* got 2.5"),
        ({"query_size": "ten"}, "query_size must be .* got 'ten'"),
        ({"growth": 0}, "query_growth must be a number above 0"),
        ({"rounds": -1}, "rounds must be .* got -1"),
        ({"budget": 0}, "budget must be .* got 0"),
    ],
)
def test_sizes_without_meaning(options, message):
    with pytest.raises(ConfigError, match=message):
        Schedule(**{"initial": 10, "pool": 100} | options)
