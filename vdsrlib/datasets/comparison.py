"""Tell image sets by their pixels: which image of a set a file shows, and what is wrong with it.

Names and formats of files do not matter.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from vdsrlib.datasets import leaks, manifest
from vdsrlib.datasets.catalog import TRAINING_SETS
from vdsrlib.datasets.manifest import Entry
from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import as_rgb
from vdsrlib.imaging.formats import FORMATS
from vdsrlib.imaging.image_file import read_image
from vdsrlib.utils.hashing import hash_file

SAME, DECODED, GREY_AS_RGB = "the same", "decoded otherwise", "grey as RGB"
DAMAGES = ("cropped", "resized", "greyscale", GREY_AS_RGB, "recompressed")
FAULTS = (*DAMAGES, "duplicated", "extra", "unreadable")
"""What can be wrong with a file, in the order of reports. SAME and DECODED are right."""

LARGEST_CUT = 12  # pixels a side that people cut off, to make it a multiple of a scale
OF_A_SET = 0.2  # from this overlap on, a folder is a damaged copy of a set, not a folder of other images


class Copy:
    """An image file under test; each property is computed when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def image(self) -> np.ndarray:
        """The decoded image, read anew each time: a set may be larger than the memory."""
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
    """A file, the image of the set that it shows (None: none), what is wrong with it, and how."""

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
        """Return the findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def overlap(self) -> float:
        """Return the images in common as a fraction of all; 1 for the whole set and nothing else."""
        common = len(self.entries) - len(self.missing)
        return common / (len(self.entries) + len(self.findings) - common)

    def faults(self, kinds: Iterable[str] = FAULTS) -> str:
        """Count what is wrong, as in "cropped 5, missing 1"; empty where nothing is."""
        counts = {kind: len(self.of_kind(kind)) for kind in kinds} | {"missing": len(self.missing)}
        return ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)


def identify(folder: Path, copies: Sequence[Copy]) -> Comparison | None:
    """Find the set that a folder holds: wholly, for a fifth, or under its name.

    Returns:
        the comparison with that set; None for a folder of other images.
    """
    pixels = {copy.pixels for copy in tqdm(copies, folder.name, delay=1, disable=None, leave=False)}
    sets = known_sets()
    for name, entries in sets.items():  # a whole set first, which needs no perceptual hash
        if pixels == {entry.pixels for entry in entries}:
            return compare(copies, name, entries)
    best = None
    for name, entries in sets.items():
        matched = zip(copies, match(copies, entries), strict=True)
        found = Comparison(name, entries, [Finding(copy, entry, "") for copy, entry in matched])
        least = 0.0 if folder.name == name else OF_A_SET
        if found.overlap() > max(least, best.overlap() if best else 0.0):
            best = found
    return compare(copies, best.name, best.entries) if best else None


def known_sets() -> dict[str, list[Entry]]:
    """Load the sets of the manifest, and both training sets of the paper together as 291."""
    sets = manifest.load_manifest()
    both = [entry for name in TRAINING_SETS for entry in sets.get(name, [])]
    return sets | ({"291": both} if both else {})


def match(copies: Sequence[Copy], entries: Sequence[Entry]) -> list[Entry | None]:
    """Find the image of the set that each file shows: by pixels, by file, else by perceptual hash."""
    matched: list[Entry | None] = [None] * len(copies)
    taken: set[str] = set()

    def take(i: int, candidates: Sequence[Entry]) -> None:
        # A set may hold the same picture twice: each is given out once.
        found = next((entry for entry in candidates if entry.name not in taken), candidates[0])
        matched[i] = found
        taken.add(found.name)

    by_hash: dict[str, list[Entry]] = {}
    for entry in entries:
        for key in {entry.pixels, entry.file} - {""}:
            by_hash.setdefault(key, []).append(entry)
    for i, copy in enumerate(copies):
        if same := by_hash.get(copy.pixels) or (by_hash.get(copy.file) if copy.pixels else None):
            take(i, same)
    bits = np.array([entry.hash_bits() for entry in entries])
    for i, copy in enumerate(copies):
        if matched[i] is None and copy.pixels:
            distance = np.count_nonzero(bits != copy.hash_bits, axis=1)
            nearest = np.argsort(distance, kind="stable")
            if near := [entries[k] for k in nearest if distance[k] <= leaks.SAME_PICTURE]:
                take(i, near)
    return matched


def compare(copies: Sequence[Copy], name: str, entries: Sequence[Entry]) -> Comparison:
    """Judge each file of a folder beside the image of the set that it shows."""
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


def judge(copy: Copy, entry: Entry) -> tuple[str, str]:
    """Say what is wrong with a file that shows the picture of ``entry``: a kind, and how."""
    pixels, (height, width, *colours) = copy.identity
    if pixels == entry.pixels and (height, width) == (entry.height, entry.width):
        if colours and entry.channels == 1:
            return GREY_AS_RGB, "a grey image is its own luma; as RGB its luma spans 16 to 235"
        return SAME, ""
    if entry.file == copy.file:
        return DECODED, "the very file; this machine's JPEG decoder rounds otherwise"
    if (height, width) != (entry.height, entry.width):
        sizes = f"{width}x{height} instead of {entry.width}x{entry.height}"
        if entry.crops.get(f"{width}x{height}") == pixels[:16]:
            return "cropped", f"{sizes}, the top left part pixel for pixel"
        cut = entry.height - height, entry.width - width
        return ("cropped" if min(cut) >= 0 and max(cut) <= LARGEST_CUT else "resized"), sizes
    image = copy.image
    rgb = as_rgb(image)
    if entry.channels == 3 and (rgb == rgb[..., :1]).all():
        luma = "as RGB" if colours else "its luma spans 0 to 255 instead of 16 to 235"
        return "greyscale", f"no colour; {luma}"
    difference = entry.difference(image)
    largest, rms = np.abs(difference).max(), np.sqrt(np.mean(difference**2.0))
    # Rounding differs by ±1. A decoder with a fast, inexact transform or with chroma that is merely repeated
    # differs by far more. Its copy is another one, and counts as recompressed.
    lossy = FORMATS.get(copy.path.suffix.lower()) in ("JPEG", "WEBP")
    if entry.file and largest <= 1 and not lossy:
        return DECODED, "no sampled value differs by more than 1 grey level"
    return "recompressed", f"or altered: differs by {rms:.1f} grey levels rms, by up to {largest}"
