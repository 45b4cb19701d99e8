"""The greedy engine: against brute force over the whole kernel matrix."""

import logging

import numpy as np
import pytest
import torch
from fakes import context
from scipy.spatial.distance import cdist

from activeloop.errors import ConfigError, StrategyError
from activeloop.selection import select
from activeloop.strategies import load_strategy, needs_of
from activeloop.strategies.ball_purity import pure_radius
from activeloop.strategies.coverage import Coverage, references_of
from activeloop.strategies.kernels import ball, cosine, gaussian, half_squares, placed
from activeloop.strategies.lazy import Lazy, greedy


def cloud(n=300, d=5, seed=0, clusters=4):
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(clusters, d))
    return torch.from_numpy(centres[rng.integers(clusters, size=n)] + rng.normal(size=(n, d)))


def units(x):
    x = x.double().numpy()
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def greedy_gains(kernel, picks, labelled, pool, weights):
    """Return the gain of each pick, and the most that any candidate had, by brute force."""
    best = kernel[labelled].max(axis=0) if len(labelled) else np.zeros(len(kernel))
    left, gains, most = set(pool.tolist()), [], []
    for pick in picks:
        each = {c: (weights * np.maximum(kernel[c] - best, 0))[pool].sum() for c in left}
        gains.append(each[pick])
        most.append(max(each.values()))
        best = np.maximum(best, kernel[pick])
        left.remove(pick)
    return np.array(gains), np.array(most)


def ctx(x, k, labelled=(), probs=None, seed=0, **fields):
    return context(
        probs, size=len(x), k=k, labelled=labelled, features=x.float(), seed=seed, **fields
    )


def test_half_squares_are_exact_distances_also_far_from_the_origin():
    x = cloud(40) + 1000
    points = placed(x.float(), np.arange(40), normalize=False, limit=10**9)
    expected = cdist(x.float().double(), x.float().double(), "sqeuclidean")
    assert (-2 * half_squares(points, points)).numpy() == pytest.approx(expected, abs=1e-3)
    same = torch.full((3, 4), 7.0)
    assert (
        half_squares(*[placed(same, np.arange(3), normalize=True, limit=10**9)] * 2).abs().max()
        < 1e-12
    )


