import logging
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from activeloop import models, pretrained
from activeloop.architecture import Architecture
from activeloop.errors import ConfigError, LearnerError
from activeloop.models import MODELS, from_config, load_model
from activeloop.pretrained import adapt_channels

DIGIT = (1, 28, 28)


def parameters(name, shape=DIGIT, n_classes=10, **options):
    module = load_model(name, **options).build(shape, n_classes).module
    return [list(p.shape) for p in module.parameters()]


def by_hand(*layers):
    """Return shapes of weight and bias of layers given by their weights' shapes."""
    return [shape for weight in layers for shape in (list(weight), [weight[0]])]


def test_cnn_by_hand():
    # 28 -5+1-> 24 -/2-> 12 -5+1-> 8 -/2-> 4: 16 x 4 x 4 = 256
    expected = by_hand((6, 1, 5, 5), (16, 6, 5, 5), (120, 256), (84, 120), (10, 84))
    assert parameters("cnn") == expected
    assert parameters("cnn_dropout") == expected
    assert sum(torch.Size(s).numel() for s in expected) == 44_426  # as its docstring says
    # 32 -> 28 -> 14 -> 10 -> 5: 16 x 5 x 5 = 400
    colour = by_hand((6, 3, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (7, 84))
    assert parameters("cnn", (3, 32, 32), 7) == colour


def test_simple_cnn_by_hand():
    # 28 -> 26 -> 13 -> 11 -> 5: 64 x 5 x 5 = 1600
    expected = by_hand((32, 1, 3, 3), (64, 32, 3, 3), (512, 1600), (10, 512))
    assert parameters("simple_cnn") == expected


@pytest.mark.parametrize("side", [28, 32])
def test_lenet5_by_hand(side):
    # 28 padded to 32, -> 28 -> 14 -> 10 -> 5: 16 x 5 x 5 = 400
    expected = by_hand((6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84))
    assert parameters("lenet5", (1, side, side)) == expected
    kinds = [type(m) for m in load_model("lenet5").build(DIGIT, 10).module.modules()]
    assert kinds.count(nn.AvgPool2d) == 2
    assert nn.ReLU not in kinds


def test_mlp_and_linear_by_hand():
    assert parameters("linear", (50,), 4) == by_hand((4, 50))
    assert parameters("linear", (1, 2, 3), 4) == by_hand((4, 6))
    assert parameters("mlp", (5,), 2, hidden=[8, 3]) == by_hand((8, 5), (3, 8), (2, 3))
    rates = [m.p for m in _modules("mlp", (5,), hidden=[8, 3], dropout=0.2, kind=nn.Dropout)]
    assert rates == [0.2, 0.2]
    assert not _modules("mlp", (5,), kind=nn.Dropout)


def test_dropout_comes_after_the_first_dense_layer():
    names = [name for name, _ in load_model("cnn_dropout").build(DIGIT, 10).module.named_children()]
    assert names[names.index("dense1") :] == [
        "dense1",
        "activation1",
        "dropout1",
        "dense2",
        "activation2",
        "output",
    ]
    assert [m.p for m in _modules("cnn_dropout", DIGIT, kind=nn.Dropout)] == [0.5]
    assert [m.p for m in _modules("cnn_dropout", DIGIT, dropout=0.1, kind=nn.Dropout)] == [0.1]


def _modules(name, shape, *, kind, **options):
    module = load_model(name, **options).build(shape, 3).module
    return [m for m in module.modules() if isinstance(m, kind)]


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(["cnn", "cnn_dropout", "simple_cnn", "lenet5", "mlp", "linear"]),
    shape=st.tuples(st.integers(1, 4), st.integers(16, 40), st.integers(16, 40)),
    n_classes=st.integers(1, 12),
)
def test_networks_fit_any_image(name, shape, n_classes):
    network = load_model(name).build(shape, n_classes)
    logits, features = network.logits_and_features(torch.randn(3, *shape))
    assert logits.shape == (3, n_classes)
    assert features.shape == (3, network.feature_size)


