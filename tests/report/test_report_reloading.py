import socket
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from fakes import CentroidLearner, blobs
from made_runs import made_run, photos
from PIL import Image

from activeloop.backbones.embedding import backbone
from activeloop.data import load_data
from activeloop.data.decode import ImageFiles
from activeloop.errors import DataError
from activeloop.loop import ActiveLoop
from activeloop.reloading import as_arrays, reload
from activeloop.report.pictures import pictures
from activeloop.report.runs import read_run
from activeloop.run_paths import found, image_root
from activeloop.strategies import load_strategy

NONE = {"_target_": "activeloop.embed.none"}
CPU = torch.device("cpu")


def run_of(tmp_path, data, settings, embed=NONE, environment=None, **config):
    """A run of the data set `data`, which `settings` make, that picked the samples 0 to 3."""
    identity = {
        "data": {"name": data.name, "classes": list(data.classes), **data.fingerprints},
        "config": {"data": settings, "embed": embed, **config},
    }
    labels = dict.fromkeys(range(4), data.classes[0])
    more = {i: {"key": data.pool.keys[i]} for i in range(4)}
    rounds = [[0, 1], [2, 3]]
    run = made_run(tmp_path / "runs", "random", 0, rounds, labels, identity=identity, more=more)
    return replace(run, environment=environment or {})


@pytest.fixture
def saved(tmp_path):
    """A folder with `x.npz`: images with labels."""
    np.savez(tmp_path / "x.npz", x=photos(40), y=np.arange(40) % 2)
    return tmp_path


def settings_of(path):
    return {"_target_": "activeloop.data.arrays", "path": str(path), "layout": "nchw"}


def loaded(path):
    return load_data("arrays", path=path, layout="nchw")


def test_the_data_set_of_a_run_is_built_from_its_config(saved):
    data, hidden = loaded(saved / "x.npz")
    found = reload(run_of(saved, data, settings_of(saved / "x.npz")))
    everything = np.arange(len(data.pool))
    assert np.array_equal(found.pool.read(everything), data.pool.raw(everything, CPU).numpy())
    assert list(found.pool.keys) == list(data.pool.keys)
    assert len(found.test) == len(data.test)
    assert np.array_equal(found.labels, hidden.pool)
    assert found.doubts == ()


def test_a_relative_path_leads_to_where_the_run_was_started(saved, monkeypatch, tmp_path):
    data, _ = loaded(saved / "x.npz")
    environment = {"working_directory": str(saved)}
    run = run_of(saved, data, settings_of("x.npz"), environment=environment)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(reload(run).pool) == len(data.pool)


def test_a_relative_path_leads_from_here_if_that_place_is_gone(saved, monkeypatch):
    data, _ = loaded(saved / "x.npz")
    environment = {"working_directory": str(saved / "gone")}
    run = run_of(saved, data, settings_of("x.npz"), environment=environment)
    monkeypatch.chdir(saved)
    assert len(reload(run).pool) == len(data.pool)


def test_changed_data_are_refused_and_named(saved):
    data, _ = loaded(saved / "x.npz")
    run = run_of(saved, data, settings_of(saved / "x.npz"))
    images = photos(40)
    images[7] += 1
    np.savez(saved / "x.npz", x=images, y=np.arange(40) % 2)
    with pytest.raises(DataError, match=r"not those of the run: the (pool|test)'s fingerprint"):
        reload(run)
    found = pictures([run])
    assert (found.map, found.duplicates) == (None, None)
    assert found.galleries[0].rounds[1][0].image is None
    assert "fingerprint" in found.missing[0]


def test_data_that_are_gone_are_missing_in_one_line(saved):
    data, _ = loaded(saved / "x.npz")
    run = run_of(saved, data, settings_of(saved / "x.npz"))
    (saved / "x.npz").unlink()
    found = pictures([run])
    assert found.balance is not None
    assert len(found.missing) == 2  # the other: one strategy
    assert f"no file {saved / 'x.npz'}" in found.missing[0]
    assert "\n" not in found.missing[0]


