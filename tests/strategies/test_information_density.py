import numpy as np
import pytest
import torch
from fakes import context
from sklearn.metrics.pairwise import cosine_similarity

from activeloop.errors import ConfigError, StrategyError
from activeloop.strategies import InformationDensity, load_strategy, needs_of, score
from activeloop.strategies.information_density import density


def ctx(x, k, probs, labelled=(), **fields):
    x = torch.as_tensor(x, dtype=torch.float32)
    return context(probs, k=k, labelled=labelled, features=x, **fields)


def test_the_crowd_comes_before_an_outlier_that_is_as_unsure():
    x = [[1, 0.0], [1, 0.1], [1, 0.2], [0, 1]]
    picks = load_strategy("information_density")(ctx(x, 4, [[0.5, 0.5]] * 4))
    assert picks.indices[-1] == 3
    assert picks.indices[0] == 2  # the nearest to the mean


def test_scores_equal_the_whole_similarity_matrix():
    rng = np.random.default_rng(0)
    x, probs = rng.random((80, 6)), rng.dirichlet(np.ones(4), 80)
    c = ctx(x, 70, probs, labelled=range(10))
    picks = InformationDensity(score="entropy", exponent=2.0)(c)
    similarity = cosine_similarity(x[10:]).mean(axis=1)
    entropy = -(probs * np.log(probs)).sum(axis=1)[10:]
    expected = np.sort(entropy * similarity**2)[::-1]
    assert picks.scores == pytest.approx(expected, rel=1e-4)
    order = 10 + np.argsort(-entropy * similarity**2)
    assert picks.indices.tolist() == order.tolist()


def test_an_exponent_of_zero_leaves_the_score_alone():
    rng = np.random.default_rng(0)
    c = ctx(rng.normal(size=(50, 3)), 5, rng.dirichlet(np.ones(3), 50))
    ours = InformationDensity(score="margin", exponent=0.0)(c)
    assert ours.indices.tolist() == load_strategy("margin")(c).indices.tolist()


def test_negative_similarity_counts_as_none_and_zeros_are_like_nothing():
    c = ctx([[1.0, 0], [1, 0], [-1, 0], [0, 0]], 1, [[0.5, 0.5]] * 4)
    assert density(c, "features").tolist() == pytest.approx([0.25, 0.25, 0, 0])


def test_power_sampling_draws_in_proportion_to_the_score():
    probs = [[0.5, 0.5], [0.6, 0.4], [0.8, 0.2], [1.0, 0.0]]
    features = [[1, 0.0], [1, 0.1], [0, 1], [1, 1]]
    scores = InformationDensity()(ctx(features, 4, probs))
    expected = np.zeros(4)
    expected[scores.indices] = scores.scores / scores.scores.sum()
    sampling = InformationDensity(sampling="power")
    drawn = [sampling(ctx(features, 1, probs, seed=n)).indices[0] for n in range(2000)]
    assert np.bincount(drawn, minlength=4) / 2000 == pytest.approx(expected, abs=0.04)


def test_needs_and_options():
    assert needs_of(InformationDensity()) == {"probs", "features"}
    assert needs_of(InformationDensity(score="entropy", space="embeddings")) == {
        "probs",
        "embeddings",
    }
    assert needs_of(InformationDensity(score={"name": "l2_diversity", "m": 3})) == {
        "features",
        "neighbors",
    }
    with pytest.raises(ConfigError, match="random gives no score"):
        InformationDensity(score="random")
    with pytest.raises(ConfigError, match=r"strategy.beta must be .* got -1"):
        InformationDensity(beta=-1)
    with pytest.raises(ConfigError, match=r"strategy.exponent must be .* got -2"):
        InformationDensity(exponent=-2)
    with pytest.raises(ConfigError, match=r"strategy.sampling must be"):
        InformationDensity(sampling="sometimes")
    with pytest.raises(ConfigError, match=r"strategy.space must be"):
        InformationDensity(space="pixels")


def test_a_score_below_zero_is_refused():
    @score
    def negative(context):
        return -torch.ones(len(context.unlabelled))

    with pytest.raises(StrategyError, match="at least 0; it is from -1 to -1"):
        InformationDensity(score=negative)(ctx(torch.eye(3), 1, [[0.5, 0.5]] * 3))
