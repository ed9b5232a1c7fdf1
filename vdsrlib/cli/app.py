"""The command ``vdsr``, and ``python -m vdsrlib``: a thin command line; the work is in the library."""

import argparse
import io
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from vdsrlib.cli.doctor import doctor
from vdsrlib.datasets.catalog import image_set
from vdsrlib.errors import InputError, Notice, explain_out_of_memory
from vdsrlib.evaluation.cache import ScoreCache
from vdsrlib.evaluation.evaluate import METHODS, evaluate
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.formats import MAX_PIXELS, TooLarge, check_target
from vdsrlib.imaging.image_file import read_with_notes, save_image
from vdsrlib.inference.backends import BACKENDS, prepare
from vdsrlib.inference.features import activations, sr_from_last_layer, survey
from vdsrlib.inference.onnx import export_onnx
from vdsrlib.inference.predict import predict, self_ensemble
from vdsrlib.inference.tiling import MEMORY
from vdsrlib.inference.upscale import InferenceOptions, pair_files, upscale_file
from vdsrlib.models import checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PROTOCOLS, Protocol, get_protocol
from vdsrlib.records import write_record
from vdsrlib.studies import definitions, results, runner
from vdsrlib.studies.definitions import STUDIES, get_study
from vdsrlib.training import trainer
from vdsrlib.training.recipes import RECIPES, get_recipe
from vdsrlib.utils.atomic import atomic_files, check_overwrite, check_writable, to_json
from vdsrlib.utils.device import choose_device, device_name, versions
from vdsrlib.utils.distributed import MainProcessError, init_distributed
from vdsrlib.utils.parsing import parse_rescale_factors, parse_scale, parse_scales, parse_size
from vdsrlib.utils.signals import exit_on_terminate
from vdsrlib.viz.mosaic import mosaic


