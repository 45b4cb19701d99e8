from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, TensorDataset

from activeloop.data import from_dataset
from activeloop.errors import ConfigError, DataError

CPU = torch.device("cpu")
HWC = np.arange(4 * 2 * 5 * 3, dtype=np.uint8).reshape(4, 2, 5, 3)
CHW = HWC.transpose(0, 3, 1, 2)


def items(images, labels=(0, 1, 0, 1)):
    return list(zip(images, labels, strict=True))


def raw(data):
    return data.pool.raw(np.arange(len(data.pool)), CPU)


@pytest.mark.parametrize(
    "images",
    [HWC, torch.tensor(CHW), [Image.fromarray(image) for image in HWC]],
    ids=["array", "tensor", "PIL"],
)
def test_images_of_every_kind(images):
    data, hidden = from_dataset(items(list(images)))
    assert raw(data).dtype == torch.uint8
    assert raw(data).tolist() == CHW.tolist()
    assert hidden.pool.tolist() == [0, 1, 0, 1]
    assert data.classes == ("0", "1")
    assert (data.test, hidden.test) == (None, None)
    assert data.pool.keys[2] == "train/2"


def test_grey_images_get_one_channel():
    grey = HWC[..., 0]
    for images in (
        list(grey),
        [Image.fromarray(image) for image in grey],
        list(torch.tensor(grey)),
    ):
        assert raw(from_dataset(items(images))[0]).tolist() == grey[:, None].tolist()


def test_floats_are_not_crushed_to_bytes():
    images = torch.tensor(CHW.copy()) / 255
    data, _ = from_dataset(TensorDataset(images, torch.tensor([0, 1, 0, 1])))
    assert raw(data).dtype == torch.float32
    assert raw(data).tolist() == images.tolist()
    assert raw(from_dataset(items(list(images.double())))[0]).tolist() == images.tolist()


def test_vectors_are_taken_and_not_augmented():
    data, _ = from_dataset(items(list(torch.eye(4))))
    assert data.shape == (4,)
    assert data.augmentations == ()


def test_items_are_read_once_in_order():
    class Counting:
        classes = ("cat", "dog")
        seen: ClassVar[list[int]] = []

        def __len__(self):
            return 4

        def __getitem__(self, index):
            self.seen.append(index)
            return HWC[index], np.int64(index % 2)

    data, hidden = from_dataset(Counting(), items(HWC), name="pets", pool_size=2)
    assert Counting.seen == [0, 1, 2, 3]
    assert (data.name, data.classes) == ("pets", ("cat", "dog"))
    assert len(data.pool) == 2
    assert hidden.test.tolist() == [0, 1, 0, 1]
    assert from_dataset(Counting(), classes=["a", "b"])[0].classes == ("a", "b")


class Endless(IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ([], "train: the dataset is empty"),
        (Endless(), "train: a dataset must have a length and items by index, got Endless"),
        ([HWC[0]], r"train: item 0 must be \(image, label\), got ndarray"),
        (items(HWC, (0, 1, 0.5, 1)), r"train: item 2 must have an integer label, got 0\.5"),
        (items(HWC, (0, 1, "cat", 1)), "item 2 must have an integer label, got 'cat'"),
        ([(HWC[0], 0), (HWC[0, :1], 1)], r"item 1 must be as item 0, \[3, 2, 5\] .* \[3, 1, 5\]"),
        ([(HWC[0], 0), (HWC[0] / 255, 1)], "item 1 must be as item 0, .* uint8, got .* float32"),
        ([("a.png", 0)], "item 0 must have a PIL image, an array or a tensor, got str"),
        ([(HWC[0].astype(int), 0)], r"item 0 must have an image or vector, .* got .* int64"),
        ([(torch.tensor([1.0, float("nan")]), 0)], "train has NaN or infinite values"),
        (items(HWC, (0, 1, -1, 1)), r"pool: labels must be in 0\.\.1 .* got -1"),
    ],
)
def test_datasets_that_do_not_fit_are_refused(pool, message):
    with pytest.raises(DataError, match=message):
        from_dataset(pool)


def test_no_dataset_is_refused():
    with pytest.raises(ConfigError, match=r"data\.pool must be a dataset, got None"):
        from_dataset(None, items(HWC))
