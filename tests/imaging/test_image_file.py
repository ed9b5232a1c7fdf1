"""What image files hold comes in, and goes out enlarged."""

import struct
import zlib
from itertools import product

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import as_net
from PIL import Image, ImageCms
from skimage.color import rgb2lab

from vdsrlib.datasets.catalog import list_images
from vdsrlib.errors import InputError
from vdsrlib.imaging.formats import READABLE
from vdsrlib.imaging.image_file import Picture, read_picture, write_picture
from vdsrlib.imaging.resize import imresize
from vdsrlib.inference import enlarge
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.size import upscaled_shape
from vdsrlib.inference.upscale import upscale_file, upscale_picture
from vdsrlib.models import checkpoint
from vdsrlib.protocol import PAPER, REPLICATION
from vdsrlib.utils.parsing import parse_size

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = SRGB[:16] + b"GRAY" + SRGB[20:]  # no more than the name is looked at


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8", "16"])
def dtype(request):
    return request.param


@pytest.fixture
def make_picture(photo, grey_photo):
    """A photograph with a soft round edge; 16 bits use all of them."""

    def make(dtype=np.uint8, grey=False, alpha=True) -> Picture:
        pixels = (grey_photo if grey else photo)[:40, :50].astype(dtype)
        distance = np.hypot(*np.mgrid[-20:20, -25:25])
        opacity = np.clip(255 - 12 * distance, 1, 255).astype(dtype)
        if dtype == np.uint16:
            pixels, opacity = pixels * 257 - (pixels > 9), opacity * 257
        return Picture(pixels, opacity if alpha else None, GREY if grey else SRGB)

    return make


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg", ".bmp"])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_every_format_keeps_what_it_can_hold(tmp_path, make_picture, dtype, suffix, grey, alpha):
    picture, path = make_picture(dtype, grey, alpha), tmp_path / f"a{suffix}"
    if alpha and suffix in (".jpg", ".bmp"):
        with pytest.raises(InputError, match=r"cannot hold transparency; write \.png, \.webp or \.tif"):
            write_picture(path, picture)
        assert not list(tmp_path.iterdir())
        return
    write_picture(path, picture)
    found = read_picture(path)
    lossless = suffix in (".png", ".tif")
    assert found.pixels.dtype == (dtype if lossless else np.uint8)
    eight = (lambda x: x) if lossless or dtype == np.uint8 else (lambda x: np.rint(x / 257))
    # WebP has no grey, and 16-bit grey TIFF with transparency is little known
    coloured = grey and (suffix == ".webp" or (suffix == ".tif" and alpha and dtype == np.uint16))
    wanted = np.dstack([picture.pixels] * 3) if coloured else picture.pixels
    assert found.pixels.shape == wanted.shape
    assert np.abs(found.pixels.astype(float) - eight(wanted)).mean() <= (0 if lossless else 6)
    if alpha:
        np.testing.assert_array_equal(found.alpha, eight(picture.alpha))
    else:
        assert found.alpha is None
    with Image.open(path) as file:  # read_picture leaves out what does not fit
        assert file.info.get("icc_profile") == (None if coloured or suffix == ".bmp" else picture.icc)
    assert found.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *((suffix, "RGB") for suffix in (".png", ".jpg", ".webp", ".tif")),
        *((".tif", mode) for mode in ("L", "LA", "I;16", "RGBA", "CMYK")),
    ],
)
def test_every_orientation(tmp_path, photo, orientation, suffix, mode):
    """Pillow's own way to turn is the judge."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(photo[:24, :37])
    image = image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(photo[24:48, :37, 0]))
    image.save(tmp_path / f"a{suffix}", exif=exif)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    (image.transpose(turn[orientation]) if orientation > 1 else image).save(tmp_path / f"turned{suffix}")
    found, wanted = read_picture(tmp_path / f"a{suffix}"), read_picture(tmp_path / f"turned{suffix}")
    assert found.pixels.shape[:2] == ((37, 24) if orientation > 4 else (24, 37))
    assert found.pixels.shape == wanted.pixels.shape
    error = np.abs(found.pixels.astype(float) - wanted.pixels).mean()
    assert error < (8 if suffix in (".jpg", ".webp") else 1e-9)
    np.testing.assert_array_equal(found.alpha, wanted.alpha)


def test_sixteen_bits_are_turned_too(tmp_path, make_picture):
    pixels = make_picture(np.uint16).pixels
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=[(274, "H", 1, 6)])
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, np.rot90(pixels, -1))


@pytest.mark.parametrize(
    "options", [{"compression": "lzw"}, {"planarconfig": "separate"}, {"byteorder": ">"}]
)
def test_sixteen_bit_tiff_of_other_programs(tmp_path, make_picture, options):
    pixels = make_picture(np.uint16).pixels
    samples = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", **options)
    found = read_picture(tmp_path / "a.tif").pixels
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, pixels)


class TestWideTiff:
    """What samples mean, which Pillow does not ask of more than 8 bits."""

    @pytest.fixture
    def read(self, tmp_path):
        def read(samples, photometric, **options) -> Picture:
            tifffile.imwrite(tmp_path / "a.tif", samples, photometric=photometric, **options)
            return read_picture(tmp_path / "a.tif")

        return read

    def test_white_is_zero(self, read, make_picture):
        pixels = make_picture(np.uint16, grey=True).pixels
        np.testing.assert_array_equal(read(65535 - pixels, "miniswhite").pixels, pixels)

    @pytest.mark.parametrize("grey", [False, True])
    def test_alpha_and_others(self, read, make_picture, grey):
        picture, photometric = make_picture(np.uint16, grey), "minisblack" if grey else "rgb"
        both = np.dstack([picture.pixels, picture.alpha])

        straight = read(both, photometric, extrasamples=["unassalpha"])
        np.testing.assert_array_equal(straight.pixels, picture.pixels)
        np.testing.assert_array_equal(straight.alpha, picture.alpha)

        depth = read(both, photometric, extrasamples=["unspecified"])
        np.testing.assert_array_equal(depth.pixels, picture.pixels)
        assert depth.alpha is None

        second = read(np.dstack([both, picture.alpha // 2]), photometric, extrasamples=[0, 2])
        np.testing.assert_array_equal(second.pixels, picture.pixels)
        np.testing.assert_array_equal(second.alpha, picture.alpha // 2)

        opacity = np.maximum(picture.alpha, 9999)
        times = np.dstack([picture.pixels]) * (np.dstack([opacity]) / 65535)
        premultiplied = np.rint(np.dstack([times, opacity])).astype(np.uint16)
        found = read(premultiplied, photometric, extrasamples=["assocalpha"])
        assert np.abs(found.pixels.astype(int) - picture.pixels).max() <= 4
        np.testing.assert_array_equal(found.alpha, opacity)

    @pytest.mark.parametrize("bits", [10, 12, 14])
    def test_fewer_bits_fill_the_whole_range(self, tmp_path, make_picture, bits):
        values = make_picture(np.uint16, grey=True).pixels >> (16 - bits)
        digits = (values[..., None] >> np.arange(bits)[::-1]) & 1
        packed = np.packbits(digits.reshape(40, -1), axis=1)
        tifffile.imwrite(tmp_path / "a.tif", packed, photometric="minisblack")
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
            file.pages.first.tags["ImageWidth"].overwrite(50)
            file.pages.first.tags["BitsPerSample"].overwrite(bits)
        found = read_picture(tmp_path / "a.tif").pixels
        np.testing.assert_array_equal(found, np.rint(values * (65535 / (2**bits - 1))))

    @pytest.mark.parametrize(
        ("samples", "photometric", "part"),
        [
            (np.zeros((9, 9), np.int16), "minisblack", "1 x int16, MINISBLACK"),
            (np.zeros((9, 9), np.int8), "minisblack", "1 x int8, MINISBLACK"),
            (np.zeros((9, 9), np.float16), "minisblack", "1 x float16, MINISBLACK"),
            (np.zeros((9, 9, 3), np.uint32), "rgb", "3 x uint32, RGB"),
            (np.zeros((9, 9, 3), np.uint16), "cielab", "3 x uint16, CIELAB"),
            (np.zeros((9, 9, 9), np.uint16), "rgb", "9 x uint16, RGB"),
            (np.zeros((4, 16, 16, 3), np.uint16), "rgb", "3 x uint16, RGB"),
        ],
    )
    def test_what_is_not_understood_is_refused(self, read, samples, photometric, part):
        options = {"volumetric": True, "tile": (4, 16, 16)} if samples.ndim == 4 else {}
        sentence = rf"cannot be read \(.*{part}.*\); save it as 8- or 16-bit grey or RGB\."
        with pytest.raises(InputError, match=sentence):
            read(samples, photometric, **options)

    def test_missing_strips(self, tmp_path, make_picture):
        """They would be black."""
        pixels = make_picture(np.uint16).pixels
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", rowsperstrip=8)
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
            counts = file.pages.first.tags["StripByteCounts"]
            counts.overwrite((*counts.value[:-1], 0))
        with pytest.raises(InputError, match="ends before its pixels do"):
            read_picture(tmp_path / "a.tif")

    def test_frames(self, tmp_path, make_picture):
        pixels = make_picture(np.uint16).pixels
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for frame in (pixels, 65535 - pixels):
                file.write(frame, photometric="rgb")
        found = read_picture(tmp_path / "a.tif")
        np.testing.assert_array_equal(found.pixels, pixels)
        assert found.notes == ("the first of 2 frames",)


def test_colour_key_of_a_sixteen_bit_png(tmp_path, make_picture):
    pixels = make_picture(np.uint16, grey=True).pixels
    content = bytes(imagecodecs.png_encode(pixels))
    key = b"tRNS" + struct.pack(">H", pixels[3, 4])
    chunk = struct.pack(">I", 2) + key + struct.pack(">I", zlib.crc32(key))
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    found = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.alpha, np.where(pixels == pixels[3, 4], 0, 65535))


def test_transparency_of_palettes_and_colour_keys(tmp_path):
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[:2] = 255, 0, 0
    image = Image.fromarray(colours).quantize(4)
    image.save(tmp_path / "palette.png", transparency=image.getpixel((0, 3)))
    Image.fromarray(colours).save(tmp_path / "key.png", transparency=(0, 0, 0))
    for name in ("palette.png", "key.png"):
        found = read_picture(tmp_path / name)
        np.testing.assert_array_equal(found.pixels, colours)
        np.testing.assert_array_equal(found.alpha, colours[..., 0])


def test_cmyk_says_what_became_of_it(tmp_path):
    Image.new("CMYK", (5, 4), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    found = read_picture(tmp_path / "a.jpg")
    assert np.abs(found.pixels.astype(int) - (255, 0, 0)).max() < 6
    assert found.notes == ("CMYK became RGB",)
    assert found.icc is None


def profile_of_other_inks() -> bytes:
    """A CMYK profile whose first three inks are yellow, cyan and magenta: nobody guesses that."""
    clear = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]])
    corners = [np.prod(clear[np.array(inks, bool)], axis=0) for inks in product((0, 1), repeat=4)]
    lab = rgb2lab(np.array(corners, float)[None], illuminant="D50")[0] * (2.55, 1, 1) + (0, 128, 128)
    ramp = bytes(range(256))
    table = b"mft1" + struct.pack(">4x4B9i", 4, 3, 2, 0, 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table += ramp * 4 + np.rint(lab).astype(np.uint8).tobytes() + ramp * 3
    size = 128 + 16 + len(table)
    head = struct.pack(">I4xI12s12x4s28x", size, 0x2400000, b"prtrCMYKLab ", b"acsp")
    head += struct.pack(">3I48x", 63190, 65536, 54061)  # D50
    return head + struct.pack(">I4s2I", 1, b"A2B0", 144, len(table)) + table


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["8", "16"])
def test_cmyk_by_its_profile(tmp_path, dtype):
    top = np.iinfo(dtype).max
    inks = np.array([[[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]]])
    colours = np.array([[[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]])
    options = {"photometric": "separated", "extratags": [(274, "H", 1, 3)]}
    tifffile.imwrite(
        tmp_path / "a.tif", (inks * top).astype(dtype), iccprofile=profile_of_other_inks(), **options
    )
    found = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels > 127, colours[:, ::-1] > 0)  # Lab of 8 bits is not exact
    wide = ("16 bits became 8",) if dtype == np.uint16 else ()
    assert found.notes == ("CMYK became RGB by its profile", *wide)
    assert found.icc is None


@pytest.mark.parametrize("icc", [b"no profile", SRGB, b"\0" * 200], ids=["damaged", "of RGB", "zeros"])
def test_cmyk_with_a_profile_that_is_none(tmp_path, icc):
    Image.new("CMYK", (5, 4), (0, 255, 255, 0)).save(tmp_path / "a.tif", icc_profile=icc)
    found = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels, np.full((4, 5, 3), (255, 0, 0)))
    assert found.notes == ("CMYK became RGB",)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_first_frame_of_several(tmp_path, photo, suffix):
    frames = [Image.fromarray(photo[i : i + 30, :30]) for i in (0, 30, 60)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    found = read_picture(path)
    assert found.notes == ("the first of 3 frames",)
    assert np.abs(found.pixels.astype(float) - photo[:30, :30]).mean() < 12  # GIF has 256 colours


@pytest.mark.skipif(".avif" not in READABLE, reason="this Pillow has no AVIF")
def test_avif_is_read(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.dstack([photo, photo[..., 0]])).save(
        tmp_path / "a.avif", quality=100, exif=exif, icc_profile=SRGB
    )
    found = read_picture(tmp_path / "a.avif")
    assert np.abs(found.pixels.astype(int) - np.rot90(photo, -1)).mean() < 3
    assert np.abs(found.alpha.astype(int) - np.rot90(photo[..., 0], -1)).mean() < 3
    assert found.icc == SRGB


@pytest.mark.parametrize("suffix", [".jfif", ".jpe"])
def test_other_names_of_jpeg(tmp_path, make_picture, suffix):
    write_picture(tmp_path / f"a{suffix}", make_picture(alpha=False))
    with Image.open(tmp_path / f"a{suffix}") as file:
        assert file.format == "JPEG"
    assert list_images(tmp_path) == [tmp_path / f"a{suffix}"]


def bmp(pixels: np.ndarray, fourth: np.ndarray) -> bytes:
    """A 32-bit BMP with masks for four channels."""
    height, width = pixels.shape[:2]
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, 0, 0, 0, 0, 0) + masks
    samples = np.dstack([pixels[::-1, :, ::-1], fourth[::-1]]).tobytes()
    return (
        b"BM"
        + struct.pack("<IHHI", 14 + len(header) + len(samples), 0, 0, 14 + len(header))
        + header
        + samples
    )


def test_alpha_of_a_bmp(tmp_path, photo):
    """Many programs leave the fourth byte at 0, and mean an opaque image."""
    for fourth in (photo[..., 0], np.zeros_like(photo[..., 0])):
        (tmp_path / "a.bmp").write_bytes(bmp(photo, fourth))
        found = read_picture(tmp_path / "a.bmp")
        np.testing.assert_array_equal(found.pixels, photo)
        if fourth.any():
            np.testing.assert_array_equal(found.alpha, fourth)
        else:
            assert found.alpha is None


def test_the_name_does_not_matter(tmp_path, make_picture):
    picture = make_picture(alpha=False)
    write_picture(tmp_path / "a.png", picture)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg").pixels, picture.pixels)


def laid_on(ground, picture):
    """A picture as it is seen on a grey level from 0 to 1."""
    top = np.iinfo(picture.pixels.dtype).max
    alpha = (picture.alpha / top).reshape(*picture.alpha.shape, *picture.pixels.shape[2:] and (1,))
    return picture.pixels / top * alpha + ground * (1 - alpha)


class TestEnlarge:
    @pytest.mark.parametrize("grey", [False, True])
    @pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
    def test_all_of_a_picture(self, make_zero_model, make_picture, dtype, grey, protocol):
        """With no residual the result is the interpolation of everything, in all its bits."""
        picture = make_picture(dtype, grey)
        top = np.iinfo(dtype).max
        result = upscale_picture(
            as_net(make_zero_model(protocol.channels), protocol),
            picture,
            (100, 130),
            InferenceOptions(memory=10**6),
        )
        assert result.pixels.dtype == dtype
        assert result.pixels.shape == ((100, 130) if grey and protocol is PAPER else (100, 130, 3))
        assert result.icc == picture.icc
        if protocol is PAPER:
            found, wanted = [], []
            for ground in (0, 1):  # as it is seen on black, and on white
                found.append(laid_on(ground, result))
                wanted.append(imresize(laid_on(ground, picture), shape=(100, 130)))
            differ = np.abs(np.array(found) - np.clip(wanted, 0, 1))
            # Where channels overshoot by different amounts, no colour has one alpha that gives all of them.
            inside = (np.abs(np.array(wanted) - 0.5) < 0.5).reshape(2, 100, 130, -1).all(axis=(0, 3))
            assert inside.mean() > 0.8
            most = 1.01 / top + 2e-6  # samples and alpha are rounded, and the network is float32
            assert differ[:, inside].max() < most
            assert differ.max() < (most if grey else 2 / 255)
        assert result.alpha.shape == (100, 130)

    def test_sixteen_bits_agree_with_eight(self, make_model, make_picture):
        eight = make_picture(alpha=False)
        wide = Picture(eight.pixels.astype(np.uint16) * 257)
        results = [upscale_picture(as_net(make_model()), each, (120, 150)).pixels for each in (eight, wide)]
        assert np.abs(results[0] - results[1] / 257).max() <= 0.51
        assert len(np.unique(results[1])) > 1000

    def test_from_file_to_file(self, tmp_path, make_model, make_picture):
        write_picture(tmp_path / "a.png", make_picture(np.uint16))
        made = upscale_file(as_net(make_model()), tmp_path / "a.png", tmp_path / "b.tif", size=(90, 101))
        found = read_picture(tmp_path / "b.tif")
        np.testing.assert_array_equal(found.pixels, made.pixels)
        np.testing.assert_array_equal(found.alpha, made.alpha)
        assert found.pixels.shape == (90, 101, 3)
        assert found.icc == SRGB

    def test_opaque_pictures_may_become_jpeg(self, tmp_path, make_model, make_picture):
        picture = make_picture()
        write_picture(tmp_path / "a.png", picture)
        with pytest.raises(InputError, match="cannot hold transparency"):
            upscale_file(as_net(make_model()), tmp_path / "a.png", tmp_path / "b.jpg", 2)
        write_picture(tmp_path / "a.png", Picture(picture.pixels, np.full_like(picture.alpha, 255)))
        upscale_file(as_net(make_model()), tmp_path / "a.png", tmp_path / "b.jpg", 2)
        assert read_picture(tmp_path / "b.jpg").pixels.shape == (80, 100, 3)

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg", ".bmp"])
    @pytest.mark.parametrize("grey", [False, True])
    def test_what_the_format_loses_is_said(self, tmp_path, make_model, make_picture, dtype, suffix, grey):
        write_picture(tmp_path / "a.png", make_picture(dtype, grey, alpha=False))
        made = upscale_file(as_net(make_model()), tmp_path / "a.png", tmp_path / f"b{suffix}", 1.5)
        wide = dtype == np.uint16 and suffix in (".webp", ".jpg", ".bmp")
        profile = suffix == ".bmp" or (suffix == ".webp" and grey)
        assert made.notes == ("16 bits became 8",) * wide + ("the colour profile is left out",) * profile

    @pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
    def test_colours_that_nobody_sees_are_not_mixed_in(self, make_zero_model, protocol):
        """A yellow disc on transparent black, laid on white, is the yellow disc on white."""
        disc = np.clip(12.5 - np.hypot(*np.mgrid[-20:20, -25:25]), 0, 1)
        opacity = np.rint(255 * disc).astype(np.uint8)
        pixels = np.where(opacity[..., None] > 0, (255, 255, 0), 0).astype(np.uint8)

        def on_white(colours, alpha):
            return 255 + (colours - 255.0) * (alpha[..., None] / 255)

        net = as_net(make_zero_model(protocol.channels), protocol)
        made = upscale_picture(net, Picture(pixels, opacity), (120, 150))
        flat = Picture(np.rint(on_white(pixels, opacity)).astype(np.uint8))
        wanted = upscale_picture(net, flat, (120, 150))
        assert np.abs(on_white(made.pixels, made.alpha) - wanted.pixels).max() < 2

    @pytest.mark.parametrize("weights", ["vdsr", "vdsr-rgb"])
    def test_a_soft_shadow_gets_no_outline(self, weights):
        """A white card and its soft black shadow, laid on white: as if it had been enlarged there."""
        pixels, distance = np.zeros((24, 24, 3), np.uint8), np.hypot(*np.mgrid[-12:12, -12:12])
        pixels[6:14, 6:14] = 255
        opacity = np.rint(90 * np.clip(1 - distance / 11, 0, 1)).astype(np.uint8)
        opacity[6:14, 6:14] = 255
        net, picture = checkpoint.load(weights, "cpu"), Picture(pixels, opacity)
        made = upscale_picture(net, picture, (48, 48))
        for ground in (0, 1):
            flat = Picture(np.rint(255 * laid_on(ground, picture)).astype(np.uint8))
            wanted = upscale_picture(net, flat, (48, 48)).pixels
            assert np.abs(255 * laid_on(ground, made) - wanted).max() < 3

    @pytest.mark.parametrize("alpha", [0, 255])
    def test_where_all_or_nothing_is_transparent_colours_stay(self, make_zero_model, make_picture, alpha):
        pixels = make_picture().pixels
        pictures = Picture(pixels, np.full(pixels.shape[:2], alpha, np.uint8)), Picture(pixels)
        made, plain = (upscale_picture(as_net(make_zero_model()), each, (80, 100)) for each in pictures)
        np.testing.assert_array_equal(made.pixels, plain.pixels)

    def test_what_is_seen_takes_two_passes(self, make_model, make_picture, monkeypatch):
        """On black and on white; where all is opaque or nothing is seen, one."""
        passes, forward = [], enlarge.to_batch
        monkeypatch.setattr(enlarge, "to_batch", lambda *each: passes.append(each) or forward(*each))
        picture = make_picture()
        for alpha, count in ((picture.alpha, 2), (picture.alpha * 0, 1), (picture.alpha | 255, 1)):
            passes.clear()
            upscale_picture(as_net(make_model()), Picture(picture.pixels, alpha), (80, 100))
            assert len(passes) == count

    @pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
    def test_separate_alpha_leaves_the_colours_alone(self, make_model, make_picture, dtype, protocol):
        """They are enlarged as if all were opaque, and alpha as a grey image."""
        net, picture = as_net(make_model(protocol.channels), protocol), make_picture(dtype)
        made = upscale_picture(net, picture, (80, 100), InferenceOptions(alpha="separate"))
        plain = upscale_picture(net, Picture(picture.pixels), (80, 100))
        np.testing.assert_array_equal(made.pixels, plain.pixels)
        alpha = upscale_picture(net, Picture(picture.alpha), (80, 100)).pixels
        np.testing.assert_array_equal(made.alpha, alpha if alpha.ndim == 2 else alpha[..., 1])
        assert made.notes == ()

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
    def test_separate_colours_reach_the_file(self, tmp_path, make_zero_model, photo, suffix):
        """Also in WebP, whose encoder flattens what is transparent unless it is told."""
        write_picture(tmp_path / "a.png", Picture(photo, np.zeros(photo.shape[:2], np.uint8)))
        options = InferenceOptions(alpha="separate")
        upscale_file(
            as_net(make_zero_model()), tmp_path / "a.png", tmp_path / f"b{suffix}", 2, options=options
        )
        found = read_picture(tmp_path / f"b{suffix}")
        assert not found.alpha.any()
        wanted = imresize(photo / 255, 2) * 255
        assert np.abs(found.pixels - wanted).mean() < 5

    @pytest.mark.parametrize(("hidden", "said"), [(0, False), (255, False), (90, True), (None, True)])
    def test_lost_colours_are_said(self, make_model, make_picture, hidden, said):
        """Black and white under alpha 0 are what programs leave there, and nobody's work."""
        picture = make_picture()
        picture.alpha[:] = 255
        picture.alpha[10:20, 10:20] = 0
        if hidden is not None:
            picture.pixels[10:20, 10:20] = hidden
        made = upscale_picture(as_net(make_model()), picture, (80, 100))
        assert made.notes == ("colours under alpha 0 are changed; --alpha separate keeps them",) * said

    def test_another_way_with_alpha_is_refused(self):
        with pytest.raises(InputError, match="alpha must be one of seen, separate, got 'premultiplied'"):
            InferenceOptions(alpha="premultiplied")

    @pytest.mark.parametrize("size", [(39, 100), (40, 50), (321, 100), (100, 401)])
    def test_sizes_that_are_no_enlargement(self, tmp_path, make_model, make_picture, size):
        write_picture(tmp_path / "a.png", make_picture())
        with pytest.raises(InputError, match="each side may grow by up to 8 times, and must not shrink"):
            upscale_file(as_net(make_model()), tmp_path / "a.png", tmp_path / "b.png", size=size)
        assert not (tmp_path / "b.png").exists()

    def test_progress(self, make_model, make_picture):
        seen = []
        options = InferenceOptions(memory=400_000, progress=lambda done, total: seen.append((done, total)))
        upscale_picture(as_net(make_model()), make_picture(), (80, 100), options)
        assert len(seen) > 4
        assert seen == [(i, len(seen)) for i in range(1, len(seen) + 1)]


