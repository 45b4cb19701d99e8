"""Loops on a GPU, beside what their arithmetic costs at the card's measured rates.

    python scripts/bench_gpu.py --root data --cifar cifar10 --out scripts/results/gpu.md

Two loops by entropy, from scratch each round: MNIST with `model=cnn`, 100 to 1,000 labels by 100,
20 epochs at batch 64 in float32; and CIFAR-10 with `model=resnet18`, 1,000 to 10,000 labels by
1,000, 30 epochs at batch 128, trained in bfloat16; both with `learner.cuda_graphs=true`, and once
without. The first is run with ten seeds at once as well.
`--root` holds MNIST/raw as torchvision writes it; `--cifar` is a folder with train/CLASS/... and
test/CLASS/... images. Each is left out where there are no such files. Two rounds of each warm the
card up and are not counted. No repetition is begun after `--minutes`. What is measured is printed,
and written, part by part: a part that fails says why, and the others go on. Without a GPU the
script says so and ends.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import statistics
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmarking as bench
import torch

import activeloop
from activeloop.cohort import Cohort
from activeloop.models import load_model
from activeloop.types import Data, HiddenLabels

PARTS = ("train", "predict", "select", "test")
# Multiplications and additions of a training step, in forward passes.
_TRAIN_PASSES = 3
SEEDS = 10


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A loop to measure.

    Attributes:
        title: in words.
        data: samples.
        hidden: their labels.
        query: labels a round, and at the start.
        budget: labels in all.
        learner: options of the torch learner.
    """

    title: str
    data: Data
    hidden: HiddenLabels
    query: int
    budget: int
    learner: dict[str, Any]

    @property
    def trained(self) -> int:
        """Images that training goes through, over all rounds."""
        sizes = range(self.query, self.budget + 1, self.query)
        return sum(self.learner["epochs"] * size for size in sizes)

    @property
    def predicted(self) -> int:
        """Images that predicting goes through."""
        rounds = self.budget // self.query - 1
        return sum(len(self.data.pool) - self.query * (1 + number) for number in range(rounds))

    def make(self, seed: int, budget: int, **options: Any) -> activeloop.ActiveLoop:
        """Return it before it runs, with other `options` of the learner."""
        settings: dict[str, Any] = {"device": "cuda", "min_steps": 0, "cuda_graphs": True}
        settings |= self.learner | options
        return activeloop.ActiveLoop(
            self.data,
            activeloop.load_learner("torch", **settings),
            activeloop.load_strategy("entropy"),
            test_labels=self.hidden.test,
            initial=self.query,
            query_size=self.query,
            budget=budget,
            seed=seed,
        )

    @property
    def oracle(self) -> activeloop.SimulatedOracle:
        """Knows the labels."""
        assert self.hidden.pool is not None
        return activeloop.SimulatedOracle(self.hidden.pool)

    def warm_up(self) -> None:
        """Run two rounds."""
        self.make(0, 2 * self.query).run(self.oracle)

    def run(self, seed: int, **options: Any) -> tuple[dict[str, float], float]:
        """Run it; return the seconds of each part and of the whole, and the last accuracy."""
        loop = self.make(seed, self.budget, **options)
        whole = timed(lambda: loop.run(self.oracle))
        seconds = {p: sum(each.metrics[f"{p}_seconds"] for each in loop.rounds) for p in PARTS}
        rest = whole - sum(seconds.values())
        return seconds | {"rest": rest, "whole": whole}, loop.rounds[-1].metrics["accuracy"]

    def run_seeds(self) -> tuple[float, float]:
        """Run it with several seeds at once; return the seconds and the mean last accuracy."""
        loops = [self.make(seed, self.budget) for seed in range(SEEDS)]
        cohort = Cohort(loops, [self.oracle for _ in loops])
        outcomes: list[Any] = []
        seconds = timed(lambda: outcomes.extend(cohort.run()))
        for _, error in outcomes:
            if error is not None:
                raise error
        return seconds, statistics.mean(loop.rounds[-1].metrics["accuracy"] for loop in loops)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes, the GPU's included."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