@pytest.mark.parametrize("name", ["cnn", "cnn_dropout", "simple_cnn", "lenet5", "mlp", "resnet18"])
def test_features_are_the_raw_input_of_the_last_layer(name):
    shape = (3, 32, 32)
    network = load_model(name).build(shape, 5)
    network.module.eval()
    batch = torch.randn(4, *shape)
    with torch.no_grad():
        logits, features = network.logits_and_features(batch)
        plain = network.module(batch)
    *_, last = (m for m in network.module.modules() if isinstance(m, nn.Linear))
    assert torch.equal(logits, plain)
    assert torch.allclose(features @ last.weight.T + last.bias, plain, atol=1e-5)
    assert torch.allclose(network.head()(features), plain, atol=1e-5)
    assert features.dtype == torch.float32
    assert features.is_contiguous()


def test_feature_layer_may_be_another_one():
    network = load_model("cnn", feature_layer="dense1").build(DIGIT, 10)
    _, features = network.logits_and_features(torch.randn(2, *DIGIT))
    assert features.shape == (2, 256)
    assert network.head() is None
    image_like = load_model("cnn", feature_layer="conv2").build(DIGIT, 10)
    assert image_like.feature_size == 6 * 12 * 12


def test_features_survive_an_activation_in_place():
    def net(n_classes):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, n_classes)
        )

    network = Architecture(net, feature_layer="2").build((4,), 3)
    _, features = network.logits_and_features(torch.randn(50, 4))
    assert (features < 0).any()


class Twice(nn.Module):
    """Its first linear layer, in the order of definition, is the last that runs."""

    def __init__(self, n_classes):
        super().__init__()
        self.out = nn.Linear(6, n_classes)
        self.inner = nn.Linear(4, 6)

    def forward(self, x):
        return self.out(self.inner(x).relu())


def test_the_last_linear_layer_is_the_last_that_runs():
    network = Architecture(Twice).build((4,), 3)
    assert (network.feature_layer, network.feature_size) == ("out", 6)


def test_a_layer_that_runs_twice_counts_where_it_ran_last():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.same, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.same(self.other(self.same(x)))

    network = Architecture(lambda: Net()).build((4,), 4)
    batch = torch.randn(3, 4)
    logits, features = network.logits_and_features(batch)
    assert network.feature_layer == "same"
    assert torch.allclose(network.head()(features), logits)


def test_head_is_dropped_where_it_does_not_give_the_probabilities():
    def net(n_classes, last):
        return nn.Sequential(nn.Linear(4, n_classes), last)

    batch = torch.randn(9, 4)
    for last, kept in [(nn.Identity(), True), (nn.LogSoftmax(1), True), (nn.Softmax(1), False)]:
        network = Architecture(net, {"last": last}).build((4,), 3)
        network.verify_head(batch)
        assert (network.head() is not None) == kept


def test_head_holds_copies_and_differentiates():
    network = load_model("linear").build((4,), 3)
    head, features = network.head(), torch.randn(2, 4, requires_grad=True)
    before = head(features)
    with torch.no_grad():
        network.module.output.weight.zero_()
    assert torch.equal(head(features), before)
    before.sum().backward()
    assert features.grad.abs().sum() > 0
    assert not before.detach().requires_grad


def test_building_changes_neither_statistics_nor_random_state():
    class Noisy(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.norm, self.out = nn.BatchNorm1d(4), nn.Linear(4, n_classes)

        def forward(self, x):
            return self.out(self.norm(x) + torch.rand(4))

    torch.manual_seed(0)
    drawn = Noisy(3).out.weight
    after = torch.get_rng_state()
    torch.manual_seed(0)
    module = Architecture(Noisy).build((4,), 3).module
    assert torch.equal(module.out.weight, drawn)
    assert torch.equal(torch.get_rng_state(), after)
    assert module.norm.num_batches_tracked == 0
    assert module.training


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: load_model("cnn").build((1, 8, 8), 3), "model cnn cannot take 1x8x8 images: "),
        (
            lambda: load_model("cnn").build((50,), 3),
            "model cnn cannot take vectors of 50: it needs images .*use model=mlp or model=linear",
        ),
        (lambda: Architecture(lambda: nn.Linear(4, 9)).build((4,), 3), r"logits \[2, 3\], got \["),
        (lambda: Architecture(lambda: nn.Flatten).build((4,), 3), "returned a type, not an nn.Mod"),
        (lambda: Architecture(lambda: nn.LSTM(4, 3)).build((4,), 3), r"logits \[2, 3\], got tuple"),
    ],
)
def test_a_network_that_cannot_take_the_data(build, message):
    with pytest.raises(LearnerError, match=message):
        build()


