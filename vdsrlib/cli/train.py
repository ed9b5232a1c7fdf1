"""``vdsr train``."""

import argparse

from vdsrlib.cli.console import is_main_process, print_result
from vdsrlib.cli.parser import Commands, Parser, add_device, with_message
from vdsrlib.utils.parsing import parse_rescale_factors, parse_scales

CHANGES = (
    "protocol",
    "scales",
    "patch_size",
    "rescale_factors",
    "hard_mining_candidates",
    "batch_size",
    "depth",
    "width",
    "residual",
    "learning_rate",
    "bias_lr_factor",
    "reinitialise_every",
    "decay_steps",
    "decay_factor",
    "steps",
    "optimizer",
    "clip",
    "clip_theta",
    "loss",
    "precision",
    "seed",
)


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Train a network; run again, it goes on where it was."
    commands.add_parser("train", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.protocol import PROTOCOLS
    from vdsrlib.training.recipes import RECIPES

    add_device(parser)
    parser.add_argument("--recipe", default="demo", help=f"{', '.join(RECIPES)}")
    parser.add_argument("--data-path", help="folder of images, or of T91 and BSD200, or a set such as CID22")
    parser.add_argument("--ckpt-path", default="runs/train/checkpoints")
    parser.add_argument("--logs-path", default="runs/train/logs")
    parser.add_argument("--validation-set", default="Set5")
    parser.add_argument("--validate-every", type=int, default=500, metavar="STEPS")
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS")
    parser.add_argument("--init", metavar="WEIGHTS", help="begin with these weights, not with random ones")
    parser.add_argument("--store", metavar="DIR", help="prepare pixels there, for sets larger than memory")
    parser.add_argument("--skip-broken", action="store_true", help="leave out images that cannot be read")
    fields = parser.add_argument_group("changes to the recipe")
    fields.add_argument("--protocol", choices=PROTOCOLS, help="colour, degradation and range")
    fields.add_argument("--scales", type=with_message(parse_scales), help="such as 2_3_4")
    fields.add_argument("--patch-size", type=int)
    fields.add_argument(
        "--rescale-factors",
        type=with_message(parse_rescale_factors),
        help="sizes of every image, such as 1_0.7_0.5",
    )
    fields.add_argument(
        "--hard-mining-candidates", type=int, help="patches drawn for every one used, the hardest"
    )
    fields.add_argument("--batch-size", type=int)
    fields.add_argument("--depth", type=int)
    fields.add_argument("--width", type=int)
    fields.add_argument("--residual", action=argparse.BooleanOptionalAction, help="add ILR to the output")
    fields.add_argument("--learning-rate", type=float)
    fields.add_argument("--bias-lr-factor", type=float, help="factor on the learning rate for the biases")
    fields.add_argument("--reinitialise-every", type=int, help="steps between revivals of dead maps; 0: none")
    fields.add_argument("--decay-steps", type=int, help="0: cosine")
    fields.add_argument("--decay-factor", type=float)
    fields.add_argument("--steps", type=int)
    fields.add_argument("--optimizer", help="sgd, adam or muon")
    fields.add_argument("--clip", help="none, value or norm")
    fields.add_argument("--clip-theta", type=float)
    fields.add_argument("--loss", help="sse, mse or l1")
    fields.add_argument("--precision", help="float32, bfloat16 or auto")
    fields.add_argument("--seed", type=int)


def run(arguments: argparse.Namespace) -> int:
    """Train, and print where the weights are."""
    from vdsrlib.training import trainer
    from vdsrlib.training.recipes import get_recipe

    done = trainer.train(
        get_recipe(arguments.recipe, **{name: getattr(arguments, name) for name in CHANGES}),
        arguments.ckpt_path,
        arguments.logs_path,
        data_path=arguments.data_path,
        validation_set=arguments.validation_set,
        validate_every=arguments.validate_every,
        save_every=arguments.save_every,
        init=arguments.init,
        store=arguments.store,
        skip_broken=arguments.skip_broken,
        device=arguments.device,
    )
    if is_main_process():
        print_result(f"Weights: {done.weights}")
    return 0
