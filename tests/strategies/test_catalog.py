import dataclasses
import math

import numpy as np
import pytest
import torch
from fakes import context

from activeloop.errors import ConfigError, StrategyError
from activeloop.neighbors import PoolNeighbors
from activeloop.strategies import CATALOG, known_strategies, load_strategy
from activeloop.testing import make_context

PROBS = [[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.98, 0.01, 0.01], [0.45, 0.1, 0.45], [0.6, 0.35, 0.05]]


def picks(name, k, labelled=(), **options):
    return load_strategy(name, **options)(context(PROBS, k=k, labelled=labelled))


def test_least_confidence_order_and_scores():
    chosen = picks("least_confidence", 5)
    assert list(chosen.indices) == [1, 3, 0, 4, 2]
    assert list(chosen.scores) == pytest.approx([0.6, 0.55, 0.5, 0.4, 0.02])


def test_entropy_order_by_hand():
    h = [-sum(p * math.log(p) for p in row) for row in PROBS]
    order = sorted(range(5), key=lambda i: -h[i])
    chosen = picks("entropy", 5)
    assert list(chosen.indices) == order
    assert list(chosen.scores) == pytest.approx([h[i] for i in order], rel=1e-5)


def test_margin_takes_the_smallest_gap_and_ties_by_rng():
    chosen = picks("margin", 5)
    assert sorted(chosen.indices[:2]) == [1, 3]  # both gaps are 0
    assert list(chosen.indices[2:]) == [0, 4, 2]
    firsts = {int(load_strategy("margin")(context(PROBS, seed=s)).indices[0]) for s in range(20)}
    assert firsts == {1, 3}


def test_margin_against_the_worst_class():
    chosen = picks("margin", 5, against="worst")
    assert list(chosen.indices) == [1, 0, 3, 4, 2]
    assert list(chosen.scores) == pytest.approx([0.8, 0.7, 0.65, 0.45, 0.03])


def test_labelled_samples_are_never_picked():
    assert sorted(picks("entropy", 3, labelled=[1, 3]).indices) == [0, 2, 4]


@pytest.mark.parametrize("name", ["random", "random_again"])
def test_random_is_uniform_over_the_unlabelled(name):
    counts = np.zeros(5)
    for seed in range(900):
        counts[load_strategy(name)(context(PROBS, k=2, labelled=[0, 4], seed=seed))] += 1
    assert counts[[0, 4]].tolist() == [0, 0]
    assert counts[1:4].min() > 530  # 600 expected each, standard deviation 14


def test_random_again_draws_others_than_random():
    shared = []
    for seed in range(300):
        one, other = (
            load_strategy(name)(context([[0.5, 0.5]] * 100, k=20, seed=seed)).tolist()
            for name in ("random", "random_again")
        )
        again = load_strategy("random_again")(context([[0.5, 0.5]] * 100, k=20, seed=seed))
        assert again.tolist() == other
        shared.append(len(set(one) & set(other)))
    assert np.mean(shared) == pytest.approx(4, abs=0.4)  # of 20: its standard deviation is 0.1


def neighbor_context(features, probs, k, labelled=()):
    features = torch.tensor(features)
    near = PoolNeighbors(features, None, np.array(labelled, np.int64))
    return context(probs, k=k, labelled=labelled, features=features, neighbors=near)


FEATURES = [[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [-1.0, 0.0]]


def test_diversity_asks_for_the_outlier_first():
    for name in ("cosine_diversity", "l2_diversity"):
        ctx = neighbor_context(FEATURES, [[0.5, 0.5]] * 4, k=1)
        assert list(load_strategy(name, m=1)(ctx).indices) == [3]


def test_cosine_and_l2_scores_by_hand():
    angles = np.arctan2([0.0, 0.1, 0.2, 0.0], [1.0, 1, 1, -1])
    gap = [angles[1], min(angles[1], angles[2] - angles[1]), angles[2] - angles[1]]
    ctx = neighbor_context(FEATURES, [[0.5, 0.5]] * 4, k=4)
    cosine = load_strategy("cosine_diversity", m=1)(ctx)
    l2 = load_strategy("l2_diversity", m=1)(ctx)
    by_sample = dict(zip(cosine.indices, cosine.scores, strict=True))
    chord = dict(zip(l2.indices, l2.scores, strict=True))
    for sample in range(3):
        assert by_sample[sample] == pytest.approx(1 - math.cos(gap[sample]), abs=1e-6)
        assert chord[sample] == pytest.approx(2 * math.sin(gap[sample] / 2), rel=1e-4)


def test_neighbor_kl_asks_where_neighbours_disagree():
    features = [[1.0, 0], [1, 0.01], [1, 0.02], [0, 1], [0.01, 1], [0.02, 1]]
    probs = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]]
    chosen = load_strategy("neighbor_kl", m=2)(neighbor_context(features, probs, k=6))
    assert chosen.indices[0] == 2
    assert chosen.scores[0] == pytest.approx(0.9 * math.log(9) + 0.1 * math.log(1 / 9), rel=1e-4)
    assert list(chosen.scores[3:]) == pytest.approx([0, 0, 0], abs=1e-6)


