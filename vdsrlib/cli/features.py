"""``vdsr features``."""

import argparse
from typing import TYPE_CHECKING

from vdsrlib.cli.console import print_result
from vdsrlib.cli.parser import Commands, Parser, add_device, add_weights, with_message
from vdsrlib.utils.parsing import parse_scale

if TYPE_CHECKING:
    import numpy as np

    from vdsrlib.models.vdsr import VDSR
    from vdsrlib.protocol import Protocol


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Write the feature maps of every layer (Figure 2 of the replication)."
    commands.add_parser("features", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    add_device(parser)
    add_weights(parser)
    parser.add_argument("input", metavar="IMAGE")
    parser.add_argument("output", metavar="OUTDIR")
    parser.add_argument("--scale", required=True, type=with_message(parse_scale))
    parser.add_argument(
        "--force", action="store_true", help="use a folder that is not empty; replace files in it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write LR, SR and a mosaic of every layer's feature maps."""
    from vdsrlib.errors import explain_out_of_memory
    from vdsrlib.evaluation.ground_truth import degrade_and_upscale
    from vdsrlib.imaging.image_file import read_with_notes, save_image
    from vdsrlib.inference.features import activations, sr_from_last_layer, survey
    from vdsrlib.inference.mosaic import mosaic
    from vdsrlib.models import checkpoint
    from vdsrlib.utils.atomic import atomic_files
    from vdsrlib.utils.device import choose_device
    from vdsrlib.utils.paths import user_path

    folder, names = user_path(arguments.output), []
    image, notes = read_with_notes(arguments.input)
    loaded = checkpoint.load(arguments.weights, choose_device(arguments.device))
    more = explain_out_of_memory(arguments.input, "take a part of it")
    with atomic_files(folder, replace=arguments.force) as temporary, more:

        def draw(model: "VDSR", ilr: "np.ndarray", protocol: "Protocol") -> "np.ndarray":
            """Compute SR, and write a picture of every layer on the way to it."""
            # Full-size mosaics of a larger image would take gigabytes, so its maps are averaged down.
            pooled = survey(model, ilr, protocol) if ilr.size > 2**20 else None
            for layer in pooled.layers.values() if pooled else activations(model, ilr, protocol):
                save_image(temporary / f"{layer.name}.png", mosaic(layer))
                names.append(layer.name)
            return pooled.sr if pooled else sr_from_last_layer(model, ilr, layer.maps, protocol)

        upscaled = degrade_and_upscale(loaded, image, arguments.scale, apply=draw)
        save_image(temporary / "lr.png", upscaled.lr)
        save_image(temporary / "sr.png", upscaled.sr)
    print_result("; ".join([f"{folder}: lr, sr and {len(names)} layers", *notes]))
    return 0
