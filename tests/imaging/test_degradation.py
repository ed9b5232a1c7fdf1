"""The two degradations, against scikit-image and against imresize."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.filters import gaussian
from skimage.transform import resize

from vdsrlib.imaging.degradation import BICUBIC, BLUR_BILINEAR, DEGRADATIONS
from vdsrlib.imaging.resize import imresize

EACH = pytest.mark.parametrize("degradation", DEGRADATIONS.values(), ids=list(DEGRADATIONS))


@pytest.mark.parametrize("size", [(96, 120), (95, 61), (33, 32)])
@pytest.mark.parametrize("scale", [1.2, 1.5, 2, 2.5, 3, 3.7, 4])
def test_blur_bilinear_is_scikit_image(photo, size, scale):
    hr = photo[: size[0], : size[1]] / 255
    plain = {"order": 1, "mode": "edge", "anti_aliasing": False}
    blurred = gaussian(hr, sigma=(scale - 1) / 2, mode="nearest", channel_axis=-1)
    wanted_lr = resize(blurred, (int(size[0] / scale), int(size[1] / scale), 3), **plain)
    lr, ilr = BLUR_BILINEAR(hr, scale)
    np.testing.assert_allclose(lr, wanted_lr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ilr, resize(wanted_lr, hr.shape, **plain), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_imresize_twice(photo, scale):
    hr = photo / 255  # 96 x 120: multiples of 2, 3 and 4
    lr, ilr = BICUBIC(hr, scale)
    np.testing.assert_allclose(lr, imresize(hr, 1 / scale), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ilr, imresize(imresize(hr, 1 / scale), scale), rtol=0, atol=1e-12)


@EACH
@given(height=st.integers(1, 70), width=st.integers(1, 70), scale=st.floats(1.01, 8))
def test_sizes(degradation, height, width, scale):
    lr, ilr = degradation(np.full((height, width), 0.25), scale)
    assert ilr.shape == (height, width)
    assert lr.shape == tuple(max(1, int(side / scale + 1e-9)) for side in (height, width))
    np.testing.assert_allclose(ilr, 0.25, rtol=0, atol=1e-12)  # constants stay


def test_lr_size_is_not_lost_to_rounding():
    """33 / 1.1 is 29.999… in floating point."""
    assert BICUBIC(np.zeros((33, 330)), 1.1)[0].shape == (30, 300)


@EACH
def test_a_long_image_takes_little_memory(degradation):
    """As dense matrices, the weights of 60,000 pixels would take 13 GiB a way."""
    hr = np.full((20, 60_000), 0.25)
    tracemalloc.start()
    try:
        ilr = degradation(hr, 2)[1]
        assert tracemalloc.get_traced_memory()[1] < 6 * hr.nbytes
        del ilr
        assert tracemalloc.get_traced_memory()[0] < hr.nbytes / 20
    finally:
        tracemalloc.stop()


@EACH
@given(a=st.floats(-2, 2), b=st.floats(-2, 2), scale=st.sampled_from([1.5, 2, 3.3]))
def test_linear(degradation, grey_photo, a, b, scale):
    x, y = grey_photo[:40, :44] / 255, grey_photo[40:80, :44] / 255
    for mixed, of_x, of_y in zip(
        degradation(a * x + b * y, scale), degradation(x, scale), degradation(y, scale), strict=True
    ):
        np.testing.assert_allclose(mixed, a * of_x + b * of_y, rtol=0, atol=1e-12)


@EACH
@pytest.mark.parametrize("scale", [1.5, 2, 3, 3.7])
def test_torch_batch_equals_numpy(degradation, photo, scale):
    batch = torch.from_numpy(np.stack([photo, photo[:, ::-1]]).transpose(0, 3, 1, 2) / 255)
    lr, ilr = degradation(batch, scale)
    for i, image in enumerate((photo / 255, photo[:, ::-1] / 255)):
        for found, wanted in zip((lr, ilr), degradation(image, scale), strict=True):
            np.testing.assert_allclose(found[i].permute(1, 2, 0), wanted, rtol=0, atol=1e-12)
    single = degradation(batch.float(), scale)[1]
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), ilr, rtol=0, atol=1e-6)
