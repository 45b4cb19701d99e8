import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from activeloop.data import arrays
from activeloop.data.parts import shares
from activeloop.errors import ConfigError, DataError

CPU = torch.device("cpu")


def images(counts, seed=0):
    """Images whose every pixel is distinct noise, `counts[c]` of class c, shuffled."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return {"x": rng.integers(0, 256, (len(y), 4, 4), np.uint8), "y": y}


def everything(samples):
    return samples.raw(np.arange(len(samples)), CPU)


def test_without_options_all_samples_are_in_the_pool_in_their_order():
    given_ = images([3, 5])
    data, hidden = arrays(**given_, test_fraction=0)
    assert everything(data.pool).squeeze(1).tolist() == given_["x"].tolist()
    assert hidden.pool.tolist() == given_["y"].tolist()
    assert list(data.pool.keys) == [f"all/{i}" for i in range(8)]
    assert data.test is None
    assert hidden.test is None
    assert data.validation is None


def test_the_test_set_is_stratified_disjoint_and_drawn_by_the_seed():
    given_ = images([50, 100])
    data, hidden = arrays(**given_)
    # 30 to test on, out of 49 and 99 that can go: 9.93 and 20.07
    assert np.bincount(hidden.test).tolist() == [10, 20]
    assert set(data.pool.keys) | set(data.test.keys) == {f"all/{i}" for i in range(150)}
    assert len(data.pool) + len(data.test) == 150
    again, _ = arrays(**given_)
    other, _ = arrays(**given_, seed=1)
    assert list(again.test.keys) == list(data.test.keys) != list(other.test.keys)


def test_samples_and_labels_follow_their_keys_through_every_step():
    given_ = images([60, 40, 20])
    data, hidden = arrays(**given_, validation=12, imbalance=2, pool_size=30, repeat=2)
    for samples, labels in (
        (data.pool, hidden.pool),
        (data.test, hidden.test),
        (data.validation.samples, data.validation.labels),
    ):
        came_from = [int(key.split("/")[1].split("~")[0]) for key in samples.keys]
        assert everything(samples).squeeze(1).tolist() == given_["x"][came_from].tolist()
        assert labels.tolist() == given_["y"][came_from].tolist()
        assert len(set(samples.keys)) == len(samples)


def test_validation_comes_out_of_the_pool_with_its_labels():
    data, hidden = arrays(**images([30, 60]), test_fraction=0, validation=9)
    assert np.bincount(data.validation.labels).tolist() == [3, 6]
    assert len(data.pool) == 81
    assert not set(data.validation.samples.keys) & set(data.pool.keys)
    assert len(hidden.pool) == 81
    assert set(data.fingerprints) == {"pool", "validation"}


def test_imbalance_makes_the_last_class_so_many_times_rarer():
    _, hidden = arrays(**images([100, 100, 100]), test_fraction=0, imbalance=100)
    # 100 * 100 ** -(0, 1/2, 1)
    assert np.bincount(hidden.pool).tolist() == [100, 10, 1]


def test_imbalance_adds_no_samples_to_small_classes():
    _, hidden = arrays(**images([20, 100]), test_fraction=0, imbalance=2)
    assert np.bincount(hidden.pool).tolist() == [20, 50]


def test_pool_size_keeps_the_shares_of_classes_and_the_keys_of_samples():
    given_ = images([40, 80])
    whole, _ = arrays(**given_)
    small, labels = arrays(**given_, pool_size=12)
    larger, _ = arrays(**given_, pool_size=24)
    assert np.bincount(labels.pool).tolist() == [4, 8]
    assert set(small.pool.keys) < set(larger.pool.keys) < set(whole.pool.keys)
    assert list(small.test.keys) == list(whole.test.keys)


def test_pool_size_of_all_changes_nothing():
    given_ = images([5, 5])
    whole, _ = arrays(**given_, test_fraction=0)
    same, _ = arrays(**given_, test_fraction=0, pool_size=10)
    assert same.fingerprints == whole.fingerprints


def test_repeat_copies_the_pool_and_nothing_else():
    data, hidden = arrays(**images([5, 5]), repeat=3)
    assert len(data.pool) == len(hidden.pool) == 24
    pixels = everything(data.pool)
    assert torch.equal(pixels[:8], pixels[8:16])
    assert list(data.pool.keys)[8:10] == [f"{key}~1" for key in list(data.pool.keys)[:2]]
    assert len(data.test) == 2


def test_jitter_is_noise_of_that_size_on_every_copy_and_clipped():
    x = np.full((200, 10, 10), 128, np.uint8)
    x[0] = 255
    y = np.arange(200) % 2
    data, _ = arrays(x=x, y=y, test_fraction=0.1, repeat=2, jitter=0.1)
    pool = everything(data.pool)
    copies = pool.float().reshape(2, -1)
    assert pool.dtype == torch.uint8
    grey = copies[:, 1000:]
    assert grey.mean().item() == pytest.approx(128, abs=1)
    for copy in grey:
        assert copy.std().item() == pytest.approx(25.5, rel=0.03)
    assert not torch.equal(copies[0], copies[1])
    test = set(everything(data.test).unique().tolist())
    assert test <= {128, 255}
    # White is clipped, not wrapped round to black.
    white = pool[list(data.pool.keys).index("all/0")]
    assert white.min() > 128
    again, _ = arrays(x=x, y=y, test_fraction=0.1, repeat=2, jitter=0.1)
    assert again.fingerprints == data.fingerprints


def test_jitter_of_floats_is_in_their_own_units():
    x = np.full((500, 4), 7.0)
    data, _ = arrays(x=x, y=np.arange(500) % 2, test_fraction=0, jitter=0.5)
    pool = everything(data.pool)
    assert pool.mean().item() == pytest.approx(7, abs=0.05)
    assert pool.std().item() == pytest.approx(0.5, rel=0.05)


def test_the_normalisation_is_computed_from_the_pool_per_channel():
    x = np.zeros((4, 2, 2, 3), np.uint8)
    x[:2, ..., 1] = 255
    x[..., 2] = 51
    data, _ = arrays(x=x, y=[0, 1, 0, 1], test_fraction=0)
    # A constant channel has standard deviation 0, and is divided by 1.
    assert data.pool.mean.tolist() == pytest.approx([0, 0.5, 0.2])
    assert data.pool.std.tolist() == pytest.approx([1, 0.5, 1])


def test_vectors_are_normalised_per_feature_as_numpy_does():
    rng = np.random.default_rng(0)
    x = rng.normal([1e4, 0, -3], [1, 1e-4, 10], (300, 3))
    data, _ = arrays(x=x, y=np.arange(300) % 3, test_fraction=0)
    normal = data.pool.batch(np.arange(300), CPU)
    assert data.pool.mean.tolist() == pytest.approx(x.mean(0).tolist(), rel=1e-5)
    assert data.pool.std.tolist() == pytest.approx(x.std(0).tolist(), rel=1e-5)
    assert normal.std(0, correction=0).tolist() == pytest.approx([1, 1, 1], rel=1e-3)


def test_the_test_set_is_normalised_as_the_pool():
    data, _ = arrays(**images([20, 20]), mean=0.5, std=[0.25])
    assert data.test.mean.tolist() == data.pool.mean.tolist() == [0.5]
    assert data.test.std.tolist() == data.pool.std.tolist() == [0.25]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(sum), st.data())
def test_shares_add_up_and_are_within_one_of_proportion(counts, draw):
    counts = np.array(counts)
    size = draw.draw(st.integers(0, int(counts.sum())))
    got = shares(counts, size)
    assert got.sum() == size
    assert (abs(got - counts * size / counts.sum()) < 1).all()
    assert (got <= counts).all()


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.floats(0, 0.99), st.integers(0, 9))
def test_no_split_takes_the_last_sample_of_a_class(counts, fraction, seed):
    given_ = images(counts)
    if round(fraction * sum(counts)) > sum(counts) - len(counts):
        with pytest.raises(ConfigError, match=r"data\.test_fraction takes"):
            arrays(**given_, test_fraction=fraction, seed=seed)
        return
    _, hidden = arrays(**given_, test_fraction=fraction, seed=seed)
    assert np.bincount(hidden.pool, minlength=len(counts)).min() >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_size": 21}, r"data\.pool_size is 21, but the pool has 20 samples"),
        ({"pool_size": 0}, r"data\.pool_size must be a whole number of at least 1, got 0"),
        ({"pool_size": 2.5}, r"data\.pool_size must be a whole number"),
        ({"validation": -1}, r"data\.validation must be a whole number of at least 0, got -1"),
        ({"validation": 19}, r"data\.validation takes 19 samples of 20, but only 18 can go"),
        ({"imbalance": 0.5}, r"data\.imbalance must be a number at least 1, got 0\.5"),
        ({"repeat": 0}, r"data\.repeat must be a whole number of at least 1, got 0"),
        ({"jitter": -0.1}, r"data\.jitter must be a number at least 0, got -0\.1"),
        ({"jitter": float("nan")}, r"data\.jitter must be a number"),
        ({"seed": -1}, r"data\.seed must be a whole number"),
        ({"mean": [0.1, 0.2]}, r"data\.mean must be 1 or 1 numbers, got 2"),
        ({"mean": "dark"}, r"data\.mean must be a number, got 'dark'"),
        ({"std": 0}, r"data\.std must be a number above 0, got 0"),
        ({"poolsize": 3}, r"no option 'poolsize'; .*'pool_size'"),
        ({"test_fraction": 1.0}, r"data\.test_fraction must be below 1, got 1"),
        ({"test_fraction": -0.1}, r"data\.test_fraction must be a number at least 0"),
    ],
)
def test_options_without_meaning_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        arrays(**images([10, 10]), **{"test_fraction": 0, **options})


def test_a_class_with_no_sample_left_is_named():
    with pytest.raises(DataError, match=r"in the pool of 101 for class 'rare': .*data\.imbalance"):
        arrays(**images([101, 101]), classes=["common", "rare"], test_fraction=0, imbalance=1000)
    with pytest.raises(DataError, match=r"in the pool of 3 for class '1': .*raise data\.pool_size"):
        arrays(**images([100, 2]), test_fraction=0, pool_size=3)


def test_many_classes_without_samples_are_counted():
    with pytest.raises(DataError, match=r"'2', '3', '4', '5', '6' and 3 more: "):
        arrays(**images([5, 5]), classes=[str(i) for i in range(10)])


def test_without_labels_pool_size_is_a_plain_subsample_and_the_rest_is_refused():
    x, classes = images([10, 10])["x"], ["cat", "dog"]
    data, hidden = arrays(x=x, classes=classes, pool_size=7, repeat=2)
    assert len(data.pool) == 14
    assert data.classes == ("cat", "dog")
    assert (hidden.pool, hidden.test, data.test) == (None, None, None)
    for option in ({"imbalance": 10}, {"validation": 2}):
        with pytest.raises(ConfigError, match=f"data.{next(iter(option))} needs labels"):
            arrays(x=x, classes=classes, **option)
