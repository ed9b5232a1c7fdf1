"""Other methods than the network of this library: any Python function, or any ONNX file."""

import importlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.imaging.arrays import as_image
from vdsrlib.imaging.colour import as_rgb, merge_luma, split_luma, to_float, to_uint8
from vdsrlib.imaging.crops import paired_size
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.inference.backends import onnx_session
from vdsrlib.protocol import Protocol
from vdsrlib.utils.forks import PerProcess
from vdsrlib.utils.paths import user_path

Method = Callable[[np.ndarray, float], np.ndarray]
"""From LR, uint8 H x W x 3, and the scale, to SR: H x W or H x W x 3, of ceil(side * scale) pixels a side."""


def load_method(name: str) -> Method:
    """Load a method by its name.

    Args:
        name: "package.module:function", or the name of an ONNX file.

    Raises:
        InputError: there is no such module, function or file.

    >>> load_method("vdsrlib:imresize")(np.zeros((10, 12), np.uint8), 2).shape
    (20, 24)
    """
    if name.lower().endswith(".onnx"):
        return OnnxMethod(user_path(name))
    module, colon, function = name.partition(":")
    if not colon:
        raise InputError(f"a method must be package.module:function or FILE.onnx, got {name!r}")
    if "" not in sys.path:  # the command vdsr does not look into the current folder, unlike python -m
        sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{name} cannot be imported ({error})") from error


def enlarge(
    method: Method, image: np.ndarray, scale: float, rules: Protocol, lr: np.ndarray | None = None
) -> np.ndarray:
    """Degrade HR as a method's users would have it: in RGB, rounded to 8 bits; and enlarge that with it.

    Args:
        method: makes SR.
        image: HR, uint8.
        scale: between LR and HR.
        rules: give the crop and the degradation.
        lr: the image's own LR, uint8, which is not degraded then.

    Raises:
        InputError: LR does not fit the image, see ``paired_size``.
    """
    if lr is not None:
        paired_size(image, lr, scale)
        return as_image(method(as_rgb(lr), scale))
    height, width = rules.ground_truth(image, scale).shape[:2]
    hr = to_float(as_rgb(image[:height, :width]))
    return as_image(method(to_uint8(rules.degrade(hr, scale)[0]), scale))


class OnnxMethod:
    """A network in an ONNX file.

    Its input and output are N x C x H x W, float32, of luma (1 channel) or RGB. It may take LR, or ILR and
    leave the size as it is, which a first call finds out. Values are in [0, 1], or in the range that the
    file's metadata name, as ``vdsr export`` writes them.

    Args:
        path: the file.

    Raises:
        InputError: onnxruntime is not installed, or it cannot read the file, or the input is another one.
    """

    def __init__(self, path: Path) -> None:
        self.session = PerProcess(lambda: onnx_session(str(path)))
        try:
            session = self.session()
        except InputError:  # onnxruntime is not installed
            raise
        except Exception as error:  # the runtime has errors of its own
            raise InputError(f"{path} cannot be read as ONNX ({error})") from error
        self.path = path
        (source, *others), known = session.get_inputs(), session.get_modelmeta().custom_metadata_map
        self.channels = source.shape[1] if len(source.shape) == 4 else None
        if others or self.channels not in (1, 3):
            raise InputError(f"{path} must have one input, N x C x H x W with C = 1 or 3, got {source.shape}")
        self.name = source.name
        self.low, self.high = json.loads(known.get("input_range", "[0, 1]"))
        self.up = DEGRADATIONS[json.loads(known.get("interpolation", '"bicubic"'))]
        self.factor = self._run(np.full((24, 24, self.channels), 0.5)).shape[0] / 24

    def __call__(self, lr: np.ndarray, scale: float) -> np.ndarray:
        """Enlarge a uint8 RGB image; return floating RGB. Of luma alone, chroma is interpolated."""
        if self.factor not in (1, scale):
            raise InputError(f"{self.path} enlarges {self.factor:g} times, got scale {scale:g}")
        if self.channels == 3:
            rgb = to_float(lr)
            return self._run(self._interpolate(rgb, scale) if self.factor == 1 else rgb)
        y, chroma = split_luma(lr)
        planes = (self._interpolate(y, scale) if self.factor == 1 else y)[..., None]
        return merge_luma(self._run(planes)[..., 0], self._interpolate(chroma, scale))

    def _interpolate(self, planes: np.ndarray, scale: float) -> np.ndarray:
        return self.up.interpolate(planes, *(math.ceil(side * scale - 1e-9) for side in planes.shape[:2]))

    def _run(self, planes: np.ndarray) -> np.ndarray:
        batch = (planes * (self.high - self.low) + self.low).transpose(2, 0, 1)[None].astype(np.float32)
        (out, *_) = self.session().run(None, {self.name: batch})
        return (out[0].transpose(1, 2, 0) - self.low) / (self.high - self.low)
