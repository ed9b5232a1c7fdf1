"""The size of an enlargement: by a scale, in pixels, by one side, or to fit into a box."""

import math

from vdsrlib.errors import InputError
from vdsrlib.utils.parsing import LARGEST_SCALE, parse_scale

Shape = tuple[int, int]
Size = tuple[int | None, int | None]


def upscaled_shape(shape: Shape, scale: float) -> Shape:
    """Return height and width times ``scale``, rounded up."""
    height, width = (math.ceil(side * scale - 1e-9) for side in shape)
    return height, width


def result_shape(shape: Shape, scale: float | None, size: Size | None, fit: bool = False) -> Shape:
    """Return the height and width of the result, and check them.

    Args:
        shape: height and width of the image.
        scale: above 1 and up to 8; each side becomes ceil(side * scale). At 1, the image keeps its size.
        size: height and width of the result, instead of a scale; where one is None, the image keeps its
            proportions.
        fit: whether the image keeps its proportions and ``size`` is the largest that it may become.

    Raises:
        InputError: neither or both of scale and size are given, or the result is no enlargement.

    >>> result_shape((60, 80), None, (None, 200)), result_shape((60, 80), None, (180, 200), fit=True)
    ((150, 200), (150, 200))
    """
    if (scale is None) == (size is None):
        raise InputError("give a scale, or the size of the result: one of them")
    if size is None:
        if (factor := parse_scale(scale, one=True)) == 1:
            return shape
        result = upscaled_shape(shape, factor)
    elif fit or None in size:
        factor = min(new / old for new, old in zip(size, shape, strict=True) if new is not None)
        height, width = (math.floor(side * factor + 0.5) for side in shape)
        result = height, width
    else:
        result = size[0] or 0, size[1] or 0
    _check(shape, result)
    return result


def stretch(shape: Shape, result: Shape) -> str | None:
    """Describe how the result distorts the image: None where it does so by less than a pixel."""
    rows, columns = (new / old for new, old in zip(result, shape, strict=True))
    if abs(rows * shape[1] - result[1]) <= 1 or abs(columns * shape[0] - result[0]) <= 1:
        return None
    return f"stretched: the width grows {columns:.3g} times and the height {rows:.3g} times"


def _check(shape: Shape, result: Shape) -> None:
    inside = all(old <= new <= LARGEST_SCALE * old for old, new in zip(shape, result, strict=True))
    if not inside or shape == result:
        raise InputError(
            f"{shape[1]}x{shape[0]} pixels cannot be enlarged to {result[1]}x{result[0]}: "
            f"each side may grow by up to {LARGEST_SCALE} times, and must not shrink"
        )
