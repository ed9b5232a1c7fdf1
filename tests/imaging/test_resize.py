"""imresize is MATLAB's, on NumPy and torch, uint8 and floating."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vdsrlib.errors import InputError
from vdsrlib.imaging.resize import bicubic_matrix, cubic, imresize

SCALES = st.floats(0.2, 5)


def slow_imresize(image: np.ndarray, shape: tuple[int, int], factors: tuple[float, float]) -> np.ndarray:
    """MATLAB's algorithm once more, a pixel at a time, sharing nothing with the library."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    def line(pixels: np.ndarray, length: int, factor: float) -> list[float]:
        shrink = min(factor, 1)
        out = []
        for i in range(length):
            centre = (i + 0.5) / factor - 0.5
            total = weights = 0.0
            for j in range(math.floor(centre - 2 / shrink), math.ceil(centre + 2 / shrink) + 1):
                weight = kernel((centre - j) * shrink)
                while not 0 <= j < len(pixels):
                    j = -1 - j if j < 0 else 2 * len(pixels) - 1 - j
                total += weight * pixels[j]
                weights += weight
            out.append(total / weights)
        return out

    axes = (0, 1) if factors[0] <= factors[1] else (1, 0)
    for axis in axes:
        out = np.apply_along_axis(line, axis, image.astype(float), shape[axis], factors[axis])
        image = np.floor(np.clip(out, 0, 255) + 0.5).astype(np.uint8) if image.dtype == np.uint8 else out
    return image


def check_same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Equal; but an exact half, which summing in another order can round down, may be one pixel in 250."""
    if found.dtype == np.uint8:
        apart = np.abs(found.astype(int) - wanted)
        assert apart.max() <= 1
        assert np.count_nonzero(apart) <= found.size / 250
    else:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["butterfly", "bird"])
def test_equals_matlab(reference, name, scale):
    stored = np.load(reference / f"matlab/{name}_x{scale}.npz")
    lr = imresize(stored["im_gt_y"], 1 / scale)
    assert np.abs(lr - stored["im_l_y"]).max() < 1e-10
    assert np.abs(imresize(stored["im_l_y"], scale) - stored["im_b_y"]).max() < 1e-10


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("scale", [0.25, 1 / 3, 0.7, 1.0, 1.5, 2, 3.3])
def test_equals_the_slow_way(grey_photo, dtype, scale):
    image = grey_photo[:13, :17].astype(dtype)
    shape = math.ceil(13 * scale), math.ceil(17 * scale)
    wanted = slow_imresize(image, shape, (scale, scale))
    found = imresize(image, scale)
    assert found.dtype == dtype
    check_same(found, wanted)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("shape", [(5, 40), (30, 7), (6, 8), (29, 31), (13, 5), (1, 1)])
def test_each_axis_has_its_own_factor(grey_photo, dtype, shape):
    image = grey_photo[:13, :17].astype(dtype)
    wanted = slow_imresize(image, shape, (shape[0] / 13, shape[1] / 17))
    check_same(imresize(image, shape=shape), wanted)


def test_uint8_axis_order(grey_photo):
    """The axis with the smaller factor goes first: the other order gives other pixels."""
    image = grey_photo[:30, :30]
    found = imresize(image, shape=(60, 12))
    check_same(found, slow_imresize(image, (60, 12), (2, 0.4)))
    rows_first = imresize(imresize(image, shape=(60, 30)), shape=(60, 12))
    assert np.count_nonzero(found != rows_first) > found.size / 50


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_uint8_rounds_after_each_pass(photo, scale):
    twice = imresize(photo, scale).astype(int)
    once = np.floor(np.clip(imresize(photo.astype(float), scale), 0, 255) + 0.5).astype(int)
    assert 0 < np.abs(twice - once).max() <= 3


def test_float_is_neither_rounded_nor_clipped():
    step = np.repeat([[0.0, 1.0]], 8, axis=0).repeat(4, axis=1)
    out = imresize(step, 3)
    assert out.min() < -0.01
    assert out.max() > 1.01


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6), (torch.uint8, 0)]
)
@pytest.mark.parametrize("scale", [1 / 3, 0.5, 2.5])
def test_torch_batch_equals_numpy(photo, dtype, tolerance, scale):
    planes = torch.from_numpy(np.stack([photo, photo[::-1]]).transpose(0, 3, 1, 2).copy())
    batch = planes if dtype == torch.uint8 else planes.to(dtype) / 255
    found = imresize(batch, scale)
    assert found.dtype == dtype
    for image, out in zip(batch, found, strict=True):
        wanted = imresize(image.permute(1, 2, 0).numpy(), scale)
        np.testing.assert_allclose(out.permute(1, 2, 0).numpy(), wanted, rtol=0, atol=tolerance)


def test_channels_are_resized_one_by_one(photo):
    out = imresize(photo, 0.4)
    for channel in range(3):
        np.testing.assert_array_equal(out[..., channel], imresize(photo[..., channel], 0.4))


def test_kernel_is_keys():
    np.testing.assert_allclose(cubic(np.array([0, 0.5, 1, 1.5, 2, 2.5])), [1, 0.5625, 0, -0.0625, 0, 0])


@given(length=st.integers(1, 60), scale=SCALES)
def test_weights_sum_to_one(length, scale):
    matrix = bicubic_matrix(length, math.ceil(length * scale), scale)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-12)


@given(height=st.integers(1, 40), width=st.integers(1, 40), scale=SCALES, value=st.integers(0, 255))
def test_size_and_constants(height, width, scale, value):
    for image in (np.full((height, width), value, np.uint8), np.full((height, width), value / 255)):
        out = imresize(image, scale)
        assert out.shape == (math.ceil(height * scale), math.ceil(width * scale))
        np.testing.assert_allclose(out, image[0, 0], rtol=0, atol=1e-12)


@given(shape=st.tuples(st.integers(1, 50), st.integers(1, 50)), axis=st.sampled_from([0, 1]))
def test_flipping_commutes(grey_photo, shape, axis):
    image = grey_photo[:21, :18] / 255
    np.testing.assert_allclose(
        imresize(np.flip(image, axis).copy(), shape=shape),
        np.flip(imresize(image, shape=shape), axis),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": 2, "shape": (4, 4)},
        {"scale": 0},
        {"scale": -1.5},
        {"scale": math.nan},
        {"scale": math.inf},
        {"shape": (0, 4)},
    ],
)
def test_wrong_arguments(arguments):
    with pytest.raises(InputError, match=r"scale|shape"):
        imresize(np.zeros((4, 4)), **arguments)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.bool_])
def test_wrong_dtype(dtype):
    with pytest.raises(InputError, match="uint8 or floating"):
        imresize(np.zeros((4, 4), dtype), 2)
