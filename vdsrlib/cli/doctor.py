"""``vdsr doctor``."""

import argparse

from vdsrlib.cli.console import print_result
from vdsrlib.cli.parser import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Check versions, device, data and weights."
    commands.add_parser("doctor", help=text, description=text).set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print a line for each thing that the project needs here; the status is 1 where one fails."""
    from vdsrlib.cli.checks import check_machine

    report = check_machine()
    for passed, sentence in report:
        print_result(f"{'OK  ' if passed else 'FAIL'} {sentence}")
    return 0 if all(passed for passed, _ in report) else 1
