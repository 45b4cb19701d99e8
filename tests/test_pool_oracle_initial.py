import dataclasses

import numpy as np
import pytest
import yaml
from fakes import CentroidLearner, blobs, context

from activeloop import ActiveLoop, initial, load_strategy
from activeloop.config import config_dir
from activeloop.errors import ConfigError, DataError, OrderError
from activeloop.oracle import NoisyOracle, SimulatedOracle
from activeloop.pool import Pool
from activeloop.strategies import needs
from activeloop.streams import Streams
from activeloop.types import SKIP, HiddenLabels


def test_pool_keeps_labels_sorted_by_index_and_hands_out_copies():
    pool = Pool(6)
    pool.label({4: 1, 1: 2})
    pool.label({2: 0, 3: SKIP})
    assert pool.labelled.tolist() == [1, 2, 4]
    assert pool.labels.tolist() == [2, 0, 1]
    assert pool.unlabelled.tolist() == [0, 5]
    assert pool.n_labelled == 3
    pool.labels[0] = pool.unlabelled[0] = 9
    assert pool.labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("index", [-1, 6, 2])
def test_pool_refuses_strangers_and_second_answers_and_records_nothing(index):
    pool = Pool(6)
    pool.label({2: 0})
    with pytest.raises(OrderError):
        pool.label({0: 1, index: 1})
    assert pool.labelled.tolist() == [2]


def test_simulated_oracle_counts_what_it_is_asked():
    oracle = SimulatedOracle(np.array([2, 0, 1]))
    assert oracle.label(np.array([2, 0])).tolist() == [1, 2]
    assert oracle.asked == 2
    with pytest.raises(DataError, match="no labels"):
        SimulatedOracle(None)


def test_noise_has_its_rate_never_the_truth_and_is_the_same_for_a_sample():
    truth = np.arange(20_000) % 4
    oracle = NoisyOracle(truth, n_classes=4, seed=1, rate=0.3)
    answers = oracle.label(np.arange(20_000))
    wrong = answers != truth
    assert wrong.mean() == pytest.approx(0.3, abs=0.015)
    shift = (answers - truth)[wrong] % 4
    assert np.bincount(shift, minlength=4)[1:] / wrong.sum() == pytest.approx([1 / 3] * 3, abs=0.02)
    again = NoisyOracle(truth, n_classes=4, seed=1, rate=0.3)
    assert again.label(np.array([17, 3])).tolist() == answers[[17, 3]].tolist()
    other = NoisyOracle(truth, n_classes=4, seed=2, rate=0.3).label(np.arange(20_000))
    assert (other != answers).any()


def test_confusion_matrix_decides_the_answers():
    truth = np.repeat([0, 1], 5000)
    oracle = NoisyOracle(truth, n_classes=2, seed=0, confusion=[[1, 0], [0.25, 0.75]])
    answers = oracle.label(np.arange(10_000))
    assert (answers[:5000] == 0).all()
    assert answers[5000:].mean() == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, "oracle.rate must be a number at least 0 and at most 1"),
        ({"confusion": [[1, 0]]}, r"2 rows of 2 numbers, got shape \(1, 2\)"),
        ({"confusion": [[1, 0], [1]]}, "2 rows of 2"),
        ({"confusion": [[0.5, 0.4], [0, 1]]}, "sum to 1"),
        ({"confusion": [[1.5, -0.5], [0, 1]]}, "sum to 1"),
    ],
)
def test_noise_without_meaning(options, message):
    with pytest.raises(ConfigError, match=message):
        NoisyOracle(np.array([0, 1]), n_classes=2, seed=0, **options)


def test_streams_are_stateless_and_differ_by_name_round_and_seed():
    def draw(seed, name, round):
        return Streams(seed).rng(name, round).integers(2**60)

    assert draw(1, "training", 2) == draw(1, "training", 2)
    others = {draw(1, "training", 3), draw(2, "training", 2), draw(1, "strategy", 2)}
    assert len(others | {draw(1, "training", 2)}) == 4
    with pytest.raises(ConfigError, match="seed must be a whole number of at least 0, got -1"):
        Streams(-1)


def test_stratified_takes_as_many_of_each_class_as_can_be():
    labels = np.array([0] * 50 + [1] * 50 + [2] * 2)
    picks = initial.Stratified(labels)(context(size=102, k=14, n_classes=3))
    assert len(set(picks.tolist())) == 14
    assert np.bincount(labels[picks]).tolist() == [6, 6, 2]
    assert len(initial.Stratified(labels)(context(size=102, k=102, n_classes=3))) == 102


def test_stratified_leftovers_fall_on_any_class():
    labels = np.arange(40) % 4
    counts = [
        np.bincount(
            labels[initial.Stratified(labels)(context(size=40, k=6, n_classes=4, seed=s))],
            minlength=4,
        )
        for s in range(40)
    ]
    assert {tuple(sorted(c)) for c in counts} == {(1, 1, 2, 2)}
    assert (np.sum(counts, axis=0) > 45).all()  # 60 each expected


