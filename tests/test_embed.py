import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import CPU, Pictures, pictures, random_state, torch_learner
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from activeloop import embed
from activeloop.errors import ConfigError, DataError, LearnerError
from activeloop.learners import SklearnLearner


def rows(samples):
    return samples.batch(np.arange(len(samples)), CPU).flatten(1).numpy()


def saved(path, array):
    np.save(path, array)
    return path


def test_none_changes_nothing():
    data, _ = pictures()
    assert embed.none(data) is data


def test_pca_by_hand():
    data, _ = pictures(validation=True)
    images = rows(data.pool).astype(np.float64)
    centred = images - images.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    found = embed.pca(data, dimensions=4, as_input=False)
    assert found.pool is data.pool
    assert found.test is data.test
    vectors = found.embeddings.numpy()
    assert vectors.shape == (60, 4)
    assert vectors.dtype == np.float32
    assert np.allclose(np.abs(vectors), np.abs(centred @ axes[:4].T), atol=1e-3)


def test_pca_is_fitted_on_the_pool_and_projects_the_rest():
    data, _ = pictures(validation=True)
    other = replace(data, test=Pictures(255 - data.test.images))
    one, two = embed.pca(data, dimensions=3), embed.pca(other, dimensions=3)
    assert torch.equal(one.embeddings, two.embeddings)
    # The test set is the pool backwards, the validation set its beginning.
    assert np.allclose(rows(one.test), rows(one.pool)[::-1], atol=1e-4)
    assert np.allclose(rows(one.validation.samples), rows(one.pool)[:12], atol=1e-4)
    assert one.validation.labels is data.validation.labels
    assert one.pool.shape == one.shape == (3,)
    assert list(one.pool.keys) == list(data.pool.keys)
    assert one.augmentations == ()


@pytest.mark.parametrize("largest", [2048, 10], ids=["exact", "randomised"])
def test_pca_is_deterministic_and_its_signs_are_fixed(monkeypatch, largest):
    monkeypatch.setattr(embed, "LARGEST_COVARIANCE", largest)
    before = random_state()
    data, _ = pictures()
    one, two = (embed.pca(data, dimensions=5, seed=3).embeddings for _ in range(2))
    assert random_state() == before
    assert torch.equal(one, two)
    axes = np.linalg.lstsq(rows(data.pool) - rows(data.pool).mean(0), one.numpy(), rcond=None)[0]
    assert (axes.max(0) > -axes.min(0)).all()


def test_pca_fitted_on_some_samples_projects_all(monkeypatch):
    monkeypatch.setattr(embed, "CHUNK", 7)
    data, _ = pictures()
    x = rows(data.pool)
    some = embed.pca(data, dimensions=3, fit_on=len(x) - 5, seed=1).embeddings
    chosen = np.sort(np.random.default_rng(1).choice(len(x), len(x) - 5, replace=False))
    ours = PCA(3, svd_solver="covariance_eigh").fit(x[chosen])
    assert np.allclose(some.numpy(), ours.transform(x), atol=1e-3)
    every = embed.pca(data, dimensions=3).embeddings
    assert torch.equal(embed.pca(data, dimensions=3, fit_on=len(x)).embeddings, every)
    assert not torch.allclose(some, every)


def test_pca_says_how_much_it_explains(caplog):
    data, _ = pictures()
    share = 100 * PCA(6).fit(rows(data.pool)).explained_variance_ratio_.sum()
    with caplog.at_level(logging.INFO):
        embed.pca(data, dimensions=6)
    assert f"6 principal components explain {share:.1f} %" in caplog.text


def test_pca_without_meaning():
    data, _ = pictures(n=9)
    with pytest.raises(ConfigError, match="at most 9, for 9 samples of 256 numbers, got 10"):
        embed.pca(data, dimensions=10)
    with pytest.raises(ConfigError, match=r"embed.dimensions must be a whole number"):
        embed.pca(data, dimensions=0)
    flat = replace(data, pool=Pictures(torch.zeros(9, 1, 16, 16, dtype=torch.uint8)))
    with pytest.raises(DataError, match="finite samples that are not all equal"):
        embed.pca(flat, dimensions=2)


