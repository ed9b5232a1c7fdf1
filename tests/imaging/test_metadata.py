"""What files say of their pictures is kept, brought up to date, or said to be left out."""

import random
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational
from test_png import chunk, make_png

from vdsrlib.errors import InputError
from vdsrlib.imaging.encoding import EncodingOptions, photoshop_resource
from vdsrlib.imaging.image_file import Picture, encode, read_picture, write_picture
from vdsrlib.imaging.metadata import Metadata

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="120">'
    b"<dc:title>Gr\xc3\xbc\xc3\x9fe</dc:title><tiff:ImageLength>96</tiff:ImageLength>"
    b"<xmp:Thumbnails><rdf:Alt>AAAA</rdf:Alt></xmp:Thumbnails></rdf:Description></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x05\0\x05Title\x1c\x02\x50\0\x06Author"
FORMATS = [".png", ".jpg", ".webp", ".tif", ".bmp"]


def make_exif(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Artist], exif[Base.Orientation] = "Maker", "© Größe".encode(), orientation
    exif[Base.ImageWidth], exif[Base.ImageLength] = 120, 96
    exif[IFD.Exif] = {
        Base.ExposureTime: IFDRational(1, 125),
        Base.DateTimeOriginal: "2024:05:06 07:08:09",
        Base.ExifImageWidth: 120,
        Base.ExifImageHeight: 96,
        Base.MakerNote: bytes(range(50)),
    }
    exif[IFD.GPSInfo] = {1: "N", 2: (48.0, 30.0, 15.0)}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def described(path) -> dict:
    """EXIF as Pillow finds it."""
    with Image.open(path) as file:
        file.info.pop("xmp", None)
        exif = file.getexif()
        return {**exif, IFD.Exif: exif.get_ifd(IFD.Exif), IFD.GPSInfo: exif.get_ifd(IFD.GPSInfo)}


@pytest.fixture
def metadata():
    return Metadata(make_exif(), XMP, IPTC, (300.0, 300.0))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["8", "16"])
@pytest.mark.parametrize("alpha", [False, True])
def test_formats_keep_what_they_hold(tmp_path, photo, metadata, suffix, dtype, alpha):
    if (dtype, suffix) in [(np.uint16, name) for name in (".jpg", ".webp", ".bmp")]:
        pytest.skip("8 bits")
    if alpha and suffix in (".jpg", ".bmp"):
        pytest.skip("no transparency")
    pixels = photo.astype(dtype)
    picture = Picture(pixels, pixels[..., 0] if alpha else None, SRGB, metadata=metadata)
    notes = encode(tmp_path / f"a{suffix}", picture)
    found = read_picture(tmp_path / f"a{suffix}")
    assert found.icc == (None if suffix == ".bmp" else SRGB)
    if suffix in (".png", ".tif"):
        np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.shape == photo.shape
    assert not found.turned
    if suffix == ".bmp":
        assert notes == (
            "the colour profile is left out",
            *(f"{name} is left out" for name in ("EXIF", "XMP", "IPTC")),
        )
    else:
        assert notes == (("IPTC is left out",) if suffix == ".webp" else ())
        assert found.metadata.iptc == (None if suffix == ".webp" else IPTC)
        exif = described(tmp_path / f"a{suffix}")
        assert exif[Base.Artist].encode("latin-1") == "© Größe".encode()
        assert exif[IFD.Exif][Base.DateTimeOriginal] == "2024:05:06 07:08:09"
        assert exif[IFD.Exif][Base.ExposureTime] == IFDRational(1, 125)
        assert exif[IFD.Exif][Base.MakerNote] == bytes(range(50))
        assert exif[IFD.GPSInfo][2] == (48, 30, 15)
        assert b"Gr\xc3\xbc\xc3\x9fe" in found.metadata.xmp
    if suffix != ".webp":
        assert found.metadata.dpi == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("source", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".webp", ".tif"])
def test_from_file_to_file(tmp_path, photo, source, target):
    """Pixels stand upright afterwards, and what was said of their size is true of the new one."""
    options = {"exif": b"Exif\0\0" + make_exif(), "xmp": XMP, "dpi": (240, 240)}
    if source == ".tif":
        options = {"exif": Image.Exif(), "dpi": (240, 240)}
        options["exif"].load(make_exif())
        options["exif"][700] = XMP
    elif source == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    Image.fromarray(photo).save(tmp_path / f"a{source}", **options)
    picture = read_picture(tmp_path / f"a{source}")
    assert picture.turned
    assert picture.pixels.shape[:2] == (120, 96)
    twice = Picture(picture.pixels.repeat(2, 0).repeat(2, 1), metadata=picture.metadata)
    assert encode(tmp_path / f"b{target}", twice) == ()
    found = read_picture(tmp_path / f"b{target}")
    assert not found.turned
    assert found.pixels.shape[:2] == (240, 192)
    exif = described(tmp_path / f"b{target}")
    assert exif[Base.Make] == "Maker"
    assert exif.get(Base.Orientation, 1) == 1
    assert exif[IFD.Exif][Base.ExifImageWidth] == 192
    assert exif[IFD.Exif][Base.ExifImageHeight] == 240
    for part in (b'Orientation="1"', b'PixelXDimension="192"', b"ImageLength>240<"):
        assert part in found.metadata.xmp
    assert b"Thumbnails" not in found.metadata.xmp


