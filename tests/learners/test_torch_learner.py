from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import NOTHING, architecture, pictures, random_state, torch_learner
from safetensors.torch import load_file
from torch import nn

from activeloop.architecture import Architecture
from activeloop.errors import ConfigError, LearnerError
from activeloop.models import load_model
from activeloop.types import Prediction

EVERYTHING = frozenset(["probs", "features", "members", "head"])
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def fitted(learner, seed=0, n=20, data=None):
    data, labels = pictures() if data is None else (data, np.arange(60) % 3)
    history = learner.fit(data, np.arange(n), labels[:n], np.random.default_rng(seed))
    return data, history


def weights(learner, member=0):
    state = learner._fitted.networks[member].module.state_dict()
    return {name: value.clone() for name, value in state.items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def all_of(learner, data, needs=NOTHING, **options):
    return learner.predict(data.pool, np.arange(len(data.pool)), needs, **options)


def plain_forward(learner, data, member=0):
    module = learner._fitted.networks[member].module.eval()
    with torch.no_grad():
        return module(data.pool.batch(np.arange(len(data.pool)), learner.device))


def test_it_learns():
    data, labels = pictures()
    learner = torch_learner(steps=60)
    learner.fit(data, np.arange(30), labels[:30], np.random.default_rng(0))
    assert (all_of(learner, data).probs.argmax(1).numpy() == labels).mean() > 0.95


def test_predictions_are_those_of_a_plain_forward():
    learner = torch_learner(eval_batch_size=7)
    data, _ = fitted(learner)
    prediction = all_of(learner, data, frozenset(["features"]))
    logits = plain_forward(learner, data)
    assert torch.allclose(prediction.probs, logits.softmax(1), atol=1e-6)
    assert torch.allclose(prediction.probs.sum(1), torch.ones(60), atol=1e-5)
    last = learner._fitted.networks[0].module.output
    assert torch.allclose(prediction.features @ last.weight.T + last.bias, logits, atol=1e-5)
    assert torch.allclose(learner.head(prediction.features), logits, atol=1e-5)
    assert prediction.features.shape == (60, 84)
    for tensor in (prediction.probs, prediction.features):
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        assert not tensor.requires_grad
        assert not tensor.is_inference()
    assert prediction.members is None
    assert all_of(learner, data).features is None


def test_predictions_follow_the_order_of_indices():
    learner = torch_learner(eval_batch_size=2)
    data, _ = fitted(learner)
    chosen = np.array([9, 3, 3, 50, 0])
    few = learner.predict(data.pool, chosen, NOTHING).probs
    assert torch.allclose(few, all_of(learner, data).probs[chosen], atol=1e-6)
    assert learner.predict(data.pool, chosen[:0], NOTHING).probs.shape == (0, 3)
    assert learner.predict(data.test, np.arange(4), NOTHING).probs.shape == (4, 3)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("cnn_dropout", {"members": "mc_dropout", "n_members": 3, "augment": ["crop", "flip"]}),
        ("cnn", {"members": "ensemble", "n_members": 2, "augment": "auto"}),
        ("mlp", {"optimizer": "sgd", "schedule": "cosine"}),
    ],
)
def test_same_seed_same_bits_and_random_state_untouched(model, options):
    learners = [torch_learner(model, **options) for _ in range(3)]
    before = random_state()
    data, _ = fitted(learners[0], seed=1)
    torch.rand(3)  # what others draw makes no difference
    torch_state = torch.get_rng_state()
    fitted(learners[1], seed=1)
    fitted(learners[2], seed=2)
    needs = EVERYTHING if "members" in options else frozenset(["features"])
    a, b = all_of(learners[0], data, needs), all_of(learners[1], data, needs)
    assert torch.equal(torch.get_rng_state(), torch_state)
    torch.set_rng_state(torch.tensor(before[2], dtype=torch.uint8))
    assert random_state() == before
    assert same(weights(learners[0]), weights(learners[1]))
    assert not same(weights(learners[0]), weights(learners[2]))
    for name in ("probs", "features", "members"):
        one, two = getattr(a, name), getattr(b, name)
        assert one is two is None or torch.equal(one, two)


def test_initial_weights_do_not_depend_on_what_is_labelled():
    built = []

    def net(n_classes):
        built.append(nn.Linear(256, n_classes).weight.detach().clone())
        return nn.Sequential(nn.Flatten(), nn.Linear(256, n_classes))

    data, labels = pictures()
    for chosen in (np.arange(5), np.arange(20, 50)):
        learner = torch_learner(Architecture(net))
        learner.fit(data, chosen, labels[chosen], np.random.default_rng(7))
    assert torch.equal(*built)


