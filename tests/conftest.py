"""Shared fixtures."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from activeloop.app import main


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and threads that wait for each other cost."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep tests, and the processes that they start, out of the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """Let go of the handlers of logs that commands set up: their streams end with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command line in this process: code, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        monkeypatch.setattr(sys, "argv", ["activeloop", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def refused(typed: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """Return a function that runs a command line which must fail: its one line of error."""

    def run(*words: object) -> str:
        code, _, err = typed(*words)
        assert code == 1
        assert len(err.splitlines()) == 1, err
        assert err.startswith("error: ")
        return err.removeprefix("error: ").rstrip()

    return run


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of MNIST and CIFAR-10 that ACTIVELOOP_TEST_DATA names, or skip."""
    if not (folder := os.environ.get("ACTIVELOOP_TEST_DATA")):
        pytest.skip("ACTIVELOOP_TEST_DATA names no folder with MNIST/raw and cifar10-jpg")
    return Path(folder)


@pytest.fixture(scope="session")
def few_of_mnist(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the first 2,000 + 1,000 images of MNIST, for what takes any."""
    folder = tmp_path_factory.mktemp("few_of_mnist")
    (folder / "MNIST" / "raw").mkdir(parents=True)
    for part, number in (("train", 2000), ("t10k", 1000)):
        for kind, head, each in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
            name = f"MNIST/raw/{part}-{kind}-ubyte"
            with (real_data / name).open("rb") as file:
                first = file.read(head + number * each)
            # After the magic number comes how many there are.
            (folder / name).write_bytes(first[:4] + number.to_bytes(4, "big") + first[8:])
    return folder


LONGEST = ("test_readme.py", "test_scripts_bench.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the files that take longest run first, beside each other (`pytest -n 2`)."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
