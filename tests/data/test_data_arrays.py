import numpy as np
import pytest
import torch

from activeloop.data import arrays, numeric
from activeloop.data import samples as samples_module
from activeloop.errors import ConfigError, DataError

CPU = torch.device("cpu")
Y = np.array([0, 1, 0, 1])
X = np.arange(4 * 2 * 5 * 3, dtype=np.uint8).reshape(4, 2, 5, 3)


def pool_of(x, **options):
    data, _ = arrays(x=x, y=np.arange(len(x)) % 2, test_fraction=0, **options)
    return data.pool.raw(np.arange(len(x)), CPU)


def test_channels_are_found_last_or_first():
    assert pool_of(X).tolist() == X.transpose(0, 3, 1, 2).tolist()
    assert pool_of(X.transpose(0, 3, 1, 2)).tolist() == X.transpose(0, 3, 1, 2).tolist()
    assert pool_of(X[..., 0]).tolist() == X[:, None, :, :, 0].tolist()


def test_the_layout_can_be_told():
    x = np.zeros((4, 3, 5, 3), np.uint8)
    with pytest.raises(DataError, match=r"\[4, 3, 5, 3\] may be .* data\.layout=nhwc"):
        pool_of(x)
    assert pool_of(x, layout="nhwc").shape == (4, 3, 3, 5)
    assert pool_of(x, layout="nchw").shape == (4, 3, 5, 3)
    with pytest.raises(ConfigError, match="must be one of auto, nhwc, nchw, got 'hwc'"):
        pool_of(x, layout="hwc")


@pytest.mark.parametrize(
    ("stored", "handed_out"),
    [
        (X.astype(np.float64) / 255, torch.float32),
        (X.astype(np.float16), torch.float32),
        (X.astype(">f4"), torch.float32),
        (X[::-1, :, ::-1], torch.uint8),
        (np.arange(8).reshape(4, 2), torch.float32),
        (np.arange(8, dtype=np.uint16).reshape(4, 2), torch.float32),
        (np.arange(8, dtype=np.uint8).reshape(4, 2), torch.float32),
        (torch.arange(8.0).reshape(4, 2), torch.float32),
    ],
)
def test_number_types_and_memory_orders_keep_their_values(stored, handed_out):
    got = pool_of(stored)
    assert got.dtype == handed_out
    expected = np.asarray(stored).astype(np.float32)
    expected = expected.transpose(0, 3, 1, 2) if expected.ndim == 4 else expected
    assert got.float().tolist() == expected.tolist()


def test_read_only_arrays_are_taken_without_a_warning(recwarn):
    x = X.copy()
    x.setflags(write=False)
    pool_of(x)
    assert not recwarn.list


def test_what_is_augmented_is_images_only():
    assert arrays(x=X, y=Y, test_fraction=0)[0].augmentations == ("crop", "flip")
    assert arrays(x=np.eye(4), y=Y, test_fraction=0)[0].augmentations == ()


def test_an_npz_file_with_a_test_set(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y, x_test=X[:2], y_test=Y[:2])
    data, hidden = arrays(tmp_path / "d.npz", classes=["cat", "dog"])
    assert data.classes == ("cat", "dog")
    assert hidden.pool.tolist() == [0, 1, 0, 1]
    assert hidden.test.tolist() == [0, 1]
    assert list(data.pool.keys) == ["train/0", "train/1", "train/2", "train/3"]
    assert list(data.test.keys) == ["test/0", "test/1"]


def test_an_npz_file_of_samples_only_is_for_a_person(tmp_path):
    np.savez(tmp_path / "d.npz", x=X)
    _, hidden = arrays(str(tmp_path / "d.npz"), classes=["cat", "dog"])
    assert hidden.pool is None
    with pytest.raises(ConfigError, match=r"need the names of the classes.*data\.classes=\["):
        arrays(tmp_path / "d.npz")


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """A folder of .npy files, all of them large enough to be memory-mapped."""
    monkeypatch.setattr(numeric, "MAP_FROM_BYTES", 1)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return tmp_path


def test_large_npy_files_stay_on_the_disk(mapped, monkeypatch):
    opened = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda *a, **k: opened.append(load(*a, **k)) or opened[-1])
    data, _ = arrays(x=mapped / "x.npy", y=str(mapped / "y.npy"), test_fraction=0, pool_size=2)
    # A private map, "c", would be refused where it is larger than memory.
    assert opened[0].mode == "r"
    # The samples are on the file: a change in it shows.
    before = data.pool.raw(np.array([0, 1]), CPU)
    load(mapped / "x.npy", mmap_mode="r+")[:] = 0
    assert before.any()
    assert not data.pool.raw(np.array([0, 1]), CPU).any()


def test_a_memory_map_is_the_same_data_set(mapped):
    on_disk, _ = arrays(x=mapped / "x.npy", y=Y, pool_size=2, repeat=2)
    in_memory, _ = arrays(x=X, y=Y, pool_size=2, repeat=2)
    assert on_disk.fingerprints == in_memory.fingerprints


