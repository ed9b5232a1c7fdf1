"""Say which image sets a folder holds, told by their pixels, and what is wrong with a copy.

Usage: python data_scripts/verify.py [DIR] [--scales 2_3_4]   (default: the variable VDSR_DATA)

Names and formats do not matter. Missing, extra, cropped, resized, recompressed, greyscale and duplicated
images are told apart, and so is what they do to a score: interpolation needs no network and is known for the
right copies. A folder that is none of the known sets gets a report of what training would skip, and why.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from vdsrlib.datasets import inspection, leaks, manifest
from vdsrlib.datasets.catalog import TEST_SETS, TRAINING_SETS, data_root, list_images
from vdsrlib.datasets.manifest import Entry
from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import as_rgb
from vdsrlib.imaging.formats import FORMATS
from vdsrlib.imaging.image_file import read_image
from vdsrlib.protocol import PROTOCOLS, Protocol
from vdsrlib.utils.hashing import hash_file
from vdsrlib.utils.parsing import parse_scales

ROUNDING = 0.01  # dB, the last digit of published tables: a mean that moves less counts as the same


# What can be wrong with an image, in the order of the report; the first two are not wrong.
SAME, DECODED = "the same", "decoded otherwise"


KINDS = (
    SAME,
    DECODED,
    "cropped",
    "resized",
    "greyscale",
    "grey as RGB",
    "recompressed",
    "duplicated",
    "extra",
    "unreadable",
)


class Copy:
    """An image file under test; each property is computed when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def image(self) -> np.ndarray:
        """The decoded image."""
        return read_image(self.path)

    @cached_property
    def identity(self) -> tuple[str, tuple[int, ...]]:
        """Pixel hash and shape; ("", ()) where the file cannot be read."""
        try:
            image = self.image
            return manifest.pixel_hash(image), image.shape
        except InputError:
            return "", ()

    @property
    def pixels(self) -> str:
        """Hash of the pixels; empty where the file cannot be read."""
        return self.identity[0]

    @cached_property
    def file(self) -> str:
        """Hash of the file's bytes."""
        return hash_file(self.path)

    @cached_property
    def hash_bits(self) -> np.ndarray:
        """The 64 bits of the perceptual hash."""
        return leaks.perceptual_hash(self.image)


class Finding(NamedTuple):
    """A file, the image of the set that it is (None: none), what is wrong with it, and how."""

    copy: Copy
    entry: Entry | None
    kind: str
    words: str = ""


