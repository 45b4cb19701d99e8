"""The forward pass in oneDNN's layout gives what the network itself gives, gradients too."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from activeloop.architecture import Architecture
from activeloop.learners import inference, training
from activeloop.learners.blocked import blocked, blocked_pass
from activeloop.learners.inference import Predictor
from activeloop.learners.torch_learner import TorchLearner
from activeloop.models import load_model
from tests.learners.test_together import pictures

GREY, COLOUR = (1, 28, 28), (3, 17, 19)


def images(n, shape, seed=0):
    """Half of them of few grey levels, so that poolings find the largest number more than once."""
    some = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))
    some[::2] = (some[::2] * 2).round()
    some[:, :, : shape[1] // 2] = 0.3
    return some


def network_of(*layers, shape=COLOUR):
    torch.manual_seed(0)
    trunk = nn.Sequential(*layers, nn.Flatten())
    size = trunk(torch.zeros(1, *shape)).numel()
    return nn.Sequential(*trunk, nn.Linear(size, 20), nn.ReLU(), nn.Linear(20, 10))


def named(name, shape):
    torch.manual_seed(0)
    return load_model(name).build(shape, 10).module


def with_one_relu_for_all():
    relu = nn.ReLU()
    return network_of(nn.Conv2d(3, 4, 3), relu, nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), relu)


NETWORKS = [
    lambda: (with_one_relu_for_all(), COLOUR),
    lambda: (named("cnn", GREY), GREY),
    lambda: (named("simple_cnn", COLOUR), COLOUR),
    lambda: (network_of(nn.Conv2d(3, 5, 3), nn.MaxPool2d(2), nn.ReLU(inplace=True)), COLOUR),
    lambda: (network_of(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)), COLOUR),
    lambda: (network_of(nn.MaxPool2d(2), nn.Conv2d(3, 17, 3, 2, "valid"), nn.Tanh()), COLOUR),
    lambda: (
        network_of(nn.Conv2d(3, 6, 3, padding="same", groups=3, bias=False), nn.MaxPool2d(2)),
        COLOUR,
    ),
    lambda: (network_of(nn.Conv2d(3, 6, 3, dilation=2), nn.MaxPool2d(2, ceil_mode=True)), COLOUR),
]


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("size", [1, 7, 64])
def test_it_gives_the_networks_results_and_gradients(make, size):
    network, shape = make()
    batch, labels = images(size, shape), torch.arange(size) % 10
    fast = blocked(network, shape)
    assert fast is not None
    found = []
    for forward in (network, fast):
        network.zero_grad()
        logits = forward(batch)
        functional.cross_entropy(logits, labels).backward()
        found.append([logits.detach(), *(weight.grad for weight in network.parameters())])
    for theirs, ours in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-5 * max(1, float(theirs.abs().max())))


def hooked(where):
    network = named("cnn", GREY)
    where(network).register_forward_hook(lambda *_: None)
    return network


@pytest.mark.parametrize(
    "network",
    [
        lambda: named("mlp", GREY),
        lambda: named("lenet5", GREY),
        lambda: named("cnn", GREY).double(),
        lambda: hooked(lambda network: network),
        lambda: hooked(lambda network: network.conv1),
        lambda: network_of(nn.Conv2d(1, 4, 3), nn.ReLU(), shape=GREY),
        lambda: network_of(nn.Conv2d(1, 4, 3, padding_mode="reflect", padding=1), shape=GREY),
        lambda: network_of(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2, dilation=2), shape=GREY),
    ],
)
def test_what_it_cannot_do_is_left_to_the_network(network):
    assert blocked(network(), GREY) is None


@pytest.mark.parametrize("layer", [None, "dense2", "conv2"])
def test_features_are_what_the_layer_takes(layer):
    torch.manual_seed(0)
    network = load_model("cnn", feature_layer=layer).build(GREY, 10)
    fast = blocked_pass(network, features=True, shape=GREY)
    if layer == "conv2":  # its input is in oneDNN's layout
        assert fast is None
        return
    assert fast is not None
    batch = images(9, GREY)
    with torch.no_grad():
        for ours, theirs in zip(fast(batch), network.logits_and_features(batch), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_features_are_taken_before_a_layer_that_works_in_place():
    def make(shape, n_classes):
        layers = OrderedDict(conv=nn.Conv2d(1, 4, 5), pool=nn.MaxPool2d(4), flat=nn.Flatten())
        return nn.Sequential(
            OrderedDict(**layers, relu=nn.ReLU(inplace=True), last=nn.Linear(144, n_classes))
        )

    torch.manual_seed(0)
    network = Architecture(make, feature_layer="relu").build(GREY, 10)
    fast = blocked_pass(network, features=True, shape=GREY)
    with torch.no_grad():
        _, features = fast(images(9, GREY))
    assert (features < 0).any()


@pytest.mark.parametrize("model", ["cnn", "cnn_dropout"])
def test_a_training_comes_to_the_weights_of_the_plain_one(monkeypatch, model):
    data, labels = pictures()
    indices = np.arange(60)

    def fitted():
        learner = TorchLearner(load_model(model), steps=12, augment="auto", device="cpu")
        learner.fit(data, indices, labels[indices], np.random.default_rng(0))
        return learner._fitted.networks[0].module

    ways = []

    def spy(module, shape):
        ways.append(blocked(module, shape))
        return ways[-1]

    monkeypatch.setattr(training, "blocked", spy)
    ours = fitted()
    assert [way is not None for way in ways] == [True]
    monkeypatch.setattr(training, "blocked", lambda *_: None)
    for one, other in zip(ours.parameters(), fitted().parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_pools_are_predicted_by_it_without_a_freeze(monkeypatch):
    def never(*_):
        raise AssertionError("a network was frozen")

    monkeypatch.setattr(inference, "frozen", never)
    data, _ = pictures()
    torch.manual_seed(0)
    network = load_model("cnn").build(data.shape, data.n_classes)
    predictor = Predictor(
        [network], n_classes=data.n_classes, device=torch.device("cpu"), batch_size=64
    )
    many = np.arange(5000) % len(data.pool)
    for needs in (frozenset[str](), frozenset(["features"])):
        found = predictor(data.pool, many, needs)
        with torch.no_grad():
            logits, features = network.logits_and_features(
                data.pool.batch(many, torch.device("cpu"))
            )
        assert torch.allclose(found.probs, logits.softmax(1), rtol=0, atol=1e-5)
        if needs:
            assert torch.allclose(found.features, features, rtol=0, atol=1e-5)
