"""Whatever Pillow can decode becomes uint8 grey or RGB; the rest is refused in a sentence."""

import io

import numpy as np
import pytest
from PIL import Image

from vdsrlib.errors import InputError
from vdsrlib.imaging import image_file
from vdsrlib.imaging.colour import as_rgb, luma, merge_luma, split_luma, to_uint8

RED = np.array([[[255, 0, 0]]], np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
@pytest.mark.parametrize("grey", [False, True])
def test_lossless_round_trip(tmp_path, photo, grey_photo, suffix, grey):
    image = grey_photo if grey else photo
    path = tmp_path / "new" / f"größe 图像{suffix}"
    image_file.save_image(path, image)
    np.testing.assert_array_equal(image_file.read_image(path), image)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_round_trip(tmp_path, photo, suffix):
    image_file.save_image(tmp_path / f"a{suffix}", photo)
    found = image_file.read_image(tmp_path / f"a{suffix}")
    assert np.abs(found.astype(float) - photo).mean() < 4


def test_float_is_clipped_and_rounded_half_up(tmp_path):
    image = np.array([[-0.2, 0.5 / 255, 0.4999 / 255, 254.5 / 255, 1.7]])
    image_file.save_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(image_file.read_image(tmp_path / "a.png"), [[0, 1, 0, 255, 255]])
    np.testing.assert_array_equal(to_uint8(np.arange(256) / 255), np.arange(256))


@pytest.mark.parametrize(
    ("mode", "colour", "pixel"),
    [
        ("L", 200, 200),
        ("LA", (200, 0), 200),
        ("1", 1, 255),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 0), (1, 2, 3)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 257 * 200, 200),
        ("I;16", 65535, 255),
    ],
)
def test_modes(tmp_path, mode, colour, pixel):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (5, 4), colour).save(path)
    found = image_file.read_image(path)
    assert found.dtype == np.uint8
    assert found.shape[:2] == (4, 5)
    np.testing.assert_array_equal(found, np.broadcast_to(np.array(pixel, np.uint8), found.shape))


def test_palette_with_transparency(tmp_path):
    picture = Image.fromarray(np.repeat(RED, 4, axis=0)).quantize(4)
    picture.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(image_file.read_image(tmp_path / "a.png"), np.repeat(RED, 4, axis=0))


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(1, lambda x: x), (3, lambda x: x[::-1, ::-1]), (6, lambda x: np.rot90(x, -1))],
)
def test_exif_orientation(tmp_path, photo, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(image_file.read_image(tmp_path / "a.png"), turned(photo))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_is_refused(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="save it as 8- or 16-bit"):
        image_file.read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [0.01, 0.3, 0.9])
def test_truncated(tmp_path, photo, kind, kept):
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, kind)
    content = buffer.getvalue()
    path = tmp_path / "cut.png"
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"cut\.png cannot be read as an image"):
        image_file.read_image(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"<html>404</html>", bytes(1000)])
def test_not_an_image(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png cannot be read as an image"):
        image_file.read_image(tmp_path / "a.png")


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match="There is no image"):
        image_file.read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        image_file.read_image(tmp_path)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.gif", ".png", "a.png.bak"])
def test_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"must end in one of .*\.png"):
        image_file.save_image(tmp_path / name, RED)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "width"), [("a.jpg", 70_000), ("a.webp", 20_000)], ids=["jpg", "webp"])
def test_more_pixels_than_the_format_holds(tmp_path, name, width):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(InputError, match=r"write \.png instead"):
        image_file.save_image(tmp_path / name, np.zeros((2, width), np.uint8))
    assert (tmp_path / name).read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_full_disk(tmp_path, photo, full_disk):
    with pytest.raises(InputError, match=r"Cannot write .*a\.png"), full_disk():
        image_file.save_image(tmp_path / "a.png", photo)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("colour", "y"),
    [((255,) * 3, 235), ((0,) * 3, 16), ((255, 0, 0), 81), ((0, 255, 0), 145), ((0, 0, 255), 41)],
)
def test_luma(colour, y):
    image = np.full((3, 4, 3), colour, np.uint8)
    found = luma(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.full((3, 4), y))


def test_grey_is_its_own_luma(grey_photo):
    assert luma(grey_photo) is grey_photo
    rgb = as_rgb(grey_photo)
    assert all(np.array_equal(rgb[..., i], grey_photo) for i in range(3))
    assert as_rgb(rgb) is rgb


def test_split_and_merge(photo):
    y, chroma = split_luma(photo)
    np.testing.assert_allclose(y * 255, luma(photo), rtol=0, atol=0.5 + 1e-9)
    np.testing.assert_allclose(merge_luma(y, chroma), photo / 255, rtol=0, atol=1e-12)
    bright = merge_luma(y + 0.5, chroma)
    assert bright.max() == 1
