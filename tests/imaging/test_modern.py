"""JPEG XL and HEIC files."""

import struct
import sys
from io import BytesIO

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from PIL.ExifTags import Base

from vdsrlib.errors import InputError
from vdsrlib.imaging.formats import READABLE
from vdsrlib.imaging.image_file import encode, read_picture
from vdsrlib.imaging.jpegxl_header import Header, read_header, read_size
from vdsrlib.imaging.metadata import SRGB, ImageCms


def made_exif(orientation):
    exif = Image.Exif()
    exif[Base.Orientation], exif[Base.Make] = orientation, "Maker"
    return exif.tobytes()


def box(kind, data):
    return struct.pack(">I4s", 8 + len(data), kind) + data


class TestJpegXl:
    @pytest.fixture
    def read(self, tmp_path):
        def read(content):
            (tmp_path / "a.jxl").write_bytes(content)
            return read_picture(tmp_path / "a.jxl")

        return read

    @pytest.mark.parametrize("bits", [8, 10, 12, 16])
    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_without_loss(self, read, photo, bits, channels):
        """Few bits are spread over sixteen."""
        samples = np.dstack([photo, photo[::-1, :, 0]])[..., :channels].squeeze()
        top = 2**bits - 1
        samples = np.rint(samples / 255.0 * top).astype(np.uint8 if bits == 8 else np.uint16)
        found = read(imagecodecs.jpegxl_encode(samples, lossless=True, bitspersample=bits))
        full = 255 if bits == 8 else 65_535
        wanted = np.rint(samples * (full / top)).squeeze()
        parts = [found.pixels] if found.alpha is None else [found.pixels, found.alpha]
        np.testing.assert_array_equal(np.dstack(parts).squeeze(), wanted)
        assert (found.alpha is None) == (channels < 4)
        assert found.notes == ()

    def test_metadata(self, read, photo):
        """The decoder turns an image by the codestream; what EXIF says of it is no more true."""
        content = imagecodecs.jpegxl_encode(photo, lossless=True, usecontainer=True)
        exif = made_exif(6).removeprefix(b"Exif\0\0")
        packed = box(b"brob", b"xml " + bytes(imagecodecs.brotli_encode(b"<x:xmpmeta/>")))
        found = read(content + box(b"Exif", bytes(4) + exif) + packed)
        np.testing.assert_array_equal(found.pixels, photo)
        assert found.turned
        assert (found.metadata.exif, found.metadata.xmp) == (exif, b"<x:xmpmeta/>")

    def test_a_packed_jpeg_is_that_jpeg(self, read, photo, tmp_path):
        buffer = BytesIO()
        icc = ImageCms.ImageCmsProfile(SRGB).tobytes()
        Image.fromarray(photo).save(buffer, "JPEG", quality=80, icc_profile=icc, exif=made_exif(6))
        (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
        wanted, found = (
            read_picture(tmp_path / "a.jpg"),
            read(imagecodecs.jpegxl_encode_jpeg(buffer.getvalue())),
        )
        np.testing.assert_array_equal(found.pixels, wanted.pixels)
        assert (found.icc, found.metadata) == (icc, wanted.metadata)

    def test_the_first_of_several(self, read, photo):
        found = read(imagecodecs.jpegxl_encode(np.stack([photo, photo[::-1]]), lossless=True))
        np.testing.assert_array_equal(found.pixels, photo)
        assert found.notes == ("the first of several frames",)

    def test_floats(self, read, photo):
        found = read(imagecodecs.jpegxl_encode((photo / 255).astype(np.float32), lossless=True))
        assert np.abs(found.pixels / 257.0 - photo).max() < 0.01
        assert found.notes == ("floats became 16 bits",)

    def test_cut_and_too_large(self, read, photo, tmp_path):
        content = imagecodecs.jpegxl_encode(photo, lossless=True)
        for length in (2, 5, len(content) // 2):
            with pytest.raises(InputError, match=r"a\.jxl cannot be read as an image"):
                read(content[:length])
        (tmp_path / "a.jxl").write_bytes(content)
        with pytest.raises(InputError, match="megapixels, and the limit"):
            read_picture(tmp_path / "a.jxl", max_pixels=1000)

    @pytest.mark.parametrize("shape", [(8, 8), (96, 120), (96, 96), (90, 120), (1, 3000), (600, 17)])
    def test_the_size_in_the_header(self, shape):
        content = imagecodecs.jpegxl_encode(np.zeros((*shape, 3), np.uint8), lossless=True)
        assert read_size(content) == read_header(content).size == shape

    def test_colours_of_other_meaning(self, read):
        """Headers written by hand, from the standard: RGB, D65, the primaries and the transfer function."""

        def header(*fields):
            bits = "".join(f"{value:0{count}b}"[::-1] for value, count in fields)
            bits += "0" * (-len(bits) % 8)
            return b"\xff\x0a" + bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))

        size = [(1, 1), (0, 5), (1, 3)]  # 8 x 8
        plain = [(0, 1), (0, 1), (0, 1), (0, 2), (1, 1), (0, 2), (0, 1)]  # 8 bits, nothing beside the colours
        p3_pq = [(0, 1), (0, 1), (0, 2), (1, 2), (2, 2), (9, 4), (0, 1), (2, 2), (14, 4)]
        assert read_header(header(*size, *plain, *p3_pq)) == Header((8, 8), colours=(12, 16))
        profile = [(0, 1), (1, 1)]
        assert read_header(header(*size, *plain, *profile)) == Header((8, 8), icc=True, colours=None)
        assert read_header(header(*size, (1, 1))) == Header((8, 8))


