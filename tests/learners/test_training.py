import math

import numpy as np
import pytest
import torch
from pictures import CPU, Pictures, pictures, torch_learner
from torch import nn
from torch.nn import functional

from activeloop.architecture import Architecture
from activeloop.errors import LearnerError
from activeloop.learners.augment import augmenter
from activeloop.learners.training import Examples, mean_loss, train


def examples(n=10, labels=None):
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(n, 4, generator=generator)
    labels = torch.arange(n) % 2 if labels is None else torch.tensor(labels)
    return Examples(raw=raw, labels=labels, normalise=lambda x: x)


def linear():
    torch.manual_seed(0)
    return nn.Linear(4, 2)


def fit(module, known, validation=None, **options):
    options = {"min_steps": 0, "steps": None} | options
    settings = torch_learner(**options).training
    told = []
    history = train(
        module,
        known,
        settings,
        augment=augmenter((), (4,)),
        validation=validation,
        on_epoch=told.append,
    )
    assert list(history.epochs) == told
    return history


def test_one_step_of_sgd_by_hand():
    module, known = linear(), examples(6)
    weight = module.weight.detach().clone().requires_grad_()
    loss = functional.cross_entropy(known.raw @ weight.T + module.bias.detach(), known.labels)
    loss.backward()
    history = fit(module, known, optimizer="sgd", lr=0.5, epochs=1, batch_size=6)
    assert torch.allclose(module.weight, weight - 0.5 * weight.grad, atol=1e-6)
    assert history.epochs[0].loss == pytest.approx(loss.item(), abs=1e-6)
    assert not module.training


def test_steps_epochs_and_batches_as_even_as_can_be():
    sizes = []

    class Net(nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    history = fit(Net(4, 2), examples(10), epochs=2, batch_size=4)
    assert (history.steps, sizes) == (6, [4, 3, 3] * 2)
    assert [(e.number, e.of) for e in history.epochs] == [(1, 2), (2, 2)]
    sizes.clear()
    history = fit(Net(4, 2), examples(10), epochs=1, batch_size=4, min_steps=5)
    assert (history.steps, sizes) == (5, [4, 3, 3, 4, 3])
    assert fit(linear(), examples(10), steps=1, batch_size=4).steps == 1
    sizes.clear()
    fit(Net(4, 2), examples(9), epochs=1, batch_size=8)
    assert sizes == [5, 4]  # not 8 and 1


def test_every_sample_is_seen_once_an_epoch_in_another_order():
    seen = []
    known = examples(7)
    numbered = Examples(
        raw=torch.arange(7.0)[:, None].expand(7, 4),
        labels=known.labels,
        normalise=lambda x: (seen.append(x[:, 0].tolist()), x)[1],
    )
    fit(linear(), numbered, epochs=2, batch_size=7)
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(7))
    assert seen[0] != seen[1]


def test_rates_of_the_schedule_reach_the_optimizer(monkeypatch):
    rates = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD,
        "step",
        lambda self: (rates.append(self.param_groups[0]["lr"]), step(self))[1],
    )
    options = {"optimizer": "sgd", "lr": 0.8, "schedule": "step", "step_size": 1, "gamma": 0.5}
    fit(linear(), examples(8), epochs=3, batch_size=4, **options)
    assert rates == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_no_gradient_is_held_after_a_training():
    module = linear()
    fit(module, examples())
    assert all(weight.grad is None for weight in module.parameters())


def test_every_epoch_is_in_training_mode_after_validation_too():
    modes = []

    class Net(nn.Linear):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    options = {"early_stopping": "validation", "epochs": 2, "batch_size": 10}
    fit(Net(4, 2).eval(), examples(), examples(), **options)
    assert modes == [True, False, True, False]


def test_label_smoothing_and_accuracy_by_hand():
    module, known = linear(), examples(6)
    logits = module(known.raw).detach()
    expected = functional.cross_entropy(logits, known.labels, label_smoothing=0.2)
    epoch = fit(module, known, epochs=1, batch_size=6, label_smoothing=0.2).epochs[0]
    assert epoch.loss == pytest.approx(expected.item(), abs=1e-6)
    assert epoch.accuracy == pytest.approx(float((logits.argmax(1) == known.labels).float().mean()))


