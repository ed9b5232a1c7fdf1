"""``vdsr upscale``."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vdsrlib.cli.console import as_sentence, print_problem, print_result
from vdsrlib.cli.parser import Commands, Parser, add_device, add_weights, whole_number, with_message
from vdsrlib.errors import InputError
from vdsrlib.utils.parsing import parse_scale, parse_size

if TYPE_CHECKING:
    from tqdm import tqdm

    from vdsrlib.models.checkpoint import Checkpoint


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "Enlarge an image, or all images of a folder."
    commands.add_parser("upscale", help=text, description=text, options=_add_options).set_defaults(run=run)


def _add_options(parser: Parser) -> None:
    from vdsrlib.imaging.formats import MAX_PIXELS
    from vdsrlib.inference.backends import BACKENDS, PRECISIONS
    from vdsrlib.inference.tiling import MEMORY

    add_device(parser)
    add_weights(parser)
    parser.add_argument("input", metavar="IN", help="an image, or a folder of images")
    parser.add_argument("output", metavar="OUT", help="a name that ends in the format; a folder for a folder")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--scale", type=with_message(parse_scale), help="any number above 1, up to 8")
    size.add_argument("--size", type=with_message(parse_size), metavar="WxH", help="pixels of the result")
    parser.add_argument(
        "--ground-truth",
        action="store_true",
        help="IN is HR: degrade it first, and print PSNR and SSIM; takes 200 bytes of memory a pixel",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.add_argument("--backend", default="auto", help=f"auto, {', '.join(BACKENDS)}")
    parser.add_argument("--precision", default="float32", help=", ".join(PRECISIONS))
    parser.add_argument(
        "--memory", type=whole_number, default=MEMORY >> 20, metavar="MIB", help="for the network's work"
    )
    parser.add_argument("--max-megapixels", type=whole_number, default=MAX_PIXELS // 10**6, metavar="N")


def run(arguments: argparse.Namespace) -> int:
    """Enlarge an image or a folder; print a line for each image, and the failures at the end."""
    from tqdm import tqdm

    from vdsrlib.errors import explain_out_of_memory
    from vdsrlib.imaging.formats import TooLarge, check_target
    from vdsrlib.inference.backends import prepare
    from vdsrlib.inference.upscale import pair_files
    from vdsrlib.models import checkpoint
    from vdsrlib.utils.atomic import check_overwrite, check_writable
    from vdsrlib.utils.device import choose_device
    from vdsrlib.utils.paths import user_path

    source, target = user_path(arguments.input), user_path(arguments.output)
    if arguments.ground_truth and arguments.size:
        raise InputError("--ground-truth needs a --scale, by which the image is first made small.")
    folder = os.path.isdir(source)  # noqa: PTH112  which answers for any name, however long
    jobs = pair_files(source, target) if folder else [(source, target)]
    if not folder:
        check_target(target)
        check_overwrite(target, arguments.force)
    loaded = checkpoint.load(arguments.weights, choose_device(arguments.device))
    # refuses a backend or a precision before any work
    prepare(loaded.model, arguments.backend, arguments.precision)
    if folder:
        check_writable(target)
        images = {old.name for old, _ in jobs}
        others = [name for name in sorted(os.listdir(source)) if name not in images and name[0] != "."]  # noqa: PTH208
        if others:
            print_problem(f"not looked into, by their names no images: {', '.join(others)}.")
    failures = []
    for number, (old, new) in enumerate(jobs, start=1):
        title = f"{number}/{len(jobs)} {old.name}" if folder else None
        try:
            check_overwrite(new, arguments.force)
            with tqdm(desc=title, unit="tile", leave=False, disable=not sys.stderr.isatty()) as bar:
                with explain_out_of_memory(old, "a smaller scale or a smaller --memory may do"):
                    done = _upscale_one(arguments, loaded, old, new, bar)
                print_result(f"{new}: {done}")
        except InputError as error:
            if isinstance(error, TooLarge):
                error = InputError(f"{error} Raise it with --max-megapixels if that is what you want.")
            if not folder:
                raise error from None
            failures.append(as_sentence(error))
    for failure in failures:
        print_problem(failure)
    if failures:
        print_problem(f"{len(failures)} of {len(jobs)} images failed.")
    return 1 if failures else 0


def _upscale_one(
    arguments: argparse.Namespace, loaded: "Checkpoint", old: Path, new: Path, bar: "tqdm"
) -> str:
    """Enlarge one file; returns what there is to say of it."""
    from vdsrlib.evaluation.ground_truth import degrade_and_upscale
    from vdsrlib.imaging.formats import check_target
    from vdsrlib.imaging.image_file import read_with_notes, save_image
    from vdsrlib.inference.options import InferenceOptions
    from vdsrlib.inference.upscale import upscale_file

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    options = InferenceOptions(
        arguments.backend,
        arguments.precision,
        arguments.memory << 20,
        arguments.max_megapixels * 10**6,
        progress,
    )
    if arguments.ground_truth:
        check_target(new)
        image, notes = read_with_notes(old, options.max_pixels)
        upscaled = degrade_and_upscale(loaded, image, arguments.scale, options)
        save_image(new, upscaled.sr, replace=arguments.force)
        scores = {"interpolation": upscaled.interpolation_score, "model": upscaled.network_score}
        found = [f"{name} PSNR {s.psnr:.4f} dB, SSIM {s.ssim:.4f}" for name, s in scores.items() if s]
        notes = (*found, *notes)
        height, width = upscaled.sr.shape[:2]
    else:
        picture = upscale_file(
            loaded,
            old,
            new,
            arguments.scale,
            size=arguments.size,
            options=options,
            replace=arguments.force,
        )
        (height, width), notes = picture.pixels.shape[:2], picture.notes
    return "; ".join([f"{width} x {height} pixels", *notes])
