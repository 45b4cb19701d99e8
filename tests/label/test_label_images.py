"""The pool's images as the browser gets them: upright, bounded, without what their files tell."""

import errno
import io
import os
import sys

import numpy as np
import pytest
import torch
from fakes import FakeSamples, blobs
from PIL import Image, PngImagePlugin

from activeloop.data import image_folder
from activeloop.data.decode import decode
from activeloop.errors import DataError
from activeloop.label import images as module
from activeloop.label import unchanged
from activeloop.label.images import Images, pool_index
from activeloop.label.unchanged import Unchanged
from activeloop.manifest import Manifest
from activeloop.types import Data


def folder_of(root, *names):
    """Return the data of a folder of files that need not be images."""
    pool = FakeSamples(torch.zeros(len(names), 3, 8, 8), "pool")
    pool.keys = list(names)
    return Data(name="photos", classes=("cat", "dog"), pool=pool, root=root)


def shown(picture):
    image = Image.open(io.BytesIO(picture.content))
    image.load()
    return image


def show(tmp_path, image, name="a.png", size="large", **options):
    """Save an image, and return it as it is shown."""
    image.save(tmp_path / name, **options)
    picture = Images(folder_of(tmp_path, name))(0, size)
    assert picture.status == 200
    return shown(picture)


def near(image, colour, at=(1, 1)):
    return np.abs(np.subtract(image.convert("RGB").getpixel(at), colour)).max() < 12


@pytest.mark.parametrize(
    ("text", "index"),
    [("0", 0), ("4", 4), ("5", None), ("-1", None), ("1a", None), ("", None), ("\u0661", None)],
)
def test_an_id_is_an_index_of_the_pool_or_nothing(text, index):
    assert pool_index(text, 5) == index


# -- files --------------------------------------------------------------------------------------


def test_large_images_are_reduced_and_small_ones_are_kept_to_the_pixel(tmp_path):
    wide = Image.new("RGB", (2000, 1000), (200, 30, 30))
    assert show(tmp_path, wide).size == (1600, 800)
    assert show(tmp_path, wide, size="small").size == (256, 128)
    assert show(tmp_path, wide, "a.jpg").size == (1600, 800)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    tiny = show(tmp_path, Image.fromarray(pixels))
    assert tiny.format == "PNG"
    assert np.array_equal(np.asarray(tiny), pixels)


def test_images_are_upright(tmp_path):
    image = Image.new("RGB", (40, 20), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    upright = show(tmp_path, image, "a.jpg", exif=exif, quality=95)
    assert upright.size == (20, 40)
    assert near(upright, (255, 0, 0), (10, 5))
    assert near(upright, (0, 0, 255), (10, 35))


def test_all_kinds_of_pixels_are_shown(tmp_path):
    sixteen = Image.fromarray(np.full((4, 4), 128 * 257, np.uint16))
    assert near(show(tmp_path, sixteen), (128, 128, 128))
    cmyk = Image.new("CMYK", (200, 200), (0, 255, 255, 0))
    assert near(show(tmp_path, cmyk, "a.jpg"), (255, 0, 0))
    assert near(show(tmp_path, cmyk, "a.tif"), (255, 0, 0))
    palette = Image.new("RGB", (4, 4), (10, 200, 10)).quantize()
    assert near(show(tmp_path, palette), (10, 200, 10))
    assert near(show(tmp_path, Image.new("1", (4, 4), 1)), (255, 255, 255))
    assert near(show(tmp_path, Image.new("RGBA", (4, 4), (0, 0, 0, 0))), (255, 255, 255))
    assert near(show(tmp_path, Image.new("LA", (4, 4), (0, 0))), (255, 255, 255))
    assert near(show(tmp_path, Image.new("RGB", (4, 4), (1, 99, 2)), "a.webp"), (1, 99, 2))


def test_of_animations_the_first_picture_is_shown(tmp_path):
    second = Image.new("RGB", (4, 4), (0, 0, 255))
    first = Image.new("RGB", (4, 4), (255, 0, 0))
    assert near(show(tmp_path, first, "a.gif", save_all=True, append_images=[second]), (255, 0, 0))


@pytest.mark.parametrize("side", [50, 500])
def test_what_files_tell_beside_their_pixels_is_left_out(tmp_path, side):
    image = Image.new("RGB", (side, side))
    exif = Image.Exif()
    exif[0x010E] = "at home"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "at home")
    image.save(tmp_path / "a.jpg", exif=exif, comment=b"at home", icc_profile=b"at home")
    image.save(tmp_path / "b.png", pnginfo=text, icc_profile=b"at home", exif=exif)
    images = Images(folder_of(tmp_path, "a.jpg", "b.png"))
    for index in (0, 1):
        content = images(index, "large").content
        assert b"at home" not in content
        assert not {"exif", "comment", "icc_profile", "Comment"} & set(
            shown(images(index, "large")).info
        )


