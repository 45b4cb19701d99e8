"""Files of vectors that are filled by shards, by several processes, and after interruptions."""

import errno
import multiprocessing
import os
import shutil
import time
from collections import namedtuple

import numpy as np
import pytest
import torch

from activeloop import vector_files
from activeloop.errors import DataError
from activeloop.vector_files import VectorFile

ROWS, WIDTH = 23, 3
ALL = np.arange(ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(vector_files, "SHARD", 5)
    monkeypatch.setattr(vector_files, "_WAIT", 0.01)


class Maker:
    """Makes rows, and stops at one of them if told to."""

    def __init__(self, stop_at=None, error=KeyboardInterrupt):
        self.stop_at, self.error = stop_at, error
        self.made = []

    def __call__(self, start, stop):
        if self.stop_at is not None and start <= self.stop_at < stop:
            raise self.error
        self.made.append((start, stop))
        return ALL[start:stop]


def file(folder, rows=ROWS):
    return VectorFile(folder, "key", rows)


def is_whole(vectors):
    return np.array_equal(vectors.numpy(), ALL)


def test_all_rows_are_made_once_and_told(tmp_path):
    make, told = Maker(), []
    assert file(tmp_path / "new" / "folder").read() is None
    vectors = file(tmp_path / "new" / "folder").fill(WIDTH, make, told.append)
    assert is_whole(vectors)
    assert make.made == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]
    assert told == [5, 10, 15, 20, 23, 23]
    assert is_whole(file(tmp_path / "new" / "folder").read())
    assert is_whole(file(tmp_path / "new" / "folder").fill(WIDTH, make))
    assert len(make.made) == 5
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [".lock", "key.npy"]


def test_what_is_read_may_be_changed_but_not_the_file(tmp_path):
    vectors = file(tmp_path).fill(WIDTH, Maker())
    vectors[0] = -1  # would kill the process were the map read-only
    assert is_whole(file(tmp_path).read())


def test_an_interrupted_file_is_not_believed_and_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        file(tmp_path).fill(WIDTH, Maker(stop_at=12))
    assert file(tmp_path).read() is None
    assert not (tmp_path / "key.npy").exists()
    make, told = Maker(), []
    assert is_whole(file(tmp_path).fill(WIDTH, make, told.append))
    assert make.made == [(10, 15), (15, 20), (20, 23)]
    assert told[0] == 5


def test_a_shard_whose_rows_were_written_but_not_marked_is_made_again(tmp_path, monkeypatch):
    sync = os.fsync
    synced = []

    def killed(handle):
        synced.append(handle)
        if len(synced) == 4:  # rows, mark, rows, mark: before the second mark is on the disk
            raise KeyboardInterrupt
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            file(tmp_path).fill(WIDTH, Maker())
    (tmp_path / "key.part" / "0000001").write_bytes(b"")
    make = Maker()
    assert is_whole(file(tmp_path).fill(WIDTH, make))
    assert make.made[0] == (5, 10)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"nonsense" * 100),
        lambda path: np.save(path, np.zeros((ROWS + 1, WIDTH), np.float32)),
        lambda path: np.save(path, np.zeros((ROWS, WIDTH))),
        lambda path: np.save(path, np.array([{}] * ROWS), allow_pickle=True),
    ],
    ids=["cut off", "empty", "nonsense", "other rows", "float64", "objects"],
)
def test_damaged_files_are_made_anew(tmp_path, caplog, damage):
    file(tmp_path).fill(WIDTH, Maker())
    damage(tmp_path / "key.npy")
    make = Maker()
    assert is_whole(file(tmp_path).fill(WIDTH, make))
    assert len(make.made) == 5
    assert "key.npy is damaged" in caplog.text


def test_a_part_of_another_width_or_damaged_begins_again(tmp_path):
    for spoil in (
        lambda rows: None,
        lambda rows: rows.write_bytes(b"x"),
        lambda rows: rows.unlink(),
    ):
        with pytest.raises(KeyboardInterrupt):
            VectorFile(tmp_path, "key", ROWS).fill(
                WIDTH + 1, lambda a, b: stop_after(a, np.ones((b - a, WIDTH + 1), np.float32))
            )
        spoil(tmp_path / "key.part" / "rows.npy")
        make = Maker()
        assert is_whole(file(tmp_path).fill(WIDTH, make))
        assert len(make.made) == 5
        (tmp_path / "key.npy").unlink()


