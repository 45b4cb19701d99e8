"""All that computes on a GPU, on one that is made up where there is none."""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from fakes import blobs
from made_up_gpu import GPU, made_up_gpu
from pictures import NOTHING, architecture, pictures, random_state, torch_learner
from torch import nn

import activeloop
from activeloop import environment
from activeloop.backbones.embedding import backbone
from activeloop.data import raw_batches
from activeloop.data.samples import TensorSamples
from activeloop.embed import pca
from activeloop.errors import StrategyError
from activeloop.learners import ProbeLearner, TorchLearner
from activeloop.learners import recorded as recorded_steps
from activeloop.learners.chance import repeatable
from activeloop.learners.stacked import Stacked
from activeloop.models import load_model
from activeloop.selection import random_states, select
from activeloop.strategies import CATALOG, load_strategy
from activeloop.testing import make_context
from activeloop.types import Fit, Prediction

CPU = torch.device("cpu")
MADE_UP = not torch.cuda.is_available()


@pytest.fixture
def waits(monkeypatch) -> Iterator[Callable[[], int]]:
    """Give a GPU, and how often the host has waited for it."""
    if MADE_UP:
        with made_up_gpu(monkeypatch) as gpu:

            def count() -> int:
                return len(gpu.waits)

            count.gpu = gpu
            yield count
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        yield lambda: sum("synchronizing CUDA" in str(each.message) for each in caught)
        torch.cuda.set_sync_debug_mode("default")


def fitted(learner, data, labels, n=24):
    return learner.fit(data, np.arange(n), labels[:n], np.random.default_rng(0))


def pooled_first() -> nn.Module:
    """Return a network that begins as one on a CPU may be made faster."""
    return nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3))


def with_batch_statistics() -> nn.Module:
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3)]
    return nn.Sequential(*layers)


LEARNERS = {
    "cnn": {"model": "cnn"},
    "lenet5": {"model": "lenet5", "optimizer": "sgd", "schedule": "cosine"},
    "pooling first": {"model": architecture(pooled_first)},
    "augmented": {"model": "cnn", "augment": ["crop", "flip"], "label_smoothing": 0.1},
    "bfloat16": {"model": "cnn", "mixed_precision": True, "warm_start": True},
    "validated": {"model": "mlp", "early_stopping": "validation", "optimizer": "adamw"},
    "dropout": {"model": "cnn_dropout", "members": "mc_dropout", "n_members": 3},
    "ensemble": {"model": "mlp", "members": "ensemble", "n_members": 2},
    "batch statistics": {"model": architecture(with_batch_statistics)},
}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_lives_on_a_gpu(waits, name, tmp_path):
    settings = LEARNERS[name]
    data, labels = pictures(validation=True)
    needs = frozenset(["features", *(["members"] if "members" in settings else [])])
    everything = np.arange(len(data.pool))
    learner = torch_learner(device="cuda:0", **settings)
    before = random_state()
    fitted(learner, data, labels)
    found = learner.predict(data.pool, everything, needs)
    assert random_state() == before
    parts = ["probs", *needs]
    assert {getattr(found, part).device for part in parts} == {GPU}
    assert {getattr(found, part).dtype for part in parts} == {torch.float32}
    tolerance = 1e-5 if MADE_UP else 0.02  # there TF32 rounds convolutions
    if "ensemble" not in name:
        logits = learner.head(found.features)
        assert (logits.softmax(1) - found.probs).abs().max() < tolerance
    assert learner.save(tmp_path / "weights")
    on_host = Prediction(probs=torch.empty(len(data.pool), 3))
    for device in ("cuda:0", "cpu"):
        other = torch_learner(**settings, device=device)
        assert other.load(tmp_path / "weights", data)
        there = other.predict(data.pool, everything, needs)
        for part in parts:
            apart = getattr(there, part).cpu() - getattr(found, part).cpu()
            assert apart.abs().max() < tolerance
        other.predict(data.pool, everything, NOTHING, on_host)
        assert (on_host.probs - found.probs.cpu()).abs().max() < tolerance
    fitted(learner, data, labels, n=30)


def epochs_of(learner, waits):
    """Return a list to which each epoch of `learner` adds how often the host has waited."""
    counts = []
    learner.on_epoch = lambda _: counts.append(waits())
    return counts


SEVERAL_EPOCHS = {"device": "cuda:0", "steps": None, "epochs": 4, "min_steps": 0}


@pytest.mark.parametrize("name", sorted(LEARNERS.keys() - {"validated"}))
def test_the_host_waits_once_an_epoch_when_its_loss_is_read(waits, name):
    data, labels = pictures()
    learner = torch_learner(**(LEARNERS[name] | SEVERAL_EPOCHS))
    counts = epochs_of(learner, waits)
    fitted(learner, data, labels)
    assert np.diff(counts[:4]).tolist() == [1, 1, 1]


