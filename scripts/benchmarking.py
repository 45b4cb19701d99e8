"""What the benchmarks share: a process for each measurement, its time and memory, and tables.

A benchmark calls `run_apart`, which starts its script again with `--task`; there, `measure` calls
what is to be measured, and `finish` hands the figures back. For Linux; macOS has no limit of memory
and no peak of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import inspect
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from activeloop.environment import environment
from activeloop.errors import ActiveLoopError
from activeloop.memory import available
from activeloop.strategies import CATALOG, load_strategy, locate

Result = TypeVar("Result")
Floats = npt.NDArray[np.float32]

GIB = 2**30
# Beyond this many seconds of preparation and clearing up, a measurement is given up.
_GRACE = 1200.0
# Short runs, for which the clock is coarse, are repeated until this many seconds, at most so often.
_ENOUGH_SECONDS, _ENOUGH_RUNS = 0.5, 30
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


# ---------------------------------------------------------------------------- in the process


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long, how often and in how much memory.

    Attributes:
        repeats: runs after the first, which is a warm-up.
        timeout: seconds for all runs together; those that do not fit are left out.
        memory: bytes that the address space may grow by once the inputs are there.
    """

    repeats: int = 3
    timeout: float = 300.0
    memory: int = 8 * GIB


@dataclass(kw_only=True)
class Measured:
    """The figures of one measurement, or why there are none.

    Attributes:
        failure: empty if all went well.
        cpu: median seconds of processor time, all threads together.
        wall: median seconds.
        runs: how many runs the medians are of.
        warmed: False if only the first run fitted into the time.
        peak: growth of the resident memory above the state before the runs, in bytes.
        own: what of it was the process's own, rather than pages of mapped files (sampled).
        objective: how good the result is, median over the runs.
        note: anything else to say.
        parts: wall seconds of its parts, by name, where it has some.
    """

    failure: str = ""
    cpu: float = float("nan")
    wall: float = float("nan")
    runs: int = 0
    warmed: bool = True
    peak: int = 0
    own: int = 0
    objective: float | None = None
    note: str = ""
    parts: dict[str, float] = field(default_factory=dict)


class PeakMemory:
    """Growth of the peak resident memory since this was made.

    Linux can reset its peak; elsewhere a peak reached before hides a lower one after.
    """

    def __init__(self) -> None:
        gc.collect()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", "ascii")
        self._start = _status("VmRSS") or _largest()

    def growth(self) -> int:
        """Return bytes."""
        return max(0, (_status("VmHWM") or _largest()) - self._start)


