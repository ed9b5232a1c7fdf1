"""Widgets for JupyterLab.

A widget draws with a plain function, which the chapters call first: a fault in it stops the chapter.
Within a callback, a traceback would vanish in the server's log, so the error becomes a sentence.
"""

import html
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from vdsrlib.datasets.catalog import EMBEDDED_TEST, EMBEDDED_TRAIN, embedded, list_images
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image
from vdsrlib.inference.features import Survey
from vdsrlib.viz import panels
from vdsrlib.viz.captioned import CaptionedImage
from vdsrlib.viz.layers import layer_view
from vdsrlib.viz.tables import Table

WIDE = {"width": "420px"}
STATIC = "(A widget: open this chapter in JupyterLab and run it.)"


class Panel(ipywidgets.VBox):
    """Controls above a caption and a picture, drawn anew when a control's value changes.

    Args:
        controls: rows of controls.
        draw: makes the picture of the controls' values. Where it fails at first, so does the cell; later
            its error is shown as a sentence, and the last picture stays.
    """

    def __init__(
        self, controls: Sequence[Sequence[ipywidgets.Widget]], draw: Callable[[], CaptionedImage]
    ) -> None:
        self.draw = draw
        self.caption = ipywidgets.HTML()
        self.message = ipywidgets.HTML()
        self.picture = shown_as_it_is()
        self.show()
        for row in controls:
            for control in row:
                control.observe(self.redraw, "value")
        super().__init__([*map(_row, controls), self.caption, self.message, self.picture])

    def show(self) -> None:
        """Draw; errors are the caller's."""
        picture = self.draw()
        self.picture.value = picture.png()
        self.caption.value = html.escape(picture.caption)
        self.message.value = ""

    def redraw(self, _: object = None) -> None:
        """Draw; an error becomes a sentence."""
        try:
            self.show()
        except Exception as error:
            self.message.value = sentence("This cannot be shown", error)

    def __repr__(self) -> str:
        return STATIC


def shown_as_it_is() -> ipywidgets.Image:
    """Make a place for a PNG, which would otherwise be stretched to the page's width."""
    return ipywidgets.Image(format="png", layout={"max_width": "100%", "align_self": "flex-start"})


def _row(controls: Sequence[ipywidgets.Widget]) -> ipywidgets.HBox:
    return ipywidgets.HBox(controls, layout={"flex_flow": "row wrap"})


def sentence(what: str, error: Exception) -> str:
    """Format an error as HTML that a screen reader reads out."""
    return f'<b role="alert">{what}: {html.escape(" ".join(str(error).split()) or repr(error))}</b>'


def layer_scrubber(survey: Survey, ilr: np.ndarray) -> Panel:
    """Show sliders over the layers and over a layer's maps, before or after the ReLU.

    Args:
        survey: of the image.
        ilr: the image, about [0, 1]: the network's input.
    """
    depth = (len(survey.layers) + 1) // 2
    number = ipywidgets.IntSlider(1, 1, depth, description="layer", layout=WIDE)
    kind = ipywidgets.ToggleButtons(options=["conv", "relu"], tooltips=["before the ReLU", "after it"])
    kind.style.button_width = "80px"
    chosen = ipywidgets.IntSlider(1, 1, len(survey.layers["conv.1"].maps), description="map", layout=WIDE)

    def draw() -> CaptionedImage:
        # The last convolution has no ReLU, and fewer maps.
        layer = survey.layers.get(f"{kind.value}.{number.value}", survey.layers[f"conv.{number.value}"])
        return layer_view(layer, min(chosen.value, len(layer.maps)) - 1, ilr)

    return Panel([[number, kind], [chosen]], draw)


def comparison_slider(images: Mapping[str, np.ndarray], left: str, right: str) -> Panel:
    """Show two images on one another, with a line to move between them, and a magnifier.

    Args:
        images: name -> image, as for ``panels.split_view``.
        left: name of the one that is to the left of the line at first.
        right: name of the other.
    """
    names = list(images)
    one = ipywidgets.ToggleButtons(options=names, value=left, description="left")
    two = ipywidgets.ToggleButtons(options=names, value=right, description="right")
    one.style.button_width = two.style.button_width = "80px"
    percent = {"min": 0, "max": 100, "value": 50, "layout": WIDE}
    divider = ipywidgets.IntSlider(description="line (%)", **percent)
    zoom = ipywidgets.FloatSlider(1, min=1, max=8, step=0.5, description="zoom (×)", layout=WIDE)
    across = ipywidgets.IntSlider(description="across (%)", **percent)
    down = ipywidgets.IntSlider(description="down (%)", **percent)

    def draw() -> CaptionedImage:
        centre = down.value / 100, across.value / 100
        return panels.split_view(images, one.value, two.value, divider.value / 100, zoom.value, centre)

    return Panel([[one, two], [divider, zoom], [across, down]], draw)


