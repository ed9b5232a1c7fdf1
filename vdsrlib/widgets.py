"""Widgets for JupyterLab: thin faces of functions in ``figures``."""

import ipywidgets
import numpy as np

from vdsrlib import figures
from vdsrlib.features import activations
from vdsrlib.model import VDSR
from vdsrlib.protocol import Protocol


def layer_scrubber(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> ipywidgets.VBox:
    """A slider over the layers and one over a layer's maps; shows the map beside the input.

    Activations are computed once and kept as float16: 2.4 kB a pixel at the default depth and width.

    Args:
        model: in evaluation mode.
        ilr: the network's input, about [0, 1].
        protocol: gives the network's range.
    """
    layers = [
        layer._replace(maps=layer.maps.astype(np.float16)) for layer in activations(model, ilr, protocol)
    ]
    wide = ipywidgets.Layout(width="480px")
    layer = ipywidgets.SelectionSlider(
        options=[(each.name, i) for i, each in enumerate(layers)],
        description="layer",
        layout=wide,
    )
    chosen = ipywidgets.IntSlider(1, 1, len(layers[0].maps), description="map", layout=wide)
    picture = ipywidgets.Image(format="png")
    message = ipywidgets.HTML()

    def draw(_: object = None) -> None:
        try:
            now = layers[layer.value]
            chosen.max = len(now.maps)
            now = now._replace(maps=now.maps.astype(np.float32))
            picture.value = figures.to_png(figures.channel(now, chosen.value - 1, ilr))
            message.value = ""
        except Exception as error:  # a callback's traceback would vanish in the server's log
            message.value = f"This map cannot be shown: {error}"

    layer.observe(draw, "value")
    chosen.observe(draw, "value")
    draw()
    return ipywidgets.VBox([layer, chosen, message, picture])
