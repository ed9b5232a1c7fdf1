"""Read the header of a JPEG XL codestream (ISO/IEC 18181-1), which decoders do not show.

It says how large the image is, how many bits its samples have, and what its colours mean.
"""

from collections.abc import Iterator
from typing import NamedTuple

RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
ALPHA, SPOT, CFA = 0, 2, 5
"""Kinds of extra channels that have fields of their own."""
SRGB_COLOURS = (1, 13)
"""Primaries and transfer function of sRGB, as ITU-T H.273 counts them."""
P3 = 11
"""The primaries that JPEG XL counts otherwise: of Display P3, which are 12 in H.273."""
D65 = 1


class Header(NamedTuple):
    """What a codestream says of its image.

    Attributes:
        size: height and width, before it is turned.
        bits: of a sample.
        animated: whether it is the first of several.
        premultiplied: whether colours are multiplied by alpha.
        icc: whether a profile follows, or what the colours mean has no short name.
        colours: primaries and transfer function, as H.273 counts them; None where the profile says it.
    """

    size: tuple[int, int]
    bits: int = 8
    animated: bool = False
    premultiplied: bool = False
    icc: bool = False
    colours: tuple[int, int] | None = SRGB_COLOURS


def read_size(codestream: bytes) -> tuple[int, int]:
    """Return height and width.

    Raises:
        StopIteration: the codestream is cut.
    """
    return _size(_Bits(codestream[2:]))


def read_header(codestream: bytes) -> Header:
    """Return what the header says.

    Raises:
        StopIteration: the codestream is cut.
    """
    bits = _Bits(codestream[2:])
    size = _size(bits)
    if bits.take(1):  # all else is what most images have
        return Header(size)
    animated = False
    if bits.take(1):
        bits.take(3)  # the orientation, by which decoders turn the image
        animated = _is_animated(bits)
    depth = _depth(bits)
    bits.take(1)
    premultiplied = any([_extra_channel(bits) for _ in range(bits.u32((0, 0), (1, 0), (2, 4), (1, 12)))])
    bits.take(1)
    return Header(size, depth, animated, premultiplied, *_colours(bits))


class _Bits:
    """The bits of a stream, of which each byte begins with its lowest."""

    def __init__(self, content: bytes) -> None:
        self.bits: Iterator[int] = (byte >> place & 1 for byte in content for place in range(8))

    def take(self, count: int) -> int:
        """Return a number of so many bits."""
        return sum(next(self.bits) << place for place in range(count))

    def u32(self, *kinds: tuple[int, int]) -> int:
        """Return a number of one of four kinds: a constant, and bits that are added to it."""
        base, count = kinds[self.take(2)]
        return base + self.take(count)

    def enum(self) -> int:
        """Return the number of a name in a list."""
        return self.u32((0, 0), (1, 0), (2, 4), (18, 6))


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)

    def side() -> int:
        return 8 * (bits.take(5) + 1) if small else bits.u32((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return height, side()
    above, below = RATIOS[ratio - 1]
    return height, height * above // below


def _is_animated(bits: _Bits) -> bool:
    """Read past the sizes that precede it."""
    if bits.take(1):
        _size(bits)  # at which the image is meant to be seen
    if bits.take(1):
        eighths = bits.take(1)
        kinds = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
        bits.u32(*kinds)
        if not bits.take(3):
            bits.u32(*kinds)
    animated = bool(bits.take(1))
    if animated:  # with ticks, loops and timecodes
        bits.u32((100, 0), (1000, 0), (1, 10), (1, 30))
        bits.u32((1, 0), (1001, 0), (1, 8), (1, 10))
        bits.u32((0, 0), (0, 3), (0, 16), (0, 32))
        bits.take(1)
    return animated


def _depth(bits: _Bits) -> int:
    if bits.take(1):  # floating
        depth = bits.u32((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
        return depth
    return bits.u32((8, 0), (10, 0), (12, 0), (1, 6))


def _extra_channel(bits: _Bits) -> bool:
    """Read past an extra channel; tell whether it is alpha that colours are multiplied by."""
    if bits.take(1):
        return False
    kind = bits.enum()
    _depth(bits)
    bits.u32((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.u32((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.take(8)  # of its name
    if kind == SPOT:
        bits.take(64)
    if kind == CFA:
        bits.u32((1, 0), (0, 2), (3, 4), (19, 8))
    return kind == ALPHA and bool(bits.take(1))


def _colours(bits: _Bits) -> tuple[bool, tuple[int, int] | None]:
    """Return whether a profile says what colours mean, and else their primaries and transfer function."""
    if bits.take(1):
        return False, SRGB_COLOURS
    if bits.take(1):
        return True, None
    space = bits.enum()
    white = bits.enum()
    primaries = SRGB_COLOURS[0]
    if white == D65 and space == 0:
        primaries = bits.enum()
    if white != D65 or space > 1 or primaries not in (1, 9, P3) or bits.take(1):
        return True, None  # of one's own making, or a gamma
    return False, (12 if primaries == P3 else primaries, bits.enum())