@pytest.fixture
def offline(monkeypatch):
    """Fail the test if anything is looked up or connected to."""

    def refused(*arguments, **options):
        raise AssertionError(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)


@pytest.mark.parametrize(
    "settings",
    [
        {"_target_": "activeloop.data.torchvision_data", "name": "mnist", "download": True},
        {"_target_": "activeloop.data.torchvision_data", "name": "mnist"},
        {
            "_target_": "activeloop.data.from_dataset",
            "pool": {"_target_": "torchvision.datasets.CIFAR10", "download": True},
        },
    ],
    ids=["asked for", "by default", "by a dataset's own"],
)
def test_nothing_is_downloaded(saved, offline, settings):
    data, _ = loaded(saved / "x.npz")
    root = {"root": str(saved / "nowhere")}
    inner = {"pool": settings["pool"] | root} if "pool" in settings else root
    run = run_of(saved, data, settings | inner)
    (first, _) = pictures([run]).missing
    assert "not found" in first
    assert "connection" not in first
    assert not (saved / "nowhere").exists()


def test_a_builder_that_takes_any_option_is_told_not_to_download(saved, monkeypatch):
    module, told = ModuleType("their_data"), {}

    def build(**options):
        told.update(options)
        return loaded(saved / "x.npz")

    build.__module__ = "their_data"
    module.build = build
    monkeypatch.setitem(sys.modules, "their_data", module)
    data, _ = loaded(saved / "x.npz")
    reload(run_of(saved, data, {"_target_": "their_data.build", "download": True}))
    assert told == {"download": False}


