"""Strategies that ask others: by hand on small pools, and in whole runs."""

import dataclasses
import logging
import pickle

import numpy as np
import pytest
import torch
from fakes import CentroidLearner, blobs, context
from hypothesis import given
from hypothesis import strategies as st

from activeloop import ActiveLoop, Initial, SimulatedOracle, load_strategy, neighbors
from activeloop.errors import ConfigError, DataError, StrategyError
from activeloop.neighbors import PoolNeighbors
from activeloop.selection import candidates, select
from activeloop.strategies import CATALOG, described, name_of, needs, needs_of
from activeloop.types import Picks


def low(context):
    return context.unlabelled[: context.k]


def high(context):
    return context.unlabelled[::-1][: context.k]


@needs("members")
def costly(context):
    return context.unlabelled[: context.k]


def short(context):
    return context.unlabelled[: context.k - 1]


def raising(context):
    raise ZeroDivisionError("no luck")


def with_scores(context):
    return Picks(high(context), [1.0] * context.k)


class Fixed:
    """Asks for what it is told, and wants only that predicted."""

    def __init__(self, *indices):
        self.indices = np.array(indices)

    def candidates(self, context):
        return self.indices[np.isin(self.indices, context.unlabelled)]

    def __call__(self, context):
        return self.indices[np.isin(self.indices, context.unlabelled)][: context.k]


class Odd:
    """Trusts that it is called on its candidates."""

    def candidates(self, context):
        return context.unlabelled[context.unlabelled % 2 == 1]

    def __call__(self, context):
        return low(context)


# p1 - p2 of samples 0 to 5: 0.8, 0.2, 0.6, 0.0, 0.4, 0.1.
GAPS = [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7], [0.45, 0.55]]


def predicted(learner):
    """Return how many were predicted at a time, but for single samples to see what comes."""
    return [n for n in learner.predicted if n > 1]


def picked(strategy, ctx):
    indices, _ = select(strategy, ctx)
    return indices.tolist()


# -- mix -----------------------------------------------------------------------------------------


def test_mix_gives_each_its_share_of_what_is_left():
    mix = load_strategy("mix", strategies=[low, high], shares=[0.8, 0.2])
    assert picked(mix, context(size=10, k=5, labelled=[0])) == [1, 2, 3, 4, 9]
    mix = load_strategy("mix", strategies=[low, low])
    assert picked(mix, context(size=10, k=4, labelled=[0])) == [1, 2, 3, 4]
    mix = load_strategy("mix", strategies=["margin", high], shares=[2, 1])
    assert picked(mix, context(GAPS, k=3)) == [3, 5, 4]  # high would have taken 5


def sizes(shares, k, seed=0):
    strategies = [Fixed(*range(100 * n, 100 * n + 100)) for n in range(len(shares))]
    chosen = load_strategy("mix", strategies=strategies, shares=shares)(
        context(size=100 * len(shares), k=k, seed=seed)
    )
    return np.bincount(np.array(chosen.indices) // 100, minlength=len(shares)).tolist()


def test_shares_are_rounded_by_largest_remainder():
    assert sizes([0.5, 0.3, 0.2], 10) == [5, 3, 2]
    assert sizes([0.5, 0.3, 0.2], 3) == [1, 1, 1]  # 1.5, 0.9, 0.6
    # 2.4, 1.2, 0.4: by chance the first or the last.
    assert {tuple(sizes([6, 3, 1], 4, seed)) for seed in range(20)} == {(3, 1, 0), (2, 1, 1)}
    assert sizes([0.7, 0.2, 0.1], 10) == [7, 2, 1]  # 0.7 * 10 < 7 in floating point
    assert {tuple(sizes([1, 1], 1, seed)) for seed in range(20)} == {(1, 0), (0, 1)}
    assert {tuple(sizes([1, 0, 1], 1, seed)) for seed in range(20)} == {(1, 0, 0), (0, 0, 1)}


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=5), st.integers(1, 60))
def test_shares_always_meet_k(shares, k):
    given_sizes = sizes(shares, k)
    exact = k * np.array(shares) / sum(shares)
    assert sum(given_sizes) == k
    assert (np.abs(given_sizes - exact) < 1).all()


