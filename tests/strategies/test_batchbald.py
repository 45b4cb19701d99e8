import importlib
import itertools
import logging
import math

import numpy as np
import pytest
import torch
from fakes import context
from members import member_context, random_members

from activeloop.errors import ConfigError, StrategyError
from activeloop.strategies import joint, load_strategy

# Its name in the package is that of the function in it.
module = importlib.import_module("activeloop.strategies.batchbald")


def information(members, chosen):
    """Return I(labels of `chosen`; member) from every configuration written out."""
    p = members.double().numpy()
    total = 0.0
    for labels in itertools.product(range(p.shape[2]), repeat=len(chosen)):
        each = np.prod([p[:, x, y] for x, y in zip(chosen, labels, strict=True)], axis=0)
        some = each > 0
        total += (each[some] * np.log(each[some] / each.mean())).sum() / len(p)
    return total


def greedy(members, k):
    chosen = []
    for _ in range(k):
        rest = [x for x in range(members.shape[1]) if x not in chosen]
        chosen.append(max(rest, key=lambda x: information(members, [*chosen, x])))
    return chosen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 3])
def test_exact_picks_and_scores_equal_all_configurations_written_out(seed, classes):
    members = random_members(5, 20, classes, seed=seed, spread=1.5)
    picks = load_strategy("batchbald")(member_context(members, k=4))
    expected = greedy(members, 4)
    assert picks.indices.tolist() == expected
    totals = [information(members, expected[: n + 1]) for n in range(4)]
    assert np.cumsum(picks.scores) == pytest.approx(totals, abs=1e-6)


def test_equals_scikit_activeml_where_both_are_exact():
    pool = pytest.importorskip("skactiveml.pool")
    members = random_members(10, 300, 4, seed=3, spread=1.0)
    theirs = pool.batch_bald(members.double().numpy(), 5, n_MC_samples=5000, random_state=0)
    picks = load_strategy("batchbald")(member_context(members, k=5))
    assert picks.indices.tolist() == np.nanargmax(theirs, axis=1).tolist()
    assert np.cumsum(picks.scores) == pytest.approx(np.nanmax(theirs, axis=1), abs=1e-4)


def test_sampled_configurations_estimate_the_same():
    members = random_members(8, 60, 3, seed=1, spread=1.5)
    ctx = member_context(members, k=6)
    picks = load_strategy("batchbald", configurations=2000)(ctx)  # exact up to 3^6 = 729
    exact = load_strategy("batchbald")(member_context(members, k=6))
    assert picks.indices.tolist() == exact.indices.tolist()
    sampled = load_strategy("batchbald", configurations=200)(member_context(members, k=6))
    total = information(members, sampled.indices.tolist())
    assert total > 0.98 * np.sum(exact.scores)
    assert np.sum(sampled.scores) == pytest.approx(total, abs=0.03)


def test_drawn_configurations_are_unbiased_and_follow_the_members():
    members = random_members(6, 12, 3, seed=2, spread=2.0)
    members[0, 0] = torch.tensor([0.0, 1.0, 0.0])
    chosen, rest = members[:, :4], members[:, 4:]
    every = joint.nothing_chosen(members)
    for position in range(4):
        every = joint.with_all_labels(every, chosen[:, position])
    exact = every.gains(rest)
    rng = np.random.default_rng(0)
    estimates = torch.stack([joint.drawn(chosen, 600, rng).gains(rest) for _ in range(200)])
    error = estimates.std(dim=0) / math.sqrt(200)
    assert ((estimates.mean(dim=0) - exact).abs() < 4 * error + 1e-6).all()
    assert (estimates >= -1e-6).all()
    sample = joint.drawn(chosen, 60_000, rng)
    assert (sample.shares @ sample.weights).numpy() == pytest.approx(np.full(6, 1 / 6), abs=0.005)
    assert not sample.exact
    assert every.exact


def test_impossible_configurations_are_left_out():
    members = torch.eye(3)[None].repeat(2, 1, 1)
    members[1, 2] = torch.tensor([1.0, 0, 0])
    labels = joint.with_all_labels(joint.nothing_chosen(members), members[:, 2])
    assert labels.shares.tolist() == pytest.approx([0.5, 0.5])
    assert labels.weights.tolist() == [[0, 1], [1, 0]]
    assert labels.gains(members[:, 2:]).tolist() == pytest.approx([0], abs=1e-6)