@pytest.mark.parametrize("kernel", [ball(0.4), gaussian(0.5), gaussian(0.02), cosine()])
@pytest.mark.parametrize("n", [60, 2600])
def test_gains_of_all_candidates_equal_the_whole_kernel_matrix(kernel, n):
    rng = np.random.default_rng(0)
    x, weights = cloud(n), torch.from_numpy(rng.random(n)).float()
    points = placed(x, np.arange(n), normalize=True, limit=10**9)
    among = np.sort(rng.choice(n, n // 2, replace=False))
    coverage = Coverage(points, among, kernel, weights[among])
    coverage.cover(points[:20])
    halves = torch.from_numpy(-cdist(units(x), units(x), "sqeuclidean") / 2)
    whole = kernel.values(halves).numpy().astype(float)
    best = whole[:20].max(axis=0)
    expected = (np.maximum(whole - best, 0) * weights.numpy())[:, among].sum(axis=1)
    assert coverage.all_gains() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert coverage.gains(np.array([5, n - 1])) == pytest.approx(expected[[5, n - 1]], abs=1e-5)


def test_far_blocks_are_not_touched():
    x = torch.cat([torch.randn(1024, 3), torch.randn(1024, 3) + 100])
    points = placed(x, np.arange(2048), normalize=False, limit=10**9)
    coverage = Coverage(points, np.arange(2048), ball(1.0))
    shapes = []
    values = coverage._values
    coverage._values = lambda a, b: shapes.append((len(a), len(b))) or values(a, b)
    coverage.all_gains()
    assert sorted(shapes) == [(0, 0), (1024, 1024), (1024, 1024)]


@pytest.mark.parametrize("apart", [2.3, 3.5, 8.0])
def test_what_is_far_but_similar_counts(apart):
    # exp(-2.3^2) = 0.005 of a thousand others weighs as much as five at hand.
    x = torch.cat([torch.zeros(1024, 3), torch.full((1024, 3), apart / 3**0.5)])
    points = placed(x, np.arange(2048), normalize=False, limit=10**9)
    gains = Coverage(points, np.arange(2048), gaussian(1.0)).all_gains()
    assert gains == pytest.approx(np.full(2048, 1024 * (1 + np.exp(-(apart**2)))), rel=1e-5)


@pytest.mark.parametrize("name", ["probcover", "max_herding", "uherding", "typiclust", "dcom"])
def test_too_little_memory_is_said_before_anything_starts(name):
    c = ctx(cloud(1000), 3, labelled=[0], probs=np.full((1000, 3), 1 / 3), memory_limit=50_000)
    with pytest.raises(StrategyError, match="strategy=subsample"):
        load_strategy(name)(c)


def test_lazy_is_right_though_the_leaders_fall_behind_all_others():
    values = np.arange(10_000.0)
    rng = np.random.default_rng(0)
    lazy = Lazy(values.copy(), lambda positions: np.minimum(values[positions], 3.0), rng)
    assert lazy.best() == 9999
    lazy.take(9999)
    assert lazy.best() >= 3
    lazy.take(lazy.best())
    values[:4] = 0, 0, 0, 2
    values[4:] = 1
    assert lazy.best() == 3


def test_lazy_finds_the_best_though_all_values_are_stale():
    rng = np.random.default_rng(0)
    true = rng.random(5000)
    asked = []

    def compute(positions):
        asked.extend(positions)
        return true[positions]

    lazy = Lazy(true + 0.01 * rng.random(5000), compute, rng)
    lazy.take(int(true.argmin()))
    assert lazy.best() == true.argmax()
    assert len(asked) < 500
    assert len(set(asked)) == len(asked)


def test_ties_are_broken_by_rng_alone():
    x = torch.zeros(30, 2)
    points = placed(x, np.arange(30), normalize=True, limit=10**9)
    firsts = {
        int(greedy(Coverage(points, np.arange(30), ball(1.0)), 1, np.random.default_rng(s))[0][0])
        for s in range(60)
    }
    assert len(firsts) > 20


def test_after_all_is_covered_the_rest_is_random_and_distinct():
    picks = load_strategy("probcover", delta=0.5)(ctx(torch.ones(12, 3), 12))
    assert sorted(picks.indices) == list(range(12))
    assert picks.scores[0] == 1
    assert picks.scores[1:].max() == 0


def test_references_all_or_a_sample_and_a_warning_where_it_takes_long(caplog):
    rng = np.random.default_rng(0)
    assert references_of(70_000, None, 8, rng).tolist() == list(range(70_000))
    assert len(references_of(100_001, None, 8, rng)) == 20_000
    assert len(references_of(50, 10, 8, rng)) == 10
    assert not caplog.records
    references_of(1_000_000, 1_000_000, 64, rng)
    assert "minutes" in caplog.text
    assert "strategy=subsample" in caplog.text
    with pytest.raises(ConfigError, match=r"strategy.references must be .* got 0"):
        references_of(50, 0, 8, rng)


# ---------------------------------------------------------------------------- probcover


def test_probcover_by_hand():
    # Balls of radius 1.5 on a line: 1 covers 0, 1, 2; then 11 and 12 cover two each; 20 is alone.
    x = torch.tensor([[0.0], [1], [2], [11], [12], [20]])
    picks = load_strategy("probcover", delta=1.5, normalize=False)(ctx(x, 4))
    assert picks.indices[0] == 1
    assert picks.indices[1] in (3, 4)
    assert picks.indices[2] == 5
    assert list(picks.scores) == pytest.approx([3 / 6, 2 / 6, 1 / 6, 0])


def test_probcover_delta_is_a_distance_and_labels_cover_first():
    x = torch.tensor([[0.0], [1], [2], [11], [12]])
    picks = load_strategy("probcover", delta=0.999, normalize=False)(ctx(x, 1))
    assert picks.scores[0] == pytest.approx(1 / 5)
    picks = load_strategy("probcover", delta=1.001, normalize=False)(ctx(x, 1))
    assert picks.scores[0] == pytest.approx(3 / 5)
    picks = load_strategy("probcover", delta=1.5, normalize=False)(ctx(x, 1, labelled=[1]))
    assert picks.indices[0] in (3, 4)


@pytest.mark.parametrize("labelled", [(), tuple(range(0, 300, 30))])
@pytest.mark.parametrize("seed", range(3))
def test_every_pick_of_probcover_has_the_largest_out_degree(labelled, seed):
    x = cloud(seed=seed)
    c = ctx(x, 25, labelled)
    picks = load_strategy("probcover", delta=0.35)(c)
    graph = (cdist(units(x), units(x)) < 0.35).astype(float)
    gains, most = greedy_gains(graph, picks.indices, list(labelled), c.unlabelled, 1)
    assert gains.tolist() == most.tolist()
    assert picks.scores * len(c.unlabelled) == pytest.approx(gains)


def test_probcover_covers_as_much_as_scikit_activeml_pick_by_pick():
    pool = pytest.importorskip("skactiveml.pool")
    x = cloud(n=200, seed=3)
    y = np.full(200, np.nan)
    y[:8] = 0
    theirs, utilities = pool.ProbCover(deltas=[0.35], random_state=0).query(
        units(x), y, batch_size=6, return_utilities=True
    )
    ours = load_strategy("probcover", delta=0.35)(ctx(x, 6, labelled=range(8)))
    degrees = utilities[np.arange(6), theirs]
    assert ours.scores[:2] * 192 == pytest.approx(degrees[:2])  # ties may part ways later
    assert (ours.scores * 192).sum() == pytest.approx(degrees.sum(), rel=0.05)


def test_probcover_does_not_drop_the_tail_of_the_pool():
    # The authors' batches of 500 would leave out sample 500 to 519, the only crowd there is.
    x = torch.cat([torch.arange(500.0)[:, None] * 10, 9000 + 0.01 * torch.arange(20.0)[:, None]])
    picks = load_strategy("probcover", delta=1.0, normalize=False)(ctx(x, 1))
    assert picks.indices[0] >= 500


def test_auto_delta_is_the_largest_at_which_the_balls_are_pure():
    x = cloud(n=400, d=3, clusters=3)
    points = placed(x, np.arange(400), normalize=True, limit=10**9)
    radius = pure_radius(points, 3, 0.9, np.random.default_rng(0))

    from activeloop.strategies.clustering import k_means

    clusters = k_means(points[:, :-2], 3, np.random.default_rng(0))[1].numpy()
    apart = cdist(units(x), units(x))
    other = clusters[:, None] != clusters

    def purity(delta):
        return 1 - ((apart < delta) & other).any(axis=1).mean()

    assert purity(radius * (1 - 1e-5)) >= 0.9
    assert purity(radius * (1 + 1e-3)) < 0.9


def test_auto_delta_is_logged_and_needs_no_labels(caplog):
    caplog.set_level(logging.INFO, "activeloop.strategies")
    picks = load_strategy("probcover")(ctx(cloud(), 5, n_classes=4))
    assert len(set(picks.indices)) == 5
    assert "delta = 0." in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": "big"}, "strategy.delta must be a number above 0, got 'big'"),
        ({"delta": 0.0}, "strategy.delta must be"),
        ({"purity": 1.5}, "strategy.purity must be"),
    ],
)
def test_probcover_options_without_meaning(options, message):
    with pytest.raises(ConfigError, match=message):
        load_strategy("probcover", **options)(ctx(cloud(20), 1))


