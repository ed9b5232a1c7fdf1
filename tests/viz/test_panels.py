"""Pictures have the pixels that they say: as PNG where these matter, as JPEG where they show a photograph."""

import base64
import dataclasses
import io
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from conftest import as_net
from PIL import Image

from vdsrlib.errors import InputError
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.crops import most_detailed_crop
from vdsrlib.imaging.resize import imresize
from vdsrlib.inference.features import survey
from vdsrlib.inference.mosaic import grey
from vdsrlib.inference.upscale import upscale_stages
from vdsrlib.protocol import PAPER
from vdsrlib.viz import charts, panels
from vdsrlib.viz.captioned import CaptionedImage, stored_figure
from vdsrlib.viz.layers import layer_view, layer_walk

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def real(photo, grey_photo, make_model):
    """Real arrays to draw."""
    ilr = PAPER.pair(photo, 2)[2]
    model = make_model(depth=4, width=6)
    found = survey(model, ilr, PAPER)
    return types.SimpleNamespace(
        photo=photo,
        grey=grey_photo,
        ilr=ilr,
        model=model,
        survey=found,
        layers=list(found.layers.values()),
        upscaled=degrade_and_upscale(as_net(model), photo, 2),
    )


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def shown(picture: CaptionedImage) -> tuple[str, np.ndarray]:
    """Kind and pixels of what a notebook keeps."""
    data, metadata = picture._repr_mimebundle_()
    assert data.pop("text/plain") == picture.caption
    ((kind, encoded),) = data.items()
    assert metadata == {kind: {"alt": picture.caption}}
    return kind, pixels(base64.b64decode(encoded))


