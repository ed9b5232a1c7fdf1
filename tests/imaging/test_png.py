"""What PNG files hold beside plain samples, made here chunk by chunk."""

import struct
import zlib

import numpy as np
import pytest

from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_picture
from vdsrlib.imaging.png import ADAM7, CHANNELS


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def packed(samples: np.ndarray, depth: int) -> bytes:
    """Rows of samples (H x W x C), each behind the byte of its filter."""
    rows = samples.reshape(len(samples), -1).astype(">u2")
    bits = (rows[..., None] >> np.arange(depth)[::-1].astype(">u2")) & 1
    return b"".join(b"\0" + np.packbits(row.astype(np.uint8).ravel()).tobytes() for row in bits)


def make_png(samples: np.ndarray, depth: int, colour: int, *extra: bytes, interlaced: bool = False) -> bytes:
    """Encode samples (H x W x C) as a PNG file with more chunks before its pixels."""
    height, width = samples.shape[:2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [samples[top::down, left::across] for top, left, down, across in passes]
    rows = b"".join(packed(part, depth) for part in parts if part.size)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    pixels = zlib.compress(rows)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            header,
            *extra,
            *(chunk(b"IDAT", pixels[at : at + 100]) for at in range(0, len(pixels), 100)),
            chunk(b"IEND", b""),
        ]
    )


@pytest.fixture
def read(tmp_path):
    def read(content: bytes):
        (tmp_path / "a.png").write_bytes(content)
        return read_picture(tmp_path / "a.png")

    return read


def noise(shape: tuple[int, ...], depth: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**depth, shape, dtype=np.uint16)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("further_bits", [False, True])
def test_grey_key_at_every_depth(read, depth, interlaced, further_bits):
    """The key is a sample as it is stored, and only its lowest bits count."""
    samples = noise((13, 22, 1), depth)
    key = int(samples[5, 7, 0])
    stored = key | (0xFF00 if further_bits and depth < 16 else 0)
    content = chunk(b"tRNS", struct.pack(">H", stored))
    found = read(make_png(samples, depth, 0, content, interlaced=interlaced))
    full = 65535 if depth == 16 else 255
    np.testing.assert_array_equal(found.pixels, samples[..., 0] * (full // (2**depth - 1)))
    np.testing.assert_array_equal(found.alpha, np.where(samples[..., 0] == key, 0, full))


@pytest.mark.parametrize("depth", [8, 16])
def test_colour_key(read, depth):
    samples = noise((13, 22, 3), depth)
    found = read(make_png(samples, depth, 2, chunk(b"tRNS", struct.pack(">3H", *samples[5, 7]))))
    np.testing.assert_array_equal(found.pixels, samples)
    assert np.argwhere(found.alpha == 0).tolist() == [[5, 7]]


@pytest.mark.parametrize("content", [b"", b"\0", bytes(7)])
def test_a_key_of_the_wrong_length_is_none(read, content):
    found = read(make_png(noise((5, 6, 1), 8), 8, 0, chunk(b"tRNS", content)))
    assert found.alpha is None


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 3), (5, 1), (8, 8), (13, 22)])
@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_interlaced_sixteen_bits(read, capfd, shape, colour):
    samples = noise((*shape, CHANNELS[colour]), 16)
    found = read(make_png(samples, 16, colour, interlaced=True))
    pixels = np.atleast_3d(found.pixels)
    whole = pixels if found.alpha is None else np.dstack([pixels, found.alpha])
    np.testing.assert_array_equal(whole, samples)
    assert capfd.readouterr() == ("", "")


def test_interlaced_and_cut(read):
    content = make_png(noise((30, 30, 3), 16), 16, 2, interlaced=True)
    with pytest.raises(InputError, match="ends before its pixels do"):
        read(content[: len(content) // 2])


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    "extra",
    {
        "long text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 << 20))),
        "damaged text": chunk(b"zTXt", b"Comment\0\0nothing"),
        "no keyword": chunk(b"tEXt", b""),
        "damaged profile": chunk(b"iCCP", b"name\0\0" + bytes(50)),
        "wrong sum": chunk(b"tIME", bytes(7))[:-1] + b"x",
        "gamma of 0": chunk(b"gAMA", bytes(4)),
        "short gamma": chunk(b"gAMA", bytes(1)),
        "unknown": chunk(b"vdSr", bytes(9)),
        "long EXIF": chunk(b"eXIf", b"MM\0*" + bytes(1 << 20)),
        "damaged animation": chunk(b"acTL", bytes(8)),
    }.items(),
    ids=lambda item: item[0],
)
def test_no_other_chunk_stops_or_prints(read, capfd, depth, extra):
    samples = noise((9, 11, 3), depth)
    found = read(make_png(samples, depth, 2, extra[1]))
    np.testing.assert_array_equal(found.pixels, samples)
    assert found.icc is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_large_profile_is_kept(read, depth):
    icc = bytes(16) + b"RGB " + np.random.default_rng(0).bytes(2 << 20)
    content = chunk(b"iCCP", b"name\0\0" + zlib.compress(icc))
    assert read(make_png(noise((9, 11, 3), depth), depth, 2, content)).icc == icc


def test_damage_in_a_chunk_that_matters(read):
    content = bytearray(make_png(noise((9, 11, 3), 16), 16, 2))
    content[60] ^= 1
    with pytest.raises(InputError, match="its chunk IDAT is damaged"):
        read(bytes(content))