def wants(in_channels, num_classes, width, depth=2):
    return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.Flatten(), nn.LazyLinear(num_classes))


def takes_any(**options):
    assert set(options) == {"num_classes", "width"}
    return nn.Linear(options["width"], options["num_classes"])


def test_a_factory_gets_what_its_signature_has():
    module = Architecture(wants, {"width": 5}).build((2, 4, 4), 3).module
    assert module[0].weight.shape == (5, 2, 1, 1)
    assert module[2].weight.shape == (3, 80)
    assert Architecture(takes_any, {"width": 4}).build((4,), 3).module.out_features == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: load_model("ccn"), r"no model 'ccn' \(did you mean 'cnn'\?\); choose one of cnn,"),
        (lambda: load_model("zzz"), "no model 'zzz'; choose one of"),
        (
            lambda: load_model("mlp", hiden=3),
            r"model mlp has no option 'hiden' \(did you mean 'hidden'\?\); it has hidden, dropout",
        ),
        (lambda: load_model("cnn", n_classes=3), "model.n_classes follows from the data"),
        (lambda: load_model("cnn", width=3), "it has none"),
        (lambda: Architecture(wants), "model wants needs the option 'width'"),
        (lambda: Architecture(nn.Linear(2, 2)), "must be an nn.Module class or a function"),
        (lambda: Architecture(3), "got int"),
        (lambda: load_model("mlp", dropout=2).build((4,), 2), "model.dropout must be a number"),
        (lambda: load_model("mlp", hidden=[0]).build((4,), 2), "model.hidden must be a whole"),
        (
            lambda: load_model("cnn", feature_layer="dense3").build(DIGIT, 3),
            r"must name a layer that cnn runs, got 'dense3' \(did you mean 'dense2'\?\); "
            "it runs conv1, .*output",
        ),
        (lambda: from_config({"_target_": "???"}), r"model._target_=my_module.MyNetwork"),
        (lambda: from_config({}), r"model._target_=my_module.MyNetwork"),
        (lambda: from_config({"_target_": "no_such.Net"}), "no_such.Net cannot be loaded: No mod"),
        (
            lambda: from_config({"_target_": "activeloop.models.cnnn"}),
            "activeloop.models.cnnn cannot be loaded: .*no attribute",
        ),
        (
            lambda: from_config({"_target_": "activeloop.models.mlp", "hiden": 1}),
            "did you mean 'hidden'",
        ),
    ],
)
def test_settings_without_meaning(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_from_config_finds_models_and_strangers():
    node = {"_target_": "activeloop.models.mlp", "feature_layer": None, "hidden": [7]}
    assert from_config(node).build((4,), 2).feature_size == 7
    assert node["hidden"] == [7]
    flat = from_config({"_target_": "torch.nn.Flatten", "feature_layer": None})
    assert flat.build((3,), 3).feature_layer is None


def test_a_network_without_linear_layer_has_no_features_and_says_so():
    network = Architecture(lambda: nn.Sequential(nn.Flatten(), nn.Identity())).build((3,), 3)
    assert (network.feature_layer, network.feature_size, network.head()) == (None, 0, None)
    with pytest.raises(LearnerError, match=r"model.feature_layer=..., one of 0, 1"):
        network.logits_and_features(torch.randn(2, 3))


# -- resnet18 and its weights


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Have no weights and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    pretrained.fetched.cache_clear()
    yield tmp_path
    pretrained.fetched.cache_clear()


def resnet_state():
    torch.manual_seed(1)
    return models.resnet18((3, 32, 32), 1000).state_dict()


def test_resnet18_has_torchvisions_layers_for_any_channels():
    from torchvision.models import resnet18

    assert parameters("resnet18", (3, 32, 32), 10) == [
        list(p.shape) for p in resnet18(num_classes=10).parameters()
    ]
    assert parameters("resnet18", DIGIT)[0] == [64, 1, 7, 7]
    assert parameters("resnet18", (5, 32, 32))[0] == [64, 5, 7, 7]


def test_imagenet_offline_says_what_to_fetch_and_where_to_put_it(offline):
    with pytest.raises(LearnerError, match=r"no network; fetch https://.*resnet18.*pth") as caught:
        models.resnet18(DIGIT, 10, weights="imagenet")
    assert str(offline / "hub" / "checkpoints") in str(caught.value)


def test_auto_offline_warns_and_tries_once(offline, monkeypatch, caplog):
    calls = []
    fail = torch.hub.download_url_to_file
    monkeypatch.setattr(
        "torch.hub.download_url_to_file", lambda *a, **k: (calls.append(1), fail(*a, **k))
    )
    with caplog.at_level(logging.WARNING):
        models.resnet18(DIGIT, 10, weights="auto")
        models.resnet18(DIGIT, 10, weights="auto")
    assert len(calls) == 1
    assert "random weights, not from ImageNet's: no network" in caplog.text


def test_imagenet_is_read_from_the_cache(offline, monkeypatch):
    state = resnet_state()
    folder = offline / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "resnet18-f37072fd.pth")
    module = models.resnet18((3, 32, 32), 10, weights="imagenet")
    assert torch.equal(module.conv1.weight, state["conv1.weight"])
    assert module.fc.weight.shape == (10, 512)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file_fit_grey_images(tmp_path, suffix):
    state, path = resnet_state(), tmp_path / f"w{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    module = models.resnet18(DIGIT, 10, weights=str(path))
    assert torch.equal(module.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    colour = models.resnet18((3, 28, 28), 10, weights=str(path))
    grey = torch.randn(2, *DIGIT)
    assert torch.allclose(module.conv1(grey), colour.conv1(grey.expand(-1, 3, -1, -1)), atol=1e-4)


@given(st.integers(1, 6))
def test_channels_all_equal_give_what_rgb_gave(channels):
    filters, grey = torch.randn(4, 3, 2, 2), torch.randn(1, 1, 5, 5)
    rgb = torch.conv2d(grey.expand(-1, 3, -1, -1), filters)
    ours = torch.conv2d(grey.expand(-1, channels, -1, -1), adapt_channels(filters, channels))
    assert torch.allclose(ours, rgb, atol=1e-5)


def test_a_last_layer_of_as_many_classes_is_taken_over_and_another_is_not(tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.manual_seed(2)
    state = models.resnet18(DIGIT, 7).state_dict()
    torch.save(state, path)
    for n_classes, equal in ((7, True), (8, False)):
        own = models.resnet18(DIGIT, n_classes, weights=str(path)).state_dict()
        assert torch.equal(own["fc.bias"][:7], state["fc.bias"]) == equal
        assert torch.equal(own["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])


def test_weights_that_are_no_good(tmp_path):
    broken, other, listed = (tmp_path / f"{n}.pth" for n in ("broken", "other", "list"))
    broken.write_bytes(b"nonsense")
    torch.save({"a": torch.zeros(1)}, other)
    torch.save([1], listed)
    for weights, kind, message in [
        ("imagenett", ConfigError, "must be null, imagenet, auto or the path .* got 'imagenett'"),
        (str(tmp_path / "none.pth"), ConfigError, "there is no such file"),
        (str(broken), LearnerError, "broken.pth cannot be read"),
        (str(other), LearnerError, "does not fit resnet18: .*Missing"),
        (str(listed), LearnerError, "must hold a state dict"),
    ]:
        with pytest.raises(kind, match=message):
            models.resnet18(DIGIT, 10, weights=weights)


def test_a_torchvision_that_does_not_match_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(LearnerError, match="pip install --force-reinstall torch torchvision"):
        load_model("resnet18").build((3, 32, 32), 3)


def test_every_model_has_a_config_with_its_options():
    from inspect import signature

    from omegaconf import OmegaConf

    from activeloop.config import config_dir

    for name, factory in MODELS.items():
        node = OmegaConf.to_container(OmegaConf.load(config_dir() / "model" / f"{name}.yaml"))
        defaults = {k: p.default for k, p in signature(factory).parameters.items()}
        assert from_config(node).factory is factory
        for key, default in list(defaults.items())[2:]:
            assert node[key] == (list(default) if isinstance(default, tuple) else default)
