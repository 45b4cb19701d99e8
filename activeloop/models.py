"""Networks by name. Channels, image size and number of classes come from the data.

Each is a function `f(shape, n_classes, **options) -> nn.Module`; any `nn.Module` class or function
of one's own does as well, see `Architecture`.
"""

from __future__ import annotations

import pkgutil
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn

from activeloop.architecture import Architecture, Network, closest, describe
from activeloop.checks import real, whole
from activeloop.errors import ConfigError, LearnerError
from activeloop.pretrained import torchvision_resnet18

__all__ = [
    "MODELS",
    "Architecture",
    "Network",
    "cnn",
    "cnn_dropout",
    "from_config",
    "lenet5",
    "linear",
    "load_model",
    "mlp",
    "resnet18",
    "simple_cnn",
]

Layers = OrderedDict[str, nn.Module]


def cnn(shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Two 5x5 convolutions (6, 16) with max pooling, dense layers 120-84-C; ReLU.

    On 1x28x28 images: 44,426 parameters for 10 classes, 84 features.
    """
    return _network(_two_convolutions(_image("cnn", shape)), shape, [120, 84, n_classes])


def cnn_dropout(shape: tuple[int, ...], n_classes: int, *, dropout: float = 0.5) -> nn.Module:
    """`cnn` with dropout after the first dense layer, as Monte Carlo dropout needs it."""
    rate = real("model.dropout", dropout, least=0, most=1)
    trunk = _two_convolutions(_image("cnn_dropout", shape))
    return _network(trunk, shape, [120, 84, n_classes], dropouts=[rate])


def simple_cnn(shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Two 3x3 convolutions (32, 64) with max pooling, dense layers 512-C; ReLU."""
    channels = _image("simple_cnn", shape)
    trunk: Layers = OrderedDict(
        conv1=nn.Conv2d(channels, 32, 3),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(32, 64, 3),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
    )
    return _network(trunk, shape, [512, n_classes])


def lenet5(shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """LeNet-5 (LeCun et al. 1998): average pooling, tanh, dense layers 120-84-C.

    Made for 32x32 images; smaller ones, such as 28x28, are padded by 2 on each side.
    """
    channels = _image("lenet5", shape)
    trunk: Layers = OrderedDict(
        conv1=nn.Conv2d(channels, 6, 5, padding=2 if min(shape[1:]) < 32 else 0),
        tanh1=nn.Tanh(),
        pool1=nn.AvgPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        tanh2=nn.Tanh(),
        pool2=nn.AvgPool2d(2),
    )
    return _network(trunk, shape, [120, 84, n_classes], activation=nn.Tanh)


def resnet18(shape: tuple[int, ...], n_classes: int, *, weights: str | None = None) -> nn.Module:
    """ResNet-18 (He et al. 2016) from torchvision, for any number of channels; 512 features.

    Args:
        shape: `(channels, height, width)`.
        n_classes: number of classes, `C`.
        weights: None for random ones; "imagenet"; "auto" for "imagenet" if they can be had and
            else random ones, with a warning; or a `.safetensors` or `.pth` file of a state dict.
            For other than three channels each gets the mean of the RGB filters times 3 / channels:
            a grey image then gives what it gave as three equal channels.

    Raises:
        LearnerError: torchvision cannot be imported, or the weights cannot be had.
    """
    return torchvision_resnet18(_image("resnet18", shape), n_classes, weights)


def mlp(
    shape: tuple[int, ...], n_classes: int, *, hidden: Sequence[int] = (256,), dropout: float = 0.0
) -> nn.Module:
    """Dense layers of sizes `hidden` with ReLU and dropout on the flattened sample."""
    sizes = [whole("model.hidden", size, least=1) for size in hidden]
    rate = real("model.dropout", dropout, least=0, most=1)
    rates = [rate] * len(sizes) if rate else []
    return _network(OrderedDict(), shape, [*sizes, n_classes], dropouts=rates)


def linear(shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """One linear layer on the flattened sample: logistic regression."""
    return _network(OrderedDict(), shape, [n_classes])


MODELS: Final[Mapping[str, Callable[..., nn.Module]]] = {
    each.__name__: each for each in (cnn, cnn_dropout, simple_cnn, lenet5, resnet18, mlp, linear)
}


def load_model(name: str, *, feature_layer: str | None = None, **options: Any) -> Architecture:
    """Return the architecture called `name`, one of `MODELS`, with its options.

    Raises:
        ConfigError: there is no such model, or it has no such option.
    """
    if name not in MODELS:
        raise ConfigError(
            f"there is no model {name!r}{closest(str(name), MODELS)}; "
            f"choose one of {', '.join(MODELS)}"
        )
    return Architecture(MODELS[name], options, feature_layer)


def from_config(node: Mapping[str, Any]) -> Architecture:
    """Return the architecture that a configuration describes.

    Args:
        node: `_target_`, the dotted name of an `nn.Module` class or a function that returns a
            module; `feature_layer`; every other key is an option of the target.

    Raises:
        ConfigError: the target cannot be found, or has no such option.
    """
    options = dict(node)
    target = options.pop("_target_", None)
    feature_layer = options.pop("feature_layer", None)
    if not target or target == "???":
        raise ConfigError("a model needs its dotted name: model._target_=my_module.MyNetwork")
    try:
        factory = pkgutil.resolve_name(str(target))
    except Exception as error:  # importing a stranger's module may raise anything
        raise ConfigError(f"model._target_={target} cannot be loaded: {error}") from error
    return Architecture(factory, options, feature_layer)


def _image(name: str, shape: tuple[int, ...]) -> int:
    """Return the number of channels."""
    if len(shape) != 3:
        raise LearnerError(
            f"model {name} cannot take {describe(shape)}: it needs images "
            "(channels, height, width); use model=mlp or model=linear"
        )
    return shape[0]


def _two_convolutions(channels: int) -> Layers:
    return OrderedDict(
        conv1=nn.Conv2d(channels, 6, 5),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
    )


def _network(
    trunk: Layers,
    shape: tuple[int, ...],
    sizes: Sequence[int],
    *,
    dropouts: Sequence[float] = (),
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Return `trunk`, then dense layers of `sizes`; the last is the output and stays linear."""
    layers: Layers = OrderedDict(trunk, flatten=nn.Flatten())
    with torch.no_grad():  # how many numbers leave the trunk is for the trunk to say
        size = nn.Sequential(layers)(torch.zeros(1, *shape)).numel()
    for position, width in enumerate(sizes[:-1], 1):
        layers[f"dense{position}"] = nn.Linear(size, width)
        layers[f"activation{position}"] = activation()
        if position <= len(dropouts):
            layers[f"dropout{position}"] = nn.Dropout(dropouts[position - 1])
        size = width
    layers["output"] = nn.Linear(size, sizes[-1])
    return nn.Sequential(layers)
