"""The drawing of chapter 0: how HR, LR, ILR and SR follow from each other."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from vdsrlib.imaging.colour import as_rgb, to_uint8
from vdsrlib.inference.upscale import Upscaled
from vdsrlib.viz.captioned import CaptionedImage, fit
from vdsrlib.viz.figures import DPI, make_figure
from vdsrlib.viz.palette import COLOURS

SIDE = 240  # pixels of HR, ILR and SR
SIZE = 760, 660  # of the drawing
LEFT, RIGHT, TOP, BOTTOM = 130, 610, 160, 505  # the centres of the four images


class _Arrow(NamedTuple):
    start: tuple[float, float]
    end: tuple[float, float]
    label: str
    at: tuple[float, float]
    style: str = "->"


def pipeline_drawing(stages: Upscaled, scale: float) -> CaptionedImage:
    """Draw HR, LR, ILR and SR in a circle, with what leads from one to the next on the arrows.

    LR is drawn smaller by the scale than the other three.

    Args:
        stages: from ``degrade_and_upscale``, as it has HR and the scores.
        scale: it was made with.
    """
    assert stages.hr is not None
    assert stages.interpolation_score is not None
    assert stages.network_score is not None
    figure, axes = make_figure(1, 1, SIZE[0] / DPI, SIZE[1] / DPI)
    axis = axes[0, 0]
    axis.set(xlim=(0, SIZE[0]), ylim=(SIZE[1], 0), aspect="equal")
    axis.axis("off")
    figure.set_layout_engine("none")
    axis.set_position((0, 0, 1, 1))  # a pixel of the drawing is one of the images
    small = max(24, round(SIDE / scale))
    before, after = stages.interpolation_score.psnr, stages.network_score.psnr
    _place(axis, stages.hr, (LEFT, TOP), SIDE, "HR, the original: $y$")
    _place(axis, stages.lr, (RIGHT, TOP), small, "LR")
    _place(axis, stages.ilr, (RIGHT, BOTTOM), SIDE, f"ILR: $x$   ({before:.2f} dB)")
    _place(axis, stages.sr, (LEFT, BOTTOM), SIDE, f"SR: $f(x) + x$   ({after:.2f} dB)")
    half, low, edge = SIDE / 2, BOTTOM - SIDE / 2 - 26, small / 2
    for arrow in (
        _Arrow((LEFT + half, TOP), (RIGHT - edge, TOP), f"degradation:\nsmaller by {scale:g}", (370, 130)),
        _Arrow((RIGHT, TOP + edge), (RIGHT, low), f"interpolation:\nlarger by {scale:g}", (682, 322)),
        _Arrow(
            (RIGHT - half, BOTTOM), (LEFT + half, BOTTOM), "the network adds\nthe residual $f(x)$", (370, 472)
        ),
        _Arrow((LEFT, low), (LEFT, TOP + half), "compare:\nPSNR, SSIM", (190, 318), "<->"),
    ):
        _draw(axis, arrow)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    caption = (
        f"Drawing. HR is made smaller by {scale:g} to LR, LR is interpolated to ILR, and the network adds "
        f"its residual, which gives SR. Compared with HR, ILR has {before:.2f} dB and SR {after:.2f} dB."
    )
    return CaptionedImage(pixels, caption, "photograph", titled=True)


def _place(axis: Axes, image: np.ndarray, centre: tuple[float, float], side: int, title: str) -> None:
    """Draw an image, its longer side ``side`` pixels, around its centre, with a title above it."""
    pixels = np.asarray(fit(as_rgb(to_uint8(image)), side))
    height, width = pixels.shape[:2]
    left, top = centre[0] - width / 2, centre[1] - height / 2
    axis.imshow(pixels, extent=(left, left + width, top + height, top), interpolation="nearest")
    axis.text(centre[0], top - 8, title, ha="center", va="bottom", fontsize=13)


def _draw(axis: Axes, arrow: _Arrow) -> None:
    style = {"arrowstyle": arrow.style, "color": COLOURS[1], "linewidth": 1.8, "shrinkA": 6, "shrinkB": 6}
    axis.annotate("", xy=arrow.end, xytext=arrow.start, arrowprops=style)
    axis.text(*arrow.at, arrow.label, ha="center", va="center", fontsize=12, color=COLOURS[1])
