"""The data sets of torchvision and scikit-learn."""

import os
import pickle
import socket
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from activeloop.data import digits, image_folder, load_data, torchvision_data, vision
from activeloop.errors import ConfigError, DataError

CPU = torch.device("cpu")
REAL = os.environ.get("ACTIVELOOP_TEST_DATA")
needs_real_data = pytest.mark.skipif(
    REAL is None, reason="ACTIVELOOP_TEST_DATA, the folder of real data sets, is not set"
)


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist_like(folder, prefixes, labels):
    images = np.arange(len(labels) * 28 * 28).reshape(-1, 28, 28).astype(np.uint8)
    for prefix in prefixes:
        write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", np.array(labels))
    return images


def raw(samples):
    return samples.raw(np.arange(len(samples)), CPU)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")],
)
def test_the_mnist_family(tmp_path, name, folder):
    images = write_mnist_like(tmp_path / folder / "raw", ("train", "t10k"), range(10))
    data, hidden = load_data(name, root=tmp_path)
    assert data.name == name
    assert data.shape == (1, 28, 28)
    assert raw(data.pool)[:, 0].tolist() == raw(data.test)[:, 0].tolist() == images.tolist()
    assert hidden.pool.tolist() == hidden.test.tolist() == list(range(10))
    assert data.pool.keys[3] == "train/3"
    assert data.test.keys[3] == "test/3"
    names = {"mnist": "3", "fashion_mnist": "Dress", "kmnist": "tsu"}
    assert data.classes[3] == names[name]
    assert len(data.classes) == 10
    assert data.augmentations == (("crop", "flip") if name == "fashion_mnist" else ("crop",))


def test_emnist_is_turned_upright(tmp_path):
    prefixes = ("emnist-digits-train", "emnist-digits-test")
    images = write_mnist_like(tmp_path / "EMNIST" / "raw", prefixes, range(10))
    data, _ = torchvision_data("emnist", root=tmp_path, split="digits")
    assert data.name == "emnist-digits"
    assert raw(data.pool)[:, 0].tolist() == images.transpose(0, 2, 1).tolist()


def test_the_letters_of_emnist_count_from_one(tmp_path):
    prefixes = ("emnist-letters-train", "emnist-letters-test")
    write_mnist_like(tmp_path / "EMNIST" / "raw", prefixes, range(1, 27))
    data, hidden = torchvision_data("emnist", root=tmp_path, split="letters")
    assert data.classes[0] == "a"
    assert len(data.classes) == 26
    assert hidden.pool.tolist() == list(range(26))


def test_svhn(tmp_path):
    io = pytest.importorskip("scipy.io")
    x = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 10), np.uint8)
    for part in ("train", "test"):
        # 10 stands for the digit 0.
        io.savemat(tmp_path / f"{part}_32x32.mat", {"X": x, "y": np.arange(1, 11)[:, None]})
    with pytest.raises(DataError, match=r"svhn: the files in .* cannot be read .*corrupted"):
        load_data("svhn", root=tmp_path)


class FakeCifar:
    """As torchvision's: images [n, H, W, C], labels in a list."""

    classes = ("aeroplane", "bird")

    def __init__(self, root, *, train, download):
        del root, train, download
        self.data = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
        self.targets = [1, 0]


class FakeSvhn:
    """As torchvision's: images [n, C, H, W] out of order in memory, `labels` for `targets`."""

    def __init__(self, root, *, split, download):
        del root, split, download
        self.data = np.arange(10 * 4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3, 10)
        self.data = self.data.transpose(3, 2, 0, 1)
        self.labels = np.arange(10)


def test_images_with_channels_come_channels_first(monkeypatch):
    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", FakeCifar)
    monkeypatch.setattr(torchvision.datasets, "SVHN", FakeSvhn)
    data, hidden = load_data("cifar10")
    assert (
        raw(data.pool).tolist()
        == FakeCifar("", train=1, download=0).data.transpose(0, 3, 1, 2).tolist()
    )
    assert (data.classes, hidden.pool.tolist()) == (("aeroplane", "bird"), [1, 0])
    data, _ = load_data("svhn")
    assert raw(data.pool).tolist() == FakeSvhn("", split="", download=0).data.tolist()
    assert data.augmentations == ("crop",)
    assert data.pool.mean.tolist() == pytest.approx([0.4377, 0.4438, 0.4728])


@pytest.mark.parametrize("name", vision.PUBLISHED)
def test_files_that_are_missing_are_named(tmp_path, name):
    expected = vision.PUBLISHED[name]
    file = expected.files[0].format(split="balanced")
    with pytest.raises(DataError) as error:
        load_data(name, root=tmp_path, download=False)
    message = str(error.value)
    for part in (file, str(tmp_path / expected.folder), "data.download=true", "data.root"):
        assert part in message
    assert "\n" not in message