# ---------------------------------------------------------------------------- max_herding


@pytest.mark.parametrize("labelled", [(), (3, 50, 77)])
@pytest.mark.parametrize("radius", [1.0, 0.1, 0.01])
def test_every_pick_of_max_herding_gains_the_most(labelled, radius):
    x = cloud(seed=1)
    c = ctx(x, 30, labelled)
    picks = load_strategy("max_herding", radius=radius)(c)
    kernel = np.exp(-cdist(units(x.float()), units(x.float()), "sqeuclidean") / radius**2)
    gains, most = greedy_gains(kernel, picks.indices, list(labelled), c.unlabelled, 1)
    assert gains == pytest.approx(most, rel=1e-4)
    assert picks.scores * len(c.unlabelled) == pytest.approx(gains, rel=1e-3)


def test_max_herding_picks_what_scikit_activeml_picks():
    pool = pytest.importorskip("skactiveml.pool")
    x = cloud(n=150, seed=5)
    y = np.full(150, np.nan)
    y[[4, 9]] = [0, 1]
    theirs = pool.MaxHerding(metric_dict={"gamma": 4.0}, random_state=0).query(
        x.numpy(), y, batch_size=12
    )
    ours = load_strategy("max_herding", radius=0.5)(ctx(x, 12, labelled=[4, 9]))
    assert list(ours.indices) == theirs.tolist()


def test_max_herding_on_a_sample_of_references_logs_the_gap(caplog):
    caplog.set_level(logging.INFO, "activeloop.strategies")
    x = cloud(n=1500)
    exact = load_strategy("max_herding", radius=0.5)(ctx(x, 10))
    sampled = load_strategy("max_herding", radius=0.5, references=300)(ctx(x, 10))
    kernel = np.exp(-cdist(units(x), units(x), "sqeuclidean") / 0.25)
    covered = [kernel[p.indices].max(axis=0).mean() for p in (exact, sampled)]
    assert covered[1] > 0.95 * covered[0]
    on, others = (float(part.split()[0].rstrip(";")) for part in caplog.text.split(": ")[-2:])
    assert "measured on 300 references" in caplog.text
    assert on > others  # the picks were made for these
    assert others == pytest.approx(covered[1], rel=0.1)


