"""Images to vectors by frozen networks, compared with the libraries' own way."""

import inspect
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from hydra.utils import get_object
from omegaconf import OmegaConf
from pictures import CPU, Pictures, pictures, random_state
from safetensors.torch import save_file
from torch import nn

from activeloop import vector_files
from activeloop.backbones import load_backbone
from activeloop.backbones.embedding import backbone
from activeloop.config import config_dir
from activeloop.errors import ConfigError, DataError, LearnerError

FEW = {"weights": "random", "size": 32, "device": "cpu"}


def images(n=6, channels=3, height=40, width=30, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8))


def of(pool, **parts):
    data, _ = pictures()
    return replace(data, pool=Pictures(pool), test=None, **parts)


def vectors(pool, **options):
    return backbone(of(pool), as_input=False, **(FEW | options)).embeddings


def saved_resnet(path, **options):
    """Write the weights of a ResNet-18 that is not as it was made, and return it."""
    torch.manual_seed(3)
    network = torchvision.models.resnet18(**options)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.5, 2)
    if path.suffix == ".safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)
    return network.eval()


# -- the vectors themselves


@pytest.mark.parametrize("channels", [1, 3])
def test_vectors_are_those_of_a_plain_forward_of_the_same_weights(tmp_path, channels):
    path = tmp_path / "resnet18.pth"
    network = saved_resnet(path)
    pool = images(channels=channels)
    found = vectors(pool, weights=str(path), size=None, batch_size=4)
    prepare = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    pooled = []
    network.avgpool.register_forward_hook(lambda _, __, output: pooled.append(output.flatten(1)))
    with torch.no_grad():
        for image in pool:  # one by one, each in three channels from the start
            network(prepare(image.expand(3, -1, -1))[None])
    expected = torch.cat(pooled)
    assert found.shape == (6, 512)
    assert expected.std(0).mean() > 0.01
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "last", "size"),
    [
        ("mobilenet_v3_small", "classifier.3", 32),
        pytest.param("vit_b_32", "heads.head", None, marks=pytest.mark.slow),
    ],
)
def test_vectors_are_what_the_last_layer_takes(tmp_path, name, last, size):
    torch.manual_seed(1)
    network = getattr(torchvision.models, name)(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    pool = images(2)
    found = vectors(pool, name=name, weights=str(tmp_path / "w.pt"), size=size)
    taken = []
    network.get_submodule(last).register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    prepared = load_backbone(name, weights=str(tmp_path / "w.pt"), size=size).preparation(pool)
    with torch.no_grad():
        network(prepared)
    assert torch.allclose(found, taken[0].flatten(1), atol=1e-5, rtol=1e-4)


def test_batches_and_shards_change_nothing(tmp_path, monkeypatch):
    pool = images(23, 3, 32, 32)
    whole = vectors(pool, batch_size=23)
    monkeypatch.setattr(vector_files, "SHARD", 5)
    for options in ({"batch_size": 1}, {"batch_size": 4, "cache": tmp_path}):
        assert torch.allclose(vectors(pool, **options), whole, atol=1e-5, rtol=1e-5)


def test_images_are_prepared_as_the_weights_want():
    grey = images(3, 1, 50, 70)
    preparation = load_backbone("resnet50", weights="IMAGENET1K_V2").preparation
    prepare = torchvision.models.ResNet50_Weights.IMAGENET1K_V2.transforms()
    assert torch.allclose(preparation(grey), prepare(grey.expand(-1, 3, -1, -1)), atol=1e-6)
    assert preparation.resize == (232, 232)
    # Floats are pixels from 0 to 1: the same but for rounding to whole pixels.
    assert torch.allclose(preparation(grey / 255), preparation(grey), atol=0.02)
    small = load_backbone("resnet50", weights="random", size=112).preparation
    assert (small.resize, small.crop) == ((116, 116), (112, 112))
    squashed = replace(preparation, squash=True, resize=(20, 10), crop=(20, 10))
    assert squashed(grey).shape == (3, 3, 20, 10)
    wide = replace(preparation, resize=(20, 40), crop=(20, 40))
    assert wide(images(1, 3, 30, 30)).shape == (1, 3, 20, 40)


def test_vectors_do_not_depend_on_the_datas_normalisation_nor_on_chance():
    before = random_state()
    one = backbone(of(images(4)), **FEW)
    again = backbone(of(images(4)), **FEW)
    other = backbone(of(images(4)), **FEW, seed=1)
    assert random_state() == before
    assert torch.equal(one.embeddings, again.embeddings)
    assert not torch.allclose(one.embeddings, other.embeddings, atol=0.01)


def test_every_part_is_embedded_once_and_learners_get_them():
    data, _ = pictures(validation=True)
    found = backbone(data, **FEW)
    assert found.shape == found.test.shape == found.validation.samples.shape == (512,)
    # The test set is the pool backwards, the validation set its beginning.
    rows = [
        part.batch(np.arange(len(part)), CPU)
        for part in (found.pool, found.test, found.validation.samples)
    ]
    assert torch.allclose(rows[1].flip(0), rows[0], atol=1e-4)
    assert torch.allclose(rows[2], rows[0][:12], atol=1e-4)
    assert abs(float(rows[0].square().mean()) - 1) < 1e-3
    only = backbone(data, **FEW, as_input=False)
    assert only.pool is data.pool
    assert only.test is data.test


def test_random_weights_are_said_to_be_random(caplog):
    with caplog.at_level(logging.WARNING):
        load_backbone("resnet18", weights="random")
    assert "resnet18 has random weights" in caplog.text


@pytest.mark.slow
def test_a_network_of_one_size_says_so():
    with pytest.raises(LearnerError, match=r"vit_b_32 cannot take 3x32x32 images: .*224"):
        vectors(images(2), name="vit_b_32")


# -- weights


def test_a_head_for_other_classes_and_a_wrapped_state_do(tmp_path):
    network = saved_resnet(tmp_path / "a.safetensors", num_classes=7)
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "b.pt")
    one, two = (vectors(images(2), weights=str(tmp_path / f)) for f in ("a.safetensors", "b.pt"))
    assert torch.equal(one, two)


