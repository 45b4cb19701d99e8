"""The checks of the conformance suite: one function each, whose first line says what is asked.

A check calls the strategy on a context of its own and raises `AssertionError` if what came is not
what was expected, or `Skipped` where it does not apply.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import random
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from activeloop.errors import StrategyError
from activeloop.selection import candidates, checked_picks, random_states
from activeloop.strategies import name_of, needs_of
from activeloop.testing.contexts import (
    make_context,
    memory_mapped,
    permuted,
    rebuild,
    restrict,
    unpredicted,
)
from activeloop.testing.worker import WORKER, UnloadableError, WorkerError
from activeloop.types import NEEDS, Context, Indices, Picks, Scores, Strategy

_SEEDS = range(5)

# Two samples of this many picks are compared where picks are drawn. They fall on 10 samples, so
# chi-square has at most 9 degrees of freedom and is above the bound once in 10 million.
_DRAWS = 200
_CHI_SQUARE = 50

_MEMORY_POOL, _MEMORY_DIMENSIONS = 20_000, 64
# Another pool for each strategy of a process: neighbours that are kept must not seem free.
_pools = itertools.count()
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Skipped(Exception):
    """A check does not apply, and why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What an author may say of a strategy.

    Attributes:
        needs_labels: it cannot pick without labelled samples.
        many_classes: it is made for hundreds of classes too.
        by_position: it goes by the order of the pool, if only to break ties.
        memory_factor: peak memory may grow by so many times the features' bytes ...
        memory_extra: ... and by so many bytes more.
        patience: CPU seconds that may be spent on drawing picks again and again.
    """

    needs_labels: bool = False
    many_classes: bool = True
    by_position: bool = False
    memory_factor: float = 2.0
    memory_extra: int = 64 * 2**20
    patience: float = 1.0


@dataclasses.dataclass(frozen=True)
class Trial:
    """A strategy under test."""

    strategy: Strategy
    options: Options = Options()

    @property
    def needs(self) -> frozenset[str]:
        """The optional fields that the strategy is given: those that it declares."""
        return needs_of(self.strategy)

    def given(self, context: Context) -> Context:
        """Return `context`, in which every field is there, as a run would give it to it."""
        return restrict(self.predicted(context), self.needs)

    def predicted(self, context: Context) -> Context:
        """Return `context` with NaN in the rows of samples that are no candidates."""
        early = rebuild(context, probs=None, features=None, members=None, head=None)
        try:
            chosen = candidates(self.strategy, restrict(early, self.needs))
        except StrategyError as error:
            raise AssertionError(str(error)) from error
        if chosen is None:
            return context
        return unpredicted(dataclasses.replace(context, unlabelled=chosen))

    def returned(self, given: Context) -> Any:
        """Return what the strategy returns."""
        try:
            return self.strategy(given)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"expected picks, got {_what(error)}") from error

    def checked(self, given: Context, returned: Any) -> tuple[Indices, Scores | None]:
        """Return picks and scores if they are as they must be."""
        try:
            return checked_picks(name_of(self.strategy), given, returned)
        except StrategyError as error:
            raise AssertionError(str(error)) from error

    def picks(self, context: Context) -> tuple[Indices, Scores | None]:
        """Return the picks and scores of one call, checked."""
        given = self.given(context)
        return self.checked(given, self.returned(given))

    def indices(self, context: Context) -> list[int]:
        """Return the picks of one call, checked."""
        indices: list[int] = self.picks(context)[0].tolist()
        return indices

    def elsewhere(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return `function(self, *args)`, called in another process."""
        try:
            return WORKER.call(function, self, *args)
        except UnloadableError as error:
            reason = (
                f"strategy {name_of(self.strategy)} cannot be called in another process ({error}): "
                "give it a name in a module that can be imported"
            )
            warnings.warn(reason, stacklevel=2)
            raise Skipped(reason) from error
        except WorkerError as error:
            raise AssertionError(
                f"expected picks in another process too, but there: {error}"
            ) from error


Check = Callable[[Trial], None]
CHECKS: dict[str, Check] = {}

# If one of these fails, the checks after it would only say so once more.
BASIC = ("declared_needs", "valid_picks", "valid_scores", "deterministic")


def _check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


