"""Report which image sets a folder holds, what is wrong with a copy, and what that does to scores.

The scores of plain interpolation need no network, and the manifest has them for the right copies. A folder
that holds none of the known sets gets a report of what training would skip, and why.
"""

import os
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vdsrlib.datasets import inspection, manifest
from vdsrlib.datasets.catalog import ALL_TEST_SETS, data_root, list_images
from vdsrlib.datasets.comparison import DECODED, FAULTS, SAME, Comparison, Copy, identify, match
from vdsrlib.errors import InputError
from vdsrlib.imaging.formats import FORMATS
from vdsrlib.protocol import PROTOCOLS, Protocol
from vdsrlib.utils.parsing import parse_scales

ROUNDING = 0.01  # dB, the last digit of published tables: a mean that moves less counts as the same


def add_arguments(parser: ArgumentParser) -> None:
    """Define the options of ``verify``."""
    parser.add_argument(
        "folder", nargs="?", metavar="DIR", help="a set, or a folder that holds sets (default: VDSR_DATA)"
    )
    parser.add_argument(
        "--scales", default="2_3_4", help="scales of the scores: 2_3_4, or fewer to be quicker"
    )


def run(arguments: Namespace) -> int:
    """Print the report of every folder of images; return 0 where nothing is wrong, else 1.

    Raises:
        InputError: there is no folder, no image in it, or a scale without a known score.
    """
    root, scales = data_root(arguments.folder), parse_scales(arguments.scales)
    if not set(scales) <= set(manifest.SCALES):
        raise InputError(f"scales must be among 2_3_4, where scores are known, got {arguments.scales}")
    if root is None:
        raise InputError("Name the folder of the sets, or set the variable VDSR_DATA to it.")
    folders = image_folders(root)
    if not folders:
        raise InputError(f"There is no image in {root} or the folders in it.")
    right = [verify_folder(folder, [int(scale) for scale in scales]) for folder in folders]
    return 0 if all(right) else 1


def image_folders(root: Path) -> list[Path]:
    """List the folder and those in it, at any depth, that hold images; hidden ones are left out."""
    folders, seen = [], set()
    for name, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(name)
        if real in seen:  # a link to a folder above would go round for ever
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(folder for folder in inner if not folder.startswith("."))
        if any(Path(file).suffix.lower() in FORMATS for file in names):
            folders.append(Path(name))
    return folders


def verify_folder(folder: Path, scales: Sequence[int]) -> bool:
    """Print the report of a folder of images; return whether nothing is wrong."""
    copies = [Copy(path) for path in list_images(folder)]
    found = identify(folder, copies)
    right, lines = report_set(found, folder, scales) if found else report_images(folder, copies)
    print("\n     ".join(lines), flush=True)
    return right


def report_set(found: Comparison, folder: Path, scales: Sequence[int]) -> tuple[bool, list[str]]:
    """Say how a folder differs from the set that it holds: (nothing is wrong, lines)."""
    lines = []
    for kind in (DECODED, *FAULTS):
        if findings := found.of_kind(kind):
            lines.append(f"{kind} {len(findings)}: {_examples([f.copy.path.name for f in findings])}")
            words = Counter(finding.words for finding in findings)
            lines += [f"    {text}" for text, _ in words.most_common(2) if text]
    if found.missing:
        lines.append(f"missing {len(found.missing)}: {_examples(found.missing)}")
    wrong = bool(found.faults())
    if found.name in ALL_TEST_SETS:
        moved, scores = report_scores(found, scales)
        wrong |= moved
        lines += scores
    elif wrong:
        lines.append("a training set: no score moves by itself, but a network trained on it is another one")
    count = f"{len(found.entries) - len(found.missing)} of {len(found.entries)} images"
    exact = ", pixel for pixel" if len(found.of_kind(SAME)) == len(found.entries) else ""
    head = f"{'FAIL' if wrong else 'OK  '} {found.name} in {folder}: {count}{exact}"
    return not wrong, [head, *lines]


def report_scores(found: Comparison, scales: Sequence[int]) -> tuple[bool, list[str]]:
    """Say what interpolation scores on this copy of a test set: (a mean moves by 0.01 dB or more, lines)."""
    changed = any(finding.kind != SAME for finding in found.findings) or bool(found.missing)
    moved, lines = False, []
    for protocol in PROTOCOLS.values():
        right, here, small = mean_psnrs(found, scales, protocol)
        text = f"interpolation at {_listed(scales, 'x{}')}, protocol {protocol.name}: {_listed(here)} dB"
        if changed:
            text += f" instead of {_listed(right)} ({_listed(here - right, '{:+.4f}')})"
        if small:
            text += f", without {_examples(small)}, too small to be scored"
        moved |= bool(max(abs(here - right)) >= ROUNDING)
        lines.append(text)
    if moved:
        lines.append("scores on this copy do not compare with published ones")
    return moved, lines


def mean_psnrs(
    comparison: Comparison, scales: Sequence[int], protocol: Protocol
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Compute the mean PSNR of interpolation at each scale, in dB: of the right copy, and of this one.

    Images too small to be scored are left out, and named.
    """
    columns, values, small = [manifest.SCALES.index(scale) for scale in scales], [], []
    for finding in tqdm(comparison.findings, f"Score ({protocol.name})", disable=None, leave=False):
        if finding.kind == SAME:
            known = finding.entry.interpolation[protocol.name]
            values.append([known[column] for column in columns])
        elif finding.kind != "unreadable":
            image = finding.copy.image
            try:
                values.append([manifest.interpolation_psnr(image, scale, protocol) for scale in scales])
            except InputError:
                small.append(finding.copy.path.name)
    right = np.mean([entry.interpolation[protocol.name] for entry in comparison.entries], axis=0)
    return right[columns], np.mean(values or [[np.nan] * len(columns)], axis=0), small


def report_images(folder: Path, copies: Sequence[Copy]) -> tuple[bool, list[str]]:
    """Say what training would do with a folder of images that is no known set: (training works, lines)."""
    remarks = inspection.inspect_folder(folder)
    lines = [f"{remark.name}: {remark.what}; {remark.why}" for remark in remarks]
    sets = manifest.load_manifest()
    for name in ALL_TEST_SETS:
        if name in sets:
            for copy, entry in zip(copies, match(copies, sets[name]), strict=True):
                if entry:
                    lines.append(f"{copy.path.name}: a leak; it shows {entry.name} of the test set {name}")
    broken = any(remark.what == "stops training" for remark in remarks)
    count = inspection.count_images(len(copies))
    head = f"{'FAIL' if broken else 'OWN '} {folder}: {count}, none of the known sets"
    return not broken, [head, *lines]


def _listed(values: Iterable[float], form: str = "{:.4f}") -> str:
    """Format numbers, joined by commas."""
    return ", ".join(form.format(value) for value in values)


def _examples(names: Sequence[str]) -> str:
    """Name the first three."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