def test_mix_keeps_scores_where_all_have_them():
    ctx = context(GAPS, k=2)
    both = load_strategy("mix", strategies=["margin", with_scores])(ctx)
    assert list(both.scores) == pytest.approx([1.0, 1.0])
    assert load_strategy("mix", strategies=["margin", high])(ctx).scores is None


def test_candidates_of_a_mix_are_those_of_all_or_the_whole_pool():
    two = load_strategy("mix", strategies=[Fixed(7, 3, 1), Fixed(1, 5)])
    assert candidates(two, context(size=9, k=2)).tolist() == [1, 3, 5, 7]
    assert candidates(load_strategy("mix", strategies=[Fixed(7, 3), low]), context(size=9)) is None


def test_in_a_mix_each_keeps_to_its_own_candidates():
    inner = {"name": "subsample", "strategy": low, "size": 3}
    mix = load_strategy("mix", strategies=[inner, high])
    ctx = context(size=1000, k=4)
    part = candidates(load_strategy(**inner), context(size=1000, k=2))
    assert picked(mix, ctx)[:2] == part[:2].tolist()
    mix = load_strategy("mix", strategies=[Odd(), high])
    assert picked(mix, context(size=9, k=4)) == [1, 3, 8, 7]


# -- switch --------------------------------------------------------------------------------------


def test_switch_by_labels_and_by_round():
    switch = load_strategy("switch", first=low, then=high, at=3)
    assert picked(switch, context(size=9, labelled=[0, 1])) == [2]
    assert picked(switch, context(size=9, labelled=[0, 1, 2])) == [8]
    assert picked(load_strategy("switch", first=low, then=high, round=2), context(size=9)) == [0]
    assert picked(load_strategy("switch", first=low, then=high, round=1), context(size=9)) == [8]


def test_only_what_the_strategy_in_turn_needs_is_computed():
    switch = load_strategy("switch", first="random", then=costly, at=3)
    nested = load_strategy("subsample", strategy=switch)
    for strategy in (switch, nested):
        assert needs_of(strategy) == {"members"}
        assert needs_of(strategy, context(size=9, labelled=[0])) == frozenset()
        assert needs_of(strategy, context(size=9, labelled=[0, 1, 2])) == {"members"}
    learner = CentroidLearner()
    run(load_strategy("switch", first="random", then="margin", round=3), learner=learner, rounds=4)
    # The pool is predicted for queries 3 and 4 only; 60 are the test set, 5 what was picked.
    assert predicted(learner) == [60, 5, 60, 5, 60, 90, 60, 90, 60]


def test_candidates_of_a_switch_are_those_of_the_strategy_in_turn():
    switch = load_strategy("switch", first=Fixed(4, 2), then=low, at=1)
    assert candidates(switch, context(size=9)).tolist() == [2, 4]
    assert candidates(switch, context(size=9, labelled=[0])) is None


@pytest.mark.skipif("typiclust" not in CATALOG, reason="needs typiclust")
def test_tcm_is_typiclust_then_margin():
    tcm = load_strategy("tcm")
    assert [name_of(each) for each in tcm.inner] == ["typiclust", "margin"]
    assert (tcm.at, tcm.round) == (None, 3)


# -- filter --------------------------------------------------------------------------------------


def test_filter_keeps_beta_k_and_picks_among_them():
    assert picked(load_strategy("filter", then=low, beta=3), context(GAPS)) == [1]  # of 3, 5, 1
    assert picked(load_strategy("filter", then=high, beta=1.5), context(GAPS, k=2)) == [5, 3]
    assert picked(load_strategy("filter", then=high, beta=9), context(GAPS, k=2)) == [5, 4]  # all
    assert picked(load_strategy("filter", score=high, then=low, beta=4), context(size=9)) == [5]


# -- subsample -----------------------------------------------------------------------------------


