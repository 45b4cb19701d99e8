"""Heads on fixed vectors, compared with scikit-learn's."""

import logging

import numpy as np
import pytest
import torch
from fakes import FakeSamples, blobs
from pictures import CPU, NOTHING, pictures, random_state
from sklearn.linear_model import LogisticRegression

from activeloop import ActiveLoop, SimulatedOracle, embed, load_data, load_learner, load_strategy
from activeloop.errors import ConfigError, LearnerError
from activeloop.learners import ProbeLearner
from activeloop.learners.logistic import lbfgs, scikit_learn
from activeloop.types import Data, Fit

HEADS = ["linear", "logistic_regression", "mlp"]


def fitted(data, labels, chosen=range(30), seed=0, **options):
    chosen = np.array(chosen)
    learner = ProbeLearner(device="cpu", **options)
    learner.fit(data, chosen, labels[chosen], np.random.default_rng(seed))
    return learner


def probs(learner, data, needs=NOTHING):
    return learner.predict(data.pool, np.arange(len(data.pool)), needs)


@pytest.fixture(scope="module")
def digits():
    data, hidden = load_data("digits")
    return embed.pca(data, dimensions=30), hidden


# -- the linear heads


def overlapping(classes=4, n=200, dimensions=6):
    rng = np.random.default_rng(1)
    y = np.arange(n) % classes
    x = rng.normal(size=(n, dimensions)) + rng.normal(size=(classes, dimensions))[y]
    return x.astype(np.float32), y


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("l2", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("solve", [lbfgs, scikit_learn])
def test_solvers_find_the_optimum(solve, l2, classes):
    x, y = overlapping(classes)
    weights = np.random.default_rng(2).integers(1, 4, len(x))
    exact = LogisticRegression(C=1 / l2, max_iter=10_000, tol=1e-10)
    exact.fit(x.astype(np.float64), y, sample_weight=weights)
    counts = torch.from_numpy(weights).float()
    line = solve(torch.from_numpy(x), torch.from_numpy(y), classes, l2, counts)
    ours = (torch.from_numpy(x) @ line.weight.T + line.bias).softmax(1)
    assert np.allclose(ours, exact.predict_proba(x), atol=2e-3)
    assert 0 < line.steps < 500


def test_a_count_is_so_many_copies():
    x, y = overlapping(3)
    copies = torch.from_numpy(np.random.default_rng(0).integers(1, 3, len(x)))
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    for solve in (lbfgs, scikit_learn):
        counted = solve(*tensors, 3, 1.0, copies.float())
        repeated = [each.repeat_interleave(copies, 0) for each in tensors]
        whole = solve(*repeated, 3, 1.0, torch.ones(len(repeated[0])))
        assert torch.allclose(counted.weight, whole.weight, atol=0.02)
        logits = tensors[0] @ counted.weight.T + counted.bias
        assert (logits.argmax(1) == tensors[1]).float().mean() > 0.7


def test_the_probe_is_scikit_learns_logistic_regression(digits):
    data, hidden = digits
    chosen = np.random.default_rng(0).choice(len(data.pool), 150, replace=False)
    learner = fitted(data, hidden.pool, chosen)
    x, test = (part.batch(np.arange(len(part)), CPU).numpy() for part in (data.pool, data.test))
    exact = LogisticRegression(max_iter=10_000, tol=1e-10)
    exact.fit(x[chosen].astype(np.float64), hidden.pool[chosen])
    ours = learner.predict(data.test, np.arange(len(test)), NOTHING).probs.numpy()
    assert np.abs(ours - exact.predict_proba(test)).max() < 0.02
    assert (ours.argmax(1) == exact.predict(test)).mean() > 0.995


def test_every_head_learns(digits):
    data, hidden = digits
    chosen = np.random.default_rng(1).choice(len(data.pool), 300, replace=False)
    for head in HEADS:
        learner = fitted(data, hidden.pool, chosen, head=head)
        found = learner.predict(data.test, np.arange(len(data.test)), NOTHING).probs
        assert (found.argmax(1).numpy() == hidden.test).mean() > 0.93, head


# -- the contract of a learner


@pytest.mark.parametrize("head", HEADS)
def test_features_head_and_probabilities_belong_together(head):
    data, hidden = blobs()
    learner = fitted(data, hidden.pool, head=head, hidden=[7])
    said = probs(learner, data, frozenset(["features"]))
    assert said.features.shape == (90, 7 if head == "mlp" else 4)
    assert torch.allclose(learner.head(said.features).softmax(1), said.probs, atol=1e-5)
    if head != "mlp":
        assert torch.equal(said.features, data.pool.values)


@pytest.mark.parametrize("head", HEADS)
def test_the_same_rng_gives_the_same_probe_and_no_other_chance(head):
    data, hidden = blobs()
    before = random_state()
    options = {"head": head, "members": "ensemble", "n_members": 3}
    one, two = (fitted(data, hidden.pool, **options) for _ in range(2))
    assert random_state() == before
    assert torch.equal(probs(one, data).probs, probs(two, data).probs)
    other = fitted(data, hidden.pool, seed=1, **options)
    assert not torch.equal(probs(one, data).probs, probs(other, data).probs)


@pytest.mark.parametrize("head", ["linear", "logistic_regression"])
def test_classes_without_labels_and_a_single_class(head):
    data, hidden = blobs()
    some = np.flatnonzero(hidden.pool != 1)[:20]
    found = probs(fitted(data, hidden.pool, some, head=head), data).probs
    assert (found[:, 1] == 0).all()
    assert torch.allclose(found.sum(1), torch.ones(90))
    assert (found.argmax(1).numpy() == hidden.pool)[some].mean() > 0.8
    alone = np.flatnonzero(hidden.pool == 2)[:3]
    one = fitted(data, hidden.pool, alone, head=head)
    assert torch.equal(probs(one, data).probs, torch.tensor([[0.0, 0, 1]]).expand(90, 3))


@pytest.mark.parametrize("head", HEADS)
def test_members_disagree_and_their_mean_is_the_prediction(head):
    data, hidden = blobs()
    learner = fitted(data, hidden.pool, head=head, members="ensemble", n_members=4)
    said = probs(learner, data, frozenset(["members"]))
    assert said.members.shape == (4, 90, 3)
    assert torch.allclose(said.members.mean(0), said.probs, atol=1e-6)
    assert float(said.members.std(0).max()) > 0.02
    assert "members" in learner.offers
    assert "members" not in ProbeLearner(device="cpu").offers


def test_dropout_makes_members_of_an_mlp():
    data, hidden = blobs()
    learner = fitted(data, hidden.pool, head="mlp", dropout=0.5, members="mc_dropout", n_members=3)
    said = probs(learner, data, frozenset(["members"]))
    assert float(said.members.std(0).max()) > 0.01


@pytest.mark.parametrize("options", [{}, {"members": "ensemble", "n_members": 2}], ids=str)
@pytest.mark.parametrize("head", HEADS)
def test_saved_and_loaded_it_says_the_same(tmp_path, head, options):
    data, hidden = blobs()
    learner = fitted(data, hidden.pool, np.flatnonzero(hidden.pool != 1)[:20], head=head, **options)
    assert learner.save(tmp_path / "probe.safetensors")
    again = ProbeLearner(head=head, device="cpu", **options)
    assert again.load(tmp_path / "probe.safetensors", data)
    assert torch.equal(probs(again, data).probs, probs(learner, data).probs)
    features = probs(again, data, frozenset(["features"])).features
    assert torch.equal(again.head(features), learner.head(features))


def test_history_and_epochs():
    data, hidden = blobs()
    learner = ProbeLearner(device="cpu", members="ensemble", n_members=2)
    told = []
    learner.on_epoch = told.append
    chosen = np.arange(30)
    history = learner.fit(data, chosen, hidden.pool[chosen], np.random.default_rng(0))
    assert [(e.number, e.of) for e in told] == [(1, 2), (2, 2)]
    assert [e.loss for e in told] == [e.loss for e in history.epochs]
    assert 4 <= history.steps <= 1000
    assert history.epochs[0].accuracy > 0.8
    assert 0 < history.epochs[0].loss < 1


def test_a_member_that_never_saw_a_class_has_a_loss_all_the_same():
    data, hidden = blobs()
    one_of_each = np.array([0, 1, 2])
    for seed in range(5):
        learner = ProbeLearner(device="cpu", members="ensemble", n_members=3)
        rng = np.random.default_rng(seed)
        history = learner.fit(data, one_of_each, hidden.pool[one_of_each], rng)
        assert all(epoch.loss < 2 for epoch in history.epochs)


# -- misuse


def test_images_are_refused_before_anybody_is_asked_for_labels():
    data, labels = pictures()
    message = r"learner=probe needs vectors, .* 1x16x16 images: make them with embed=backbone or"
    with pytest.raises(LearnerError, match=message):
        ActiveLoop(data, ProbeLearner(device="cpu"), load_strategy("random"), initial=5)
    with pytest.raises(LearnerError, match=message):
        fitted(data, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "svm"}, "learner.head must be one of linear, logistic_regression, mlp"),
        ({"l2": 0}, "learner.l2 must be a number above 0"),
        ({"dropout": 2}, "learner.dropout must be"),
        ({"members": "mc_dropout"}, "mc_dropout needs learner.head=mlp and learner.dropout=0.5"),
        ({"members": "mc_dropout", "head": "mlp"}, "mc_dropout needs learner.head=mlp and"),
        ({"members": "some"}, "learner.members must be one of"),
        ({"head": "mlp", "hidden": [0]}, "model.hidden must be"),
    ],
)
def test_settings_without_meaning(options, message):
    with pytest.raises(ConfigError, match=message):
        fitted(*vectors_and_labels(), **options)


