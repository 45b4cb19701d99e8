import numpy as np
import pytest
from made_runs import data_of, made_run, part_of, photos

from activeloop.data import load_data
from activeloop.reloading import as_arrays
from activeloop.report import duplicates as module
from activeloop.report.duplicates import duplicates
from activeloop.report.likeness import near_duplicates
from activeloop.report.picks import chosen, shared
from activeloop.report.samples import reduced

CLASSES = dict.fromkeys(range(1000), "cat")


def pairs(images, among=None):
    images = np.asarray(images)
    low = reduced(part_of(images), np.arange(len(images)), 32)
    others = None if among is None else reduced(part_of(among), np.arange(len(among)), 32)
    return [tuple(pair) for pair in near_duplicates(low, others).tolist()]


def textured(n, size=32, seed=0):
    """Photos with detail of their own."""
    rng = np.random.default_rng(seed)
    detail = rng.normal(scale=25, size=(n, 1, size, size))
    return np.clip(photos(n, size, seed=seed) + detail, 0, 255).astype(np.uint8)


def noisy(images, std, seed):
    noise = np.random.default_rng(seed).normal(scale=255 * std, size=images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def test_the_same_image_is_a_near_duplicate_and_another_is_not():
    images = photos(20)
    assert pairs(images) == []
    assert pairs(np.concatenate([images, images[4:6]])) == [(4, 20), (5, 21)]
    assert pairs(images[:3], among=images[2:]) == [(2, 0)]


@pytest.mark.parametrize("std", [0.02, 0.05, 0.1])
def test_a_copy_with_noise_is_a_near_duplicate(std):
    images = photos(30, 28)
    both = np.concatenate([noisy(images, std, 1), noisy(images, std, 2)])
    assert pairs(both) == [(i, i + 30) for i in range(30)]


def test_a_brighter_copy_and_one_without_colours_are_near_duplicates():
    images = textured(10)
    brighter = np.clip(images.astype(int) + 12, 0, 255).astype(np.uint8)
    grey = np.broadcast_to(images.mean(axis=1, keepdims=True), images.shape).astype(np.uint8)
    assert pairs(images, brighter) == [(i, i) for i in range(10)]
    assert pairs(images, grey) == [(i, i) for i in range(10)]


def test_images_of_one_colour_and_of_slightly_other_shapes_are_different():
    plain = np.stack([np.full((3, 32, 32), value, np.uint8) for value in (100, 110, 120)])
    assert pairs(plain) == []
    bars = np.zeros((6, 1, 28, 28), np.uint8)
    for i, bar in enumerate(bars):
        bar[0, 4:24, 10 + i % 3 : 13 + i % 3] = 255
        bar[0, 4 + i // 3] = 0
    assert [p for p in pairs(bars) if abs(p[0] - p[1]) < 3] == []


def test_large_images_are_compared_as_small_ones():
    images = photos(12, 200)
    assert pairs(np.concatenate([images, images[3:4]])) == [(3, 12)]


def test_repeated_data_with_jitter_are_found_and_plain_ones_are_not(tmp_path):
    plain, _ = load_data("digits")
    repeated, _ = load_data("digits", repeat=3, jitter=0.1, pool_size=300)
    low = reduced(as_arrays(plain).pool, np.arange(len(plain.pool)), 32)
    of_plain = len(np.unique(near_duplicates(low)[:, 1]))
    # Of 8 x 8 pixels scaled up to 28 x 28, digits are blurred and alike at a glance.
    assert of_plain <= 2
    low = reduced(as_arrays(repeated).pool, np.arange(900), 32)
    found = near_duplicates(low)
    copies = found[found[:, 0] % 300 == found[:, 1] % 300]
    assert len(np.unique(copies)) == 900
    assert len(copies) > 0.98 * len(found)


def test_a_sample_that_people_left_open_and_were_asked_for_again_is_one_pick(tmp_path):
    run = made_run(tmp_path, "a", 0, [[0, 1], [2, 3, 4], [3, 5]], CLASSES)
    assert [(a.round, a.index) for a in chosen(run).asked] == [(1, 2), (1, 4), (2, 3), (2, 5)]
    assert duplicates(shared([run]), data_of(photos(10))).picked == {"a": 0}


def test_share_of_picks_that_repeat_an_earlier_one_by_hand(tmp_path):
    pool = photos(40)
    # 20 to 29 are copies of 0 to 9.
    pool[20:30] = pool[:10]
    runs = [
        made_run(tmp_path, "a", 0, [[0, 1], [20, 2], [22, 3]], CLASSES),  # of 0, and of 2
        made_run(tmp_path, "a", 1, [[0, 1], [4, 5], [6, 7]], CLASSES),
        made_run(tmp_path, "b", 0, [[0, 20], [1, 21], [4, 5]], CLASSES),  # of 1; 20 is no pick
    ]
    found = duplicates(shared(runs), data_of(pool))
    assert found.picked == {"a": 0.25, "b": 0.25}
    assert (found.leaked, found.test, found.examples) == (None, 0, ())


def test_all_but_the_first_of_many_copies_count(tmp_path):
    pool = photos(60)
    pool[10:50] = pool[10]
    run = made_run(tmp_path, "a", 0, [[0], list(range(5, 45))], CLASSES)
    assert duplicates(shared([run]), data_of(pool)).picked == {"a": 34 / 40}


def test_test_samples_that_are_in_the_pool_are_counted_and_shown(tmp_path):
    pool, test = photos(50), photos(30, seed=1)
    test[[3, 8]] = pool[[7, 40]]
    pool[41] = pool[40]
    run = made_run(tmp_path, "a", 0, [[0], [1, 2]], CLASSES)
    found = duplicates(shared([run]), data_of(pool, test))
    assert (found.leaked, found.test) == (2, 30)
    assert [(a.key, b.key) for a, b in found.examples] == [("k7", "t3"), ("k40", "t8")]
    assert found.examples[0][0].image == found.examples[0][1].image is not None
    assert " of 50 samples" not in found.how


def test_of_a_large_pool_and_test_set_a_sample_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 20)
    monkeypatch.setattr(module, "_MOST_TEST", 10)
    pool = photos(50)
    run = made_run(tmp_path, "a", 0, [[0], [1, 2]], CLASSES)
    found = duplicates(shared([run]), data_of(pool, pool[40:10:-1]))
    assert "20 of 50 samples of the pool" in found.how
    assert "10 of 30 samples of the test set" in found.how
    assert 0 < found.leaked < 10
    assert found.test == 10


def test_of_many_large_samples_fewer_seeds_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_READ_BYTES", 4 * 1200)
    pool = photos(50)
    pool[2] = pool[1]
    runs = [made_run(tmp_path, "a", seed, [[0], [1, 2 + seed]], CLASSES) for seed in range(4)]
    found = duplicates(shared(runs), data_of(pool))
    assert found.picked == {"a": 0.5}  # of seed 0 alone, whose picks are one image twice
    assert "the runs of 1 of 4 seeds" in found.how


def test_of_many_labels_the_first_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_LABELS", 5)
    pool = photos(50)
    pool[[2, 7, 8, 9]] = pool[1]
    run = made_run(tmp_path, "a", 0, [[0], [1, 2, 3, 4], [7, 8, 9]], CLASSES)
    found = duplicates(shared([run]), data_of(pool))
    assert found.picked == {"a": 0.25}
    assert "the first 5 labels of a run" in found.how


@pytest.mark.slow
def test_few_images_of_mnist_are_alike_and_repeated_ones_are(real_data):
    data, _ = load_data("mnist", root=real_data, download=False)
    arrays = as_arrays(data)
    test = reduced(arrays.test, np.arange(2000), 32)
    pool = reduced(arrays.pool, np.arange(60000), 32)
    assert len(np.unique(near_duplicates(test, pool)[:, 0])) <= 8
    repeated, _ = load_data(
        "mnist", root=real_data, download=False, repeat=3, jitter=0.1, pool_size=2000
    )
    found = near_duplicates(reduced(as_arrays(repeated).pool, np.arange(6000), 32))
    copies = found[found[:, 0] % 2000 == found[:, 1] % 2000]
    assert len(np.unique(copies)) > 0.99 * 6000