def test_weights_that_are_no_good(tmp_path):
    saved_resnet(tmp_path / "resnet.pth")
    state = torch.load(tmp_path / "resnet.pth")
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "less.pt")
    (tmp_path / "text.pt").write_text("no weights")
    torch.save(nn.Linear(2, 2), tmp_path / "code.pt")
    for options, kind, message in [
        ({"weights": str(tmp_path / "less.pt")}, LearnerError, "fit resnet18: .*layer1.0.conv1.we"),
        ({"weights": str(tmp_path / "text.pt")}, LearnerError, "text.pt cannot be read"),
        ({"weights": str(tmp_path / "code.pt")}, LearnerError, "code.pt cannot be read"),
        ({"weights": str(tmp_path / "none.pt")}, ConfigError, "none.pt: there is no such file"),
        (
            {"weights": str(tmp_path / "resnet.pth"), "name": "resnet34"},
            LearnerError,
            "resnet.pth does not fit resnet34: .*Missing key",
        ),
        (
            {"weights": "IMAGENET1K_V3"},
            ConfigError,
            "has default, random, IMAGENET1K_V1 .did you mean 'IMAGE",
        ),
        ({"weights": None}, ConfigError, "embed.weights must be default, random"),
        ({"name": "resnet81"}, ConfigError, r"no model 'resnet81' in torchvision \(did you mean"),
        ({"name": ""}, ConfigError, "embed.name must be"),
        ({"library": "torchvison"}, ConfigError, "embed.library must be one of torchvision, timm"),
        ({"name": "squeezenet1_0"}, LearnerError, "squeezenet1_0 .* has no linear layer"),
        ({"size": 0}, ConfigError, "embed.size must be a whole number"),
        ({"batch_size": 0}, ConfigError, "embed.batch_size must be"),
        ({"mixed_precision": 1}, ConfigError, "embed.mixed_precision must be true or false"),
    ]:
        with pytest.raises(kind, match=message):
            vectors(images(2), **options)