def test_subsample_predicts_its_part_only_and_picks_in_it():
    strategy = load_strategy("subsample", strategy=high, size=20)
    ctx = context(size=1000, k=3, labelled=range(10))
    part = candidates(strategy, ctx)
    assert len(part) == 20
    assert np.isin(part, ctx.unlabelled).all()
    assert picked(strategy, ctx) == part[::-1][:3].tolist()  # drawn from or not, ctx.rng is not it
    other = candidates(strategy, context(size=1000, k=3, labelled=range(10), seed=1))
    assert other.tolist() != part.tolist()
    learner = CentroidLearner()
    run(load_strategy("subsample", strategy="entropy", size=7), learner=learner, rounds=2)
    assert predicted(learner) == [60, 7 + 6, 60, 7 + 11, 60]


def test_subsample_is_uniform():
    counts = np.zeros(10)
    strategy = load_strategy("subsample", strategy=low, size=3)
    for seed in range(2000):
        counts[candidates(strategy, context(size=10, seed=seed))] += 1
    assert counts.min() > 520  # 600 expected each, standard deviation 20
    assert counts.max() < 680


def test_a_share_is_about_that_share_and_is_the_same_again():
    strategy = load_strategy("subsample", strategy=low, share=0.25)
    ctx = context(size=4000, k=3)
    part = candidates(strategy, ctx)
    assert len(part) == pytest.approx(1000, abs=120)  # standard deviation 27
    assert strategy.narrowed(context(size=4000, k=3)).tolist() == part.tolist()
    few = load_strategy("subsample", strategy=low, share=1e-9)
    assert len(candidates(few, ctx)) == 3


@pytest.mark.parametrize("options", [{"size": 20}, {"share": 0.1}])
def test_the_part_is_the_same_whatever_else_may_be_picked(options):
    strategy = load_strategy("subsample", strategy=low, **options)
    ctx = context(size=300, k=3)
    part = candidates(strategy, ctx)
    for more in ([], range(150, 300), range(0, 300, 7)):
        ctx = context(size=300, k=3)
        ctx = dataclasses.replace(ctx, unlabelled=np.union1d(part, np.array(more, np.int64)))
        ctx.rng.random(5)
        assert candidates(strategy, ctx).tolist() == part.tolist()


def test_a_part_of_a_part():
    inner = load_strategy("subsample", strategy=Fixed(*range(0, 1000, 2)), size=40)
    ctx = context(size=1000, k=5)
    chosen = candidates(inner, ctx)
    assert 5 <= len(chosen) < 40
    assert (chosen % 2 == 0).all()


# -- seals ---------------------------------------------------------------------------------------


def on_circle(*degrees):
    angles = np.radians(degrees)
    return torch.tensor(np.stack([np.cos(angles), np.sin(angles)], 1), dtype=torch.float32)


def embedded(probs=None, *, labelled=(), features=None, embeddings=None, **options):
    near = PoolNeighbors(features, embeddings, np.array(labelled, np.int64))
    size = len(embeddings if features is None else features)
    return context(
        probs,
        size=size if probs is None else None,
        labelled=labelled,
        features=features,
        embeddings=embeddings,
        neighbors=near,
        **options,
    )


def test_seals_asks_among_the_neighbours_of_the_labelled():
    space = on_circle(0, 10, 25, 90, 100, 180, 190)
    seals = load_strategy("seals", strategy=high, m=2)
    assert needs_of(seals) == {"embeddings", "neighbors"}
    ctx = embedded(labelled=[0], embeddings=space)
    assert candidates(seals, ctx).tolist() == [1, 2]
    assert picked(seals, ctx) == [2]
    ctx = embedded(labelled=[0, 3], embeddings=space)
    assert candidates(seals, ctx).tolist() == [1, 2, 4]  # 90 degrees: 100 and 25
    assert candidates(seals, embedded(labelled=[5], embeddings=space)).tolist() == [4, 6]


def test_seals_fills_up_at_random_and_starts_from_the_whole_pool():
    space = on_circle(0, 10, 25, 90, 100, 180, 190)
    seals = load_strategy("seals", strategy=low, m=1)
    assert candidates(seals, embedded(embeddings=space)) is None
    filled = set()
    for seed in range(30):
        ctx = embedded(k=3, labelled=[0], embeddings=space, seed=seed)
        chosen = candidates(seals, ctx)
        assert len(chosen) == 3
        assert 1 in chosen
        assert sorted(picked(seals, ctx)) == chosen.tolist()
        filled |= {*chosen.tolist()}
    assert filled == {1, 2, 3, 4, 5, 6}


