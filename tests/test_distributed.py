"""One run by two processes: what they compute, what they leave, and how they end."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import architecture, pictures, torch_learner
from ranks import command, together
from torch import nn

from activeloop import torchrun
from activeloop.distributed import Ranks, joined
from activeloop.errors import ConfigError
from activeloop.learners.leading import LeadingLearner, dismiss_helpers, help_leader, shared
from activeloop.learners.training import Examples, mean_loss

ROOT = Path(__file__).parent.parent
EVERYTHING = frozenset(["features", "members"])


# -- training and prediction ---------------------------------------------------------------------


class Odd(nn.Module):
    """A network with a weight that no output depends on, and one that is frozen."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(3, 3)
        self.first = nn.Linear(256, 8)
        self.last = nn.Linear(8, 3)
        self.first.bias.requires_grad_(False)

    def forward(self, x):
        return self.last(self.first(x.flatten(1)).relu())


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(256, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


CASES = {
    # 11 samples by 5: a last batch of one, which leaves a rank without any.
    "small last batch": {"batch_size": 5, "steps": 9},
    "one sample": {"labelled": 1, "steps": 3},
    "uneven and augmented": {"batch_size": 7, "augment": ["crop", "flip"], "steps": 8},
    "sgd, channels last": {"batch_size": 11, "optimizer": "sgd", "schedule": "cosine"},
    "validation": {"early_stopping": "validation", "early_stopping_patience": 1, "epochs": 30},
    "train accuracy": {"early_stopping": "train_accuracy", "early_stopping_threshold": 0.7},
    "warm start": {"warm_start": True, "fits": 3},
    "unused weights": {"model": Odd},
    "ensemble": {"members": "ensemble", "n_members": 2},
}


def learner_of(case):
    options = dict(CASES[case])
    model = options.pop("model", None)
    fits, labelled = options.pop("fits", 1), options.pop("labelled", 11)
    if "early_stopping" in options:
        options |= {"steps": None, "min_steps": 0}
    return torch_learner(architecture(model) if model else "cnn", **options), fits, labelled


def weights_of(learner):
    return [
        {name: value.numpy().copy() for name, value in network.module.state_dict().items()}
        for network in learner._fitted.networks
    ]


def fitted(learner, data, labels, fits=1, labelled=11):
    """Return the weights, and what training says, of fits on the first samples."""
    chosen = np.arange(labelled)
    for number in range(fits):
        history = learner.fit(data, chosen, labels[:labelled], np.random.default_rng(number))
    return weights_of(learner), history


def trained_together():
    data, labels = pictures(validation=True)
    with joined(torchrun.place(), "cpu") as ranks:
        found = {}
        for case in CASES:
            learner, fits, labelled = learner_of(case)
            found[case] = fitted(shared(learner, ranks), data, labels, fits, labelled)
        return found


def test_training_agrees_with_one_process_within_rounding():
    data, labels = pictures(validation=True)
    first, second = together(trained_together)
    for case in CASES:
        learner, fits, labelled = learner_of(case)
        expected, history = fitted(learner, data, labels, fits, labelled)
        for weights, told in (first[case], second[case]):
            assert told.steps == history.steps, case
            for one, other in zip(told.epochs, history.epochs, strict=True):
                assert one.loss == pytest.approx(other.loss, rel=1e-4), case
                assert one.accuracy == other.accuracy, case
            for one, other in zip(weights, expected, strict=True):
                for name in other:
                    assert np.allclose(one[name], other[name], atol=2e-5), (case, name)
        for one, other in zip(first[case][0], second[case][0], strict=True):
            assert all((one[name] == other[name]).all() for name in one), case


class Watched(nn.Module):
    """Notes which samples it sees in training, and what its dropout lets through."""

    def __init__(self):
        super().__init__()
        self.dropout, self.last = nn.Dropout(0.5), nn.Linear(256, 3)
        self.seen, self.kept = [], []

    def forward(self, x):
        if self.training:
            self.seen += (x.flatten(1).double() @ torch.arange(256.0).double()).tolist()
            self.kept.append((self.dropout(torch.ones(64)) > 0).tolist())
        return self.last(x.flatten(1))


def watched_together():
    data, labels = pictures()
    with joined(torchrun.place(), "cpu") as ranks:
        normed = fitted(
            shared(torch_learner(architecture(Normed), batch_size=11), ranks), data, labels
        )
        learner = torch_learner(architecture(Watched), steps=4, batch_size=6)
        fitted(shared(learner, ranks), data, labels)
        module = learner._fitted.networks[0].module
        return normed[0], module.seen, module.kept


def test_ranks_share_each_epoch_and_drop_out_for_themselves():
    (normed, seen, kept), (other_normed, other_seen, other_kept) = together(watched_together)
    assert len(set(seen + other_seen)) == 11
    assert len(seen + other_seen) == 22  # two epochs, no sample twice in one
    assert all(one != other for one, other in zip(kept, other_kept, strict=True))
    # Running statistics differ between ranks while they train, not when they predict.
    for one, other in zip(normed, other_normed, strict=True):
        assert all((one[name] == other[name]).all() for name in one)
        assert one["2.num_batches_tracked"] == 5


def test_rank_0_says_what_the_validation_loss_is():
    class Helper(Ranks):
        def agree(self, value):
            return torch.tensor(6.0)

    data, labels = pictures(12)
    examples = Examples.fetch(data.pool, np.arange(12), labels, torch.device("cpu"))
    # With batch statistics its own would differ, and then when it stops.
    assert mean_loss(Normed(), examples, 8, Helper()) == 0.5


PREDICTED = {
    "traced": ("cnn", 5001, {}),
    "plain": ("cnn", 300, {"eval_batch_size": 64}),
    "fewer batches than ranks": ("cnn", 3, {}),
    "dropout": ("cnn_dropout", 150, {"members": "mc_dropout", "eval_batch_size": 32}),
    "ensemble": ("cnn", 150, {"members": "ensemble", "n_members": 2, "eval_batch_size": 32}),
}


def predicted(path, case, wrap):
    model, n, options = PREDICTED[case]
    data, _ = pictures(n)
    learner = torch_learner(model, **options)
    return wrap(learner, data, path / f"{case}.safetensors", case)


def asked(learner, data, path, case):
    needs = EVERYTHING if PREDICTED[case][2].get("members") else frozenset(["features"])
    assert learner.load(path, data)
    given = learner.predict(data.pool, np.arange(len(data.pool)), needs)
    names = ["probs", *needs]
    return {name: getattr(given, name).numpy() for name in names}


def predicted_together(path):
    with joined(torchrun.place(), "cpu") as ranks:
        found = {}
        for case in PREDICTED:

            def wrap(learner, data, path, case):
                learner = shared(learner, ranks)
                if ranks.rank == 0:
                    answer = asked(LeadingLearner(learner, data, ranks), data, path, case)
                    dismiss_helpers(ranks)
                    return answer
                return help_leader(learner, data, ranks)

            found[case] = predicted(path, case, wrap)
        return found


def test_the_parts_of_a_prediction_are_that_of_one_process(tmp_path):
    for case, (model, n, options) in PREDICTED.items():
        learner, (data, labels) = torch_learner(model, **options), pictures(n)
        known = min(n, 20)
        learner.fit(data, np.arange(known), labels[:known], np.random.default_rng(0))
        assert learner.save(tmp_path / f"{case}.safetensors")
    found, _ = together(predicted_together, tmp_path)
    for case in PREDICTED:
        for name, expected in predicted(tmp_path, case, asked).items():
            assert (found[case][name] == expected).all(), (case, name)


# -- a run ---------------------------------------------------------------------------------------

FAST = ["data.pool_size=200", "model=linear", "learner.optimizer=sgd", "learner.min_steps=12"]
FAST += ["learner.epochs=1", "device=cpu"]
SHORT = [*FAST, "initial.size=20", "query_size=10", "rounds=3", "strategy=margin"]


def queries(folder):
    return list(csv.DictReader((folder / "queries.csv").open()))


def picks(folder):
    return [(row["round"], row["key"], row["label"]) for row in queries(folder)]


def test_two_processes_leave_one_run_with_the_picks_of_one(tmp_path):
    words = [*SHORT, "audit=0.3"]
    one = tmp_path / "alone"
    ((code, _, err),) = together(command, tmp_path, [*words, f"hydra.run.dir={one}"], size=1)
    assert (code, err) == (0, "")
    (code, out, err), helper = together(command, tmp_path, words)
    assert (code, err, helper) == (0, "", (0, "", ""))
    assert "round 3 of 3: 50 labels" in out
    (two,) = (tmp_path / "outputs").glob("*/*")
    assert {path.name for path in tmp_path.iterdir()} == {"alone", "outputs"}
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert picks(two) == picks(one)
    for ours, theirs in zip(queries(two), queries(one), strict=True):
        assert (ours["predicted"], ours["audit"]) == (theirs["predicted"], theirs["audit"])
        if ours["score"]:
            assert float(ours["score"]) == pytest.approx(float(theirs["score"]), abs=1e-4)
    # It is one run whoever made it: one process takes it for its own, and finds it finished.
    ((code, out, _),) = together(command, tmp_path, [*words, f"hydra.run.dir={two}"], size=1)
    assert (code, "nothing to do" in out) == (0, True)


BREAKS = [
    *FAST,
    "hydra.run.dir=run",
    "initial.size=20",
    "query_size=10",
    "rounds=3",
    "strategy=custom",
]
BREAKS += ["strategy._target_=ranks.breaks_at_40", "learner.warm_start=true"]


def test_an_error_of_rank_0_ends_all_and_the_same_command_goes_on(tmp_path):
    (tmp_path / "broken").touch()
    (code, out, err), helper = together(command, tmp_path, BREAKS)
    assert code == 1
    assert err.count("\n") == 1
    assert "error: strategy breaks_at_40" in err
    assert "cannot pick" in err
    assert helper == (1, "", "")  # one line is enough
    assert "cannot pick" in (tmp_path / "run" / "error.txt").read_text()
    (tmp_path / "broken").unlink()
    (code, out, err), helper = together(command, tmp_path, BREAKS)
    assert (code, err, helper) == (0, "", (0, "", ""))
    assert "going on with run after round 2" in out
    # The weights that it went on from, on both ranks, are those of a run without a break.
    whole = tmp_path / "whole"
    whole.mkdir()
    assert together(command, whole, BREAKS)[0][0] == 0
    weights = [(f / "run" / "model.safetensors").read_bytes() for f in (tmp_path, whole)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("end", ["kill", pytest.param("raise", marks=pytest.mark.slow)])
def test_a_helper_that_ends_ends_the_run(tmp_path, end):
    fragile = [
        *SHORT,
        "hydra.run.dir=run",
        "model=custom",
        "model._target_=ranks.Fragile",
        f"+model.end={end}",
    ]
    fragile.remove("model=linear")
    (code, _, err), helper = together(command, tmp_path, fragile)
    assert code == 1
    assert "one of the 2 processes of this run ended or cannot be reached" in err
    assert "hydra.run.dir=" in (tmp_path / "run" / "error.txt").read_text()
    if end == "kill":
        assert helper == -9
    else:
        assert helper[0] == 1
        assert helper[2].startswith("error on rank 1: ValueError: no more memory")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "seed=1,2"], "torchrun shares one run among its processes: leave out -m"),
        (["learner=sklearn"], "SklearnLearner works in one process, and torchrun started 2"),
        (["device=cuda:1"], "device=cuda:1 is one device, and torchrun started 2 processes"),
        (["strategy=margn"], "margn"),
    ],
)
def test_what_several_processes_cannot_do_is_said_once_before_anything_starts(
    tmp_path, words, message
):
    (code, out, err), helper = together(command, tmp_path, [*words, "hydra.run.dir=run"])
    assert (code, out) == (1, "")
    assert message in err
    assert helper == (1, "", "")
    assert not (tmp_path / "run" / "curve.csv").exists()