def test_files_that_cannot_be_shown_are_told_in_a_picture_without_their_path(tmp_path):
    whole = io.BytesIO()
    Image.effect_noise((300, 300), 50).save(whole, "PNG")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:5000])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "program.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "folder.png").mkdir()
    names = ["cut.png", "text.png", "empty.png", "program.jpg", "folder.png"]
    images = Images(folder_of(tmp_path, *names, "gone.png"))
    for index in range(len(names)):
        picture = images(index, "large")
        assert picture.status == 404
        assert shown(picture).size == (640, 480)
    assert images(5, "large").status == 410
    (tmp_path / "gone.png").write_bytes(whole.getvalue())
    assert images(5, "large").status == 200


def test_formats_that_run_programs_are_not_opened(tmp_path, monkeypatch):
    def run(*arguments, **options):
        raise AssertionError("a program was run")

    monkeypatch.setattr("subprocess.check_call", run)
    (tmp_path / "a.jpg").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    )
    said = []
    monkeypatch.setattr(module, "_placeholder", lambda text, status: said.append(text))
    Images(folder_of(tmp_path, "a.jpg"))(0, "large")
    assert "no image of a known format" in said[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert Images(folder_of(tmp_path, "a.png"))(0, "large").status == 404


def test_images_of_too_many_pixels_are_not_decoded_but_large_jpegs_are_reduced(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "MOST_PIXELS", 1_000_000)
    for name in ("a.png", "a.jpg"):
        Image.new("L", (2000, 2000)).save(tmp_path / name)
    images = Images(folder_of(tmp_path, "a.png", "a.jpg"))
    assert images(0, "small").status == 404
    assert images(1, "small").status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="no such names")
def test_odd_names_are_names(tmp_path):
    names = ['a "b"\'\n<x>&?#%2e.png', "Bäume ☂.png"]
    for name in names:
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    data, _ = image_folder(tmp_path, classes=["cat", "dog"], size=8)
    assert sorted(data.pool.keys) == sorted(names)
    images = Images(data)
    assert [images(index, "large").status for index in range(2)] == [200, 200]


