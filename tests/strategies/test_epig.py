import dataclasses
import logging

import numpy as np
import pytest
import torch
from members import member_context, random_members

from activeloop import memory
from activeloop.errors import ConfigError
from activeloop.strategies import load_strategy
from activeloop.types import Picks


def by_sample(ctx, **options):
    picks = load_strategy("epig", **options)(ctx)
    assert isinstance(picks, Picks)
    return np.array(picks.scores)[np.argsort(picks.indices)]


def brute_force(members, candidates, targets):
    """Return the mean mutual information, from each joint distribution written out."""
    p = members.double().numpy()
    scores = []
    for x in candidates:
        total = 0.0
        for t in targets:
            joint = np.mean([np.outer(m[x], m[t]) for m in p], axis=0)
            independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
            some = joint > 0
            total += (joint[some] * np.log(joint[some] / independent[some])).sum()
        scores.append(total / len(targets))
    return np.array(scores)


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_equals_the_joint_written_out_over_the_whole_pool(classes):
    members = random_members(4, 30, classes, spread=1.5)
    members[0, 3] = torch.eye(classes)[0]
    members[:, 7] = torch.eye(classes)[1]  # certain: its label says nothing
    ctx = member_context(members, k=25, labelled=range(5))
    expected = brute_force(members, range(5, 30), range(30))
    scores = by_sample(ctx, targets=1000)
    assert scores == pytest.approx(expected, abs=3e-7)
    assert scores[2] == pytest.approx(0, abs=1e-7)


def test_small_information_is_not_lost_in_rounding():
    members = random_members(20, 60, 5, spread=0.02, dtype=torch.float64)
    exact = by_sample(member_context(members, k=60), targets=60)
    ctx = dataclasses.replace(member_context(members, k=60), members=members.float())
    assert exact.max() < 1e-5
    assert by_sample(ctx, targets=60) == pytest.approx(exact, rel=0.01, abs=1e-8)


def test_targets_are_drawn_by_rng_from_labelled_and_unlabelled():
    members = random_members(4, 40, 3)
    members[:, 30:] = torch.nan  # in neither
    ctx = member_context(members, k=20, labelled=range(5))
    ctx = dataclasses.replace(ctx, unlabelled=np.arange(5, 25))
    drawn = np.random.default_rng(0).choice(25, 6, replace=False)
    expected = brute_force(members, range(5, 25), drawn)
    assert by_sample(ctx, targets=6) == pytest.approx(expected, abs=3e-7)


def test_asks_for_what_concerns_the_targets_where_bald_does_not():
    # The members disagree most on sample 0, but only what they say of sample 1 concerns the rest.
    sure, even = [0.99, 0.01], [0.9, 0.1]
    a, b = [sure, even, *[even] * 8], [sure, even[::-1], *[even[::-1]] * 8]
    c, d = [sure[::-1], even, *[even] * 8], [sure[::-1], even[::-1], *[even[::-1]] * 8]
    members = torch.tensor([a, b, c, d])
    ctx = member_context(members, k=1, labelled=range(2, 10))
    assert load_strategy("bald")(ctx).indices[0] == 0
    assert load_strategy("epig")(ctx).indices[0] == 1


def test_chunks_change_nothing(monkeypatch):
    members = random_members(4, 30, 5)
    whole = by_sample(member_context(members, k=30))
    monkeypatch.setattr(memory, "_CHUNK_BYTES", 3000)
    assert by_sample(member_context(members, k=30)) == pytest.approx(whole, abs=1e-7)


def test_many_targets_over_many_classes_are_warned_of(caplog, monkeypatch):
    monkeypatch.setattr("activeloop.strategies.predictive._LONG", 1e-9)
    with caplog.at_level(logging.WARNING, "activeloop.strategies"):
        by_sample(member_context(random_members(2, 10, 3), k=10))
    assert "10 samples with 10 targets over 3 classes" in caplog.text


def test_targets_must_be_a_number():
    with pytest.raises(ConfigError, match=r"strategy\.targets must be a whole number"):
        by_sample(member_context(random_members(2, 5, 3)), targets=0)
