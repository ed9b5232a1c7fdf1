"""A network gets values of the range that it knows, and the result is in the image's own."""

import numpy as np
import pytest
import tifffile
from conftest import as_net
from hypothesis import given
from hypothesis import strategies as st

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import as_rgb
from vdsrlib.imaging.image_file import read_picture
from vdsrlib.imaging.resize import imresize
from vdsrlib.inference.missing import find_missing
from vdsrlib.inference.ranges import sample_range
from vdsrlib.inference.upscale import upscale, upscale_file
from vdsrlib.models import checkpoint


@pytest.fixture(scope="module")
def net():
    return checkpoint.load("vdsr", "cpu")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_photographs_are_taken_as_they_are(photo, dtype):
    top = np.iinfo(dtype).max
    assert sample_range(photo.astype(dtype) * dtype(top // 255)) == (0, top)


@given(low=st.integers(0, 49_000), span=st.integers(0, 16_000))
def test_a_small_range_becomes_the_whole(low, span):
    pixels = np.linspace(low, low + span, 12).astype(np.uint16).reshape(3, 4)
    known = sample_range(pixels)
    unit = known.to_unit(pixels)
    assert (unit.min(), unit.max()) == (0, 1 if span else 0)
    np.testing.assert_array_equal(known.from_unit(unit, np.uint16), pixels)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_an_image_of_one_value_stays_so(net, value):
    pixels = np.full((9, 9), value, np.uint16)
    assert (upscale(net, pixels, 2) == value).all()


def test_grey_is_enlarged_as_its_rgb(net, grey_photo):
    """Text from 0 to 255 lost 0.4 dB when it came as grey; black got a frame of 10 grey levels."""
    image = grey_photo[:30, :40]
    assert np.abs(upscale(net, image, 2).astype(int) - upscale(net, as_rgb(image), 2)[..., 0]).max() <= 1
    assert upscale(net, np.zeros((9, 9), np.uint8), 2).max() <= 1


@pytest.mark.parametrize(("low", "gain"), [(0, 16), (3000, 2)], ids=["12 bits", "elevations"])
@pytest.mark.parametrize("grey", [True, False])
def test_samples_of_a_small_range_beat_interpolation(net, photo, low, gain, grey):
    """As 16-bit samples and as 8-bit ones, the same result; it was worse than interpolation."""
    eight = photo[:60, :60, 1] if grey else photo[:60, :60]
    truth = low + gain * eight.astype(np.uint16)
    truth.flat[0], truth.flat[-1] = low, low + gain * 255
    small = np.rint(imresize(truth.astype(float), 0.5).clip(0)).astype(np.uint16)

    def error(image):
        return np.square(image[4:-4, 4:-4].astype(float) - truth[4:-4, 4:-4]).mean() ** 0.5

    assert error(upscale(net, small, 2)) < 0.9 * error(imresize(small.astype(float), 2))


def test_a_network_without_residual_changes_nothing(make_zero_model, grey_photo):
    made = upscale(as_net(make_zero_model()), grey_photo, 2)
    wanted = np.clip(imresize(grey_photo / 255, 2) * 255, 0, 255)
    assert np.abs(made - wanted).max() < 0.501


class TestMeasurements:
    """Numbers without black and white: elevations, computed tomography, radiances."""

    TYPES = (np.int8, np.int16, np.int32, np.uint32, np.int64, np.float16, np.float32, np.float64)

    @pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
    @pytest.mark.parametrize("grey", [False, True])
    def test_type_and_range_are_kept(self, net, photo, dtype, grey):
        """The enlargement is that of the same picture in 16 bits, to a step of either."""
        ranges = {np.int8: (-100, 100), np.int16: (-900, 9000), np.uint32: (70_000, 130_000)}
        low, high = ranges.get(dtype, (-700, 60_000))
        image = photo[:40, :40, 1] if grey else photo[:40, :40]
        unit = (image - float(image.min())) / (float(image.max()) - float(image.min()))
        samples = np.rint(low + unit * (high - low)).astype(dtype)
        wanted = upscale(net, np.rint(16_000 * unit).astype(np.uint16), 2) / 16_000
        found = upscale(net, samples, 2)
        assert found.dtype == dtype
        assert found.min() >= low
        assert found.max() <= high
        step = {np.int8: 3, np.float16: 150}.get(dtype, 1.5)
        assert np.abs(found - (low + wanted * (high - low))).max() < step + 5e-4 * (high - low)

    def test_a_file_of_elevations_beats_interpolation(self, net, tmp_path, photo):
        truth = (1200 + photo[:60, :60, 1] * 0.5).astype(np.float32)
        small = imresize(truth, 0.5)
        tifffile.imwrite(tmp_path / "a.tif", small, photometric="minisblack")
        made = upscale_file(net, tmp_path / "a.tif", tmp_path / "b.tif", 2)
        found = tifffile.imread(tmp_path / "b.tif")
        assert found.dtype == np.float32
        assert made.notes == ()
        rms = [np.square(each - truth)[4:-4, 4:-4].mean() ** 0.5 for each in (found, imresize(small, 2))]
        assert rms[0] < 0.9 * rms[1]
        with pytest.raises(InputError, match=r"\.png cannot hold samples of float32; write \.tif instead"):
            upscale_file(net, tmp_path / "a.tif", tmp_path / "b.png", 2)

    @pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
    def test_holes_stay_where_they_were(self, net, photo, hole):
        """And nothing around them changes but by what is interpolated instead of them."""
        samples = 1200 + photo[:30, :40, 1] / 2
        whole = upscale(net, samples, 2)
        samples[8:12, 20:30] = samples[-1, -1] = hole
        found = upscale(net, samples, 2)
        holes = np.isnan(found) if np.isnan(hole) else found == hole
        wanted = np.zeros_like(holes)
        wanted[16:24, 40:60] = wanted[-2:, -2:] = True
        np.testing.assert_array_equal(holes, wanted)
        assert np.isfinite(found[~wanted]).all()
        assert np.abs(found - whole)[:, :10].max() < 1

    @pytest.mark.parametrize(("dtype", "value"), [("uint8", -1.0), ("int16", np.nan), ("float32", 1e300)])
    def test_a_value_that_the_type_has_not(self, dtype, value):
        assert find_missing(np.ones((2, 3), dtype), value) is None

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
    def test_gdals_value_for_no_value(self, net, tmp_path, photo, dtype):
        value = {"u": 255, "i": -9999, "f": -9999.5}[np.dtype(dtype).kind]
        samples = np.minimum(photo[:30, :40, 1], 250).astype(dtype)
        samples[5:9, 5:9] = value
        nodata = [(42113, 2, 0, str(value), True)]
        tifffile.imwrite(tmp_path / "a.tif", samples, photometric="minisblack", extratags=nodata)
        made = upscale_file(net, tmp_path / "a.tif", tmp_path / "b.tif", 3)
        assert "pixels without a value stay as they are" in made.notes
        found = read_picture(tmp_path / "b.tif", measurements=True)
        assert found.metadata.nodata == value
        assert (found.pixels[15:27, 15:27] == value).all()
        assert (found.pixels == value).sum() == 144
        if dtype == np.uint8:
            lost = upscale_file(net, tmp_path / "a.tif", tmp_path / "b.png", 3).notes
            assert "the value of missing pixels is left out" in lost

    @pytest.mark.parametrize("dtype", [np.int32, np.float32])
    @pytest.mark.parametrize("grey", [False, True])
    def test_a_lamp_does_not_darken_the_rest(self, net, photo, dtype, grey):
        """One bright spot took the whole range, and all else was worse than interpolated."""
        truth = (photo[..., 1] if grey else photo).astype(dtype)
        truth[80:84, 100:104] = 200_000
        small = imresize(truth.astype(float), 0.5).clip(0)
        small = small if dtype == np.float32 else np.rint(small)
        found = upscale(net, small.astype(dtype), 2)
        interpolated = imresize(small, 2)

        def error(image):
            return np.square((image - truth.astype(float))[4:60, 4:80]).mean() ** 0.5

        assert found.dtype == dtype
        assert error(found) < 0.9 * error(interpolated)
        spot = np.s_[80:84, 100:104]
        assert np.abs(found[spot] / interpolated[spot].clip(0, small.max()) - 1).max() < 0.01

    def test_nothing_but_holes(self, net):
        assert np.isnan(upscale(net, np.full((5, 6), np.nan), 2)).all()

    def test_transparency_has_no_such_samples(self, net, photo):
        with pytest.raises(InputError, match="image must be uint8, uint16, or floating"):
            upscale(net, np.dstack([photo, photo[..., 0]]) * 20.0, 2)