def test_seals_agrees_with_brute_force_as_labels_grow():
    space = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    unit = (space / space.norm(dim=1, keepdim=True)).double()
    apart = torch.cdist(unit, unit).fill_diagonal_(torch.inf)
    seals = load_strategy("seals", strategy=low, m=7)
    order = np.random.default_rng(0).permutation(300)
    for n in (1, 2, 40, 41, 90, 3):  # back to 3: another run with the same object
        labelled = np.sort(order[:n])
        near = np.unique(apart[labelled].topk(7, largest=False).indices.numpy())
        expected = np.setdiff1d(near, labelled)
        ctx = embedded(labelled=labelled, embeddings=space)
        assert candidates(seals, ctx).tolist() == expected.tolist()


def test_seals_in_a_pool_of_several_chunks_and_in_another_space():
    seals = load_strategy("seals", strategy=low, m=3)
    labelled = np.arange(0, 9000, 30)  # 300, more than are searched at a time
    spaces = [torch.randn(9000, 4, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]
    for space in spaces:
        unit = torch.nn.functional.normalize(space.double(), dim=1)
        apart = torch.cdist(unit[labelled], unit)
        apart[torch.arange(300), labelled] = torch.inf
        expected = np.setdiff1d(apart.topk(3, largest=False).indices.numpy(), labelled)
        ctx = embedded(labelled=labelled, embeddings=space)
        assert candidates(seals, ctx).tolist() == expected.tolist()


def test_seals_searches_newly_labelled_samples_only(monkeypatch):
    searched, nearest = [], neighbors.nearest

    def watch(*arguments, queries, **options):
        searched.append(len(queries))
        return nearest(*arguments, queries=queries, **options)

    monkeypatch.setattr(neighbors, "nearest", watch)
    neighbors._tables.forget()
    run(load_strategy("seals", m=5), data=with_embeddings(), rounds=3)
    assert searched[1:] == [6, 5, 5]  # the first is of the rehearsal


def test_seals_with_duplicates_and_more_neighbours_than_samples():
    space = torch.ones(6, 3)
    seals = load_strategy("seals", strategy=low, m=100)
    ctx = embedded(labelled=[2], k=5, embeddings=space)
    assert candidates(seals, ctx).tolist() == [0, 1, 3, 4, 5]


def test_seals_in_features_predicts_everything_first():
    seals = load_strategy("seals", strategy=high, m=2, space="features")
    assert needs_of(seals) == {"features", "neighbors"}
    space = on_circle(0, 10, 25, 90, 100, 180, 190)
    assert candidates(seals, context(size=7, labelled=[0])) is None
    assert picked(seals, embedded(labelled=[0], features=space)) == [2]


# -- deduplicate ---------------------------------------------------------------------------------


def test_no_two_picks_are_closer_than_the_threshold():
    space = on_circle(0, 1, 50, 51, 120, 52)
    strategy = load_strategy("deduplicate", strategy=low, threshold=0.01)  # about 8 degrees
    assert picked(strategy, context(size=6, k=3, features=space)) == [0, 2, 4]
    values = torch.tensor([[0.0], [0.5], [1.0], [1.5], [9.0]])
    strategy = load_strategy("deduplicate", strategy=low, threshold=1.0, distance="l2")
    # 1.0 apart is not closer than 1.0.
    assert picked(strategy, context(size=5, k=3, features=values)) == [0, 2, 4]


def test_cosine_is_between_directions_and_scores_stay_with_their_picks():
    space = torch.tensor([[1.0, 0], [5, 0.01], [0, 2], [-3, 0], [0, 0.1], [1, 1]])
    picks = load_strategy("deduplicate", threshold=0.1)(context(GAPS, k=4, features=space))
    # By margin: 3, 5, 1, 4, 2, 0; 2 is like 4, and 0 like 1.
    assert list(picks.indices) == [3, 5, 1, 4]
    assert list(picks.scores) == pytest.approx([1, 0.9, 0.8, 0.6])
    space = torch.tensor([[9.0, 1], [2, 0], [4, 0], [0, 3], [1, 1], [0, 1]])  # 5 is like 3
    picks = load_strategy("deduplicate", threshold=0.1)(context(GAPS, k=3, features=space))
    assert list(picks.indices) == [3, 1, 4]
    assert list(picks.scores) == pytest.approx([1, 0.8, 0.6])


def test_the_strategy_is_asked_for_more_until_they_suffice():
    asked = []

    def watched(context):
        asked.append(context.k)
        return low(context)

    space = torch.tensor([[0.0]] * 40 + [[5.0], [9.0]])
    strategy = load_strategy("deduplicate", strategy=watched, threshold=1, distance="l2", factor=2)
    assert picked(strategy, context(size=42, k=3, features=space)) == [0, 40, 41]
    assert asked == [6, 12, 24, 42]


def test_near_duplicates_fill_the_batch_where_there_is_nothing_else(caplog):
    space = torch.tensor([[0.0], [0.1], [7.0], [0.2], [0.0]])
    strategy = load_strategy("deduplicate", strategy=low, threshold=1, distance="l2")
    with caplog.at_level(logging.WARNING, "activeloop"):
        assert picked(strategy, context(size=5, k=4, features=space)) == [0, 2, 1, 3]
    assert "2 of 4 picks are closer than threshold=1" in caplog.text


def test_duplicates_of_labelled_samples_can_be_left_out_too():
    space = torch.tensor([[0.0], [0.1], [7.0], [0.2], [3.0]])
    options = {"strategy": low, "threshold": 1, "distance": "l2"}
    ctx = embedded(k=2, labelled=[0], features=space)
    assert picked(load_strategy("deduplicate", **options), ctx) == [1, 2]
    assert picked(load_strategy("deduplicate", **options, labelled=True), ctx) == [2, 4]


# -- class_balanced ------------------------------------------------------------------------------


def test_the_rarest_class_is_asked_for_first():
    probs = [[0.9, 0.1, 0], [0.6, 0.4, 0], [0.8, 0.2, 0], [0.1, 0.9, 0], [0.3, 0.7, 0], [0, 0, 1]]
    strategy = load_strategy("class_balanced")
    # Predicted 0: 1, 2, 0 by margin; 1: 4, 3; 2: 5. Sample 0 is labelled, as class 0.
    picks = strategy(context(probs, k=5, labelled=[0]))
    assert {*list(picks.indices)[:2]} == {4, 5}  # classes 1 and 2 have none
    assert {*list(picks.indices)[2:4]} == {1, 3}  # classes 0 and 1 have one, class 2 is used up
    assert list(picks.indices)[4] == 2
    gap = {0: 0.8, 1: 0.2, 2: 0.6, 3: 0.8, 4: 0.4, 5: 1.0}
    assert list(picks.scores) == pytest.approx([1 - gap[i] for i in picks.indices])
    firsts = {int(strategy(context(probs, labelled=[0], seed=s)).indices[0]) for s in range(20)}
    assert firsts == {4, 5}


def test_within_a_class_the_order_is_that_of_the_score():
    probs = torch.tensor([[1.0, 0], [0, 1.0]]).repeat(300, 1)
    chosen = load_strategy("class_balanced", score=low)(context(probs, k=400)).indices
    for label in (0, 1):
        assert [i for i in chosen if i % 2 == label] == list(range(label, 400, 2))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_balance_cannot_be_better(predicted, data):
    k = data.draw(st.integers(1, len(predicted)))
    probs = torch.nn.functional.one_hot(torch.tensor(predicted), 4).float()
    chosen = load_strategy("class_balanced", score=low)(context(probs, k=k)).indices
    counts = np.bincount(np.array(predicted)[chosen], minlength=4)
    there = np.bincount(predicted, minlength=4)
    # No class has two more than one that still had samples to give.
    for giver in range(4):
        for taker in np.flatnonzero(counts < there):
            assert counts[giver] <= counts[taker] + 1


# -- replay --------------------------------------------------------------------------------------


def make_loop(strategy, data=None, learner=None, directory=None, **options):
    data = data or blobs()[0]
    options = {"stop_set": 0, "initial": 6, "query_size": 5, "rounds": 4, "seed": 1} | options
    return ActiveLoop(
        data,
        learner or CentroidLearner(),
        strategy,
        directory=directory,
        test_labels=blobs()[1].test,
        **options,
    )


def run(strategy, **options):
    loop = make_loop(strategy, **options)
    loop.run(SimulatedOracle(blobs()[1].pool))
    return loop


def asked(loop):
    return [(a.round, a.position, a.key) for a in loop.files.store.queries()]


def test_replay_asks_for_the_same_round_by_round(tmp_path):
    first = run(load_strategy("entropy"), directory=tmp_path / "a")
    learner = CentroidLearner()
    again = run(load_strategy("replay", path=tmp_path / "a"), learner=learner)
    assert asked(again) == asked(first)
    assert predicted(learner) == [60, 5] * 4 + [60]  # of the pool, only what was picked
    halves = run(load_strategy("replay", path=str(tmp_path / "a" / "queries.csv")), rounds=2)
    assert asked(halves) == asked(first)[: 6 + 10]


def test_replay_from_another_initial_set_passes_over_what_is_labelled(tmp_path):
    first = run(load_strategy("entropy"), directory=tmp_path / "a")
    replay = load_strategy("replay", path=tmp_path / "a")
    other = run(replay, seed=2, rounds=3)
    own = [key for round, _, key in asked(other) if round == 0]
    expected = [key for _, _, key in asked(first) if key not in own]
    assert [key for round, _, key in asked(other) if round] == expected[:15]
    start = load_strategy("replay", path=tmp_path / "a")
    same = run(replay, seed=3, initial=Initial(size=6, strategy=start))
    assert asked(same) == asked(first)


def test_replay_passes_over_skipped_samples_and_wants_its_picks_only(tmp_path):
    path = tmp_path / "queries.csv"
    path.write_text("key\nd\na\nb\nb\nc\n")
    replay = load_strategy("replay", path=path)
    replay.resolve("abcde")
    ctx = dataclasses.replace(context(size=5, k=2), unlabelled=np.array([1, 2, 3]))
    assert picked(replay, ctx) == [3, 1]
    assert needs_of(replay) == frozenset()  # so that nothing at all is predicted


def test_replay_of_a_part_of_each_batch(tmp_path):
    run(
        load_strategy("margin"), directory=tmp_path / "a", rounds=2
    )  # 10 picks, of which a half each time lasts 4 rounds
    half = {"name": "replay", "path": str(tmp_path / "a")}
    mixed = run(load_strategy("mix", strategies=[half, "random"], shares=[1, 1]), rounds=3)
    assert len(mixed.rounds) == 4


def test_replay_says_when_it_runs_out(tmp_path):
    run(load_strategy("entropy"), directory=tmp_path / "a")
    loop = make_loop(load_strategy("replay", path=tmp_path / "a"), rounds=5)
    with pytest.raises(StrategyError, match=r"26 samples, 0 of them left .* of 5: .*rounds"):
        loop.run(SimulatedOracle(blobs()[1].pool))
    assert loop.pool.n_labelled == 26


def test_replay_of_other_data_names_file_and_line(tmp_path):
    path = tmp_path / "queries.csv"
    path.write_text("round,key,label\n0,pool/3,a\n0,dog.png,b\n")
    with pytest.raises(DataError, match=r"queries.csv, line 3: .* the key 'dog.png'"):
        make_loop(load_strategy("replay", path=path))
    nested = load_strategy("mix", strategies=["margin", {"name": "replay", "path": str(path)}])
    with pytest.raises(DataError, match=r"line 3"):
        make_loop(nested)
    with pytest.raises(DataError, match=r"cannot read .*none\.csv"):
        load_strategy("replay", path=tmp_path / "none.csv")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="a column key"):
        load_strategy("replay", path=path)
    path.write_text("key\npool/3\n")
    with pytest.raises(StrategyError, match="resolve"):
        select(load_strategy("replay", path=path), context(size=5))


