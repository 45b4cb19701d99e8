import dataclasses
import zlib
from contextlib import closing

import numpy as np
import pytest
import torch
from fakes import CentroidLearner, blobs

from activeloop.changes import Changes, settled
from activeloop.data.joining import in_order
from activeloop.data.samples import NumberedKeys, RepeatedKeys, TensorSamples
from activeloop.errors import DataError, StoreError
from activeloop.loop import ActiveLoop
from activeloop.manifest import Manifest, packed, unpacked
from activeloop.store import Store
from activeloop.strategies import load_strategy
from activeloop.types import Data, HiddenLabels

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "keys",
    [
        ["a/1.jpg", "späť.png", "with\nline", ""],
        [],
        NumberedKeys("train", np.array([5, 3, 9, 2**40, 0])),
        NumberedKeys("train", np.array([], np.int64)),
        RepeatedKeys(NumberedKeys("pool", np.arange(4)), 3),
        RepeatedKeys(["a", "b"], 2),
    ],
)
def test_keys_read_back_as_they_were(keys):
    assert list(unpacked(packed(keys))) == list(keys)


def test_numbered_keys_take_no_room():
    million = NumberedKeys("train", np.arange(1_000_000))
    assert len(packed(million)) < 2000
    assert len(unpacked(packed(million))) == 1_000_000
    some = NumberedKeys("train", np.sort(np.random.default_rng(0).permutation(60_000)[:10_000]))
    assert len(packed(some)) < 10_000


def images(names, seed=0, **parts):
    """Return a data set of images in files, each of which its name tells, and its labels."""
    numbers = [int(name[1:]) for name in names]
    x = np.stack([np.random.default_rng([seed, n]).integers(0, 255, (3, 4, 4)) for n in numbers])
    samples = TensorSamples(
        torch.from_numpy(x.astype(np.uint8)), names, torch.full((3,), 0.25), torch.ones(3)
    )
    data = Data(name="i", classes=("a", "b"), pool=samples, root="here", **parts)
    return data, HiddenLabels(pool=np.array(numbers) % 2)


def test_a_manifest_reads_back_and_has_checksums_of_files_only():
    data, _ = images(["p3", "p1", "p2"])
    manifest, store = Manifest.of(data), Store()
    assert Manifest.read(store) is None
    store.set_all(manifest.kept, manifest.packed)
    again = Manifest.read(store)
    assert again.same_keys(data)
    assert (again.mean, again.std) == ([0.25] * 3, [1.0] * 3)
    assert again.fingerprints == {"pool": data.pool.fingerprint}
    raw = data.pool.raw(np.arange(3), CPU).numpy()
    assert again.parts["pool"].checksums.tolist() == [zlib.crc32(one.tobytes()) for one in raw]
    arrays = dataclasses.replace(data, root=None)
    assert Manifest.of(arrays).parts["pool"].checksums is None


def test_what_changed_is_found_by_key_wherever_it_is_now():
    kept = Manifest.of(images(["p1", "p2", "p3", "p4"])[0])
    now, _ = images(["p9", "p4", "p2"])
    test, _ = images(["p3"], seed=1)
    changes = Changes.between(kept, dataclasses.replace(now, test=test.pool))
    assert (changes.vanished, changes.new, changes.changed) == (("p1",), ("p9",), ("p3",))
    assert str(changes) == (
        "1 sample is gone (p1); 1 sample has another content (p3); 1 sample is new (p9)"
    )
    many = Changes(vanished=tuple(f"p{n}" for n in range(25)), new=(), changed=())
    assert str(many).endswith("p8, p9 and 15 more)")
    assert str(many).startswith("25 samples are gone (p0, p1,")


def test_samples_are_put_in_order_with_their_labels_in_all_parts():
    data, hidden = images(["p1", "p2", "p3", "p4", "p5", "p6"])
    keys = {"pool": ["p6", "p1"], "test": ["p4", "p3"], "validation": ["p5"]}
    made, labels = in_order(data, hidden, keys, [0.5] * 3, [2.0] * 3)
    assert list(made.pool.keys) == ["p6", "p1"]
    assert (labels.pool.tolist(), labels.test.tolist()) == ([0, 1], [0, 1])
    assert made.validation.labels.tolist() == [1]
    of_6 = data.pool.raw(np.array([5]), CPU)
    assert torch.equal(made.pool.raw(np.array([0]), CPU), of_6)
    assert torch.equal(made.pool.batch(np.array([0]), CPU), (of_6 / 255 - 0.5) / 2)
    with pytest.raises(DataError, match="the sample 'p7' is not there"):
        in_order(data, hidden, {"pool": ["p7"]}, [0.5] * 3, [2.0] * 3)
    with pytest.raises(DataError, match="FakeSamples cannot be put in another order"):
        in_order(*blobs(), {"pool": ["pool/1"]}, [0.5] * 4, [2.0] * 4)


