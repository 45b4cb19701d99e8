"""Kill runs at random instants and at every write, have them go on, and count what differs.

    python scripts/fault_test.py --kills 200 --out scripts/results/faults.md

A run of activeloop is ended by SIGKILL, taken up again to its end, and compared with one that was
never stopped: the same queries, labels, predictions and weights to the bit, the same curve but for
its seconds, nothing left over, and no answer lost that the store had acknowledged. Ends with code 1
if anything differs. Then people answer as fast as they can on the label page while its server is
killed: every acknowledged answer must be there, once. For Linux.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

import benchmarking as bench
import numpy as np
from crash_points import LOSSES, Loss
from fault_labels import RUN as LABEL_RUN
from fault_labels import Labelled, label
from fault_runs import LONG, RUN, SHORT, STARTS, CommandLine, Fault, Runs, Trial

_ENDS: dict[Loss, str] = {
    "nothing": "killed at every{} write",
    "data": "power cut at every{} write: files that were not synced are empty",
    "names": "power cut at every{} write: names that were not synced are as before",
}
LIVES = (2.0, 6.0)  # seconds that the server of the label page is left alone
_SHOWN = 20  # differences that are told one by one


@dataclass
class Tally:
    """What became of trials of one kind."""

    start: str
    ended: str
    trials: list[Trial] = field(default_factory=list)

    def cells(self) -> list[str]:
        """Return the table's line."""
        numbers = [
            len(self.trials),
            sum(t.kills for t in self.trials),
            sum(t.journals for t in self.trials),
            sum(t.resumed for t in self.trials),
            sum(len(life.answers) for t in self.trials for life in t.lives),
            sum(len(t.lost) for t in self.trials),
            sum(bool(t.differences) for t in self.trials),
        ]
        return [self.start, self.ended, *(f"{number:,}" for number in numbers)]

    def complaints(self) -> list[str]:
        """Return what is wrong, a line for each trial in which something is."""
        return [
            f"{self.start}, {self.ended}, {where(trial)}: "
            + "; ".join([*trial.lost, *trial.differences])
            for trial in self.trials
            if trial.lost or trial.differences
        ]


def where(trial: Trial) -> str:
    """Return at what a trial was ended, each time."""
    killed = [life for life in trial.lives if life.code]
    return ", then ".join(life.point or f"after {life.seconds:.3f} s" for life in killed)


