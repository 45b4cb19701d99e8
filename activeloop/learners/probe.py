"""A small head on fixed vectors, as a learner."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from activeloop.architecture import describe
from activeloop.checks import choice, real
from activeloop.errors import ConfigError, LearnerError
from activeloop.learners.logistic import Line, Solver, lbfgs, scikit_learn
from activeloop.learners.one_by_one import OneByOne
from activeloop.learners.sklearn_learner import NEVER
from activeloop.learners.torch_learner import Fitting, TorchLearner
from activeloop.models import load_model
from activeloop.types import Data, Epoch, History, Together

SOLVERS: Final[Mapping[str, Solver]] = {"linear": lbfgs, "logistic_regression": scikit_learn}


class ProbeLearner(TorchLearner):
    """A linear layer or a small network on vectors, such as those of `embed=backbone`.

    Inputs are the samples as they are normalised: `embed` gives all vectors one common scale. The
    linear heads have no chance in them, and give classes without a label probability 0.

    Args:
        head: "linear", solved to the optimum by L-BFGS on the learner's device;
            "logistic_regression", the same by scikit-learn, on the CPU; "mlp", a hidden layer
            trained with AdamW.
        l2: penalty on the weights of the linear heads, `l2 / 2` times their square beside the sum
            of the losses: scikit-learn's `1 / C`.
        hidden: sizes of the hidden layers of "mlp".
        dropout: of "mlp", behind each hidden layer.
        device: "auto", "cpu", "cuda" or "cuda:<number>".
        members: where stochastic predictions come from: "none"; "ensemble", `n_members` heads
            that are averaged, the linear ones each fitted on a bootstrap sample of the labels
            (bagging, Breiman 1996), the others from initial weights of their own; "mc_dropout",
            for "mlp" with dropout.
        n_members: number of heads or passes, `M`.

    Raises:
        ConfigError: a setting has no meaning, or there is no such device.
    """

    def __init__(
        self,
        *,
        head: str = "linear",
        l2: float = 1.0,
        hidden: Sequence[int] = (256,),
        dropout: float = 0.0,
        device: str | torch.device = "auto",
        members: str = "none",
        n_members: int = 10,
    ) -> None:
        self.kind = choice("learner.head", head, [*SOLVERS, "mlp"])
        self.l2 = real("learner.l2", l2, above=0)
        rate = real("learner.dropout", dropout, least=0, most=1)
        if members == "mc_dropout" and not (head == "mlp" and rate > 0):
            raise ConfigError(
                "learner.members=mc_dropout needs learner.head=mlp and learner.dropout=0.5 or so; "
                "learner.members=ensemble does with any head"
            )
        mlp = load_model("mlp", hidden=hidden, dropout=rate)
        super().__init__(
            mlp if head == "mlp" else load_model("linear"),
            optimizer="adamw",
            weight_decay=0.01,
            device=device,
            members=members,
            n_members=n_members,
        )

    def check(self, data: Data) -> None:
        """Raise `LearnerError` if the samples are no vectors; the loop asks before any labels."""
        if len(data.shape) != 1:
            raise LearnerError(
                f"learner=probe needs vectors, and these samples are {describe(data.shape)}: make "
                "them with embed=backbone or embed=pca, or train a network with learner=torch"
            )

    @staticmethod
    def together(learners: Sequence[TorchLearner]) -> Together:
        """Return what fits `learners`, made alike, at once."""
        first = learners[0]
        solved = isinstance(first, ProbeLearner) and first.kind != "mlp"
        if solved and first.device.type == "cuda":
            return OneByOne(learners)  # a stack would train them by gradient steps
        return TorchLearner.together(learners)

    def train(
        self,
        fitting: Fitting,
        member: int,
        tell: Callable[[Epoch, int], None] | None = None,
    ) -> History:
        """Fit head `member`; see `TorchLearner.train`."""
        network, examples, data = fitting.networks[member], fitting.examples, fitting.data
        self.check(data)
        if self.kind == "mlp":
            return super().train(fitting, member, tell)
        counts = torch.ones(len(examples))
        if self.members == "ensemble":
            drawn = torch.randint(len(examples), (len(examples),))
            counts = torch.bincount(drawn, minlength=len(examples)).float()
        used = (counts > 0).to(self.device)
        inputs, labels = examples.normalise(examples.raw)[used], examples.labels[used]
        line = self._solve(inputs, labels, data.n_classes, counts.to(self.device)[used])
        layer = network.module.get_submodule(network.feature_layer or "")
        assert isinstance(layer, nn.Linear)
        with torch.no_grad():
            layer.weight.copy_(line.weight)
            layer.bias.copy_(line.bias)
            self.ranks.level(network.module)
            logits = layer(inputs)
        return self._history(logits, labels, line.steps, member, tell or self.tell)

    def _solve(self, inputs: Tensor, labels: Tensor, n_classes: int, counts: Tensor) -> Line:
        """Return the line for all classes; those that do not occur are never predicted."""
        present, labels = torch.unique(labels, return_inverse=True)
        weight = inputs.new_zeros(n_classes, inputs.shape[1])
        bias = inputs.new_full((n_classes,), NEVER)
        bias[present] = 0
        if len(present) == 1:
            return Line(weight=weight, bias=bias, steps=0)
        line = SOLVERS[self.kind](inputs, labels, len(present), self.l2, counts)
        weight[present], bias[present] = line.weight, line.bias
        return Line(weight=weight, bias=bias, steps=line.steps)

    def _history(
        self,
        logits: Tensor,
        labels: Tensor,
        steps: int,
        member: int,
        tell: Callable[[Epoch, int], None],
    ) -> History:
        epoch = Epoch(
            number=1,
            of=1,
            loss=float(functional.cross_entropy(logits, labels)),
            accuracy=float((logits.argmax(1) == labels).float().mean()),
        )
        if not math.isfinite(epoch.loss):
            raise LearnerError(f"the probe's loss is {epoch.loss}: check the vectors")
        tell(epoch, member)
        return History(epochs=(epoch,), steps=steps)