def _largest() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(name: str, process: int | str = "self") -> int | None:
    """Return a field of /proc/PID/status in bytes; None where there is none."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None


@contextlib.contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Bound the growth of the address space, and end the process when the time is over.

    The alarm's default action ends it even inside compiled code.
    """
    virtual, before = _status("VmSize"), None
    if virtual is not None:
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (virtual + limits.memory, before[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.timeout)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if before is not None:
            resource.setrlimit(resource.RLIMIT_AS, before)


def measure(
    call: Callable[[int], Result],
    limits: Limits,
    *,
    before: Callable[[], None] = lambda: None,
) -> tuple[Measured, list[Result]]:
    """Call `call(run)` as often as `limits` say; return the figures and the results.

    Args:
        call: what is measured; `run` is 0 for the warm-up.
        limits: of time and memory.
        before: called before each run, outside the measured time.
    """
    # The first product makes the buffers of the linear algebra: nobody's memory.
    torch.ones(64, 64) @ torch.ones(64, 64) @ torch.from_numpy(np.ones((64, 64), np.float32))
    memory, own = PeakMemory(), _status("RssAnon") or 0
    runs: list[tuple[float, float]] = []
    results: list[Result] = []
    with limited(limits):
        begin = time.perf_counter()
        while not runs or _again(runs, time.perf_counter() - begin, limits):
            before()
            wall, cpu = time.perf_counter(), time.process_time()
            results.append(call(len(runs)))
            runs.append((time.process_time() - cpu, time.perf_counter() - wall))
    counted = runs[1:] or runs
    return Measured(
        cpu=statistics.median(cpu for cpu, _ in counted),
        wall=statistics.median(wall for _, wall in counted),
        runs=len(counted),
        warmed=len(runs) > 1,
        peak=memory.growth(),
        own=-own,  # what was there before; the parent, which samples, adds the peak
    ), results


def _again(runs: Sequence[tuple[float, float]], elapsed: float, limits: Limits) -> bool:
    last = runs[-1][1]
    if limits.repeats == 0 or elapsed + 1.2 * last > limits.timeout:
        return False
    more = min(_ENOUGH_RUNS, int(_ENOUGH_SECONDS / max(last, 1e-9)))
    return len(runs) <= max(limits.repeats, more)


def finish(task: Mapping[str, Any], work: Callable[[], Measured]) -> None:
    """Do `work` and write what it returned, or how it failed, for the process that waits."""
    try:
        measured = work()
    except Exception as error:
        traceback.print_exc()
        measured = Measured(failure=explained(error))
    Path(task["result"]).write_text(json.dumps(dataclasses.asdict(measured)), "utf-8")


def explained(error: Exception) -> str:
    """Return in a few words why a measurement failed."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "allocate" in text or "bad_alloc" in text:
        return "out of memory"
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {error.name}"
    return f"failed: {type(error).__name__}: {shortened(text)}"


def shortened(text: str, length: int = 100) -> str:
    """Return `text` cut to `length`, fit for a cell of a table."""
    text = text.replace("|", "/")
    return text if len(text) <= length else text[: length - 3] + "..."


# ---------------------------------------------------------------------------- around the process


def run_apart(
    script: Path, task: Mapping[str, Any], limits: Limits, *, threads: int = 1
) -> Measured:
    """Run `script --task ...` in a process of its own and return what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        result, errors = Path(folder) / "result.json", Path(folder) / "errors"
        words = json.dumps({**task, "result": str(result), "limits": dataclasses.asdict(limits)})
        with errors.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(script), "--task", words],
                env=os.environ | {name: str(threads) for name in _THREAD_VARIABLES},
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
            own = _watched(process, limits.timeout + _GRACE)
        if not result.exists():
            return Measured(failure=_death(process.returncode, limits, errors))
        measured = Measured(**json.loads(result.read_text("utf-8")))
    own = 0 if measured.failure else max(0, own + measured.own)
    return dataclasses.replace(measured, own=own)


def _watched(process: subprocess.Popen[bytes], patience: float) -> int:
    """Wait for the end, and return the most memory of its own that the process had, sampled."""
    most, deadline = 0, time.monotonic() + patience
    try:
        while process.poll() is None:
            most = max(most, _status("RssAnon", process.pid) or 0)
            if time.monotonic() > deadline:
                process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return most


def _death(code: int, limits: Limits, errors: Path) -> str:
    said = errors.read_text("utf-8", "replace").strip().splitlines()
    if code == -signal.SIGALRM:
        return f"over {limits.timeout:g} s"
    if any("bad_alloc" in line or "memory" in line.lower() for line in said[-5:]):
        return "out of memory"
    if code == -signal.SIGKILL:
        return "killed (out of memory, or stuck)"
    return f"ended with code {code}: {shortened(said[-1] if said else 'no message')}"


def default_memory() -> int:
    """Return four fifths of the memory that is free now, in bytes."""
    return available() * 4 // 5


# ---------------------------------------------------------------------------- inputs


