import base64
import contextlib
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from made_runs import data_of, made_run, photos
from PIL import Image

from activeloop import SKIP
from activeloop.errors import DataError
from activeloop.report.pictures import pictures
from activeloop.report.runs import read_run
from activeloop.store import Store

CLASSES = {i: "cat" if i % 2 == 0 else "dog" for i in range(100)}


def gone(run):
    raise DataError("the disk is gone")


def decoded(uri):
    assert uri is not None
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def two(tmp_path, **more):
    """Two strategies, two seeds: random and odd, which picks dogs."""
    return [
        made_run(tmp_path, "random", 0, [[0, 1], [2, 3], [4, 5]], CLASSES, **more),
        made_run(tmp_path, "random", 1, [[0, 1], [2, 3], [4, 5]], CLASSES, **more),
        made_run(tmp_path, "odd", 0, [[0, 1], [3, 5], [7, 9]], CLASSES, **more),
        made_run(tmp_path, "odd", 1, [[0, 1], [3, 5], [7, 4]], CLASSES, **more),
    ]


def test_balance_of_picks_by_hand(tmp_path):
    balance = pictures(two(tmp_path), load=gone).balance
    assert balance.classes == ("cat", "dog")
    assert balance.pool is None
    # Of four picks each, without the two of the initial set: 0 and 1 cats of the odd strategy.
    assert balance.picks == {"random": (0.5, 0.5), "odd": (0.125, 0.875)}


def test_balance_of_the_pool_is_of_its_hidden_labels(tmp_path):
    labels = np.array([0] * 75 + [1] * 25)
    data = data_of(np.zeros((100, 3), np.float32), labels=labels)
    assert pictures(two(tmp_path), load=lambda run: data).balance.pool == (0.75, 0.25)


def test_a_class_that_was_added_later_is_counted(tmp_path):
    labels = CLASSES | {4: "emu", 5: "emu"}
    runs = [made_run(tmp_path, "random", 0, [[0], [2, 3], [4, 5]], labels)]
    balance = pictures(runs, load=gone).balance
    assert balance.classes == ("cat", "dog", "emu")
    assert balance.picks["random"] == (0.25, 0.25, 0.5)


def test_overlap_by_hand(tmp_path):
    overlap = pictures(two(tmp_path), load=gone).overlap
    assert overlap.strategies == ("random", "odd")
    # Seed 0 shares 3 and 5 of four, seed 1 shares 3, 5 and 4.
    assert overlap.matrix == ((1.0, 0.625), (0.625, 1.0))
    assert overlap.chance == pytest.approx(4 / 98)


def test_runs_are_compared_up_to_the_labels_that_all_have(tmp_path):
    shorter = made_run(tmp_path, "short", 0, [[0, 1], [9, 3]], CLASSES)
    found = pictures([*two(tmp_path / "two"), shorter], load=gone)
    assert found.overlap.matrix[2] == (0.5, 0.5, 1.0)
    assert found.overlap.matrix[0][1] == 0.5
    assert found.balance.picks["random"] == (0.5, 0.5)
    assert found.overlap.chance == pytest.approx(2 / 98)


def test_a_run_that_did_not_end_does_not_cut_those_that_did(tmp_path):
    begun = made_run(tmp_path, "begun", 0, [[0, 1], [9]], CLASSES, ended=None)
    overlap = pictures([*two(tmp_path / "two"), begun], load=gone).overlap
    assert overlap.strategies == ("random", "odd")
    assert overlap.matrix[0][1] == 0.625


def test_skipped_samples_and_the_audit_are_no_picks(tmp_path):
    labels = CLASSES | {4: None}
    run = made_run(tmp_path, "a", 0, [[0], [2, 4, 7]], labels, more={7: {"audit": True}})
    other = made_run(tmp_path, "b", 0, [[0], [2, 7]], labels)
    found = pictures([run, other], load=gone)
    assert found.balance.picks["a"] == (1.0, 0.0)
    assert found.overlap.matrix[0][1] == 1.0
    assert [t.key for t in found.galleries[0].rounds[1]] == ["k2", "k4"]
    assert found.galleries[0].rounds[1][1].label is None