def in_python(forward):
    """Return a network of a class of its own, which begins by `forward`."""

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 3))

        def forward(self, x):
            return self.layers(forward(x))

    return architecture(Network)


def replays(of):
    """Return how many steps were replayed, of so many; on a real GPU nobody counts."""
    return of.gpu.replays if MADE_UP else None


@pytest.mark.parametrize("name", ["cnn", "lenet5", "augmented", "bfloat16", "batch statistics"])
def test_recorded_steps_are_those_that_would_be_taken(waits, name):
    data, labels = pictures()
    found = {}
    for recorded in (True, False):
        settings = LEARNERS[name] | SEVERAL_EPOCHS | {"epochs": 6, "cuda_graphs": recorded}
        learner = torch_learner(**settings)
        already = replays(waits)
        fitted(learner, data, labels, n=27)  # batches of 7 and of 6
        found[recorded] = learner.predict(data.pool, np.arange(60), NOTHING).probs
        if MADE_UP:
            # Of 18 steps of 7 samples, and 6 of 6, the first three of each are taken as they are.
            assert replays(waits) - already == (18 if recorded else 0)
    # The learning rate is rounded to float32.
    assert (found[True] - found[False]).abs().max() < (1e-3 if MADE_UP else 0.05)


@pytest.mark.parametrize("name", ["cnn", "augmented", "dropout"])
def test_steps_of_a_stack_are_recorded(waits, name):
    data, labels = pictures()
    found = {}
    for recorded in (True, False):
        learners, *_ = together(
            data, labels, waits, **LEARNERS[name], epochs=6, cuda_graphs=recorded
        )
        if MADE_UP:
            assert replays(waits) == 15
        found[recorded] = learners[1].predict(data.pool, np.arange(60), NOTHING).probs
    assert (found[True] - found[False]).abs().max() < (1e-4 if MADE_UP else 0.05)


@pytest.mark.skipif(not MADE_UP, reason="nobody counts the graphs of a real GPU")
def test_recordings_end_with_their_training(waits):
    # They hold the memory of a step, which cycles of references would keep for a long time.
    data, labels = pictures()
    gc.collect()
    gc.disable()
    try:
        learner = torch_learner(**SEVERAL_EPOCHS, cuda_graphs=True)
        fitted(learner, data, labels)
        together(data, labels, waits, cuda_graphs=True)
    finally:
        gc.enable()
    assert replays(waits) == 18
    assert not waits.gpu.graphs


def test_what_may_be_recorded():
    def hooked(of):
        layer = nn.Linear(2, 2)
        getattr(layer, f"register_{of}_hook")(lambda *_: None)
        return nn.Sequential(layer)

    recordable = recorded_steps.recordable
    for name in ("cnn_dropout", "resnet18"):
        assert recordable(load_model(name).build((3, 32, 32), 4).module)
    for of in ("forward", "forward_pre", "full_backward", "full_backward_pre"):
        assert not recordable(hooked(of))
    for of in ("", "post_accumulate_grad_"):
        layer = nn.Linear(2, 2)
        getattr(layer.weight, f"register_{of}hook")(lambda *_: None)
        assert not recordable(nn.Sequential(layer))
    assert not recordable(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, momentum=None)))
    assert not recordable(nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64)))
    assert not recordable(in_python(lambda x: x).factory())


def test_steps_aside_begin_after_what_was_asked_before_and_what_follows_waits(monkeypatch):
    order = []

    class Stream:
        def wait_stream(self, other):
            order.append((self, other))

    aside, here = Stream(), Stream()
    monkeypatch.setattr(recorded_steps, "_side_stream", lambda _: aside)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: here)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    with recorded_steps.side_stream(torch.device("cuda", 0)):
        order.append("steps")
    assert order == [(aside, here), "steps", (here, aside)]


@pytest.mark.parametrize("before", [True, False])
def test_how_cudnn_chooses_is_what_it_was_once_nobody_is_computing(monkeypatch, before):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", before)
    first, second = repeatable(torch.device("cuda")), repeatable(torch.device("cuda"))
    with second:
        with first:
            assert torch.backends.cudnn.deterministic
        assert torch.backends.cudnn.deterministic  # the other is computing still
    assert torch.backends.cudnn.deterministic == before


def test_steps_of_a_strangers_network_are_not_recorded(waits):
    data, labels = pictures()
    scales = iter(range(1, 1000))
    model = in_python(lambda x: x / next(scales))  # another operation in each step
    learner = torch_learner(**SEVERAL_EPOCHS, model=model, cuda_graphs=True)
    fitted(learner, data, labels)
    assert not replays(waits)