def test_a_folder_of_images_is_found_where_it_was_decoded_to(saved, monkeypatch):
    folder = saved / "folder"
    for i, image in enumerate(photos(12, 8)):
        place = folder / ("cat" if i % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{i:02}.png")
    options = {"root": str(folder), "size": 8, "workers": 0}
    settings = {"_target_": "activeloop.data.image_folder", **options}
    data, _ = load_data("image_folder", **options, cache=str(saved / "kept"))
    run = run_of(saved, data, {name: settings[name] for name in settings if name != "workers"})
    (run.directory / "config.yaml").write_text(
        f"data:\n  root: {folder}\n  cache: {saved / 'kept'}\n  workers: 0\n"
    )

    def decoded_again(items, index):
        raise AssertionError("it is decoded already")

    monkeypatch.setattr(ImageFiles, "__call__", decoded_again)
    found = reload(run)
    assert np.array_equal(found.pool.read(np.arange(9)), data.pool.raw(np.arange(9), CPU).numpy())


def test_runs_from_python_say_how_to_show_their_data(tmp_path):
    run = made_run(tmp_path, "a", 0, [[0], [1]], {0: "cat", 1: "dog"})
    assert "kept no settings of its data" in pictures([run]).missing[0]


def test_vectors_from_a_file_are_the_features_of_the_map(saved):
    data, _ = loaded(saved / "x.npz")
    vectors = np.random.default_rng(0).normal(size=(len(data.pool), 4)).astype(np.float32)
    np.save(saved / "v.npy", vectors)
    embed = {"_target_": "activeloop.embed.file", "pool": str(saved / "v.npy"), "as_input": False}
    run = run_of(saved, data, settings_of(saved / "x.npz"), embed)
    assert np.array_equal(reload(run).embeddings, vectors)
    assert "the vectors in v.npy" in pictures([run]).map.how
    (saved / "v.npy").unlink()
    assert "the pixels" in pictures([run]).map.how


def test_settings_that_may_name_files_lead_to_where_the_run_was_started(saved, monkeypatch):
    data, _ = loaded(saved / "x.npz")
    elsewhere = saved / "elsewhere"
    elsewhere.mkdir()
    for folder in (saved, elsewhere):
        for name in ("v.npy", "w.safetensors"):
            (folder / name).touch()
        (folder / "random").mkdir()
    monkeypatch.chdir(elsewhere)
    run = run_of(saved, data, settings_of("x.npz"), environment={"working_directory": str(saved)})
    said = {"embed": {"pool": "v.npy", "test": "v.npy", "weights": "w.safetensors"}}
    assert found(said, run) == {"embed": {k: str(saved / v) for k, v in said["embed"].items()}}
    assert found({"weights": "random", "test": None}, run) == {"weights": "random", "test": None}
    mixed = {"parts": [{"path": "v.npy"}, 3]}
    assert found(mixed, run) == {"parts": [{"path": str(saved / "v.npy")}, 3]}


@pytest.mark.parametrize(("repeat", "files"), [(1, True), (2, False)])
def test_samples_that_are_shown_several_times_are_no_files(saved, repeat, files):
    data, _ = loaded(saved / "x.npz")
    settings = {"_target_": "activeloop.data.image_folder", "root": str(saved), "repeat": repeat}
    assert image_root(run_of(saved, data, settings)) == (saved if files else None)


def test_vectors_of_a_backbone_are_used_if_they_are_kept_and_never_made(saved):
    data, _ = loaded(saved / "x.npz")
    options = {"name": "resnet18", "weights": "random", "size": 32}
    embed = {"_target_": "activeloop.backbones.embedding.backbone", **options, "cache": None}
    run = run_of(saved, data, settings_of(saved / "x.npz"), embed)
    (run.directory / "config.yaml").write_text(f"embed:\n  cache: {saved / 'kept'}\n")
    found = reload(run)
    assert found.embeddings is None
    assert not (saved / "kept").exists()
    assert len(found.doubts) == 1
    made = backbone(data, **options, cache=saved / "kept", device="cpu")
    again = reload(run)
    assert np.array_equal(again.embeddings, made.embeddings.numpy())
    assert "resnet18" in again.embedded
    assert again.doubts == ()


def test_data_that_cannot_be_compared_are_shown_with_a_doubt(saved):
    data, _ = loaded(saved / "x.npz")
    embed = {"_target_": "activeloop.embed.pca", "dimensions": 2, "as_input": True}
    found = pictures([run_of(saved, data, settings_of(saved / "x.npz"), embed)])
    assert found.galleries[0].rounds[0][0].image is not None
    assert any("cannot be told" in each and "embed=pca" in each for each in found.missing)


def test_a_dataset_of_the_users_own(saved, monkeypatch):
    module = ModuleType("their_data")

    class Theirs(torch.utils.data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return torch.from_numpy(photos(10)[index]), index % 2

    Theirs.__module__, Theirs.__qualname__ = "their_data", "Theirs"
    module.Theirs = Theirs
    monkeypatch.setitem(sys.modules, "their_data", module)
    data, _ = load_data("dataset", pool=Theirs(), workers=0)
    settings = {
        "_target_": "activeloop.data.from_dataset",
        "pool": {"_target_": "their_data.Theirs"},
    }
    found = reload(run_of(saved, data, settings))
    assert np.array_equal(found.pool.read(np.array([3]))[0], photos(10)[3])


def test_a_real_run_has_all_that_pictures_need(tmp_path):
    data, hidden = blobs()

    class Oracle:
        def label(self, indices):
            return hidden.pool[indices]

    for strategy in ("margin", "random"):
        directory = tmp_path / strategy
        loop = ActiveLoop(
            data,
            CentroidLearner(),
            load_strategy(strategy),
            test_labels=hidden.test,
            initial=6,
            query_size=5,
            rounds=2,
            directory=directory,
        )
        loop.run(Oracle())
        loop.files.store.set_meta(
            "run", {"strategy": strategy, "variant": "", "seed": 0, "data": "blobs"}
        )
        loop.files.close()
    runs = [read_run(tmp_path / strategy) for strategy in ("margin", "random")]
    assert runs[0].pool_size == 90
    found = pictures(runs, load=lambda run: as_arrays(data, hidden))
    assert found.overlap.chance == pytest.approx(10 / 84)
    assert found.balance.pool == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    margin = found.galleries[0].rounds[1]
    assert all(t.predicted in data.classes and 0 < t.confidence <= 1 for t in margin)
    assert found.missing == ()
