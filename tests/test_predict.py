"""Predictions of new images by a run's directory, from the words typed to the table left."""

import csv
import logging
import re
import shutil
import sys

import numpy as np
import pytest
import torch
import torchvision
from pictures import CPU
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import activeloop
from activeloop import ActiveLoop, load_learner, load_strategy
from activeloop.app import main
from activeloop.data import arrays, digits, image_folder
from activeloop.errors import ConfigError, DataError, LearnerError, StoreError
from activeloop.oracle import SimulatedOracle
from activeloop.predicting import Predicted
from activeloop.prediction_summary import Summary

COLOURS = ("blue", "green", "red")


def picture(path, colour, seed, size=(14, 10)):
    """Write noise that is a little redder, greener or bluer."""
    noise = np.random.default_rng(seed).integers(0, 180, (size[1], size[0], 3), dtype=np.uint8)
    noise[..., ["red", "green", "blue"].index(colour)] += 20
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(path)


def photos(root):
    for part, count in (("train", 20), ("test", 8)):
        for place, colour in enumerate(COLOURS):
            for number in range(count):
                seed = 1000 * place + number + 500 * (part == "test")
                picture(root / part / colour / f"{number}.png", colour, seed)
    return root


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return a folder of pictures in three classes, with train and test."""
    return photos(tmp_path_factory.mktemp("images") / "photos")


def settings(root, *words, size=12):
    """Return the words for a short run on the images in `root`, if any, in the directory `run`."""
    short = ["hydra.run.dir=run", "initial.size=12", "query_size=6", "rounds=1", "stop_set=0"]
    short += ["device=cpu"]
    if "learner=sklearn" not in words and "learner=probe" not in words:
        short += ["model=linear", "learner.min_steps=40", "learner.epochs=1"]
    if root is not None:
        short += ["data=image_folder", f"data.root={root}", f"data.size={size}"]
    given = {word.partition("=")[0] for word in words}
    return [word for word in short if word.partition("=")[0] not in given] + [*words]


@pytest.fixture
def cli(tmp_path, monkeypatch, typed):
    """Return a function that gives a command line in an empty directory: code, output, errors."""
    monkeypatch.chdir(tmp_path)
    return typed


@pytest.fixture
def trains(cli, tmp_path):
    """Return a function that makes a run by the command line, in the directory `run`."""

    def train(root, *words, size=12):
        code, _, err = cli(*settings(root, *words, size=size))
        assert (code, err) == (0, "")
        return tmp_path / "run"

    return train


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    """Return a run on `images`."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["activeloop", *settings(images)])
        before = logging.getLogger().handlers[:]
        with pytest.raises(SystemExit) as ended:
            main()
        logging.getLogger().handlers[:] = before
        assert ended.value.code == 0
    return place / "run"


@pytest.fixture
def run(trained, tmp_path):
    """Return a copy of that run, called `run` in the working directory."""
    return shutil.copytree(trained, tmp_path / "run")


def rows(path):
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def probs_of(table, classes=COLOURS):
    return np.array([[float(row[f"p_{name}"]) for name in classes] for row in table])


def fails(result, *parts):
    code, _, err = result
    assert code == 1
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


def learner(**options):
    settings = {"epochs": 1, "min_steps": 40, "device": "cpu"} | options
    return load_learner("torch", settings.pop("model", "linear"), **settings)


def loop_on(data, hidden, directory, **options):
    """Return a run in Python that has been through its first round."""
    loop = ActiveLoop(
        data,
        options.pop("learner", None) or learner(),
        load_strategy("random"),
        initial=12,
        query_size=6,
        stop_set=0,
        directory=directory,
        **options,
    )
    query = loop.ask()
    loop.tell(query, hidden.pool[query.indices])
    loop.ask()
    return loop


def said_by(loop):
    """Return what the run's own learner says of its test set, by key."""
    everything = np.arange(len(loop.data.test))
    probs = loop.learner.predict(loop.data.test, everything, frozenset(["probs"])).probs.numpy()
    return dict(zip(loop.data.test.keys, probs, strict=True))


# -- the same as the run's own learner says ------------------------------------------------------