class _Parser(argparse.ArgumentParser):
    """Wrong arguments are one sentence, like every other wrong input."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(prog="vdsr", description="Very deep super-resolution (VDSR).")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def command(name: str, text: str, *, weights: bool = True) -> argparse.ArgumentParser:
        new = commands.add_parser(name, help=text, description=text)
        new.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
        if weights:
            new.add_argument(
                "--weights",
                metavar="FILE",
                help="safetensors of this project, or the authors' .mat; default: the shipped ones",
            )
        return new

    train = command("train", "Train a network; run again, it goes on where it was.", weights=False)
    train.add_argument("--recipe", default="demo", help=f"{', '.join(RECIPES)}")
    train.add_argument("--data-path", help="folder of images, or of T91 and BSD200")
    train.add_argument("--ckpt-path", default="runs/train/checkpoints")
    train.add_argument("--logs-path", default="runs/train/logs")
    train.add_argument("--validation-set", default="Set5")
    train.add_argument("--validate-every", type=int, default=500, metavar="STEPS")
    train.add_argument("--save-every", type=int, default=100, metavar="STEPS")
    train.add_argument("--init", metavar="WEIGHTS", help="begin with these weights, not with random ones")
    train.add_argument("--store", metavar="DIR", help="prepare pixels there, for sets larger than memory")
    train.add_argument("--skip-broken", action="store_true", help="leave out images that cannot be read")
    knobs = train.add_argument_group("changes to the recipe")
    knobs.add_argument("--protocol", choices=PROTOCOLS, help="colour, degradation and range")
    knobs.add_argument("--scales", type=parse_scales, help="such as 2_3_4")
    knobs.add_argument("--patch-size", type=int)
    knobs.add_argument(
        "--rescale-factors", type=parse_rescale_factors, help="sizes of every image, such as 1_0.7_0.5"
    )
    knobs.add_argument(
        "--hard-mining-candidates", type=int, help="patches drawn for every one used, the hardest"
    )
    knobs.add_argument("--batch-size", type=int)
    knobs.add_argument("--depth", type=int)
    knobs.add_argument("--width", type=int)
    knobs.add_argument("--residual", action=argparse.BooleanOptionalAction, help="add ILR to the output")
    knobs.add_argument("--learning-rate", type=float)
    knobs.add_argument("--bias-lr-factor", type=float, help="factor on the learning rate for the biases")
    knobs.add_argument("--reinitialise-every", type=int, help="steps between revivals of dead maps; 0: none")
    knobs.add_argument("--decay-steps", type=int, help="0: cosine")
    knobs.add_argument("--decay-factor", type=float)
    knobs.add_argument("--steps", type=int)
    knobs.add_argument("--optimizer", help="sgd, adam or muon")
    knobs.add_argument("--clip", help="none, value or norm")
    knobs.add_argument("--clip-theta", type=float)
    knobs.add_argument("--loss", help="sse, mse or l1")
    knobs.add_argument("--precision", help="float32, bfloat16 or auto")
    knobs.add_argument("--seed", type=int)
    train.set_defaults(run=_train, knobs=[action.dest for action in knobs._group_actions])

    study = command("study", "Rerun an experiment of the paper; torchrun shares its runs.", weights=False)
    study.add_argument("name", help=", ".join(STUDIES))
    study.add_argument("--size", default="micro", help="micro (two cores) or full (the paper's; a GPU)")
    study.add_argument("--values", help="what it varies, such as 5,8,11 or none,value:1e-4")
    study.add_argument("--seeds", type=int, default=3, help="how often to repeat every run")
    study.add_argument("--data-path", help="folder that holds T91 and the benchmarks, or of images")
    study.add_argument("--validation-set", default="Set5")
    study.add_argument("--validations", type=int, metavar="N", help="measurements of PSNR in a run")
    study.add_argument("--runs-path", default="runs/studies", help="runs that are there are not done again")
    study.add_argument("--out", metavar="FILE", help="write the results as JSON")
    knobs = study.add_argument_group("changes to what all its runs share")
    for knob in ("steps", "depth", "width", "patch-size", "batch-size"):
        knobs.add_argument(f"--{knob}", type=int)
    study.set_defaults(run=_study, knobs=[action.dest for action in knobs._group_actions])

    new = command("evaluate", "PSNR and SSIM on a folder of HR images.")
    new.add_argument("--images", required=True, metavar="DIR", help="folder, or a set's name in VDSR_DATA")
    new.add_argument("--scale", required=True, type=parse_scale)
    new.add_argument("--protocol", choices=PROTOCOLS, help="default: the weights' own")
    new.add_argument("--ensemble", action="store_true", help="mean over eight orientations, 8 times the work")
    new.add_argument("--cache", metavar="DIR", help="keep scores there; a killed run goes on from them")
    new.add_argument("--json", action="store_true", help="print one JSON object")
    new.set_defaults(run=_evaluate)

    new = command("resolve", "Enlarge an image, or all images of a folder.")
    new.add_argument("input", metavar="IN", help="an image, or a folder of images")
    new.add_argument("output", metavar="OUT", help="a name that ends in the format; a folder for a folder")
    size = new.add_mutually_exclusive_group(required=True)
    size.add_argument("--scale", type=parse_scale, help="any number above 1, up to 8")
    size.add_argument("--size", type=parse_size, metavar="WxH", help="pixels of the result")
    new.add_argument(
        "--ground-truth",
        action="store_true",
        help="IN is HR: degrade it first, and print PSNR and SSIM; takes 200 bytes of memory a pixel",
    )
    new.add_argument("--force", action="store_true", help="replace files that exist")
    new.add_argument("--engine", default="auto", help=f"auto, {', '.join(BACKENDS)}")
    new.add_argument(
        "--memory", type=_count, default=MEMORY >> 20, metavar="MIB", help="for the network's work"
    )
    new.add_argument("--max-megapixels", type=_count, default=MAX_PIXELS // 10**6, metavar="N")
    new.set_defaults(run=_resolve)

    new = command("export", "Write the network as an ONNX file.")
    new.add_argument("output", metavar="OUT.onnx")
    new.add_argument("--force", action="store_true", help="replace a file that exists")
    new.set_defaults(run=_export)

    new = command("features", "Write the feature maps of every layer (Figure 2 of the replication).")
    new.add_argument("input", metavar="IMAGE")
    new.add_argument("output", metavar="OUTDIR")
    new.add_argument("--scale", required=True, type=parse_scale)
    new.add_argument(
        "--force", action="store_true", help="use a folder that is not empty; replace files in it"
    )
    new.set_defaults(run=_features)

    new = commands.add_parser("doctor", help="Check versions, device, data and weights.")
    new.set_defaults(run=_doctor)
    return parser


def _sentence(error: Warning | Exception | str) -> str:
    return " ".join(str(error).split())


def _say(text: str) -> None:
    """Print a line of results; an error names standard output, as that of a file names the file."""
    try:
        print(text)
    except OSError as error:
        error.filename = "standard output"
        raise


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10**6:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 1000000")
    return int(text)


def _load(arguments: argparse.Namespace) -> checkpoint.Checkpoint:
    """The checkpoint asked for, its network on the device asked for."""
    return checkpoint.load(arguments.weights, choose_device(arguments.device))


def _leads() -> bool:
    """Whether this is the one of torchrun's processes that speaks."""
    return os.environ.get("RANK", "0") == "0"


