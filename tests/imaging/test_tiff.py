"""TIFF files whose first page is not the picture, or whose samples Pillow does not decode."""

import random
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import Picture, read_picture, write_picture


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8", "16"])
def photo(request, photo):
    """A photograph of 8 and of 16 bits."""
    return photo.astype(np.uint16) * 257 if request.param == np.uint16 else photo


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.tif"


def test_a_thumbnail_first(path, photo):
    with tifffile.TiffWriter(path) as file:
        file.write(photo[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(photo, photometric="rgb")
    found = read_picture(path)
    np.testing.assert_array_equal(found.pixels, photo)
    assert found.notes == ()


def test_a_thumbnail_above_the_picture(path, photo):
    with tifffile.TiffWriter(path) as file:
        file.write(photo[::4, ::4], photometric="rgb", subfiletype=1, subifds=1)
        file.write(photo, photometric="rgb")
    np.testing.assert_array_equal(read_picture(path).pixels, photo)


def test_overviews_and_masks_are_no_frames(path, photo):
    with tifffile.TiffWriter(path) as file:
        file.write(photo, photometric="rgb")
        file.write(photo[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(photo[..., 0] > 99, photometric="mask", subfiletype=4)
    found = read_picture(path)
    np.testing.assert_array_equal(found.pixels, photo)
    assert found.notes == ()


def test_nothing_but_a_thumbnail(path, photo):
    tifffile.imwrite(path, photo, photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_picture(path).pixels, photo)


@pytest.mark.parametrize("photometric", ["cfa", 34892])
@pytest.mark.parametrize("below", [False, True])
def test_raw_is_refused(path, photo, photometric, below):
    with tifffile.TiffWriter(path) as file:
        if below:
            file.write(photo[::4, ::4], photometric="rgb", subfiletype=1, subifds=1)
        samples = photo[..., 0] if photometric == "cfa" else photo
        file.write(samples, photometric=photometric, extratags=[] if below else [(50706, 1, 4, (1, 4, 0, 0))])
    with pytest.raises(InputError, match=r"a\.tif is a camera's raw file; develop it first"):
        read_picture(path)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.raf", b"FUJIFILMCCD-RAW 0201"),
        ("a.x3f", b"FOVb"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1"),
        ("a.orf", b"IIRO\x08\0\0\0"),
        ("a.rw2", b"IIU\0\x18\0\0\0"),
        ("a.crw", b"II\x1a\0\0\0HEAPCCDR"),
        ("a.jpg", b"II*\0\x10\0\0\0CR\2\0"),
    ],
)
def test_raw_of_other_makers_is_refused(tmp_path, name, head):
    (tmp_path / name).write_bytes(head + bytes(100))
    with pytest.raises(InputError, match="is a camera's raw file; develop it first"):
        read_picture(tmp_path / name)


def test_raw_is_refused_by_its_name(tmp_path, photo):
    """Of a TIFF alone, in which makers hide the sensor's samples in many ways."""
    tifffile.imwrite(tmp_path / "a.nef", photo, photometric="rgb")
    with pytest.raises(InputError, match="raw file"):
        read_picture(tmp_path / "a.nef")


@pytest.mark.parametrize(
    "compression", ["webp", "jpeg2000", "jpegxl", "lerc", "zstd", "png", "jpegxr", "lzma", "deflate", "lzw"]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_compressions(path, photo, compression, channels):
    if (compression, photo.dtype) == ("webp", np.uint16) or (compression, channels) == ("webp", 1):
        pytest.skip("WebP has 8 bits and colour")
    samples = np.dstack([photo, photo[::-1, :, 0]])[..., :channels]
    options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    lossless = {"compressionargs": {"lossless": True}} if compression == "webp" else {}
    photometric = "minisblack" if channels == 1 else "rgb"
    if channels == 1:
        samples = samples[..., 0]
    tifffile.imwrite(path, samples, photometric=photometric, compression=compression, **lossless, **options)
    found = read_picture(path)
    wanted = samples if channels == 1 else samples[..., :3]
    assert found.pixels.shape == wanted.shape
    assert np.abs(found.pixels.astype(float) - wanted).mean() / np.iinfo(photo.dtype).max < 0.01
    assert (found.alpha is None) == (channels < 4)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "YCbCr", "P", "1"])
def test_as_pillow_reads_them(path, photo, compression, mode):
    """Pillow's own reader is the judge of the files that it writes."""
    if photo.dtype == np.uint16:
        pytest.skip("Pillow writes 8 bits")
    if compression == "jpeg" and mode in ("RGBA", "P", "1"):
        pytest.skip("no JPEG")
    Image.fromarray(photo).convert(mode).save(path, compression=compression)
    with Image.open(path) as file:
        wanted = np.asarray(file.convert("L" if mode in ("L", "1") else "RGB"))
    found = read_picture(path)
    np.testing.assert_array_equal(found.pixels, wanted)


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        ("1", "group3"),
        ("1", "group4"),
        ("1", "tiff_ccitt"),
        ("P", "tiff_lzw"),
        ("YCbCr", "tiff_adobe_deflate"),
    ],
)
def test_libtiff_prints_nothing(tmp_path, grey_photo, capfd, mode, compression):
    """Also where the tables are damaged, or the file is cut, and tifffile does not know such samples."""
    path, chance = tmp_path / "a.tif", random.Random(1)
    Image.fromarray(grey_photo).convert("RGB").convert(mode).save(path, compression=compression)
    content, refused = path.read_bytes(), 0
    for _ in range(40):
        data = bytearray(content)
        for _ in range(8):
            data[chance.randrange(8, len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.choice([len(data), chance.randrange(20, len(data))])])
        try:
            read_picture(path)
        except InputError:
            refused += 1
    assert refused > 5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "jpeg"])
