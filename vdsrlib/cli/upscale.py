"""``vdsr upscale``: an image, or the images of a folder."""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vdsrlib.cli.console import ImageProgress, is_main_process, print_problem, print_result
from vdsrlib.cli.parser import Commands, Parser, add_device, add_weights, whole_number, with_message
from vdsrlib.errors import InputError
from vdsrlib.utils.parsing import parse_scale, parse_size
from vdsrlib.utils.paths import user_path
from vdsrlib.utils.processes import process_count, process_rank
from vdsrlib.utils.text import shorten

if TYPE_CHECKING:
    from vdsrlib.cli.images import Outcome
    from vdsrlib.inference.folder import FolderPlan, Job

FOR_A_FOLDER = {"recursive": False, "format": "keep", "suffix": "", "jobs": 1}
"""The options that only a folder has, and what they are unless they are given."""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Enlarge an image, or all images of a folder."
    commands.add_parser("upscale", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.imaging.formats import MAX_PIXELS
    from vdsrlib.inference.options import ALPHA

    add_device(parser)
    add_weights(parser, "vdsr; vdsr-photo for JPEGs below a quality of 90, noisy images, and scale 1")
    parser.add_argument("input", metavar="IN", type=user_path, help="an image, or a folder of images")
    parser.add_argument(
        "output", metavar="OUT", type=user_path, help="the result, such as big.png, or a folder"
    )
    _add_size_options(parser)
    parser.add_argument(
        "--ground-truth",
        action="store_true",
        help="take IN as HR: degrade it first, then print PSNR and SSIM; takes 200 bytes of memory a pixel",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="replace files that exist")
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave results that exist; several commands may then share a folder",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for each image")
    _add_speed_options(parser)
    parser.add_argument(
        "--max-megapixels",
        type=whole_number,
        default=MAX_PIXELS // 10**6,
        metavar="N",
        help="refuse larger images, read or made; default: %(default)s",
    )
    _add_format_options(parser)
    parser.add_argument(
        "--alpha",
        choices=ALPHA,
        default=ALPHA[0],
        help="how to enlarge transparency: as it is seen on any background, or separate from the colours, "
        "which keeps those under alpha 0; default: %(default)s",
    )
    parser.add_argument("--wrap", action="store_true", help="a tileable texture: its opposite borders meet")
    _add_folder_options(parser)


def _add_size_options(parser: Parser) -> None:
    size = parser.add_mutually_exclusive_group(required=True)
    parse = partial(parse_scale, one=True)
    text = "any number above 1, up to 8; at 1 a photograph is cleaned, and keeps its size"
    size.add_argument("--scale", type=with_message(parse), help=text)
    size.add_argument(
        "--size",
        type=with_message(parse_size),
        metavar="WxH",
        help="pixels of the result; Wx or xH keeps the proportions",
    )
    size.add_argument(
        "--fit", type=with_message(parse_size), metavar="WxH", help="the largest size within these pixels"
    )


def _add_speed_options(parser: Parser) -> None:
    from vdsrlib.inference.backends import BACKENDS, PRECISIONS
    from vdsrlib.inference.tiling import MEMORY

    parser.add_argument("--backend", default="auto", help=f"auto, {', '.join(BACKENDS)}")
    parser.add_argument("--precision", default="auto", help=f"auto, {', '.join(PRECISIONS)}")
    parser.add_argument(
        "--memory",
        type=whole_number,
        default=MEMORY >> 20,
        metavar="MIB",
        help="memory for the network's work on a tile; default: %(default)s",
    )


def _add_format_options(parser: Parser) -> None:
    parser.add_argument(
        "--quality", type=whole_number, default=95, metavar="N", help="of JPEG and WebP; default: %(default)s"
    )
    parser.add_argument("--lossless", action="store_true", help="write WebP without loss")
    parser.add_argument(
        "--strip", action="store_true", help="leave out EXIF, XMP, IPTC and the resolution of the file"
    )


def _add_folder_options(parser: Parser) -> None:
    from vdsrlib.inference.folder import SUFFIXES

    folder = parser.add_argument_group("for a folder")
    folder.add_argument("--recursive", action="store_true", help="look into subfolders, and make them in OUT")
    folder.add_argument("--format", choices=("keep", *SUFFIXES), help="of all results; default: %(default)s")
    folder.add_argument("--suffix", help="put behind names: _x2 makes a_x2.png of a.png")
    folder.add_argument("--jobs", type=whole_number, metavar="N", help="processes; default: %(default)s")
    folder.set_defaults(**FOR_A_FOLDER)