class Utilisation:
    """Samples how busy the card says it is, in percent, while a block runs."""

    def __enter__(self) -> Utilisation:
        self._samples: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def __str__(self) -> str:
        return f"{statistics.mean(self._samples):.0f} %" if self._samples else "not known"

    def _sample(self) -> None:
        if (tool := shutil.which("nvidia-smi")) is None:
            return
        words = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0"]
        while not self._done.wait(0.2):
            said = subprocess.run(words, capture_output=True, text=True, check=False)
            if said.returncode == 0 and said.stdout.strip().isdigit():
                self._samples.append(float(said.stdout))


def loops(options: argparse.Namespace) -> Iterator[Callable[[], Loop]]:
    """Yield what makes the loops whose data is there."""
    if (Path(options.root) / "MNIST" / "raw").is_dir():
        yield lambda: mnist(options.root)
    if options.cifar and Path(options.cifar).is_dir():
        yield lambda: cifar(options.cifar)


def mnist(root: str) -> Loop:
    """Return the loop on MNIST."""
    data, hidden = activeloop.load_data("mnist", root=root, download=False)
    learner = {"model": "cnn", "epochs": 20, "batch_size": 64}
    title = "MNIST, cnn, 100 to 1,000 by 100"
    return Loop(title=title, data=data, hidden=hidden, query=100, budget=1000, learner=learner)


def cifar(root: str) -> Loop:
    """Return the loop on CIFAR-10."""
    data, hidden = activeloop.load_data("image_folder", root=root, size=32)
    learner = {
        "model": "resnet18",
        "epochs": 30,
        "batch_size": 128,
        "mixed_precision": True,
        "augment": "auto",
    }
    title = "CIFAR-10, resnet18, 1,000 to 10,000 by 1,000"
    return Loop(title=title, data=data, hidden=hidden, query=1000, budget=10_000, learner=learner)


def report(loop: Loop, repeats: int, until: float) -> str:
    """Return the tables of one loop as Markdown; no run but the first begins after `until`."""
    loop.warm_up()
    torch.cuda.reset_peak_memory_stats()
    runs: list[tuple[dict[str, float], float]] = []
    with Utilisation() as busy:
        for seed in range(repeats):
            if runs and time.monotonic() > until:
                break
            runs.append(loop.run(seed))
            print(f"{loop.title}: {runs[-1][0]['whole']:.2f} s", flush=True)
    plainly = "not measured"
    if time.monotonic() < until:
        plain, without = loop.run(0, cuda_graphs=False)
        plainly = f"{plain['train']:.2f} s, accuracy {100 * without:.1f} % (with: "
        plainly += f"{runs[0][0]['train']:.2f} s, {100 * runs[0][1]:.1f} %)"
    seconds = {part: statistics.median(each[part] for each, _ in runs) for part in runs[0][0]}
    accuracy = statistics.mean(last for _, last in runs)
    bfloat16 = bool(loop.learner.get("mixed_precision"))
    forward = operations(loop)
    predict_rate = product_rate(torch.float32)
    train_rate = product_rate(torch.bfloat16) if bfloat16 else predict_rate
    rows = [
        _row("train", loop.trained, _TRAIN_PASSES * forward, seconds, train_rate),
        _row("predict", loop.predicted, forward, seconds, predict_rate),
    ]
    head = ["part", "images", "seconds", "images a second", "floor, s", "of the floor"]
    return "\n\n".join(
        [
            f"## {loop.title}",
            ", ".join(f"{part} {value:.2f} s" for part, value in seconds.items())
            + f" (median of {len(runs)}); accuracy {100 * accuracy:.1f} %; the card says that it "
            f"was busy {busy} of the time; at most "
            f"{torch.cuda.max_memory_allocated() / bench.GIB:.2f} GiB of its memory were in use. "
            f"Training seed 0 with `learner.cuda_graphs=false`: {plainly}.",
            f"One image is {forward / 1e6:.4g} million operations forward. The floor is these at "
            f"the rate of a product of two 8,192 x 8,192 matrices: {train_rate / 1e12:.0f} TFLOP/s "
            f"for training ({'bfloat16' if bfloat16 else 'TF32'}), {predict_rate / 1e12:.0f} for "
            "prediction (TF32, which convolutions of float32 take).",
            bench.table(head, rows),
        ]
    )


