"""``vdsr evaluate``."""

import argparse
import itertools
from typing import TYPE_CHECKING

from vdsrlib.cli.console import print_problem, print_result
from vdsrlib.cli.parser import Commands, Parser, add_device, add_weights, with_message
from vdsrlib.cli.scores import check_csv, image_table, mean_table, to_record, write_csv
from vdsrlib.errors import InputError
from vdsrlib.utils.parsing import parse_scales

if TYPE_CHECKING:
    import pandas as pd

    from vdsrlib.evaluation.methods import Method
    from vdsrlib.models.checkpoint import Checkpoint
    from vdsrlib.utils.distributed import World


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "PSNR and SSIM of a network and of interpolation on sets of HR images."
    commands.add_parser("evaluate", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.protocol import PROTOCOLS

    add_device(parser)
    network = parser.add_mutually_exclusive_group()
    add_weights(network)
    network.add_argument(
        "--network",
        metavar="NAME",
        help="another method: FILE.onnx, or package.module:function",
    )
    parser.add_argument("images", nargs="+", metavar="SET", help="a folder, or a set's name in VDSR_DATA")
    parser.add_argument("--scales", required=True, type=with_message(parse_scales), help="such as 3 or 2_3_4")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: the weights' own")
    parser.add_argument(
        "--ensemble", action="store_true", help="mean over eight orientations, 8 times the work"
    )
    parser.add_argument(
        "--lr", metavar="DIR", help="score these LR images, paired by name, instead of degraded HR"
    )
    parser.add_argument("--cache", metavar="DIR", help="keep scores there; a killed run goes on from them")
    parser.add_argument("--csv", metavar="FILE", help="write a row for each image, scale and method")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each set and scale")


def run(arguments: argparse.Namespace) -> int:
    """Score a network on sets; print a table, or a JSON object for each set and scale."""
    import pandas as pd

    from vdsrlib.datasets.catalog import image_set
    from vdsrlib.evaluation.frames import COLUMNS
    from vdsrlib.models.checkpoint import Checkpoint
    from vdsrlib.utils.atomic import to_json
    from vdsrlib.utils.device import choose_device, device_name, versions
    from vdsrlib.utils.distributed import init_distributed

    for name in (*arguments.images, *filter(None, [arguments.lr])):
        image_set(name)  # refuses a wrong name before the long work
    if arguments.lr and (len(arguments.images) > 1 or len(arguments.scales) > 1):
        raise InputError("--lr is for one set of images at one scale; name one of each")
    if arguments.csv:
        check_csv(arguments.csv)
    with init_distributed(choose_device(arguments.device)) as world:
        net = _load(arguments, world)
        found, failed = _evaluate_sets(arguments, net, world)
    if not world.is_main:
        return 0
    notes = [note for scores in found.values() for note in scores.attrs["notes"]]
    for sentence in dict.fromkeys([*notes, *failed]):
        print_problem(sentence)
    table = pd.concat([scores.assign(set=name) for (name, _), scores in found.items()])
    if arguments.csv:
        write_csv(arguments.csv, table[["set", *COLUMNS]])
    if isinstance(net, Checkpoint):
        protocol, weights, summary = net.protocol.name, net.record(), net.summary()
    else:
        protocol, weights, summary = "paper", {"network": arguments.network}, arguments.network
    protocol = arguments.protocol or protocol
    asked = {"protocol": protocol, "ensemble": arguments.ensemble, "weights": weights}
    machine = {"device": device_name(world.device), "versions": versions()}
    if arguments.json:
        for (name, scale), scores in found.items():
            record = {"data": name, "scale": scale, **asked, **machine, **to_record(scores)}
            print_result(to_json(record))
    else:
        one = f", x{arguments.scales[0]:g}" if len(found) == 1 else ""
        print_result(f"{protocol} protocol{one}, {summary}")
        print_result(image_table(table) if len(found) == 1 else mean_table(table))
    return 1 if failed else 0


def _load(arguments: argparse.Namespace, world: "World") -> "Checkpoint | Method":
    """Load the network that is asked for."""
    from vdsrlib.evaluation.methods import load_method
    from vdsrlib.models import checkpoint

    if not arguments.network:
        return checkpoint.load(arguments.weights, world.device)
    if arguments.ensemble:
        raise InputError("--ensemble is for the weights of this project, got --network")
    return load_method(arguments.network)


def _evaluate_sets(
    arguments: argparse.Namespace, net: "Checkpoint | Method", world: "World"
) -> tuple[dict[tuple[str, float], "pd.DataFrame"], list[str]]:
    """Score each set at each scale; return the scores, and a sentence for everything that was left out."""
    from vdsrlib.errors import WriteError
    from vdsrlib.evaluation.evaluate import evaluate
    from vdsrlib.inference.predict import predict, self_ensemble

    options = {"protocol": arguments.protocol, "cache": arguments.cache, "world": world, "skip_broken": True}
    options["lr"] = arguments.lr
    how = self_ensemble if arguments.ensemble else predict
    found, failed = {}, []
    for name, scale in itertools.product(arguments.images, arguments.scales):
        try:
            found[name, scale] = evaluate(net, name, scale, predict=how, **options)
            failed += found[name, scale].attrs["failed"]
        except WriteError:  # of the cache, which the other sets need, too
            raise
        except InputError as error:
            failed.append(str(error))
    if not found:
        raise InputError(" ".join(dict.fromkeys(failed)))
    return found, failed
