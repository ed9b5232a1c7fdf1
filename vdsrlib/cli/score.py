"""``vdsr score``."""

import argparse
from pathlib import Path

from vdsrlib.cli.console import print_problem, print_result
from vdsrlib.cli.parser import Commands, Parser, with_message
from vdsrlib.cli.scores import check_csv, image_table, to_record, write_csv
from vdsrlib.utils.parsing import parse_scale


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "PSNR and SSIM of the images that any method made."
    commands.add_parser("score", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.protocol import PROTOCOLS

    parser.add_argument("sr", metavar="SR", help="an image, or a folder of images")
    parser.add_argument(
        "hr",
        metavar="HR",
        help="its ground truth; for a folder, another, or a set's name in VDSR_DATA; paired by name",
    )
    parser.add_argument("--scale", required=True, type=with_message(parse_scale), help="such as 4")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="paper", help="the rules; default: paper")
    parser.add_argument("--csv", metavar="FILE", help="write a row for each image")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Score images; print a table or a JSON object."""
    import pandas as pd

    from vdsrlib.evaluation.frames import COLUMNS
    from vdsrlib.evaluation.score import score
    from vdsrlib.protocol import Score
    from vdsrlib.utils.atomic import to_json
    from vdsrlib.utils.device import versions

    asked = {name: getattr(arguments, name) for name in ("sr", "hr", "scale", "protocol")}
    if arguments.csv:
        check_csv(arguments.csv)
    scores = score(**asked, skip_broken=True)
    if isinstance(scores, Score):
        row = (Path(arguments.sr).stem, arguments.scale, "sr", *scores, float("nan"))
        scores = pd.DataFrame([row], columns=COLUMNS)
        scores.attrs = {"failed": [], "notes": []}
    for sentence in (*scores.attrs["notes"], *scores.attrs["failed"]):
        print_problem(sentence)
    if arguments.csv:
        write_csv(arguments.csv, scores)
    if arguments.json:
        record = to_record(scores)
        del record["seconds"]
        print_result(to_json({**asked, "versions": versions(), **record}))
    else:
        print_result(f"{arguments.protocol} protocol, x{arguments.scale:g}")
        print_result(image_table(scores))
    return 1 if scores.attrs["failed"] else 0
