"""One round of a probe on vectors: fit, predict the pool, pick by margin; beside scikit-learn.

    python scripts/bench_probe.py --out scripts/results/probe.md

A round here is all of `ActiveLoop.ask`: fit on the labels, evaluate on the test set, predict the
whole pool, pick, and keep the query. The plain way is scikit-learn's logistic regression on the
same arrays, its probabilities of the unlabelled, and numpy's partition of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import benchmarking as bench
import numpy as np
import torch
from benchmarking import Mixture
from sklearn.linear_model import LogisticRegression

import activeloop
from activeloop.embed import Parts, embedded
from activeloop.types import Data, HiddenLabels

PARTS = ("fit", "predict", "select", "round")
CLASSES, TEST = 10, 10_000
K = 100
NOISE = 8.0  # so that classes overlap
Seconds = dict[str, float]


def vectors(rows: int, features: int) -> tuple[Data, HiddenLabels]:
    """Return a mixture of Gaussians as a data set embedded in itself, as `embed=file` leaves it."""
    mixture = Mixture(features, CLASSES)
    chunks = [mixture.chunk(number) for number in range(-(-(rows + TEST) // mixture.CHUNK))]
    x = np.concatenate([chunk[0] for chunk in chunks])
    x += NOISE * np.random.default_rng(0).standard_normal(x.shape, np.float32)
    y = np.concatenate([chunk[2] for chunk in chunks]).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        named = {"x": x[:rows], "y": y[:rows], "test_x": x[rows:][:TEST], "test_y": y[rows:][:TEST]}
        for name, array in named.items():
            np.save(Path(folder) / f"{name}.npy", array)
        paths = {name: Path(folder) / f"{name}.npy" for name in named}
        data, hidden = activeloop.load_data("arrays", **paths)
    parts = Parts(pool=torch.from_numpy(named["x"]), test=torch.from_numpy(named["test_x"]))
    return embedded(data, parts, as_input=True), hidden


def ours(name: str, **options: Any) -> Callable[[Data, HiddenLabels, int], Seconds]:
    """Return a function that times a round of the learner `name`."""

    def run(data: Data, hidden: HiddenLabels, labels: int) -> Seconds:
        learner = activeloop.load_learner(name, device="cpu", **options)
        margin = activeloop.load_strategy("margin")
        assert hidden.pool is not None
        loop = activeloop.ActiveLoop(
            data, learner, margin, test_labels=hidden.test, initial=labels, query_size=K, rounds=1
        )
        query = loop.ask()
        assert query is not None
        loop.tell(query, hidden.pool[query.indices])
        start = time.perf_counter()
        loop.ask()
        whole = time.perf_counter() - start
        predict, select = loop.files.store.ask_seconds(1)
        metrics = loop.rounds[0].metrics
        return {
            "fit": metrics["train_seconds"],
            "predict": predict,
            "select": select,
            "round": whole,
            "accuracy": metrics["accuracy"],
        }

    return run


def plain(data: Data, hidden: HiddenLabels, labels: int) -> Seconds:
    """Time the round as one would write it with scikit-learn."""
    assert data.test is not None
    assert hidden.pool is not None
    cpu = torch.device("cpu")
    x, test = (part.batch(np.arange(len(part)), cpu).numpy() for part in (data.pool, data.test))
    chosen = np.random.default_rng(0).choice(len(x), labels, replace=False)
    times = [time.perf_counter()]
    model = LogisticRegression(max_iter=1000).fit(x[chosen], hidden.pool[chosen])
    times.append(time.perf_counter())
    rest = np.setdiff1d(np.arange(len(x)), chosen)
    probs = model.predict_proba(x[rest])
    times.append(time.perf_counter())
    best = np.partition(probs, -2, axis=1)[:, -2:]
    rest[np.argpartition(best[:, 1] - best[:, 0], K)[:K]]
    times.append(time.perf_counter())
    accuracy = float(model.score(test, hidden.test))
    times.append(time.perf_counter())
    parts = dict(zip(PARTS, np.diff(times), strict=False))
    return parts | {"round": times[-1] - times[0], "accuracy": accuracy}


SIDES: dict[str, Callable[[Data, HiddenLabels, int], Seconds]] = {
    "`learner=probe`": ours("probe"),
    "`learner.head=logistic_regression`": ours("probe", head="logistic_regression"),
    "`learner.head=mlp`": ours("probe", head="mlp"),
    "`learner=sklearn`": ours("sklearn", estimator=LogisticRegression(max_iter=1000)),
    "`learner=torch model=linear`": ours("torch", model="linear"),
    "scikit-learn, plain": plain,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Time all sides in turn, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=60_000, help="of the pool")
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args(arguments)
    if min(options.rows, options.features, options.repeats, options.threads) < 1:
        parser.error("--rows, --features, --repeats and --threads must be at least 1")
    if not CLASSES <= options.labels <= options.rows - K:
        parser.error(f"--labels must be from {CLASSES} to --rows - {K}")
    if os.environ.get("OMP_NUM_THREADS") != str(options.threads):  # read once, at the start
        words = [sys.executable, __file__, *(sys.argv[1:] if arguments is None else arguments)]
        # As activeloop's own command: threads that spin slow each other down on shared cores.
        threads = {"OMP_NUM_THREADS": str(options.threads)}
        os.execve(sys.executable, words, {"GOMP_SPINCOUNT": "1000"} | os.environ | threads)
    head = (
        f"# A round on {options.rows:,} x {options.features} vectors, {options.labels:,} labels\n"
    )
    where = bench.machine(options.threads, {"scikit-learn": __import__("sklearn").__version__})
    data, hidden = vectors(options.rows, options.features)
    runs: dict[str, list[Seconds]] = {name: [] for name in SIDES}
    for _ in range(options.repeats + 1):
        for name, side in SIDES.items():
            runs[name].append(side(data, hidden, options.labels))
    rows = []
    for name, all_of in runs.items():
        warm = all_of[1:]
        medians = [statistics.median(run[part] for run in warm) for part in PARTS]
        accuracy = statistics.median(run["accuracy"] for run in warm)
        rows.append([name, *map(bench.seconds, medians), f"{accuracy:.1%}"])
    text = "\n".join(
        [
            head,
            f"`python scripts/bench_probe.py --threads {options.threads}`, {where} Median of "
            f"{options.repeats} rounds, the sides in turn; a round includes the evaluation on "
            f"{TEST:,} test samples.\n",
            bench.table(["", *PARTS, "accuracy"], rows),
            "",
        ]
    )
    if options.out:
        options.out.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