def _row(part: str, images: int, each: float, seconds: dict[str, float], rate: float) -> list[str]:
    floor = images * each / rate
    return [
        part,
        f"{images:,}",
        f"{seconds[part]:.2f}",
        f"{images / seconds[part]:,.0f}",
        f"{floor:.3g}",
        f"{seconds[part] / floor:.3g} times",
    ]


def report_seeds(loop: Loop) -> str:
    """Return what several seeds at once cost, beside one, as Markdown."""
    loop.warm_up()
    one, accuracy = loop.run(seed=0)
    several, mean = loop.run_seeds()
    return (
        f"## {loop.title}, {SEEDS} seeds at once\n\n"
        f"One seed {one['whole']:.2f} s ({100 * accuracy:.1f} %), {SEEDS} at once {several:.2f} s "
        f"({100 * mean:.1f} % in the mean): {several / one['whole']:.2f} times as long."
    )


def operations(loop: Loop) -> float:
    """Return the operations of one image's forward pass, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    model = load_model(loop.learner["model"])
    module = model.build(loop.data.shape, loop.data.n_classes).module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, *loop.data.shape))
    return float(counter.get_total_flops())


def product_rate(dtype: torch.dtype, size: int = 8192, repeats: int = 5) -> float:
    """Return operations a second of a product of square matrices; of float32, in TF32."""
    x = torch.randn(size, size, device="cuda", dtype=dtype)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        times = [timed(lambda: x @ x) for _ in range(repeats + 1)]
    finally:
        torch.set_float32_matmul_precision(before)
    return 2 * size**3 / statistics.median(times[1:])


def attempted(make: Callable[[], str]) -> str:
    """Return what `make` returns, or in Markdown how it failed."""
    try:
        return make()
    except Exception:  # the other parts are worth having
        return f"## Not measured\n\n```\n{traceback.format_exc()}```"


def parts(options: argparse.Namespace) -> Iterator[str]:
    """Yield each part of the page, which may say that it failed."""
    card = torch.cuda.get_device_properties(0)
    yield (
        f"# Loops on a GPU\n\n`python scripts/bench_gpu.py`. {card.name}, "
        f"{card.total_memory / bench.GIB:.0f} GiB, CUDA {torch.version.cuda}. "
        + bench.machine(torch.get_num_threads())
    )
    until = time.monotonic() + 60 * options.minutes
    for make in loops(options):
        made: list[Loop] = []

        def part(make: Callable[[], Loop] = make, made: list[Loop] = made) -> str:
            made.append(make())
            return report(made[0], options.repeats, until)

        yield attempted(part)
        if made and not made[0].learner.get("mixed_precision"):
            yield attempted(lambda made=made: report_seeds(made[0]))  # type: ignore[misc]


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw")
    parser.add_argument("--cifar", help="folder with train/CLASS and test/CLASS images")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=6, help="no repetition begins after these")
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch finds no CUDA GPU here: nothing is measured")
        return
    if not any(loops(options)):
        print(f"no MNIST/raw in {options.root}, and no --cifar folder: nothing is measured")
        return
    logging.basicConfig(format="%(message)s")
    logging.getLogger("activeloop.learners").setLevel(logging.INFO)  # what fell back, and why
    text = ""
    for part in parts(options):
        print(part, end="\n\n", flush=True)
        text += part + "\n\n"
        if options.out:
            options.out.write_text(text.rstrip() + "\n", "utf-8")


if __name__ == "__main__":
    main()