def stop_after(start, rows):
    if start >= 10:
        raise KeyboardInterrupt
    return rows


def test_rows_of_a_wrong_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"rows must be float32 \[n, 3\], got"):
        file(tmp_path).fill(WIDTH, lambda a, b: np.zeros((b - a, WIDTH)))


# -- disks


def test_too_small_a_disk_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100))
    make = Maker()
    with pytest.raises(OSError, match="276 bytes are needed and 100 bytes free") as caught:
        file(tmp_path).fill(WIDTH, make)
    assert caught.value.errno == errno.ENOSPC
    assert not make.made


def test_a_disk_that_fills_up_is_named_and_what_was_made_is_kept(tmp_path, monkeypatch):
    write = VectorFile._write

    def full(self, start, rows):
        if start >= 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, start, rows)

    with monkeypatch.context() as patch:
        patch.setattr(VectorFile, "_write", full)
        with pytest.raises(DataError, match=r"cannot write .*key.part: No space left.* is kept"):
            file(tmp_path).fill(WIDTH, Maker())
    make = Maker()
    assert is_whole(file(tmp_path).fill(WIDTH, make))
    assert make.made[0] == (10, 15)


# -- several processes


def work(folder, number, pause, die):
    vector_files.SHARD, vector_files._WAIT = 5, 0.01
    made = folder / f"made-{number}"

    def make(start, stop):
        with made.open("a") as lines:
            lines.write(f"{start}\n")
        if die and start >= 10:
            os._exit(9)  # as by kill -9
        time.sleep(pause)
        return ALL[start:stop]

    vectors = file(folder / "cache").fill(WIDTH, make)
    assert is_whole(vectors)


def run(folder, *settings):
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=work, args=(folder, number, pause, die))
        for number, (pause, die) in enumerate(settings)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    made = [
        list(map(int, (folder / f"made-{number}").read_text().split()))
        if (folder / f"made-{number}").exists()
        else []
        for number in range(len(settings))
    ]
    return [process.exitcode for process in processes], made


def test_processes_share_the_shards_and_all_get_all(tmp_path):
    codes, made = run(tmp_path, (0.1, False), (0.1, False), (0.1, False))
    assert codes == [0, 0, 0]
    assert sorted(made[0] + made[1] + made[2]) == [0, 5, 10, 15, 20]
    assert sum(map(bool, made)) > 1
    assert not (tmp_path / "cache" / "key.part").exists()


def test_the_shard_of_a_process_that_died_is_made_by_another(tmp_path):
    codes, made = run(tmp_path, (0.05, True), (0.05, False))
    assert codes == [9, 0]
    assert set(made[1]) | {start for start in made[0] if start < 10} == {0, 5, 10, 15, 20}
    assert is_whole(file(tmp_path / "cache").read())


def test_without_locks_work_is_only_done_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_files, "LOCKS", False)
    codes, _ = run(tmp_path, (0.02, False), (0.03, False))
    assert codes == [0, 0]
    assert is_whole(file(tmp_path / "cache").read())


def test_a_locked_shard_is_waited_for(tmp_path):
    held = file(tmp_path)
    held.begin(WIDTH)
    looks = []

    class Release(Exception):
        pass

    with held._claimed(2) as marker:
        assert marker is not None
        make = Maker()

        def sleep(seconds):
            looks.append(seconds)
            if len(looks) == 3:
                raise Release

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vector_files.time, "sleep", sleep)
            with pytest.raises(Release):
                file(tmp_path).fill(WIDTH, make)
    assert (10, 15) not in make.made
    assert len(make.made) == 4
    assert is_whole(file(tmp_path).fill(WIDTH, make))
    assert make.made[-1] == (10, 15)
    assert isinstance(file(tmp_path).read(), torch.Tensor)
