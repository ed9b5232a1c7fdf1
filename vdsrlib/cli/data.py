"""``vdsr data``: get image sets, verify them, and make their manifest."""

import argparse
from functools import partial

from vdsrlib.cli.parser import Commands, Parser
from vdsrlib.utils.extras import need

ACTIONS = {
    "get": ("fetch", "Fetch image sets, and prove them by their pixels."),
    "verify": ("verify", "Say which image sets a folder holds, and what is wrong with a copy."),
    "manifest": ("manifest", "Make the manifest of the image sets anew, from the right copies."),
}
"""What there is to do, the module of ``vdsrlib.datasets`` that does it, and a sentence on it."""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Get and verify the image sets."
    parser = commands.add_parser("data", help=text, description=text)
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser)
    for name, (module, text) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text, options=partial(_add_options, module))
        action.set_defaults(run=partial(_run, module))


def _add_options(module: str, parser: Parser) -> None:
    need(f"vdsrlib.datasets.{module}", "data").add_arguments(parser)


def _run(module: str, arguments: argparse.Namespace) -> int:
    return need(f"vdsrlib.datasets.{module}", "data").run(arguments)
