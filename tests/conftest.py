"""Shared fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import readme
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and threads that wait for each other cost."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep tests, and the processes that they start, out of the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of MNIST and CIFAR-10 that ACTIVELOOP_TEST_DATA names, or skip."""
    if not (folder := os.environ.get("ACTIVELOOP_TEST_DATA")):
        pytest.skip("ACTIVELOOP_TEST_DATA names no folder with MNIST/raw and cifar10-jpg")
    return Path(folder)


@pytest.fixture(autouse=True, scope="session")
def readme_runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, own_cache: None
) -> Iterator[dict[tuple[str, str], Future[CompletedProcess[str]]]]:
    """Run the README's commands, those among the tests, in order and beside all other tests.

    They are processes of their own and take minutes: another core has time for them.
    """
    chosen = [
        (item.callspec.params["mark"], item.callspec.params["text"])
        for item in request.session.items
        if getattr(item, "originalname", "") == "test_readme_command"
    ]
    if not os.environ.get("ACTIVELOOP_TEST_DATA"):
        chosen = [each for each in chosen if not readme.needs_real_data(each[0])]
    workplace, environment = tmp_path_factory.mktemp("readme"), dict(os.environ)
    if chosen:
        readme.make_workplace(workplace)
    pool = ThreadPoolExecutor(1)
    try:
        yield {each: pool.submit(readme.run, *each, workplace, environment) for each in chosen}
    finally:
        pool.shutdown(cancel_futures=True)
