"""ALFA-Mix and DropQuery: candidates by changes of the features, then one sample a cluster."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from fakes import context

from activeloop.errors import ConfigError
from activeloop.strategies import load_strategy
from activeloop.strategies.alfa import changed_by_mixing
from activeloop.strategies.dropout import disagreements


def layer(width, classes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(width, classes, generator=draw)
    bias = torch.randn(classes, generator=draw)
    return lambda x: x @ weight.to(x) + bias.to(x)


def points(n, width, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32))


def mixed_with_each_anchor(x, anchors, head, eps):
    """Return which classes change, anchor by anchor, by alpha as the paper writes it."""
    x = x.double().requires_grad_()
    logits = head(x)
    predicted = logits.argmax(dim=1)
    loss = -logits.log_softmax(dim=1).gather(1, predicted[:, None]).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    changed = torch.zeros(len(x), dtype=torch.bool)
    for anchor in anchors.double():
        toward = anchor - x
        length = toward.norm(dim=1, keepdim=True) / gradient.norm(dim=1, keepdim=True)
        alpha = eps * length * gradient / toward
        changed |= head((1 - alpha) * x + alpha * anchor).argmax(dim=1) != predicted
    return changed


@pytest.mark.parametrize("cap", [0.05, 0.3, 1.0])
def test_the_candidates_are_those_that_any_anchor_changes(cap):
    x, anchors, head = points(400, 5), 2 * points(4, 5, seed=1), layer(5, 4)
    expected = mixed_with_each_anchor(x, anchors, head, cap / math.sqrt(5))
    assert 10 < expected.sum() < 390
    k = int(expected.sum()) - 1
    assert list(changed_by_mixing(x, anchors, head, cap, k)) == expected.nonzero()[:, 0].tolist()


def test_the_mixture_grows_until_there_are_more_than_k():
    x, anchors, head = points(400, 5), 2 * points(4, 5, seed=1), layer(5, 4)
    counts = [int(mixed_with_each_anchor(x, anchors, head, n * 0.1 / 5**0.5).sum()) for n in (1, 2)]
    assert 0 < counts[0] < counts[1]
    for k, expected in ((counts[0] - 1, counts[0]), (counts[0], counts[1])):
        assert len(changed_by_mixing(x, anchors, head, 0.1, k)) == expected
    assert len(changed_by_mixing(x, anchors, head, 0.4, 400)) == int(
        mixed_with_each_anchor(x, anchors, head, 1.2 / 5**0.5).sum()
    )


def test_alfa_mix_asks_at_the_boundary_by_hand():
    # The classes part at 0; the anchors are -4 and 4. From z, the farther is 4 + |z| away, so that
    # eps (4 + |z|) > |z| for |z| < 4 / 3 at eps = 1 / 4, the first at which there are more than 2.
    features = torch.tensor([[-4.0], [4], [-3], [-1.3], [-1.2], [1.2], [1.4], [3]])
    ctx = dataclasses.replace(
        context(size=8, k=2, labelled=[0, 1], features=features), labels=np.array([0, 1])
    )
    ctx = dataclasses.replace(ctx, head=lambda x: torch.cat([-x, x], dim=1))
    chosen = load_strategy("alfa_mix", cap=0.25)(ctx)
    # On unit vectors 3 and 4 coincide.
    assert chosen.indices[0] in (3, 4)
    assert chosen.indices[1] == 5
    assert list(chosen.scores) == [2, 1]


def test_alfa_mix_draws_what_candidates_are_short_of():
    features = torch.tensor([[-1.0], [1.0], [-50], [60], [70], [80]])
    strategy = load_strategy("alfa_mix", cap=0.1)
    seen = set()
    for seed in range(40):
        ctx = dataclasses.replace(
            context(size=6, k=3, labelled=[0, 1], seed=seed, features=features),
            labels=np.array([0, 1]),
            head=lambda x: torch.cat([-x - 1000, x - 1000], dim=1) * 1e-3,
        )
        ctx = dataclasses.replace(ctx, features=features + 0.0)
        chosen = strategy(ctx)
        assert len(set(chosen.indices.tolist())) == 3
        seen |= set(chosen.indices.tolist())
    assert seen == {2, 3, 4, 5}


def test_alfa_mix_leaves_no_gradient_and_takes_inference_tensors():
    weight = torch.nn.Linear(5, 3)
    with torch.inference_mode():
        features = points(40, 5) + 0
    ctx = context(size=40, k=5, labelled=[0, 1], features=features, head=weight)
    assert len(set(load_strategy("alfa_mix")(ctx).indices.tolist())) == 5
    assert weight.weight.grad is None
    with torch.no_grad():
        load_strategy("alfa_mix")(ctx)


def test_without_labels_the_anchor_is_the_mean_of_the_pool():
    ctx = context(size=30, k=4, features=points(30, 5), head=layer(5, 3))
    assert len(set(load_strategy("alfa_mix")(ctx).indices.tolist())) == 4


def test_disagreements_have_the_rate_that_all_masks_give():
    x, head, rate = points(6, 4, seed=3), layer(4, 3), 0.3
    clean = head(x).argmax(dim=1)
    expected = np.zeros(6)
    for kept in itertools.product([0.0, 1.0], repeat=4):
        chance = rate ** kept.count(0.0) * (1 - rate) ** kept.count(1.0)
        expected += chance * (head(x * torch.tensor(kept) / (1 - rate)).argmax(1) != clean).numpy()
    seen = disagreements(x, head, 4000, rate, np.random.default_rng(0)) / 4000
    assert expected.max() > 0.2
    assert seen == pytest.approx(expected, abs=0.04)


def test_dropquery_asks_where_most_masks_disagree():
    # Without its one feature a sample falls to class 1: those of class 0 change under most masks.
    features = torch.tensor([[5.0], [5.1], [-5], [-5.1], [9], [9.1], [-9]])
    head = lambda x: torch.cat([x, torch.full_like(x, 1.0)], dim=1)  # noqa: E731
    ctx = context(size=7, k=2, features=features, head=head)
    chosen = load_strategy("dropquery", masks=101, rate=0.75)(ctx)
    assert sorted(i // 4 for i in chosen.indices) == [0, 1]
    assert set(chosen.indices.tolist()) <= {0, 1, 4, 5}
    assert list(chosen.scores) == [2, 2]


def test_half_of_the_masks_is_not_most():
    # The first mask changes the class and the second does not, for one sample at least.
    x = torch.ones(400, 1)
    head = lambda x: torch.cat([x, torch.full_like(x, 0.5)], dim=1)  # noqa: E731
    ctx = context(size=400, k=3, features=x, head=head)
    counts = disagreements(x, head, 2, 0.5, np.random.default_rng(0))
    both = set(np.flatnonzero(counts == 2).tolist())
    assert 50 < len(both) < 150
    chosen = load_strategy("dropquery", masks=2, rate=0.5)(ctx)
    assert set(chosen.indices.tolist()) <= both
    assert chosen.scores[0] == len(both) or sum(chosen.scores) == len(both)


def test_where_too_few_disagree_those_that_differ_most_are_taken():
    features = torch.tensor([[5.0], [-5], [6], [-6], [-7]])
    head = lambda x: torch.cat([x, torch.full_like(x, 1.0)], dim=1)  # noqa: E731
    ctx = context(size=5, k=3, features=features, head=head)
    chosen = load_strategy("dropquery", masks=101)(ctx).indices
    assert len(set(chosen.tolist())) == 3
    assert {0, 2} < set(chosen.tolist())


def test_without_dropout_dropquery_is_k_means_of_samples_drawn_at_random():
    features = points(50, 3)
    picked = set()
    for seed in range(30):
        ctx = context(size=50, k=5, seed=seed, features=features, head=layer(3, 2))
        picked |= set(load_strategy("dropquery", rate=0.0)(ctx).indices.tolist())
    assert len(picked) > 40


def test_options_without_meaning():
    ctx = context(size=3, k=1, features=points(3, 2), head=layer(2, 2))
    for name, option, value, said in (
        ("alfa_mix", "cap", 0.0, "cap must be a number at most 1 and above 0|cap must be a number"),
        ("dropquery", "rate", 1.0, "rate must be a number at least 0 and at most 0.99"),
        ("dropquery", "masks", 0, "masks must be a whole number of at least 1"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_strategy(name, **{option: value})(ctx)