def test_the_thumbnail_in_exif_is_left_behind(tmp_path, photo):
    """It shows the small picture, perhaps turned."""
    Image.fromarray(photo[:8, :8]).save(tmp_path / "small.jpg")
    small = (tmp_path / "small.jpg").read_bytes()
    first = struct.pack("<HHHI4sI", 1, 0x010F, 2, 4, b"abc\0", 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(small), 0)
    exif = b"II*\0\x08\0\0\0" + first + second + small
    check = Image.Exif()
    check.load(exif)
    assert 0x0201 in check.get_ifd(IFD.IFD1)
    write_picture(tmp_path / "a.jpg", Picture(photo, metadata=Metadata(exif)))
    kept = read_picture(tmp_path / "a.jpg").metadata.exif
    assert b"abc\0" in kept
    assert small not in kept


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_exif_is_said(tmp_path, photo, suffix):
    notes = encode(tmp_path / f"a{suffix}", Picture(photo, metadata=Metadata(b"no EXIF at all")))
    assert notes == ("EXIF, being damaged, is left out",)
    np.testing.assert_array_equal(read_picture(tmp_path / f"a{suffix}").pixels.shape, photo.shape)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.filterwarnings("error")
def test_mutated_exif_stops_nothing(tmp_path, photo, suffix):
    chance, path = random.Random(1), tmp_path / f"a{suffix}"
    for _ in range(60):
        exif = bytearray(make_exif())
        for _ in range(chance.choice((1, 3, 20))):
            exif[chance.randrange(len(exif))] = chance.choice((0, 255, chance.randrange(256)))
        encode(path, Picture(photo, metadata=Metadata(bytes(exif[: chance.randrange(len(exif) + 1)]))))
        assert read_picture(path).pixels.shape == photo.shape


def test_what_is_too_long_for_jpeg_is_said(tmp_path, photo):
    metadata = Metadata(xmp=XMP + bytes(70_000), iptc=IPTC * 9000)
    assert encode(tmp_path / "a.jpg", Picture(photo, metadata=metadata)) == (
        "XMP is left out",
        "IPTC is left out",
    )
    assert encode(tmp_path / "a.png", Picture(photo, metadata=metadata)) == ()
    found = read_picture(tmp_path / "a.png").metadata
    assert len(found.xmp) > 70_000
    assert found.iptc == IPTC * 9000


class TestPng:
    @pytest.fixture
    def read(self, tmp_path):
        def read(*chunks: bytes) -> Picture:
            samples = np.arange(300, dtype=np.uint16).reshape(10, 10, 3) % 256
            (tmp_path / "a.png").write_bytes(make_png(samples, 8, 2, *chunks))
            return read_picture(tmp_path / "a.png")

        return read

    def test_texts_of_every_kind(self, read):
        for content in (
            chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP),
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(XMP)),
            chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(XMP)),
        ):
            assert read(content).metadata.xmp == XMP

    def test_profiles_as_text(self, read):
        for name, data in (("exif", b"Exif\0\0" + make_exif()), ("iptc", photoshop_resource(IPTC))):
            digits = f"\n{name}\n{len(data):8}\n{data.hex()}\n".encode()
            found = read(chunk(b"tEXt", f"Raw profile type {name}".encode() + b"\0" + digits))
            if name == "exif":
                assert found.metadata.exif == make_exif()
                assert found.turned
            else:
                assert found.metadata.iptc == IPTC

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
    def test_what_samples_mean(self, read, tmp_path, suffix):
        meant = {b"gAMA": struct.pack(">I", 100_000), b"cICP": bytes((9, 16, 0, 1))}
        picture = read(*(chunk(*item) for item in meant.items()))
        assert picture.metadata.png_colour == meant
        notes = encode(tmp_path / f"b{suffix}", picture)
        if suffix == ".png":
            assert notes == ()
            assert read_picture(tmp_path / "b.png").metadata.png_colour == meant
        else:
            assert notes == ("the meaning of colours (gAMA, cICP) is left out",)

    def test_nothing_is_said_of_srgb(self, read, tmp_path):
        picture = read(
            chunk(b"gAMA", struct.pack(">I", 45_455)),
            chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
            chunk(b"sRGB", b"\0"),
        )
        assert encode(tmp_path / "b.jpg", picture) == ()


