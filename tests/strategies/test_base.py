import functools
import math

import numpy as np
import pytest
import torch
from fakes import context
from hypothesis import given
from hypothesis import strategies as st

from activeloop import measures
from activeloop.errors import ConfigError, StrategyError
from activeloop.strategies import base, bind, needs, needs_of, score
from activeloop.strategies.base import highest


@score
def given_scores(context, *, values):
    return torch.tensor(values)[context.unlabelled]


def draws(values, n=4000, **options):
    """Return how often each sample is the single pick."""
    picks = [
        given_scores(context(size=len(values), seed=s), values=values, **options).indices[0]
        for s in range(n)
    ]
    return np.bincount(picks, minlength=len(values)) / n


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.data())
def test_highest_takes_the_top_k_in_order(values, data):
    scores = np.array(values, float)
    k = data.draw(st.integers(0, len(values)))
    chosen = highest(scores, k, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == k
    assert scores[chosen].tolist() == sorted(values, reverse=True)[:k]


def test_ties_are_broken_by_rng_alone_and_evenly():
    counts = np.zeros(6)
    for seed in range(600):
        counts[highest(np.array([0.0, 1, 1, 1, 1, 0]), 2, np.random.default_rng(seed))] += 1
    assert counts[[0, 5]].tolist() == [0, 0]
    assert counts[1:5].min() > 240  # 300 expected each, standard deviation 12
    again = [highest(np.zeros(9), 4, np.random.default_rng(3)).tolist() for _ in range(2)]
    assert again[0] == again[1]


def test_order_among_equal_scores_is_random_too():
    firsts = {highest(np.ones(3), 3, np.random.default_rng(s)).tolist()[0] for s in range(30)}
    assert firsts == {0, 1, 2}


def test_scores_of_the_picks_are_returned_and_indices_are_pool_indices():
    picks = given_scores(context(size=5, labelled=[0, 3], k=2), values=[9.0, 1, 3, 8, 2])
    assert list(picks.indices) == [2, 4]
    assert list(picks.scores) == [3, 2]


def test_power_sampling_follows_the_scores():
    assert draws([1.0, 2, 0, 5], sampling="power") == pytest.approx(
        [1 / 8, 2 / 8, 0, 5 / 8], abs=0.03
    )


def test_power_sampling_sharpens_with_beta():
    assert draws([1.0, 2], sampling="power", beta=2.0) == pytest.approx([0.2, 0.8], abs=0.03)


@pytest.mark.parametrize("name", ["softmax", "gibbs"])
def test_softmax_sampling_follows_exp_of_the_scores(name):
    weights = np.exp([-1.0, 0, 0.5])
    assert draws([-1.0, 0, 0.5], sampling=name) == pytest.approx(weights / weights.sum(), abs=0.03)


def test_rank_sampling_follows_the_ranks_only():
    expected = np.array([1, 1 / 2, 1 / 3]) / (1 + 1 / 2 + 1 / 3)
    assert draws([1e6, 3.0, -5.0], sampling="rank") == pytest.approx(expected, abs=0.03)


def test_beta_zero_is_uniform_even_where_scores_are_zero():
    assert draws([0.0, 5.0], sampling="power", beta=0.0) == pytest.approx([0.5, 0.5], abs=0.03)


def test_power_sampling_can_take_every_sample_though_scores_are_zero():
    picks = given_scores(context(size=3, k=3), values=[0.0, 1.0, 0.0], sampling="power")
    assert sorted(picks.indices) == [0, 1, 2]
    assert picks.indices[0] == 1


def test_power_sampling_refuses_negative_scores():
    with pytest.raises(StrategyError, match="at least 0"):
        given_scores(context(size=2), values=[-1.0, 1.0], sampling="power")


def test_temperature_tempers_probabilities():
    seen = []

    @score
    @needs("probs")
    def watch(context):
        seen.append(context.probs)
        return context.probs[context.unlabelled, 0]

    probs = torch.tensor([[0.8, 0.2, 0.0]])
    watch(context(probs), temperature=2.0)
    weights = np.sqrt([0.8, 0.2, 0])
    assert seen[0][0].tolist() == pytest.approx((weights / weights.sum()).tolist())
    assert probs[0, 0] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "powr"}, "sampling must be one of top, power"),
        ({"sampling": "power", "beta": -1.0}, "beta must be a number at least 0"),
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"temperature": math.nan}, "temperature must be a number above 0"),
    ],
)
def test_options_without_meaning(options, message):
    with pytest.raises(ConfigError, match=message):
        given_scores(context(size=2), values=[0.0, 1.0], **options)


def test_scores_of_the_wrong_shape_or_nan():
    @score
    def whole_pool(context):
        return torch.zeros(4)

    with pytest.raises(StrategyError, match=r"shape \(3,\), got \(4,\)"):
        whole_pool(context(size=4, labelled=[1]))
    with pytest.raises(StrategyError, match="got NaN for sample 2"):
        given_scores(context(size=3, labelled=[0]), values=[0.0, 1.0, math.nan])


def test_needs_are_found_through_partials_and_on_classes():
    @needs("probs", "neighbors")
    def strategy(context, x):
        return []

    @needs("embeddings")
    class Strategy:
        def __call__(self, context):
            return []

    assert needs_of(functools.partial(functools.partial(strategy), x=1)) == {"probs", "neighbors"}
    assert needs_of(Strategy()) == {"embeddings"}
    assert needs_of(lambda context: []) == frozenset()


def test_unknown_needs_are_refused():
    with pytest.raises(StrategyError, match="mine needs 'probabilities'; there are embeddings"):

        @needs("probabilities")  # type: ignore[arg-type]
        def mine(context):
            return []


def test_score_functions_may_take_further_keywords_but_not_the_names_score_adds():
    @score
    def open_ended(context, **options):
        return torch.full((len(context.unlabelled),), options["height"])

    picks = bind(open_ended, {"height": 2.0}, "mine")(context(size=3, k=2))
    assert list(picks.scores) == [2, 2]
    with pytest.raises(StrategyError, match="parameter 'temperature'"):

        @score
        def clashing(context, temperature):
            return torch.zeros(1)


def test_sampling_options_are_checked_when_bound():
    with pytest.raises(ConfigError, match="sampling must be one of"):
        bind(given_scores, {"values": [1.0], "sampling": "powr"}, "mine")


def test_needs_of_a_class_are_checked_too():
    class Strategy:
        needs = ("prob",)

    with pytest.raises(StrategyError, match="'prob'"):
        needs_of(Strategy())


@pytest.mark.parametrize(
    "wanted", [range(0, 50), range(3, 47), range(0, 50, 3), [], [4, *range(20, 40)]]
)
@pytest.mark.parametrize("classes", [3, 40])
def test_rows_in_one_stretch_and_scattered_measure_alike(monkeypatch, wanted, classes):
    probs = torch.rand(50, classes, generator=torch.Generator().manual_seed(1))
    indices = np.array(wanted, np.int64)
    monkeypatch.setattr(base, "rows_at_a_time", lambda size: 7)
    for measure, plain in (
        (measures.least_confidence, lambda p: 1 - p.max(dim=1)[0]),
        (measures.margin, lambda p: p.topk(2, dim=1)[0].diff(dim=1)[:, 0].neg()),
    ):
        found = base.by_rows(measure, probs, indices)
        assert torch.equal(found, plain(probs[torch.from_numpy(indices)]))