@pytest.mark.parametrize("ends", [True, False], ids=["finished", "under way"])
def test_predictions_are_those_of_the_runs_own_learner(images, tmp_path, ends):
    data, hidden = image_folder(images, size=12)
    loop = loop_on(data, hidden, tmp_path / "run", learner=learner(model="mlp"))
    if ends:
        loop.finish("enough")
    own = said_by(loop)
    found = list(
        activeloop.predict(
            tmp_path / "run", images / "test", learner=learner(model="mlp"), device="cpu"
        )
    )
    assert [row.key for row in found] == sorted(key.removeprefix("test/") for key in own)
    for row in found:
        assert np.allclose(row.probs, own[f"test/{row.key}"], rtol=0, atol=1e-5)
        assert row.predicted == data.classes[own[f"test/{row.key}"].argmax()]
        assert row.confidence == row.probs.max()


def test_a_round_that_ends_meanwhile_gives_the_newer_model(images, tmp_path):
    data, hidden = image_folder(images, size=12)
    loop = loop_on(data, hidden, tmp_path / "run")
    fresh = learner()
    plain = fresh.load

    def load(path, data):
        if path.name == "weights_0000.safetensors":
            query = loop.ask()
            loop.tell(query, hidden.pool[query.indices])
            loop.ask()
        return plain(path, data)

    fresh.load = load
    found = {row.key: row for row in activeloop.predict(tmp_path / "run", images, learner=fresh)}
    for key, probs in said_by(loop).items():
        assert np.allclose(found[key].probs, probs, rtol=0, atol=1e-5)


def test_the_table_agrees_with_the_runs_test_set_when_the_data_are_gone(trains, cli, tmp_path):
    photos(tmp_path / "photos")
    run = trains("photos")
    shutil.move(tmp_path / "photos" / "test", tmp_path / "new")
    shutil.rmtree(tmp_path / "photos")
    code, out, err = cli("predict", "run", "new")
    assert (code, err) == (0, "")
    table = rows(tmp_path / "predictions.csv")
    assert list(table[0]) == ["key", "predicted", "confidence", "p_blue", "p_green", "p_red"]
    assert [row["key"] for row in table] == sorted(row["key"] for row in table)
    kept = np.load(run / "test_probs" / "round_0001.npy")
    assert np.allclose(probs_of(table), kept, rtol=0, atol=1e-3)  # which are float16
    right = np.mean([row["key"].partition("/")[0] == row["predicted"] for row in table])
    assert float(rows(run / "curve.csv")[-1]["accuracy"]) == pytest.approx(right)
    assert f"{right:.2%} right (" in out
    assert "by the model of round 1 (18 labels) in run:" in out
    assert re.search(r"\n24 images, mean confidence [\d.]+%: how sure the model is, not how", out)
    assert f"often it is right\nit was right on {right:.1%} of the run's test set\n" in out
    assert "note:" not in out
    assert "predictions: predictions.csv" in out


def test_without_a_test_set_the_audit_says_how_often_the_model_is_right(
    trains, cli, images, tmp_path
):
    run = trains(images / "train", "data.test_fraction=0", "audit=0.5", "query_size=20")
    (audit,) = (row for row in rows(run / "curve.csv") if row["audit_labels"])
    code, out, err = cli("predict", "run", str(images / "test"))
    assert (code, err) == (0, "")
    share, low, high = (float(audit[f"audit_{name}"]) for name in ("accuracy", "low", "high"))
    assert (
        f"in the run about {share:.1%} are right (95% {low:.1%} to {high:.1%}), by 10 samples "
        "drawn at random, when it had 12 labels\n"
    ) in out


@pytest.mark.parametrize("learner", ["torch", "sklearn"])
def test_where_others_joined_the_pool_new_images_are_made_what_the_first_were(
    cli, tmp_path, monkeypatch, learner
):
    photos(tmp_path / "photos")
    label, calls = SimulatedOracle.label, []

    def interrupted(self, indices):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return label(self, indices)

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedOracle, "label", interrupted)
        words = settings(
            "photos", f"learner={learner}", "strategy=random", "query_size=20", "rounds=2"
        )
        assert cli(*words)[0] == 130
    for number in range(30):  # so bright that mean and deviation of all are others
        place = tmp_path / "photos" / "train" / COLOURS[number % 3] / f"a{number}.png"
        Image.new("RGB", (14, 10), (255, 255, 255 - number)).save(place)
    assert cli("resume", "run", "--new-samples", "join")[0] == 0
    assert any("/a" in row["key"] for row in rows(tmp_path / "run" / "queries.csv"))
    code, out, _ = cli("predict", "run", "photos/test")
    assert code == 0
    assert "by the model of round 2 (52 labels) in run:" in out
    kept = np.load(tmp_path / "run" / "test_probs" / "round_0002.npy")
    table = rows(tmp_path / "predictions.csv")
    assert np.allclose(probs_of(table), kept, rtol=0, atol=1e-3)  # which are float16