@dataclass(frozen=True)
class Mixture:
    """Gaussian clouds that lie like a network's features, made in chunks, the same for a seed.

    A class has several clouds; within one, most of the variance lies in a few directions, for real
    features fill few of their dimensions. Probabilities are those of a linear head.
    """

    features: int
    classes: int
    seed: int = 0

    CHUNK = 65_536
    CLOUDS, DIRECTIONS = 6, 8

    def parameters(self) -> tuple[Floats, Floats, Floats]:
        """Return cloud centres `[C * CLOUDS, D]`, their directions, and the head `[C, D + 1]`."""
        rng = np.random.default_rng([self.seed, 0])
        clouds = self.classes * self.CLOUDS
        of_class = rng.normal(size=(self.classes, 1, self.features))
        near = rng.normal(size=(self.classes, self.CLOUDS, self.features))
        centres = (of_class + 1.3 * near).reshape(clouds, self.features)
        spread = 2.2 / self.DIRECTIONS**0.5
        directions = spread * rng.normal(size=(clouds, self.DIRECTIONS, self.features))
        means = centres.reshape(self.classes, self.CLOUDS, -1).mean(axis=1)
        head = np.column_stack([means, -(means**2).sum(axis=1) / 2]) * (5 / self.features)
        return centres.astype(np.float32), directions.astype(np.float32), head.astype(np.float32)

    def chunk(self, number: int) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """Return features, probabilities and classes of the `number`th `CHUNK` rows."""
        centres, directions, head = self.parameters()
        rng = np.random.default_rng([self.seed, 1, number])
        cloud = rng.integers(len(centres), size=self.CHUNK)
        rows = 0.1 * rng.standard_normal((self.CHUNK, self.features), np.float32)
        along = rng.standard_normal((self.CHUNK, self.DIRECTIONS), np.float32)
        for each in range(len(centres)):
            where = np.flatnonzero(cloud == each)
            rows[where] += centres[each] + along[where] @ directions[each]
        return rows, softmax(rows @ head[:, :-1].T + head[:, -1]), cloud // self.CLOUDS


def softmax(logits: npt.NDArray[Any]) -> Floats:
    """Return probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float32)
    result: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


# ---------------------------------------------------------------------------- strategies

# What picks nothing without the files of another run.
NOT_ALONE = ("replay",)


def options_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given`, and margin sampling as what a strategy wraps if it has to be told."""
    if name not in CATALOG:
        return dict(given)
    taken = inspect.signature(locate(CATALOG[name])).parameters.values()
    inner = [p.name for p in taken if p.name in _WRAPPED and p.default is p.empty]
    return {**{option: _WRAPPED[option] for option in inner}, **given}


_WRAPPED = {"strategy": "margin", "strategies": ("margin", "random"), "inner": "margin"}


def unavailable(name: str, given: Mapping[str, Any]) -> str:
    """Return why there is no such strategy, or nothing."""
    if name not in CATALOG:
        return "not there"
    try:
        load_strategy(name, **options_of(name, given))
    except (ActiveLoopError, ImportError) as error:
        return f"failed: {shortened(str(error))}"
    return ""


# ---------------------------------------------------------------------------- reports


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are set to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(threads: int, packages: Iterable[str] = ()) -> str:
    """Return a sentence on hardware and versions, of the other `packages` too."""
    where = environment("cpu")
    hardware = where["hardware"]
    versions = {k: v for k, v in where["versions"].items() if k in ("python", "torch", "numpy")}
    listed = ", ".join(
        f"{name} {number}" for name, number in {**versions, **_installed(packages)}.items()
    )
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    memory = available() / GIB
    return (
        f"{hardware['processor']}, {hardware['cores']} cores, {memory:.0f} GiB free{load}; "
        f"{threads} thread{'s' * (threads > 1)}; {listed}; {where['at'][:10]}."
    )


def _installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package, or that it is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def seconds(value: float) -> str:
    """Return seconds in three figures."""
    if value != value:
        return ""
    if value < 0.1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 999.5 else f"{value:.0f} s"


def megabytes(value: int) -> str:
    """Return bytes as MiB."""
    return f"{value / 2**20:.0f}"