def test_evaluating_only_who_could_win_picks_what_evaluating_all_does(monkeypatch):
    members = random_members(10, 400, 3, seed=5, spread=1.0)
    seen = []
    gains = joint.Configurations.gains

    def counted(self, members):
        seen.append(members.shape[1])
        return gains(self, members)

    monkeypatch.setattr(joint.Configurations, "gains", counted)
    lazy = load_strategy("batchbald")(member_context(members, k=6))
    evaluated = sum(seen)
    monkeypatch.setattr(module, "_BLOCK", 1000)
    every = load_strategy("batchbald")(member_context(members, k=6))
    assert lazy.indices.tolist() == every.indices.tolist()
    assert lazy.scores == pytest.approx(every.scores, abs=1e-6)
    assert evaluated < 0.6 * 6 * 400


def test_does_not_ask_for_copies_as_bald_does():
    members = random_members(8, 30, 3, seed=0, spread=2.0)
    best = load_strategy("bald")(member_context(members)).indices[0]
    members[:, 20:] = members[:, best : best + 1]
    bald = load_strategy("bald")(member_context(members, k=3)).indices
    batch = load_strategy("batchbald")(member_context(members, k=3)).indices
    copies = {int(best), *range(20, 30)}
    assert copies.issuperset(bald.tolist())
    assert len(copies.intersection(batch.tolist())) < 3


def test_equal_samples_are_picked_by_rng():
    members = random_members(4, 1, 3, spread=2.0).repeat(1, 9, 1)
    firsts = {
        int(load_strategy("batchbald")(member_context(members, k=1, seed=s)).indices[0])
        for s in range(40)
    }
    assert len(firsts) > 6


def test_candidates_limit_who_is_considered_to_the_highest_bald():
    members = random_members(6, 50, 3, spread=1.5)
    top = load_strategy("bald")(member_context(members, k=8)).indices
    picks = load_strategy("batchbald", candidates=8)(member_context(members, k=4))
    assert set(picks.indices.tolist()) <= set(top.tolist())
    few = load_strategy("batchbald", candidates=2)(member_context(members, k=4))
    assert len(set(few.indices.tolist())) == 4


@pytest.mark.parametrize("k", [1, 7, 30])
@pytest.mark.parametrize("kind", ["random", "certain", "constant", "one member", "double"])
def test_k_distinct_picks_of_any_members(k, kind):
    members = random_members(5, 40, 4, spread=1.0)
    if kind == "certain":
        members = torch.nn.functional.one_hot(members.argmax(dim=2), 4).float()
    elif kind == "constant":
        members = members[:, :1].repeat(1, 40, 1)
    elif kind == "one member":
        members = members[:1]
    elif kind == "double":
        members = members.double()
    members[:, :10] = torch.nan
    ctx = member_context(members.nan_to_num(0.25), k=k, labelled=range(10))
    picks = load_strategy("batchbald", configurations=100)(ctx)
    assert len(set(picks.indices.tolist())) == k
    assert min(picks.indices) >= 10
    assert np.isfinite(picks.scores).all()


def test_a_thousand_classes():
    members = random_members(3, 20, 1000)
    picks = load_strategy("batchbald", configurations=2000)(member_context(members, k=4))
    assert len(set(picks.indices.tolist())) == 4


def test_the_gap_of_the_estimate_is_logged_where_sampling_begins(caplog):
    members = random_members(8, 60, 3, spread=1.0)
    with caplog.at_level(logging.INFO, "activeloop.strategies"):
        load_strategy("batchbald", configurations=100)(member_context(members, k=6))
    (record,) = [r for r in caplog.records if "sampled configurations" in r.message]
    drawn, since, at, worst, mean, reach = record.args
    assert (drawn, since, at) == (96, 6, 5)  # 3^4 are exact, 3^5 are too many
    assert 0 < mean < worst < 0.1 * reach * 5


def test_too_many_picks_are_warned_of(caplog, monkeypatch):
    members = random_members(2, 60, 3, spread=5.0)
    monkeypatch.setattr(module, "_LONG", 1e-6)
    with caplog.at_level(logging.WARNING, "activeloop.strategies"):
        load_strategy("batchbald")(member_context(members, k=9))
    assert "9 of 60 candidates may take up to" in caplog.text
    assert "say all that labels can about 2 members" in caplog.text


def test_errors():
    ctx = member_context(random_members(3, 5, 3))
    with pytest.raises(ConfigError, match=r"strategy\.configurations must be"):
        load_strategy("batchbald", configurations=0)(ctx)
    with pytest.raises(ConfigError, match=r"strategy\.candidates must be"):
        load_strategy("batchbald", candidates=0)(ctx)
    with pytest.raises(StrategyError, match=r"learner\.members=mc_dropout"):
        load_strategy("batchbald")(context([[0.5, 0.5]]))