class Comparison(NamedTuple):
    """A folder beside the set that it holds."""

    name: str
    entries: Sequence[Entry]
    findings: list[Finding]

    @property
    def missing(self) -> list[str]:
        """Names of the set's images that no file shows."""
        found = {finding.entry.name for finding in self.findings if finding.entry}
        return [entry.name for entry in self.entries if entry.name not in found]

    def of_kind(self, kind: str) -> list[Finding]:
        """The findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def overlap(self) -> float:
        """Images in common, as a part of all; 1 for a whole set and nothing else."""
        common = len(self.entries) - len(self.missing)
        return common / (len(self.entries) + len(self.findings) - common)


def known_sets() -> dict[str, list[Entry]]:
    """The sets of the manifest, and both training sets together as 291."""
    sets = manifest.load_manifest()
    both = [entry for name in TRAINING_SETS for entry in sets.get(name, [])]
    return sets | ({"291": both} if both else {})


def match(copies: Sequence[Copy], entries: Sequence[Entry]) -> list[Entry | None]:
    """The image of the set that each file shows: by pixels, by file, else by the look of it."""
    free: dict[str, list[Entry]] = {}  # a set may hold the same picture twice: each is given out once
    for entry in entries:
        for key in {entry.pixels, entry.file} - {""}:
            free.setdefault(key, []).append(entry)
    matched: list[Entry | None] = [None] * len(copies)
    taken: set[str] = set()
    for i, copy in enumerate(copies):
        same = free.get(copy.pixels) or (free.get(copy.file) if copy.pixels else None)
        if same:
            found = next((entry for entry in same if entry.name not in taken), same[0])
            matched[i] = found
            taken.add(found.name)
    bits = np.array([entry.hash_bits() for entry in entries])
    for i, copy in enumerate(copies):
        if matched[i] is None and copy.pixels:
            distance = np.count_nonzero(bits != copy.hash_bits, axis=1)
            near = [entries[k] for k in np.argsort(distance, kind="stable") if distance[k] <= 12]
            if near:
                found = next((entry for entry in near if entry.name not in taken), near[0])
                matched[i] = found
                taken.add(found.name)
    return matched


def judge(copy: Copy, entry: Entry) -> tuple[str, str]:
    """What is wrong with a file that shows the picture of ``entry``: a kind, and how."""
    pixels, (height, width, *colours) = copy.identity
    if pixels == entry.pixels and (height, width) == (entry.height, entry.width):
        if colours and entry.channels == 1:
            return "grey as RGB", "a grey image is its own luma; as RGB its luma spans 16 to 235"
        return SAME, ""
    if entry.file == copy.file:
        return DECODED, "the very file; this machine's JPEG decoder rounds otherwise"
    if (height, width) != (entry.height, entry.width):
        sizes = f"{width}x{height} instead of {entry.width}x{entry.height}"
        if entry.crops.get(f"{width}x{height}") == pixels[:16]:
            return "cropped", f"{sizes}, the top left part pixel for pixel"
        cut = entry.height - height, entry.width - width
        return ("cropped" if min(cut) >= 0 and max(cut) <= 12 else "resized"), sizes
    image = copy.image
    rgb = as_rgb(image)
    if entry.channels == 3 and (rgb == rgb[..., :1]).all():
        luma = "as RGB" if colours else "its luma spans 0 to 255 instead of 16 to 235"
        return "greyscale", f"no colour; {luma}"
    difference = entry.difference(image)
    largest, rms = np.abs(difference).max(), np.sqrt(np.mean(difference**2.0))
    # Rounding differs by ±1. A decoder with a fast, inexact transform or with chroma that is merely repeated
    # differs by far more; its copy is another one, and counts as recompressed.
    lossy = copy.path.suffix.lower() in (".jpg", ".jpeg", ".webp")
    if entry.file and largest <= 1 and not lossy:
        return DECODED, "no sampled value differs by more than 1 grey level"
    return "recompressed", f"or altered: differs by {rms:.1f} grey levels rms, by up to {largest}"


def compare(copies: Sequence[Copy], name: str, entries: Sequence[Entry]) -> Comparison:
    """Each file of a folder beside the image of the set that it shows."""
    findings, seen = [], set()
    for copy, entry in zip(copies, match(copies, entries), strict=True):
        if not copy.pixels:
            findings.append(Finding(copy, None, "unreadable"))
        elif entry is None:
            findings.append(Finding(copy, None, "extra", "no image of this set"))
        elif entry.name in seen:
            findings.append(Finding(copy, entry, "duplicated", f"{entry.name} once more"))
        else:
            findings.append(Finding(copy, entry, *judge(copy, entry)))
            seen.add(entry.name)
    return Comparison(name, entries, findings)


def identify(folder: Path, copies: Sequence[Copy]) -> Comparison | None:
    """The set that a folder holds, wholly or for a fifth or under its name; None for images of one's own."""
    best, pixels = None, {copy.pixels for copy in copies}
    for name, entries in known_sets().items():
        if pixels == {entry.pixels for entry in entries}:
            return compare(copies, name, entries)
        matched = zip(copies, match(copies, entries), strict=True)
        found = Comparison(name, entries, [Finding(copy, entry, "") for copy, entry in matched])
        if found.overlap() > max(best.overlap() if best else 0, 0.0 if folder.name == name else 0.2):
            best = found
    return compare(copies, best.name, best.entries) if best else None


