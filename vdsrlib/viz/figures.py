"""Matplotlib figures as all charts begin."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

DPI = 80
WIDTH = 10.5  # inches, of a full row


class Described(Figure):
    """A figure with an alternative text in notebooks: all that is written on it but the numbers at ticks."""

    def __repr__(self) -> str:
        panels = [self.get_suptitle()]
        for axis in self.axes:
            axes = " over ".join(filter(None, (axis.get_ylabel(), axis.get_xlabel())))
            legend = axis.get_legend()
            ticks = [text for text in axis.get_yticklabels() if text.get_text()[:1].isalpha()]
            names = _texts([*ticks, *(legend.get_texts() if legend else [])])
            panels.append(": ".join(filter(None, (axis.get_title(), axes, names))))
        panels += [_texts(legend.get_texts()) for legend in self.legends]
        kind = "Images" if any(axis.images for axis in self.axes) else "Chart"
        written = "; ".join(filter(None, panels)) or "Without labels"
        return f"{kind}. {' '.join(written.split())}."

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        return {"text/plain": repr(self)}, {"image/png": {"alt": repr(self)}}  # IPython draws the PNG itself


class PaletteCanvas(FigureCanvasAgg):
    """A canvas that writes PNG in 128 colours: a third as large, with no difference that one can see."""

    def print_png(self, filename_or_obj: Any, **_: Any) -> None:
        """Write the figure; matplotlib passes on options that only its own canvases use."""
        self.draw()
        drawn = Image.fromarray(np.asarray(self.buffer_rgba())).convert("RGB")
        drawn.quantize(128, Image.Quantize.MAXCOVERAGE).save(filename_or_obj, "png", optimize=True)


def _texts(texts: Sequence[Text]) -> str:
    return ", ".join(text.get_text() for text in texts)


def make_figure(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Make a figure and its axes in a 2-D array.

    Args:
        rows: of axes.
        columns: of axes.
        width: inches.
        height: inches.
        options: of ``pyplot.subplots``.

    Returns:
        The figure, which pyplot does not keep, so a notebook shows it once, where it is returned; the axes.
    """
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        dpi=DPI,
        squeeze=False,
        layout="constrained",
        FigureClass=Described,
        **options,
    )
    plt.close(figure)
    PaletteCanvas(figure)
    return figure, axes
