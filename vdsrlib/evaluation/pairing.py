"""Find the ground truth of each image of a folder by its name."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from vdsrlib.datasets.catalog import image_set
from vdsrlib.errors import InputError
from vdsrlib.evaluation.images import check_unique_stems
from vdsrlib.utils.text import shorten

_SUFFIX = re.compile(
    r"[ ._-]SRF[ ._-]?\d+$"  # Huang et al. 2015: img_001_SRF_4_HR
    r"|[ ._-]?(x\d+(\.\d+)?|\d+(\.\d+)?x)$"  # baby_x4, 0801x4
    r"|[ ._-](SR|HR|GT|out|rlt)$",
    re.IGNORECASE,
)


def pair_by_name(sr: Sequence[Path], hr: Sequence[Path]) -> tuple[dict[Path, Path], list[str]]:
    """Pair images with their ground truth.

    A name fits if it is the same; or if it is the same without suffixes for the scale (``x4``) and the kind
    (``_SR``, ``-HR``, ``_GT``); or else if it goes on behind a separator, as ``baby_SwinIR`` does behind
    ``baby``. The first of these rules that fits decides.

    Args:
        sr: the images.
        hr: the ground truth, of unique names.

    Returns:
        The image of each ground truth that has one, in the order of ``hr``; and a sentence for every image
        and every ground truth that is in no pair.

    Raises:
        InputError: two images of the ground truth have one name.

    >>> hr = [Path("hr/baby.png"), Path("hr/bird.png")]
    >>> pairs, problems = pair_by_name([Path("sr/baby_x4_SR.png"), Path("sr/ape.png")], hr)
    >>> [(one.name, other.name) for one, other in pairs.items()]
    [('baby.png', 'baby_x4_SR.png')]
    >>> problems
    ['sr/ape.png has no ground truth', 'hr/bird.png has no image']
    """
    check_unique_stems(hr)
    find = _finder(hr)
    claims: dict[Path, dict[Path, int]] = {truth: {} for truth in hr}  # by which rule an image fits
    problems = []
    for image in sr:
        rule, truths = find(image.stem)
        if len(truths) == 1:
            claims[truths[0]][image] = rule
        elif truths:
            problems.append(f"{image} fits {_listed(truths)} alike")
        else:
            problems.append(f"{image} has no ground truth")
    pairs = {}
    for truth, images in claims.items():
        best = [image for image, rule in images.items() if rule == min(images.values())]
        if len(best) == 1:
            pairs[truth] = best[0]
            problems += [f"{image} has no ground truth" for image in images if image != best[0]]
        elif best:
            problems.append(f"{_listed(best)} fit {truth} alike")
        else:
            problems.append(f"{truth} has no image")
    return pairs, problems


def find_pairs(
    lr: str | Path, hr: Sequence[Path], *, skip_broken: bool = False
) -> tuple[dict[Path, Path], list[str]]:
    """Find the LR of HR images in a folder.

    Args:
        lr: a folder, or the name of a set in VDSR_DATA; it may hold the HR images, too.
        hr: the images.
        skip_broken: leave out what has no partner, instead of raising.

    Returns:
        The LR of each HR image, and a sentence for each file that was left out.

    Raises:
        InputError: there is no such folder, a file has no partner, or none has.
    """
    pairs, problems = pair_by_name([path for path in image_set(lr) if path not in set(hr)], hr)
    problems = [problem.replace("has no image", "has no LR") for problem in problems]
    if problems and not (skip_broken and pairs):
        raise InputError(shorten(problems, separator="; "))
    return pairs, problems


def _finder(hr: Sequence[Path]) -> Callable[[str], tuple[int, list[Path]]]:
    """Make a function that finds what a name fits, and the number of the rule by which it does."""
    stems, bases = {truth.stem: truth for truth in hr}, defaultdict(list)
    for truth in hr:
        bases[_base(truth.stem)].append(truth)

    def find(stem: str) -> tuple[int, list[Path]]:
        if stem in stems:
            return 0, [stems[stem]]
        if found := bases.get(_base(stem)):
            return 1, found
        name = _normal(stem)
        begins = [name[: mark.start()] for mark in re.finditer("[ ._-]", name)]
        return 2, next((bases[begin] for begin in reversed(begins) if begin in bases), [])

    return find


def _base(stem: str) -> str:
    """Take the suffixes off a name, but never the whole of it."""
    while (shorter := _SUFFIX.sub("", stem)) != stem and shorter:
        stem = shorter
    return _normal(stem)


def _normal(stem: str) -> str:
    """Spell a name in one way: systems differ in case, and in how they write accents."""
    return unicodedata.normalize("NFC", stem).casefold()


def _listed(paths: Sequence[Path]) -> str:
    *others, last = map(str, paths)
    return f"{', '.join(others)} and {last}"
