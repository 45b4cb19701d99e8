"""Several learners at once, in threads or stacked, beside each alone."""

import logging

import numpy as np
import pytest
import torch
from pictures import NOTHING, architecture, pictures, random_state, torch_learner
from torch import nn

from activeloop.errors import LearnerError
from activeloop.learners.stack import Stack
from activeloop.learners.stack_training import StackTraining
from activeloop.learners.stacked import Stacked
from activeloop.learners.threads import InThreads
from activeloop.types import Fit

BOTH = pytest.mark.parametrize("way", [InThreads, Stacked])
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
MODELS = [
    {"model": "cnn"},
    {"model": "lenet5", "optimizer": "sgd", "schedule": "cosine", "weight_decay": 0.01},
    {"model": "mlp", "label_smoothing": 0.1, "optimizer": "adamw"},
    {"model": "cnn_dropout", "augment": ["crop", "flip"]},
    {"model": "cnn_dropout", "members": "mc_dropout", "n_members": 3},
    {"model": "cnn", "members": "ensemble", "n_members": 2},
]


def fits(n, data, labels, size=21, **lengths):
    """Return a fit for each of `n` learners, on samples of its own."""
    made = {}
    for which in range(n):
        few = lengths.get(f"of_{which}", size)
        chosen = np.random.default_rng(which).permutation(len(labels))[:few]
        rng = np.random.default_rng(100 + which)
        made[which] = Fit(data=data, indices=chosen, labels=labels[chosen], rng=rng)
    return made


def alone(n, data, labels, size=21, **settings):
    """Return learners that were fitted each by itself, and their histories."""
    learners = [torch_learner(**settings) for _ in range(n)]
    histories = [
        learner.fit(each.data, each.indices, each.labels, each.rng)
        for learner, each in zip(learners, fits(n, data, labels, size).values(), strict=True)
    ]
    return learners, histories


def together(way, n, data, labels, size=21, which=None, **settings):
    """Return learners that were fitted at once, what did it, and the results."""
    learners = [torch_learner(**settings) for _ in range(n)]
    due = fits(n, data, labels, size)
    doer = way(learners)
    return learners, doer, doer.fit_many({w: due[w] for w in (due if which is None else which)})


def probs(learner, data, needs=NOTHING):
    return learner.predict(data.pool, np.arange(len(data.pool)), needs).probs


def weights(learner):
    return [
        weight.detach().clone()
        for network in learner._fitted.networks
        for weight in network.module.parameters()
    ]


@pytest.mark.parametrize("settings", MODELS, ids=lambda s: "-".join(map(str, s.values())))
@BOTH
def test_they_come_out_as_each_alone(way, settings):
    data, labels = pictures()
    settings = {"steps": 12, **settings}
    singles, histories = alone(3, data, labels, **settings)
    learners, doer, results = together(way, 3, data, labels, **settings)
    for single, learner, history, result in zip(
        singles, learners, histories, results.values(), strict=True
    ):
        assert result.steps == history.steps
        assert [e.number for e in result.epochs] == [e.number for e in history.epochs]
        assert [e.loss for e in result.epochs] == pytest.approx([e.loss for e in history.epochs])
        assert torch.allclose(probs(learner, data), probs(single, data), atol=1e-4)
    needs = frozenset(["features"] + ["members"] * ("members" in settings))
    everything = np.arange(len(data.pool))
    for which, prediction in doer.predict_many([2, 0], data.pool, needs, None).items():
        expected = singles[which].predict(data.pool, everything, needs)
        for name in sorted(needs | {"probs"}):
            assert torch.allclose(getattr(prediction, name), getattr(expected, name), atol=1e-4)
    # Seeds must differ, or nothing was shown.
    assert not torch.allclose(probs(singles[0], data), probs(singles[1], data), atol=1e-2)


@pytest.mark.parametrize("threads", [1, 3])
def test_with_a_thread_each_they_are_the_same_to_the_bit(threads):
    data, labels = pictures()
    settings = {"model": "cnn_dropout", "augment": "auto", "steps": 8}
    singles, _ = alone(3, data, labels, **settings)
    torch.set_num_threads(threads)
    try:
        learners, doer, _ = together(InThreads, 3, data, labels, **settings)
        many = doer.predict_many([0, 1, 2], data.pool, NOTHING, None)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    for which, (single, learner) in enumerate(zip(singles, learners, strict=True)):
        assert all(map(torch.equal, weights(single), weights(learner)))
        assert torch.equal(many[which].probs, probs(single, data))