def test_steps_that_cannot_be_recorded_are_taken_as_they_are(waits, monkeypatch, caplog):
    monkeypatch.setattr(recorded_steps, "_KNOWN", ["torch", "test_gpu"])
    data, labels = pictures()
    model = in_python(lambda x: x / float(x.abs().max()))
    found = {}
    for recorded in (True, False):
        learner = torch_learner(**SEVERAL_EPOCHS, model=model, cuda_graphs=recorded)
        with caplog.at_level("INFO"):
            fitted(learner, data, labels)
        found[recorded] = learner.predict(data.pool, np.arange(60), NOTHING).probs
    (said,) = caplog.messages
    assert said.startswith("gradient steps cannot be recorded: ")
    assert (found[True] - found[False]).abs().max() < (1e-4 if MADE_UP else 0.05)


def test_cudnn_repeats_itself_meanwhile(waits):
    data, labels = pictures()
    flags = []
    model = in_python(lambda x: (flags.append(torch.backends.cudnn.deterministic), x)[1])
    learner = torch_learner(device="cuda:0", model=model)
    fitting = learner.begin(data, np.arange(8), labels[:8], np.random.default_rng(0))
    flags.clear()
    learner.train(fitting, 0)
    learner.end(fitting, [])
    flags[-1:] = []  # the check of the head
    learner.predict(data.pool, np.arange(8), NOTHING)
    assert flags == [True] * 6
    assert not torch.backends.cudnn.deterministic


def test_the_first_epoch_waits_no_more_than_the_others(waits):
    images = torch.randint(256, (40, 1, 16, 16), dtype=torch.uint8)
    data, labels = pictures(40)
    keys = [str(n) for n in range(40)]
    data = activeloop.Data(
        name="resident",
        classes=data.classes,
        pool=TensorSamples(images, keys, torch.tensor([0.5]), torch.tensor([0.2])),
    )
    learner = torch_learner(**SEVERAL_EPOCHS)
    fitting = learner.begin(data, np.arange(24), labels[:24], np.random.default_rng(0))
    counts = [waits(), *epochs_of(learner, waits)]
    learner.on_epoch = lambda _: counts.append(waits())
    learner.finish(fitting)
    assert np.diff(counts).tolist() == [1, 1, 1, 1]


def together(data, labels, waits, **settings):
    """Return learners that were fitted as a stack, the stack, and the waits of each epoch."""
    learners = [torch_learner(**(SEVERAL_EPOCHS | settings)) for _ in range(3)]
    counts = epochs_of(learners[0], waits)
    stack = TorchLearner.together(learners)
    fits = {
        n: Fit(data=data, indices=np.arange(24), labels=labels[:24], rng=np.random.default_rng(n))
        for n in range(3)
    }
    for result in stack.fit_many(fits).values():
        if isinstance(result, Exception):
            raise result
        assert result.epochs[-1].loss < 1.5  # that of a network that knows nothing is 1.1
    return learners, stack, counts


@pytest.mark.parametrize("name", ["cnn", "augmented", "dropout", "ensemble"])
def test_learners_are_stacked_on_a_gpu(waits, name, caplog):
    data, labels = pictures()
    with caplog.at_level("INFO"):
        learners, stack, counts = together(data, labels, waits, **LEARNERS[name])
        assert isinstance(stack, Stacked)
        needs = frozenset(["features"])
        found = stack.predict_many([0, 1, 2], data.pool, needs, None)
    assert not caplog.messages  # such as that they are trained one after another
    assert sorted(found) == [0, 1, 2]
    assert np.diff(counts[:4:2] if name == "ensemble" else counts).max() == 1
    for n, learner in enumerate(learners):
        alone = learner.predict(data.pool, np.arange(len(data.pool)), needs)
        assert alone.probs.device == found[n].probs.device == GPU
        assert (alone.probs - found[n].probs).abs().max() < 5e-3


def test_resident_samples_are_predicted_without_a_wait(waits):
    images = torch.randint(256, (300, 1, 16, 16), dtype=torch.uint8)
    keys = [str(n) for n in range(300)]
    pool = TensorSamples(images, keys, torch.tensor([0.5]), torch.tensor([0.2]))
    data = activeloop.Data(name="resident", classes=("a", "b", "c"), pool=pool)
    learner = torch_learner(device="cuda:0", eval_batch_size=64)
    fitted(learner, data, np.arange(24) % 3)
    learner.predict(pool, np.arange(300), NOTHING)
    before = waits()
    learner.predict(pool, np.random.default_rng(0).permutation(300), frozenset(["features"]))
    assert waits() == before