def test_numbers_read_back_exactly(run, images, cli, tmp_path):
    assert cli("predict", run, images / "test")[0] == 0
    table = rows(tmp_path / "predictions.csv")
    found = list(activeloop.predict(run, images / "test", device="cpu"))
    assert np.array_equal(probs_of(table), np.array([row.probs for row in found], np.float64))
    assert [float(row["confidence"]) for row in table] == [row.confidence for row in found]


def test_images_are_made_what_the_run_had_where_that_was_no_files(trains, cli, tmp_path):
    run = trains(None, "data=digits")
    data, _ = digits()
    raw = data.test.raw(np.arange(40), CPU).numpy()
    for number, image in enumerate(raw):
        grey = Image.fromarray(image[0])
        path = tmp_path / "new" / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        # Those in colour have the same grey.
        (grey.convert("RGB") if number % 2 else grey).save(path)
    code, out, err = cli("predict", "run", "new")
    assert (code, err) == (0, "")
    assert "note: the run was trained on digits, not on image files: images are made grey" in out
    assert "28 x 28" in out
    found = probs_of(rows(tmp_path / "predictions.csv"), data.classes)
    assert np.allclose(found, np.load(run / "test_probs" / "round_0001.npy")[:40], atol=1e-3)


@pytest.mark.parametrize("batch", [1, 7, 24])
def test_blocks_change_nothing(run, images, batch):
    whole = list(activeloop.predict(run, images / "test", device="cpu"))
    found = list(activeloop.predict(run, images / "test", device="cpu", batch=batch))
    assert [row.key for row in found] == [row.key for row in whole]
    assert np.allclose([r.probs for r in found], [r.probs for r in whole], rtol=0, atol=1e-6)


def test_no_more_than_a_block_is_held(run, images, monkeypatch):
    sizes = []
    plain = activeloop.learners.TorchLearner.predict

    def predict(self, samples, indices, needs, out=None):
        sizes.append(len(indices))
        return plain(self, samples, indices, needs, out)

    monkeypatch.setattr(activeloop.learners.TorchLearner, "predict", predict)
    assert len(list(activeloop.predict(run, images / "test", device="cpu", batch=10))) == 24
    assert sizes == [10, 10, 4]


# -- vectors in place of images ------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["embed=pca", "embed.dimensions=5"],
        ["embed=backbone", "embed.weights=random", "embed.size=32", "embed.cache=null"],
    ],
    ids=["pca", "backbone"],
)
def test_images_are_embedded_as_the_runs_were(trains, images, cli, tmp_path, words):
    run = trains(images, "learner=probe", *words)
    assert cli("predict", "run", images / "test")[0] == 0
    table = rows(tmp_path / "predictions.csv")
    loop_data, _ = image_folder(images, size=12)
    by_key = dict(zip([f"test/{row['key']}" for row in table], probs_of(table), strict=True))
    found = np.array([by_key[key] for key in loop_data.test.keys])
    assert found.std(0).max() > 0.05
    assert np.allclose(found, np.load(run / "test_probs" / "round_0001.npy"), atol=1e-3)


def test_strategies_embeddings_are_not_needed(trains, images, cli):
    trains(
        images, "embed=backbone", "embed.weights=random", "embed.size=32", "embed.as_input=false"
    )
    code, out, _ = cli("predict", "run", images / "test")
    assert code == 0
    assert "resnet18" not in out


def test_a_damaged_projection_is_refused(trains, images, cli):
    run = trains(images, "learner=probe", "embed=pca", "embed.dimensions=5")
    path = run / "embedding.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    fails(cli("predict", "run", images / "test"), "embedding.safetensors is damaged")
    path.unlink()
    fails(cli("predict", "run", images / "test"), "embedding.safetensors", "cannot be read")


def test_another_backbone_is_refused(trains, images, cli, tmp_path):
    weights = tmp_path / "weights.safetensors"

    def save(seed):
        torch.manual_seed(seed)
        save_file(torchvision.models.resnet18().state_dict(), weights)

    save(0)
    trains(
        images,
        "learner=probe",
        "embed=backbone",
        "embed.weights=weights.safetensors",
        "embed.size=32",
        "embed.cache=null",
    )
    assert cli("predict", "run", images / "test")[0] == 0
    save(1)
    fails(cli("predict", "run", images / "test", "--force"), "made by another resnet18")
    weights.unlink()
    fails(cli("predict", "run", images / "test", "--force"), str(weights), "no such file")