def test_each_fit_starts_afresh_unless_warm():
    for warm in (False, True):
        learner = torch_learner("linear", warm_start=warm, lr=1e-9, steps=1)
        fitted(learner, seed=0)
        first = weights(learner)["output.weight"]
        fitted(learner, seed=5)
        distance = (weights(learner)["output.weight"] - first).abs().max()
        assert (distance < 1e-6) == warm


def test_a_warm_start_begins_afresh_when_classes_come(caplog):
    learner = torch_learner("linear", warm_start=True)
    data, _ = fitted(learner)
    fitted(learner, data=replace(data, classes=("a", "b", "c", "d")))
    assert all_of(learner, data).probs.shape == (60, 4)
    assert "weights start afresh" in caplog.text


def test_one_sample_and_one_class():
    data, _ = pictures()
    learner = torch_learner()
    learner.fit(data, np.array([5]), np.array([2]), np.random.default_rng(0))
    assert all_of(learner, data).probs.shape == (60, 3)


def test_mc_dropout_masks_are_shared_by_all_samples_and_batches():
    learner = torch_learner("cnn_dropout", members="mc_dropout", n_members=4, eval_batch_size=16)
    data, _ = fitted(learner)
    members = all_of(learner, data, frozenset(["members"])).members
    assert members.shape == (4, 60, 3)
    few = learner.predict(data.pool, np.array([40, 3]), frozenset(["members"])).members
    assert torch.allclose(few, members[:, [40, 3]], atol=1e-6)
    assert len({tuple(m.flatten().tolist()) for m in members}) == 4
    assert torch.allclose(members.sum(2), torch.ones(4, 60), atol=1e-5)
    plain = all_of(learner, data).probs
    assert torch.allclose(plain, plain_forward(learner, data).softmax(1), atol=1e-6)


def test_mc_dropout_by_hand():
    net = lambda n_classes: nn.Sequential(  # noqa: E731  # shorter than a function
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(256, n_classes)
    )
    learner = torch_learner(Architecture(net), members="mc_dropout", n_members=50)
    data, _ = fitted(learner)
    masks = learner._fitted.predict.masks
    drawn = torch.stack([masks._draw(m, 0, (256,), torch.device("cpu")) for m in range(50)])
    assert drawn.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((drawn > 0).float().mean()) == pytest.approx(0.75, abs=0.02)
    inputs = data.pool.batch(np.arange(60), learner.device).flatten(1)
    layer = learner._fitted.networks[0].module[2]
    expected = layer(inputs * drawn[7]).softmax(1)
    found = all_of(learner, data, frozenset(["members"])).members[7]
    assert torch.allclose(found, expected, atol=1e-5)


def test_dropout_of_channels_drops_whole_channels():
    net = lambda n_classes: nn.Sequential(  # noqa: E731  # shorter than a function
        nn.Conv2d(1, 6, 1), nn.Dropout2d(0.5), nn.Flatten(), nn.Linear(6 * 256, n_classes)
    )
    learner = torch_learner(Architecture(net), members="mc_dropout", n_members=2)
    data, _ = fitted(learner)
    all_of(learner, data, frozenset(["members"]))
    module, masks = learner._fitted.networks[0].module, learner._fitted.predict.masks
    with masks.of_member(0), torch.no_grad():
        after = module[1](torch.ones(3, 6, 16, 16))
    assert torch.equal(after, after[:1, :, :1, :1].expand_as(after))
    assert set(after.unique().tolist()) <= {0.0, 2.0}