def test_learners_get_vectors_of_one_scale(tmp_path):
    data, _ = pictures()
    rng = np.random.default_rng(0)
    vectors = (5 + rng.normal(size=(60, 7)) * [1, 2, 3, 4, 5, 6, 700]).astype(np.float32)
    pool = saved(tmp_path / "pool.npy", vectors)
    test = saved(tmp_path / "test.npy", vectors[:9].astype(np.float64))
    data = replace(data, test=Pictures(data.test.images[:9]))
    found = embed.file(data, pool=pool, test=str(test))
    scale = np.sqrt(vectors.var(0).mean())
    assert np.allclose(rows(found.pool), (vectors - vectors.mean(0)) / scale, atol=1e-4)
    assert np.allclose(rows(found.test), rows(found.pool)[:9], atol=1e-5)
    assert np.array_equal(found.embeddings, vectors)
    assert found.embeddings.dtype == torch.float32
    equal = saved(tmp_path / "equal.npy", np.ones((60, 2), np.float32))
    assert not rows(embed.file(data, pool=equal, test=saved(test, np.ones((9, 2)))).pool).any()


def test_files_are_mapped_and_never_written(tmp_path):
    data, _ = pictures()
    path = saved(tmp_path / "pool.npy", np.ones((60, 2), np.float32))
    found = embed.file(data, pool=path, as_input=False)
    assert found.pool is data.pool
    found.embeddings[0] = 7  # would kill the process were the map read-only
    assert np.load(path).max() == 1


def test_learners_take_vectors(tmp_path):
    data, labels = pictures(validation=True)
    found = embed.pca(data, dimensions=8)
    chosen = np.arange(30)
    for learner in (
        torch_learner("linear", steps=200, lr=0.01),
        SklearnLearner(LogisticRegression()),
    ):
        learner.fit(found, chosen, labels[chosen], np.random.default_rng(0))
        probs = learner.predict(found.pool, np.arange(60), frozenset()).probs
        assert (probs.argmax(1).numpy() == labels).mean() > 0.9
    with pytest.raises(LearnerError, match=r"cnn cannot take vectors of 8: .*use model=mlp or mod"):
        torch_learner("cnn").fit(found, chosen, labels[chosen], np.random.default_rng(0))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((59, 2), np.float32), r"must have shape \[60, E\], a row .* got \[59, 2\]"),
        (np.ones((60, 0), np.float32), "must have shape"),
        (np.ones(60, np.float32), r"must hold numbers \[60, E\], got float32 \(60,\)"),
        (np.full((60, 2), "a"), "must hold numbers"),
        (np.ones((60, 2), complex), "must hold numbers"),
        (np.array([{}] * 60), "cannot be read: .*objects"),
        (np.where(np.arange(120).reshape(60, 2) == 85, np.nan, 1), "NaN or infinity, .* row 42"),
    ],
)
def test_files_that_do_not_fit(tmp_path, monkeypatch, array, message):
    monkeypatch.setattr(embed, "CHUNK", 25)
    path = saved(tmp_path / "pool.npy", array)
    data, _ = pictures()
    with pytest.raises(DataError, match=message) as caught:
        embed.file(data, pool=path, as_input=False)
    assert f"embed.pool={path}" in str(caught.value)


def test_files_that_are_missing(tmp_path):
    data, _ = pictures(validation=True)
    pool = saved(tmp_path / "pool.npy", np.ones((60, 2), np.float32))
    narrow = saved(tmp_path / "narrow.npy", np.ones((60, 1), np.float32))
    np.savez(tmp_path / "archive.npz", pool=np.ones((60, 2)))
    for options, message in [
        ({}, "vectors of the pool: embed.pool=PATH.npy$"),
        ({"pool": tmp_path / "none.npy"}, "embed.pool=.*none.npy cannot be read"),
        ({"pool": tmp_path / "archive.npz"}, "must hold numbers .* got an archive"),
        ({"pool": pool}, "of the test: embed.test=PATH.npy, or embed.as_input=false"),
        ({"pool": pool, "test": narrow}, r"narrow.npy must have shape \[60, 2\]"),
        ({"pool": pool, "test": pool}, "of the validation: embed.validation=PATH.npy"),
    ]:
        with pytest.raises(DataError, match=message):
            embed.file(data, **options)