def test_what_was_asked_and_not_answered_is_not_called_skipped(tmp_path):
    run = made_run(tmp_path, "a", 0, [[0], [2, 3, 4]], CLASSES | {4: SKIP})
    with contextlib.closing(Store(run.directory / "run.db")) as store:
        store.add_labels(1, {"k3": None}, "ann")  # taken back
    (gallery,) = pictures([read_run(run.directory)], load=gone).galleries
    said = [(each.key, each.label, each.answered) for each in gallery.rounds[1]]
    assert said == [("k2", "cat", True), ("k3", None, False), ("k4", None, True)]


def test_strategies_without_a_common_seed_have_no_overlap(tmp_path):
    runs = [
        made_run(tmp_path, "a", 0, [[0], [2]], CLASSES),
        made_run(tmp_path, "b", 1, [[0], [2]], CLASSES),
    ]
    assert math.isnan(pictures(runs, load=gone).overlap.matrix[0][1])


def test_runs_that_kept_no_size_of_the_pool_say_so(tmp_path):
    found = pictures(two(tmp_path, pool_size=None), load=gone)
    assert math.isnan(found.overlap.chance)
    assert any("by chance is not known" in each for each in found.missing)


def test_galleries_say_what_the_network_said(tmp_path):
    said = {3: {"score": 0.25, "predicted": "cat", "confidence": 0.6}}
    run = made_run(tmp_path, "a", 4, [[0], [3]], CLASSES, more=said)
    (gallery,) = pictures([run], load=gone).galleries
    (shown,) = gallery.rounds[1]
    assert (gallery.strategy, gallery.seed) == ("a", 4)
    assert (shown.key, shown.label, shown.score) == ("k3", "dog", 0.25)
    assert (shown.predicted, shown.confidence, shown.image) == ("cat", 0.6, None)
    assert gallery.rounds[0][0].predicted is None


def test_galleries_are_bounded_and_spread_over_the_rounds(tmp_path):
    rounds = [[0], *(list(range(r * 20, r * 20 + 14)) for r in range(1, 31))]
    labels = dict.fromkeys(range(1000), "cat")
    (gallery,) = pictures([made_run(tmp_path, "a", 0, rounds, labels)], load=gone).galleries
    assert list(gallery.rounds) == [0, 3, 7, 10, 13, 17, 20, 23, 27, 30]
    assert [t.key for t in gallery.rounds[3]] == [f"k{i}" for i in range(60, 72)]


def test_the_seed_that_is_shown(tmp_path):
    runs = [*two(tmp_path), made_run(tmp_path, "late", 7, [[0], [2]], CLASSES)]
    assert [g.seed for g in pictures(runs, load=gone).galleries] == [0, 0, 7]
    assert [g.seed for g in pictures(runs, seed=1, load=gone).galleries] == [1, 1, 7]


def test_thumbnails_have_the_colours_of_the_images(tmp_path):
    pool = photos(100)
    found = pictures(two(tmp_path), load=lambda run: data_of(pool))
    shown = found.galleries[1].rounds[1][0]
    assert shown.key == "k3"
    assert np.array_equal(np.asarray(decoded(shown.image)), pool[3].transpose(1, 2, 0))
    assert found.missing == ()


def test_large_thumbnails_are_reduced_and_stay_small(tmp_path):
    rng = np.random.default_rng(0)
    pool = rng.integers(0, 256, (10, 3, 96, 192), dtype=np.uint8)
    pool[2, :, :, :96], pool[2, :, :, 96:] = 250, 10
    run = made_run(tmp_path, "a", 0, [[0], [2, 3]], CLASSES)
    half, noisy = pictures([run], load=lambda run: data_of(pool)).galleries[0].rounds[1]
    assert decoded(half.image).size == (48, 24)
    assert decoded(half.image).getpixel((3, 3)) == (250, 250, 250)
    assert decoded(half.image).getpixel((44, 20)) == (10, 10, 10)
    assert len(noisy.image) < 4000
    # Of 4 x 4 pixels each, noise is nearly grey.
    assert np.asarray(decoded(noisy.image)).std() < 0.4 * pool[3].std()