# -- all of them ---------------------------------------------------------------------------------

WRAPPERS = {
    "mix": {"strategies": ["margin", "random"], "shares": [0.8, 0.2]},
    "switch": {"first": "random", "then": "margin", "at": 9},
    "filter": {"score": "margin", "then": "random"},
    "subsample": {"strategy": "margin", "size": 12},
    "seals": {"strategy": "margin", "m": 4},
    "deduplicate": {"strategy": "margin", "factor": 1.0},
    "class_balanced": {"score": "margin"},
}
NESTED = {
    "name": "mix",
    "strategies": [
        {"name": "subsample", "strategy": {"name": "entropy", "sampling": "power"}, "size": 20},
        {"name": "deduplicate", "strategy": {"name": "seals", "m": 3}, "space": "embeddings"},
        {"name": "class_balanced", "score": {"name": "filter", "then": "random", "beta": 2}},
    ],
}
EVERY = [pytest.param({"name": n, **o}, id=n) for n, o in WRAPPERS.items()]
EVERY.append(pytest.param(NESTED, id="nested"))


@pytest.mark.parametrize("options", EVERY)
@pytest.mark.parametrize("pool", ["random", "constant"])
def test_exactly_k_for_every_k(options, pool):
    strategy = load_strategy(**options)
    generator = torch.Generator().manual_seed(0)
    space = torch.randn(30, 3, generator=generator) if pool == "random" else torch.ones(30, 3)
    probs = torch.randn(30, 4, generator=generator).softmax(1)
    for k in range(1, 26):
        ctx = embedded(
            probs, k=k, labelled=[3, 7, 8, 20, 29], features=space, embeddings=space, seed=k
        )
        if (chosen := candidates(strategy, ctx)) is not None:
            ctx = embedded(
                probs, k=k, labelled=[3, 7, 8, 20, 29], features=space, embeddings=space, seed=k
            )
            assert len(chosen) >= k
        indices, _ = select(strategy, ctx)
        assert len({*indices.tolist()}) == k