def test_offline_it_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(LearnerError) as caught:
        vectors(images(2), weights="default")
    for part in (
        "resnet18 of torchvision (IMAGENET1K_V1) cannot be had: no network",
        "fetch https://download.pytorch.org/models/resnet18-f37072fd.pth",
        str(tmp_path / "hub" / "checkpoints"),
        "embed.weights=PATH",
    ):
        assert part in str(caught.value)


def test_weights_that_are_there_need_no_network(tmp_path, monkeypatch):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    path = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    saved_resnet(path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", None)
    found = vectors(images(2), weights="default")
    assert torch.equal(found, vectors(images(2), weights=str(path)))


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (images(2, 4), "images of 1 or 3 channels, and these samples are 4x40x30 images"),
        (torch.zeros(2, 9), "these samples are vectors of 9"),
        (images(2).float(), "pixels from 0 to 1; these go from 0 to 255"),
        (torch.full((2, 3, 8, 8), torch.nan), "pixels from 0 to 1; these go from nan"),
    ],
)
def test_samples_that_are_no_images(pool, message):
    with pytest.raises(DataError, match=message):
        vectors(pool)


def test_vectors_that_are_not_finite_name_the_sample(tmp_path):
    network = saved_resnet(tmp_path / "w.pt")
    state = network.state_dict()
    state["conv1.weight"][:] = torch.nan
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(LearnerError, match="makes NaN or infinity of 0: check its weights"):
        vectors(images(2), weights=str(tmp_path / "w.pt"))


# -- the cache


@pytest.fixture
def builds(monkeypatch):
    """Count how often a network is built."""
    from activeloop.backbones.backbone import Backbone

    build, calls = Backbone.build, []
    monkeypatch.setattr(
        Backbone, "build", lambda self, device: (calls.append(1), build(self, device))[1]
    )
    return calls


def test_vectors_are_made_once_and_never_written_to(tmp_path, builds, caplog):
    data, _ = pictures(validation=True)
    for part, samples in (("test", data.test), ("validation", data.validation.samples)):
        samples.fingerprint = part
    with caplog.at_level(logging.INFO):
        first = backbone(data, **FEW, cache=tmp_path / "kept")
    assert len(builds) == 1
    assert "vectors by resnet18 of torchvision go to" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        second = backbone(data, **FEW, cache=tmp_path / "kept")
    assert len(builds) == 1
    assert "the pool's vectors by resnet18 of torchvision are in" in caplog.text
    assert torch.equal(first.embeddings, second.embeddings)
    second.embeddings[0] = 7  # would kill the process were the map read-only
    assert torch.equal(backbone(data, **FEW, cache=tmp_path / "kept").embeddings, first.embeddings)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 40},
        {"seed": 1},
        {"name": "resnet34"},
        {"mixed_precision": True},
        {"weights": "file"},
    ],
    ids=str,
)
def test_other_vectors_are_not_taken_for_these(tmp_path, builds, change):
    pool = images(3)
    vectors(pool, cache=tmp_path)
    if "weights" in change:
        saved_resnet(tmp_path / "w.pt")
        change = {"weights": str(tmp_path / "w.pt")}
    vectors(pool, cache=tmp_path, **change)
    assert len(builds) == 2
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_other_samples_and_other_weights_in_a_file_make_new_vectors(tmp_path, builds):
    torch.save(saved_resnet(tmp_path / "w.pt").state_dict(), tmp_path / "w.pt")
    options = {"weights": str(tmp_path / "w.pt"), "cache": tmp_path}
    one, two = of(images(3)), of(images(3, seed=1))
    two.pool.fingerprint = "others"
    a = backbone(one, **(FEW | options)).embeddings
    b = backbone(two, **(FEW | options)).embeddings
    assert not torch.allclose(a, b)
    state = torch.load(tmp_path / "w.pt")
    torch.save(
        {k: v * 1.1 if v.is_floating_point() else v for k, v in state.items()}, tmp_path / "w.pt"
    )
    c = backbone(one, **(FEW | options)).embeddings
    assert not torch.allclose(a, c)
    assert len(builds) == 3


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        found = vectors(images(3), cache=tmp_path / "file" / "cache")
    assert torch.equal(found, vectors(images(3)))
    assert "cannot keep vectors in" in caplog.text
    assert "embed.cache=FOLDER" in caplog.text


# -- the config


