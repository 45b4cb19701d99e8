import numpy as np
import pytest
from made_runs import data_of, made_run, photos

from activeloop.report import pool_map as module
from activeloop.report.pool_map import pool_map

CLASSES = {i: "cat" if i % 2 == 0 else "dog" for i in range(400)}


def mapped(tmp_path, data, rounds=((0, 1), (2, 3), (4,)), **more):
    runs = {"a": made_run(tmp_path, "a", 0, rounds, CLASSES, **more)}
    return pool_map(runs, data, ("cat", "dog"))


def test_clusters_in_the_pool_are_clusters_on_the_map(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    centres = 12 * rng.normal(size=(3, 40))
    vectors = (centres[labels] + rng.normal(size=(300, 40))).astype(np.float32)
    found = mapped(tmp_path, data_of(vectors))
    assert "t-SNE" in found.how
    points = np.array(found.points)
    own = np.array([points[labels == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(points[:, None] - own, axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.98
    assert points.min() == 0
    assert points.max() == 1


def test_the_same_runs_give_the_same_map(tmp_path):
    data = data_of(photos(150))
    assert mapped(tmp_path / "one", data) == mapped(tmp_path / "two", data)


def test_picks_are_points_by_round(tmp_path):
    pool = np.zeros((60, 1), np.float32)
    pool[:, 0] = np.arange(60)
    found = mapped(tmp_path, data_of(pool))
    at = {point: x for point, (x, _) in enumerate(found.points)}
    assert [(round(59 * at[point]), number) for point, number in found.picks["a"]] == [
        (2, 1),
        (3, 1),
        (4, 2),
    ]


def test_a_few_points_are_put_where_their_principal_components_are(tmp_path):
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) * [5, 1]
    turned, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    embeddings = (plane @ turned[:2]).astype(np.float32)
    data = data_of(
        np.zeros((50, 9), np.float32), embeddings=embeddings, embedded="the vectors of x"
    )
    found = mapped(tmp_path, data)
    assert found.how.startswith("the first two principal components of the vectors of x")
    across = np.corrcoef(np.array(found.points)[:, 0], plane[:, 0])[0, 1]
    assert abs(across) > 0.999


def test_features_of_vectors_count_alike_whatever_their_units(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(80, 3)).astype(np.float32)
    one = mapped(tmp_path / "one", data_of(vectors)).points
    other = mapped(tmp_path / "two", data_of(vectors * np.float32([1, 1000, 1]))).points
    assert np.allclose(one, other, atol=1e-3)


def test_the_map_is_of_the_seed_that_most_strategies_have(tmp_path):
    runs = {
        name: made_run(tmp_path, name, seed, [[0], [point]], CLASSES)
        for name, seed, point in (("a", 3, 1), ("b", 0, 2), ("c", 0, 4))
    }
    found = pool_map(runs, data_of(photos(40)), ("cat", "dog"))
    assert (found.seed, list(found.picks)) == (0, ["b", "c"])


def test_classes_are_the_hidden_ones_or_the_answers(tmp_path):
    pool = photos(40)
    labels = np.arange(40) % 2
    assert mapped(tmp_path / "a", data_of(pool, labels=labels)).classes == tuple(labels.tolist())
    answered = mapped(tmp_path / "b", data_of(pool)).classes
    assert answered[:5] == (0, 1, 0, 1, 0)
    assert set(answered[5:]) == {-1}


def test_the_map_is_of_a_part_of_a_large_pool(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SAMPLE", 50)
    read = []
    data = data_of(photos(400))
    part = type(data.pool)(
        keys=data.pool.keys,
        shape=data.pool.shape,
        read=lambda indices: read.append(len(indices)) or data.pool.read(indices),
    )
    found = mapped(tmp_path, data_of(photos(1)).__class__(classes=("cat", "dog"), pool=part))
    assert 50 <= len(found.points) <= 53
    assert sum(read) < 53 + 257  # 256 of them for the range of the pixels
    assert "50 of 400 samples" in found.how


@pytest.mark.parametrize("shape", [(30, 4), (30, 1, 8, 8)], ids=["vectors", "images"])
def test_a_pool_of_equal_samples_is_one_point(tmp_path, shape):
    found = mapped(tmp_path, data_of(np.ones(shape, np.float32)))
    assert set(found.points) == {(0.5, 0.5)}
