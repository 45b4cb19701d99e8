"""Directories of runs with a known course, made by the classes that real runs are made by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from activeloop.audit import audited
from activeloop.run_files import RunFiles
from activeloop.store import Asked
from activeloop.types import Round

CLASSES = ("cat", "dog")


def settings(strategy: str, seed: int, **more: Any) -> dict[str, Any]:
    """Return a config; `more` are settings by dotted name, with __ for the dot."""
    config: dict[str, Any] = {
        "data": {"_target_": "activeloop.data.digits", "imbalance": 1.0},
        "model": {"_target_": "activeloop.models.cnn"},
        "learner": {"_target_": "activeloop.learners.TorchLearner", "lr": 0.01},
        "embed": {"_target_": "activeloop.embed.none"},
        "strategy": {"_target_": f"activeloop.strategies.{strategy}", "temperature": 1.0},
        "initial": {"_target_": "activeloop.initial.random", "size": 4},
        "oracle": {"_target_": "activeloop.oracle.SimulatedOracle"},
        "stopping": {"rules": []},
        "seed": seed,
        "query_size": 4,
        "rounds": None,
        "budget": 12,
        "measures": False,
    }
    for name, value in more.items():
        *groups, last = name.split("__")
        node = config
        for each in groups:
            node = node[each]
        node[last] = value
    return config


def make_run(
    directory: Path,
    strategy: str = "random",
    seed: int = 0,
    accuracy: Sequence[float] = (0.5, 0.6, 0.7),
    *,
    data: str = "digits",
    pool: str = "aaaa",
    metrics: Mapping[str, float] | None = None,
    initial: Sequence[int] | None = None,
    liar: bool = False,
    audits: Sequence[tuple[int, int]] = (),
    test_labels: Sequence[int] = (0, 1, 1),
    ended: str | None = "budget of 12 labels spent",
    error: str | None = None,
    at: str = "2026-01-01T00:00:00+00:00",
    torch: str = "2.11.0",
    variant: str = "",
    **more: Any,
) -> Path:
    """Leave a run with `accuracy` after 4, 8, 12, ... labels; return its directory.

    Args:
        initial: samples of the initial set; None: some that the seed gives.
        liar: whether its oracle answers with the other class.
        audits: of each query, how many samples were drawn at random, after how many of these were
            predicted right.
        more: settings, as for `settings`.
    """
    files = RunFiles(directory)
    digests = {"pool": pool, "test": "tttt"}
    identity = {"data": {"name": data, "classes": list(CLASSES), **digests}}
    files.claim(identity | {"config": settings(strategy, seed, **more)})
    labels = {"strategy": strategy, "variant": variant, "seed": seed, "data": data}
    files.store.set_meta("run", labels)
    files.save_test_labels(np.array(test_labels))
    first = list(initial) if initial is not None else [100 * seed + n for n in range(4)]
    # Strategies ask for others of the same samples, so that some are in common.
    rest = [n for n in range(100 * seed, 100 * seed + 60, len(strategy) % 3 + 1) if n not in first]
    for number, value in enumerate(accuracy):
        right, of = audits[number] if audits else (0, 0)
        picked = first if number == 0 else rest[4 * number - 4 : 4 * number]
        asked = [
            Asked(
                round=number,
                position=p,
                key=f"pool/{n}",
                index=n,
                score=None,
                predicted=CLASSES[(n + liar + (p >= right)) % 2],
                audit=p < of,
            )
            for p, n in enumerate(picked)
        ]
        files.store.add_query(number, asked, 0.25, 0.5)
        answers = {f"pool/{n}": CLASSES[(n + liar) % 2] for n in picked}
        files.store.add_labels(number, answers, "SimulatedOracle", closes=len(CLASSES))
        seconds = {"train_seconds": 1.0, "predict_seconds": 0.25, "select_seconds": 0.5}
        measured = {"accuracy": value, "loss": 1 - value} | seconds | {"test_seconds": 0.25}
        measured |= {"steps": 200.0} | dict(metrics or {}) | audited(asked, answers)
        files.store.add_round(
            Round(round=number, labels=4 * number + 4, classes=2, metrics=measured)
        )
    if ended is not None:
        files.end(ended, len(accuracy) - 1)
    files.close()
    if error is not None:
        (directory / "error.txt").write_text(f"{error}\n\nTraceback ...\n")
    environment = {"at": at, "versions": {"torch": torch}, "hardware": {"processor": "abacus"}}
    (directory / "environment.json").write_text(json.dumps(environment))
    return directory


def make_sweep(folder: Path, courses: Mapping[str, Sequence[Sequence[float]]], **more: Any) -> Path:
    """Leave runs of each strategy with seeds 0, 1, ..., by their accuracies."""
    for strategy, of_seeds in courses.items():
        for seed, accuracy in enumerate(of_seeds):
            make_run(folder / f"{strategy}-seed{seed}", strategy, seed, accuracy, **more)
    return folder