@BOTH
def test_who_else_takes_part_changes_no_bit(way):
    data, labels = pictures()
    settings = {"model": "cnn_dropout", "steps": 8, "augment": "auto"}
    learners, doer, _ = together(way, 3, data, labels, **settings)
    all_three = doer.predict_many([0, 1, 2], data.pool, NOTHING, None)[2].probs
    others, other_doer, results = together(way, 3, data, labels, which=[2], **settings)
    assert results.keys() == {2}
    assert all(map(torch.equal, weights(learners[2]), weights(others[2])))
    only = other_doer.predict_many([2], data.pool, NOTHING, None)
    assert all(torch.equal(each.probs, all_three) for each in only.values())


@BOTH
def test_the_global_generators_are_left_alone(way):
    data, labels = pictures()
    before = random_state()
    together(way, 2, data, labels, model="cnn_dropout", augment="auto")
    assert random_state() == before


@BOTH
def test_weights_go_on_from_those_before(way):
    data, labels = pictures()
    singles, _ = alone(2, data, labels, warm_start=True, steps=8)
    learners, doer, _ = together(way, 2, data, labels, warm_start=True, steps=8)
    doer.fit_many(fits(2, data, labels, size=30))
    for single, each in zip(singles, fits(2, data, labels, size=30).values(), strict=True):
        single.fit(each.data, each.indices, each.labels, each.rng)
    for single, learner in zip(singles, learners, strict=True):
        assert torch.allclose(probs(learner, data), probs(single, data), atol=1e-4)


@BOTH
def test_one_that_fails_stops_no_other(way):
    data, labels = pictures()
    due = fits(3, data, labels)
    wrong = np.full_like(due[1].labels, 7)
    due[1] = Fit(data=data, indices=due[1].indices, labels=wrong, rng=due[1].rng)
    learners = [torch_learner() for _ in range(3)]
    results = way(learners).fit_many(due)
    assert isinstance(results[1], LearnerError)
    singles, _ = alone(3, data, labels)
    for which in (0, 2):
        assert torch.allclose(probs(learners[which], data), probs(singles[which], data), atol=1e-4)


class Explodes(nn.Module):
    """Gives infinite logits once its weight is above one, where it is for one seed only."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(1) * 2)
        self.output = nn.Linear(256, 3)

    def forward(self, x):
        return self.output(x.flatten(1)) / (self.weight < 1)


@BOTH
def test_one_that_diverges_is_told_apart(way):
    data, labels = pictures()
    failed = []
    for each in fits(4, data, labels).values():
        single = torch_learner(architecture(Explodes))
        try:
            single.fit(each.data, each.indices, each.labels, each.rng)
            failed.append(False)
        except LearnerError:
            failed.append(True)
    assert set(failed) == {True, False}  # else other seeds are needed
    _, _, many = together(way, 4, data, labels, model=architecture(Explodes))
    assert [isinstance(many[which], LearnerError) for which in range(4)] == failed
    assert "training diverged" in str(many[failed.index(True)])


@BOTH
def test_different_numbers_of_labels(way, caplog):
    data, labels = pictures()
    learners = [torch_learner(epochs=3, steps=None, min_steps=1) for _ in range(3)]
    due = fits(3, data, labels, of_1=33)
    with caplog.at_level(logging.INFO):
        results = way(learners).fit_many(due)
    assert [results[n].steps for n in range(3)] == [9, 15, 9]
    assert ("different numbers of labels" in caplog.text) == (way is Stacked)
    single = torch_learner(epochs=3, steps=None, min_steps=1)
    again = fits(3, data, labels, of_1=33)[1]
    single.fit(data, again.indices, again.labels, again.rng)
    assert torch.allclose(probs(learners[1], data), probs(single, data), atol=1e-4)


class Noisy(nn.Module):
    """Draws past torch's functions that take a generator."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(256, 3)

    def forward(self, x):
        x = x.flatten(1)
        return self.output(x + torch.randn_like(x) if self.training else x)


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.output = nn.Linear(256, 3)

    def forward(self, x):
        return self.output(self.norm(x).flatten(1))


