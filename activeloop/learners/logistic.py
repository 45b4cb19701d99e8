"""Multinomial logistic regression in full batches, in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from activeloop.errors import LearnerError

# The search ends when no weight's gradient of the mean loss is larger, or after so many steps.
_GRADIENT, _STEPS = 1e-5, 500
_HISTORY = 10  # earlier steps that tell the curvature, as scikit-learn keeps


@dataclass(frozen=True, kw_only=True)
class Line:
    """A linear classifier: logits are `x @ weight.T + bias`.

    Attributes:
        weight: `[C, D]`.
        bias: `[C]`.
        steps: gradients that were computed.
    """

    weight: Tensor
    bias: Tensor
    steps: int


Solver = Callable[[Tensor, Tensor, int, float, Tensor], Line]


def lbfgs(x: Tensor, y: Tensor, n_classes: int, l2: float, counts: Tensor) -> Line:
    """Return the line of least loss, by L-BFGS (Liu and Nocedal 1989) from zero: no chance in it.

    The loss is the sum of cross-entropies plus `l2 / 2` times the squared weights, but for biases:
    that of scikit-learn's LogisticRegression with `C = 1 / l2`.

    Args:
        x: inputs `[n, D]` float32.
        y: classes `[n]`, each of them there at least once.
        n_classes: `C`, at least two.
        l2: penalty on the weights, above 0.
        counts: how many times each sample counts, `[n]` float32.

    Raises:
        LearnerError: the loss became infinite or NaN.
    """
    size = float(counts.sum())
    ones = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    truth = functional.one_hot(y, n_classes).to(x.dtype)
    share = counts[:, None] / size
    # Where scikit-learn has one row of weights for two classes, here are two of half the size.
    penalty = x.new_full((x.shape[1] + 1,), (2 if n_classes == 2 else 1) * l2 / size)
    penalty[-1] = 0
    weights = x.new_zeros(n_classes, x.shape[1] + 1).requires_grad_()
    steps = 0

    @torch.no_grad()
    def loss() -> Tensor:
        nonlocal steps
        steps += 1
        logs = (ones @ weights.T).log_softmax(1)
        weights.grad = ((logs.exp() - truth) * share).T @ ones + penalty * weights
        return (penalty * weights.square()).sum() / 2 - (logs * truth * share).sum()

    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=_STEPS,
        tolerance_grad=_GRADIENT,
        tolerance_change=1e-9,
        history_size=_HISTORY,
        line_search_fn="strong_wolfe",
    )
    try:
        if math.isfinite(float(loss())):
            optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    except RuntimeError:  # a step to infinity
        weights.data.fill_(math.nan)
    if not math.isfinite(float(loss())):
        raise LearnerError("the probe's loss is not finite: check the vectors for extreme values")
    found = weights.detach()
    return Line(weight=found[:, :-1], bias=found[:, -1], steps=steps)


def scikit_learn(x: Tensor, y: Tensor, n_classes: int, l2: float, counts: Tensor) -> Line:
    """Return what scikit-learn's LogisticRegression finds; arguments as for `lbfgs`."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1 / l2, max_iter=1000, tol=_GRADIENT)
    try:
        model.fit(x.cpu().numpy(), y.cpu().numpy(), sample_weight=counts.cpu().double().numpy())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise LearnerError(f"scikit-learn's logistic regression failed: {reason}") from error
    weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
    if n_classes == 2:  # it gives the second class's logits only
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return Line(weight=weight.to(x), bias=bias.to(x), steps=int(model.n_iter_.max()))