def run(arguments: argparse.Namespace) -> int:
    """Enlarge an image or a folder; print a line for each image, and the failures at the end."""
    from vdsrlib.imaging.encoding import EncodingOptions

    if arguments.ground_truth and not (arguments.scale and arguments.scale > 1):
        raise InputError("--ground-truth needs --scale, above 1: it says how HR is degraded")
    if arguments.ground_truth and (arguments.wrap or arguments.alpha == "separate"):
        raise InputError("--ground-truth scores an opaque image with borders; leave out --alpha and --wrap")
    EncodingOptions(arguments.quality)  # refuses a wrong one before the work
    if os.path.isdir(arguments.input):  # noqa: PTH112  which answers for any name, however long
        return _run_folder(arguments)
    for option, default in FOR_A_FOLDER.items():
        if getattr(arguments, option) != default:
            raise InputError(f"--{option} is for a folder, and {arguments.input} is none")
    return _run_image(arguments)


def _run_image(arguments: argparse.Namespace) -> int:
    from vdsrlib.cli.images import load_network, upscale_image
    from vdsrlib.imaging.formats import check_target
    from vdsrlib.utils.atomic import check_overwrite

    check_target(arguments.output)
    if not arguments.skip_existing:
        check_overwrite(arguments.output, arguments.force)
    net = load_network(arguments)
    with ImageProgress(1) as progress:
        outcome = upscale_image(arguments, net, (arguments.input, arguments.output), progress.show_tiles)
    print_outcome(outcome, arguments.json)
    return 0


def _run_folder(arguments: argparse.Namespace) -> int:
    from vdsrlib.inference.folder import plan_folder

    plan = plan_folder(
        arguments.input,
        arguments.output,
        recursive=arguments.recursive,
        suffix=arguments.suffix,
        kind=arguments.format,
    )
    jobs = plan.jobs[process_rank() :: process_count()]
    failures, pixels, start = [], 0, time.monotonic()
    with ImageProgress(len(jobs)) as progress:
        for outcome in _outcomes(arguments, plan, jobs, progress):
            if outcome.error:
                failures.append(outcome.error)
            if arguments.json or not outcome.error:
                print_outcome(outcome, arguments.json)
            pixels += math.prod(outcome.size) if outcome.size else 0
            progress.show_image(pixels / 1e6 / (time.monotonic() - start))
    for failure in (*plan.locked, *failures):
        print_problem(failure)
    if failures:
        print_problem(f"{len(failures)} of {len(jobs)} images failed.")
    elif sys.stderr.isatty():
        seconds = time.monotonic() - start
        print_problem(f"{len(jobs)} images, {pixels / 1e6:.1f} megapixels in {seconds:.0f} s")
    return 1 if failures or plan.locked else 0


def _outcomes(
    arguments: argparse.Namespace, plan: "FolderPlan", jobs: "Sequence[Job]", progress: ImageProgress
) -> "Iterator[Outcome]":
    """Enlarge the images, after what stops all of them has been ruled out."""
    from vdsrlib.cli.images import in_processes, load_network, try_image
    from vdsrlib.utils.atomic import check_writable

    net = load_network(arguments)
    check_writable(arguments.output)
    if is_main_process():
        for sentence in _left_out(plan):
            print_problem(sentence)
    if arguments.jobs > 1 and len(jobs) > 1:
        return in_processes(arguments, jobs, min(arguments.jobs, len(jobs)))
    return (try_image(arguments, net, job, progress.show_tiles) for job in jobs)


def _left_out(plan: "FolderPlan") -> "Iterator[str]":
    """Name what is in the folder and is not enlarged."""
    if plan.folders:
        yield f"not looked into, without --recursive: {shorten(plan.folders)}"
    if plan.others:
        yield f"no images by their names: {shorten(plan.others)}"


def print_outcome(outcome: "Outcome", as_json: bool) -> None:
    """Print the line of an image."""
    from vdsrlib.utils.atomic import to_json

    print_result(to_json(outcome.record()) if as_json else outcome.text())