class TestWrap:
    """A tileable texture, whose opposite borders meet."""

    @pytest.fixture
    def texture(self, photo):
        """A photograph and its mirror images, without a seam on any side."""
        part = photo[:24, :30]
        return np.block([[[part], [part[:, ::-1]]], [[part[::-1]], [part[::-1, ::-1]]]])

    @pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
    @pytest.mark.parametrize("shape", [(96, 120), (144, 180), (120, 150), (84, 120)], ids=str)
    def test_a_rolled_texture_gives_the_rolled_enlargement(self, texture, make_model, protocol, shape):
        """By whole pixels before and after: where it begins does not count. Alpha and holes roll, too."""
        net, options = as_net(make_model(protocol.channels), protocol), InferenceOptions(wrap=True)
        down, across = 8, 12
        picture = Picture(texture, texture[..., 0] // 2 + 100)
        rolled = Picture(*(np.roll(each, (down, across), (0, 1)) for each in (picture.pixels, picture.alpha)))
        plain, found = (upscale_picture(net, each, shape, options) for each in (picture, rolled))
        assert found.pixels.shape == (*shape, 3)
        moved = down * shape[0] // 48, across * shape[1] // 60
        for one, other in ((plain.pixels, found.pixels), (plain.alpha, found.alpha)):
            assert np.abs(np.roll(one, moved, (0, 1)).astype(int) - other).max() <= 1

    def test_it_is_the_middle_of_many(self, texture, make_model):
        """Also for a texture that is smaller than what the network sees of it."""
        net, part = as_net(make_model()), texture[:5, :3]
        many = upscale_picture(net, Picture(np.tile(part, (9, 9, 1))), (9 * 10, 9 * 6)).pixels
        found = upscale_picture(net, Picture(part), (10, 6), InferenceOptions(wrap=True)).pixels
        assert np.abs(found.astype(int) - many[40:50, 24:30]).max() <= 1
        without = upscale_picture(net, Picture(part), (10, 6)).pixels
        assert np.abs(without.astype(int) - many[40:50, 24:30]).max() > 4


def test_a_picture_describes_itself(make_picture):
    """Without the numbers of its pixels."""
    assert repr(make_picture()) == "<Picture 50 x 40, uint8 RGB with alpha, with profile>"
    picture = Picture(np.zeros((2, 3), np.float32), notes=("the first of 2 frames",))
    assert repr(picture) == "<Picture 3 x 2, float32 grey; the first of 2 frames>"


@pytest.mark.parametrize("text", ["1920", "x", "-3x4", "1e3x5", "1920x1080x3", "٣x٤" * 4])
def test_sizes_as_typed(text):
    assert parse_size("1920x1080") == parse_size(" 1920X1080 ") == (1080, 1920)
    assert upscaled_shape((10, 3), 1.1) == (11, 4)
    with pytest.raises(InputError, match="such as 1920x1080"):
        parse_size(text)


def test_png_profile_is_a_valid_chunk(tmp_path, make_picture):
    """Read back by another library, which checks the sum over the chunk."""
    write_picture(tmp_path / "a.png", make_picture(np.uint16))
    content = (tmp_path / "a.png").read_bytes()
    at = content.index(b"iCCP")
    length = int.from_bytes(content[at - 4 : at], "big")
    assert zlib.crc32(content[at : at + 4 + length]) == int.from_bytes(content[at + 4 + length :][:4], "big")
    assert imagecodecs.png_decode(content).shape == (40, 50, 4)