def scale_explorer(pictures: Mapping[float, CaptionedImage]) -> Panel:
    """Show a slider over scales.

    Args:
        pictures: scale -> picture, from ``panels.scale_view``; ascending.
    """
    options = [(f"{scale:.3g}", scale) for scale in pictures]
    scale = ipywidgets.SelectionSlider(options=options, description="scale (×)", layout=WIDE)
    return Panel([[scale]], lambda: pictures[scale.value])


class ImagePicker(ipywidgets.VBox):
    """An image of the bundled ones, of a folder, or uploaded; what is made of it stands below.

    Args:
        view: image (uint8) and a function that is given the share done (0 to 1) -> widget. It is called for
            the first bundled image at once.
    """

    def __init__(self, view: Callable[[np.ndarray, Callable[[float], None]], ipywidgets.Widget]) -> None:
        self.view = view
        bundled = [(path.stem, path) for path in embedded(EMBEDDED_TEST + EMBEDDED_TRAIN)]
        self.bundled = ipywidgets.Dropdown(options=bundled, description="bundled")
        self.folder = ipywidgets.Text(
            description="or a folder", placeholder="its path, then Enter", continuous_update=False
        )
        self.file = ipywidgets.Dropdown(description="image in it", disabled=True)
        self.upload = ipywidgets.FileUpload(
            accept="image/*", description="or upload", tooltip="An image file below 10 MB"
        )
        self.bar = _Bar("computing")
        self.bar.layout.visibility = "hidden"
        self.message = ipywidgets.HTML()
        self.place = ipywidgets.VBox([view(read_image(self.bundled.value), lambda _: None)])
        self.bundled.observe(lambda change: self.pick(lambda: read_image(change.new)), "value")
        self.folder.observe(self._list, "value")
        self.file.observe(self._open, "value")
        self.upload.observe(self._read, "value")
        rows = [[self.bundled, self.upload], [self.folder, self.file]]
        super().__init__([*map(_row, rows), self.bar, self.message, self.place])

    def pick(self, read: Callable[[], np.ndarray]) -> None:
        """Show what ``view`` makes of the image; an error becomes a sentence, and what was there stays."""
        self.bar.layout.visibility = "visible"
        try:
            new = self.view(read(), self.bar.step)
            for old in self.place.children:
                _close(old)
            self.place.children = [new]
            self.message.value = ""
        except Exception as error:
            self.message.value = sentence("This image cannot be shown", error)
        finally:
            self.bar.layout.visibility = "hidden"

    def _list(self, change: Mapping[str, str]) -> None:
        self.file.options, self.file.disabled = [], True
        try:
            paths = list_images(change["new"])
        except InputError as error:
            self.message.value = sentence("No folder is chosen", error)
            return
        self.file.disabled = False
        self.file.options = [(path.name, path) for path in paths]
        self.file.index = 0

    def _open(self, change: Mapping[str, Path | None]) -> None:
        path = change["new"]
        if path is not None:
            self.pick(lambda: read_image(path))

    def _read(self, change: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        if change["new"]:
            file = change["new"][0]
            self.pick(lambda: read_upload(file["name"], bytes(file["content"])))

    def __repr__(self) -> str:
        return STATIC


class SortedTable(ipywidgets.VBox):
    """A table, sorted by the column that is chosen.

    Args:
        frame: texts and numbers; numbers are shown with two decimals.
        by: the column to sort by at first.
    """

    def __init__(self, frame: pd.DataFrame, by: str) -> None:
        self.frame = frame
        self.by = ipywidgets.Dropdown(options=list(frame.columns), value=by, description="sort by")
        self.order = ipywidgets.ToggleButtons(options=["falling", "rising"], description="order")
        self.table = ipywidgets.HTML()
        for control in (self.by, self.order):
            control.observe(self.redraw, "value")
        self.redraw()
        super().__init__([_row([self.by, self.order]), self.table])

    def redraw(self, _: object = None) -> None:
        """Sort and show."""
        rows = self.frame.sort_values(self.by.value, ascending=self.order.value == "rising", kind="stable")
        self.table.value = Table(rows.reset_index(drop=True)).to_html()

    def __repr__(self) -> str:
        return STATIC


def read_upload(name: str, content: bytes) -> np.ndarray:
    """Decode an uploaded file as ``image_file.read_image`` does; its name is for the message alone.

    Raises:
        InputError: it is no image that can be decoded whole.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_bytes(content)
        try:
            return read_image(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from error


def _close(widget: ipywidgets.Widget) -> None:
    """Close a widget and all in it; ipywidgets keeps whatever is not closed."""
    for child in getattr(widget, "children", ()):
        _close(child)
    widget.close()


class _Bar(ipywidgets.FloatProgress):
    value: float

    def __init__(self, description: str) -> None:
        super().__init__(0.0, max=1.0, description=description)
        self.style.description_width = "initial"

    def step(self, share: float) -> None:
        """Move on in whole percents, as each move is a message to the browser."""
        if share >= 1 or not 0 <= share - self.value < 0.01:
            self.value = share
