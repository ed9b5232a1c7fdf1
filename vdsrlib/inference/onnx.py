"""Export the network as an ONNX file, for other runtimes and programs."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from vdsrlib.errors import InputError
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.utils.atomic import atomic
from vdsrlib.utils.extras import need

OPSET = 17  # ONNX 1.12 and ONNX Runtime 1.12, of 2022, and everything since


def to_onnx(model: VDSR, metadata: dict[str, Any] | None = None) -> bytes:
    """Convert the network into an ONNX model with one input, ``ilr``, and one output, ``sr``.

    Both are float32, N x C x H x W, and N, H and W may be anything. The values are in the range of the
    protocol that the weights were trained under: interpolation and colour stay outside.

    Args:
        model: its weights are written as they are.
        metadata: JSON values, kept in the file.

    Raises:
        InputError: the package onnx is not installed.
    """
    need("onnx", "fast")
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, weights, now = [], [], "ilr"
    for name, layer in model.layers():
        if isinstance(layer, nn.Conv2d):
            for part, values in layer.named_parameters():
                array = values.detach().float().cpu().contiguous().numpy()
                weights.append(numpy_helper.from_array(array, f"{name}.{part}"))
            inputs = [now, f"{name}.weight", f"{name}.bias"]
            nodes.append(helper.make_node("Conv", inputs, [name], name, pads=[1, 1, 1, 1]))
        else:
            nodes.append(helper.make_node("Relu", [now], [name], name))
        now = name
    last = ("Add", ["ilr", now]) if model.global_skip else ("Identity", [now])
    nodes.append(helper.make_node(*last, ["sr"], "sr"))
    convs = [layer for _, layer in model.layers() if isinstance(layer, nn.Conv2d)]
    source, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, "height", "width"])
        for name, channels in (("ilr", convs[0].in_channels), ("sr", convs[-1].out_channels))
    )
    graph = helper.make_graph(nodes, "VDSR", [source], [result], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="vdsrlib")
    made.ir_version = 8  # the one of that opset's time
    helper.set_model_props(made, {key: json.dumps(value) for key, value in (metadata or {}).items()})
    checker.check_model(made)
    return made.SerializeToString()


def export_onnx(path: str | Path, checkpoint: Checkpoint, *, replace: bool = True) -> None:
    """Write a checkpoint's network as an ONNX file, atomically.

    Its metadata are the checkpoint's own, and what a program must know to use it: the range of the values,
    the colour, and the interpolation that makes the input.

    Raises:
        InputError: the name does not end in .onnx, onnx is not installed, the place cannot be written, or
            there is such a file and it may not be replaced.
    """
    if Path(path).suffix.lower() != ".onnx":
        raise InputError(f"{path}: the name must end in .onnx.")
    protocol = checkpoint.protocol
    use = {
        "input_range": protocol.input_range,
        "colour": protocol.colour,
        "interpolation": protocol.degradation,
    }
    content = to_onnx(checkpoint.model, {**checkpoint.record(), **use})
    with atomic(path, replace=replace) as temporary:
        temporary.write_bytes(content)
