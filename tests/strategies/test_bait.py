import dataclasses
import importlib
import logging

import numpy as np
import pytest
import torch
from fakes import context

from activeloop.errors import ConfigError, StrategyError
from activeloop.strategies import load_strategy
from activeloop.strategies.fisher import Layer, full, triangle

# Its name in the package is that of the function in it.
module = importlib.import_module("activeloop.strategies.bait")


def layer_context(n=30, classes=3, d=4, k=4, seed=0, labelled=5, **options):
    rng = np.random.default_rng(seed)
    probs = torch.from_numpy(rng.dirichlet(np.ones(classes), n)).float()
    features = torch.from_numpy(rng.normal(size=(n, d))).float()
    return context(probs, k=k, labelled=range(labelled), features=features, **options)


def information(ctx, index):
    p, h = ctx.probs[index].double().numpy(), ctx.features[index].double().numpy()
    p = p / p.sum()
    return np.kron(np.diag(p) - np.outer(p, p), np.outer(h, h))


def matrices(ctx, lambda_):
    """Return F and M before any pick, from whole matrices."""
    known = np.union1d(ctx.labelled, ctx.unlabelled)
    fisher = np.mean([information(ctx, i) for i in known], axis=0)
    start = lambda_ * np.eye(len(fisher))
    return fisher, start + sum(information(ctx, i) for i in ctx.labelled)


def brute_force(ctx, lambda_, oversample):
    """Return the picks by inverting a whole matrix for each candidate of each step."""
    fisher, total = matrices(ctx, lambda_)

    def error(matrix):
        return np.trace(np.linalg.solve(matrix, fisher))

    chosen = []
    for _ in range(min(len(ctx.unlabelled), round(oversample * ctx.k))):
        rest = [i for i in ctx.unlabelled.tolist() if i not in chosen]
        best = min(rest, key=lambda i: error(total + information(ctx, i)))
        chosen.append(best)
        total = total + information(ctx, best)
    while len(chosen) > ctx.k:
        worst = min(chosen, key=lambda i: error(total - information(ctx, i)))
        chosen.remove(worst)
        total = total - information(ctx, worst)
    return chosen


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("lambda_", "oversample", "labelled"), [(1.0, 2.0, 5), (0.01, 3.0, 0), (10.0, 1.0, 2)]
)
def test_equals_whole_matrices_inverted(seed, lambda_, oversample, labelled):
    ctx = layer_context(seed=seed, labelled=labelled)
    picks = load_strategy("bait", lambda_=lambda_, oversample=oversample)(ctx)
    assert picks.tolist() == brute_force(ctx, lambda_, oversample)


def test_taking_back_changes_the_picks():
    differ = 0
    for seed in range(8):
        ctx = layer_context(seed=seed, n=40, k=6)
        there_and_back = load_strategy("bait")(ctx).tolist()
        differ += set(there_and_back) != set(load_strategy("bait", oversample=1)(ctx).tolist())
    assert differ > 2


def test_the_inverse_is_still_that_of_the_whole_matrix_after_many_steps():
    ctx = layer_context(n=60, k=20, d=5)
    layer = Layer(features=ctx.features, probs=ctx.probs)
    search = module._Search(ctx, layer, 0.1)
    fisher, total = matrices(ctx, 0.1)
    assert search.fisher.numpy() == pytest.approx(fisher)
    for _ in range(40):
        search.add()
    search.keep_picks()
    for _ in range(20):
        search.take_back()
    picks = search.indices.tolist()
    total = total + sum(information(ctx, i) for i in picks)
    inverse = np.linalg.inv(total)
    assert search.inverse.numpy() == pytest.approx(inverse, abs=1e-10)
    for place, index in enumerate(picks):
        v = layer.factor(torch.tensor(index)).numpy()
        assert v @ v.T == pytest.approx(information(ctx, index))
        variance = full(search.variance[place : place + 1], 3)[0].numpy()
        error = full(search.error[place : place + 1], 3)[0].numpy()
        assert variance == pytest.approx(v.T @ inverse @ v, abs=1e-9)
        assert error == pytest.approx(v.T @ inverse @ fisher @ inverse @ v, abs=1e-9)


def test_triangles_hold_symmetric_matrices():
    square = torch.randn(5, 4, 4)
    square = square + square.mT
    assert torch.equal(full(triangle(square), 4), square)


def test_picks_follow_their_samples_when_the_pool_is_permuted():
    ctx = layer_context(labelled=0)
    order = np.random.default_rng(9).permutation(30)
    there = torch.from_numpy(order)
    moved = dataclasses.replace(ctx, probs=ctx.probs[there], features=ctx.features[there])
    assert order[load_strategy("bait")(moved)].tolist() == load_strategy("bait")(ctx).tolist()


def test_rows_that_were_not_predicted_are_not_read():
    ctx = layer_context()
    ctx = dataclasses.replace(ctx, unlabelled=np.arange(5, 25))
    expected = load_strategy("bait")(ctx)
    ctx.probs[25:] = torch.nan
    ctx.features[25:] = torch.nan
    assert load_strategy("bait")(ctx).tolist() == expected.tolist()


@pytest.mark.parametrize("k", [1, 9, 25])
@pytest.mark.parametrize("kind", ["random", "certain", "constant", "zero", "double", "two classes"])
def test_k_distinct_picks_of_any_pool(k, kind):
    ctx = layer_context(k=k, classes=2 if kind == "two classes" else 3)
    changes = {
        "certain": {"probs": torch.eye(3)[ctx.probs.argmax(dim=1)]},
        "constant": {"probs": ctx.probs[:1].repeat(30, 1), "features": torch.ones(30, 4)},
        "zero": {"features": torch.zeros(30, 4)},
        "double": {"probs": ctx.probs.double(), "features": ctx.features.double()},
    }
    ctx = dataclasses.replace(ctx, **changes.get(kind, {}))
    picks = load_strategy("bait")(ctx)
    assert len(set(picks.tolist())) == k
    assert set(picks.tolist()) <= set(ctx.unlabelled.tolist())


def test_equal_samples_are_picked_by_rng():
    ctx = layer_context(k=1)
    ctx = dataclasses.replace(
        ctx, probs=ctx.probs[:1].repeat(30, 1), features=ctx.features[:1].repeat(30, 1)
    )
    firsts = {
        int(load_strategy("bait")(dataclasses.replace(ctx, rng=np.random.default_rng(s)))[0])
        for s in range(60)
    }
    assert len(firsts) > 12


def test_too_wide_a_layer_is_refused_with_advice():
    ctx = layer_context(memory_limit=5_000)
    with pytest.raises(StrategyError, match=r"12 weights of the last layer .*embed=pca.*subsample"):
        load_strategy("bait")(ctx)


def test_features_too_large_for_float64_are_refused():
    ctx = layer_context()
    with pytest.raises(StrategyError, match=r"larger strategy\.lambda_"):
        load_strategy("bait")(dataclasses.replace(ctx, features=ctx.features * 1e9))


def test_long_searches_are_warned_of(caplog, monkeypatch):
    monkeypatch.setattr(module, "_LONG", 1e-9)
    with caplog.at_level(logging.WARNING, "activeloop.strategies"):
        load_strategy("bait")(layer_context())
    assert "25 candidates, 12 weights and 8 steps" in caplog.text


@pytest.mark.parametrize(("option", "value"), [("lambda_", 0.0), ("oversample", 0.5)])
def test_options_without_meaning(option, value):
    with pytest.raises(ConfigError, match=rf"strategy\.{option} must be a number"):
        load_strategy("bait", **{option: value})(layer_context())