class TestHeic:
    @pytest.fixture
    def save(self, tmp_path):
        def save(mode, samples, **options):
            image = pillow_heif.from_bytes(mode, samples.shape[1::-1], samples.tobytes())
            image.save(tmp_path / "a.heic", quality=95, chroma=444, **options)
            return tmp_path / "a.heic"

        return save

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
    def test_eight_bits(self, save, photo, mode):
        samples = np.dstack([photo, photo[::-1, :, 0]])[..., : len(mode)].squeeze()
        found = read_picture(save(mode, samples))
        parts = [found.pixels] if found.alpha is None else [found.pixels, found.alpha]
        assert np.abs(np.dstack(parts).squeeze().astype(int) - samples).mean() < 3
        assert (found.alpha is not None) == (mode == "RGBA")
        assert found.notes == ()

    def test_ten_bits_become_sixteen(self, save, photo):
        found = read_picture(save("RGB;16", photo.astype(np.uint16) * 257))
        assert found.pixels.dtype == np.uint16
        assert np.abs(found.pixels / 257.0 - photo).mean() < 2
        assert len(np.unique(found.pixels)) > 256
        assert not (found.pixels % 64).all()

    def test_metadata(self, save, photo, tmp_path):
        """The file's own field says how an image is turned, and EXIF no more than how it was."""
        icc = ImageCms.ImageCmsProfile(SRGB).tobytes()
        path = save("RGB", photo, exif=made_exif(6), xmp=b"<x:xmpmeta/>", icc_profile=icc)
        found = read_picture(path)
        assert found.pixels.shape in (photo.shape, (120, 96, 3))
        assert found.metadata.exif == made_exif(6).removeprefix(b"Exif\0\0")
        assert found.metadata.xmp == b"<x:xmpmeta/>"
        assert found.icc == icc

    def test_the_package_is_missing(self, save, photo, monkeypatch):
        path = save("RGB", photo)
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(InputError, match=r"a\.heic is HEIC, and pillow_heif is not installed; pip"):
            read_picture(path)

    def test_cut(self, save, photo):
        path = save("RGB", photo)
        path.write_bytes(path.read_bytes()[:900])
        with pytest.raises(InputError, match=r"a\.heic cannot be read as an image"):
            read_picture(path)

    def test_high_dynamic_range_is_kept_or_said(self, tmp_path, photo):
        image = pillow_heif.from_bytes("RGB;16", (120, 96), (photo.astype(np.uint16) * 257).tobytes())
        image.save(tmp_path / "a.heic", color_primaries=9, transfer_characteristics=16)
        picture = read_picture(tmp_path / "a.heic")
        assert picture.metadata.png_colour == {b"cICP": bytes([9, 16, 0, 1])}
        assert encode(tmp_path / "a.png", picture) == ()
        assert "the meaning of colours (cICP) is left out" in encode(tmp_path / "a.jpg", picture)


@pytest.mark.skipif(".avif" not in READABLE, reason="this Pillow has no AVIF")
@pytest.mark.parametrize(
    ("bits", "notes"), [(8, ()), (10, ("10 bits became 8",)), (12, ("12 bits became 8",))]
)
def test_avif_says_what_is_lost(tmp_path, photo, bits, notes):
    samples = photo if bits == 8 else photo.astype(np.uint16) << (bits - 8)
    content = imagecodecs.avif_encode(samples, bitspersample=bits, primaries=9, transfer=16)
    (tmp_path / "a.avif").write_bytes(content)
    found = read_picture(tmp_path / "a.avif")
    assert np.abs(found.pixels.astype(int) - photo).mean() < 8
    assert found.notes == ((f"{bits} bits became 8",) if bits > 8 else ())
    assert found.metadata.png_colour == {b"cICP": bytes([9, 16, 0, 1])}