def random_kills(runs: Runs, kills: int, rng: np.random.Generator, start: str, jobs: int) -> Tally:
    """Kill at random instants; every second run once more after it was taken up."""
    tally, whole = Tally(start, "killed at random instants"), pace(runs, jobs)
    number = 0
    while (left := kills - sum(trial.kills for trial in tally.trials)) > 0:
        plans = []
        for _ in range(max(1, left * 2 // 3)):
            times = 1 + number % 2
            plans.append(
                (f"{number}", [Fault(seconds=s) for s in rng.uniform(0, whole, times).tolist()])
            )
            number += 1
        tally.trials += [t for t in tried(runs, plans, jobs) if t.kills]
    return tally


def pace(runs: Runs, jobs: int) -> float:
    """Return the seconds that a run takes where so many go on at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        lives = list(pool.map(lambda n: runs.live(f"pace-{n}", Fault()), range(2 * jobs)))
    return statistics.median(life.seconds for life in lives)


def crash_points(
    runs: Runs, loss: Loss, every: int, rng: np.random.Generator, start: str, jobs: int
) -> Tally:
    """End a run at every write; half of the killed ones at another, once taken up."""
    points = runs.reference.points
    plans = []
    for point in range(0, points, every):
        faults = [Fault(point=point, loss=loss)]
        if loss == "nothing" and rng.random() < 0.5:
            faults.append(Fault(point=int(rng.integers(points)), loss=loss))
        plans.append((f"{loss}-{point}", faults))
    ended = _ENDS[loss].format(f" {every}th" if every > 1 else "")
    tally = Tally(start, ended, tried(runs, plans, jobs))
    for trial in tally.trials:
        if not trial.kills:
            trial.differences.append("it made fewer writes than the run before it")
    return tally


def tried(runs: Runs, plans: Sequence[tuple[str, Sequence[Fault]]], jobs: int) -> list[Trial]:
    """Return what became of a trial for each plan; every other is taken up by `resume`."""

    def one(number: int) -> Trial:
        name, faults = plans[number]
        trial = runs.trial(name, faults, resume=number % 2 == 1)
        if not (trial.lost or trial.differences):
            shutil.rmtree(runs.work / name)
        return trial

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, range(len(plans))))


def stages(trials: Iterable[Trial]) -> str:
    """Return how far runs had come when they were killed."""
    counted = Counter(rounds for trial in trials for rounds in trial.rounds)
    said = [f"{counted.pop(None)} before there was a run"] if None in counted else []
    return ", ".join(
        [
            *said,
            *(f"{number} with {rounds} whole rounds" for rounds, number in sorted(counted.items())),
        ]
    )


def of_runs(tallies: Sequence[Tally]) -> list[str]:
    """Return the part about runs."""
    head = ("run", "ended", "trials", "kills", "left a journal", "by `resume`")
    random = [trial for tally in tallies for trial in tally.trials if not trial.lives[0].point]
    points = Counter(
        life.point for tally in tallies for t in tally.trials for life in t.lives if life.point
    )
    complaints = [line for tally in tallies for line in tally.complaints()]
    lines = [
        f"The run: `python -m activeloop {' '.join(RUN)}` and `{' '.join(SHORT)}`, or "
        f"`{' '.join(LONG)}` where it is killed at random instants; warm with "
        f"`{STARTS['warm'][0]}`.",
        "Each was taken up until it ended, by the same command or by `resume`, and compared with "
        "one that was never stopped: `queries.csv`, `config.yaml`, weights, predictions, events, "
        "queries and rounds of `run.db` to the bit, `curve.csv` but for its seconds, no file left "
        "over, `PRAGMA integrity_check`. An answer is lost if the store had acknowledged it and "
        "does not hold it, once, after the kill or at the end.\n",
        bench.table(
            [*head, "answers", "lost answers", "differences"], [t.cells() for t in tallies]
        ),
    ]
    if random:
        lines.append(f"\nKills at random instants: {stages(random)}.")
    if points:
        lines += ["\nThe writes at which runs ended:\n", *by_verb(points)]
    return [*lines, "", *(f"- {line}" for line in complaints[:_SHOWN])]


def by_verb(points: Counter[str]) -> Iterable[str]:
    """Return a line for each kind of write: how often runs ended at which."""
    split = [(*name.split(maxsplit=1), number) for name, number in sorted(points.items())]
    for verb, group in groupby(split, key=lambda entry: entry[0]):
        yield f"- {verb}: " + ", ".join(f"{what} {number}" for _, what, number in group)


def of_labels(labelled: Labelled, lives: Sequence[float]) -> list[str]:
    """Return the part about the label page."""
    each = labelled
    rows = [
        ("kills of the server", each.kills),
        ("acknowledged answers", each.acknowledged),
        ("of these lost", len(each.lost)),
        ("images with two answers, or given to two people at the same time", len(each.twice)),
        ("answers there whose reply nobody read", each.unacknowledged),
        ("answers refused, for another person had given one after a restart", each.conflicts),
        ("requests sent again", each.again),
        ("rounds trained meanwhile", each.rounds),
    ]
    return [
        "\n## The label page\n",
        f"{each.people} people answer as fast as they can for {each.seconds:.0f} s, and the server "
        f"is killed each {lives[0]:g} to {lives[1]:g} s and started again: `python -m activeloop "
        f"label {' '.join(LABEL_RUN)}`.\n",
        bench.table(["what", "number"], [[name, f"{number:,}"] for name, number in rows]),
        "",
        *(f"- {line}" for line in complaints_of(labelled)[:_SHOWN]),
    ]


def complaints_of(labelled: Labelled) -> list[str]:
    """Return what is wrong."""
    return [*labelled.lost, *labelled.twice, *labelled.broken]


def command(options: argparse.Namespace) -> str:
    """Return the options as they were given."""
    return (
        f"--kills {options.kills} --every {options.every} --every-cut {options.every_cut} "
        f"--seed {options.seed} --starts {' '.join(options.starts)} "
        f"--losses {' '.join(options.losses)} --label-seconds {options.label_seconds:g} "
        f"--people {options.people}"
    )


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="at random instants, of each start")
    parser.add_argument("--every", type=int, default=1, help="kill at each such write only")
    parser.add_argument("--every-cut", type=int, default=1, help="the same of power cuts")
    parser.add_argument("--starts", nargs="*", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--losses", nargs="*", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--seed", type=int, default=0, help="of the random instants")
    parser.add_argument("--label-seconds", type=float, default=120.0, help="on the label page")
    parser.add_argument("--people", type=int, default=8, help="who label at a time")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--work", type=Path, help="folder for the runs; those that differ stay")
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args(arguments)
    if options.kills < 0 or min(options.every, options.every_cut, options.jobs) < 1:
        parser.error("--every, --every-cut and --jobs must be at least 1, --kills at least 0")
    if options.work and options.work.exists() and any(options.work.iterdir()):
        parser.error(f"{options.work} is not empty")
    return options


def main() -> int:
    """Kill, compare, and write the table."""
    options = parsed()
    if not sys.platform.startswith("linux"):
        print("the runs are forked and their files followed as only Linux has it")
        return 2
    head = (
        "# Runs and servers that are killed\n\n"
        f"`python scripts/fault_test.py {command(options)}`, "
        f"{bench.machine(1, ('safetensors', 'starlette', 'uvicorn'))}\n"
    )
    tallies: list[Tally] = []
    parts: list[list[str]] = [[], []]

    def write() -> None:  # each time that something is there, for all takes long
        text = "\n".join([head, *parts[0], *parts[1]]).rstrip() + "\n"
        if options.out:
            options.out.write_text(text, "utf-8")
        else:
            print(text)

    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        if options.label_seconds:
            labelled = label(work / "label", options.people, options.label_seconds, LIVES)
            parts[1], wrong = of_labels(labelled, LIVES), complaints_of(labelled)
            write()
        for tally in all_tallies(options, work):
            tallies.append(tally)
            parts[0] = of_runs(tallies)
            write()
    wrong += [line for tally in tallies for line in tally.complaints()]
    print("\n".join(wrong) or "no difference")
    return int(bool(wrong))


def step(options: argparse.Namespace, loss: Loss) -> int:
    """Return at each how many-th write runs end."""
    every: int = options.every if loss == "nothing" else options.every_cut
    return every


def all_tallies(options: argparse.Namespace, work: Path) -> Iterable[Tally]:
    """Return the tally of each kind of trial, saying when it is there."""
    rng = np.random.default_rng(options.seed)
    for start in options.starts:
        words, rest = (*RUN, *STARTS[start]), (rng, start, options.jobs)
        kinds: list[Callable[[], Tally]] = []
        if options.kills:
            long = Runs(work / start / "long", CommandLine((*words, *LONG)))
            kinds.append(partial(random_kills, long, options.kills, *rest))
        if options.losses:
            short = Runs(work / start / "short", CommandLine((*words, *SHORT)))
            kinds += [
                partial(crash_points, short, loss, step(options, loss), *rest)
                for loss in options.losses
            ]
        for kind in kinds:
            tally = kind()
            print(" | ".join(tally.cells()), file=sys.stderr, flush=True)
            yield tally


if __name__ == "__main__":
    sys.exit(main())
