import functools
import random

import numpy as np
import pytest
import torch
from fakes import context

from activeloop import score
from activeloop.errors import StrategyError
from activeloop.selection import candidates, select
from activeloop.strategies import needs
from activeloop.types import Picks

PROBS = torch.full((6, 2), 0.5)


def returning(value):
    def strategy(context):
        return value

    return strategy


def ctx(k=2, **fields):
    return context(PROBS.clone(), k=k, labelled=[0, 5], **fields)


@pytest.mark.parametrize(
    "value", [[3, 1], (3, 1), np.array([3, 1], np.int32), torch.tensor([3, 1]), Picks([3, 1])]
)
def test_every_reasonable_form_is_taken_in_order(value):
    indices, scores = select(returning(value), ctx())
    assert indices.tolist() == [3, 1]
    assert indices.dtype == np.int64
    assert scores is None


def test_scores_travel_with_their_picks():
    indices, scores = select(returning(Picks([3, 1], torch.tensor([0.5, 0.25]))), ctx())
    assert (indices.tolist(), scores.tolist()) == ([3, 1], [0.5, 0.25])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 1], "index 1 more than once"),
        ([1, 0], "index 0, which is labelled already"),
        ([1, 6], "index 6, which is not unlabelled"),
        ([-1, 1], "index -1, which is not unlabelled"),
        ([1], "returned 1 indices, expected k = 2"),
        ([1, 2, 3], "returned 3 indices, expected k = 2"),
        ([], "returned 0 indices"),
        ([1.0, 2.0], "type float64, expected whole numbers"),
        (["1", "2"], "expected whole numbers"),
        ([True, False], "type bool"),
        ([[1, 2]], r"shape \(1, 2\), expected one dimension"),
        (3, r"shape \(\), expected one dimension"),
        (None, "returned NoneType"),
        ({1: 2, 2: 3}, "returned dict"),
        ({1, 2}, "returned set"),
        ([[1], [2, 3]], "returned list"),
        (Picks([1, 2], [0.5]), r"scores of shape \(1,\), expected \(2,\)"),
    ],
)
def test_wrong_picks_name_the_strategy_and_what_came(value, message):
    with pytest.raises(StrategyError, match=f"strategy strategy returned .*{message}|{message}"):
        select(returning(value), ctx())


def test_nothing_can_be_picked_where_nothing_is_unlabelled():
    with pytest.raises(StrategyError, match="index 0, which is labelled already"):
        select(returning([0]), context(size=1, labelled=[0]))


def test_an_exception_is_named_once_and_the_strategy_not_called_again():
    calls = []

    def broken(context):
        calls.append(1)
        raise KeyError("NoneType")

    with pytest.raises(StrategyError, match=r"broken raised KeyError.*@needs") as caught:
        select(broken, ctx())
    assert isinstance(caught.value.__cause__, KeyError)
    assert calls == [1]


def test_an_exception_says_in_which_line_of_whose_code():
    def broken(context):
        return torch.zeros(2)[5]  # torch raises it, this line is to blame

    line = broken.__code__.co_firstlineno + 1
    with pytest.raises(StrategyError, match=rf"IndexError in test_selection.py, line {line}: "):
        select(broken, ctx())


@pytest.mark.parametrize("returned", [(torch.zeros(3), torch.zeros(3)), None, {}, "high"])
def test_scores_that_are_no_numbers_are_named(returned):
    @score
    def odd(context):
        return returned

    shown = rf"odd: scores must be an array .* got {type(returned).__name__}$"
    with pytest.raises(StrategyError, match=shown):
        select(odd, ctx())


@pytest.mark.parametrize(
    ("draw", "source"),
    [
        (lambda: np.random.rand(), "numpy.random"),  # noqa: NPY002  # it is what is caught
        (lambda: np.random.seed(0), "numpy.random"),  # noqa: NPY002  # it is what is caught
        (lambda: torch.rand(1), "torch"),
        (lambda: random.random(), "random"),
    ],
)
def test_global_randomness_is_caught(draw, source):
    def careless(context):
        draw()
        return context.unlabelled[: context.k]

    with pytest.raises(StrategyError, match=f"careless drew from the global .* {source}"):
        select(careless, ctx())


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("probs", lambda c: c.probs.mul_(2)),
        ("probs", lambda c: c.probs[0].zero_()),
        ("probs", lambda c: c.probs.numpy().fill(1.0)),
        ("probs", lambda c: c.probs.numpy().__setitem__((2, 0), 0.25)),
        ("features", lambda c: c.features.numpy().sort(axis=0)),
        ("embeddings", lambda c: c.embeddings.add_(1)),
    ],
)
def test_changes_of_the_context_are_caught(field, change):
    def careless(context):
        change(context)
        return context.unlabelled[: context.k]

    features = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(StrategyError, match=f"careless changed context.{field} in place"):
        select(careless, ctx(features=features, embeddings=features.clone()))


def test_a_whole_tensor_overwritten_through_numpy_is_caught_however_large():
    probs = torch.rand(300_000, 4, generator=torch.Generator().manual_seed(0))

    def careless(context):
        context.probs.numpy().sort(axis=1)
        return [1]

    with pytest.raises(StrategyError, match=r"changed context.probs"):
        select(careless, context(probs))


def test_reading_is_allowed():
    @needs("probs")
    def careful(context):
        context.probs.numpy().sum()
        context.probs.clone().zero_()
        return context.rng.permutation(context.unlabelled)[: context.k]

    assert len(select(careful, ctx())[0]) == 2


class WithCandidates:
    def __init__(self, chosen):
        self.chosen = chosen

    def candidates(self, context):
        return self.chosen

    def __call__(self, context):
        return context.unlabelled[: context.k]


def test_candidates_are_sorted_and_checked():
    assert candidates(WithCandidates([4, 1, 2]), ctx()).tolist() == [1, 2, 4]
    assert candidates(returning([1]), ctx()) is None
    with pytest.raises(StrategyError, match=r"candidates returned 1 of at least k = 2"):
        candidates(WithCandidates([4]), ctx())
    with pytest.raises(StrategyError, match=r"WithCandidates.candidates .* labelled already"):
        candidates(WithCandidates([0, 1]), ctx())

    class Broken(WithCandidates):
        def candidates(self, context):
            return [][0]

    with pytest.raises(StrategyError, match=r"Broken.candidates raised IndexError"):
        candidates(Broken([]), ctx())


def test_candidates_of_a_function_keep_its_options():
    def strategy(context, n=2):
        return context.unlabelled[: context.k]

    strategy.candidates = lambda context, n=2: context.unlabelled[:n]
    assert candidates(strategy, ctx()).tolist() == [1, 2]
    assert candidates(functools.partial(strategy, n=3), ctx()).tolist() == [1, 2, 3]


def test_a_strategy_cannot_end_the_program():
    def leaving(context):
        raise SystemExit(0)

    with pytest.raises(StrategyError, match="leaving raised SystemExit"):
        select(leaving, ctx())


@pytest.mark.parametrize("scores", [[1.0, float("nan")], ["a", "b"]])
def test_scores_must_be_numbers(scores):
    with pytest.raises(StrategyError, match=r"score"):
        select(returning(Picks([1, 2], scores)), ctx())
