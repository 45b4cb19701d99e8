import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import CPU, NOTHING, pictures, random_state
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from activeloop.errors import ConfigError, LearnerError
from activeloop.learners import SklearnLearner, load_learner, logistic_regression, sklearn_learner
from activeloop.types import Prediction

FEATURES = frozenset(["features"])


def fitted(estimator, chosen=range(20), seed=0, classes=3, **options):
    data, labels = pictures(classes=classes)
    chosen = np.array(chosen)
    learner = SklearnLearner(estimator, **options)
    learner.fit(data, chosen, labels[chosen], np.random.default_rng(seed))
    return learner, data


def all_of(learner, data, needs=NOTHING, **options):
    return learner.predict(data.pool, np.arange(len(data.pool)), needs, **options)


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 4), min_size=1))
def test_columns_are_those_of_all_classes(present):
    data, labels = pictures(classes=4 if 4 not in present else 5, n=40, size=20)
    chosen = np.flatnonzero(np.isin(labels, sorted(present)))
    learner = SklearnLearner(RandomForestClassifier(5))
    learner.fit(data, chosen, labels[chosen], np.random.default_rng(0))
    probs = all_of(learner, data).probs.numpy()
    assert probs.shape == (40, data.n_classes)
    absent = sorted(set(range(data.n_classes)) - present)
    assert (probs[:, absent] == 0).all()
    assert np.allclose(probs.sum(1), 1)
    assert (probs.argmax(1) == labels)[chosen].mean() > 0.8


def test_probabilities_and_features_are_the_estimators():
    learner, data = fitted(LogisticRegression())
    prediction = all_of(learner, data, FEATURES)
    inputs = data.pool.batch(np.arange(60), CPU).flatten(1)
    assert torch.equal(prediction.features, inputs)
    expected = LogisticRegression().fit(inputs[:20].numpy(), np.arange(20) % 3)
    assert np.allclose(prediction.probs, expected.predict_proba(inputs.numpy()), atol=1e-5)
    assert prediction.probs.dtype == torch.float32
    assert all_of(learner, data).features is None


def test_chunks_change_nothing(monkeypatch):
    learner, data = fitted(LogisticRegression())
    whole = all_of(learner, data, FEATURES)
    monkeypatch.setattr(sklearn_learner, "CHUNK", 7)
    parts = all_of(learner, data, FEATURES)
    assert torch.allclose(parts.probs, whole.probs, atol=1e-6)
    assert torch.equal(parts.features, whole.features)


def test_one_class_is_predicted_for_all():
    learner, data = fitted(LogisticRegression(), chosen=[1, 4])
    assert torch.equal(all_of(learner, data).probs, torch.tensor([[0.0, 1, 0]]).expand(60, 3))
    assert learner.head is None


@pytest.mark.parametrize(
    "chosen",
    [range(20), [0, 2, 3, 5], [1, 2, 4, 5]],
    ids=["all classes", "first and last", "two of three"],
)
def test_softmax_of_the_head_is_the_prediction(chosen):
    learner, data = fitted(LogisticRegression(), chosen=chosen)
    prediction = all_of(learner, data, FEATURES)
    features = prediction.features.clone().requires_grad_()
    logits = learner.head(features)
    assert torch.allclose(logits.softmax(1), prediction.probs, atol=1e-5)
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum()
    entropy.backward()
    assert features.grad.isfinite().all()
    assert features.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(3),
        SGDClassifier(loss="log_loss"),  # one against the rest: no softmax
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
)
def test_no_head_where_there_is_none(estimator):
    learner, data = fitted(estimator)
    assert learner.head is None
    assert torch.allclose(all_of(learner, data).probs.sum(1), torch.ones(60), atol=1e-5)


class Restless(ClassifierMixin, BaseEstimator):
    """Uses numpy's global generator in fit and predict."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.drawn_ = np.random.rand()  # noqa: NPY002  # what is to be tested
        return self

    def predict_proba(self, x):
        p = self.drawn_ * np.random.rand(len(x), 1)  # noqa: NPY002  # what is to be tested
        return np.hstack([p, 1 - p, 0 * p])


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(5),
        make_pipeline(StandardScaler(), RandomForestClassifier(5)),
        Restless(),
    ],
)
def test_same_seed_same_probabilities_and_random_state_untouched(estimator):
    before = random_state()
    predictions = []
    for seed in (1, 1, 2):
        learner, data = fitted(estimator, seed=seed)
        predictions.append(all_of(learner, data).probs)
        assert torch.equal(all_of(learner, data).probs, predictions[-1])
    assert random_state() == before
    assert torch.equal(*predictions[:2])
    assert not torch.equal(*predictions[1:])


def test_each_fit_is_of_a_fresh_clone():
    estimator = RandomForestClassifier(3, warm_start=True)
    learner, data = fitted(estimator, options={"max_depth": 2})
    first = learner._fitted
    learner.fit(data, np.arange(6), np.arange(6) % 3, np.random.default_rng(1))
    assert learner._fitted is not first
    assert learner._fitted.max_depth == 2
    assert not hasattr(estimator, "estimators_")
    assert estimator.max_depth is None


def test_out_is_filled_in_place():
    learner, data = fitted(LogisticRegression())
    out = Prediction(probs=torch.empty(60, 3), features=torch.empty(60, 256))
    expected = all_of(learner, data, FEATURES)
    assert all_of(learner, data, FEATURES, out=out) is out
    assert torch.equal(out.probs, expected.probs)
    assert torch.equal(out.features, expected.features)
    with pytest.raises(LearnerError, match=r"out.features must have shape \[60, 256\], got None"):
        all_of(learner, data, FEATURES, out=Prediction(probs=torch.empty(60, 3)))


def test_nothing_is_saved(tmp_path):
    learner, data = fitted(LogisticRegression())
    assert not learner.save(tmp_path / "w")
    assert not learner.load(tmp_path / "w", data)
    assert not list(tmp_path.iterdir())
    assert learner.device == CPU


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (SVC(), {}, r"with predict_proba, got SVC\(\); .*SVC\(probability=True\)"),
        (SVC, {}, r"must be an instance: SVC\(\), not the class SVC"),
        (3, {}, "learner.estimator=3 cannot be used"),
        (LogisticRegression(), {"foo": 1}, "cannot be used: Invalid parameter 'foo'"),
    ],
)
def test_estimators_that_are_no_good(estimator, options, message):
    with pytest.raises(ConfigError, match=message):
        SklearnLearner(estimator, options=options)


def test_errors_in_use():
    data, labels = pictures()
    learner = load_learner("sklearn", estimator=KNeighborsClassifier(5))
    with pytest.raises(LearnerError, match="call fit first"):
        all_of(learner, data)
    learner.fit(data, np.arange(3), labels[:3], np.random.default_rng(0))
    with pytest.raises(LearnerError, match=r"KNeighborsClassifier failed on 60 samples: .*n_neigh"):
        all_of(learner, data)
    with pytest.raises(LearnerError, match="learner=sklearn has no members: use learner=torch"):
        all_of(learner, data, frozenset(["members"]))
    assert "members" not in learner.offers
    with pytest.raises(LearnerError, match="labels must be 0 to 2, got 7"):
        learner.fit(data, np.arange(1), np.array([7]), np.random.default_rng(0))
    learner.estimator = LogisticRegression(C=-1)
    with pytest.raises(LearnerError, match="LogisticRegression failed on 9 samples"):
        learner.fit(data, np.arange(9), labels[:9], np.random.default_rng(0))


def test_the_default_converges_on_images():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(logistic_regression(), chosen=range(60))