@pytest.mark.parametrize("name", ["probcover", "max_herding", "typiclust"])
def test_they_work_before_the_first_round(name):
    strategy = load_strategy(name, space="embeddings")
    assert needs_of(strategy) == {"embeddings"}
    first = context(size=60, k=10, embeddings=cloud(60).float(), n_classes=3)
    assert len(set(strategy(first).indices)) == 10
    with pytest.raises(StrategyError, match="no features"):
        load_strategy(name)(context(size=60, k=10, n_classes=3))


@pytest.mark.parametrize("name", ["probcover", "max_herding", "uherding", "typiclust", "dcom"])
def test_rows_that_are_neither_labelled_nor_candidates_are_never_read(name):
    x, rng = cloud(120).float(), np.random.default_rng(0)
    probs = torch.from_numpy(rng.dirichlet(np.ones(3), 120)).float()
    c = ctx(x, 8, labelled=range(10), probs=probs)
    narrowed = np.arange(30, 90)
    x[90:], probs[90:] = torch.nan, torch.nan
    object.__setattr__(c, "unlabelled", narrowed)
    object.__setattr__(c, "features", x)
    object.__setattr__(c, "probs", probs)
    picks = load_strategy(name)(c)
    assert set(picks.indices) <= set(narrowed)
    assert len(set(picks.indices)) == 8
    assert np.isfinite(picks.scores).all()


@pytest.mark.parametrize("name", ["probcover", "max_herding", "uherding", "typiclust", "dcom"])
@pytest.mark.parametrize("k", [1, 57])
@pytest.mark.parametrize("kind", ["cloud", "constant", "duplicates", "float64", "certain"])
def test_hard_pools(name, k, kind):
    x, rng = cloud(60).float(), np.random.default_rng(0)
    probs = torch.from_numpy(rng.dirichlet(np.ones(3), 60)).float()
    if kind == "constant":
        x[:] = 1
    elif kind == "duplicates":
        x = x[:6].repeat(10, 1)
    elif kind == "float64":
        x = x.double()
    elif kind == "certain":
        probs = torch.eye(3)[torch.arange(60) % 3]
    c = ctx(x, k, labelled=[0, 7, 8], probs=probs)
    object.__setattr__(c, "features", x)
    indices, scores = select(load_strategy(name), c)  # checks the picks, global chance, the context
    assert len(indices) == k
    assert not np.isnan(scores).any()


@pytest.mark.parametrize("name", ["probcover", "max_herding", "uherding", "dcom"])
def test_picks_follow_their_samples_when_the_pool_is_permuted(name):
    x, rng = cloud(200, seed=4).float(), np.random.default_rng(0)
    probs = torch.from_numpy(rng.dirichlet(np.ones(3), 200)).float()
    options = {
        "probcover": {"delta": 0.6},
        "dcom": {"delta": 0.3, "midpoint": 0.0, "steepness": 1.0},  # both terms, no ties
        "uherding": {"temperature": 1.0},
        "max_herding": {},
    }[name]
    order = rng.permutation(200)
    first = load_strategy(name, **options)(ctx(x, 2, labelled=[1, 5], probs=probs))
    where = np.argsort(order)
    c = ctx(x[order], 2, labelled=sorted(where[[1, 5]].tolist()), probs=probs[order])
    second = load_strategy(name, **options)(c)
    assert order[second.indices].tolist() == list(first.indices)


def test_max_herding_picks_what_scikit_activeml_picks_on_mnist(real_data):
    pool = pytest.importorskip("skactiveml.pool")
    raw = np.fromfile(real_data / "MNIST/raw/train-images-idx3-ubyte", np.uint8, offset=16)
    x = raw[: 800 * 784].reshape(800, 784) / 255
    y = np.full(800, np.nan)
    y[:5] = 0
    theirs = pool.MaxHerding(metric_dict={"gamma": 1.0}, random_state=0).query(x, y, batch_size=15)
    ours = load_strategy("max_herding")(ctx(torch.from_numpy(x), 15, labelled=range(5)))
    assert list(ours.indices) == theirs.tolist()


def test_probcover_on_a_sample_of_references_logs_the_gap(caplog):
    caplog.set_level(logging.INFO, "activeloop.strategies")
    x = cloud(n=1500)
    picks = load_strategy("probcover", delta=0.5, references=300)(ctx(x, 8))
    near = cdist(units(x), units(x)[list(picks.indices)]).min(axis=1) < 0.5
    on, others = (float(part.split()[0].rstrip(";")) for part in caplog.text.split(": ")[-2:])
    assert on == pytest.approx(sum(picks.scores), rel=1e-3)
    assert others == pytest.approx(near.mean(), abs=0.08)  # 300 draws: 3 standard deviations