def test_ensemble_is_the_mean_of_networks_trained_apart():
    learner = torch_learner(members="ensemble", n_members=3)
    epochs = []
    learner.on_epoch = epochs.append
    data, history = fitted(learner)
    prediction = all_of(learner, data, EVERYTHING)
    expected = torch.stack([plain_forward(learner, data, m).softmax(1) for m in range(3)])
    assert torch.allclose(prediction.members, expected, atol=1e-6)
    assert torch.allclose(prediction.probs, expected.mean(0), atol=1e-6)
    logits = plain_forward(learner, data, 0)
    assert torch.allclose(learner.head(prediction.features), logits, atol=1e-5)
    assert not same(weights(learner, 0), weights(learner, 1))
    assert history.steps == 15
    assert [(e.number, e.of) for e in epochs] == [(n, 6) for n in range(1, 7)]


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("cnn", {}),
        ("cnn_dropout", {"members": "mc_dropout", "n_members": 3}),
        ("cnn_dropout", {"members": "ensemble", "n_members": 2}),
        ("resnet18", {"steps": 1}),
    ],
)
def test_save_and_load(tmp_path, model, options):
    path = tmp_path / "weights.safetensors"
    learner, other = torch_learner(model, **options), torch_learner(model, **options)
    data, _ = fitted(learner, n=8)
    assert learner.save(path)
    before = random_state()
    assert other.load(path, data)
    assert random_state() == before
    needs = EVERYTHING if "members" in options else frozenset(["features"])
    a, b = all_of(learner, data, needs), all_of(other, data, needs)
    assert torch.equal(a.probs, b.probs)
    assert torch.equal(a.features, b.features)
    assert a.members is b.members is None or torch.equal(a.members, b.members)
    assert torch.equal(learner.head(a.features), other.head(a.features))
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


