import logging
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from activeloop.data import image_folder
from activeloop.data.decode import decode
from activeloop.errors import ConfigError, DataError

RED, BLUE, WHITE = [255, 0, 0], [0, 0, 255], [255, 255, 255]


def write(path, colour=(10, 20, 30), size=(4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, tuple(colour)).save(path)


def classes_in(root, **counts):
    """Folders of images; the red of an image is its number in its class."""
    for name, count in counts.items():
        for i in range(count):
            write(root / name / f"{i:03}.png", (i, 0, 0))


def pixels(path, channels=3, size=None):
    """Decoded image as `[H, W]` lists of pixels, or of numbers if grey."""
    with Image.open(path) as image:
        size = size or (image.height, image.width)
    got = decode(path, size, channels)
    return (got[0] if channels == 1 else got.transpose(1, 2, 0)).tolist()


# ---------------------------------------------------------------------------- kinds of images


def test_rgb_and_grey(tmp_path):
    Image.fromarray(np.array([[RED, BLUE]], np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.array([[0, 200]], np.uint8)).save(tmp_path / "g.png")
    assert pixels(tmp_path / "a.png") == [[RED, BLUE]]
    # The luma of red and of blue: 0.299 * 255 and 0.114 * 255
    assert pixels(tmp_path / "a.png", channels=1) == [[76, 29]]
    assert pixels(tmp_path / "g.png") == [[[0] * 3, [200] * 3]]
    assert pixels(tmp_path / "g.png", channels=1) == [[0, 200]]


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.array([[RED, BLUE], [WHITE, WHITE]], np.uint8))
    for orientation, upright in {
        1: [[RED, BLUE], [WHITE, WHITE]],
        2: [[BLUE, RED], [WHITE, WHITE]],
        3: [[WHITE, WHITE], [BLUE, RED]],
        6: [[WHITE, RED], [WHITE, BLUE]],
        8: [[BLUE, WHITE], [RED, WHITE]],
    }.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(tmp_path / "a.png", exif=exif)
        assert pixels(tmp_path / "a.png") == upright, orientation


def test_transparency_shows_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [9, 9, 9, 0], [0, 0, 0, 128]]], np.uint8)
    Image.fromarray(rgba, "RGBA").save(tmp_path / "rgba.png")
    half = [127] * 3
    assert pixels(tmp_path / "rgba.png") == [[RED, WHITE, half]]
    la = np.array([[[40, 255], [40, 0]]], np.uint8)
    Image.fromarray(la, "LA").save(tmp_path / "la.png")
    assert pixels(tmp_path / "la.png", channels=1) == [[40, 255]]


def palette(path, **options):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putdata([0, 1])
    image.save(path, **options)


def test_palettes_with_and_without_transparency(tmp_path):
    palette(tmp_path / "p.png")
    assert pixels(tmp_path / "p.png") == [[RED, BLUE]]
    palette(tmp_path / "t.png", transparency=1)
    assert pixels(tmp_path / "t.png") == [[RED, WHITE]]
    palette(tmp_path / "t.gif", transparency=0)
    assert pixels(tmp_path / "t.gif") == [[WHITE, BLUE]]


