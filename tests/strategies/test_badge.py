import dataclasses
import itertools

import numpy as np
import pytest
import torch
from fakes import context
from scipy.stats import chisquare

from activeloop.errors import ConfigError
from activeloop.strategies import gradients, load_strategy, seeding
from activeloop.strategies.gradients import Gradients
from activeloop.strategies.rows import Rows
from activeloop.strategies.seeding import Euclidean, plus_plus


def tiny(n=6, classes=3, width=4, seed=1):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(classes), n).astype(np.float32)
    return torch.from_numpy(probs), torch.from_numpy(rng.normal(size=(n, width)).astype(np.float32))


def pool(probs, features, k, seed=0, labelled=(), **fields):
    fields |= {"features": features, "memory_limit": 2**30}
    return context(probs, k=k, seed=seed, labelled=labelled, **fields)


def embeddings(probs, features):
    """Return gradient embeddings, formed in full."""
    p, h = probs.double().numpy(), features.double().numpy()
    a = p - np.eye(p.shape[1])[p.argmax(axis=1)]
    return (a[:, :, None] * h[:, None, :]).reshape(len(p), -1)


def sequence_probabilities(g, k, first=None):
    """Return the probability of each sequence of k picks under k-means++, exactly."""
    apart = ((g[:, None] - g) ** 2).sum(axis=2)
    result = {}
    for picks in itertools.permutations(range(len(g)), k):
        if first is not None and picks[0] != first:
            continue
        chance = 1.0 if first is not None else 1 / len(g)
        for at in range(1, k):
            weights = apart[list(picks[:at])].min(axis=0)
            chance *= weights[picks[at]] / weights.sum()
        result[picks] = chance
    return result


def follows(counts, expected):
    """Return the p-value of a chi-square test of counts against probabilities."""
    total = sum(counts.values())
    assert not set(counts) - set(expected)
    keys = [key for key in expected if expected[key] * total >= 5]
    rest = [key for key in expected if expected[key] * total < 5]
    seen = [counts.get(key, 0) for key in keys] + [sum(counts.get(key, 0) for key in rest)] * bool(
        rest
    )
    mean = [expected[key] * total for key in keys] + [
        sum(expected[key] for key in rest) * total
    ] * (bool(rest))
    return chisquare(seen, np.array(mean) * sum(seen) / sum(mean)).pvalue


@pytest.mark.parametrize("block", [1, 2, 64])
def test_the_distribution_is_that_of_k_means_plus_plus(block, monkeypatch):
    monkeypatch.setattr(seeding, "_BLOCK", block)
    probs, features = tiny()
    g = embeddings(probs, features)
    first = int((g**2).sum(axis=1).argmax())
    expected = sequence_probabilities(g, 4, first)
    counts = {}
    for seed in range(2500):
        chosen = tuple(load_strategy("badge")(pool(probs, features, 4, seed)).indices.tolist())
        counts[chosen] = counts.get(chosen, 0) + 1
    assert follows(counts, expected) > 0.01


def test_a_whole_block_from_stale_weights_has_the_right_distribution(monkeypatch):
    # Ten seeds so that the last block draws four from weights which know the first six or fewer.
    x = np.random.default_rng(2).normal(size=(9, 2)).astype(np.float32)
    x[5:] *= 0.1  # a clump, in which a pick brings all other weights down
    points = Euclidean(torch.from_numpy(x))
    expected = {}
    for picks, chance in sequence_probabilities(x.astype(float), 5, 0).items():
        expected[picks[3:]] = expected.get(picks[3:], 0) + chance
    counts = {}
    for seed in range(4000):
        seeds = plus_plus(points, 0, 5, np.random.default_rng(seed)).positions
        last = tuple(seeds[3:].tolist())
        counts[last] = counts.get(last, 0) + 1
    assert follows(counts, expected) > 0.01


def test_first_draw_is_uniform():
    probs, features = tiny()
    strategy = load_strategy("badge", first="draw")
    firsts = [int(strategy(pool(probs, features, 1, seed)).indices[0]) for seed in range(1200)]
    assert chisquare(np.bincount(firsts, minlength=6)).pvalue > 0.01


