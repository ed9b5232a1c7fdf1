"""The widget of chapter 7: upload or choose an image, choose a scale, compare, download."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import ipywidgets
import numpy as np

from vdsrlib import figures
from vdsrlib.files import InputError
from vdsrlib.images import to_float
from vdsrlib.model import VDSR
from vdsrlib.parameters import LARGEST_SCALE, parse_scale
from vdsrlib.picture import Picture, read_picture
from vdsrlib.protocol import Protocol
from vdsrlib.resize import imresize
from vdsrlib.resolve import Work, enlarge_file

LARGEST = 30_000_000  # pixels of a result; the page has to hold it


def comparison(picture: Picture, result: Picture) -> bytes:
    """Bicubic and network side by side, as PNG bytes: the same busy square of both."""
    sr = to_float(result.pixels)
    bicubic = np.clip(imresize(to_float(picture.pixels), shape=sr.shape[:2]), 0, 1)
    box = figures.busiest_box(sr, 160) if min(sr.shape[:2]) > 1 else None
    buffer = io.BytesIO()
    figures.image_row({"bicubic": bicubic, "network": sr}, box, columns=2).savefig(buffer, format="png")
    return buffer.getvalue()


def enlarger(model: VDSR, protocol: Protocol, examples: Sequence[Path], scale: float) -> ipywidgets.VBox:
    """Controls over ``resolve.enlarge_file``; nothing is computed before the button is pressed.

    Args:
        model: in evaluation mode.
        protocol: the one the weights were trained under.
        examples: images to choose from, beside one's own.
        scale: to begin with.
    """
    upload = ipywidgets.FileUpload(accept="image/*", description="your image")
    chosen = ipywidgets.Dropdown(options=[(path.name, path) for path in examples], description="or")
    factor = ipywidgets.BoundedFloatText(scale, min=1.1, max=LARGEST_SCALE, step=0.1, description="scale")
    button = ipywidgets.Button(description="Enlarge", button_style="primary")
    picture, message = ipywidgets.Image(format="png"), ipywidgets.HTML()

    def run(_: object = None) -> None:
        message.value, button.disabled = "Computing …", True
        try:
            with TemporaryDirectory() as folder:
                source = chosen.value
                if upload.value:
                    source = Path(folder) / Path(upload.value[-1]["name"]).name
                    source.write_bytes(upload.value[-1]["content"])
                target = Path(folder) / "result" / f"{source.stem}_x{factor.value:g}.png"
                work = Work(max_pixels=LARGEST)
                result = enlarge_file(model, source, target, parse_scale(factor.value), protocol, work)
                picture.value = comparison(read_picture(source), result)
                data = base64.b64encode(target.read_bytes()).decode()
            height, width = result.pixels.shape[:2]
            name = html.escape(target.name, quote=True)
            message.value = (
                f'{width} x {height} pixels: <a download="{name}" href="data:image/png;base64,{data}">'
                f"download {name}</a> {html.escape('; '.join(result.notes))}"
            )
        except InputError as error:
            message.value = html.escape(str(error))
        except Exception as error:  # a callback's traceback would vanish in the server's log
            message.value = f"This image cannot be enlarged: {html.escape(str(error))}"
        finally:
            button.disabled = False

    button.on_click(run)
    controls = ipywidgets.HBox([upload, chosen, factor, button])
    return ipywidgets.VBox([controls, message, picture])
