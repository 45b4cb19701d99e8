import dataclasses
import math

import numpy as np
import pytest
import torch
from fakes import context
from members import member_context, random_members

from activeloop import disagreement, measures, memory
from activeloop.errors import StrategyError
from activeloop.strategies import load_strategy

PROBS_ONLY = ["least_confidence", "margin", "entropy"]
OF_MEMBERS = ["variation_ratio", "bald", "mean_std", "vote_entropy", "consensus_entropy"]
OF_MEMBERS += ["kl_to_mean"]

# Three members, two classes: they agree and are sure; agree and are unsure; disagree and are sure.
MEMBERS = torch.tensor(
    [
        [[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]],
        [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
        [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
    ]
)
H_THIRD = -math.log(1 / 3) / 3 - 2 * math.log(2 / 3) / 3


def by_sample(name, ctx, **options):
    """Return every unlabelled sample's score, in the order of the pool."""
    picks = load_strategy(name, **options)(ctx)
    return np.array(picks.scores)[np.argsort(picks.indices)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("variation_ratio", [0, 0, 1 / 3]),
        ("bald", [0, 0, H_THIRD]),
        ("mean_std", [0, 0, math.sqrt(2) / 3]),
        ("vote_entropy", [0, 0, H_THIRD]),
        ("consensus_entropy", [0, math.log(2), H_THIRD]),
        ("kl_to_mean", [0, 0, H_THIRD]),
    ],
)
def test_members_by_hand_with_certain_ones(name, expected):
    assert by_sample(name, member_context(MEMBERS, k=3)) == pytest.approx(expected, abs=1e-6)


def test_the_largest_divergence_from_the_mean_by_hand():
    scores = by_sample("kl_to_mean", member_context(MEMBERS, k=3), over="max")
    assert scores == pytest.approx([0, 0, math.log(3)], abs=1e-6)  # the first member's


@pytest.mark.parametrize("classes", [2, 7, 100])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("least_confidence", "least_confident"), ("margin", "margin_sampling"), ("entropy",) * 2],
)
def test_uncertainty_equals_scikit_activeml(ours, theirs, classes):
    pool = pytest.importorskip("skactiveml.pool")
    probs = random_members(1, 300, classes)[0]
    expected = pool.uncertainty_scores(probs.double().numpy(), method=theirs)
    assert by_sample(ours, context(probs, k=300)) == pytest.approx(expected, abs=1e-6)


def test_committees_equal_scikit_activeml():
    pool = pytest.importorskip("skactiveml.pool")
    members = random_members(6, 200, 4, spread=2.0)
    ctx = member_context(members, k=200)
    exact = members.double().numpy()
    votes = exact.argmax(axis=2).T
    expected = {
        "kl_to_mean": pool.average_kl_divergence(exact.copy()),
        "vote_entropy": pool.vote_entropy(votes, np.arange(4)),
        "variation_ratio": pool._query_by_committee.variation_ratios(votes),
        "bald": pool.batch_bald(exact.copy(), 1, random_state=0)[0],
    }
    for name, scores in expected.items():
        assert by_sample(name, ctx) == pytest.approx(scores, abs=2e-6), name


def test_member_measures_equal_plain_sums():
    members = random_members(5, 50, 3, spread=2.0)
    p = members.double().numpy()
    mean = p.mean(axis=0)
    divergence = (p * np.log(p / mean)).sum(axis=2)
    ctx = member_context(members, k=50)
    assert by_sample("bald", ctx) == pytest.approx(divergence.mean(axis=0), abs=1e-6)
    assert by_sample("kl_to_mean", ctx) == pytest.approx(divergence.mean(axis=0), abs=1e-6)
    assert by_sample("kl_to_mean", ctx, over="max") == pytest.approx(
        divergence.max(axis=0), abs=1e-6
    )
    assert by_sample("mean_std", ctx) == pytest.approx(p.std(axis=0).mean(axis=1), abs=1e-6)
    assert by_sample("consensus_entropy", ctx) == pytest.approx(
        -(mean * np.log(mean)).sum(axis=1), abs=1e-6
    )


def test_two_likeliest_among_equals_for_few_and_many_classes():
    for classes in (2, 3, 40, 1000):
        probs = torch.zeros(3, classes)
        probs[0, 1] = 1
        probs[1, :2] = 0.5
        probs[2, -2:] = torch.tensor([0.25, 0.75])
        assert measures.margin(probs).tolist() == [1, 0, 0.5]


@pytest.mark.parametrize("name", PROBS_ONLY + OF_MEMBERS)
def test_only_unlabelled_rows_are_read_and_chunks_change_nothing(name, monkeypatch):
    members = random_members(4, 60, 5)
    ctx = member_context(members, k=20, labelled=range(0, 60, 2))
    ctx = dataclasses.replace(ctx, unlabelled=np.arange(1, 41, 2))
    whole = load_strategy(name)(ctx)
    for tensor in (ctx.probs, ctx.members[0], ctx.members[1]):
        tensor[41:] = torch.nan
    monkeypatch.setattr(memory, "_CHUNK_BYTES", 700)  # a few rows
    parts = load_strategy(name)(dataclasses.replace(ctx, rng=np.random.default_rng(0)))
    assert parts.indices.tolist() == whole.indices.tolist()
    assert parts.scores.tolist() == pytest.approx(whole.scores.tolist())


@pytest.mark.parametrize("name", PROBS_ONLY + OF_MEMBERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_are_never_negative_so_that_power_sampling_works(name, dtype):
    members = random_members(3, 400, 6, spread=0.0, dtype=dtype)
    members = torch.where(members > 0.5, 1.0000001, members)  # as rounding leaves it
    members[:, :100] = 0
    members[:, :100, 2] = 1.0000001
    ctx = dataclasses.replace(
        context(members[0], k=400), members=members, probs=members[0].to(dtype)
    )
    picks = load_strategy(name, sampling="power")(ctx)
    assert len(set(picks.indices.tolist())) == 400
    assert (picks.scores >= 0).all()


def test_temperature_tempers_members_and_keeps_zeros():
    members = torch.tensor([[[0.8, 0.2, 0.0]], [[0.2, 0.8, 0.0]]])
    weights = np.sqrt([0.8, 0.2])
    a, b = weights / weights.sum()
    expected = math.log(2) + a * math.log(a) + b * math.log(b)
    ctx = member_context(members)
    assert by_sample("bald", ctx, temperature=2.0) == pytest.approx([expected], abs=1e-6)
    assert ctx.members is members
    assert members[0, 0, 0] == pytest.approx(0.8)


def test_votes_of_equally_likely_classes_go_to_the_first():
    members = torch.tensor([[[0.5, 0.5]], [[0.5, 0.5]], [[0.1, 0.9]]])
    assert disagreement.variation_ratio(members).tolist() == pytest.approx([1 / 3])


@pytest.mark.parametrize("name", OF_MEMBERS)
def test_without_members_the_message_says_where_they_come_from(name):
    with pytest.raises(StrategyError, match=r"learner\.members=mc_dropout .*members=ensemble"):
        load_strategy(name)(context([[0.5, 0.5]]))