def test_second_pick_follows_scikit_activeml_where_it_leaves_out_the_origin():
    # scikit-activeml also counts the distance to the origin. Far from it, that changes nothing.
    peer = pytest.importorskip("skactiveml.pool")
    base = pytest.importorskip("skactiveml.base")
    rng = np.random.default_rng(0)
    x = np.concatenate([np.full((12, 1), 9.0), rng.normal(size=(12, 2))], axis=1)
    p = rng.uniform(0.5, 0.55, 12)
    probs = np.stack([p, 1 - p], axis=1)

    class Fixed(base.SkactivemlClassifier):
        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            return probs

    y = np.full(12, np.nan)
    _, utilities = peer.Badge(random_state=0).query(
        x, y, Fixed(classes=[0, 1]), fit_clf=False, batch_size=2, return_utilities=True
    )
    features, probs32 = torch.from_numpy(x).float(), torch.from_numpy(probs).float()
    pairs = [load_strategy("badge")(pool(probs32, features, 2, s)).indices for s in range(1500)]
    assert {int(pair[0]) for pair in pairs} == {int(np.nanargmax(utilities[0]))}
    expected = np.nan_to_num(utilities[1]) * len(pairs)
    seen = np.bincount([int(pair[1]) for pair in pairs], minlength=12)
    enough = expected > 5
    assert enough.sum() > 5
    scale = seen[enough].sum() / expected[enough].sum()
    assert chisquare(seen[enough], expected[enough] * scale).pvalue > 0.01


@pytest.mark.parametrize("kept", [0, 2**20])
def test_factorised_distances_are_those_of_the_embeddings(kept, monkeypatch):
    monkeypatch.setattr(gradients, "_KEPT_BYTES", kept)
    probs, features = tiny(n=50, classes=7, width=9)
    g = embeddings(probs, features)
    every = np.arange(50)
    points = Gradients(Rows(probs, every, 2**30), Rows(features, every, 2**30))
    apart = points.squared(slice(5, 40), torch.tensor([3, 11, 5]))
    expected = ((g[5:40, None] - g[[3, 11, 5]]) ** 2).sum(axis=2)
    np.testing.assert_allclose(apart.numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(points.lengths.numpy(), (g**2).sum(axis=1), rtol=1e-5)


def test_scores_are_distances_when_drawn():
    probs, features = tiny(n=300, classes=5)
    g = embeddings(probs, features)
    chosen = load_strategy("badge")(pool(probs, features, 150))
    assert chosen.scores[0] == pytest.approx(np.linalg.norm(g, axis=1).max(), rel=1e-5)
    for at in range(1, 150):
        before = g[chosen.indices[:at]]
        nearest = np.linalg.norm(before - g[chosen.indices[at]], axis=1).min()
        assert chosen.scores[at] == pytest.approx(nearest, rel=1e-3, abs=1e-3)


def test_potential_after_many_picks_is_that_of_plain_k_means_plus_plus():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(40, 3)) * 5, 25, axis=0) + rng.normal(size=(1000, 3))
    points = Euclidean(torch.from_numpy(x).float())
    ours, plain = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        seeds = plus_plus(points, 0, 100, rng).positions
        ours.append(((x[:, None] - x[seeds]) ** 2).sum(axis=2).min(axis=1).sum())
        nearest = ((x - x[0]) ** 2).sum(axis=1)
        for _ in range(99):
            pick = rng.choice(1000, p=nearest / nearest.sum())
            nearest = np.minimum(nearest, ((x - x[pick]) ** 2).sum(axis=1))
        plain.append(nearest.sum())
    error = np.hypot(np.std(ours), np.std(plain)) / np.sqrt(30)
    assert abs(np.mean(ours) - np.mean(plain)) < 3 * error


def test_sure_predictions_are_drawn_uniformly_once_the_unsure_are_picked():
    probs = torch.tensor([[1.0, 0.0]] * 5 + [[0.6, 0.4]])
    features = torch.ones(6, 2)
    thirds = np.zeros(6)
    for seed in range(500):
        chosen = load_strategy("badge")(pool(probs, features, 3, seed))
        assert chosen.indices[0] == 5
        assert chosen.scores[2] == 0
        thirds[chosen.indices[2]] += 1
    assert thirds[5] == 0
    assert chisquare(thirds[:5]).pvalue > 0.01


def test_duplicates_are_picked_once_all_others_are():
    base_probs, base_features = tiny(n=5)
    probs, features = base_probs.repeat(200, 1), base_features.repeat(200, 1)
    for seed in range(20):
        chosen = load_strategy("badge")(pool(probs, features, 8, seed)).indices
        assert len(set((chosen[:5] % 5).tolist())) == 5
        assert len(set(chosen.tolist())) == 8


def test_rows_that_were_not_predicted_are_not_read():
    probs, features = tiny(n=30)
    probs[20:], features[20:] = torch.nan, torch.nan
    ctx = dataclasses.replace(pool(probs, features, 20), unlabelled=np.arange(20))
    chosen = load_strategy("badge")(ctx)
    assert sorted(chosen.indices) == list(range(20))
    assert np.isfinite(chosen.scores).all()


def test_unknown_first():
    with pytest.raises(ConfigError, match="first must be one of largest, draw, got 'random'"):
        load_strategy("badge", first="random")(pool(*tiny(), 1))
