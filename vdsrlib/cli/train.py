"""``vdsr train``."""

import argparse
from typing import Any, Literal, get_args, get_origin

from vdsrlib.cli.console import is_main_process, print_result
from vdsrlib.cli.parser import Commands, Parser, add_device


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Train a network; run again, it goes on where it was."
    commands.add_parser("train", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.training.recipe import Recipe
    from vdsrlib.training.recipes import RECIPES

    add_device(parser)
    parser.add_argument(
        "--recipe",
        default="demo",
        help=f"{', '.join(RECIPES)}, a TOML file of fields, or the run.json of a run to train again",
    )
    parser.add_argument(
        "--data-path", help="folder of images, or of T91 and BSD200, or sets: T91+BSD200+CID22"
    )
    parser.add_argument(
        "--lr-path", help="folder of the images' own LR, paired by name, of one of the recipe's scales"
    )
    parser.add_argument("--ckpt-path", default="runs/train", help="folder for the weights and all else")
    parser.add_argument("--logs-path", help="folder for TensorBoard; default: logs in the other")
    parser.add_argument("--validation-set", default="Set5")
    parser.add_argument("--validate-every", type=int, default=500, metavar="STEPS")
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS")
    parser.add_argument("--init", metavar="WEIGHTS", help="begin with these weights, not with random ones")
    parser.add_argument("--store", metavar="DIR", help="prepare pixels there, for sets larger than memory")
    parser.add_argument("--skip-broken", action="store_true", help="leave out images that cannot be read")
    changes = parser.add_argument_group("changes to the recipe")
    for name, field in Recipe.model_fields.items():
        if name != "name":
            option = f"--{name.replace('_', '-')}"
            changes.add_argument(option, help=field.description, **_kind(field.annotation))


def _kind(annotation: Any) -> dict[str, Any]:
    """Choose how argparse reads a field: as a number, as a flag, or as text that the recipe reads itself."""
    if annotation is bool:
        return {"action": argparse.BooleanOptionalAction}
    kind = type(get_args(annotation)[0]) if get_origin(annotation) is Literal else annotation
    return {"type": kind} if kind in (int, float) else {}


def run(arguments: argparse.Namespace) -> int:
    """Train, and print where the weights are."""
    from vdsrlib.training.pairs import Pairs
    from vdsrlib.training.recipe import Recipe
    from vdsrlib.training.recipes import get_recipe
    from vdsrlib.training.trainer import Options, train
    from vdsrlib.training.validation import Validation

    changes = {name: getattr(arguments, name) for name in Recipe.model_fields if name != "name"}
    done = train(
        get_recipe(arguments.recipe, **changes),
        arguments.ckpt_path,
        Pairs(arguments.data_path, arguments.lr_path) if arguments.lr_path else arguments.data_path,
        validation=Validation(arguments.validation_set, arguments.validate_every),
        init=arguments.init,
        device=arguments.device,
        options=Options(
            save_every=arguments.save_every,
            logs_path=arguments.logs_path,
            store=arguments.store,
            skip_broken=arguments.skip_broken,
        ),
    )
    if is_main_process():
        print_result(f"Weights: {done.weights}")
    return 0