def test_reference_labelled_compares_with_labelled_samples_only():
    features = [[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.0, 1.01]]
    ctx = neighbor_context(features, [[0.5, 0.5]] * 4, k=1, labelled=[0])
    chosen = load_strategy("l2_diversity", m=1, reference="labelled")(ctx)
    assert chosen.indices[0] in (2, 3)
    assert chosen.scores[0] == pytest.approx(math.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("name", ["cosine_diversity", "l2_diversity", "neighbor_kl"])
def test_a_sample_without_neighbours_still_has_a_score(name):
    ctx = neighbor_context([[1.0, 0.0]], [[0.5, 0.5]], k=1)
    chosen = load_strategy(name)(ctx)
    assert list(chosen.indices) == [0]
    assert np.isfinite(chosen.scores).all()


@pytest.mark.parametrize("about", list(known_strategies()), ids=lambda about: about.name)
def test_every_strategy_says_where_it_is_from_what_it_costs_and_when_to_use_it(about):
    assert about.name in CATALOG
    assert about.summary.endswith((".", ")"))
    assert len(about.paper) > 10 or about.family in ("baseline", "combinators")
    assert about.budget.partition(" ")[0].rstrip(",;:") in ("low", "high", "any")
    assert about.time.startswith("O(")
    assert about.memory.startswith("O(")


def test_unknown_names_list_what_there_is():
    with pytest.raises(ConfigError, match=r"'entrpy': did you mean 'entropy'\? There are .*margin"):
        load_strategy("entrpy")


def test_unknown_options_show_the_signature():
    with pytest.raises(ConfigError, match=r"'agianst'.*against"):
        load_strategy("margin", agianst="worst")
    with pytest.raises(ConfigError, match="against must be one of second, worst, got 'wurst'"):
        picks("margin", 1, against="wurst")


def test_dotted_paths_name_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_x.py").write_text(
        "def pick(context, n=1):\n    return context.unlabelled[:n]\n"
    )
    assert list(load_strategy("mine_x.pick", n=2)(context(PROBS, k=2))) == [0, 1]
    with pytest.raises(ConfigError, match="no 'pikc'"):
        load_strategy("mine_x.pikc")
    with pytest.raises(ConfigError, match="working directory"):
        load_strategy("mine_y.pick")


def test_neighbours_that_were_not_predicted_are_left_out_of_the_mean():
    nan = [math.nan, math.nan]
    probs = [nan, [0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8]]
    embeddings = torch.tensor([[1.0, 0.05], [1, 0], [1, 0.1], [1, 0.2], [0, 1]])
    near = PoolNeighbors(None, embeddings, np.array([4]))
    ctx = context(probs, k=3, labelled=[4], embeddings=embeddings, neighbors=near)
    ctx = dataclasses.replace(ctx, unlabelled=np.array([1, 2, 3]))
    chosen = load_strategy("neighbor_kl", m=2, space="embeddings")(ctx)
    scores = dict(zip(chosen.indices.tolist(), chosen.scores, strict=True))
    # 1 is nearest to 0, which has no probabilities, and 2; 3 to 2 and 0.
    assert scores[1] == pytest.approx(0, abs=1e-6)
    assert scores[3] == pytest.approx(0.9 * math.log(9) + 0.1 * math.log(1 / 9), rel=1e-4)
    # With one label and two neighbours wanted, the absent one is no sample, not the first.
    chosen = load_strategy("neighbor_kl", m=2, reference="labelled", space="embeddings")(ctx)
    assert np.isfinite(chosen.scores).all()
    assert len({*chosen.scores.tolist()}) == 2  # 1 and 2 alike, 3 otherwise


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("k_center", {"space": "embedding"}, "space must be one of features, embeddings"),
        ("margin", {"against": "third"}, "against must be one of second, worst"),
        ("filter", {"then": {"name": "badge", "first": "biggest"}}, "first must be one of"),
        ("information_density", {"score": "badge"}, "strategy.score: badge gives no score"),
    ],
)
def test_an_option_that_means_nothing_is_refused_when_the_strategy_is_made(name, options, message):
    with pytest.raises(ConfigError, match=message):
        load_strategy(name, **options)


@pytest.mark.parametrize("name", ["k_means", "clue", "facility_location", "typiclust", "alfa_mix"])
def test_copies_larger_than_the_memory_limit_are_refused_with_a_way_out(name):
    ctx = make_context(80, k=3, labelled=range(9))
    ctx = dataclasses.replace(ctx, memory_limit=1000)
    with pytest.raises(
        StrategyError, match=r"KiB of memory, and 1e\+03 bytes .*strategy=subsample"
    ):
        load_strategy(name)(ctx)
