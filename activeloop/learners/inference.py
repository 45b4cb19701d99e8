"""Predictions by batches: probabilities, features, and members by dropout or ensemble."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from activeloop.architecture import Network
from activeloop.data import raw_batches
from activeloop.distributed import ALONE, Ranks
from activeloop.errors import LearnerError
from activeloop.learners.blocked import blocked_pass
from activeloop.learners.frozen import Forward, frozen, plain
from activeloop.types import Indices, Prediction, Samples

# From so many samples on, a faster forward pass is worth the tenth of a second of making it.
_MANY = 4096

Dropout = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


class DropoutMasks:
    """Monte Carlo dropout (Gal and Ghahramani 2016) with masks that all samples share.

    Each member is one thinned network, the same for every sample and batch, so that what members
    say of two samples may be compared and joined, as BatchBALD (Kirsch et al. 2019) needs.
    Kept values are scaled by 1 / (1 - p). Masks are drawn on the CPU: every device has the same.

    Args:
        module: a network with dropout layers.
        seed: with it, masks are the same whenever they are drawn.
        size: number of members, `M`.

    Raises:
        LearnerError: the network has no dropout layer.
    """

    def __init__(self, module: nn.Module, seed: int, size: int) -> None:
        self.layers = dropout_layers(module)
        self.seed = seed
        self.size = size
        self._draw = functools.cache(self._new_mask)

    def behind(self, forward: Forward, member: int) -> Forward:
        """Return `forward`, which runs the network, with member `member`'s masks in it."""

        def masked(batch: Tensor) -> tuple[Tensor, Tensor]:
            with self.of_member(member):
                return forward(batch)

        return masked

    @contextmanager
    def of_member(self, member: int) -> Iterator[None]:
        """Put member `member`'s masks behind the dropout layers, which must be in eval mode."""
        hooks = [
            layer.register_forward_hook(self._hook(member, position))
            for position, layer in enumerate(self.layers)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, member: int, position: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def mask(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
            whole_channels = not isinstance(layer, nn.Dropout)
            shape = output.shape[1:]
            if whole_channels:
                shape = shape[:1] + (1,) * (len(shape) - 1)
            return output * self._draw(member, position, tuple(shape), output.device)

        return mask

    def _new_mask(
        self, member: int, position: int, shape: tuple[int, ...], device: torch.device
    ) -> Tensor:
        state = np.random.SeedSequence([self.seed, member, position]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]))
        keep = 1 - self.layers[position].p
        kept = torch.rand(shape, generator=generator) < keep
        return (kept / max(keep, 1e-12)).to(device)


def dropout_layers(module: nn.Module) -> list[Dropout]:
    """Return the dropout layers in `module`, or raise `LearnerError` if it has none."""
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    if not layers:
        raise LearnerError(
            "learner.members=mc_dropout needs a network with dropout layers (nn.Dropout): "
            "use model=cnn_dropout, or learner.members=ensemble"
        )
    return layers


