"""The conformance suite: does a strategy keep the contract? One line, or a class for pytest.

```python
from activeloop.testing import StrategyConformance, check_strategy

check_strategy(my_strategy)


class TestMine(StrategyConformance):
    @pytest.fixture
    def strategy(self):
        return my_strategy
```
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from activeloop.strategies import name_of
from activeloop.testing.checks import BASIC, CHECKS, Check, Options, Skipped, Trial
from activeloop.testing.contexts import make_context
from activeloop.testing.worker import WORKER
from activeloop.types import Strategy


class ConformanceError(AssertionError):
    """A strategy does not keep the contract.

    Attributes:
        failures: what was expected and what came, by the name of the check.
    """

    def __init__(self, strategy: str, failures: Mapping[str, str]) -> None:
        self.strategy = strategy
        self.failures = dict(failures)
        lines = [f"{name} ({_asked(name)}): {said}" for name, said in failures.items()]
        super().__init__("\n  ".join([f"strategy {strategy} fails", *lines]))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.strategy, self.failures)


def check_strategy(strategy: Strategy, **options: Any) -> dict[str, str]:
    """Run every check of the suite on `strategy`; some seconds.

    Args:
        strategy: any callable that takes a context.
        options: what the suite should know of it, see `activeloop.testing.Options`.

    Returns:
        Why a check was left out, by its name: by an option, or for want of a CUDA device.

    Raises:
        ConformanceError: checks failed; it says which, what was expected and what came.
    """
    trial = Trial(strategy, Options(**options))
    WORKER.start()
    skipped: dict[str, str] = {}
    failed: dict[str, AssertionError] = {}
    for name, check in CHECKS.items():
        try:
            check(trial)
        except Skipped as reason:
            skipped[name] = str(reason)
        except AssertionError as error:
            failed[name] = error
            if name in BASIC:
                break
    if failed:
        messages = {name: str(error) for name, error in failed.items()}
        raise ConformanceError(name_of(strategy), messages) from next(iter(failed.values()))
    return skipped


class StrategyConformance:
    """The suite for pytest, each check a test: inherit, and give the fixture `strategy`.

    A test that a strategy cannot pass for good reason is set to None in the subclass.

    Attributes:
        options: as of `check_strategy`.
    """

    options: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        try:
            importlib.import_module("pytest")
        except ImportError as error:
            raise ImportError("StrategyConformance needs pytest: pip install pytest") from error


def _test_of(name: str, check: Check) -> Callable[..., None]:
    def test(self: StrategyConformance, strategy: Strategy) -> None:
        import pytest

        try:
            check(Trial(strategy, Options(**self.options)))
        except Skipped as reason:
            pytest.skip(str(reason))
        except AssertionError as error:
            raise ConformanceError(name_of(strategy), {name: str(error)}) from error

    test.__doc__ = check.__doc__
    test.__name__ = f"test_{name}"
    return test


for _name, _check in CHECKS.items():
    setattr(StrategyConformance, f"test_{_name}", _test_of(_name, _check))


def _asked(name: str) -> str:
    return (inspect.getdoc(CHECKS[name]) or "").rstrip(".")


__all__ = [
    "CHECKS",
    "ConformanceError",
    "Options",
    "StrategyConformance",
    "check_strategy",
    "make_context",
]
