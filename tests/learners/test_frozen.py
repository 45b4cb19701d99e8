"""The fast forward pass gives what the network itself gives, or is not used."""

import numpy as np
import pytest
import torch
from torch import nn

from activeloop.architecture import Architecture, Network
from activeloop.learners.frozen import frozen, plain
from activeloop.learners.inference import DropoutMasks, Predictor
from activeloop.learners.layout import eval_batch, prefer_channels_last
from activeloop.models import load_model

GREY, COLOUR = (1, 28, 28), (3, 16, 16)


def network_of(factory, shape=GREY) -> Network:
    torch.manual_seed(0)
    network = Architecture(factory).build(shape, 10)
    network.module.eval()
    return network


def images(n, shape=GREY, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


class Samples:
    """As many copies of a few images as are asked for."""

    shape = GREY

    def __init__(self, images):
        self.images = images

    def raw(self, indices, device):
        return self.images[torch.from_numpy(indices) % len(self.images)]

    def normalise(self, raw):
        return 2 * raw - 1

    def batch(self, indices, device):
        return self.normalise(self.raw(indices, device))


@pytest.mark.parametrize("name", ["cnn", "simple_cnn", "lenet5", "cnn_dropout", "mlp", "linear"])
@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_it_equals_the_plain_forward_pass(name, shape):
    torch.manual_seed(0)
    network = load_model(name).build(shape, 10)
    network.module.eval()
    for features in (False, True):
        forward = plain(network, features=features)
        fast = frozen(forward, network.module, images(64, shape))
        assert fast is not forward
        for size in (64, 7, 1):  # the last batch of a pool is smaller
            batch = images(size, shape, seed=1)
            with torch.no_grad():
                ours, expected = fast(batch), forward(batch)
            for one, other in zip(ours, expected, strict=True):
                assert one.shape == other.shape
                assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


def test_running_statistics_are_folded_into_convolutions():
    torch.manual_seed(0)
    network = load_model("resnet18").build(COLOUR, 10)
    for _ in range(3):  # statistics and scales other than those of a fresh network
        network.module.train()(images(32, COLOUR) * 3 + 1)
    network.module.eval()
    forward = plain(network, features=True)
    fast = frozen(forward, network.module, images(16, COLOUR))
    assert "batch_norm" not in str(fast.graph)
    with torch.no_grad():
        ours, expected = fast(images(20, COLOUR, 1)), forward(images(20, COLOUR, 1))
    assert torch.allclose(ours[0].softmax(1), expected[0].softmax(1), rtol=0, atol=1e-5)


class ByContent(nn.Module):
    """Goes another way for bright images."""

    def __init__(self, n_classes):
        super().__init__()
        self.dark, self.bright = nn.Linear(784, n_classes), nn.Linear(784, n_classes)

    def forward(self, x):
        x = x.flatten(1)
        return self.bright(x) if x.mean() > 0.5 else self.dark(x)


class ByLength(nn.Module):
    """Has the batch's length in its arithmetic, as a Python number."""

    def __init__(self, n_classes):
        super().__init__()
        self.last = nn.Linear(784, n_classes)

    def forward(self, x):
        return self.last(x.flatten(1)) * float(len(x.tolist()))


class ByChance(nn.Module):
    """Drops out at all times."""

    def __init__(self, n_classes):
        super().__init__()
        self.last = nn.Linear(784, n_classes)

    def forward(self, x):
        return self.last(nn.functional.dropout(x.flatten(1), 0.5, training=True))


@pytest.mark.parametrize("kind", [ByContent, ByLength, ByChance])
def test_what_a_trace_cannot_follow_stays_as_it_is(kind):
    network = network_of(kind)
    forward = plain(network, features=True)
    state = torch.get_rng_state()
    assert frozen(forward, network.module, images(32)) is forward
    assert torch.equal(torch.get_rng_state(), state)


def test_pools_are_predicted_as_a_few_samples_are():
    network = network_of(load_model("cnn").factory)
    samples = Samples(images(100))
    predictor = Predictor([network], n_classes=10, device=torch.device("cpu"), batch_size=128)
    few = predictor(samples, np.arange(100), frozenset(["probs", "features"]))
    assert not predictor._frozen
    many = predictor(samples, np.arange(5000), frozenset(["probs", "features"]))
    assert predictor._frozen
    for name in ("probs", "features"):
        one, other = getattr(few, name), getattr(many, name)
        assert torch.allclose(other[:100], one, atol=1e-5)
        assert torch.allclose(other[4900:], one, atol=1e-5)  # an odd batch


def test_each_member_keeps_its_own_masks_when_frozen():
    network = network_of(load_model("cnn_dropout").factory)
    masks = DropoutMasks(network.module, seed=3, size=3)
    predictor = Predictor(
        [network], n_classes=10, device=torch.device("cpu"), batch_size=128, masks=masks
    )
    samples, needs = Samples(images(50)), frozenset(["probs", "members"])
    few = predictor(samples, np.arange(50), needs)
    many = predictor(samples, np.arange(4096), needs)
    assert torch.allclose(many.members[:, :50], few.members, atol=1e-5)
    assert (few.members[0] - few.members[1]).abs().max() > 1e-3


class Views(nn.Module):
    """Flattens by `view`, which needs channels first."""

    def __init__(self, n_classes):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 5), nn.Linear(4 * 24 * 24, n_classes)

    def forward(self, x):
        return self.last(self.first(x).view(len(x), -1))


def test_a_network_that_cannot_work_channels_last_stays_as_it_is():
    network = network_of(Views)
    expected = network.module(images(4))
    prefer_channels_last(network.module.train(), GREY, torch.device("cpu"))
    assert network.module.training
    assert torch.equal(network.module.eval()(images(4)), expected)
    other = network_of(load_model("cnn").factory)
    prefer_channels_last(other.module, GREY, torch.device("cpu"))
    weights = [w for w in other.module.parameters() if w.ndim == 4 and w.shape[1] > 1]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


@pytest.mark.parametrize(
    ("widest", "cpu", "cuda"),
    [(1, 256, 4096), (3 * 224 * 224, 64, 1024), (64 * 112 * 112, 16, 256)],
)
def test_batches_fit_the_cache(widest, cpu, cuda):
    network = network_of(ByContent)
    network.widest = widest
    assert eval_batch(network, torch.device("cpu")) == cpu
    assert eval_batch(network, torch.device("cuda")) == cuda