def test_stratified_needs_labels():
    data, _ = blobs()
    with pytest.raises(DataError, match="initial=random"):
        initial.stratified(data, HiddenLabels(), size=3)


def test_labels_from_a_file(tmp_path):
    data, hidden = blobs()
    path = tmp_path / "labels.csv"
    path.write_text("key,label,who\npool/7,b,ann\npool/2,a,bob\n")
    assert initial.file(data, hidden, path=str(path)).labels == {7: 1, 2: 0}
    assert initial.file(data, hidden, path=str(path)).size == 2


def test_the_queries_of_an_unfinished_run_are_labels(tmp_path):
    data, hidden = blobs()
    path = tmp_path / "queries.csv"
    path.write_text("round,key,label\n0,pool/7,b\n1,pool/2,\n2,pool/7,b\n")
    assert initial.file(data, hidden, path=str(path)).labels == {7: 1}
    path.write_text("round,key,label\n1,pool/2,\n")
    with pytest.raises(DataError, match=r"initial.size is 0, but it comes with 0 labels"):
        initial.file(data, hidden, path=str(path)).check(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,label\npool/7,z\n", "line 2: unknown class 'z'; there are a, b, c"),
        ("key,label\npool/1,a\npool/x,a\n", "line 3: no sample of the pool has the key 'pool/x'"),
        ("key,label\npool/1,a\npool/1,b\n", "line 3: 'pool/1' has another label already"),
        ("pool/1,a\n", "columns key,label"),
        ("key,label\n", "columns key,label"),
    ],
)
def test_bad_label_files_name_the_line(tmp_path, text, message):
    data, hidden = blobs()
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        initial.file(data, hidden, path=str(path))


def test_a_missing_label_file(tmp_path):
    data, hidden = blobs()
    with pytest.raises(DataError, match=r"cannot read .*none\.csv"):
        initial.file(data, hidden, path=str(tmp_path / "none.csv"))


def embedded():
    data, hidden = blobs()
    return dataclasses.replace(data, embeddings=data.pool.values), hidden


@needs("embeddings")
def farthest_from_the_mean(context):
    apart = (context.embeddings - context.embeddings.mean(dim=0)).norm(dim=1).numpy()
    return context.unlabelled[np.argsort(-apart[context.unlabelled])][: context.k]


def test_an_initial_set_by_a_strategy():
    data, hidden = embedded()
    chosen = initial.by_strategy(data, hidden, size=6, strategy=farthest_from_the_mean)
    loop = ActiveLoop(data, CentroidLearner(), load_strategy("random"), initial=chosen, rounds=0)
    loop.run(SimulatedOracle(hidden.pool))
    values = data.pool.values
    expected = (values - values.mean(dim=0)).norm(dim=1).topk(6).indices
    assert loop.pool.labelled.tolist() == sorted(expected.tolist())


COLD = ["typiclust", "probcover", "k_center", "k_means", "max_herding"]


@pytest.mark.parametrize("name", [*COLD, "l2_diversity"])
def test_cold_starts_by_name_spread_over_the_pool(name):
    data, hidden = embedded()
    if name in COLD:
        node = yaml.safe_load((config_dir() / "initial" / f"{name}.yaml").read_text())
        assert node.pop("_target_") == "activeloop.initial.by_strategy"
        assert node.pop("size") == 20
    else:
        node = {"strategy": {"name": name, "space": "embeddings"}}
    chosen = initial.by_strategy(data, hidden, size=9, **node)
    for seed in range(3):
        loop = ActiveLoop(
            data, CentroidLearner(), load_strategy("random"), initial=chosen, rounds=0, seed=seed
        )
        loop.run(SimulatedOracle(hidden.pool))
        assert loop.pool.n_labelled == 9
        assert len(np.unique(loop.pool.labels)) == 3  # each of the clouds


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("entropy", r"initial.strategy=entropy needs probs, and before .* no network"),
        ("l2_diversity", r"needs features, .*space: embeddings"),
        ({"name": "mix", "strategies": ["random", "margin"]}, r"mix\(random, margin\) needs probs"),
        ("k_centre_", r"initial.strategy: unknown strategy 'k_centre_'"),
    ],
)
def test_a_cold_start_cannot_use_a_network(strategy, message):
    data, hidden = embedded()
    with pytest.raises(ConfigError, match=message):
        initial.by_strategy(data, hidden, strategy=strategy)


def test_a_switch_may_start_a_run_if_its_first_strategy_may():
    data, hidden = embedded()
    strategy = {"name": "switch", "first": "random", "then": "margin"}
    assert initial.by_strategy(data, hidden, strategy=strategy).size == 20


def test_without_embeddings_a_cold_start_says_how_to_get_them():
    data, hidden = blobs()
    strategy = {"name": "l2_diversity", "space": "embeddings"}
    with pytest.raises(ConfigError, match=r"l2_diversity compares embeddings.*embed=pca"):
        initial.by_strategy(data, hidden, strategy=strategy)
