import logging

import numpy as np
import pytest
import torch
from fakes import context
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel

from activeloop.errors import ConfigError
from activeloop.strategies import facility, load_strategy


def gains_of(similar, centres, unlabelled):
    """Return what each sample would gain, a mean over the unlabelled, [N]."""
    best = similar[centres].max(axis=0, initial=0)
    return np.maximum(similar - best, 0)[:, unlabelled].mean(axis=1)


def features(n=150, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


def picks(x, k, labelled=(), seed=0, **options):
    ctx = context(size=len(x), k=k, labelled=labelled, seed=seed, features=torch.from_numpy(x))
    return load_strategy("facility_location", **options)(ctx)


@pytest.mark.parametrize("group", [4, 256])
@pytest.mark.parametrize("labelled", [[], [0, 7, 9]])
@pytest.mark.parametrize("kernel", ["cosine", "rbf"])
def test_each_pick_gains_most_by_brute_force(kernel, labelled, group, monkeypatch):
    # Two samples that are nearest to each other often gain the same, so picks are not unique.
    monkeypatch.setattr(facility, "_GROUP", group)
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
    x = features(1000)
    with caplog.at_level(logging.INFO, "activeloop.strategies"):
        sampled = picks(x, 30, references=300)
    assert "on the 300 references" in caplog.text
    assert "on 300 others" in caplog.text
    similar = (1 + cosine_similarity(x)) / 2
    covered, exact = (
        similar[chosen.indices].max(axis=0).mean() for chosen in (sampled, picks(x, 30))
    )
    drawn = similar[np.random.default_rng(0).choice(1000, 30)].max(axis=0).mean()
    assert drawn < covered <= exact + 1e-6
    assert exact - covered < 0.5 * (exact - drawn)


def test_long_work_is_announced(caplog, monkeypatch):
    picks(features(50), 2)
    assert not caplog.records
    monkeypatch.setattr(facility, "_SPEED", 1e2)
    picks(features(50), 2)
    assert "50 samples with 50 references, about 500 seconds" in caplog.text


def test_options_without_meaning():
    with pytest.raises(ConfigError, match="kernel must be one of cosine, rbf"):
        picks(features(5), 1, kernel="linear")
    with pytest.raises(ConfigError, match="bandwidth must be a number above 0"):
        picks(features(5), 1, bandwidth=0.0)
