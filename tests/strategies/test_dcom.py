import logging
import math
import re

import numpy as np
import pytest
import torch
from fakes import context
from scipy.spatial.distance import cdist

from activeloop.errors import ConfigError
from activeloop.strategies import load_strategy
from activeloop.strategies.dynamic_coverage import _covered, _radii, competence_of
from activeloop.strategies.kernels import placed


def pool(n=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    x = torch.from_numpy(2.0 * np.eye(3, 4)[labels] + 0.6 * rng.normal(size=(n, 4))).float()
    scores = 3 * np.eye(3)[labels] + rng.normal(size=(n, 3))
    probs = torch.from_numpy(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).float()
    return x, labels, probs


def ctx(x, probs, k, labelled=(), labels=None):
    c = context(probs, k=k, labelled=labelled, features=x)
    if labels is not None:
        object.__setattr__(c, "labels", np.asarray(labels)[list(labelled)])
    return c


def distances(x):
    unit = (x / x.norm(dim=1, keepdim=True)).double().numpy()
    return cdist(unit, unit)


def largest_radii(apart, labelled, unlabelled, same, delta, growth):
    """Return each labelled sample's radius by trying all 32."""
    share = (apart[np.ix_(labelled, unlabelled)] < delta).any(axis=0).mean()
    tried = growth * delta * np.arange(1, 33) / 32
    radii = []
    for row, sample in enumerate(labelled):
        near = apart[sample, unlabelled]
        purity = [(1 + (same[row] & (near < r)).sum()) / (1 + (near < r).sum()) for r in tried]
        pure = [r for r, p in zip(tried, purity, strict=True) if p >= 0.4 + 0.2 * share]
        radii.append(max(pure, default=tried[0]))
    return np.array(radii)


@pytest.mark.parametrize("delta", [0.1, 0.4, 0.9])
def test_radii_are_the_largest_at_which_the_predictions_agree(delta):
    x, labels, probs = pool()
    labels = labels.copy()
    labels[:4] = 0  # some disagree with their surroundings
    labelled = list(range(0, 40, 2))
    c = ctx(x, probs, 1, labelled, labels)
    points = placed(x, np.concatenate([c.unlabelled, c.labelled]), normalize=True, limit=10**9)
    n = len(c.unlabelled)
    found = _radii(c, points[n:], points[:n], np.arange(n), delta, 1.5)
    same = probs[c.unlabelled].argmax(dim=1).numpy() == c.labels[:, None]
    expected = largest_radii(distances(x), labelled, c.unlabelled, same, delta, 1.5)
    assert found.numpy() == pytest.approx(expected, rel=1e-5)
    assert len(np.unique(expected)) > 1 or delta == 0.1
    covered = (distances(x)[np.ix_(labelled, c.unlabelled)] < expected[:, None]).any(axis=0)
    assert _covered(points[n:], found, points[:n]).tolist() == covered.tolist()


def test_competence_by_hand():
    assert competence_of(1.0, 0.8, 50) == 1
    assert competence_of(0.8, 0.8, 50) == pytest.approx((1 + math.exp(-10)) / 2)
    assert competence_of(0.0, 0.8, 50) < 1e-15
    assert competence_of(0.5, 0.5, 2) == pytest.approx((1 + math.exp(-1)) / 2)


@pytest.mark.parametrize("midpoint", [0.0, 0.5, 1.0])
def test_every_pick_has_the_highest_mix(midpoint):
    x, labels, probs = pool()
    labelled = list(range(0, 20, 2))
    c = ctx(x, probs, 25, labelled, labels)
    picks = load_strategy("dcom", delta=0.2, midpoint=midpoint, steepness=2.0)(c)
    apart, free = distances(x), c.unlabelled
    same = probs[free].argmax(dim=1).numpy() == c.labels[:, None]
    radii = largest_radii(apart, labelled, free, same, 0.2, 1.5)
    covered = (apart[labelled] < radii[:, None]).any(axis=0)
    competence = competence_of(covered[free].mean(), midpoint, 2.0)
    top = probs.double().topk(2, dim=1).values
    unsure = (1 - (top[:, 0] - top[:, 1])).numpy()
    unsure = (unsure - unsure.min()) / (unsure.max() - unsure.min())
    graph, left = apart < radii.mean(), set(free.tolist())
    for pick, score in zip(picks.indices, picks.scores, strict=True):
        open_ = np.zeros(200, bool)
        open_[free] = ~covered[free]
        degrees = {i: (graph[i] & open_).sum() for i in left}
        most = max(1, *degrees.values()) if len(degrees) > 1 else 1
        mix = {i: competence * unsure[i] + (1 - competence) * degrees[i] / most for i in left}
        assert mix[pick] == pytest.approx(max(mix.values()), abs=1e-5)
        assert score == pytest.approx(mix[pick], abs=1e-5)
        covered |= graph[pick]
        left.remove(pick)


def test_full_coverage_is_margin_sampling_and_none_is_probcover():
    x, labels, probs = pool()
    known = ctx(x, probs, 10, range(50), labels)
    object.__setattr__(known, "labels", probs.argmax(dim=1).numpy()[:50])
    ours = load_strategy("dcom", delta=2.1, midpoint=0.2)(known)
    margin = load_strategy("margin")(ctx(x, probs, 10, range(50), labels))
    assert len(set(ours.indices) & set(margin.indices)) == 10
    few = load_strategy("dcom", delta=0.3)(ctx(x, probs, 5))
    cover = load_strategy("probcover", delta=0.3)(ctx(x, probs, 5))
    assert few.scores[0] == pytest.approx(1, abs=1e-6)
    degrees = (distances(x) < 0.3).sum(axis=1)
    assert degrees[few.indices[0]] == degrees[cover.indices[0]] == degrees.max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"growth": 0.5}, "strategy.growth must be"),
        ({"midpoint": 2.0}, "strategy.midpoint must be"),
        ({"steepness": 0.0}, "strategy.steepness must be"),
        ({"delta": -1.0}, "strategy.delta must be"),
    ],
)
def test_options_without_meaning(options, message):
    x, labels, probs = pool(60)
    with pytest.raises(ConfigError, match=message):
        load_strategy("dcom", **{"delta": 0.3, **options})(ctx(x, probs, 2, range(9), labels))


def test_where_coverage_is_measured_on_a_sample_the_gap_to_others_is_logged(caplog):
    caplog.set_level(logging.INFO, "activeloop.strategies")
    x, _, probs = pool(60)
    picks = load_strategy("dcom", delta=0.3, references=30)(ctx(x, probs, 4))
    (line,) = [r.getMessage() for r in caplog.records if "gained" in r.getMessage()]
    on_references, on_others = map(float, re.findall(r": (\d\.\d+)", line))
    covered = (distances(x)[picks.indices] < 0.3).any(axis=0)  # the two halves are the whole pool
    assert 30 * on_references + 30 * on_others == pytest.approx(covered.sum(), abs=0.02)
    assert on_references != on_others
    caplog.clear()
    load_strategy("dcom", delta=0.3)(ctx(x, probs, 4))
    assert "gained" not in caplog.text