@pytest.mark.parametrize("options", EVERY)
def test_what_is_not_predicted_is_never_looked_at(options):
    """Rows outside candidates and labelled are NaN, as the loop leaves them."""
    strategy = load_strategy(**options)
    generator = torch.Generator().manual_seed(1)
    space, probs = torch.randn(30, 3, generator=generator), torch.rand(30, 4, generator=generator)
    early = embedded(k=4, labelled=[3, 7], n_classes=4, embeddings=space)
    chosen = candidates(strategy, early)
    chosen = early.unlabelled if chosen is None else chosen
    gone = np.setdiff1d(early.unlabelled, chosen)
    probs, features = probs / probs.sum(1, keepdim=True), space.clone()
    probs[gone] = features[gone] = torch.nan
    late = dataclasses.replace(early, unlabelled=chosen, probs=probs, features=features)
    indices, _ = select(strategy, late)
    assert np.isin(indices, chosen).all()


def with_embeddings():
    data, _ = blobs()
    return dataclasses.replace(data, embeddings=data.pool.values)


@pytest.mark.parametrize("options", EVERY)
def test_a_run_that_crashed_goes_on_to_the_same_picks(options, tmp_path):
    whole = run(load_strategy(**options), data=with_embeddings())
    for crash in range(1, 5):
        directory = tmp_path / str(crash)
        loop = make_loop(load_strategy(**options), with_embeddings(), directory=directory)
        oracle = SimulatedOracle(blobs()[1].pool)
        for _ in range(crash):
            query = loop.ask()
            loop.tell(query, oracle.label(query.indices))
        if crash % 2:
            loop.ask()  # trained and asked, but not answered
        loop.files.close()
        again = run(load_strategy(**options), data=with_embeddings(), directory=directory)
        assert asked(again) == asked(whole)


