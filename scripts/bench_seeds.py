"""What ten seeds cost: side by side in one process, stacked, one after another, or ten processes.

    python scripts/bench_seeds.py --root data

Each way runs the same loop on MNIST (entropy sampling, from 100 labels by 100, the whole pool
predicted each round) for every seed, in a process of its own, and is timed from the start of that
process to its end, imports and data included. `seeds=10` takes threads on a CPU and the stack on a
GPU; here both are measured on the device that there is. "processes" is joblib, with a process for
each thread that there is, and two at least.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import benchmarking as bench
import torch

import activeloop
from activeloop.cohort import Cohort
from activeloop.environment import environment
from activeloop.learners import TorchLearner
from activeloop.learners.stacked import Stacked
from activeloop.learners.threads import InThreads
from activeloop.words import counted

MODELS = ("lenet5", "cnn", "simple_cnn")
Figures = dict[str, float]  # of one run: seconds "wall" and "cpu", and "accuracy"


def make(task: dict[str, Any], seed: int, data: Any) -> tuple[Any, Any]:
    """Return the loop of one seed, in memory, and its oracle."""
    samples, hidden = data
    learner = activeloop.load_learner(
        "torch", model=task["model"], min_steps=task["steps"], device=task["device"]
    )
    loop = activeloop.ActiveLoop(
        samples,
        learner,
        activeloop.load_strategy("entropy"),
        test_labels=hidden.test,
        initial=100,
        query_size=100,
        rounds=task["rounds"],
        seed=seed,
    )
    return loop, activeloop.SimulatedOracle(hidden.pool)


def load(task: dict[str, Any]) -> Any:
    """Return the data."""
    return activeloop.load_data("mnist", root=task["root"], pool_size=task["pool"])


def alone(task: dict[str, Any], seed: int, data: Any = None) -> float:
    """Run one seed; return its accuracy."""
    loop, oracle = make(task, seed, data or load(task))
    return float(loop.run(oracle)[-1].metrics["accuracy"])


def one_after_another(task: dict[str, Any]) -> list[float]:
    """Run all seeds in this process."""
    data = load(task)
    return [alone(task, seed, data) for seed in range(task["seeds"])]


def side_by_side(task: dict[str, Any]) -> list[float]:
    """Run all seeds as `seeds=` does."""
    data = load(task)
    pairs = [make(task, seed, data) for seed in range(task["seeds"])]
    loops, oracles = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for _, error in Cohort(loops, oracles).run():
        if error is not None:
            raise error
    return [float(loop.rounds[-1].metrics["accuracy"]) for loop in loops]


def in_threads(task: dict[str, Any]) -> list[float]:
    """Run all seeds, each in a thread."""
    TorchLearner.together = staticmethod(InThreads)  # type: ignore[method-assign]
    return side_by_side(task)


def stacked(task: dict[str, Any]) -> list[float]:
    """Run all seeds, their networks stacked."""
    TorchLearner.together = staticmethod(Stacked)  # type: ignore[method-assign]
    return side_by_side(task)


def in_processes(task: dict[str, Any]) -> list[float]:
    """Run all seeds in processes of one thread each, as many at a time as there are threads."""
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    workers = max(2, torch.get_num_threads())  # joblib takes one for no processes at all
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs = (delayed(alone)(task, seed) for seed in range(task["seeds"]))
    return list(Parallel(n_jobs=workers)(jobs))


def one_seed(task: dict[str, Any]) -> list[float]:
    """Run one seed."""
    return [alone(task, 0)]


WAYS: dict[str, Callable[[dict[str, Any]], list[float]]] = {
    "one seed": one_seed,
    "threads": in_threads,
    "stacked": stacked,
    "one after another": one_after_another,
    "processes": in_processes,
}


def measured(way: str, task: dict[str, Any], threads: int) -> Figures:
    """Run a way in a process of its own; return seconds by the clock and of the processor."""
    command = [sys.executable, __file__, "--task", json.dumps(task | {"way": way})]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "1000"}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{way} failed")
    accuracies = json.loads(output)
    mean = sum(accuracies) / len(accuracies)
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "accuracy": mean}


def table(results: dict[str, dict[str, list[Figures]]]) -> str:
    """Return the medians in Markdown, with those of one seed for measure."""
    head = ["model", "way", "wall s", "least to most", "CPU s", "wall, x one seed"]
    rows = []
    for model, ways in results.items():
        one = median(ways["one seed"], "wall")
        for way, runs in ways.items():
            walls = [run["wall"] for run in runs]
            row = [
                model,
                way,
                f"{median(runs, 'wall'):.1f}",
                f"{min(walls):.1f} to {max(walls):.1f}",
            ]
            row += [f"{median(runs, 'cpu'):.1f}", f"{median(runs, 'wall') / one:.1f}"]
            rows.append([*row, f"{median(runs, 'accuracy'):.2%}"])
    return bench.table([*head, "mean accuracy"], rows)


def median(runs: list[Figures], name: str) -> float:
    """Return the median of a figure."""
    return statistics.median(run[name] for run in runs)


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2, help="queries after the initial set")
    parser.add_argument("--steps", type=int, default=200, help="least gradient steps a round")
    parser.add_argument("--pool", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way, in turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--note", default="", help="what else the machine did")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task = json.loads(options.task)
        print(json.dumps(WAYS[task.pop("way")](task)))
        return
    task = {name: getattr(options, name) for name in ("root", "seeds", "rounds", "steps", "pool")}
    ways = list(dict.fromkeys(["one seed", *options.ways]))
    results: dict[str, dict[str, list[Figures]]] = {}
    for model, _, way in itertools.product(options.models, range(options.repeats), ways):
        found = measured(way, task | {"model": model, "device": options.device}, options.threads)
        results.setdefault(model, {}).setdefault(way, []).append(found)
        print(f"{model}, {way}: {found['wall']:.1f} s, CPU {found['cpu']:.1f} s", flush=True)
    where = environment("cpu" if not torch.cuda.is_available() else "cuda")
    hardware = where["hardware"]
    text = (
        f"# What {options.seeds} seeds cost\n\n"
        f"{hardware['accelerator'] or hardware['processor']}, {options.threads} threads; torch "
        f"{where['versions']['torch']}; {options.rounds + 1} rounds from 100 labels by 100 on "
        f"{options.pool:,} MNIST images, at least {options.steps} steps a round. Medians of "
        f"{counted(options.repeats, 'run')}, the ways in turn. {options.note}\n\n{table(results)}\n"
    )
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