def mean_psnrs(
    comparison: Comparison, scales: Sequence[int], protocol: Protocol
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Mean PSNR of interpolation at each scale, in dB: of the right copy, and of this one.

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


def verify_folder(folder: Path, scales: Sequence[int]) -> bool:
    """Print the report of a folder of images; True where nothing is wrong."""
    copies = [Copy(path) for path in tqdm(list_images(folder), folder.name, disable=None, leave=False)]
    found = identify(folder, copies)
    if found is None:
        return own_images(folder, copies)
    lines = []
    for kind in KINDS[1:]:
        findings = found.of_kind(kind)
        if findings:
            lines.append(f"{kind} {len(findings)}: {examples([f.copy.path.name for f in findings])}")
            words = Counter(finding.words for finding in findings)
            lines += [f"    {text}" for text, _ in words.most_common(2) if text]
    if found.missing:
        lines.append(f"missing {len(found.missing)}: {examples(found.missing)}")
    wrong = bool(found.missing) or any(f.kind not in (SAME, DECODED) for f in found.findings)
    if found.name in TEST_SETS:
        changed, moved = bool(lines), False
        for protocol in PROTOCOLS.values():
            right, here, small = mean_psnrs(found, scales, protocol)
            text = f"interpolation at {listed(scales, 'x{}')}, protocol {protocol.name}: {listed(here)} dB"
            if changed:
                text += f" instead of {listed(right)} ({listed(here - right, '{:+.4f}')})"
            if small:
                text += f", without {examples(small)}, too small to be scored"
            moved |= bool(max(abs(here - right)) >= ROUNDING)
            lines.append(text)
        if moved:
            lines.append("scores on this copy do not compare with published ones")
        wrong |= moved
    elif wrong:
        lines.append("a training set: no score moves by itself, but a network trained on it is another one")
    count = f"{len(found.entries) - len(found.missing)} of {len(found.entries)} images"
    exact = ", pixel for pixel" if len(found.of_kind(SAME)) == len(found.entries) else ""
    print("\n     ".join([f"{'FAIL' if wrong else 'OK  '} {found.name} in {folder}: {count}{exact}", *lines]))
    return not wrong


def own_images(folder: Path, copies: Sequence[Copy]) -> bool:
    """Print what training would do with a folder of images that is no known set."""
    remarks = inspection.inspect_folder(folder)
    lines = [f"{remark.name}: {remark.what}; {remark.why}" for remark in remarks]
    for name in TEST_SETS:
        entries = manifest.load_manifest().get(name, [])
        for copy, entry in zip(copies, match(copies, entries) if entries else [], strict=False):
            if entry:
                lines.append(f"{copy.path.name}: a leak; it shows {entry.name} of the test set {name}")
    broken = sum(remark.what == "stops training" for remark in remarks)
    head = f"{'FAIL' if broken else 'OWN '} {folder}: {len(copies)} images, none of the known sets"
    print("\n     ".join([head, *lines]))
    return not broken


def listed(values: Iterable[float], form: str = "{:.4f}") -> str:
    """Numbers, formatted and joined by commas."""
    return ", ".join(form.format(value) for value in values)


def examples(names: Sequence[str]) -> str:
    """The first three of the names."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def image_folders(root: Path) -> list[Path]:
    """The folder and those in it, at any depth, that hold images; hidden ones are left out."""
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


def main(typed: Sequence[str] | None = None) -> int:
    """The command ``data_scripts/verify.py``."""
    parser = argparse.ArgumentParser(description="Say which image sets a folder holds, and what is wrong.")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="a set, or a folder that holds sets")
    parser.add_argument("--scales", default="2_3_4", help="of the scores: 2_3_4, or fewer to be quicker")
    arguments = parser.parse_args(typed)
    try:
        root, scales = data_root(arguments.folder), parse_scales(arguments.scales)
        if not set(scales) <= set(manifest.SCALES):
            raise InputError("The scores of the right copies are known at 2, 3 and 4; write for example 2_3.")
        if root is None:
            raise InputError("Name the folder of the sets, or set the variable VDSR_DATA to it.")
        folders = image_folders(root)
        if not folders:
            raise InputError(f"There is no image in {root} or the folders in it.")
        return (
            0 if all([verify_folder(folder, [int(scale) for scale in scales]) for folder in folders]) else 1
        )
    except InputError as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2