def test_stopping_at_a_training_accuracy():
    known = examples(8, [0] * 8)
    options = {"epochs": 200, "lr": 0.05, "early_stopping": "train_accuracy"}
    history = fit(linear(), known, early_stopping_threshold=0.75, **options)
    *earlier, last = (epoch.accuracy for epoch in history.epochs)
    assert last >= 0.75
    assert all(accuracy < 0.75 for accuracy in earlier)
    assert len(earlier) < 199


def test_stopping_by_validation_restores_the_best_weights():
    # The opposite of what is trained: from the first epoch on the loss can only rise.
    known = examples(8, [0] * 8)
    validation = Examples(
        raw=known.raw.abs() * 0, labels=torch.ones(8).long(), normalise=lambda x: x
    )
    module, first = linear(), linear()
    options = {"lr": 0.05, "batch_size": 8, "early_stopping": "validation"}
    history = fit(module, known, validation, epochs=50, early_stopping_patience=3, **options)
    assert len(history.epochs) == 4
    fit(first, known, epochs=1, lr=0.05, batch_size=8)
    assert torch.allclose(module.weight, first.weight, atol=1e-6)


def test_patience_stretches_with_a_longer_training():
    # 2 samples make one step a pass; 5 epochs of 100 steps are 20 passes each.
    known = examples(2, [0, 0])
    validation = Examples(raw=known.raw * 0, labels=torch.ones(2).long(), normalise=_same)
    options = {"epochs": 5, "min_steps": 100, "early_stopping": "validation", "lr": 0.01}
    history = fit(linear(), known, validation, early_stopping_patience=2, **options)
    assert history.steps == 60


def test_mean_loss_by_hand():
    module, known = linear(), examples(7)
    expected = functional.cross_entropy(module(known.raw), known.labels)
    assert mean_loss(module, known, 3) == pytest.approx(expected.item(), abs=1e-6)


def test_divergence_names_the_epoch_and_what_to_do():
    with pytest.raises(LearnerError, match=r"diverged in epoch \d+ of 9: .*lower learner.lr \(now"):
        fit(linear(), examples(8), epochs=9, lr=1e38, optimizer="sgd", batch_size=2)
    bad = examples(8)
    bad.raw[3, 1] = math.nan
    with pytest.raises(LearnerError, match=r"epoch 1 of 9: the loss is nan; .*check the data for"):
        fit(linear(), bad, epochs=9)


def test_a_last_step_that_diverges_is_found():
    known = Examples(raw=torch.full((4, 4), 1e30), labels=torch.zeros(4).long(), normalise=_same)
    module = linear()
    nn.init.zeros_(module.weight)
    with pytest.raises(LearnerError, match="epoch 1 of 1: a weight is infinite or NaN"):
        fit(module, known, steps=1, lr=1e38, optimizer="sgd")


def _same(x):
    return x


def test_batch_norm_with_a_batch_of_one():
    class Net(nn.Sequential):
        def __init__(self, n_classes):
            super().__init__(
                nn.Flatten(), nn.Linear(256, 4), nn.BatchNorm1d(4), nn.Linear(4, n_classes)
            )

    data, labels = pictures()
    for n in (1, 3):
        learner = torch_learner(Architecture(Net), steps=4, batch_size=2)
        learner.fit(data, np.arange(n), labels[:n], np.random.default_rng(0))
        probs = learner.predict(data.pool, np.arange(5), frozenset()).probs
        assert probs.isfinite().all()
    norm = learner._fitted.networks[0].module[2]
    assert norm.num_batches_tracked == 2  # of 2, 1, 2, 1


def test_samples_are_fetched_once():
    samples = Pictures(torch.zeros(9, 1, 4, 4, dtype=torch.uint8))
    known = Examples.fetch(samples, np.array([4, 2]), np.array([1, 0]), CPU)
    assert samples.fetched == [2]
    assert known.raw.dtype == torch.uint8
    assert known.labels.tolist() == [1, 0]
    data, labels = pictures()
    learner = torch_learner("linear", steps=30)
    learner.fit(data, np.arange(20), labels[:20], np.random.default_rng(0))
    assert data.pool.fetched == [20, 8]  # the labelled set, and a few to check the head on


def test_nothing_to_train():
    with pytest.raises(LearnerError, match="no weights to train"):
        fit(nn.Identity(), examples())