class Predictor:
    """Predicts with networks whose weights no longer change, which it puts in evaluation mode.

    Args:
        networks: one, or the members of an ensemble.
        n_classes: number of classes, `C`.
        device: where the networks are.
        batch_size: samples at a time.
        masks: of Monte Carlo dropout, whose passes of the first network are the members.
        ranks: the processes that share a prediction; rank 0 gets it.

    Attributes:
        networks, masks, n_classes, batch_size: as given.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        n_classes: int,
        device: torch.device,
        batch_size: int,
        masks: DropoutMasks | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.networks, self.masks, self._ranks = tuple(networks), masks, ranks
        self.n_classes, self.batch_size, self._device = n_classes, batch_size, device
        self._frozen: dict[tuple[int, bool], Forward] = {}
        for network in networks:
            network.module.eval()

    def __call__(
        self,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Predict `samples[indices]`, `n` of them, in float32.

        Probabilities are the mean over the networks; features are the first one's. Members are
        the networks, or the passes of the first one under the masks.

        Raises:
            LearnerError: `out` lacks what `needs` names, or has another shape.
        """
        filling = self.filling(samples, indices, needs, out)
        if self._ranks.size > 1:
            for rows, part in self._shares(filling, samples, indices, needs):
                filling.put(rows, part)
            return filling.out
        raw = raw_batches(samples, indices, self.batch_size, self._device)
        for (rows, _), batch in zip(self.batches(indices), raw, strict=True):
            filling.fill(rows, samples.normalise(batch))
        return filling.out

    def help(self, samples: Samples, indices: Indices, needs: frozenset[str]) -> None:
        """Do this rank's share of a prediction that rank 0 makes with the same arguments."""
        nothing = Prediction(probs=torch.empty(0))
        filling = self._filling(nothing, samples, indices, needs)
        for _ in self._shares(filling, samples, indices, needs):
            pass

    def _shares(
        self, filling: Filling, samples: Samples, indices: Indices, needs: frozenset[str]
    ) -> Iterator[tuple[slice, dict[str, Tensor]]]:
        """Yield predictions of rows of `indices`: a batch of each rank; nothing but on rank 0.

        The batches are those of one process, so that their numbers are too.
        """
        size, empty = self.batch_size, self._shapes(0, needs)
        for start in range(0, len(indices), size * self._ranks.size):
            bounds = [start + size * rank for rank in range(self._ranks.size + 1)]
            bounds = [min(bound, len(indices)) for bound in bounds]
            counts = [stop - start for start, stop in itertools.pairwise(bounds)]
            if counts[self._ranks.rank]:
                mine = slice(*bounds[self._ranks.rank : self._ranks.rank + 2])
                part = filling.predict(samples.batch(indices[mine], self._device))
            else:
                part = {n: torch.empty(shape, device=self._device) for n, shape in empty.items()}
            whole = {name: self._gathered(name, part[name], counts) for name in empty}
            yield slice(start, bounds[-1]), {n: v for n, v in whole.items() if v is not None}

    def _gathered(self, name: str, part: Tensor, counts: Sequence[int]) -> Tensor | None:
        if name != "members":
            return self._ranks.gather(part, counts)
        members = self._ranks.gather(part.transpose(0, 1), counts)
        return None if members is None else members.transpose(0, 1)

    def batches(self, indices: Indices, share: int = 1) -> Iterator[tuple[slice, Indices]]:
        """Yield `indices` batch by batch, each with the rows that its predictions go to.

        Batches are smaller by the factor `share` where so many networks are predicted at once.
        """
        size = max(1, self.batch_size // share)
        for start in range(0, len(indices), size):
            rows = slice(start, start + size)
            yield rows, indices[rows]

    def size(self, n: int, needs: frozenset[str]) -> int:
        """Return the bytes of a prediction of `n` samples."""
        return sum(4 * prod(shape) for shape in self._shapes(n, needs).values())

    def filling(
        self,
        samples: Samples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Filling:
        """Return the prediction of `samples[indices]` before any row of it is there.

        Raises:
            LearnerError: `out` lacks what `needs` names, or has another shape.
        """
        shapes = self._shapes(len(indices), needs)
        if out is None:
            empty = {name: torch.empty(s, device=self._device) for name, s in shapes.items()}
            out = Prediction(**empty)
        check_out(out, shapes)
        return self._filling(out, samples, indices, needs)

    def _filling(
        self, out: Prediction, samples: Samples, indices: Indices, needs: frozenset[str]
    ) -> Filling:
        passes = self._passes(needs)
        if len(indices) >= _MANY:
            with torch.no_grad():
                example = samples.batch(indices[: self.batch_size], self._device)
                passes = {key: self._freeze(key, each, example) for key, each in passes.items()}
        names = tuple(self._shapes(0, needs))
        return Filling(out, names, tuple(passes.values()), len(self.networks))

    def _shapes(self, n: int, needs: frozenset[str]) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"probs": (n, self.n_classes)}
        if "features" in needs:
            shapes["features"] = (n, self.networks[0].feature_size)
        if "members" in needs:
            size = len(self.networks) if self.masks is None else self.masks.size
            shapes["members"] = (size, n, self.n_classes)
        return shapes

    def _passes(self, needs: frozenset[str]) -> dict[tuple[int, bool], Forward]:
        """Return a forward pass of each network, then one for each mask if members are needed.

        Keys are a pass's number, and whether it gives features.
        """
        given = [("features" in needs) and number == 0 for number in range(len(self.networks))]
        passes = [plain(each, features=f) for each, f in zip(self.networks, given, strict=True)]
        if "members" in needs and self.masks is not None:
            forward = plain(self.networks[0], features=False)
            passes += [self.masks.behind(forward, member) for member in range(self.masks.size)]
            given += [False] * self.masks.size
        return {(number, given[number]): each for number, each in enumerate(passes)}

    def _freeze(self, key: tuple[int, bool], forward: Forward, example: Tensor) -> Forward:
        if key not in self._frozen:
            number, features = key
            masked = number >= len(self.networks)
            network = self.networks[0 if masked else number]
            shape = tuple(example.shape[1:])
            faster = None if masked else blocked_pass(network, features=features, shape=shape)
            self._frozen[key] = faster or frozen(forward, network.module, example)
        return self._frozen[key]


class Filling:
    """A prediction that comes to be, batch by batch; several may do so side by side in threads.

    Args:
        out: what to fill.
        names: the parts of `out` to fill.
        passes: forward passes, of each network first and then of each mask.
        n_networks: how many of them are of networks.

    Attributes:
        out: the prediction.
    """

    def __init__(
        self, out: Prediction, names: Sequence[str], passes: Sequence[Forward], n_networks: int
    ) -> None:
        self.out = out
        self._names, self._passes, self._n_networks = names, passes, n_networks

    def fill(self, rows: slice, batch: Tensor) -> None:
        """Predict `batch`, `[n, *shape]`, and put it into `rows`."""
        self.put(rows, self.predict(batch))

    def predict(self, batch: Tensor) -> dict[str, Tensor]:
        """Return what the prediction holds of `batch`."""
        with torch.no_grad():  # here, for each thread has its own word on gradients
            return self.joined([each(batch) for each in self._passes])

    def put(self, rows: slice, part: Mapping[str, Tensor]) -> None:
        """Put what the prediction holds of a batch into `rows`."""
        for name in self._names:
            target = getattr(self.out, name)
            target = target[:, rows] if name == "members" else target[rows]
            target.copy_(part[name])

    def joined(self, outputs: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Return what a prediction holds of a batch, from the output of each pass."""
        probs = [_softmax(logits) for logits, _ in outputs]
        own, masked = probs[: self._n_networks], probs[self._n_networks :]
        return {
            "probs": own[0] if len(own) == 1 else torch.stack(own).mean(0),
            "features": outputs[0][1],
            "members": torch.stack(masked or own),
        }


def _softmax(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(1).exp()


def check_out(out: Prediction, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `LearnerError` unless `out` has tensors of these `shapes`, by name."""
    for name, shape in shapes.items():
        tensor = getattr(out, name)
        got = None if tensor is None else tuple(tensor.shape)
        if got != shape:
            raise LearnerError(f"out.{name} must have shape {list(shape)}, got {got}")
