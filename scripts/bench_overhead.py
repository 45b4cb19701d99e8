"""What the loop itself costs: the share of its time that is not fit, predict or test.

    python scripts/bench_overhead.py --root data

Runs `experiment=mnist_loop` (lenet5, 100 to 1,000 labels of MNIST) in a temporary directory, with
everything a run leaves, and prints the seconds of each part, the median over `--repeats` runs.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import tempfile
import time

import torch

import activeloop
from activeloop.environment import environment

PARTS = ("train", "predict", "test", "select")


def run(root: str, strategy: str, seed: int) -> dict[str, float]:
    """Return the seconds of each part of one run, and of the whole."""
    data, hidden = activeloop.load_data("mnist", root=root)
    learner = activeloop.load_learner("torch", model="lenet5")
    oracle = activeloop.SimulatedOracle(hidden.pool)
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        loop = activeloop.ActiveLoop(
            data,
            learner,
            activeloop.load_strategy(strategy),
            test_labels=hidden.test,
            initial=100,
            query_size=100,
            budget=1000,
            seed=seed,
            directory=directory,
        )
        rounds = loop.run(oracle)
        whole = time.perf_counter() - start
        loop.files.store.close()
    seconds = {p: sum(r.metrics[f"{p}_seconds"] for r in rounds) for p in PARTS}
    return seconds | {"whole": whole, "rest": whole - sum(seconds.values())}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw")
    parser.add_argument("--strategy", default="entropy")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="also print where one run goes")
    options = parser.parse_args()
    runs = [run(options.root, options.strategy, seed) for seed in range(options.repeats)]
    median = {name: statistics.median(r[name] for r in runs) for name in runs[0]}
    where = environment("cpu" if not torch.cuda.is_available() else "cuda")
    print(
        f"{where['hardware']['processor']}, {where['hardware']['threads']} threads; "
        f"torch {where['versions']['torch']}; {options.repeats} runs, medians"
    )
    print("| part | seconds | share |\n|---|---|---|")
    for name in (*PARTS, "rest", "whole"):
        print(f"| {name} | {median[name]:.3f} | {median[name] / median['whole']:.2%} |")
    overhead = [(r["select"] + r["rest"]) / r["whole"] for r in runs]
    print(
        f"\noverhead (select and rest): {statistics.median(overhead):.2%} "
        f"({min(overhead):.2%} to {max(overhead):.2%})"
    )
    if options.profile:
        with cProfile.Profile() as profile:
            run(options.root, options.strategy, 0)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
