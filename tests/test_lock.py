import errno
import fcntl
import json
import os
import platform
import subprocess
import sys

import pytest

from activeloop import lock as locking
from activeloop.errors import IN_USE, StoreError
from activeloop.lock import LOCK_FILE, Lock
from activeloop.run_files import RunFiles


@pytest.fixture
def other(tmp_path):
    """Lock the file as another process would, and return its descriptor."""
    file = os.open(tmp_path / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    yield file
    os.close(file)


def sign(file, **holder):
    known = {"host": platform.node(), "since": "2026-01-02T03:04:05+00:00", "command": "activeloop"}
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(known | holder).encode(), 0)


def test_a_held_directory_says_who_has_it(tmp_path, other):
    sign(other, process=os.getpid(), command="python -m activeloop seed=1")
    with pytest.raises(StoreError) as refused:
        RunFiles(tmp_path)
    said = str(refused.value)
    assert f"process {os.getpid()} on {platform.node()}" in said
    assert "since 2026-01-02T03:04:05+00:00: python -m activeloop seed=1" in said
    assert said.endswith(IN_USE)
    assert not (tmp_path / "run.db").exists()


def test_somebody_who_is_dead_is_not_named(tmp_path, other):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    sign(other, process=ended.pid)
    with pytest.raises(StoreError) as refused:
        Lock(tmp_path)
    assert str(refused.value) == f"{tmp_path} {IN_USE}"
    os.pwrite(other, b"not JSON", 0)
    with pytest.raises(StoreError, match=IN_USE):
        Lock(tmp_path)


def test_what_a_dead_process_left_keeps_nobody_out(tmp_path):
    (tmp_path / LOCK_FILE).write_text('{"process": 1, "host": "h", "since": "s", "command": "c"}')
    held = Lock(tmp_path)
    kept = json.loads((tmp_path / LOCK_FILE).read_text())
    assert kept["process"] == os.getpid()
    held.release()
    assert not (tmp_path / LOCK_FILE).exists()
    held.release()  # twice is once


def test_a_file_that_its_holder_removed_meanwhile_is_not_the_lock(tmp_path, monkeypatch):
    flock, taken = fcntl.flock, []

    def late(file, how):
        if not taken:  # the holder of before leaves between opening and locking
            (tmp_path / LOCK_FILE).unlink()
        taken.append(file)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    held = Lock(tmp_path)
    assert len(taken) == 2
    with pytest.raises(StoreError, match=IN_USE):
        Lock(tmp_path)
    held.release()


def test_a_file_system_without_locks_is_said_once(tmp_path, monkeypatch, caplog):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(locking, "_warned", set())
    for _ in range(2):
        RunFiles(tmp_path).close()
    (warning,) = caplog.messages
    assert "without locks (No locks available)" in warning
