import logging

import numpy as np
import pytest
import torch
from fakes import context
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel

from activeloop.errors import ConfigError
from activeloop.strategies import load_strategy


def gains_of(similar, centres, unlabelled):
    """Return what each sample would gain, a mean over the unlabelled, [N]."""
    best = similar[centres].max(axis=0, initial=0)
    return np.maximum(similar - best, 0)[:, unlabelled].mean(axis=1)


def features(n=150, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


def picks(x, k, labelled=(), seed=0, **options):
    ctx = context(size=len(x), k=k, labelled=labelled, seed=seed, features=torch.from_numpy(x))
    return load_strategy("facility_location", **options)(ctx)


@pytest.mark.parametrize("labelled", [[], [0, 7, 9]])
@pytest.mark.parametrize("kernel", ["cosine", "rbf"])
def test_each_pick_gains_most_by_brute_force(kernel, labelled):
    # Two samples that are nearest to each other often gain the same, so picks are not unique.
    x = features()
    similar = (1 + cosine_similarity(x)) / 2 if kernel == "cosine" else rbf_kernel(x, gamma=0.125)
    left = np.setdiff1d(np.arange(len(x)), labelled)
    chosen = picks(x, 60, labelled, kernel=kernel, bandwidth=2.0)
    centres = list(labelled)
    for index, score in zip(chosen.indices, chosen.scores, strict=True):
        gains = gains_of(similar, centres, left)
        assert gains[index] == pytest.approx(gains[left].max(), rel=1e-4)
        assert score == pytest.approx(gains[index], rel=1e-4)
        centres.append(int(index))


def test_the_median_distance_is_the_bandwidth_unless_given():
    x = np.array([[0.0], [1], [3], [7]], np.float32)
    distances = sorted([1.0, 3, 7, 2, 6, 4])
    assert list(picks(x, 4, kernel="rbf").scores) == pytest.approx(
        list(picks(x, 4, kernel="rbf", bandwidth=distances[2]).scores), rel=1e-4
    )


def test_every_sample_can_be_asked_though_nothing_is_left_to_gain():
    chosen = picks(np.ones((9, 2), np.float32), 9)
    assert sorted(chosen.indices) == list(range(9))
    assert list(chosen.scores[1:]) == pytest.approx([0] * 8, abs=1e-6)
    firsts = {int(picks(np.ones((9, 2), np.float32), 1, seed=s).indices[0]) for s in range(80)}
    assert len(firsts) > 5


def test_references_are_drawn_and_the_gap_is_logged(caplog):
    lost = []
    for seed in range(5):
        x = features(1000, seed)
        with caplog.at_level(logging.INFO, "activeloop.strategies"):
            sampled = picks(x, 30, seed=seed, references=300)
        similar = (1 + cosine_similarity(x)) / 2
        drawn = np.random.default_rng(seed).choice(1000, 30)
        exact, some, chance = (
            similar[chosen].max(axis=0).mean()
            for chosen in (picks(x, 30, seed=seed).indices, sampled.indices, drawn)
        )
        assert chance < some <= exact + 1e-6
        lost.append((exact - some) / (exact - chance))
    assert np.mean(lost) < 0.4
    assert "measured on 300 references" in caplog.text
    assert "on 300 others" in caplog.text


def test_options_without_meaning():
    with pytest.raises(ConfigError, match="kernel must be one of cosine, rbf"):
        picks(features(5), 1, kernel="linear")
    with pytest.raises(ConfigError, match="bandwidth must be a number above 0"):
        picks(features(5), 1, bandwidth=0.0)
    with pytest.raises(ConfigError, match="references must be a whole number"):
        picks(features(5), 1, references=0)


def test_a_row_of_zeros_is_three_quarters_similar_to_others():
    # (1 + 0 cosine) / 2 would leave it no more similar to itself than to anything else.
    x = np.array([[1, 0], [0, 0], [-1, 0]], np.float32)
    scores = picks(x, 1, references=3).scores
    assert scores[0] == pytest.approx((0.75 + 1 + 0.75) / 3)
