import hashlib
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from activeloop.data import NumberedKeys, TensorSamples
from activeloop.data import samples as samples_module
from activeloop.data.samples import RepeatedKeys, take_keys
from activeloop.errors import DataError
from activeloop.types import Samples

CPU = torch.device("cpu")
IMAGES = torch.arange(3 * 2 * 2 * 2, dtype=torch.uint8).reshape(3, 2, 2, 2)
MEAN, STD = torch.tensor([0.5, 0.25]), torch.tensor([0.5, 2.0])


def keys(n, prefix="train"):
    return NumberedKeys(prefix, np.arange(n))


def samples(x=IMAGES, names=None, mean=MEAN, std=STD, rows=None):
    return TensorSamples(
        x, names or keys(len(x) if rows is None else len(rows)), mean, std, rows=rows
    )


def test_it_is_what_the_contract_asks_for():
    assert isinstance(samples(), Samples)
    assert samples().shape == (2, 2, 2)
    assert len(samples()) == 3


def test_raw_returns_rows_in_the_order_asked_for_as_a_copy():
    s = samples()
    got = s.raw(np.array([2, 0, 2]), CPU)
    assert got.dtype == torch.uint8
    assert got.tolist() == [IMAGES[i].tolist() for i in (2, 0, 2)]
    got.zero_()
    assert s.raw(np.array([2]), CPU).tolist() == [IMAGES[2].tolist()]
    assert s.raw(np.array([], np.int64), CPU).shape == (0, 2, 2, 2)


def test_normalise_by_hand_for_each_channel():
    white = torch.full((1, 2, 1, 1), 255, dtype=torch.uint8)
    s = samples(white)
    # channel 0: (1 - 0.5) / 0.5; channel 1: (1 - 0.25) / 2
    assert s.batch(np.array([0]), CPU).flatten().tolist() == [1.0, 0.375]


def test_floats_are_normalised_as_they_are_and_not_changed_in_place():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.25]])
    s = samples(x)
    raw = s.raw(np.array([0, 1]), CPU)
    assert s.normalise(raw).tolist() == [[1.0, 0.875], [5.0, 2.0]]
    assert raw.tolist() == x.tolist()


@given(st.integers(0, 255), st.floats(0, 1), st.floats(0.01, 2))
def test_normalise_is_the_usual_formula(pixel, mean, std):
    x = torch.full((1, 1, 1, 1), pixel, dtype=torch.uint8)
    s = samples(x, mean=torch.tensor([mean]), std=torch.tensor([std]))
    expected = (pixel / 255 - mean) / std
    assert s.batch(np.array([0]), CPU).item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_is_refused(index):
    with pytest.raises(IndexError, match=rf"sample {index} is not in 0\.\.2"):
        samples().raw(np.array([0, index]), CPU)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": keys(2)}, "3 samples need as many keys, got 2"),
        ({"mean": torch.zeros(3)}, r"mean must have shape \[2\], got \[3\]"),
        ({"std": torch.ones(1)}, r"std must have shape \[2\], got \[1\]"),
        ({"x": IMAGES[0]}, r"samples must be images .* got shape \[2, 2, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        samples(**arguments)


def test_the_fingerprint_is_of_content_keys_and_normalisation_only():
    same = samples().fingerprint
    assert samples(IMAGES.clone(), list(keys(3))).fingerprint == same
    channels_last = IMAGES.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert samples(channels_last).fingerprint == same
    padded = torch.cat([IMAGES, IMAGES])
    assert samples(padded, rows=np.arange(3)).fingerprint == same
    used = samples()
    used.batch(np.array([1]), CPU)
    assert used.fingerprint == used.fingerprint == same

    other = IMAGES.clone()
    other[2, 1, 1, 1] += 1
    changed = [
        samples(other),
        samples(IMAGES.flip(0)),
        samples(IMAGES.reshape(3, 2, 4, 1)),
        samples(IMAGES.float()),
        samples(names=keys(3, "test")),
        samples(mean=MEAN + 0.01),
        samples(std=STD + 0.01),
    ]
    assert len({same, *(s.fingerprint for s in changed)}) == len(changed) + 1


def test_the_fingerprint_does_not_depend_on_the_size_of_blocks(monkeypatch):
    before = samples().fingerprint
    monkeypatch.setattr(samples_module, "BLOCK_BYTES", 1)
    assert samples().fingerprint == before


def test_the_fingerprint_does_not_run_keys_together():
    assert (
        samples(names=["ab", "c", "d"]).fingerprint != samples(names=["a", "bc", "d"]).fingerprint
    )


def test_a_memory_map_is_read_by_rows_and_never_whole(tmp_path):
    stored = np.arange(12, dtype=np.float64).reshape(6, 2)
    np.save(tmp_path / "x.npy", stored)
    mapped = torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="c"))
    s = samples(mapped, rows=np.array([5, 1]))
    got = s.raw(np.array([1, 0]), CPU)
    assert got.dtype == torch.float32
    assert got.tolist() == [[2.0, 3.0], [10.0, 11.0]]


def test_the_samples_are_moved_to_another_device_once():
    # The meta device holds no values, but it is not the CPU.
    s = samples()
    meta = torch.device("meta")
    assert s.raw(np.array([0, 2]), meta).shape == (2, 2, 2, 2)
    moved = s._resident[meta]
    s.raw(np.array([1]), meta)
    assert s._resident == {meta: moved}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_gives_what_the_cpu_gives():
    s, some = samples(), np.array([2, 0])
    on_gpu = s.batch(some, torch.device("cuda"))
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), s.batch(some, CPU))


def test_numbered_keys_are_a_sequence():
    numbered = NumberedKeys("train", np.array([4, 12, 7]))
    assert list(numbered) == ["train/4", "train/12", "train/7"]
    assert numbered[-1] == "train/7"
    assert list(numbered[1:]) == ["train/12", "train/7"]
    assert list(take_keys(numbered, np.array([2, 0]))) == ["train/7", "train/4"]
    assert list(take_keys(["a", "b"], np.array([1]))) == ["b"]
    with pytest.raises(IndexError):
        numbered[3]


def test_repeated_keys_name_the_copy():
    repeated = RepeatedKeys(["a", "b"], 3)
    assert list(repeated) == ["a", "b", "a~1", "b~1", "a~2", "b~2"]
    assert repeated[-1] == "b~2"
    assert repeated[1:3] == ["b", "a~1"]
    with pytest.raises(IndexError):
        repeated[6]


def test_a_million_keys_cost_nothing_until_read():
    start = time.perf_counter()
    numbered = RepeatedKeys(take_keys(keys(1_000_000), np.arange(500_000)), 2)
    assert (len(numbered), numbered[999_999]) == (1_000_000, "train/499999~1")
    assert time.perf_counter() - start < 0.5


def test_the_digest_is_of_32_digits():
    assert len(samples().fingerprint) == 2 * hashlib.blake2b(digest_size=16).digest_size
