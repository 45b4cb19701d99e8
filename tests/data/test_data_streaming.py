"""Data sets larger than memory: read once into a file, and the same as in memory."""

import errno
import fcntl
import gc
import multiprocessing
import os
import random
import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import random_state
from PIL import Image

from activeloop.data import decode as decode_module
from activeloop.data import from_dataset, image_folder, reading
from activeloop.data import kept as kept_module
from activeloop.data import samples as samples_module
from activeloop.data.ahead import ahead, raw_batches
from activeloop.data.stored import RowFile, StoredRows
from activeloop.errors import ConfigError, DataError

CPU = torch.device("cpu")
TINY = 1  # a limit in bytes that nothing fits in


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "activeloop" / "images"


@pytest.fixture
def photos(tmp_path):
    """Noise in three classes, stored without loss, of sizes that are to be changed."""
    rng = np.random.default_rng(0)
    for name, count in {"ant": 12, "bee": 20, "cat": 8}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (9, 11, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that this process decodes, as they are decoded."""
    names, real = [], decode_module.decode

    def counting(path, size, channels):
        names.append(f"{path.parent.name}/{path.name}")
        return real(path, size, channels)

    monkeypatch.setattr(decode_module, "decode", counting)
    return names


def pixels(samples):
    return samples.raw(np.arange(len(samples)), CPU)


def stored(samples):
    return isinstance(samples._x, StoredRows)


def assert_same(one, other):
    """Assert that two data sets and their labels cannot be told apart."""
    (data, hidden), (data_2, hidden_2) = one, other
    assert data.fingerprints == data_2.fingerprints
    assert data.classes == data_2.classes
    for part in ("pool", "test"):
        if getattr(data, part) is None:
            assert getattr(data_2, part) is None
            continue
        a, b = getattr(data, part), getattr(data_2, part)
        assert list(a.keys) == list(b.keys)
        assert torch.equal(pixels(a), pixels(b))
        some = np.random.default_rng(1).permutation(len(a))[:7]
        assert torch.equal(a.batch(some, CPU), b.batch(some, CPU))
        if getattr(hidden, part) is not None:
            assert getattr(hidden, part).tolist() == getattr(hidden_2, part).tolist()


# ---------------------------------------------------------------------------- the same as resident


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": 1, "size": [5, 7]},
        {"pool_size": 10, "validation": 5, "imbalance": 2},
        {"repeat": 2, "jitter": 0.05, "pool_size": 9},
        {"classes": ["cat", "ant"], "test_fraction": 0},
    ],
    ids=["plain", "grey", "cut", "noisy", "classes"],
)
def test_a_file_is_the_same_data_set(photos, options):
    options = {"size": 6} | options
    in_memory = image_folder(photos, **options)
    in_file = image_folder(photos, memory_limit=TINY, **options)
    assert not stored(in_memory[0].pool)
    assert stored(in_file[0].pool)
    assert_same(in_memory, in_file)


def test_larger_than_the_limit_streams_by_itself_and_no_smaller(photos):
    size = 40 * 3 * 6 * 6  # pool and test set together
    assert not stored(image_folder(photos, size=6, memory_limit=size)[0].pool)
    assert stored(image_folder(photos, size=6, memory_limit=size - 1)[0].pool)
    assert stored(image_folder(photos, size=6, memory_limit=size - 1)[0].test)
    # Copies take memory too; and what is cut does not.
    assert stored(image_folder(photos, size=6, memory_limit=size, repeat=2)[0].pool)
    assert not stored(image_folder(photos, size=6, memory_limit=size // 2, pool_size=10)[0].pool)


def test_folders_of_train_and_test_are_one_file(photos, tmp_path, home):
    (tmp_path / "both").mkdir()
    photos.rename(tmp_path / "both" / "train")
    shutil.copytree(tmp_path / "both" / "train" / "cat", tmp_path / "both" / "test" / "bee")
    options = {"size": [9, 11], "pool_size": 7, "validation": 3}
    in_memory = image_folder(tmp_path / "both", **options)
    assert_same(in_memory, image_folder(tmp_path / "both", memory_limit=TINY, **options))
    assert len(list(home.glob("*/*.records.npy"))) == 1
    for samples in (in_memory[0].pool, in_memory[0].test):
        for key, image in zip(samples.keys, pixels(samples), strict=True):
            with Image.open(tmp_path / "both" / key) as stored_image:
                assert image.permute(1, 2, 0).tolist() == np.asarray(stored_image).tolist()


def test_without_a_cache_all_is_held_in_memory(photos, home):
    data, _ = image_folder(photos, size=6, memory_limit=TINY, cache=None)
    assert not stored(data.pool)
    assert not home.exists()


def test_a_folder_that_is_named_keeps_what_would_fit(photos, tmp_path, decoded):
    first = image_folder(photos, size=6, cache=tmp_path / "kept")
    assert len(decoded) == 40
    again = image_folder(photos, size=6, cache=str(tmp_path / "kept"))
    assert len(decoded) == 40
    assert not stored(again[0].pool)
    assert_same(first, again)
    assert_same(again, image_folder(photos, size=6))


def test_all_is_kept_where_that_is_wanted_and_there_is_room(
    photos, home, decoded, monkeypatch, caplog
):
    first = image_folder(photos, size=6, cache="keep")
    assert len(decoded) == 40
    assert list(home.glob("*/*.records.npy"))
    assert_same(first, image_folder(photos, size=6, cache="keep"))
    assert len(decoded) == 40
    assert not stored(first[0].pool)
    usage = shutil.disk_usage(photos)._replace(free=100)
    monkeypatch.setattr(kept_module.shutil, "disk_usage", lambda _: usage)
    assert_same(image_folder(photos, size=7, cache="keep"), image_folder(photos, size=7))
    assert "photos: read anew each run, for what is read cannot be put into" in caplog.text
    with pytest.raises(DataError, match="free some room"):
        image_folder(photos, size=7, cache="keep", memory_limit=TINY)


# ---------------------------------------------------------------------------- only what is needed


@pytest.mark.parametrize("limit", [None, TINY])
def test_only_what_the_options_leave_is_decoded(photos, decoded, limit):
    data, _ = image_folder(photos, classes=["ant", "bee"], pool_size=6, memory_limit=limit)
    assert sorted(decoded) == sorted([*data.pool.keys, *data.test.keys])
    assert len(decoded) == 6 + round(0.2 * 32)


def test_the_next_run_decodes_only_what_is_new_to_it(photos, decoded):
    image_folder(photos, size=6, memory_limit=TINY, pool_size=6)
    assert len(decoded) == 6 + 8
    seen = set(decoded)
    decoded.clear()
    image_folder(photos, size=6, memory_limit=TINY)
    assert len(decoded) == 40 - 14
    assert not seen & set(decoded)
    decoded.clear()
    image_folder(photos, size=6, memory_limit=TINY, classes=["ant", "cat"], seed=3)
    assert decoded == []
    image_folder(photos, size=7, memory_limit=TINY)
    assert len(decoded) == 40


def test_a_file_that_changed_is_noticed(photos, decoded, home):
    before = image_folder(photos, size=6, memory_limit=TINY)[0]
    changed = photos / "bee" / "03.png"
    stat = changed.stat()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(changed)
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    (photos / "ant" / "00.png").unlink()
    (photos / "cat" / "00.png").rename(photos / "bee" / "00b.png")
    decoded.clear()
    after = image_folder(photos, size=6, memory_limit=TINY)[0]
    assert sorted(decoded) == ["bee/00b.png", "bee/03.png"]
    assert after.fingerprints != before.fingerprints
    assert after.fingerprints == image_folder(photos, size=6)[0].fingerprints
    # What was decoded before it changed takes no room any more, but who reads it can go on.
    assert len(list(home.glob("*/*.records.npy"))) == 1
    assert len(pixels(before.pool)) == 32


def test_a_file_that_changes_while_it_is_decoded_is_an_error(photos, monkeypatch):
    real = decode_module.decode

    def changing(path, size, channels):
        found = real(path, size, channels)
        if path.name == "11.png":
            os.utime(path, ns=(1, 1))
        return found

    monkeypatch.setattr(decode_module, "decode", changing)
    with pytest.raises(DataError, match=r"11\.png \(it was changed meanwhile: run again\)"):
        image_folder(photos, size=6, memory_limit=TINY)


# ---------------------------------------------------------------------------- interruptions


def test_an_interrupted_run_goes_on(photos, decoded, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_ROWS", 4)
    real = decode_module.decode

    def interrupted(path, size, channels):
        if len(decoded) == 21:
            raise KeyboardInterrupt
        return real(path, size, channels)

    monkeypatch.setattr(decode_module, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        image_folder(photos, size=6, memory_limit=TINY)
    monkeypatch.setattr(decode_module, "decode", real)
    decoded.clear()
    result = image_folder(photos, size=6, memory_limit=TINY)
    assert len(decoded) == 40 - 20  # five chunks were whole
    assert_same(result, image_folder(photos, size=6))


def test_what_is_recorded_is_on_the_disk_first(photos, monkeypatch):
    """After a loss of power, nothing counts as decoded whose pixels may be missing."""
    order = []
    sync, write = RowFile.sync, RowFile.write
    monkeypatch.setattr(RowFile, "sync", lambda s: order.append("sync") or sync(s))
    monkeypatch.setattr(
        RowFile, "write", lambda s, r, v: order.append(str(s.dtype)[:5]) or write(s, r, v)
    )
    monkeypatch.setattr(kept_module, "SYNC_BYTES", 1)
    monkeypatch.setattr(reading, "CHUNK_ROWS", 10)
    image_folder(photos, size=6, memory_limit=TINY)
    assert order == ["uint8", "sync", "[('id"] * 4


def decode_slowly(photos, told):
    """Decode in a process of its own, and tell of each image, then the fingerprint."""
    real = decode_module.decode

    def slow(*arguments):
        time.sleep(0.005)
        told.put("decoded")
        return real(*arguments)

    decode_module.decode = slow
    data, _ = image_folder(photos, size=6, memory_limit=TINY, workers=0)
    told.put(data.pool.fingerprint)


def start(photos):
    """Return such a process, and the queue in which it tells."""
    fork = multiprocessing.get_context("fork")
    told = fork.SimpleQueue()
    process = fork.Process(target=decode_slowly, args=(photos, told))
    process.start()
    return process, told


def test_two_processes_at_once_share_the_work(photos):
    both = [start(photos), start(photos)]
    lines = []
    for process, told in both:
        process.join(60)
        while not told.empty():
            lines.append(told.get())
    expected = image_folder(photos, size=6)[0].pool.fingerprint
    assert sorted(lines) == sorted(["decoded"] * 40 + [expected] * 2)


def test_without_locks_two_processes_are_slower_and_right(photos, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    results = {}

    def run(name):
        results[name] = image_folder(photos, size=6, memory_limit=TINY, workers=0)

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same(results["a"], results["b"])
    assert_same(results["a"], image_folder(photos, size=6))


def test_killed_processes_leave_a_file_that_is_gone_on_with(photos, decoded):
    process, told = start(photos)
    for _ in range(15):
        told.get()
    process.kill()
    process.join()
    assert_same(image_folder(photos, size=6, memory_limit=TINY), image_folder(photos, size=6))


# ---------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("limit", [None, TINY])
def test_broken_images_are_left_out_of_the_file_too(photos, limit, caplog, decoded):
    (photos / "bee" / "05.png").write_bytes(b"broken")
    (photos / "cat" / "00.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 40 images .* cannot be read: bee/05\.png"):
        image_folder(photos, size=6, memory_limit=limit)
    options = {"size": 6, "unreadable": "skip", "test_fraction": 0, "pool_size": 38}
    data, hidden = image_folder(photos, memory_limit=limit, **options)
    assert len(data.pool) == 38
    assert not {"bee/05.png", "cat/00.png"} & set(data.pool.keys)
    assert np.bincount(hidden.pool).tolist() == [12, 19, 7]
    assert "left out, cannot be read: cat/00.png" in caplog.text
    assert_same((data, hidden), image_folder(photos, **options))
    if limit is not None:  # broken files are tried again, the others are there
        decoded.clear()
        image_folder(photos, memory_limit=limit, **options)
        assert sorted(decoded) == ["bee/05.png", "cat/00.png"]


def test_a_disk_without_room_is_told_before_anything_is_decoded(photos, monkeypatch, decoded):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(kept_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"4\.22 KiB are needed, 1e\+03 bytes are free"):
        image_folder(photos, size=6, memory_limit=TINY)
    assert decoded == []


def test_a_disk_that_runs_full_is_an_error_and_what_was_read_is_kept(photos, monkeypatch, decoded):
    real, left = RowFile.write, [2]

    def write(file, rows, values):
        if file.dtype == np.uint8:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        real(file, rows, values)

    monkeypatch.setattr(RowFile, "write", write)
    monkeypatch.setattr(reading, "CHUNK_ROWS", 10)
    with pytest.raises(DataError, match=r"No space left on device\): free some room, or name"):
        image_folder(photos, size=6, memory_limit=TINY)
    left[0] = 100
    decoded.clear()
    image_folder(photos, size=6, memory_limit=TINY)
    assert len(decoded) == 20


def test_a_folder_that_cannot_be_written(photos, tmp_path, home, caplog):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=r"data\.cache=.*file cannot be used .*name a folder"):
        image_folder(photos, cache=tmp_path / "file")
    # The folder that nobody named is done without.
    home.parent.mkdir(parents=True)
    home.write_text("no folder")
    result = image_folder(photos, size=6, memory_limit=TINY)
    assert "read anew each run" in caplog.text
    assert stored(result[0].pool)
    assert_same(result, image_folder(photos, size=6))


def test_a_folder_of_others_is_read_and_not_written(photos, tmp_path, monkeypatch, decoded, caplog):
    some = {"size": 6, "memory_limit": TINY, "cache": tmp_path / "kept", "pool_size": 5}
    first = image_folder(photos, **some)
    monkeypatch.setattr(kept_module.os, "access", lambda *_: False)
    decoded.clear()
    assert_same(first, image_folder(photos, **some))
    assert decoded == []
    with pytest.raises(ConfigError, match="not all is there, and it cannot be written"):
        image_folder(photos, **some | {"pool_size": 6})


@pytest.mark.parametrize("cache", [3, "", True])
def test_a_cache_must_be_a_folder(photos, cache):
    with pytest.raises(ConfigError, match=r"data\.cache must be auto, keep, a folder or null"):
        image_folder(photos, cache=cache)


@pytest.mark.parametrize("options", [{"workers": -1}, {"workers": "many"}, {"memory_limit": "big"}])
def test_settings_that_have_no_meaning_are_refused(photos, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        image_folder(photos, **options)


# ---------------------------------------------------------------------------- workers


@pytest.mark.parametrize("limit", [None, TINY])
def test_workers_read_the_same(photos, monkeypatch, limit):
    monkeypatch.setattr(reading, "ALONE", 0)
    monkeypatch.setattr(reading, "CHUNK_ROWS", 3)
    (photos / "cat" / "00.png").write_bytes(b"broken")
    one = image_folder(photos, size=6, unreadable="skip", workers=0)
    before = torch.get_rng_state()
    two = image_folder(photos, size=6, unreadable="skip", workers=2, memory_limit=limit)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(one, two)


class Noisy:
    """Items with chance in them, from every global generator; can be sent to other processes."""

    def __init__(self, n=30, dies_at=-1):
        self.n, self.dies_at = n, dies_at

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index == self.dies_at:
            os._exit(1)
        image = np.full((2, 4, 3), index, np.uint8)
        image[0, 0] = random.randrange(256), np.random.randint(256), int(torch.randint(256, ()))  # noqa: NPY002
        return image, index % 3


class Unpicklable(Noisy):
    def __init__(self, path):
        super().__init__()
        self.file = Path(path).open("rb")  # noqa: SIM115  # shared by forked processes


@pytest.mark.parametrize("limit", [None, TINY])
def test_datasets_are_read_by_workers_and_their_chance_is_the_items(monkeypatch, limit):
    state = random_state()
    one = from_dataset(Noisy(), Noisy(7), workers=0)
    monkeypatch.setattr(reading, "ALONE", 0)
    monkeypatch.setattr(reading, "CHUNK_ROWS", 4)
    two = from_dataset(Noisy(), Noisy(7), workers=2, memory_limit=limit)
    assert random_state() == state
    assert stored(two[0].pool) == (limit is not None)
    assert_same(one, two)
    first = pixels(one[0].pool)[:, :, 0, 0]
    assert len(torch.unique(first, dim=0)) == 30
    assert from_dataset(Noisy(), seed=1)[0].fingerprints != from_dataset(Noisy())[0].fingerprints


def test_a_dataset_that_cannot_be_pickled_is_read_here_and_says_so(tmp_path, monkeypatch, caplog):
    (tmp_path / "f").write_text("x")
    monkeypatch.setattr(reading, "ALONE", 0)
    data = from_dataset(Unpicklable(tmp_path / "f"), workers=2, memory_limit=TINY)
    assert "Unpicklable (train) cannot be pickled, so that no workers can help" in caplog.text
    assert_same(data, from_dataset(Noisy()))


def test_a_worker_that_dies_is_an_error(monkeypatch):
    monkeypatch.setattr(reading, "ALONE", 0)
    with pytest.raises(DataError, match=r"a worker that read Noisy \(train\) ended .*workers=0"):
        from_dataset(Noisy(dies_at=20), workers=2)


def test_an_item_that_raises_is_named():
    class Broken(Noisy):
        def __getitem__(self, index):
            return super().__getitem__(index) if index != 3 else {}["x"]

    with pytest.raises(DataError, match=r"train: item 3 cannot be read \(KeyError: 'x'\)"):
        from_dataset(Broken())


class Counted(Noisy):
    """Keeps count of what is read, in a file that is not part of it."""

    log: Path

    def __getitem__(self, index):
        with self.log.open("a") as file:
            file.write(f"{index}\n")
        return super().__getitem__(index)


def test_a_dataset_is_kept_where_that_is_asked_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Counted, "log", tmp_path / "log", raising=False)

    def read():
        return len((tmp_path / "log").read_text().split())

    one = from_dataset(Counted(), memory_limit=TINY, cache=tmp_path / "kept")
    assert read() == 30
    two = from_dataset(Counted(), cache=tmp_path / "kept")
    assert read() == 30 + 1 + kept_module.VERIFIED - 1  # the first is read for its shape
    assert_same(one, two)
    # What it reads changed, as an item shows that is read again.
    monkeypatch.setattr(Counted, "__getitem__", lambda s, i: Noisy.__getitem__(s, (i + 1) % 30))
    three = from_dataset(Counted(), cache=tmp_path / "kept")
    assert "is not what data.cache has: read anew" in caplog.text
    assert three[1].pool.tolist() == [(i + 1) % 30 % 3 for i in range(30)]


def test_a_dataset_leaves_nothing_behind_where_nothing_is_asked_for(home, tmp_path):
    data, _ = from_dataset(Noisy(), memory_limit=TINY)
    assert stored(data.pool)
    assert not list(home.rglob("*.npy"))


def test_floats_stream_too_and_nan_is_found():
    vectors = torch.rand(20, 5)
    pairs = [(vector, i % 2) for i, vector in enumerate(vectors)]
    data, _ = from_dataset(pairs, memory_limit=TINY)
    assert stored(data.pool)
    assert torch.equal(pixels(data.pool), vectors)
    pairs[13] = (torch.tensor([0.0, 1, 2, 3, float("nan")]), 0)
    with pytest.raises(DataError, match=r"NaN or infinite values, first in sample 13 of 20"):
        from_dataset(pairs, memory_limit=TINY)


# ---------------------------------------------------------------------------- memory


STATUS = Path("/proc/self/status")


def peak(field="VmHWM"):
    return int(re.search(rf"{field}:\s*(\d+) kB", STATUS.read_text())[1]) * 1024


class Large:
    """Images of 192 KiB that are made when they are read."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return np.full((256, 256, 3), index % 251, np.uint8), index % 2


def go_through(n, limit):
    """Read `n` large images, all of them twice in blocks, then in batches, then at random."""
    pool = from_dataset(Large(n), memory_limit=limit, workers=0)[0].pool
    assert stored(pool)
    assert len(pool.fingerprint) == 32
    assert sum(map(len, raw_batches(pool, np.arange(n), 16, CPU))) == n
    for some in np.split(np.random.default_rng(0).permutation(n), n // 16):
        assert len(pool.batch(some, CPU)) == 16


@pytest.mark.skipif(not STATUS.exists(), reason="reads peak memory from Linux's /proc")
def test_memory_stays_near_the_limit():
    limit = 8 << 20
    go_through(128, limit)  # what is loaded the first time is not the data's
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = peak("VmRSS")
    go_through(2048, limit)  # 384 MiB
    # Above the limit: three blocks of 8 MiB, pages of the file, batches as float32.
    assert peak() - before < limit + (192 << 20)


def test_labels_that_do_not_fit_in_memory_are_refused(photos, monkeypatch):
    monkeypatch.setattr(samples_module, "BATCH_BYTES", 1000)
    pool = image_folder(photos, size=6, memory_limit=2000)[0].pool
    assert len(pool.raw(np.arange(18), CPU)) == 18  # of 108 bytes
    with pytest.raises(DataError, match=r"19 samples at once take 2 KiB, more than .* 1\.95 KiB"):
        pool.raw(np.arange(19), CPU)
    in_memory = image_folder(photos, size=6)[0].pool
    assert len(in_memory.raw(np.arange(32), CPU)) == 32


# ---------------------------------------------------------------------------- files and batches


def test_rows_of_a_file_come_in_the_order_asked_for(tmp_path):
    file = RowFile(tmp_path / "x.npy", 6, (2,), np.float32)
    file.write(np.array([1, 2, 5]), np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    expected = [[0, 0], [1, 2], [3, 4], [0, 0], [0, 0], [5, 6]]
    assert np.load(tmp_path / "x.npy").tolist() == expected
    rows = file.rows(10)
    assert rows.read(np.array([5, 1, 0, 5])).tolist() == [[5, 6], [1, 2], [0, 0], [5, 6]]
    assert rows.read(np.array([], np.int64)).shape == (0, 2)
    again = RowFile(tmp_path / "x.npy", 6, (2,), np.float32)
    assert again.all().tolist() == expected
    again.write(np.array([0]), np.array([[7, 8]], np.float32))
    assert rows.read(np.array([0])).tolist() == [[7, 8]]
    with pytest.raises(OSError, match="bytes instead of"):
        RowFile(tmp_path / "x.npy", 7, (2,), np.float32, write=False)


def test_batches_are_read_ahead_in_order_only_where_it_pays(photos, monkeypatch):
    threads = set()
    streamed = image_folder(photos, size=6, memory_limit=TINY)[0].pool
    resident = image_folder(photos, size=6)[0].pool
    order = np.random.default_rng(0).permutation(32)
    for pool, where in ((streamed, "activeloop-ahead"), (resident, "MainThread")):
        threads.clear()
        real = pool.raw

        def raw(indices, device, real=real):
            threads.add(threading.current_thread().name)
            return real(indices, device)

        pool.raw = raw
        batches = list(raw_batches(pool, order, 5, CPU))
        assert threads == {where}
        assert [len(batch) for batch in batches] == [5] * 6 + [2]
        assert torch.equal(torch.cat(batches), real(order, CPU))


def test_an_error_while_reading_ahead_is_raised_and_the_thread_ends():
    def source():
        yield 1
        yield 2
        raise DataError("no more")

    came = ahead(source())
    assert [next(came), next(came)] == [1, 2]
    with pytest.raises(DataError, match="no more"):
        next(came)
    endless = ahead(iter(int, 1))
    assert next(endless) == 0
    endless.close()
    assert "activeloop-ahead" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("moved", [True, False])
def test_a_gpu_gives_the_same(photos, monkeypatch, moved):
    gpu = torch.device("cuda")
    free = 1 << 34 if moved else 1
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, free))
    pool = image_folder(photos, size=6, memory_limit=TINY)[0].pool
    order = np.random.default_rng(0).permutation(32)
    assert pool.streams(gpu) != moved
    batches = [batch.clone() for batch in raw_batches(pool, order, 5, gpu)]
    assert torch.equal(torch.cat(batches).cpu(), pool.raw(order, CPU))
