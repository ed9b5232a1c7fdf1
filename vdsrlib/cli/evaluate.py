"""``vdsr evaluate``."""

import argparse
from typing import TYPE_CHECKING, Any

from vdsrlib.cli.console import print_problem, print_result
from vdsrlib.cli.parser import Commands, Parser, add_device, add_weights, with_message
from vdsrlib.utils.parsing import parse_scale

if TYPE_CHECKING:
    import pandas as pd


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "PSNR and SSIM on a folder of HR images."
    commands.add_parser("evaluate", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.protocol import PROTOCOLS

    add_device(parser)
    add_weights(parser)
    parser.add_argument("--images", required=True, metavar="DIR", help="folder, or a set's name in VDSR_DATA")
    parser.add_argument("--scale", required=True, type=with_message(parse_scale))
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: the weights' own")
    parser.add_argument(
        "--ensemble", action="store_true", help="mean over eight orientations, 8 times the work"
    )
    parser.add_argument("--cache", metavar="DIR", help="keep scores there; a killed run goes on from them")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Score a network on a folder; print a table or a JSON object."""
    from vdsrlib.evaluation.evaluate import evaluate
    from vdsrlib.inference.predict import predict, self_ensemble
    from vdsrlib.models import checkpoint
    from vdsrlib.utils.atomic import to_json
    from vdsrlib.utils.device import choose_device, device_name, versions
    from vdsrlib.utils.distributed import init_distributed

    with init_distributed(choose_device(arguments.device)) as world:
        net = checkpoint.load(arguments.weights, world.device)
        scores = evaluate(
            net,
            arguments.images,
            arguments.scale,
            protocol=arguments.protocol,
            predict=self_ensemble if arguments.ensemble else predict,
            cache=arguments.cache,
            world=world,
            skip_broken=True,
        )
    if not world.is_main:
        return 0
    for sentence in (*scores.attrs["notes"], *scores.attrs["failed"]):
        print_problem(sentence)
    protocol = arguments.protocol or net.protocol.name
    if arguments.json:
        record = {
            "data": arguments.images,
            "scale": arguments.scale,
            "protocol": protocol,
            "ensemble": arguments.ensemble,
            "weights": net.record(),
            "device": device_name(world.device),
            "versions": versions(),
            **_nested(scores),
        }
        print_result(to_json(record))
    else:
        print_result(f"{protocol} protocol, x{arguments.scale:g}, {net.summary()}")
        print_result(_table(scores))
    return 1 if scores.attrs["failed"] else 0


def _nested(scores: "pd.DataFrame") -> dict[str, Any]:
    """Put the scores of an image together, as a program that reads JSON expects them."""
    from vdsrlib.evaluation.frames import mean_scores

    images: dict[str, dict[str, Any]] = {}
    for row in scores.itertuples():
        images.setdefault(row.image, {"name": row.image})[row.method] = {"psnr": row.psnr, "ssim": row.ssim}
    return {
        "images": list(images.values()),
        "mean": mean_scores(scores, ["method"]).to_dict("index"),
        **scores.attrs,
        "seconds": float(scores.seconds.sum(skipna=False)),
    }


def _table(scores: "pd.DataFrame") -> str:
    """Lay the scores out with a line for an image, and their means below."""
    from tabulate import tabulate

    from vdsrlib.evaluation.evaluate import METHODS

    found = _nested(scores)
    rows = [
        [row["name"], *(f"{row[m]['psnr']:.2f} / {row[m]['ssim']:.4f}" for m in METHODS)]
        for row in [*found["images"], {"name": f"mean of {len(found['images'])}", **found["mean"]}]
    ]
    return tabulate(rows, ["PSNR (dB) / SSIM", *METHODS], disable_numparse=True)
