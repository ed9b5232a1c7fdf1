"""``vdsr study``."""

import argparse

from vdsrlib.cli.console import is_main_process, print_problem, print_result
from vdsrlib.cli.parser import Commands, Parser, add_device

CHANGES = ("steps", "depth", "width", "patch_size", "batch_size")


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Rerun an experiment of the paper; torchrun shares its runs."
    commands.add_parser("study", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.studies.definitions import STUDIES

    add_device(parser)
    parser.add_argument("name", help=", ".join(STUDIES))
    parser.add_argument("--size", default="micro", help="micro (two cores) or full (the paper's; a GPU)")
    parser.add_argument("--values", help="what it varies, such as 5,8,11 or none,value:1e-4")
    parser.add_argument("--seeds", type=int, default=3, help="how often to repeat every run")
    parser.add_argument("--data-path", help="folder that holds T91 and the benchmarks, or of images")
    parser.add_argument("--validation-set", default="Set5")
    parser.add_argument("--validations", type=int, metavar="N", help="measurements of PSNR in a run")
    parser.add_argument("--runs-path", default="runs/studies", help="runs that are there are not done again")
    parser.add_argument("--skip-broken", action="store_true", help="leave out images that cannot be read")
    parser.add_argument("--out", metavar="FILE", help="write the results as JSON")
    fields = parser.add_argument_group("changes to what all its runs share")
    for name in CHANGES:
        fields.add_argument(f"--{name.replace('_', '-')}", type=int)


def run(arguments: argparse.Namespace) -> int:
    """Run the study; print its scores and its verdict."""
    from vdsrlib.records import write_record
    from vdsrlib.studies import definitions, results, runner
    from vdsrlib.studies.images import study_images
    from vdsrlib.utils.atomic import check_overwrite, check_writable
    from vdsrlib.utils.device import choose_device
    from vdsrlib.utils.paths import user_path

    study, name, size = definitions.get_study(arguments.name), arguments.name, arguments.size
    changes = {field: getattr(arguments, field) for field in CHANGES}
    grid = definitions.build_grid(
        name, size, arguments.seeds, arguments.values, arguments.validations, **changes
    )
    if arguments.out:
        check_overwrite(arguments.out, force=True)
        check_writable(user_path(arguments.out).parent)
    if is_main_process():
        cost = f"{len(grid)} runs, {definitions.petaflops(grid):.2g} PFLOP"
        print_result(f"{study.source}: {study.claim}? {cost}")
    images = study_images(size, arguments.runs_path, arguments.data_path, arguments.validation_set)
    skip_broken = arguments.skip_broken
    done = runner.run_grid(grid, images, arguments.runs_path, arguments.device, skip_broken=skip_broken)
    if is_main_process():
        if done.results:
            scores = results.score_frame(done.results)
            print_result(results.score_table(scores).to_string())
            print_result(f"{study.claim[0].upper()}{study.claim[1:]}: {study.judge(scores)}")
        if arguments.out:
            asked = {
                key: value for key, value in vars(arguments).items() if key not in ("run", "command", "out")
            }
            where = choose_device(arguments.device)
            write_record(arguments.out, done._asdict(), parameters=asked, device=where)
        for failure in done.failures:
            print_problem(failure)
    return 1 if done.failures else 0
