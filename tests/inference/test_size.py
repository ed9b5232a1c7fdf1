"""The size of a result: by a scale, in pixels, by one side, to fit; and what distorts is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsrlib.errors import InputError
from vdsrlib.inference.size import result_shape, stretch

SIDES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


@pytest.mark.parametrize(
    ("size", "fit", "shape"),
    [
        ((None, 1920), False, (1440, 1920)),
        ((1080, None), False, (1080, 1440)),
        ((1080, 1920), False, (1080, 1920)),
        ((1080, 1920), True, (1080, 1440)),
        ((3000, 900), True, (675, 900)),
        ((None, 900), True, (675, 900)),
    ],
)
def test_pixels(size, fit, shape):
    assert result_shape((600, 800), None, size, fit) == shape


@given(shape=SIDES, factor=st.floats(1.01, 7.9), box=SIDES)
def test_what_fits_keeps_its_proportions_and_stays_inside(shape, factor, box):
    size = max(int(shape[0] * factor), shape[0]), box[1]
    try:
        found = result_shape(shape, None, size, fit=True)
    except InputError:
        return
    assert all(new <= most for new, most in zip(found, size, strict=True))
    assert any(new == most for new, most in zip(found, size, strict=True))
    assert stretch(shape, found) is None


@pytest.mark.parametrize("size", [(0, 100), (None, 0), (0, 0), (50, 5000), (None, 20), (60, 80), (40, 50)])
def test_what_is_no_enlargement(size):
    with pytest.raises(InputError, match="cannot be enlarged"):
        result_shape((60, 80), None, size)


@pytest.mark.parametrize(("scale", "size"), [(None, None), (2, (100, 100))])
def test_a_scale_or_a_size(scale, size):
    with pytest.raises(InputError, match="one of them"):
        result_shape((60, 80), scale, size)


def test_a_distortion_is_told(call_cli, tmp_path, photo_file, tiny):
    arguments = ["upscale", photo_file, tmp_path / "out.png", "--weights", tiny, "--force"]
    told = "stretched: the width grows 2 times and the height 3 times"
    assert told in call_cli(*arguments, "--size", "240x288")[1]
    for same in (["--size", "240x192"], ["--size", "240x"], ["--size", "241x193"], ["--fit", "240x288"]):
        status, out, _ = call_cli(*arguments, *same)
        assert (status, "stretched" in out) == (0, False)
    assert "240 x 192 pixels" in out