def test_only_the_files_that_are_missing_are_named(tmp_path):
    write_mnist_like(tmp_path / "MNIST" / "raw", ("train",), range(10))
    with pytest.raises(DataError, match=r"^mnist: t10k-images-idx3-ubyte, t10k-labels"):
        load_data("mnist", root=tmp_path, download=False)


@pytest.mark.parametrize("name", vision.PUBLISHED)
def test_a_download_without_a_network_is_one_clean_line(tmp_path, monkeypatch, name):
    def offline(*args, **kwargs):
        assert socket.getdefaulttimeout() == vision.PATIENCE
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "create_connection", offline)
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(DataError, match=f"^{name}: download failed .*name resolution.*or put") as e:
        load_data(name, root=tmp_path)
    assert "\n" not in str(e.value)
    assert socket.getdefaulttimeout() is None


def test_broken_files_are_not_a_failed_download(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    write_mnist_like(folder, ("train", "t10k"), range(10))
    (folder / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03 cut off")
    with pytest.raises(DataError, match=r"mnist: the files in .*raw cannot be read .* delete them"):
        load_data("mnist", root=tmp_path)


def test_a_torchvision_that_does_not_fit_torch_is_explained(monkeypatch, tmp_path):
    for error in (ImportError("no"), RuntimeError("operator torchvision::nms does not exist")):

        class Broken:
            raised = error

            def find_spec(self, name, path=None, target=None):
                if name.startswith("torchvision"):
                    raise self.raised

        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
        with pytest.raises(DataError, match=r"pip install --force-reinstall torch torchvision$"):
            load_data("mnist", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mnist", {"split": "letters"}, r"data\.split is for emnist only"),
        ("emnist", {"split": "all"}, r"data\.split must be one of balanced, .* got 'all'"),
        ("mnist", {"size": 3}, "no option 'size'"),
        ("cifar-10", {}, r"one of digits, mnist, .*'cifar-10' \(closest: cifar10\)"),
        ("zzz", {}, r"got 'zzz'$"),
    ],
)
def test_settings_that_have_no_meaning_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        load_data(name, **options)


# ---------------------------------------------------------------------------- real data


@needs_real_data
def test_mnist_as_published():
    data, hidden = load_data("mnist", root=REAL, download=False)
    assert (len(data.pool), len(data.test)) == (60_000, 10_000)
    assert hidden.pool[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(hidden.test)[:3].tolist() == [980, 1135, 1032]
    normal = data.pool.batch(np.arange(0, 60_000), CPU)
    assert normal.mean().item() == pytest.approx(0, abs=1e-3)
    assert normal.std().item() == pytest.approx(1, abs=1e-3)
    same, _ = load_data("mnist", root=REAL, download=False, mean=None, pool_size=100)
    assert same.pool.mean.tolist() == data.pool.mean.tolist()


@needs_real_data
@pytest.mark.slow
def test_cifar10_as_a_folder_has_the_constants_of_cifar10():
    data, hidden = image_folder(Path(REAL) / "cifar10-jpg")
    assert np.bincount(hidden.pool).tolist() == [5000] * 10
    assert np.bincount(hidden.test).tolist() == [1000] * 10
    known = vision.PUBLISHED["cifar10"]
    assert data.pool.mean.tolist() == pytest.approx(known.mean, abs=2e-3)
    assert data.pool.std.tolist() == pytest.approx(known.std, abs=2e-3)
    assert data.pool.keys[0] == "train/airplane/0000.jpg"


# ---------------------------------------------------------------------------- digits


def test_digits():
    data, hidden = digits()
    assert data.classes == tuple("0123456789")
    assert (len(data.pool), len(data.test), data.shape) == (1438, 359, (1, 28, 28))
    assert raw(data.pool).max() == 255
    assert abs(np.bincount(hidden.test) - 36).max() <= 2
    assert data.augmentations == ("crop",)


def test_digits_unscaled_are_the_published_pixels():
    from sklearn.datasets import load_digits

    data, hidden = digits(size=8, test_fraction=0)
    assert raw(data.pool)[:, 0].tolist() == np.rint(load_digits().images * 255 / 16).tolist()
    assert hidden.pool.tolist() == load_digits().target.tolist()


def test_digits_are_the_same_in_every_process_and_for_every_seed_of_numpy():
    np.random.seed(3)  # noqa: NPY002  # the global state is what must not matter
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, _ = digits(jitter=0.1, pool_size=100)
    assert torch.equal(torch.get_rng_state(), before)
    np.random.seed(4)  # noqa: NPY002  # as above
    again, _ = digits(jitter=0.1, pool_size=100)
    assert again.fingerprints == first.fingerprints


def test_data_sets_can_be_sent_to_another_process():
    data, hidden = digits(pool_size=50, repeat=2)
    data2, hidden2 = pickle.loads(pickle.dumps((data, hidden)))
    assert data2.fingerprints == data.fingerprints
    assert hidden2.pool.tolist() == hidden.pool.tolist()