class Branching(nn.Module):
    """Takes a path that depends on numbers, which vmap cannot follow."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(256, 3)

    def forward(self, x):
        logits = self.output(x.flatten(1))
        return logits if logits.detach().sum() > 0 else 2 * logits


@pytest.mark.parametrize(
    ("way", "model", "settings", "reason"),
    [
        (InThreads, Noisy, {}, "draws by chance"),
        (Stacked, Noisy, {}, "draws by chance"),
        (Stacked, Normalised, {}, "statistics of its batches"),
        (Stacked, Branching, {}, "cannot be stacked"),
        (Stacked, Normalised, {"early_stopping": "train_accuracy"}, "early stopping"),
    ],
)
def test_what_cannot_be_done_at_once_is_said_and_done_one_after_another(
    way, model, settings, reason, caplog
):
    data, labels = pictures()
    settings = {"model": architecture(model), "steps": 6, **settings}
    singles, _ = alone(2, data, labels, **settings)
    with caplog.at_level(logging.INFO):
        learners, doer, _ = together(way, 2, data, labels, **settings)
        doer.fit_many(fits(2, data, labels))
    lines = [r.getMessage() for r in caplog.records if "one after another" in r.getMessage()]
    assert len(lines) == 1
    assert reason in lines[0]
    for single, learner in zip(singles, learners, strict=True):
        assert all(map(torch.equal, weights(single), weights(learner)))


def test_a_device_that_cannot_stack_them_trains_one_after_another(monkeypatch, caplog):
    data, labels = pictures()
    singles, _ = alone(2, data, labels)

    def out_of_memory(self, *arguments, **options):
        raise RuntimeError("out of memory")

    _, doer, _ = together(Stacked, 2, data, labels)
    with monkeypatch.context() as patched:
        patched.setattr(Stack, "evaluate", out_of_memory)
        assert doer.predict_many([0, 1], data.pool, NOTHING, None) == {}
    monkeypatch.setattr(StackTraining, "run", out_of_memory)
    with caplog.at_level(logging.INFO):
        learners, doer, _ = together(Stacked, 2, data, labels)
    assert "one after another: the networks cannot be stacked here (out of memory)" in caplog.text
    for single, learner in zip(singles, learners, strict=True):
        assert all(map(torch.equal, weights(single), weights(learner)))
    assert doer.predict_many([0, 1], data.pool, NOTHING, None) == {}


def test_batch_normalisation_needs_no_fallback_in_threads(caplog):
    data, labels = pictures()
    with caplog.at_level(logging.INFO):
        together(InThreads, 2, data, labels, model=architecture(Normalised))
    assert not caplog.records


def test_predictions_that_do_not_fit_in_memory_are_left_to_each():
    data, labels = pictures()
    _, doer, _ = together(InThreads, 3, data, labels)
    size = 4 * 3 * len(data.pool)
    assert doer.predict_many([0, 1, 2], data.pool, NOTHING, 2 * size - 1) == {}
    assert doer.predict_many([1, 0, 2], data.pool, NOTHING, 2 * size).keys() == {1, 0}
    _, doer, _ = together(Stacked, 3, data, labels)
    assert doer.predict_many([0, 1], data.pool, NOTHING, 3 * size - 1) == {}
    assert doer.predict_many([0, 1], data.pool, NOTHING, 3 * size).keys() == {0, 1}


@BOTH
def test_samples_are_fetched_once_for_all(way):
    data, labels = pictures()
    _, doer, _ = together(way, 3, data, labels)
    data.pool.fetched.clear()
    doer.predict_many([0, 1, 2], data.pool, NOTHING, None)
    assert len(data.pool) <= sum(data.pool.fetched) <= len(data.pool) + 2  # two are tried


def test_an_interrupt_ends_the_threads():
    data, labels = pictures()
    learners = [torch_learner(epochs=10**6, steps=None) for _ in range(2)]
    told = []

    def interrupt(epoch):
        told.append(epoch)
        if len(told) == 5:
            raise KeyboardInterrupt

    learners[0].on_epoch = interrupt
    with pytest.raises(KeyboardInterrupt):
        InThreads(learners).fit_many(fits(2, data, labels))


@GPU
def test_on_a_gpu_they_are_stacked_and_repeat_themselves():
    data, labels = pictures()
    settings = {"device": "cuda", "model": "cnn_dropout", "augment": "auto"}
    assert isinstance(torch_learner(**settings).together([torch_learner(**settings)]), Stacked)
    singles, _ = alone(3, data, labels, **settings)
    learners, _, _ = together(Stacked, 3, data, labels, **settings)
    again, _, _ = together(Stacked, 3, data, labels, which=[1], **settings)
    assert all(map(torch.equal, weights(learners[1]), weights(again[1])))
    # TF32 rounds convolutions, and dropout draws in another way than alone.
    for single, learner in zip(singles, learners, strict=True):
        assert (probs(single, data) - probs(learner, data)).abs().mean() < 0.1
