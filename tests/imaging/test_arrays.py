"""Images that callers hand over: the same picture in many types, and what could be several things."""

import numpy as np
import pytest
import torch
from PIL import Image

from vdsrlib.errors import InputError
from vdsrlib.imaging.arrays import as_image, split_alpha
from vdsrlib.imaging.image_file import read_picture, save_image
from vdsrlib.imaging.resize import imresize

INTEGERS = [np.int16, np.int32, np.int64, np.uint32, np.uint64, ">u1", ">i4"]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("grey", [False, True])
def test_integers_of_other_types(photo, grey_photo, dtype, grey):
    image = grey_photo if grey else photo
    found = as_image(image.astype(dtype))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4"])
@pytest.mark.parametrize("top", [1, 255])
def test_floats(photo, dtype, top):
    found = as_image((photo / 255 * top).astype(dtype))
    assert found.dtype == (np.float32 if np.dtype(dtype).itemsize == 4 else np.float64)
    np.testing.assert_allclose(found, photo / 255, atol=5e-4)


def test_what_is_right_is_the_same_object(photo):
    for image in (photo, photo.astype(np.uint16) * 257, photo / 255, photo[..., 0]):
        assert as_image(image) is image


def test_other_forms(photo, grey_photo):
    np.testing.assert_array_equal(as_image(grey_photo[..., None]), grey_photo)
    np.testing.assert_array_equal(as_image(photo[:3, :4].tolist()), photo[:3, :4])
    np.testing.assert_array_equal(as_image(torch.from_numpy(photo)), photo)
    np.testing.assert_array_equal(as_image(grey_photo > 90), np.where(grey_photo > 90, 255, 0))
    wide = grey_photo.astype(">u2") * 257
    assert as_image(wide).dtype == np.uint16
    np.testing.assert_array_equal(as_image(wide), wide)
    np.testing.assert_array_equal(as_image(np.zeros((4, 5), int)), np.zeros((4, 5)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "RGBA", "LA", "I;16", "I", "F"])
def test_images_of_pillow(photo, mode):
    image = Image.fromarray(photo)
    image = image.convert("L").convert(mode) if mode in ("I;16", "LA") else image.convert(mode)
    found = as_image(image)
    wanted = np.asarray(image.convert("L" if mode in ("1", "L", "LA", "I;16", "I", "F") else "RGB"))
    if mode == "I;16":
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, np.asarray(image))
    else:
        np.testing.assert_allclose(found * 255 if found.dtype.kind == "f" else found, wanted, atol=1)


def test_alpha(photo):
    opaque = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    for image in (opaque, opaque.astype(int), opaque / 255, opaque.astype(float), Image.fromarray(opaque)):
        assert as_image(image).shape == photo.shape
    soft = np.dstack([photo, photo[..., 0]])
    for image in (soft, Image.fromarray(soft)):
        np.testing.assert_array_equal(split_alpha(image)[1], photo[..., 0])
        with pytest.raises(InputError, match="image must be opaque, got transparency"):
            as_image(image)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.full((4, 5), 256), "got int64 from 256 to 256"),
        (np.array([[0, 1]]), "got int64 from 0 to 1"),
        (np.array([[-1, 200]]), "got int64 from -1 to 200"),
        (np.array([[-1, 1.0]]), "got float64 from -1 to 1"),
        (np.array([[0, 4095.0]]), "got float64 from 0 to 4095"),
        (np.array([[0, np.nan]]), "got float64 from nan to nan"),
        (np.array([[0, np.inf]]), "got float64 from 0 to inf"),
        (np.zeros((3, 8, 9)), "got 3 x 8 x 9; move the channels last"),
        (np.zeros((1, 8, 9, 3)), "got 1 x 8 x 9 x 3"),
        (np.zeros((8, 9, 2)), "got 8 x 9 x 2"),
        (np.zeros(8), "got 8$"),
        (np.float64(1), "got one number"),
        (np.zeros((0, 9, 3)), "have pixels"),
        (np.zeros((3, 4), complex), "array of numbers, got ndarray of complex128"),
        ("photo.png", "array of numbers, got str"),
        (None, "array of numbers, got NoneType"),
        ([[1, 2], [3]], "be an array, got list"),
        (Image.new("CMYK", (3, 4)), "got Pillow's mode CMYK; convert it first"),
        (Image.new("HSV", (3, 4)), "got Pillow's mode HSV"),
    ],
)
def test_what_is_not_certain_is_refused(image, sentence):
    with pytest.raises(InputError, match=f"image must .*{sentence}"):
        as_image(image)


@pytest.mark.parametrize("convert", ["int64", "int32", "float", lambda x: x / 255, Image.fromarray])
def test_saved_as_it_is(tmp_path, photo, convert):
    save_image(tmp_path / "a.png", convert(photo) if callable(convert) else photo.astype(convert))
    found = read_picture(tmp_path / "a.png")
    assert found.pixels.dtype == np.uint8
    np.testing.assert_array_equal(found.pixels, photo)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_sixteen_bits_are_saved(tmp_path, photo, suffix):
    wide = photo.astype(np.uint16) * 257 - (photo > 9)
    save_image(tmp_path / f"a{suffix}", wide)
    found = read_picture(tmp_path / f"a{suffix}").pixels
    if suffix == ".jpg":
        assert np.abs(found.astype(int) - photo).mean() < 3
    else:
        np.testing.assert_array_equal(found, wide)


def test_transparency_is_saved(tmp_path, photo):
    image = np.dstack([photo, photo[..., 0]])
    save_image(tmp_path / "a.png", image)
    found = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(np.dstack([found.pixels, found.alpha]), image)
    with pytest.raises(InputError, match="cannot hold transparency"):
        save_image(tmp_path / "a.jpg", image)
    with pytest.raises(InputError, match="image must"):
        save_image(tmp_path / "b.png", np.full((3, 4), 999))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_resize_takes_pillows_images(photo):
    np.testing.assert_array_equal(imresize(Image.fromarray(photo), 0.5), imresize(photo, 0.5))