def test_vectors_from_a_file_cannot_be_made_of_images(trains, images, cli, tmp_path):
    for name, count in (("pool", 60), ("test", 24)):
        values = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
        np.save(tmp_path / f"{name}.npy", values)
    trains(images, "learner=probe", "embed=file", "embed.pool=pool.npy", "embed.test=test.npy")
    fails(cli("predict", "run", images / "test"), "come from a file (embed=file)", "embed=backbone")


def test_samples_that_are_no_images_cannot_be_made_of_files(images, tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    np.save(tmp_path / "y.npy", np.arange(40) % 2)
    data, hidden = arrays(x=tmp_path / "x.npy", y=tmp_path / "y.npy")
    loop_on(data, hidden, tmp_path / "run")
    with pytest.raises(DataError, match="no image file can be made a sample"):
        activeloop.predict(tmp_path / "run", images, learner=learner(), device="cpu")


# -- learners ------------------------------------------------------------------------------------


def test_what_has_no_weights_is_fitted_again_where_its_data_are(trains, cli, tmp_path):
    photos(tmp_path / "photos")
    run = trains("photos", "learner=sklearn")
    shutil.copytree(tmp_path / "photos" / "test", tmp_path / "new")
    code, out, _ = cli("predict", "run", "new")
    assert code == 0
    assert "fitted again, on 18 labels" in out
    data, _ = image_folder(tmp_path / "photos", size=12)
    table = rows(tmp_path / "predictions.csv")
    by_key = dict(zip([f"test/{row['key']}" for row in table], probs_of(table), strict=True))
    found = np.array([by_key[key] for key in data.test.keys])
    assert np.allclose(found, np.load(run / "test_probs" / "round_0001.npy"), atol=1e-3)
    picture(tmp_path / "photos" / "train" / "red" / "0.png", "blue", 77)
    fails(cli("predict", "run", "new", "--force"), "fitted again", "are not those of the run")
    shutil.rmtree(tmp_path / "photos")
    fails(cli("predict", "run", "new", "--force"), "fitted again", "data cannot be had", "photos")


def test_warm_weights_that_are_gone_cannot_be_made_again(trains, images, cli):
    run = trains(images, "learner.warm_start=true")
    (run / "model.safetensors").unlink()
    fails(cli("predict", "run", images), "no weights of its last round", "learner.warm_start")


def test_a_model_of_ones_own(trains, images, cli, tmp_path):
    (tmp_path / "my_network.py").write_text(
        "from torch import nn\n\n\nclass Mine(nn.Sequential):\n"
        "    def __init__(self, in_channels, num_classes, width=4):\n"
        "        super().__init__(nn.Conv2d(in_channels, width, 3), nn.AdaptiveAvgPool2d(1),\n"
        "                         nn.Flatten(), nn.Linear(width, num_classes))\n"
    )
    run = trains(images, "model=custom", "model._target_=my_network.Mine", "+model.width=6")
    assert cli("predict", run, images / "test")[0] == 0
    del sys.modules["my_network"]
    code = (tmp_path / "my_network.py").read_text()
    (tmp_path / "my_network.py").write_text(code.replace("width, 3)", "width, 11)"))
    fails(cli("predict", run, images / "test", "--force"), "weights of another network: 0.weight")
    del sys.modules["my_network"]
    (tmp_path / "my_network.py").unlink()
    fails(cli("predict", run, images / "test", "--force"), "my_network.Mine", "cannot be loaded")


def test_pretrained_weights_that_a_training_started_from_are_not_needed(
    trains, images, cli, tmp_path
):
    save_file(torchvision.models.resnet18().state_dict(), tmp_path / "imagenet.safetensors")
    run = trains(
        images,
        "model=resnet18",
        "model.weights=imagenet.safetensors",
        "learner.min_steps=1",
        "rounds=0",
        size=32,
    )
    pretrained = tmp_path / "imagenet.safetensors"
    start = pretrained.rename(tmp_path / "aside")
    assert cli("predict", "run", images / "test")[0] == 0
    kept = np.load(run / "test_probs" / "round_0000.npy")
    assert np.allclose(probs_of(rows(tmp_path / "predictions.csv")), kept, atol=1e-3)
    # To be trained again, the network must start from them.
    (run / "model.safetensors").unlink()
    fails(cli("predict", "run", images / "test", "--force"), "imagenet.safetensors", "no such file")
    start.rename(pretrained)
    assert cli("predict", "run", images / "test", "--force")[0] == 0
    assert np.allclose(probs_of(rows(tmp_path / "predictions.csv")), kept, atol=1e-3)


def test_a_run_made_in_python_needs_a_learner_like_its_own(images, tmp_path):
    data, hidden = image_folder(images, size=12)
    loop_on(data, hidden, tmp_path / "run")
    with pytest.raises(ConfigError, match="not started from the command line"):
        activeloop.predict(tmp_path / "run", images)
    with pytest.raises(LearnerError, match="does not fit: model is linear there and mlp here"):
        activeloop.predict(tmp_path / "run", images, learner=learner(model="mlp"))


def test_damaged_weights_are_refused_and_lost_ones_made_again(run, images, cli, tmp_path):
    path = run / "model.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        fails(cli("predict", "run", images / "test"), "model.safetensors is damaged")
    path.write_bytes(whole)
    assert cli("predict", "run", images / "test")[0] == 0
    path.unlink()
    code, out, _ = cli("predict", "run", images / "test", "--out", "again.csv")
    assert code == 0
    assert "run has no weights of its last round: the learner is fitted again" in out
    found = [probs_of(rows(tmp_path / name)) for name in ("predictions.csv", "again.csv")]
    assert np.allclose(*found, rtol=0, atol=1e-5)


def test_classes_that_came_after_the_last_training_are_not_known(images, tmp_path):
    data, hidden = image_folder(images, size=12)
    loop = loop_on(data, hidden, tmp_path / "run")
    loop.add_class("mauve")
    found = next(activeloop.predict(tmp_path / "run", images, learner=learner()))
    assert found.probs.shape == (3,)


def test_the_command_says_what_the_model_is_not(run, images, cli, tmp_path):
    from activeloop.run_files import RunFiles

    files = RunFiles(run)
    files.store.set_meta("classes", [*COLOURS, "mauve"])
    files.reopen(1)
    files.close()
    code, out, _ = cli("predict", "run", images / "test")
    assert code == 0
    assert "note: mauve came after the last training: the model knows only blue, green, red" in out
    assert "note: the run in run is not over: this is its model so far" in out
    assert "p_mauve" not in (tmp_path / "predictions.csv").read_text()


# -- what is missing or broken -------------------------------------------------------------------


def test_without_a_run_or_a_model_or_images(images, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"holds no run \(there is no run\.db\)"):
        activeloop.predict(tmp_path / "empty", images)
    data, _ = image_folder(images, size=12)
    loop = ActiveLoop(
        data, learner(), load_strategy("random"), directory=tmp_path / "sweep" / "run"
    )
    loop.ask()
    with pytest.raises(StoreError, match=r"runs inside, such as .*sweep/run"):
        activeloop.predict(tmp_path / "sweep", images)
    with pytest.raises(StoreError, match="no model yet: the run has finished no round"):
        activeloop.predict(tmp_path / "sweep" / "run", images)
    with pytest.raises(DataError, match=r"there is no folder of images .*nowhere"):
        activeloop.predict(tmp_path / "sweep" / "run", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no images in .*empty"):
        activeloop.predict(tmp_path / "sweep" / "run", tmp_path / "empty")


def test_broken_images_are_named_and_may_be_left_out(run, images, cli, tmp_path):
    new = shutil.copytree(images / "test", tmp_path / "new")
    (new / "green" / "3.png").write_bytes(b"no image")
    fails(cli("predict", "run", "new"), "new/green/3.png", "--unreadable skip")
    assert not list(tmp_path.glob("*predictions.csv*"))
    code, out, _ = cli("predict", "run", "new", "--unreadable", "skip")
    assert code == 0
    assert "WARNING: left out, cannot be read: new/green/3.png" in out
    keys = [row["key"] for row in rows(tmp_path / "predictions.csv")]
    assert len(keys) == 23
    assert "green/3.png" not in keys
    alone = tmp_path / "new" / "green" / "3.png"
    fails(cli("predict", "run", alone, "--force", "--unreadable", "skip"), "nothing is left")


def test_a_table_that_is_there_is_not_overwritten_unasked(run, images, cli, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("years of work")
    fails(cli("predict", "run", images, "--out", "mine.csv"), "mine.csv is there", "--force")
    assert mine.read_text() == "years of work"
    assert cli("predict", "run", images, "--out", "mine.csv", "--force")[0] == 0
    assert len(rows(mine)) == 84
    # What is wrong with the rest is said first.
    fails(cli("predict", "run", "nope", "--out", "mine.csv"), "no folder of images nope")
    fails(cli("predict", images, images, "--out", "mine.csv"), "there is no run.db")
    fails(cli("predict", "run", images, "--out", "a/b.csv"), "there is no folder a")
    fails(cli("predict", "run", images, "--out", "run"), "run is a folder")


def test_a_run_and_images_the_other_way_round(run, images, cli):
    said = f"{images} is no run's directory", f"predict run {images}"
    fails(cli("predict", images, "run"), *said)


def test_any_layout_of_folders(run, images, cli, tmp_path):
    new = tmp_path / "new"
    for name in ("b.png", "deep/er/a.png", "deep/c.PNG", ".hidden/d.png", 'deep/e, "x".png'):
        picture(new / name.lower(), "red", 1)
    (new / "deep" / "c.png").rename(new / "deep" / "c.PNG")
    (new / "notes.txt").write_text("no image")
    (new / "deep" / "up").symlink_to(new)
    (tmp_path / "aside").mkdir()
    picture(tmp_path / "aside" / "f.png", "red", 1)
    (new / "link").symlink_to(tmp_path / "aside")
    shutil.copy(new / "b.png", bytes(new) + b"/\xff.png")  # no text
    code, out, err = cli("predict", run, new)
    assert (code, err) == (0, "")
    assert "in folders named as classes" not in out
    keys = [row["key"] for row in rows(tmp_path / "predictions.csv")]
    expected = ["b.png", "deep/c.PNG", 'deep/e, "x".png', "deep/er/a.png", "link/f.png"]
    assert keys == [*expected, "\udcff.png"]


def test_one_image(run, images, cli, tmp_path):
    assert cli("predict", "run", images / "test" / "red" / "0.png")[0] == 0
    (row,) = rows(tmp_path / "predictions.csv")
    assert row["key"] == "0.png"
    assert float(row["confidence"]) == max(float(row[f"p_{name}"]) for name in COLOURS)


# -- what is said of them ------------------------------------------------------------------------


def counted(classes, said):
    summary = Summary(classes)
    probs = np.full(len(classes), 0.5, np.float32)
    list(summary.counting(Predicted(key, name, c, probs) for key, name, c in said))
    return summary.text().splitlines()


def test_the_summary_by_hand():
    assert counted(
        ["cat", "dog", "eel"],
        [
            ("cat/1.png", "cat", 0.5),
            ("x/cat/dog/2.png", "dog", 1.0),
            ("dog/3.png", "dog", 0.75),
            ("other/4.png", "dog", 0.75),
        ],
    ) == [
        "  dog  3  75.0%",
        "  cat  1  25.0%",
        "4 images, mean confidence 75.0%: how sure the model is, not how often it is right",
        "66.67% right (2 of 3 in folders named as classes); rows are folders, columns predictions:",
        "       cat  dog",
        "  cat    1    1",
        "  dog    0    1",
    ]


def test_of_many_classes_the_summary_has_those_that_matter():
    classes = [f"c{n:02}" for n in range(30)]
    said = [(f"{name}/{i}.png", name, 1.0) for name in classes for i in range(2)]
    said += [("c07/x.png", "c21", 1.0), ("c29/x.png", "c03", 1.0)]
    lines = counted(classes, said)
    assert "  and 10 more classes" in lines
    assert "  (those 10 of 30 classes with the most mistakes)" in lines
    header = next(line for line in lines if line.split()[:2] == ["c00", "c01"]).split()
    assert {"c03", "c07", "c21", "c29"} < set(header)
    assert len(header) == 10


def test_a_dead_network_is_not_taken_for_one_that_predicts(images, tmp_path):
    class Dead(nn.Linear):
        def __init__(self, n_classes):
            super().__init__(3 * 12 * 12, n_classes)

        def forward(self, x):
            return super().forward(x.flatten(1)) * (1 if self.training else float("nan"))

    data, hidden = image_folder(images, size=12)
    made = {"steps": 1, "device": "cpu"}
    loop = ActiveLoop(
        data,
        load_learner("torch", Dead, **made),
        load_strategy("random"),
        stop_set=0,
        directory=tmp_path / "run",
    )
    query = loop.ask()
    loop.tell(query, hidden.pool[query.indices])
    loop.ask()
    with pytest.raises(LearnerError, match=r"no finite probabilities for .*blue/0\.png"):
        list(
            activeloop.predict(
                tmp_path / "run", images, learner=load_learner("torch", Dead, **made)
            )
        )