def test_samples_in_a_part_of_a_file_are_found_there():
    whole, _ = images(["p1", "p2", "p3", "p4"])
    x = whole.pool.raw(np.arange(4), CPU)
    moments = torch.zeros(3), torch.ones(3)
    part = TensorSamples(x, ["p4", "p2"], *moments, rows=np.array([3, 1]))
    again = part.taken(np.array([1, 0]), *moments)
    assert list(again.keys) == ["p2", "p4"]
    assert torch.equal(again.raw(np.arange(2), CPU), x[[1, 3]])
    assert part.checksums.tolist() == whole.pool.checksums[[3, 1]].tolist()


def test_a_loop_names_the_samples_that_changed(tmp_path):
    def loop(names, **other):
        data, _ = images(names, **other)
        strategy = load_strategy("random")
        return ActiveLoop(data, CentroidLearner(), strategy, initial=2, directory=tmp_path)

    names = [f"p{n}" for n in range(6)]
    loop(names).files.close()
    with pytest.raises(StoreError, match=r"1 sample is gone \(p5\)") as refused:
        loop(names[:5])
    assert "Put back what the run had" in str(refused.value)
    with pytest.raises(StoreError, match=r"6 samples have another content \(p0, p1"):
        loop(names, seed=1)
    with closing(Store(tmp_path / "run.db", read_only=True)) as store:
        assert list(Manifest.read(store).parts["pool"].keys) == names


def test_data_in_another_order_are_the_same_and_those_of_other_keys_are_not(tmp_path):
    data, _ = images(["p1", "p2", "p3"])
    kept = Manifest.of(data)

    def go_on(names, cut=""):
        now = images(names)
        return settled(kept, now, lambda: now, tmp_path, "refuse", cut)

    assert list(go_on(["p3", "p1", "p2"]).data.pool.keys) == ["p1", "p2", "p3"]
    with pytest.raises(StoreError, match=r"1 sample is gone \(p3\); 1 sample is new \(p9\)"):
        go_on(["p1", "p2", "p9"])
    with pytest.raises(StoreError, match=r"1 sample is gone \(p3\); .* activeloop branch"):
        go_on(["p1", "p2", "p9"], cut="data.pool_size")  # to ignore the new would not help
    with pytest.raises(StoreError, match=r"data.pool_size chooses .* resume .* ignore goes on"):
        go_on(["p1", "p2", "p3", "p9"], cut="data.pool_size")


def test_other_samples_of_the_same_keys_are_refused_where_there_are_no_checksums(tmp_path):
    data, _hidden = images(["p1", "p2", "p3"])
    kept = Manifest.of(dataclasses.replace(data, root=None))

    def go_on(names, **other):
        now = images(names, **other)
        return settled(kept, now, lambda: now, tmp_path, "join")

    found = go_on(["p0", "p3", "p2", "p1"])
    assert (list(found.data.pool.keys), found.joined) == (["p1", "p2", "p3", "p0"], ("p0",))
    assert found.hidden.pool.tolist() == [1, 0, 1, 0]
    with pytest.raises(StoreError, match="the keys that they had and another content"):
        go_on(["p0", "p3", "p2", "p1"], seed=1)


def test_numbered_keys_are_the_same_where_their_numbers_are():
    def numbered(*positions, times=1):
        base = NumberedKeys("train", np.array(positions))
        keys = RepeatedKeys(base, times) if times > 1 else base
        x = torch.zeros(len(keys), 3, 1, 1, dtype=torch.uint8)
        pool = TensorSamples(x, keys, torch.zeros(3), torch.ones(3))
        return Data(name="n", classes=("a", "b"), pool=pool)

    for times in (1, 2):
        kept = Manifest.of(numbered(4, 7, times=times))
        assert kept.same_keys(numbered(4, 7, times=times))
        assert not kept.same_keys(numbered(4, 8, times=times))