def test_a_memory_map_that_is_read_only_is_taken(mapped):
    x = np.load(mapped / "x.npy", mmap_mode="r")
    assert pool_of(x).tolist() == pool_of(X).tolist()


class Harm:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_pickles_are_never_opened(tmp_path, monkeypatch):
    harm = np.array([Harm()], object)
    np.save(tmp_path / "x.npy", harm, allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=harm)
    for read in ({"x": tmp_path / "x.npy", "y": Y}, {"path": tmp_path / "x.npz"}):
        with pytest.raises(DataError, match=r"cannot be read .*arrays of objects are not read"):
            arrays(**read)
    monkeypatch.setattr(numeric, "MAP_FROM_BYTES", 1)
    with pytest.raises(DataError, match="cannot be read"):
        arrays(x=tmp_path / "x.npy", y=Y)


def test_files_that_are_not_arrays_are_named(tmp_path):
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "z.npz", z=X)
    np.save(tmp_path / "x.npy", X)
    for path, message in (
        ("text.npz", r"text\.npz cannot be read"),
        ("none.npz", r"no file .*none\.npz"),
        ("z.npz", r"z\.npz must hold an array x, got z"),
        ("x.npy", r"x\.npy must be an \.npz file: .* data\.x"),
    ):
        with pytest.raises(DataError, match=message):
            arrays(tmp_path / path)
    with pytest.raises(DataError, match=r"z\.npz must be an \.npy file"):
        arrays(x=tmp_path / "z.npz", y=Y)


def nan_at(row, value=np.nan):
    x = np.zeros((4, 2))
    x[row, 1] = value
    return x


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": nan_at(2)}, "x has NaN or infinite values, first in sample 2 of 4"),
        ({"x": nan_at(3, -np.inf)}, "first in sample 3 of 4"),
        ({"x": nan_at(1, 1e300)}, "first in sample 1 of 4"),
        ({"test_x": nan_at(0), "test_y": Y}, "test_x has NaN"),
        ({"y": Y[:3]}, r"y must be 4 labels, one a sample, got shape \[3\]"),
        ({"y": Y[:, None]}, r"y must be 4 labels, one a sample, got shape \[4, 1\]"),
        ({"y": Y.astype(float)}, r"not integers \(float64\): .* y\.astype\(int\)"),
        ({"y": np.array(["a", "b", "a", "b"])}, r"not integers \(<U1\)$"),
        ({"y": Y - 1}, r"y: labels must be in 0\.\.0 for 1 classes, got -1"),
        ({"y": Y - 1, "classes": ["a", "b"]}, r"y: labels must be in 0\.\.1 .* got -1"),
        ({"y": Y + 1, "classes": ["a", "b"]}, r"y: labels must be in 0\.\.1 .* got 2"),
        ({"y": Y + 1}, "no sample in the pool of 4 for class '0'"),
        ({"y": Y * 10**12}, "y: 4 labels must be positions in the class names, from 0, got 10+"),
        ({"test_x": np.eye(2, 3), "test_y": Y[:2]}, r"test set: .* \[2\], got \[3\]"),
        ({"test_x": np.eye(2), "test_y": Y[:2] + 5}, r"test set: labels .* got 5"),
        ({"test_x": np.eye(2)}, "a test set is test_x and test_y"),
        ({"test_y": Y}, "a test set is test_x and test_y"),
        ({"x": np.zeros(4)}, r"x must be vectors .* got shape \[4\]"),
        ({"x": np.zeros((4, 2, 2), np.int64)}, r"x must be numbers, .* got int64"),
        ({"x": np.array([["a"]] * 4)}, "x must be numbers, .* got <U1"),
        ({"x": np.zeros((0, 2)), "y": Y[:0]}, "the pool has no samples"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given, message):
    with pytest.raises(DataError, match=message):
        arrays(**{"x": np.arange(8.0).reshape(4, 2), "y": Y, "test_fraction": 0, **given})


def test_a_bad_value_far_into_a_large_array_is_found_at_its_place(monkeypatch):
    monkeypatch.setattr(samples_module, "BLOCK_BYTES", 1)
    with pytest.raises(DataError, match="first in sample 3 of 4"):
        arrays(x=nan_at(3), y=Y, test_fraction=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"arrays need data\.path"),
        ({"path": "a.npz", "y": Y}, r"data\.path and data\.y are both set"),
        ({"x": X, "y": Y, "classes": "cat"}, r"data\.classes must be a list .* got 'cat'"),
        ({"x": X, "y": Y, "classes": []}, r"data\.classes must be a list"),
        ({"x": X, "y": Y, "classes": ["a", "a"]}, "must all be different, got 'a' more than once"),
        ({"x": X, "y": Y * 0}, r"data\.classes must be at least two names, got \['0'\]"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        arrays(**given, test_fraction=0)
