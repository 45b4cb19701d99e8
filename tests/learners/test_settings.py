import inspect
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pictures import torch_learner
from torch import nn

from activeloop.config import config_dir
from activeloop.errors import ConfigError
from activeloop.learners import ProbeLearner, SklearnLearner, TorchLearner, load_learner
from activeloop.learners.settings import Training
from activeloop.models import load_model


def settings(**options) -> Training:
    options = {"steps": None} | options
    return torch_learner(**options).training


def test_steps_by_hand():
    # 20 labels at batch 64 are one step an epoch.
    assert settings(epochs=20, batch_size=64, min_steps=0).total_steps(20) == 20
    assert settings(epochs=20, batch_size=64, min_steps=150).total_steps(20) == 150
    assert settings(epochs=20, batch_size=64, min_steps=150).total_steps(641) == 20 * 11
    assert settings(epochs=20, batch_size=64, min_steps=150, steps=7).total_steps(641) == 7
    assert settings(batch_size=8).batches(17) == 3


def rates(total, **options):
    chosen = settings(**options)
    return [chosen.lr_at(step, total) for step in range(total)]


def test_the_step_schedule_counts_epochs():
    # 3 steps an epoch, 6 epochs, halved every 2 epochs.
    expected = [0.8] * 6 + [0.4] * 6 + [0.2] * 6
    assert rates(18, lr=0.8, epochs=6, schedule="step", step_size=2) == pytest.approx(expected)


def test_a_longer_training_stretches_the_step_schedule():
    # 6 epochs stretched to 36 steps: still two reductions, not 17.
    expected = [0.8] * 12 + [0.4] * 12 + [0.2] * 12
    assert rates(36, lr=0.8, epochs=6, schedule="step", step_size=2) == pytest.approx(expected)


def test_the_cosine_schedule_counts_steps():
    expected = [2, 1 + math.cos(math.pi / 4), 1, 1 - math.cos(math.pi / 4)]
    assert rates(4, lr=2, schedule="cosine") == pytest.approx(expected)


@given(st.sampled_from(["none", "step", "cosine"]), st.integers(1, 200), st.integers(1, 9))
def test_a_rate_never_rises_and_stays_positive(schedule, total, step_size):
    found = rates(total, lr=0.1, schedule=schedule, step_size=step_size)
    assert found[0] == 0.1
    assert all(a >= b > 0 for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers(name):
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    made = settings(optimizer=name, lr=0.3, momentum=0.7, weight_decay=0.2).make_optimizer(module)
    assert type(made).__name__.lower() == name
    group = made.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.2)
    assert group.get("momentum", 0.7) == 0.7
    assert [id(p) for p in group["params"]] == [id(module.weight)]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("epochs", 0, "learner.epochs must be a whole number of at least 1, got 0"),
        ("steps", 0, "learner.steps must be a whole number of at least 1"),
        ("min_steps", -1, "learner.min_steps must be a whole number of at least 0"),
        ("batch_size", 2.5, "learner.batch_size must be a whole number of at least 1, got 2.5"),
        ("eval_batch_size", 0, "learner.eval_batch_size must be"),
        ("n_members", 0, "learner.n_members must be"),
        ("step_size", 0, "learner.step_size must be"),
        ("early_stopping_patience", 0, "learner.early_stopping_patience must be"),
        ("optimizer", "adan", "learner.optimizer must be one of adam, adamw, sgd, got 'adan'"),
        ("schedule", "linear", "learner.schedule must be one of none, step, cosine"),
        ("early_stopping", True, "learner.early_stopping must be one of none, train_accuracy"),
        ("members", "mc", "learner.members must be one of none, mc_dropout, ensemble"),
        ("lr", 0, "learner.lr must be a number above 0, got 0"),
        ("lr", math.nan, "learner.lr must be a number above 0, got nan"),
        ("gamma", 0, "learner.gamma must be a number above 0"),
        ("weight_decay", -1, "learner.weight_decay must be a number at least 0"),
        ("momentum", 1.5, "learner.momentum must be a number at least 0 and at most 1"),
        ("label_smoothing", 2, "learner.label_smoothing must be"),
        ("early_stopping_threshold", 99, "learner.early_stopping_threshold must be"),
        ("mixed_precision", 1, "learner.mixed_precision must be true or false, got 1"),
        ("cuda_graphs", "no", "learner.cuda_graphs must be true or false, got 'no'"),
        ("warm_start", "no", "learner.warm_start must be true or false, got 'no'"),
        ("augment", "crop", r"learner.augment must be none, auto or a list of crop, flip, got 'c"),
        ("augment", ["blur"], r"a list of crop, flip, got \['blur'\]"),
        ("augment", None, "learner.augment must be"),
        ("device", "tpu", "device must be auto, cpu, cuda or cuda:<number>, got 'tpu'"),
        ("device", "meta", "device must be auto, cpu, cuda or cuda:<number>, got 'meta'"),
    ],
)
def test_settings_without_meaning(option, value, message):
    with pytest.raises(ConfigError, match=message):
        torch_learner(**{option: value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_here():
    assert torch_learner(device="auto").device == torch.device("cpu")
    with pytest.raises(ConfigError, match="torch finds no CUDA GPU here; use device=auto or cpu"):
        torch_learner(device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_devices_of_a_gpu():
    assert torch_learner(device="auto").device == torch.device("cuda", 0)
    with pytest.raises(ConfigError, match="the GPUs here are 0 to"):
        torch_learner(device="cuda:99")


def test_augmentations():
    assert settings(augment="auto").augmentations(("crop",)) == ("crop",)
    assert settings(augment="none").augmentations(("crop",)) == ()
    assert settings(augment=["flip"]).augmentations(()) == ("flip",)


def test_load_learner():
    assert load_learner("torch", "lenet5").model.name == "lenet5"
    assert load_learner("torch", load_model("mlp"), epochs=3).training.epochs == 3
    assert load_learner("torch", lambda n_classes: nn.Linear(2, n_classes)).model.options == {}
    with pytest.raises(
        ConfigError, match="learner must be one of torch, probe, sklearn, got 'jax'"
    ):
        load_learner("jax")
    with pytest.raises(
        ConfigError, match=r"must be an Architecture, got str; .*load_model\(name\)"
    ):
        TorchLearner("cnn")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("torch", TorchLearner), ("probe", ProbeLearner), ("sklearn", SklearnLearner)],
)
def test_configs_list_every_option_with_its_default(name, kind):
    node = OmegaConf.to_container(OmegaConf.load(config_dir() / "learner" / f"{name}.yaml"))
    given = inspect.signature(kind).parameters
    options = {k: p.default for k, p in given.items() if k not in ("model", "device", "estimator")}
    assert node.pop("_target_").endswith(kind.__name__)
    node.pop("estimator", None)
    options = {k: list(v) if isinstance(v, tuple) else v or None for k, v in options.items()}
    assert {k: v or None for k, v in node.items()} == options