class TestRows:
    def test_images_in_columns(self, real):
        """120 pixels wide, in two columns of 416: enlarged to squares, so kept exactly."""
        picture = panels.image_row({"HR": real.photo, "LR": imresize(real.photo, 0.5)})
        height = round(416 * 96 / 120)
        assert picture.pixels.shape == (height + 20, 840, 3)
        wanted = Image.fromarray(real.photo).resize((416, height), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(picture.pixels[20:, :416], np.asarray(wanted))
        assert (picture.pixels[:20, :416] < 128).any()
        kind, kept = shown(picture)
        assert kind == "image/png"
        np.testing.assert_array_equal(kept, picture.pixels)

    def test_parts_of_ilr_sr_and_hr_side_by_side(self, real):
        picture = panels.against_hr({"photo ×2": (real.upscaled, (10, 20, 30, 30))})
        score = real.upscaled.network_score.psnr
        assert f"photo ×2: network, {score:.2f} dB; photo ×2: HR." in picture.caption
        hr = Image.fromarray(to_uint8(real.upscaled.hr[10:40, 20:50]))
        wanted = hr.resize((274, 274), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(picture.pixels[-274:, -274:], np.asarray(wanted))
        with pytest.raises(InputError, match="photo has no ground truth; make it with degrade_and_upscale"):
            panels.against_hr({"photo": (dataclasses.replace(real.upscaled, hr=None), (0, 0, 8, 8))})

    def test_a_photograph_is_kept_as_jpeg(self, real):
        large = real.photo.repeat(8, 0).repeat(8, 1)
        picture = panels.image_row({"HR": large})
        kind, kept = shown(picture)
        assert kind == "image/jpeg"
        assert np.abs(kept.astype(int) - picture.pixels).mean() < 3

    def test_a_part_of_each_is_enlarged_below(self, real):
        """The part of LR is the same ground; a frame shows where it lies."""
        lr = imresize(real.photo, 0.5)
        picture = panels.image_row({"HR": real.photo, "LR": lr}, box=(10, 20, 30, 40))
        height, below = round(416 * 96 / 120), round(416 * 30 / 40)
        assert picture.pixels.shape == (20 + height + 8 + below, 840, 3)
        for image, box, left in ((real.photo, (10, 20, 30, 40), 0), (to_uint8(lr), (5, 10, 15, 20), 424)):
            top, first, rows, cols = box
            part = Image.fromarray(image[top : top + rows, first : first + cols])
            wanted = part.resize((416, below), Image.Resampling.NEAREST)
            np.testing.assert_array_equal(picture.pixels[-below:, left : left + 416], np.asarray(wanted))
            whole = picture.pixels[20 : 20 + height, left : left + 416]
            rows, cols = np.nonzero((whole == [0xD5, 0x5E, 0x00]).all(-1))
            frame = np.array([rows.min(), cols.min(), rows.max(), cols.max()]) / 416 * 120
            np.testing.assert_allclose(frame, (10, 20, 40, 60), atol=1)

    def test_rows_and_titles(self, real):
        """Five images in three columns; a long title is wrapped to its column, and takes the row's height."""
        images = {str(i): imresize(real.grey / 255, 1 / i) for i in (1, 2, 3, 4)}
        picture = panels.image_row(
            {**images, "a title that is much too long to stand above a column": real.grey}, columns=3
        )
        side, height = 274, round(274 * 90 / 101)
        assert picture.pixels.shape == (2 * height + 20 + 36 + 8, 3 * 282 - 8)
        band = picture.pixels[20 + height + 8 :][:36, side + 8 : 2 * side + 8]
        assert (band[:18] < 128).any()
        assert (band[18:] < 128).any()
        assert (picture.pixels[20 + height + 8 :][:36, 2 * side + 16 :] == 255).all()

    def test_gallery(self, real):
        picture = panels.gallery({"colour": real.photo, "grey": real.grey, "tall": real.grey.T}, columns=2)
        assert picture.caption == "Images: colour 120x96; grey 101x90; tall 90x101."
        height = round(416 * 90 / 101)
        assert picture.pixels.shape == (36 + height + 8 + 36 + 416, 840, 3)
        assert shown(picture)[0] == "image/jpeg"

    def test_stored_figure(self):
        picture = stored_figure("figures_6_7", "Two pictures")
        kind, kept = shown(picture)
        assert kind == "image/jpeg"
        assert kept.shape[1] == picture.pixels.shape[1]


def test_mosaics_need_no_matplotlib():
    """The command line writes them in a base installation."""
    script = "import sys, vdsrlib.inference.mosaic; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_most_detailed_crop(grey_photo):
    smooth = np.full((60, 70), 0.5)
    smooth[30:45, 20:35] = grey_photo[:15, :15] / 255
    smooth[30:45:2, 20:35] = 1
    top, left, height, width = most_detailed_crop(smooth, 20)
    assert (height, width) == (20, 20)
    assert 25 <= top <= 30
    assert 15 <= left <= 20
    colour = most_detailed_crop(np.stack([smooth] * 3, axis=-1), 20)
    assert colour == (top, left, height, width)


class TestPictures:
    def test_png_and_page(self, real):
        """The widgets' PNG has the very pixels; the page has the caption too, and as alternative text."""
        for picture in (
            layer_view(real.layers[1], 5, real.ilr),
            panels.split_view({"HR": real.photo}, "HR", "HR"),
        ):
            wanted = np.broadcast_to(np.atleast_3d(picture.pixels), (*picture.pixels.shape[:2], 3))
            np.testing.assert_array_equal(pixels(picture.png()), wanted)
            kind, page = shown(picture)
            assert kind == "image/png"
            band = len(page) - len(picture.pixels)
            assert (page[:band] < 128).any()
            assert np.abs(page[band:].astype(int) - wanted).mean() < 5

    def test_layer_walk(self, real):
        """The input, four maps of each layer that there is, the residual, and SR; all under their names."""
        walk = layer_walk(real.survey, real.ilr, [1, 3, 19], "a walk", side=120)
        names = ["ILR, the input", "relu.1: four of 6 maps", "relu.3: four of 6 maps", "conv.4: the residual"]
        assert walk.markup.count("<img ") == 5
        assert all(f"{name}: a walk" in walk.markup for name in [*names, "SR = ILR + residual"])
        assert repr(walk) == "a walk"

    def test_layer_view(self, real):
        """Input, mosaic, and the map: the third panel is that map, and the frame is around it."""
        layer = real.layers[2]
        seen = [layer_view(layer, index, real.ilr, side=120).pixels for index in range(6)]
        for index, view in enumerate(seen):
            assert view.shape == (96, 3 * 120 + 16, 3)
            np.testing.assert_array_equal(view[:, :120, 0], to_uint8(real.ilr))
            np.testing.assert_array_equal(view[:, 256:, 0], grey(layer)[index])
            framed = (view[:, 128:248] == np.array([0xD5, 0x5E, 0x00])).all(-1)
            rows, cols = np.nonzero(framed)
            assert (rows.mean() // 32, cols.mean() // 40) == (index // 3, index % 3)
        with pytest.raises(InputError, match="has no map 7; it has 6"):
            layer_view(layer, 6, real.ilr)

    def test_split_view(self, real):
        images = {"HR": real.photo, "ILR": real.upscaled.ilr}
        view = panels.split_view(images, "HR", "ILR", 0.25, side=120).pixels
        np.testing.assert_array_equal(view[:, :29], real.photo[:, :29])
        np.testing.assert_array_equal(view[:, 32:], to_uint8(real.upscaled.ilr)[:, 32:])
        assert (view[:, 30] == np.array([0xD5, 0x5E, 0x00])).all()

    @pytest.mark.parametrize(
        ("centre", "top", "left"),
        [((0.5, 0.5), 24, 30), ((0, 0), 0, 0), ((1, 1), 48, 60), ((0.4, 0.9), 14, 60)],
    )
    def test_split_view_zoom(self, real, centre, top, left):
        view = panels.split_view({"HR": real.photo}, "HR", "HR", 0, 2, centre, side=120).pixels
        wanted = real.photo[top : top + 48, left : left + 60].repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(view[:, 4:], wanted[:, 4:])

    def test_split_view_sizes_differ(self, real):
        with pytest.raises(InputError, match="120 x 96 and 60 x 48 pixels; compare images of one size"):
            panels.split_view({"HR": real.photo, "LR": real.upscaled.lr}, "HR", "LR")

    def test_scale_view(self, real):
        found = real.upscaled
        view = panels.scale_view(found, 2.0, side=120)
        np.testing.assert_array_equal(view.pixels[:, :120], to_uint8(found.lr).repeat(2, 0).repeat(2, 1))
        np.testing.assert_array_equal(view.pixels[:, 256:376], to_uint8(found.sr))
        assert "LR (60 x 48 pixels)" in view.caption
        before, after = found.interpolation_score.psnr, found.network_score.psnr
        assert f"ILR, PSNR {before:.2f} dB; SR, {after:.2f} dB" in view.caption
        with pytest.raises(InputError, match="no ground truth"):
            panels.scale_view(upscale_stages(as_net(real.model), real.photo, 2), 2.0)


def test_alternative_texts_in_notebooks():
    """As IPython shows figures and pictures; ``tests/test_book.py`` finds them on the pages of the book."""
    from IPython.core.formatters import DisplayFormatter
    from IPython.core.pylabtools import select_figure_formats

    curves = {"a": (range(3), [1, 2, 3]), "b": (range(3), [3, 1, 2])}
    image, photograph = np.zeros((9, 9), np.uint8), np.zeros((900, 900), np.uint8)
    shown = {
        "Chart. Two curves: dB over step: a, b.": charts.line_plot(curves, "step", "dB", title="Two curves"),
        "Images: HR; LR.": panels.image_row({"HR": image, "LR": image}, (2, 2, 4, 4)),
        "Images: a photograph.": panels.image_row({"a photograph": photograph}),
        'A "black" square.': CaptionedImage(image, 'A "black" square.'),
    }
    formatter = DisplayFormatter()
    select_figure_formats(types.SimpleNamespace(display_formatter=formatter), ["png"])
    for text, picture in shown.items():
        data, metadata = formatter.format(picture)
        assert data["text/plain"] == text
        assert [options["alt"] for options in metadata.values()] == [text]