def vectors_and_labels():
    data, hidden = blobs()
    return data, hidden.pool


def test_vectors_that_are_not_finite_are_named():
    data, hidden = blobs()
    values = data.pool.values.clone()
    values[3] = torch.nan
    broken = Data(name="b", classes=data.classes, pool=FakeSamples(values, "pool"))
    for head in HEADS:
        with pytest.raises(LearnerError, match=r"not finite|NaN|is nan"):
            fitted(broken, hidden.pool, head=head)


# -- with strategies


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("badge", {}),
        ("alfa_mix", {}),
        ("bait", {}),
        ("cal", {}),
        ("typiclust", {}),
        ("bald", {"members": "ensemble", "n_members": 3}),
    ],
)
def test_strategies_that_need_more_than_probabilities(digits, strategy, options, caplog):
    data, hidden = digits
    learner = load_learner("probe", device="cpu", **options)
    loop = ActiveLoop(
        data,
        learner,
        load_strategy(strategy),
        test_labels=hidden.test,
        initial=20,
        query_size=10,
        rounds=2,
    )
    with caplog.at_level(logging.ERROR):
        rounds = loop.run(SimulatedOracle(hidden.pool))
    assert [r.labels for r in rounds] == [20, 30, 40]
    assert rounds[-1].metrics["accuracy"] > 0.5
    assert not caplog.records


# -- several seeds


@pytest.mark.parametrize("options", [{}, {"members": "ensemble", "n_members": 3}, {"head": "mlp"}])
def test_probes_that_are_fitted_at_once_are_those_fitted_alone(digits, options):
    data, hidden = digits
    chosen = [np.arange(40), np.arange(20, 60)]
    alone = [fitted(data, hidden.pool, each, seed=n, **options) for n, each in enumerate(chosen)]
    together = [ProbeLearner(device="cpu", **options) for _ in chosen]
    fits = {
        n: Fit(data=data, indices=each, labels=hidden.pool[each], rng=np.random.default_rng(n))
        for n, each in enumerate(chosen)
    }
    results = ProbeLearner.together(together).fit_many(fits)
    assert not [each for each in results.values() if isinstance(each, Exception)]
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(probs(one, data).probs, probs(other, data).probs)
