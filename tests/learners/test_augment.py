import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from activeloop.errors import LearnerError
from activeloop.learners.augment import augmenter, crop, flip


def test_crop_of_a_known_image():
    # On 3x3 a shift is by at most one, and edges are repeated.
    image = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=torch.uint8)
    expected = set()
    for rows in ([0, 0, 1], [0, 1, 2], [1, 2, 2]):
        for columns in ([0, 0, 1], [0, 1, 2], [1, 2, 2]):
            expected.add(tuple(image[rows][:, columns].flatten().tolist()))
    torch.manual_seed(0)
    found = crop(image.expand(300, 1, 3, 3))
    assert {tuple(f.flatten().tolist()) for f in found} == expected
    assert found.dtype == torch.uint8


def test_crop_shifts_all_channels_of_an_image_alike_and_by_an_eighth():
    ramp = torch.arange(32.0).expand(32, 32)
    batch = torch.stack([ramp, 100 + ramp]).expand(400, 2, 32, 32)
    torch.manual_seed(0)
    found = crop(batch)
    assert torch.equal(found[:, 1] - found[:, 0], torch.full((400, 32, 32), 100.0))
    shifts = found[:, 0, 0, 16] - 16
    assert set(shifts.tolist()) == set(range(-4, 5))


def test_flip_mirrors_about_half_of_the_images():
    image = torch.tensor([[1, 2, 3], [4, 5, 6]])
    torch.manual_seed(0)
    found = flip(image.expand(400, 1, 2, 3))[:, 0]
    mirrored = (found == torch.tensor([[3, 2, 1], [6, 5, 4]])).flatten(1).all(1)
    same = (found == image).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 160 < mirrored.sum() < 240


@given(st.integers(0, 5), st.integers(1, 3), st.integers(1, 20), st.integers(1, 20))
def test_augmentations_keep_shape_type_and_values(n, channels, height, width):
    batch = torch.randint(256, (n, channels, height, width), dtype=torch.uint8)
    before = batch.clone()
    found = augmenter(["crop", "flip"], (channels, height, width))(batch)
    assert found.shape == batch.shape
    assert found.dtype == batch.dtype
    assert set(found.flatten().tolist()) <= set(batch.flatten().tolist())
    assert torch.equal(batch, before)


def test_only_images_can_be_augmented():
    assert augmenter([], (5,))(torch.ones(2, 5)).tolist() == torch.ones(2, 5).tolist()
    with pytest.raises(LearnerError, match=r"learner.augment=\['crop'\] needs images"):
        augmenter(["crop"], (5,))