def _what(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _expect_same(expected: list[int], came: list[int], when: str) -> None:
    assert came == expected, f"expected the same picks {when}, {expected}, got {came}"


# ---------------------------------------------------------------------------- what is returned


@_check
def declared_needs(trial: Trial) -> None:
    """The strategy uses no field of the context that it does not declare with @needs."""

    def fails(needs: frozenset[str]) -> bool:
        try:
            trial.strategy(restrict(trial.predicted(make_context()), needs))
        except (Exception, SystemExit):
            return True
        return False

    if not fails(trial.needs) or fails(NEEDS):
        return
    missing = sorted(name for name in NEEDS - trial.needs if fails(NEEDS - {name}))
    declared = ", ".join(map(repr, sorted({*missing, *trial.needs})))
    raise AssertionError(
        f"expected it to do with what it declares, {sorted(trial.needs)}, but it raises without "
        f"context.{' and context.'.join(missing)}: declare @needs({declared})"
    )


@_check
def valid_picks(trial: Trial) -> None:
    """Picks are exactly k distinct whole numbers, pool indices out of context.unlabelled."""
    # No position in `unlabelled`, or in a part of it, is an index that may be picked.
    open_ = [*range(60, 80), *range(90, 120, 2)]
    for k in (3, 12):
        context = make_context(120, k=k, labelled=range(0, 60, 3), unlabelled=open_)
        given = trial.given(context)
        returned = trial.returned(given)
        trial.checked(given, returned.indices if isinstance(returned, Picks) else returned)


@_check
def valid_scores(trial: Trial) -> None:
    """Scores, where there are any, are one number for each pick, and none is NaN."""
    trial.picks(make_context())


# ---------------------------------------------------------------------------- chance, side effects


@_check
def deterministic(trial: Trial) -> None:
    """The same seed gives the same picks."""
    for seed in _SEEDS:
        first, second = (trial.indices(make_context(seed=seed)) for _ in range(2))
        _expect_same(first, second, f"at both calls with seed {seed}")


@_check
def another_process(trial: Trial) -> None:
    """The same seed gives the same picks in another process, where strings hash otherwise."""
    came = trial.elsewhere(_many_picks)
    _expect_same(_many_picks(trial), came, "in another process")


def _many_picks(trial: Trial) -> list[int]:
    return [index for seed in _SEEDS for index in trial.indices(make_context(seed=seed))]


@_check
def global_randomness(trial: Trial) -> None:
    """The global random states of random, numpy and torch are neither used nor changed."""
    picks: list[list[int]] = []
    for state in (1, 2):
        given = trial.given(make_context())
        with _seeded(state):
            before = random_states()
            returned = trial.returned(given)
            after = random_states()
        changed = [source for source in before if before[source] != after[source]]
        assert not changed, (
            f"expected context.rng to be the only source of chance, but the global state of "
            f"{' and '.join(changed)} changed"
        )
        picks.append(trial.checked(given, returned)[0].tolist())
    _expect_same(picks[0], picks[1], "whatever the global random state")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, and put them back as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # it is what is tested
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


@_check
def context_unchanged(trial: Trial) -> None:
    """Nothing in the context is changed in place."""
    given = trial.given(make_context())
    before = _contents(given)
    trial.returned(given)
    changed = [name for name, content in _contents(given).items() if content != before[name]]
    assert not changed, f"expected an unchanged context, but context.{changed[0]} was changed"


def _contents(context: Context) -> dict[str, object]:
    contents: dict[str, object] = {}
    for field in dataclasses.fields(context):
        value = getattr(context, field.name)
        if isinstance(value, Tensor):
            whole = value.detach().cpu().clone().numpy().tobytes()
            contents[field.name] = (value.shape, value.requires_grad, whole)
        elif isinstance(value, np.ndarray):
            contents[field.name] = (value.shape, value.tobytes())
    return contents


@_check
def pool_order(trial: Trial) -> None:
    """Picks follow their samples when the pool is put in another order."""
    if trial.options.by_position:
        raise Skipped("by_position: it goes by the order of the pool")
    context = make_context()
    order = np.random.default_rng(5).permutation(len(context.probs))
    drawn = {tuple(trial.indices(make_context(seed=seed))) for seed in _SEEDS}
    if len(drawn) > 1:
        _same_distribution(trial)
        return
    expected, scores = trial.picks(make_context())
    moved, scores_moved = trial.picks(permuted(context, order))
    if scores is not None and scores_moved is not None and np.allclose(scores, scores_moved):
        return  # other picks with the same scores are ties
    _expect_same(expected.tolist(), order[moved].tolist(), "of a permuted pool")


def _same_distribution(trial: Trial) -> None:
    """Compare single picks out of ten samples, drawn with many seeds, by chi-square."""

    def context(seed: int) -> Context:
        return make_context(18, k=1, classes=3, labelled=6, unlabelled=open_, seed=seed)

    open_ = [3, 4, 5, 7, 8, 9, 10, 12, 14, 15]
    order = np.random.default_rng(6).permutation(18)
    took = []
    for _ in range(3):
        started = time.process_time()  # other processes must not decide what is checked
        trial.indices(permuted(context(0), order))
        took.append(time.process_time() - started)
    if 2 * _DRAWS * min(took) > trial.options.patience:
        raise Skipped(f"patience: {2 * _DRAWS} calls would take too long")
    here = [trial.indices(context(seed))[0] for seed in range(_DRAWS)]
    there = [
        order[trial.indices(permuted(context(seed), order))[0]]
        for seed in range(_DRAWS, 2 * _DRAWS)
    ]
    a, b = (np.bincount(draws, minlength=18)[open_] for draws in (here, there))
    chi_square = float(((a - b) ** 2 / (a + b).clip(min=1)).sum())
    assert chi_square < _CHI_SQUARE, (
        f"expected samples to be drawn as often whatever the order of the pool, but of {_DRAWS} "
        f"picks samples {open_} got {a.tolist()}, and {b.tolist()} when permuted"
    )


# ---------------------------------------------------------------------------- how many


@_check
def one_pick(trial: Trial) -> None:
    """k = 1 works."""
    trial.picks(make_context(k=1))


@_check
def all_picks(trial: Trial) -> None:
    """k = all that is left works."""
    open_ = make_context().unlabelled
    trial.picks(make_context(k=len(open_)))


@_check
def one_left(trial: Trial) -> None:
    """One sample left in the pool works."""
    trial.picks(make_context(30, k=1, labelled=[i for i in range(30) if i != 17]))


@_check
def one_labelled_class(trial: Trial) -> None:
    """Labelled samples that are all of one class work."""
    context = make_context()
    trial.picks(dataclasses.replace(context, labels=np.zeros_like(context.labels)))


@_check
def one_labelled_sample(trial: Trial) -> None:
    """A single labelled sample works."""
    trial.picks(make_context(labelled=1))


@_check
def no_labelled_sample(trial: Trial) -> None:
    """No labelled sample works."""
    if trial.options.needs_labels:
        raise Skipped("needs_labels: it cannot pick without labelled samples")
    trial.picks(make_context(labelled=0))


@_check
def two_classes(trial: Trial) -> None:
    """C = 2 works."""
    trial.picks(make_context(classes=2))


@_check
def thousand_classes(trial: Trial) -> None:
    """C = 1,000 works."""
    if not trial.options.many_classes:
        raise Skipped("many_classes=False: it is not made for 1,000 classes")
    trial.picks(make_context(classes=1000))


# ---------------------------------------------------------------------------- what values


@_check
def duplicates(trial: Trial) -> None:
    """A pool of six different samples, ten times each, works."""
    features = make_context(6, labelled=0).features.repeat(10, 1)
    trial.picks(make_context(k=12, features=features))


@_check
def constant_features(trial: Trial) -> None:
    """Samples that are all the same, or all zeros, work."""
    for value in (0.0, 1.0):
        trial.picks(make_context(features=torch.full((60, 8), value)))


@_check
def certain_probs(trial: Trial) -> None:
    """Probabilities of exactly 0 and 1 work."""
    for sharpness in (30, 1e4):  # some of them, and all of them
        trial.picks(make_context(sharpness=sharpness))


@_check
def float64(trial: Trial) -> None:
    """Tensors of float64 work."""
    trial.picks(make_context(dtype=torch.float64))


@_check
def large_features(trial: Trial) -> None:
    """Features of the order of 10,000 work."""
    trial.picks(make_context(scale=1e4))


@_check
def tiny_features(trial: Trial) -> None:
    """Features of the order of 0.0001 work."""
    trial.picks(make_context(scale=1e-4))


@_check
def mapped_memory(trial: Trial) -> None:
    """Tensors on memory-mapped files work, with the same picks."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        came = trial.indices(memory_mapped(make_context(), Path(folder)))
    _expect_same(trial.indices(make_context()), came, "from memory-mapped files")


@_check
def unpredicted_rows(trial: Trial) -> None:
    """Rows that are neither labelled nor unlabelled may be NaN, and are not looked at."""
    trial.picks(unpredicted(make_context(unlabelled=range(20, 70, 2))))


@_check
def cuda(trial: Trial) -> None:
    """Tensors on a CUDA device work."""
    if not torch.cuda.is_available():
        raise Skipped("there is no CUDA device")
    trial.picks(make_context(device="cuda"))


@_check
def peak_memory(trial: Trial) -> None:
    """A call on 20,000 samples takes little more memory than their features."""
    features = _MEMORY_POOL * _MEMORY_DIMENSIONS * 4
    allowed = int(trial.options.memory_factor * features + trial.options.memory_extra)
    if not _CLEAR.exists():
        raise Skipped(f"the peak of memory is read from {_STATUS.parent}, as only Linux has it")
    grown = trial.elsewhere(_growth)
    assert grown <= allowed, (
        f"expected at most {allowed / 2**20:.0f} MiB beside {_MEMORY_POOL} x {_MEMORY_DIMENSIONS} "
        f"features ({features / 2**20:.1f} MiB), got {grown / 2**20:.0f} MiB"
    )


def _growth(trial: Trial) -> int:
    """Return by how many bytes the peak of this process's memory grows in a call."""
    trial.picks(make_context())  # what is imported at the first call is not the call's
    given = trial.given(
        make_context(
            _MEMORY_POOL,
            k=20,
            classes=10,
            dimensions=_MEMORY_DIMENSIONS,
            labelled=100,
            data_seed=next(_pools),
        )
    )
    _return_freed_memory()
    _CLEAR.write_text("5")  # the peak is the present use again
    before = _peak()
    trial.returned(given)
    return _peak() - before


def _return_freed_memory() -> None:
    """Give back what the allocator keeps, or the call would grow into that unseen."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:  # glibc
        trim(0)


def _peak() -> int:
    found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1]) * 1024
