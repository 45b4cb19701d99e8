"""Networks of one architecture as one: every weight of all of them in one tensor, `[S, ...]`.

A GPU is hardly filled by a small network, and a step of ten costs it little more than a step of
one. `torch.func.vmap` has each operation run once for all networks: convolutions become grouped
ones, and where all take the same batch, as in prediction, one convolution with more channels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from activeloop.architecture import Network
from activeloop.learners.chance import Chance
from activeloop.learners.draws import Given, Recorded

# How far logits of stacked networks may be from those of each alone, beside their size.
_TOLERANCE = 1e-4

# What dropout layers multiply with, in the order in which they run.
Noises = tuple[Tensor, ...]


class Stack:
    """The weights of networks of one architecture, `S` of them, as one.

    Args:
        networks: their weights are copied.

    Attributes:
        weights: parameters `[S, ...]` by name.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        first = networks[0].module
        each = [dict(network.module.named_parameters()) for network in networks]
        self.weights = {
            name: nn.Parameter(
                torch.stack([weights[name].detach() for weights in each]),
                requires_grad=weight.requires_grad,
            )
            for name, weight in first.named_parameters()
        }
        kept = [dict(network.module.named_buffers()) for network in networks]
        self._buffers = {
            name: torch.stack([buffers[name] for buffers in kept])
            for name, _ in first.named_buffers()
        }
        # Works on the weights that it is given, not on those of the first network.
        self._module = _Both(networks[0])

    def train(self, inputs: Tensor, noises: Noises) -> Tensor:
        """Return logits `[S, n, C]` of `inputs` `[S, n, *shape]`, with `noises` for dropout."""
        self._module.train()

        def forward(state: dict[str, Tensor], batch: Tensor, noises: Noises) -> Tensor:
            with Given(noises):
                logits: Tensor = functional_call(self._module, state, (batch, False))[0]
            return logits

        logits: Tensor = vmap(forward)(self._state(), inputs, noises)
        return logits

    def evaluate(self, batch: Tensor, *, features: bool) -> tuple[Tensor, Tensor]:
        """Return logits `[S, n, C]` and features `[S, n, D]` of one `batch` for all."""
        self._module.eval()

        def forward(state: dict[str, Tensor], batch: Tensor) -> tuple[Tensor, Tensor]:
            logits, found = functional_call(self._module, state, (batch, features))
            return logits, found

        outputs: tuple[Tensor, Tensor] = vmap(forward, (0, None))(self._state(), batch)
        return outputs

    def hand_back(self, network: Network, position: int) -> None:
        """Put the weights in `position` into `network`."""
        with torch.no_grad():
            for name, weight in network.module.named_parameters():
                weight.copy_(self.weights[name][position])

    def _state(self) -> dict[str, Tensor]:
        return {f"module.{name}": t for name, t in {**self.weights, **self._buffers}.items()}


class _Both(nn.Module):
    """A network as a module that also gives features, if asked to."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module = network.module
        self._network = network

    def forward(self, batch: Tensor, features: bool) -> tuple[Tensor, Tensor]:
        if features:
            return self._network.logits_and_features(batch)
        logits: Tensor = self.module(batch)
        return logits, logits[:, :0]


def dropouts(network: Network, batch: Tensor) -> list[tuple[Tensor, float]]:
    """Return shape and layout of the noise of each dropout as `network` trains on `batch`.

    Beside each is the chance of a value to be kept.
    """
    network.module.train()
    with Recorded() as recorded, torch.no_grad():
        network.module(batch)
    asked: list[tuple[Tensor, float]] = recorded.asked
    return asked


def why_not(network: Network, batch: Tensor) -> str | None:
    """Return why networks such as `network` cannot be stacked, or None if they can.

    It is tried on the CPU, where numbers are not rounded as a GPU's TF32 rounds them.

    Args:
        network: is left as it was.
        batch: samples to try it on, `[n, *shape]`.
    """
    batch, trial = batch.cpu(), copy.copy(network)
    try:
        trial.module = copy.deepcopy(network.module).cpu().train()
        before = {name: buffer.clone() for name, buffer in trial.module.named_buffers()}
        chance = Chance.now(batch.device)
        with chance.resumed():
            dropouts(trial, batch)
            drew = not Chance.now(batch.device).equals(chance)
        if drew:
            return "the network draws by chance in a way that cannot be told apart by seed"
        if any(not torch.equal(b, before[name]) for name, b in trial.module.named_buffers()):
            return "the network keeps statistics of its batches, as batch normalisation does"
        if not _agrees(trial, batch):
            return "stacked, the network gives other numbers than alone"
    except Exception as error:  # the network is anybody's: it may do what vmap cannot
        return f"the network cannot be stacked ({' '.join(str(error).split())})"
    return None


def _agrees(network: Network, batch: Tensor) -> bool:
    """Return whether two stacked networks train, and predict, as each alone."""
    stack, module = Stack([network, network]), network.module
    noises = tuple(torch.stack([like.fill_(1)] * 2) for like, _ in dropouts(network, batch))
    trained = stack.train(torch.stack([batch] * 2), noises)
    trained.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    with torch.no_grad():
        with Recorded():
            pairs = [(trained, module.train()(batch))]
        module.eval()
        features = network.feature_layer is not None
        alone = _Both(network)(batch, features)
        pairs += zip(stack.evaluate(batch, features=features), alone, strict=True)
    return all(_close(both, one) for both, one in pairs)


def _close(both: Tensor, one: Tensor) -> bool:
    if both.shape != (2, *one.shape):
        return False
    size = float(one.abs().max()) if one.numel() else 0.0
    return bool(((both - one).abs() <= _TOLERANCE * max(1.0, size)).all())