@pytest.mark.parametrize("options", EVERY)
def test_they_are_pickled_and_pick_the_same_after(options):
    strategy = load_strategy(**options)
    space = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    probs = torch.full((30, 4), 0.25)

    def fresh():
        return embedded(probs, k=6, labelled=[2, 5], features=space, embeddings=space)

    before = picked(strategy, fresh())
    copy = pickle.loads(pickle.dumps(strategy))
    assert picked(copy, fresh()) == before
    assert described(copy) == described(strategy)


def test_names_tell_them_apart():
    mix = load_strategy("mix", strategies=["margin", {"name": "entropy", "temperature": 2}])
    assert name_of(mix) == "mix(margin, entropy)"
    assert described(mix) == "mix(shares=None, strategies=[margin, entropy(temperature=2)])"
    assert repr(mix) == described(mix)
    balanced = load_strategy("class_balanced", score=load_strategy("mix"))
    assert name_of(balanced) == "class_balanced(mix(margin, random))"
    seen = {
        described(load_strategy("mix", strategies=[n, "random"])) for n in ("margin", "entropy")
    }
    assert len(seen) == 2
    assert described(load_strategy("seals", strategy=low)).count("low") == 1
    assert "0x" not in described(load_strategy("seals", strategy=low))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (short, "strategy short returned 2 indices, expected k = 3"),
        (raising, "strategy raising raised ZeroDivisionError in test_combinators.py"),
        (costly, None),
    ],
)
@pytest.mark.parametrize("outer", ["subsample", "seals", "deduplicate"])
def test_a_broken_inner_strategy_is_named(outer, broken, message):
    space = torch.eye(8)
    ctx = embedded(k=3, labelled=[0], features=space, embeddings=space)
    strategy = load_strategy(outer, strategy=broken, **({"factor": 1} if "dedu" in outer else {}))
    if message is None:
        assert len(picked(strategy, ctx)) == 3
        return
    with pytest.raises(StrategyError, match=rf"strategy {outer}\({name_of(broken)}\): {message}"):
        select(strategy, ctx)