def test_one_bit_and_cmyk(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bit.png")
    assert pixels(tmp_path / "bit.png", channels=1) == [[255, 0]]
    # Full cyan leaves no red.
    Image.new("CMYK", (1, 1), (255, 0, 0, 0)).save(tmp_path / "c.tif")
    assert pixels(tmp_path / "c.tif") == [[[0, 255, 255]]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    deep = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"d.{suffix}")
    assert pixels(tmp_path / f"d.{suffix}", channels=1) == [[0, 1, 128, 255]]
    assert pixels(tmp_path / f"d.{suffix}")[0][2] == [128] * 3


def test_sixteen_bits_widened_to_32(tmp_path):
    Image.fromarray(np.array([[0, 128 * 257, 65535]], np.int32)).save(tmp_path / "d.tif")
    assert pixels(tmp_path / "d.tif", channels=1) == [[0, 128, 255]]


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.array([[0.5]], np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(ValueError, match="floating-point pixels"):
        decode(tmp_path / "f.tif", (1, 1), 1)


def test_shrinking_averages_instead_of_dropping_pixels(tmp_path):
    stripes = np.tile(np.array([[0, 255]], np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "s.png")
    middle = np.array(pixels(tmp_path / "s.png", 1, (8, 8)))
    assert abs(middle - 127.5).max() < 16


def test_size_is_height_and_width(tmp_path):
    classes_in(tmp_path, cat=3, dog=3)
    data, _ = image_folder(tmp_path, size=[6, 2], channels=1)
    assert data.shape == (1, 6, 2)
    assert image_folder(tmp_path, size=5)[0].shape == (3, 5, 5)


def test_large_jpegs_keep_their_content(tmp_path):
    gradient = np.linspace(0, 255, 600).astype(np.uint8)
    Image.fromarray(np.tile(gradient, (400, 1))).save(tmp_path / "j.jpg", quality=95)
    row = np.array(pixels(tmp_path / "j.jpg", 1, (4, 6)))[2]
    # The filter reaches half a pixel further than the pixel, but not beyond the edges.
    assert row.tolist() == pytest.approx([25, 64, 106, 149, 191, 230], abs=2)


# ---------------------------------------------------------------------------- layouts


def test_folders_of_train_and_test(tmp_path):
    classes_in(tmp_path / "train", dog=2, cat=3)
    classes_in(tmp_path / "test", cat=1)
    data, hidden = image_folder(tmp_path, size=4)
    assert data.name == tmp_path.name
    assert data.classes == ("cat", "dog")
    assert list(data.pool.keys)[2:4] == ["train/cat/002.png", "train/dog/000.png"]
    assert hidden.pool.tolist() == [0, 0, 0, 1, 1]
    assert list(data.test.keys) == ["test/cat/000.png"]
    assert hidden.test.tolist() == [0]
    red = data.pool.raw(np.arange(5), torch.device("cpu"))[:, 0, 0, 0]
    assert red.tolist() == [0, 1, 2, 0, 1]
    assert data.augmentations == ("crop", "flip")


def test_pool_may_stand_for_train_and_lie_flat(tmp_path):
    write(tmp_path / "pool" / "a.png")
    classes_in(tmp_path / "test", cat=1, dog=1)
    data, hidden = image_folder(tmp_path)
    assert list(data.pool.keys) == ["pool/a.png"]
    assert hidden.pool is None
    assert hidden.test.tolist() == [0, 1]


def test_class_folders_are_split_by_the_seed(tmp_path):
    classes_in(tmp_path, cat=10, dog=20)
    data, hidden = image_folder(tmp_path, test_fraction=0.2)
    # 6 out of 9 and 19 that can go: 1.93 and 4.07
    assert np.bincount(hidden.test).tolist() == [2, 4]
    assert not set(data.pool.keys) & set(data.test.keys)
    again, _ = image_folder(tmp_path, test_fraction=0.2)
    assert again.fingerprints == data.fingerprints
    other, _ = image_folder(tmp_path, test_fraction=0.2, seed=7)
    assert list(other.test.keys) != list(data.test.keys)


def test_a_flat_folder_is_for_a_person(tmp_path):
    write(tmp_path / "b.png")
    write(tmp_path / "a.JPG")
    data, hidden = image_folder(tmp_path, classes=["cat", "dog"])
    assert list(data.pool.keys) == ["a.JPG", "b.png"]
    assert (hidden.pool, hidden.test, data.test) == (None, None, None)
    with pytest.raises(ConfigError, match=r"name the classes, as in 'data\.classes=\[cat,dog\]'"):
        image_folder(tmp_path)


def test_classes_restrict_and_order_the_folders(tmp_path):
    classes_in(tmp_path, ant=2, bee=2, cat=2)
    data, hidden = image_folder(tmp_path, classes=["cat", "ant"], test_fraction=0)
    assert data.classes == ("cat", "ant")
    assert list(data.pool.keys)[::2] == ["cat/000.png", "ant/000.png"]
    assert hidden.pool.tolist() == [0, 0, 1, 1]


def test_nested_folders_hidden_files_and_other_files(tmp_path, caplog):
    classes_in(tmp_path, cat=2, dog=2)
    write(tmp_path / "cat" / "more" / "deep" / "x.png")
    write(tmp_path / "cat" / "._x.png")
    write(tmp_path / "cat" / ".cache" / "y.png")
    write(tmp_path / ".thumbnails" / "z.png")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "README.md").write_text("no image")
    (tmp_path / "empty").mkdir()
    data, _ = image_folder(tmp_path, test_fraction=0)
    assert data.classes == ("cat", "dog")
    assert list(data.pool.keys) == [
        "cat/000.png",
        "cat/001.png",
        "cat/more/deep/x.png",
        "dog/000.png",
        "dog/001.png",
    ]
    assert f"{tmp_path / 'empty'} has no images" in caplog.text


def test_photographs_that_are_not_read_are_counted(tmp_path, caplog):
    classes_in(tmp_path / "sorted", cat=2, dog=2)
    write(tmp_path / "flat" / "a.png")
    for name in ("sorted/cat/a.HEIC", "sorted/cat/in/b.heic", "sorted/cat/c.txt", "flat/d.avif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    image_folder(tmp_path / "sorted", test_fraction=0)
    image_folder(tmp_path / "flat", classes=["cat", "dog"])
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/sorted/cat: 2 files with .heic left out: convert to .jpg what is to be taken",
        f"{tmp_path}/flat: 1 file with .avif left out: convert to .jpg what is to be taken",
    ]


# ---------------------------------------------------------------------------- what goes wrong


def test_unreadable_files_are_named_and_fatal(tmp_path):
    classes_in(tmp_path, cat=12, dog=4)
    for number in range(10):
        (tmp_path / f"cat/{number:03}.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"10 of 16 images .*: cat/000.* cat/009[^,]*; ") as error:
        image_folder(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / "dog/000.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"11 of 16 .* cat/009\.png .* and 1 more; "):
        image_folder(tmp_path)


def test_an_image_of_too_many_pixels_is_said_to_be_too_large(tmp_path, monkeypatch):
    classes_in(tmp_path, cat=2, dog=2)
    write(tmp_path / "cat" / "wall.png", size=(60, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"cat/wall\.png \(too large: it has more than"):
        image_folder(tmp_path)


def test_names_that_are_no_text_are_said_or_left_out(tmp_path, caplog):
    classes_in(tmp_path, cat=3, dog=2)
    odd = tmp_path / os.fsdecode(b"odd\xfe")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this disk has names of text only")
    for path in (odd / "a.png", tmp_path / "cat" / os.fsdecode(b"bad\xff.png")):
        shutil.copy(tmp_path / "cat" / "000.png", path)
    shown = r"cat/bad\\xff\.png, odd\\xfe/a\.png; rename .* data\.unreadable=skip"
    with pytest.raises(DataError, match=f"2 of 7 images have names .*: {shown}"):
        image_folder(tmp_path)
    data, _ = image_folder(tmp_path, unreadable="skip", test_fraction=0)
    assert data.classes == ("cat", "dog")
    assert len(data.pool) == 5
    assert data.fingerprints
    assert "left out, its name cannot be read as UTF-8: cat/bad\\xff.png" in caplog.text


def test_unreadable_files_can_be_left_out_with_a_warning_each(tmp_path, caplog):
    classes_in(tmp_path, cat=3, dog=3)
    whole = (tmp_path / "cat" / "001.png").read_bytes()
    (tmp_path / "cat" / "001.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "000.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        data, hidden = image_folder(tmp_path, unreadable="skip", test_fraction=0, size=2)
    assert list(data.pool.keys) == ["cat/000.png", "cat/002.png", "dog/001.png", "dog/002.png"]
    assert hidden.pool.tolist() == [0, 0, 1, 1]
    red = data.pool.raw(np.arange(4), torch.device("cpu"))[:, 0, 0, 0]
    assert red.tolist() == [0, 2, 1, 2]
    assert [r.getMessage().split()[5] for r in caplog.records] == ["cat/001.png", "dog/000.png"]


def test_a_folder_of_nothing_but_broken_images_is_an_error_even_so(tmp_path):
    classes_in(tmp_path, cat=1, dog=1)
    for name in ("cat", "dog"):
        (tmp_path / name / "000.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="2 of 2 images"):
        image_folder(tmp_path, unreadable="skip")


def test_layouts_that_cannot_be_read_are_explained(tmp_path):
    def refuses(message, **options):
        with pytest.raises(DataError, match=message):
            image_folder(tmp_path / "root", **options)

    refuses(r"no folder .*root: set data\.root")
    (tmp_path / "root").mkdir()
    refuses("no images in .*root")
    classes_in(tmp_path / "root", cat=2, dog=2)
    refuses(
        r"no folder of images for class 'cow': its classes are cat, dog", classes=["cow", "cat"]
    )
    write(tmp_path / "root" / "a.png")
    refuses(r"images both directly \(a\.png\) and in folders \(cat\)")
    classes_in(tmp_path / "root" / "train", cat=1, dog=1)
    refuses(r"has 'train' but no 'test': .*data\.root=.*root/train")
    classes_in(tmp_path / "root" / "test", cat=1, dog=1, eel=1)
    refuses(r"has class 'eel', which .*train has not")
    (tmp_path / "root" / "pool").mkdir()
    refuses("both 'train' and 'pool'")


def test_a_flat_test_folder_has_no_labels(tmp_path):
    classes_in(tmp_path / "train", cat=1, dog=1)
    write(tmp_path / "test" / "a.png")
    with pytest.raises(DataError, match="the test set has no labels"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"data\.size must be a whole number of at least 1"),
        ({"size": [1, 2, 3]}, r"data\.size must be a number or \[height, width\]"),
        ({"size": "big"}, r"data\.size must be"),
        ({"channels": 4}, r"data\.channels must be 1 for grey or 3 for RGB, got 4"),
        ({"unreadable": "ignore"}, "must be one of error, skip, got 'ignore'"),
        ({"classes": "cat"}, r"data\.classes must be a list"),
        ({"classes": ["cat", ""]}, r"data\.classes must be names, got '' among \['cat', ''\]"),
        ({"colour": 1}, "no option 'colour'"),
    ],
)
def test_settings_that_have_no_meaning_are_refused(tmp_path, options, message):
    classes_in(tmp_path, cat=2, dog=2)
    with pytest.raises(ConfigError, match=message):
        image_folder(tmp_path, **options)
