"""The widget of chapter 7: upload or choose an image, choose a scale, compare, download."""

import base64
import html
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import ipywidgets
import numpy as np

from vdsrlib.imaging.colour import to_float
from vdsrlib.imaging.crops import most_detailed_crop
from vdsrlib.imaging.image_file import Picture, read_picture
from vdsrlib.imaging.resize import imresize
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.upscale import upscale_file
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.utils.parsing import LARGEST_SCALE
from vdsrlib.viz import panels
from vdsrlib.viz.widgets import STATIC, sentence, shown_as_it_is

LARGEST = 30_000_000  # pixels of a result; the page has to hold it


def bicubic_comparison(picture: Picture, result: Picture) -> bytes:
    """Show bicubic and network side by side, and the same detailed square of both; as PNG bytes."""
    sr = to_float(result.pixels)
    bicubic = np.clip(imresize(to_float(picture.pixels), shape=sr.shape[:2]), 0, 1)
    box = most_detailed_crop(sr, 160) if min(sr.shape[:2]) > 1 else None
    return panels.image_row({"bicubic": bicubic, "network": sr}, box, columns=2).png()


class Upscaler(ipywidgets.VBox):
    """Controls over ``upscale_file``; nothing is computed before the button is pressed.

    Args:
        net: from ``vdsrlib.load``.
        examples: images to choose from, beside one's own.
        scale: to begin with.
    """

    def __init__(self, net: Checkpoint, examples: Sequence[Path], scale: float) -> None:
        self.net = net
        self.upload = ipywidgets.FileUpload(
            accept="image/*", description="your image", tooltip="An image file below 10 MB"
        )
        self.chosen = ipywidgets.Dropdown(options=[(path.name, path) for path in examples], description="or")
        self.scale = ipywidgets.BoundedFloatText(
            scale, min=1.1, max=LARGEST_SCALE, step=0.1, description="scale (×)"
        )
        self.button = ipywidgets.Button(description="Enlarge", button_style="primary")
        self.message, self.picture = ipywidgets.HTML(), shown_as_it_is()
        self.chosen.observe(self._forget, "value")
        self.button.on_click(self.run)
        controls = ipywidgets.HBox(
            [self.upload, self.chosen, self.scale, self.button], layout={"flex_flow": "row wrap"}
        )
        super().__init__([controls, self.message, self.picture])

    def _forget(self, _: object) -> None:
        """What was chosen last counts."""
        self.upload.value = ()

    def run(self, _: object = None) -> None:
        """Enlarge, compare, and offer the result; an error becomes a sentence, and what was there stays."""
        self.message.value, self.button.disabled = "Computing …", True
        with TemporaryDirectory() as folder:
            try:
                self.message.value = self._enlarged(Path(folder))
            except Exception as error:  # a callback's traceback would vanish in the server's log
                what = sentence("This image cannot be enlarged", error)
                self.message.value = what.replace(f"{folder}{os.sep}", "")
            finally:
                self.button.disabled = False

    def _enlarged(self, folder: Path) -> str:
        """Show the comparison; the link to the result."""
        source = self.chosen.value
        if self.upload.value:
            source = folder / Path(self.upload.value[-1]["name"]).name
            source.write_bytes(self.upload.value[-1]["content"])
        target = folder / "result" / f"{source.stem}_x{self.scale.value:g}.png"
        options = InferenceOptions(max_pixels=LARGEST)
        result = upscale_file(self.net, source, target, self.scale.value, options=options)
        self.picture.value = bicubic_comparison(read_picture(source), result)
        data = base64.b64encode(target.read_bytes()).decode()
        height, width = result.pixels.shape[:2]
        name = html.escape(target.name, quote=True)
        link = f'<a download="{name}" href="data:image/png;base64,{data}">download {name}</a>'
        return f"{width} x {height} pixels: {link} {html.escape('; '.join(result.notes))}"

    def __repr__(self) -> str:
        return STATIC
