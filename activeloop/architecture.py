"""How a network is built for a data set, and where its features and its last layer are.

An `Architecture` is a recipe: a factory and its options. Each fit builds a fresh `Network` of it.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from activeloop.errors import ActiveLoopError, ConfigError, LearnerError
from activeloop.types import Head

FROM_DATA: Final = ("shape", "n_classes", "num_classes", "in_channels")


class Network:
    """A built network, with the layer whose input is `features` and the layer that is the head.

    Attributes:
        module: the network itself, samples `[n, *shape]` to logits `[n, C]`.
        feature_layer: name of the module whose raw input, flattened, is `features`; None if the
            network has no linear layer and none was named.
        feature_size: length `D` of a feature vector; 0 without a feature layer.
        has_head: whether the feature layer alone makes the logits, as far as is known: a look at
            shapes until `verify_head` has compared real samples.
        widest: most numbers that a layer takes for one sample.
    """

    def __init__(self, module: nn.Module, inputs: Mapping[str, Tensor], chosen: str | None) -> None:
        linear = [name for name in inputs if isinstance(module.get_submodule(name), nn.Linear)]
        last = linear[-1] if linear else None
        self.module = module
        self.feature_layer = chosen or last
        self.feature_size = inputs[self.feature_layer][0].numel() if self.feature_layer else 0
        self.has_head = last is not None and last == self.feature_layer and inputs[last].ndim == 2
        self.inputs = tuple(inputs)
        self.widest = max((each[0].numel() for each in inputs.values()), default=1)

    def logits_and_features(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `[n, C]` and features `[n, D]` float32 of `batch` `[n, *shape]`."""
        if self.feature_layer is None:
            raise LearnerError(
                "the network has no linear layer whose input could be the features; name a layer "
                f"with model.feature_layer=..., one of {', '.join(self.inputs)}"
            )
        seen: list[Tensor] = []

        def record(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            # A copy: an activation that works in place would change it under our hands.
            seen.append(arguments[0].detach().flatten(1).to(torch.float32, copy=True))

        hook = self.module.get_submodule(self.feature_layer).register_forward_pre_hook(record)
        try:
            logits: Tensor = self.module(batch)
        finally:
            hook.remove()
        return logits, seen[-1].contiguous()

    def head(self) -> Head | None:
        """Return the last layer on a copy of its weights, `[n, D] -> [n, C]`; None without one."""
        if not self.has_head or self.feature_layer is None:
            return None
        layer = self.module.get_submodule(self.feature_layer)
        assert isinstance(layer, nn.Linear)
        weight = layer.weight.detach().clone()
        bias = None if layer.bias is None else layer.bias.detach().clone()
        return functools.partial(functional.linear, weight=weight, bias=bias)

    def verify_head(self, batch: Tensor) -> None:
        """Drop the head if, on real samples `[n, *shape]`, it does not give the probabilities.

        Compared are log-probabilities, so that a network ending in a log-softmax keeps its head.
        """
        head = self.head()
        if head is None:
            return
        with torch.no_grad():
            logits, features = self.logits_and_features(batch)
            ours = head(features).log_softmax(1)
            self.has_head = torch.allclose(ours, logits.float().log_softmax(1), 1e-3, 1e-4)


@dataclass(frozen=True)
class Architecture:
    """A recipe for a network: fits call `build` for fresh weights.

    Attributes:
        factory: an `nn.Module` class, or a function that returns a module. It is called with
            those of `shape`, `n_classes`, `num_classes` and `in_channels` that its signature
            has, and with `options`. One with `**kwargs` and neither name gets `num_classes`.
        options: further arguments of the factory.
        feature_layer: name of the module whose input is `features`, as in `named_modules`; None
            for the last linear layer that runs.

    Raises:
        ConfigError: an option is unknown or missing.
    """

    factory: Callable[..., nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    feature_layer: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.factory, nn.Module) or not callable(self.factory):
            raise ConfigError(
                "a model must be an nn.Module class or a function that returns a module, so that "
                f"each fit can start from fresh weights; got {type(self.factory).__name__}"
            )
        parameters = _parameters(self.factory)
        for option in self.options:
            if option in FROM_DATA:
                raise ConfigError(f"model.{option} follows from the data and cannot be set")
            if option not in parameters and not _takes_any(parameters):
                known = [name for name in parameters if name not in FROM_DATA]
                raise ConfigError(
                    f"model {self.name} has no option {option!r}{closest(option, known)}; "
                    f"it has {', '.join(known) or 'none'}"
                )
        for name, parameter in parameters.items():
            named = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            required = named and parameter.default is parameter.empty and name not in FROM_DATA
            if required and name not in self.options:
                raise ConfigError(f"model {self.name} needs the option {name!r}")

    @property
    def name(self) -> str:
        """Name of the factory."""
        factory = self.factory.func if isinstance(self.factory, functools.partial) else self.factory
        return str(getattr(factory, "__name__", type(factory).__name__))

    def build(self, shape: tuple[int, ...], n_classes: int) -> Network:
        """Return a network with fresh weights, drawn from torch's global generator.

        It is tried on two blank samples in evaluation mode, which changes neither its statistics
        nor any random state.

        Raises:
            LearnerError: it cannot take samples of this shape, or does not give `[n, C]` logits.
            ConfigError: `feature_layer` names no module that runs.
        """
        cannot = f"model {self.name} cannot take {describe(shape)}"
        try:
            module = self.factory(**self._from_data(shape, n_classes), **self.options)
            if not isinstance(module, nn.Module):
                raise TypeError(f"it returned a {type(module).__name__}, not an nn.Module")
            output, inputs = _trial(module, torch.zeros(2, *shape))
        except ActiveLoopError:
            raise
        except Exception as error:
            kind = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
            raise LearnerError(f"{cannot}: {kind}{error}") from error
        if not isinstance(output, Tensor) or output.shape != (2, n_classes):
            got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise LearnerError(
                f"{cannot}: for 2 samples of {n_classes} classes it must return logits "
                f"[2, {n_classes}], got {got}"
            )
        if self.feature_layer is not None and self.feature_layer not in inputs:
            raise ConfigError(
                f"model.feature_layer must name a layer that {self.name} runs, got "
                f"{self.feature_layer!r}{closest(self.feature_layer, inputs)}; "
                f"it runs {', '.join(inputs)}"
            )
        return Network(module, inputs, self.feature_layer)

    def _from_data(self, shape: tuple[int, ...], n_classes: int) -> dict[str, Any]:
        values = dict(zip(FROM_DATA, (shape, n_classes, n_classes, shape[0]), strict=True))
        parameters = _parameters(self.factory)
        given = {name: value for name, value in values.items() if name in parameters}
        if _takes_any(parameters) and not given.keys() & {"n_classes", "num_classes"}:
            given["num_classes"] = n_classes
        return given


def describe(shape: tuple[int, ...]) -> str:
    """Return samples of `shape` in words: "1x28x28 images", "vectors of 50"."""
    if len(shape) == 1:
        return f"vectors of {shape[0]}"
    return f"{'x'.join(map(str, shape))} {'images' if len(shape) == 3 else 'samples'}"


def closest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" for the nearest of `known`, or nothing."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _parameters(factory: Callable[..., nn.Module]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(factory).parameters


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _trial(module: nn.Module, batch: Tensor) -> tuple[Any, dict[str, Tensor]]:
    """Return the module's output, and the input of every layer in the order in which they ended."""
    inputs: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def record(_: nn.Module, arguments: tuple[Any, ...], __: Any) -> None:
            if arguments and isinstance(arguments[0], Tensor) and len(arguments[0]) == len(batch):
                inputs.pop(name, None)  # a layer that runs twice counts where it ran last
                inputs[name] = arguments[0]

        return record

    layers = [(name, layer) for name, layer in module.named_modules() if name]
    hooks = [layer.register_forward_hook(recorder(name)) for name, layer in layers]
    training = module.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output = module.eval()(batch)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return output, inputs
