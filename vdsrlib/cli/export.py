"""``vdsr export``."""

import argparse

from vdsrlib.cli.console import print_result
from vdsrlib.cli.parser import Commands, Parser, add_device, add_weights


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Write the network as an ONNX file."
    commands.add_parser("export", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    add_device(parser)
    add_weights(parser)
    parser.add_argument("output", metavar="OUT.onnx")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")


def run(arguments: argparse.Namespace) -> int:
    """Write the ONNX file."""
    from vdsrlib.inference.onnx import export_onnx
    from vdsrlib.models import checkpoint
    from vdsrlib.utils.atomic import check_overwrite
    from vdsrlib.utils.device import choose_device

    check_overwrite(arguments.output, arguments.force)
    loaded = checkpoint.load(arguments.weights, choose_device(arguments.device))
    export_onnx(arguments.output, loaded, replace=arguments.force)
    print_result(f"{arguments.output}: {loaded.summary()}")
    return 0