def _train(arguments: argparse.Namespace) -> int:
    changes = {name: getattr(arguments, name) for name in arguments.knobs}
    run = trainer.train(
        get_recipe(arguments.recipe, **changes),
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
    if _leads():
        _say(f"Weights: {run.weights}")
    return 0


def _study(arguments: argparse.Namespace) -> int:
    study, name, size = get_study(arguments.name), arguments.name, arguments.size
    changes = {knob: getattr(arguments, knob) for knob in arguments.knobs}
    grid = definitions.build_grid(name, size, arguments.seeds, arguments.values, **changes)
    if arguments.out:
        check_overwrite(arguments.out, force=True)
        check_writable(Path(arguments.out).parent)
    if _leads():
        cost = f"{len(grid)} runs, {definitions.petaflops(grid):.2g} PFLOP"
        _say(f"{study.source}: {study.claim}? {cost}")
    done = runner.run_study(
        name,
        size,
        values=arguments.values,
        seeds=arguments.seeds,
        data_path=arguments.data_path,
        validation_set=arguments.validation_set,
        validations=arguments.validations,
        root=arguments.runs_path,
        device=arguments.device,
        **changes,
    )
    if _leads():
        if done.results:
            _say(tabulate(*results.score_table(done.results), disable_numparse=True))
            _say(f"{study.claim[0].upper()}{study.claim[1:]}: {study.judge(done.results)}")
        if arguments.out:
            asked = {k: v for k, v in vars(arguments).items() if k not in ("run", "knobs", "command", "out")}
            where = choose_device(arguments.device)
            write_record(arguments.out, done._asdict(), parameters=asked, device=where)
        for failure in done.failures:
            print(f"vdsrlib: {failure}", file=sys.stderr)
    return 1 if done.failures else 0


def _evaluate(arguments: argparse.Namespace) -> int:
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
        print(f"vdsrlib: {sentence}", file=sys.stderr)
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
        _say(to_json(record))
        return status
    _say(f"{protocol.name} protocol, x{arguments.scale:g}, {loaded.summary()}")
    rows = [
        [row["name"], *(f"{row[m]['psnr']:.2f} / {row[m]['ssim']:.4f}" for m in METHODS)]
        for row in [*result["images"], {"name": f"mean of {len(result['images'])}", **result["mean"]}]
    ]
    _say(tabulate(rows, ["PSNR (dB) / SSIM", *METHODS], disable_numparse=True))
    return status


def _resolve(arguments: argparse.Namespace) -> int:
    source, target = Path(arguments.input), Path(arguments.output)
    if arguments.ground_truth and arguments.size:
        raise InputError("--ground-truth needs a --scale, by which the image is first made small.")
    folder = os.path.isdir(source)  # noqa: PTH112  which answers for any name, however long
    jobs = pair_files(source, target) if folder else [(source, target)]
    if not folder:
        check_target(target)
        check_overwrite(target, arguments.force)
    loaded = _load(arguments)
    prepare(loaded.model, arguments.engine)  # refuses an engine before any work
    if folder:
        check_writable(target)
        images = {old.name for old, _ in jobs}
        others = [name for name in sorted(os.listdir(source)) if name not in images and name[0] != "."]  # noqa: PTH208
        if others:
            print(
                f"vdsrlib: not looked into, by their names no images: {', '.join(others)}.", file=sys.stderr
            )
    failures = []
    for number, (old, new) in enumerate(jobs, start=1):
        title = f"{number}/{len(jobs)} {old.name}" if folder else None
        try:
            check_overwrite(new, arguments.force)
            with tqdm(desc=title, unit="tile", leave=False, disable=not sys.stderr.isatty()) as bar:
                with explain_out_of_memory(old, "a smaller scale or a smaller --memory may do"):
                    done = _resolve_one(arguments, loaded, old, new, bar)
                _say(f"{new}: {done}")
        except InputError as error:
            if isinstance(error, TooLarge):
                error = InputError(f"{error} Raise it with --max-megapixels if that is what you want.")
            if not folder:
                raise error from None
            failures.append(_sentence(error))
    for failure in failures:
        print(f"vdsrlib: {failure}", file=sys.stderr)
    if failures:
        print(f"vdsrlib: {len(failures)} of {len(jobs)} images failed.", file=sys.stderr)
    return 1 if failures else 0


def _resolve_one(
    arguments: argparse.Namespace, loaded: checkpoint.Checkpoint, old: Path, new: Path, bar: tqdm
) -> str:
    """Enlarge one file; returns what there is to say of it."""

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    limit = arguments.max_megapixels * 10**6
    work = InferenceOptions(arguments.engine, arguments.memory << 20, limit, progress)
    protocol = get_protocol(loaded.protocol)
    if arguments.ground_truth:
        check_target(new)
        image, notes = read_with_notes(old, limit)
        resolved = degrade_and_upscale(loaded.model, image, arguments.scale, protocol, work)
        save_image(new, resolved.sr, replace=arguments.force)
        scores = {"interpolation": resolved.interpolation, "model": resolved.model}
        found = [f"{name} PSNR {s.psnr:.4f} dB, SSIM {s.ssim:.4f}" for name, s in scores.items() if s]
        notes = (*found, *notes)
        height, width = resolved.sr.shape[:2]
    else:
        size = arguments.size or arguments.scale
        picture = upscale_file(loaded.model, old, new, size, protocol, work, replace=arguments.force)
        (height, width), notes = picture.pixels.shape[:2], picture.notes
    return "; ".join([f"{width} x {height} pixels", *notes])


def _export(arguments: argparse.Namespace) -> int:
    check_overwrite(arguments.output, arguments.force)
    loaded = _load(arguments)
    export_onnx(arguments.output, loaded, replace=arguments.force)
    _say(f"{arguments.output}: {loaded.summary()}")
    return 0


def _features(arguments: argparse.Namespace) -> int:
    folder, names = Path(arguments.output), []
    image, notes = read_with_notes(arguments.input)
    loaded = _load(arguments)
    more = explain_out_of_memory(arguments.input, "take a part of it")
    with atomic_files(folder, replace=arguments.force) as temporary, more:

        def draw(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> np.ndarray:
            """SR, and a picture of every layer on the way to it."""
            # Mosaics of a larger image in full size would be gigabytes: it is averaged down.
            pooled = survey(model, ilr, protocol) if ilr.size > 2**20 else None
            for layer in pooled.layers.values() if pooled else activations(model, ilr, protocol):
                save_image(temporary / f"{layer.name}.png", mosaic(layer))
                names.append(layer.name)
            return pooled.sr if pooled else sr_from_last_layer(model, ilr, layer.maps, protocol)

        protocol = get_protocol(loaded.protocol)
        resolved = degrade_and_upscale(loaded.model, image, arguments.scale, protocol, apply=draw)
        save_image(temporary / "lr.png", resolved.lr)
        save_image(temporary / "sr.png", resolved.sr)
    _say("; ".join([f"{folder}: lr, sr and {len(names)} layers", *notes]))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    report = doctor()
    for passed, sentence in report:
        _say(f"{'OK  ' if passed else 'FAIL'} {sentence}")
    return 0 if all(passed for passed, _ in report) else 1


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit status.

    0, 1 for a failed check, 2 for wrong input or a place that fails; and, as shells have it, 130 after Ctrl-C
    and 141 where nobody reads on, as behind ``head``.
    """
    try:
        arguments = build_parser().parse_args(argv)
        return arguments.run(arguments)
    except MainProcessError:
        return 2
    except InputError as error:
        sentence = _sentence(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return 141
        sentence = f"{error.filename}: {error.strerror}." if error.filename else f"{error}."
    except KeyboardInterrupt:
        return 130
    rank = "" if _leads() else f"rank {os.environ['RANK']}: "
    print(f"vdsrlib: {rank}{sentence}", file=sys.stderr)
    return 2


def _speak_plainly() -> None:
    """Let print write every line at once, whole, and in any encoding; and warnings of ours be sentences.

    torchrun's processes do not buffer: a line and its end are two writes, and others may write between.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False, errors="backslashreplace")
    usual = warnings.formatwarning

    def line(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:
        ours = issubclass(category, Notice)  # to which Python would add a line of its source
        return f"vdsrlib: {_sentence(message)}\n" if ours else usual(message, category, *place, **more)

    warnings.formatwarning = line


def _let_go() -> None:
    """Let go what a stream could not write: Python would try again when it ends, and fail aloud."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run() -> int:
    """Run a command as a program: with plain streams, and with a scheduler's stop heard."""
    _speak_plainly()
    signal.signal(signal.SIGTERM, exit_on_terminate)
    try:
        return main()
    finally:
        _let_go()