def test_buffers_and_shared_weights_are_saved(tmp_path):
    class Net(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.one, self.norm = nn.Linear(256, 256), nn.BatchNorm1d(256)
            self.two, self.out = self.one, nn.Linear(256, n_classes)

        def forward(self, x):
            return self.out(self.two(self.norm(self.one(x.flatten(1)))))

    learner = torch_learner(Architecture(Net))
    data, _ = fitted(learner)
    assert learner.save(tmp_path / "w")
    other = torch_learner(Architecture(Net))
    other.load(tmp_path / "w", data)
    assert same(weights(learner), weights(other))
    assert "0.norm.running_var" in load_file(tmp_path / "w")


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w"
    learner = torch_learner("linear")
    fitted(learner)
    learner.save(path)
    old = path.read_bytes()
    fitted(learner, seed=3)

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        learner.save(path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_a_state_that_is_no_tensor_is_not_saved(tmp_path):
    class Net(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1))

        def get_extra_state(self):
            return {"a": 1}

        def set_extra_state(self, state):
            pass

    learner = torch_learner(architecture(lambda: Net(256, 3)))
    fitted(learner)
    assert not learner.save(tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_fit(tmp_path):
    path = tmp_path / "w"
    learner = torch_learner("mlp")
    data, _ = fitted(learner)
    learner.save(path)
    assert not torch_learner("mlp").load(tmp_path / "none", data)
    larger = replace(data, classes=("a", "b", "c", "d"))
    wide = torch_learner(load_model("mlp", hidden=[7]))
    for other, known, message in [
        (torch_learner("linear"), data, "model is mlp there and linear here"),
        (torch_learner("mlp"), larger, "n_classes is 3 there and 4 here"),
        (torch_learner("mlp", members="ensemble"), data, "n_networks is 1 there and 10 here"),
        (wide, data, r"dense1.bias has shape \[256\] there and \[7\] here \(3 of 4 tensors"),
    ]:
        with pytest.raises(LearnerError, match=message):
            other.load(path, known)
    path.write_bytes(b"12345678901234567890")
    with pytest.raises(LearnerError, match="cannot be read as weights"):
        learner.load(path, data)


def test_out_is_filled_in_place(tmp_path):
    learner = torch_learner("cnn_dropout", members="mc_dropout", n_members=2, eval_batch_size=9)
    data, _ = fitted(learner)
    expected = all_of(learner, data, EVERYTHING)
    shapes = {"probs": (60, 3), "features": (60, 84), "members": (2, 60, 3)}
    maps = {
        name: np.memmap(tmp_path / name, np.float32, "w+", shape=shape)
        for name, shape in shapes.items()
    }
    out = Prediction(**{name: torch.from_numpy(m) for name, m in maps.items()})
    assert all_of(learner, data, EVERYTHING, out=out) is out
    for name, filled in maps.items():
        assert np.array_equal(filled, getattr(expected, name).numpy())
    with pytest.raises(LearnerError, match=r"out.features must have shape \[60, 84\], got None"):
        all_of(learner, data, EVERYTHING, out=Prediction(probs=torch.empty(60, 3)))
    with pytest.raises(LearnerError, match=r"out.probs must have shape \[60, 3\], got \(1, 3\)"):
        all_of(learner, data, out=Prediction(probs=torch.empty(1, 3)))


def test_only_what_is_needed_is_computed():
    calls = []

    class Net(nn.Sequential):
        def __init__(self, n_classes):
            super().__init__(nn.Flatten(), nn.Dropout(), nn.Linear(256, n_classes))

        def forward(self, x):
            calls.append(1)
            return super().forward(x)

    learner = torch_learner(Architecture(Net), members="mc_dropout", n_members=5)
    data, _ = fitted(learner)
    for needs, count in [(NOTHING, 1), (frozenset(["features"]), 1), (EVERYTHING, 6)]:
        calls.clear()
        all_of(learner, data, needs)
        assert len(calls) == count


def test_the_head_keeps_neither_learner_nor_data_alive():
    learner = torch_learner("linear")
    fitted(learner)
    weight = learner.head.keywords["weight"]
    assert weight.data_ptr() != learner._fitted.networks[0].module.output.weight.data_ptr()
    assert not weight.requires_grad
    assert torch_learner("linear").head is None


def test_errors_before_anything_is_trained():
    data, labels = pictures()
    rng = np.random.default_rng(0)
    learner = torch_learner()
    for call in (
        lambda: all_of(learner, data),
        lambda: learner.save("w"),
    ):
        with pytest.raises(LearnerError, match="call fit or load first"):
            call()
    with pytest.raises(LearnerError, match="no labelled samples"):
        learner.fit(data, np.arange(0), labels[:0], rng)
    with pytest.raises(LearnerError, match="one label for each of 3 samples, got 2"):
        learner.fit(data, np.arange(3), labels[:2], rng)
    for wrong in (3, -1):
        with pytest.raises(LearnerError, match=f"labels must be 0 to 2, got {wrong}"):
            learner.fit(data, np.arange(1), np.array([wrong]), rng)
    with pytest.raises(LearnerError, match=r"needs a validation set: data.validation=100"):
        fitted(torch_learner(early_stopping="validation"))
    with pytest.raises(LearnerError, match=r"use model=cnn_dropout, or learner.members=ensemble"):
        fitted(torch_learner(members="mc_dropout"))
    with pytest.raises(ConfigError, match="must name a layer that cnn runs"):
        fitted(torch_learner(load_model("cnn", feature_layer="x")))


def test_members_that_are_not_there():
    learner = torch_learner()
    data, _ = fitted(learner)
    with pytest.raises(LearnerError, match=r"set learner.members=mc_dropout"):
        all_of(learner, data, frozenset(["members"]))
    assert learner.offers == {"probs", "features", "head"}
    assert torch_learner(members="ensemble").offers >= {"members", "probs"}
    assert "members" in torch_learner("cnn_dropout", members="mc_dropout").offers


def test_early_stopping_by_the_data_sets_validation():
    data, labels = pictures(validation=True)
    learner = torch_learner(early_stopping="validation", early_stopping_patience=1, steps=300)
    history = learner.fit(data, np.arange(8), labels[::-1][:8], np.random.default_rng(0))
    assert history.steps < 300


def test_epochs_are_told_as_they_go():
    learner, told = torch_learner(steps=None, epochs=3, min_steps=0), []
    learner.on_epoch = told.append
    _, history = fitted(learner)
    assert told == list(history.epochs)
    assert [(e.number, e.of) for e in told] == [(1, 3), (2, 3), (3, 3)]


@GPU
@pytest.mark.parametrize("mixed", [False, True])
def test_on_a_gpu(tmp_path, mixed):
    learner = torch_learner(
        "cnn_dropout",
        device="cuda",
        members="mc_dropout",
        n_members=3,
        mixed_precision=mixed,
        augment=["crop", "flip"],
        steps=60,
    )
    torch.rand(1, device="cuda")
    before = random_state()
    data, _ = fitted(learner)
    prediction = all_of(learner, data, EVERYTHING)
    assert random_state() == before
    assert prediction.probs.device == learner.device == torch.device("cuda", 0)
    assert prediction.features.dtype == torch.float32
    logits = learner.head(prediction.features)
    assert torch.allclose(logits.softmax(1), prediction.probs, atol=1e-3)
    assert learner.save(tmp_path / "w")
    on_cpu = torch_learner("cnn_dropout", members="mc_dropout", n_members=3)
    assert on_cpu.load(tmp_path / "w", data)
    there = all_of(on_cpu, data, EVERYTHING)
    assert torch.allclose(there.probs, prediction.probs.cpu(), atol=5e-3)
    assert torch.allclose(there.members, prediction.members.cpu(), atol=5e-3)


@GPU
def test_a_gpu_fills_memory_of_the_host():
    learner = torch_learner(device="cuda")
    data, _ = fitted(learner)
    out = Prediction(probs=torch.empty(60, 3))
    assert torch.allclose(all_of(learner, data, out=out).probs, all_of(learner, data).probs.cpu())