def test_adobe_rgb_by_exif_is_said(tmp_path, photo):
    exif = Image.Exif()
    exif[IFD.Exif] = {Base.ColorSpace: 65535, IFD.Interop: {1: "R03"}}
    Image.fromarray(photo).save(tmp_path / "a.jpg", exif=exif)
    picture = read_picture(tmp_path / "a.jpg")
    assert encode(tmp_path / "b.jpg", picture) == ()
    assert encode(tmp_path / "b.png", picture) == ("the colours are Adobe RGB, which only EXIF says",)
    assert read_picture(tmp_path / "b.png").metadata.exif
    assert encode(tmp_path / "c.png", Picture(photo, icc=SRGB, metadata=picture.metadata)) == ()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_profile_of_another_kind_is_said(tmp_path, grey_photo, suffix):
    if suffix == ".tif":
        tifffile.imwrite(tmp_path / "a.tif", grey_photo, iccprofile=SRGB)
    else:
        Image.fromarray(grey_photo).save(tmp_path / f"a{suffix}", icc_profile=SRGB)
    found = read_picture(tmp_path / f"a{suffix}")
    assert found.icc is None
    assert found.notes == ("the colour profile is of another kind of image, and left out",)


class TestOptions:
    @pytest.mark.parametrize("suffix", FORMATS)
    def test_strip(self, tmp_path, photo, metadata, suffix):
        picture = Picture(photo, icc=SRGB, metadata=metadata)
        notes = encode(tmp_path / f"a{suffix}", picture, EncodingOptions(strip=True))
        assert notes == (("the colour profile is left out",) if suffix == ".bmp" else ())
        content = (tmp_path / f"a{suffix}").read_bytes()
        for word in (b"Maker", b"2024:05:06", b"x:xmpmeta", b"Author"):
            assert word not in content
        found = read_picture(tmp_path / f"a{suffix}")
        assert (found.metadata.exif, found.metadata.xmp, found.metadata.iptc) == (None, None, None)
        assert found.icc == (None if suffix == ".bmp" else SRGB)

    @pytest.mark.parametrize("suffix", [".jpg", ".webp"])
    def test_quality(self, tmp_path, photo, suffix):
        sizes = []
        for quality in (10, 50, 95):
            write_picture(tmp_path / f"a{suffix}", Picture(photo), options=EncodingOptions(quality))
            sizes.append((tmp_path / f"a{suffix}").stat().st_size)
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2] / 2

    def test_lossless(self, tmp_path, photo):
        """WebP keeps the colours of what is transparent, too."""
        options, alpha = EncodingOptions(lossless=True), (photo[..., 0] > 99) * np.uint8(255)
        for suffix in (".webp", ".png", ".tif"):
            write_picture(tmp_path / f"a{suffix}", Picture(photo, alpha), options=options)
            found = read_picture(tmp_path / f"a{suffix}")
            np.testing.assert_array_equal(found.pixels, photo)
            np.testing.assert_array_equal(found.alpha, alpha)
        with pytest.raises(InputError, match=r"a\.jpg: JPEG loses samples; write \.png"):
            write_picture(tmp_path / "a.jpg", Picture(photo), options=options)

    @pytest.mark.parametrize("quality", [0, 101, -1])
    def test_wrong_quality(self, quality):
        with pytest.raises(InputError, match=f"quality must be from 1 to 100, got {quality}"):
            EncodingOptions(quality)

    def test_on_the_command_line(self, tmp_path, photo, metadata, call_cli, tiny):
        write_picture(tmp_path / "a.jpg", Picture(photo, metadata=metadata))
        command = ["upscale", tmp_path / "a.jpg", tmp_path / "b.jpg", "--scale", 2, "--weights", tiny]
        assert call_cli(*command)[0] == 0
        kept = read_picture(tmp_path / "b.jpg").metadata
        assert (kept.iptc, kept.dpi) == (IPTC, (300, 300))
        assert described(tmp_path / "b.jpg")[IFD.Exif][Base.ExifImageWidth] == 240
        size = (tmp_path / "b.jpg").stat().st_size
        assert call_cli(*command, "--force", "--strip", "--quality", 20)[0] == 0
        assert read_picture(tmp_path / "b.jpg").metadata.exif is None
        assert (tmp_path / "b.jpg").stat().st_size < size / 2
        assert "quality must be from 1 to 100" in call_cli(*command, "--force", "--quality", 101)[2]
        assert "JPEG loses samples" in call_cli(*command, "--force", "--lossless")[2]

    def test_ground_truth_keeps_them_too(self, tmp_path, photo, metadata, call_cli, tiny):
        write_picture(tmp_path / "a.png", Picture(photo, icc=SRGB, metadata=metadata))
        command = ["upscale", tmp_path / "a.png", tmp_path / "b.png", "--scale", 2, "--ground-truth"]
        assert call_cli(*command, "--weights", tiny)[0] == 0
        found = read_picture(tmp_path / "b.png")
        assert found.icc == SRGB
        assert found.metadata.iptc == IPTC