def test_an_inner_strategy_may_not_pick_outside_its_part():
    strategy = load_strategy("subsample", strategy=lambda c: np.arange(c.k), size=3)
    with pytest.raises(StrategyError, match=r"<lambda> returned index 0, which is not unlabelled"):
        select(strategy, context(size=1000, k=3))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mix", {"strategies": ["margn", "random"]}, r"strategies: .*did you mean 'margin'"),
        ("mix", {"strategies": []}, "at least one strategy"),
        ("mix", {"shares": [1]}, "as many as strategy.strategies, 2, got 1"),
        ("mix", {"shares": [0, 0]}, "must not all be 0"),
        ("mix", {"shares": [1, -1]}, "at least 0, got -1"),
        ("mix", {"shares": 0.5}, "a list of numbers, got 0.5"),
        ("switch", {"then": "margn"}, r"strategy.then: .*did you mean 'margin'"),
        ("switch", {"then": {"name": "entropy", "temprature": 2}}, "then: .*'temprature'"),
        ("switch", {"then": {"name": "entropy", "sampling": "tpo"}}, "then: .*sampling must be"),
        ("switch", {"then": {"temperature": 2}}, "then: .*needs a name"),
        ("switch", {"at": 0.5}, "strategy.at must be a whole number"),
        ("filter", {"then": "random", "beta": 0.5}, "strategy.beta .* at least 1"),
        ("subsample", {"size": 0}, "strategy.size .* at least 1"),
        ("subsample", {"share": 1.5}, "strategy.share .* at most 1"),
        ("seals", {"m": 0}, "strategy.m .* at least 1"),
        ("seals", {"space": "feature"}, "strategy.space must be one of features, embeddings"),
        ("deduplicate", {"threshold": 0}, "strategy.threshold .* above 0"),
        ("deduplicate", {"distance": "l1"}, "strategy.distance must be one of cosine, l2"),
        ("deduplicate", {"factor": 0.5}, "strategy.factor .* at least 1"),
        ("class_balanced", {"score": 3}, "score: .* a name or a callable, got 3"),
        ("replay", {}, "'path'"),
    ],
)
def test_mistakes_are_found_when_it_is_built(name, options, message):
    with pytest.raises(ConfigError, match=message):
        load_strategy(name, **options)