def test_damage_in_the_samples_prints_nothing(path, photo, capfd, compression):
    if photo.dtype == np.uint16 and compression in ("jpeg", "packbits"):
        pytest.skip("8 bits")
    tifffile.imwrite(path, photo, photometric="rgb", compression=compression)
    content, chance = path.read_bytes(), random.Random(1)
    for _ in range(30):
        data = bytearray(content)
        for _ in range(5):
            data[chance.randrange(500, len(data))] = chance.randrange(256)
        path.write_bytes(data)
        with suppress(InputError):
            read_picture(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("planes", [False, True])
def test_cmyk_with_alpha(path, photo, planes):
    """As the same file without alpha, whose colours Pillow converts."""
    inks = np.dstack([np.iinfo(photo.dtype).max - photo, photo[..., 0] // 3])
    alpha = photo[::-1, :, 0]
    tifffile.imwrite(path, inks, photometric="separated")
    plain = read_picture(path)
    samples = np.dstack([inks, alpha])
    options = {"planarconfig": "separate"} if planes else {}
    samples = np.moveaxis(samples, -1, 0) if planes else samples
    tifffile.imwrite(path, samples, photometric="separated", extrasamples=["unassalpha"], **options)
    found = read_picture(path)
    np.testing.assert_array_equal(found.pixels, plain.pixels)
    np.testing.assert_array_equal(found.alpha, np.rint(alpha / (257 if photo.dtype == np.uint16 else 1)))
    assert found.notes == plain.notes


@pytest.mark.parametrize(("count", "note"), [(1, "1 more channel is"), (2, "2 more channels are")])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_further_channels_are_said(path, photo, photometric, count, note):
    colours = photo if photometric == "rgb" else photo[..., :1]
    samples = np.dstack([colours, *[photo[::-1, :, :1]] * count])
    tifffile.imwrite(path, samples, photometric=photometric, planarconfig="contig", extrasamples=[0] * count)
    found = read_picture(path)
    np.testing.assert_array_equal(found.pixels, np.squeeze(colours))
    assert found.alpha is None
    assert [text for text in found.notes if text.startswith(note)]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_an_orientation_in_xmp_alone_turns_nothing(tmp_path, photo, suffix):
    if photo.dtype == np.uint16:
        pytest.skip("Pillow writes 8 bits")
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, photo, photometric="rgb", extratags=[(700, 1, len(xmp), xmp)])
    elif suffix == ".png":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        Image.fromarray(photo).save(path, pnginfo=text)
    else:
        Image.fromarray(photo).save(path, xmp=xmp)
    found = read_picture(path)
    assert found.metadata.xmp == xmp
    assert found.pixels.shape == photo.shape
    assert not found.turned


class TestMeasurements:
    """Signed, 32-bit and floating samples: elevations, computed tomography, radiances."""

    TYPES = (np.int8, np.int16, np.int32, np.uint32, np.float16, np.float32, np.float64)

    @pytest.fixture(params=TYPES, ids=lambda dtype: dtype.__name__)
    def measured(self, request):
        rng = np.random.default_rng(0)
        return (rng.standard_normal((20, 30, 3)) * 30 + 60).astype(request.param)

    @pytest.mark.parametrize("grey", [False, True])
    @pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
    def test_read_as_they_are_on_request(self, path, measured, grey, compression):
        samples = measured[..., 0] if grey else measured
        photometric = "minisblack" if grey else "rgb"
        tifffile.imwrite(path, samples, photometric=photometric, compression=compression)
        found = read_picture(path, measurements=True)
        assert found.pixels.dtype == samples.dtype
        np.testing.assert_array_equal(found.pixels, samples)
        with pytest.raises(InputError, match="save it as 8- or 16-bit grey or RGB"):
            read_picture(path)

    def test_written_as_they_are(self, path, measured):
        write_picture(path, Picture(measured))
        np.testing.assert_array_equal(read_picture(path, measurements=True).pixels, measured)
        with pytest.raises(InputError, match=rf"\.png cannot hold samples of {measured.dtype}; write \.tif"):
            write_picture(path.with_suffix(".png"), Picture(measured))

    def test_turned_and_with_another_channel(self, path, measured):
        tifffile.imwrite(
            path,
            np.dstack([measured, measured[..., 0]]),
            photometric="rgb",
            extrasamples=["unspecified"],
            extratags=[(274, 3, 1, 6)],
        )
        found = read_picture(path, measurements=True)
        np.testing.assert_array_equal(found.pixels, np.rot90(measured, -1))
        assert found.notes == ("1 more channel is left out",)

    def test_other_images_are_read_as_ever(self, path, photo):
        write_picture(path, Picture(photo))
        assert read_picture(path, measurements=True).pixels.dtype == photo.dtype


def test_a_volume(path, photo):
    """Pillow gives the first slice of 8 bits; others are refused."""
    tifffile.imwrite(
        path, np.stack([photo, photo[::-1]]), photometric="rgb", volumetric=True, tile=(2, 96, 128)
    )
    if photo.dtype == np.uint8:
        assert read_picture(path).notes == ("the first of 2 slices",)
    else:
        with pytest.raises(InputError, match="of a kind that cannot be read"):
            read_picture(path)


def test_a_lost_georeference_is_said(path, photo):
    keys = (1, 1, 0, 1, 1024, 0, 1, 1)
    tifffile.imwrite(path, photo, photometric="rgb", extratags=[(34735, 3, 8, keys)])
    assert read_picture(path).notes == ("the georeference is left out",)