def test_the_config_lists_every_option_with_its_default():
    node = OmegaConf.to_container(OmegaConf.load(config_dir() / "embed" / "backbone.yaml"))
    given = inspect.signature(get_object(node.pop("_target_"))).parameters
    options = {k: p.default for k, p in given.items() if k not in ("data", "device")}
    assert node.pop("cache") == "auto"  # a folder of the user's, which the program knows
    assert options.pop("cache") is None
    assert node == options
    for name in ("pca", "file"):
        node = OmegaConf.to_container(OmegaConf.load(config_dir() / "embed" / f"{name}.yaml"))
        given = inspect.signature(get_object(node.pop("_target_"))).parameters
        assert list(node) == [k for k in given if k != "data"]


# -- timm and open_clip


@pytest.mark.parametrize(
    ("library", "package"), [("timm", "timm"), ("open_clip", "open_clip_torch")]
)
def test_a_missing_extra_is_named(monkeypatch, library, package):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(ConfigError, match=rf"needs {package} .*pip install 'activeloop\[backb"):
        load_backbone("resnet18", library=library)


def test_timm_vectors_are_what_it_pools(tmp_path):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    network = timm.create_model("resnet10t").eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    pool = images(3)
    options = {"library": "timm", "name": "resnet10t", "weights": str(tmp_path / "w.safetensors")}
    found = vectors(pool, **options, size=None)
    cfg = timm.data.resolve_model_data_config(network)
    pil = [torchvision.transforms.functional.to_pil_image(image) for image in pool]
    prepared = torch.stack([timm.data.create_transform(**cfg)(image) for image in pil])
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(prepared), pre_logits=True)
        ours = network.forward_head(
            network.forward_features(
                load_backbone("resnet10t", library="timm", weights="random").preparation(pool)
            ),
            pre_logits=True,
        )
    assert torch.allclose(found, ours, atol=1e-5)
    # PIL resizes by other sums than torch: whole pixels may differ by one.
    assert torch.allclose(found, expected, atol=0.05 * float(expected.abs().max()))
    state = network.state_dict()
    del state["layer1.0.conv1.weight"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(
        LearnerError, match=r"less.safetensors does not fit resnet10t: .*layer1.0.c"
    ):
        vectors(pool, **(options | {"weights": str(tmp_path / "less.safetensors")}))
    with pytest.raises(ConfigError, match=r"no model 'resnet10' in timm \(did you mean"):
        load_backbone("resnet10", library="timm")
    with pytest.raises(ConfigError, match="named by the model's tag"):
        load_backbone("resnet10t", library="timm", weights="c3_in1k")


def test_timm_offline_says_what_to_fetch(monkeypatch):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    create = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no network")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    file = "https://huggingface.co/timm/resnet10t.c3_in1k/resolve/main/model.safetensors"
    with pytest.raises(LearnerError, match=f"no network; fetch {file}.*embed.weights=PATH"):
        vectors(images(1), library="timm", name="resnet10t", weights="default")


def test_open_clip_vectors_are_its_embedding_of_the_image(tmp_path):
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")
    name = "RN50"
    torch.manual_seed(0)
    network = open_clip.create_model(name).eval()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    options = {"library": "open_clip", "name": name, "weights": str(tmp_path / "w.pt")}
    pool = images(2)
    found = vectors(pool, **options, size=None)
    chosen = load_backbone(name, library="open_clip", weights="random").preparation
    with torch.no_grad():
        expected = network.encode_image(chosen(pool))
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)
    assert (chosen.crop, chosen.interpolation) == ((224, 224), "bicubic")
    assert chosen.mean == open_clip.OPENAI_DATASET_MEAN
    state = network.state_dict()
    del state["visual.conv1.weight"]
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(LearnerError, match=r"less.pt does not fit RN50: .*visual.conv1.weight"):
        vectors(pool, **(options | {"weights": str(tmp_path / "less.pt")}))
    with pytest.raises(ConfigError, match="RN50 of open_clip has openai, yfcc15m"):
        load_backbone(name, library="open_clip", weights="laion")
    with pytest.raises(ConfigError, match=r"no model 'RN51' in open_clip \(did you mean"):
        load_backbone("RN51", library="open_clip")