def test_links_in_the_folder_are_part_of_the_data_and_pictures_of_nothing_else(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "elsewhere" / "passwords.png").write_text("root:x:0")
    (tmp_path / "photos" / "cat" / "linked.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "photos" / "dog").symlink_to(tmp_path / "elsewhere")
    keys = ("cat/linked.png", "dog/x.png", "dog/passwords.png")
    images = Images(folder_of(tmp_path / "photos", *keys))
    assert [images(index, "large").status for index in range(3)] == [200, 200, 404]
    assert b"root" not in images(2, "large").content


def test_keys_that_leave_the_folder_are_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    keys = ("../a.png", str(tmp_path / "a.png"))
    images = Images(folder_of(tmp_path / "photos", *keys))
    assert [images(index, "large").status for index in range(2)] == [404, 404]


# -- what is kept -------------------------------------------------------------------------------


def test_images_are_encoded_once_and_again_when_their_file_is_touched(opened):
    images, (path, *_) = opened()
    first = images(0, "large")
    assert images(0, "large") is first
    assert images(0, "small").etag != first.etag
    os.utime(path, ns=(1, 1))
    second = images(0, "large")
    assert second.etag != first.etag
    assert second.content == first.content
    path.unlink()
    assert images(0, "large").status == 410


# -- files that are others by now ---------------------------------------------------------------


@pytest.fixture
def opened(tmp_path):
    """Return a function that makes a folder of images and opens it, as a run does."""

    def open_(**options):
        folder = tmp_path / "photos"
        folder.mkdir()
        colours = {"a.png": (200, 0, 0), "b.png": (0, 200, 0), "c.png": (0, 0, 200)}
        for name, colour in colours.items():
            Image.new("RGB", (40, 20), colour).save(folder / name)
        data, _ = image_folder(folder, classes=["cat", "dog"], size=[8, 6], **options)
        images = Images(data, unchanged=Unchanged(data, Manifest.of(data)))
        return images, [folder / key for key in data.pool.keys]

    return open_


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_that_is_another_image_by_now_is_not_shown_as_the_one_before(opened, channels):
    images, (one, two, three) = opened(channels=channels)
    first = images(0, "large")
    assert [images(index, "small").status for index in range(3)] == [200] * 3
    kept, stamp = one.read_bytes(), one.stat()
    Image.new("RGB", (40, 20), (9, 99, 0)).save(one)
    os.utime(one, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    two.unlink()
    two.symlink_to(three)
    three.write_bytes(three.read_bytes()[:50])
    changed = images(0, "large")
    assert changed.status == 409
    assert shown(changed).size == (640, 480)
    assert [images.changed(index) for index in range(3)] == [True] * 3
    assert images(2, "large").status == 409
    one.write_bytes(kept)  # put back
    assert not images.changed(0)
    assert images(0, "large").content == first.content


def test_a_file_that_looks_the_same_is_the_same_whatever_it_says_beside(opened):
    images, (one, two, three) = opened()
    with Image.open(one) as image:
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "at home")
        image.save(one, pnginfo=text)
    two.rename(two.with_name("moved"))
    two.symlink_to("moved")
    three.unlink()
    assert not any(images.changed(index) for index in range(3))
    assert [images(index, "large").status for index in range(3)] == [200, 200, 410]


def test_an_image_that_was_not_looked_at_before_is_compared_too(opened):
    images, (one, *_) = opened()
    Image.new("RGB", (40, 20), (9, 9, 9)).save(one)
    assert images.changed(0)
    assert not images.changed(1)


def test_a_file_of_which_no_sample_could_be_made_is_another_one(opened):
    images, (one, *_) = opened()
    Image.new("F", (40, 20)).save(one, "TIFF")
    assert images.changed(0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.timeout(20)
def test_what_is_no_file_any_more_is_not_waited_for(opened):
    images, (one, *_) = opened()
    one.unlink()
    os.mkfifo(one)
    assert images.changed(0)


def test_a_disk_that_fails_is_no_other_image(opened, monkeypatch):
    images, _ = opened()

    def fail(*given):
        raise OSError(errno.EIO, "the disk failed")

    monkeypatch.setattr(unchanged, "decode", fail)
    assert not images.changed(0)
    monkeypatch.undo()
    assert images(0, "large").status == 200


def test_a_file_is_decoded_again_only_when_it_may_be_another(opened, monkeypatch):
    images, (one, *_) = opened()
    decoded = []
    monkeypatch.setattr(unchanged, "decode", lambda *given: decoded.append(given) or decode(*given))
    for _ in range(3):
        images.changed(0)
        images(0, "large")
    os.utime(one)
    images.changed(0)
    assert len(decoded) == 2


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(tmp_path):
    names = [f"{n}.png" for n in range(3)]
    for name in names:
        Image.new("RGB", (40, 40)).save(tmp_path / name)
    one = len(Images(folder_of(tmp_path, *names))(0, "large").content)
    images = Images(folder_of(tmp_path, *names), cache_bytes=2 * one)
    first, second = images(0, "large"), images(1, "large")
    assert images(0, "large") is first
    images(2, "large")
    assert images(0, "large") is first
    assert images(1, "large") is not second


# -- samples that are no files ------------------------------------------------------------------


def arrays(values, **fields):
    return Data(name="arrays", classes=("a", "b"), pool=FakeSamples(values, "pool"), **fields)


def test_images_in_memory_are_shown_as_they_are_and_larger_ones_not_as_squares():
    values = torch.arange(128.0).reshape(2, 1, 8, 8)
    images = Images(arrays(values))
    picture = shown(images(1, "large"))
    assert (picture.format, picture.size, picture.mode) == ("PNG", (8, 8), "L")
    assert np.asarray(picture).ravel()[[0, 1, 63]].tolist() == [0, 4, 255]
    assert images(0, "large").etag != images(1, "large").etag
    assert images.pixelated
    assert not Images(arrays(torch.rand(1, 3, 300, 300))).pixelated


def test_samples_that_were_embedded_are_shown_as_they_were():
    data, _ = blobs()
    images = Images(data, lambda: FakeSamples(torch.rand(90, 3, 8, 8), "pool"))
    assert shown(images(89, "large")).size == (8, 8)


def test_samples_that_are_no_images_cannot_be_labelled():
    data, _ = blobs()
    with pytest.raises(DataError, match="are no images"):
        Images(data)
