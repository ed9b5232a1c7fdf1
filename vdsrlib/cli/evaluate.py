"""``vdsr evaluate``."""

import argparse
import sys
from pathlib import Path

from vdsrlib.cli.console import print_problem, print_result
from vdsrlib.cli.parser import Commands, Parser, add_device, add_weights
from vdsrlib.utils.parsing import parse_scale


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "PSNR and SSIM on a folder of HR images."
    commands.add_parser("evaluate", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.protocol import PROTOCOLS

    add_device(parser)
    add_weights(parser)
    parser.add_argument("--images", required=True, metavar="DIR", help="folder, or a set's name in VDSR_DATA")
    parser.add_argument("--scale", required=True, type=parse_scale)
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: the weights' own")
    parser.add_argument(
        "--ensemble", action="store_true", help="mean over eight orientations, 8 times the work"
    )
    parser.add_argument("--cache", metavar="DIR", help="keep scores there; a killed run goes on from them")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Score a network on a folder; print a table or a JSON object."""
    from tabulate import tabulate
    from tqdm import tqdm

    from vdsrlib.datasets.catalog import image_set
    from vdsrlib.evaluation.cache import ScoreCache
    from vdsrlib.evaluation.evaluate import METHODS, evaluate
    from vdsrlib.inference.predict import predict, self_ensemble
    from vdsrlib.models import checkpoint
    from vdsrlib.protocol import get_protocol
    from vdsrlib.utils.atomic import to_json
    from vdsrlib.utils.device import choose_device, device_name, versions
    from vdsrlib.utils.distributed import init_distributed

    paths = image_set(arguments.images)
    with init_distributed(choose_device(arguments.device)) as world:
        loaded = checkpoint.load(arguments.weights, world.device)
        protocol = get_protocol(arguments.protocol or loaded.protocol)
        mine = len(paths[world.rank :: world.size])
        with tqdm(total=mine, disable=not (world.is_main and sys.stderr.isatty())) as bar:
            result = evaluate(
                loaded.model,
                protocol,
                paths,
                arguments.scale,
                predict=self_ensemble if arguments.ensemble else predict,
                cache=ScoreCache(Path(arguments.cache), loaded.hash) if arguments.cache else None,
                world=world,
                skip_broken=True,
                progress=lambda _: bar.update(),
            )
    if not world.is_main:
        return 0
    for sentence in (*result["notes"], *result["failed"]):
        print_problem(sentence)
    status = 1 if result["failed"] else 0
    if arguments.json:
        record = {
            "data": arguments.images,
            "scale": arguments.scale,
            "protocol": protocol.name,
            "ensemble": arguments.ensemble,
            "weights": loaded.record(),
            "device": device_name(world.device),
            "versions": versions(),
            **result,
        }
        print_result(to_json(record))
        return status
    print_result(f"{protocol.name} protocol, x{arguments.scale:g}, {loaded.summary()}")
    rows = [
        [row["name"], *(f"{row[m]['psnr']:.2f} / {row[m]['ssim']:.4f}" for m in METHODS)]
        for row in [*result["images"], {"name": f"mean of {len(result['images'])}", **result["mean"]}]
    ]
    print_result(tabulate(rows, ["PSNR (dB) / SSIM", *METHODS], disable_numparse=True))
    return status