def test_samples_too_large_for_a_gpu_stay_on_the_host(waits, monkeypatch):
    images = torch.randint(256, (40, 1, 16, 16), dtype=torch.uint8)
    samples = TensorSamples(images, [str(n) for n in range(40)], torch.zeros(1), torch.ones(1))
    asked = []

    def memory(device):
        asked.append(device)
        return len(asked) * 10**6, 10**9  # more later on: what was decided holds

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (asked.append(device), 1)[::-1])
    order = np.random.default_rng(0).permutation(40)
    assert samples.streams(GPU)
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    before = waits()
    batches = [batch.clone() for batch in raw_batches(samples, order, 7, GPU)]
    assert waits() == before
    assert {batch.device for batch in batches} == {GPU}
    assert torch.equal(torch.cat(batches).cpu(), images[order])
    assert len(asked) == 1


OPTIONS = {
    "mix": {"strategies": ["margin", "badge"], "shares": [0.5, 0.5]},
    "switch": {"first": "typiclust", "then": "margin", "at": 5},
    "filter": {"score": "margin", "then": "k_means", "beta": 3},
    "subsample": {"strategy": "entropy", "size": 30},
    "seals": {"strategy": "margin"},
    "deduplicate": {"strategy": "entropy", "threshold": 0.5},
    "class_balanced": {"score": "margin"},
    "weighted_k_means": {"score": "margin"},
    "information_density": {"score": "entropy"},
}


@pytest.mark.parametrize("name", sorted(CATALOG.keys() - {"replay"}))
def test_a_strategy_picks_on_a_gpu_as_on_a_cpu(waits, name):
    strategy = load_strategy(name, **OPTIONS.get(name, {}))
    ours, theirs = (select(strategy, make_context(device=d))[0] for d in ("cuda:0", "cpu"))
    if name != "dropquery" or MADE_UP:  # it draws on the device
        assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize("name", ["badge", "dcom", "uherding", "neighbor_kl", "cal", "typiclust"])
def test_embeddings_are_beside_the_predictions(waits, name):
    data, hidden = blobs()
    data = pca(data, dimensions=2, as_input=False)
    assert data.embeddings.device == CPU
    loop = activeloop.ActiveLoop(
        data,
        TorchLearner(load_model("mlp", hidden=[8]), steps=5, device="cuda:0"),
        load_strategy(name, space="embeddings"),
        test_labels=hidden.test,
        initial=6,
        query_size=4,
        rounds=2,
    )
    rounds = loop.run(activeloop.SimulatedOracle(hidden.pool))
    assert [each.labels for each in rounds] == [6, 10, 14]


@pytest.mark.parametrize("head", ["linear", "logistic_regression"])
def test_a_probe_is_fitted_on_a_gpu(waits, head):
    data, hidden = blobs()
    settings = {"head": head, "members": "ensemble", "n_members": 2}
    found = {}
    for device in ("cuda:0", "cpu"):
        learner = ProbeLearner(device=device, **settings)
        fitted(learner, data, hidden.pool)
        needs = frozenset(["members"])
        found[device] = learner.predict(data.pool, np.arange(len(data.pool)), needs)
    assert found["cuda:0"].members.device == GPU
    assert (found["cuda:0"].probs.cpu() - found["cpu"].probs).abs().max() < 1e-3


def test_images_are_embedded_on_a_gpu(waits):
    data, _ = pictures(6)
    vectors = {
        device: backbone(data, weights="random", size=32, device=device).pool.raw(np.arange(6), CPU)
        for device in ("cuda:0", "cpu")
    }
    assert (vectors["cuda:0"] - vectors["cpu"]).abs().max() < 1e-2


def test_a_gpu_that_nobody_uses_is_not_started(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    for name in ("get_rng_state", "get_rng_state_all", "_lazy_init"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: pytest.fail("the GPU is started"))
    assert random_states().keys() == {"random", "numpy.random", "torch"}


def test_a_strategy_may_be_the_first_to_use_a_gpu(waits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: bool(used))
    used = []

    def strategy(context):
        used.append(torch.zeros(1, device=GPU))
        return context.unlabelled[: context.k]

    assert len(select(strategy, make_context())[0]) == 5
    drawing = [lambda context: (torch.rand(1, device=GPU), context.unlabelled[: context.k])[1]]
    with pytest.raises(StrategyError, match=r"global random state of torch\.cuda"):
        select(drawing[0], make_context())


def test_the_environment_names_the_gpu_that_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"card {device}")
    assert environment.environment("cuda:1")["hardware"]["accelerator"] == "card cuda:1"
