"""Seconds and memory of the report of a large sweep.

    python scripts/bench_report.py --out scripts/results/report.md

The runs are made up, on scikit-learn's digits, but written by what writes real ones: their stores,
tables and test probabilities are those of a run. The report is made by `python -m activeloop
report`, with pictures, in a process of its own, which starts with importing all that it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import benchmarking as bench
import numpy as np

import activeloop
from activeloop.environment import write_environment
from activeloop.metrics import scores
from activeloop.run_files import RunFiles
from activeloop.stop_set import STOP_METRICS
from activeloop.store import Asked
from activeloop.types import Data, HiddenLabels, Round

STRATEGIES = (
    *("random", "random_again", "margin", "entropy", "badge", "typiclust", "k_center"),
    *("bald", "coverage", "least_confidence"),
)
_PARTS = ("train_seconds", "predict_seconds", "select_seconds", "test_seconds")


Digits = tuple[Data, HiddenLabels]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a sweep is: its seeds, and the rounds and labels a round of each run."""

    seeds: int
    rounds: int
    query_size: int


def make_sweep(folder: Path, size: Size) -> None:
    """Leave a run of each strategy and seed in `folder`."""
    digits = activeloop.load_data("digits")
    for seed in range(size.seeds):
        for number, strategy in enumerate(STRATEGIES):
            make_run(folder / f"{strategy}-seed{seed}", strategy, (seed, number), digits, size)


def make_run(
    directory: Path, strategy: str, where: tuple[int, int], digits: Digits, size: Size
) -> None:
    """Leave a run whose accuracy rises with its labels, faster for later strategies.

    But for the first two, which are random twice.
    """
    (data, hidden), (seed, number) = digits, where
    assert hidden.pool is not None
    assert hidden.test is not None
    rng = np.random.default_rng(where)
    files = RunFiles(directory)
    config = {
        "data": {"_target_": "activeloop.data.digits"},
        "model": {"_target_": "activeloop.models.lenet5"},
        "learner": {"_target_": "activeloop.learners.TorchLearner", "lr": 0.001},
        "strategy": {"_target_": f"activeloop.strategies.{strategy}"},
        "initial": {"_target_": "activeloop.initial.random", "size": size.query_size},
        "seed": seed,
        "budget": size.query_size * size.rounds,
    }
    identity = {"name": data.name, "classes": list(data.classes), **data.fingerprints}
    labels = {"strategy": strategy, "variant": "", "seed": seed, "data": "digits"}
    files.claim({"data": identity, "config": config}, data, {"run": labels})
    write_environment(directory, "cpu", {"run": labels})
    files.save_test_labels(hidden.test)
    # With one seed the same initial set.
    first = np.random.default_rng(seed).permutation(len(data.pool))
    picked = np.concatenate([first[: size.query_size], rng.permutation(first[size.query_size :])])
    for round in range(size.rounds):
        query = picked[round * size.query_size :][: size.query_size]
        asked = [
            Asked(
                round=round,
                position=position,
                key=data.pool.keys[index],
                index=int(index),
                score=float(rng.random()) if round else None,
                predicted=data.classes[hidden.pool[index]] if round else None,
                confidence=float(rng.random()) if round else None,
            )
            for position, index in enumerate(query)
        ]
        files.store.add_query(round, asked, 0.1, 0.1)
        answers = {a.key: data.classes[hidden.pool[a.index]] for a in asked}
        files.store.add_labels(round, answers, "SimulatedOracle", closes=data.n_classes)
        # Random numbers of round 0 depend on the seed alone, as its network does.
        chance = np.random.default_rng(seed) if round == 0 else rng
        logits = chance.normal(size=(len(hidden.test), data.n_classes))
        logits[np.arange(len(hidden.test)), hidden.test] += 1.5 + (
            0.5 + 0.05 * max(0, number - 1)
        ) * np.log1p(round)
        probs = bench.softmax(logits)
        metrics = scores(probs, hidden.test) | dict.fromkeys(_PARTS, 1.0) | {"train_loss": 0.1}
        metrics |= {name: float(rng.random()) for name in STOP_METRICS}
        done = (round + 1) * size.query_size
        path = directory / "test_probs" / f"round_{round:04d}.npy"
        np.save(path, probs.astype(np.float16))
        files.store.add_round(
            Round(round=round, labels=done, classes=data.n_classes, metrics=metrics)
        )
    files.write_tables()
    files.end(f"budget of {config['budget']} labels spent", size.rounds - 1)
    files.close()


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a report took and left: seconds, bytes of memory, bytes of its page and its JSON."""

    seconds: float
    cpu: float
    memory: int
    page: int
    json: int


def report(folder: Path, more: list[str]) -> Made:
    """Make the report of the runs in `folder` by the command, apart from this process."""
    command = [sys.executable, "-m", "activeloop", "report", str(folder), *more]
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True
    ) as process:
        out, _ = process.communicate()
        seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    print(out)
    found = json.loads((folder / "report.json").read_text("utf-8"))
    runs = len(list(folder.glob("*/run.db")))
    if len(found["runs"]) != runs or found["problems"]:
        raise SystemExit(f"the report has {len(found['runs'])} of {runs} runs: {found['problems']}")
    unit = 1 if sys.platform == "darwin" else 1024
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Made(
        seconds=seconds,
        cpu=used.ru_utime + used.ru_stime,
        memory=used.ru_maxrss * unit,
        page=(folder / "report.html").stat().st_size,
        json=(folder / "report.json").stat().st_size,
    )


def main() -> None:
    """Make the runs, make their report, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--query-size", type=int, default=50)
    parser.add_argument("--out", type=Path, help="a Markdown file for the table")
    given = parser.parse_args()
    size = Size(seeds=given.seeds, rounds=given.rounds, query_size=given.query_size)
    with tempfile.TemporaryDirectory() as temporary:
        make_sweep(Path(temporary), size)
        made = report(Path(temporary), [])
    runs = size.seeds * len(STRATEGIES)
    head = ["runs", "seconds", "of processor time", "MiB of memory", "page", "JSON"]
    cells = [str(runs), bench.seconds(made.seconds), bench.seconds(made.cpu)]
    cells += [bench.megabytes(each) for each in (made.memory, made.page, made.json)]
    text = (
        f"# The report of {runs} runs\n\n"
        f"`python scripts/bench_report.py`, {bench.machine(1)}\n\n"
        f"{len(STRATEGIES)} strategies with {size.seeds} seeds, {size.rounds} rounds of "
        f"{size.query_size} labels; the whole of `python -m activeloop report`, pictures and all, "
        "from starting Python to the last file.\n\n"
        f"{bench.table(head, [cells])}\n"
    )
    print(text)
    if given.out is not None:
        given.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