def test_processes_with_other_settings_or_data_are_refused(tmp_path):
    words = [[*SHORT, "hydra.run.dir=run", f"seed={seed}"] for seed in (1, 2)]
    (code, _, err), helper = together(command, tmp_path, words)
    assert code == 1
    assert "differ in their settings: seed is 1 on rank 0 and 2 on rank 1" in err
    assert helper == (1, "", "")
    folders = [tmp_path / "one", tmp_path / "other"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        pixels = np.full((60, 4), number, np.float32) + np.arange(240).reshape(60, 4)
        np.savez(folder / "data.npz", x=pixels, y=np.arange(60) % 3)
    words = ["data=arrays", "data.path=data.npz", "model=linear", "hydra.run.dir=run"]
    (code, _, err), helper = together(command, folders, words)
    assert code == 1
    assert "differ in their data: pool is " in err
    assert helper == (1, "", "")


@pytest.mark.parametrize(
    "values", [("x", "2", "0"), ("2", "2", "0"), ("-1", "2", "0")], ids=["word", "large", "below"]
)
def test_ranks_that_make_no_sense(monkeypatch, values):
    for name, value in zip(("RANK", "WORLD_SIZE", "LOCAL_RANK"), values, strict=True):
        monkeypatch.setenv(name, value)
    assert torchrun.place() == torchrun.Place()  # not torchrun's: it sets an address too
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "29500")
    with pytest.raises(ConfigError, match="do not fit together"):
        torchrun.place()


@pytest.mark.slow
def test_torchrun_itself(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node=2", "-m", "activeloop", *SHORT, "hydra.run.dir=run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("files in run") == 1
    assert len(picks(tmp_path / "run")) == 50