@pytest.mark.parametrize(
    ("black", "white"), [(0.0, 1.0), (0.0, 255.0), (-2.0, 3.0)], ids=["0-1", "0-255", "normalised"]
)
def test_floating_point_images_are_shown_from_black_to_white(tmp_path, black, white):
    pool = np.full((10, 1, 8, 8), black, np.float32)
    pool[3, 0, :4], pool[3, 0, 4] = white, (white + black) / 2
    run = made_run(tmp_path, "a", 0, [[0], [3]], CLASSES)
    (shown,) = pictures([run], load=lambda run: data_of(pool)).galleries[0].rounds[1]
    assert np.array_equal(np.asarray(decoded(shown.image))[:, 0], [255] * 4 + [128] + [0] * 3)


def test_vectors_have_no_thumbnails_but_a_map(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(100, 5)).astype(np.float32)
    vectors[5] = vectors[3]
    found = pictures(two(tmp_path), load=lambda run: data_of(vectors, vectors[3:4]))
    assert all(t.image is None for g in found.galleries for ts in g.rounds.values() for t in ts)
    assert "vectors" in found.map.how
    # 3 is picked before 5 by both.
    assert found.duplicates.picked == {"random": 0.25, "odd": 0.25}
    assert (found.duplicates.leaked, found.duplicates.test) == (1, 1)
    assert found.duplicates.examples[0][0].key in ("k3", "k5")


def test_without_the_data_the_rest_is_there(tmp_path):
    found = pictures(two(tmp_path), load=gone)
    assert (found.map, found.duplicates) == (None, None)
    assert len(found.galleries) == 2
    assert len(found.missing) == 1
    assert "the disk is gone" in found.missing[0]


def test_an_error_of_a_strangers_data_set_is_no_error_of_the_report(tmp_path):
    def broken(run):
        raise ZeroDivisionError("in their code")

    assert "ZeroDivisionError: in their code" in pictures(two(tmp_path), load=broken).missing[0]


def test_data_with_other_keys_are_not_shown(tmp_path):
    data = data_of(photos(100))
    moved = replace(data, pool=replace(data.pool, keys=[*data.pool.keys[1:], "k0"]))
    found = pictures(two(tmp_path), load=lambda run: moved)
    assert found.map is None
    assert "not those of the runs" in found.missing[0]


def test_a_smaller_pool_is_not_shown(tmp_path):
    found = pictures(two(tmp_path), load=lambda run: data_of(photos(6)))
    assert found.galleries[0].rounds[0][0].image is None
    assert "'k7' was sample 7" in found.missing[0]


def test_runs_of_other_data_are_left_out(tmp_path):
    identity = {"data": {"classes": ["cat", "dog"], "pool": "q"}}
    other = made_run(tmp_path, "other", 0, [[0], [9]], CLASSES, identity=identity)
    found = pictures([*two(tmp_path / "two"), other], load=gone)
    assert found.overlap.strategies == ("random", "odd")
    assert any("other-0 is left out" in each for each in found.missing)


def test_a_damaged_run_is_named(tmp_path):
    runs = two(tmp_path)
    (runs[3].directory / "run.db").write_text("no database")
    found = pictures(runs, load=gone)
    assert found.overlap.matrix[0][1] == 0.5  # of seed 0
    assert any("odd-1" in each for each in found.missing)


def test_nothing_to_show(tmp_path):
    found = pictures([], load=gone)
    assert (found.galleries, found.balance, found.overlap, found.map) == ((), None, None, None)
    initial = pictures([made_run(tmp_path, "a", 0, [[0, 1]], CLASSES)], load=gone)
    assert (initial.balance, initial.overlap) == (None, None)
    assert any("beyond its initial set" in each for each in initial.missing)


def test_the_data_set_is_loaded_once(tmp_path):
    asked = []

    def load(run):
        asked.append(run)
        return data_of(photos(100))

    pictures(two(tmp_path), load=load)
    assert len(asked) == 1
