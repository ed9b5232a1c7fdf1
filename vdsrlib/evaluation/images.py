"""Find the images that are to be scored."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vdsrlib.datasets.catalog import image_set
from vdsrlib.errors import InputError
from vdsrlib.utils.paths import user_path
from vdsrlib.utils.text import shorten

_LR = (" LR", ".LR", "_LR", "-LR")


def find_images(images: str | Path | Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """Find the images of a set, of a folder, or of a list of paths.

    Returns:
        Their paths, and a sentence for each kind of file in the folder that is not among them.

    Raises:
        InputError: there is no such set or folder, there is no image, or ``images`` is something else.
    """
    if isinstance(images, str | Path):
        return _without_lr(image_set(images))
    paths = [_path(image) for image in images] if isinstance(images, Iterable) else [_path(images)]
    if not paths:
        raise InputError("there is no image to score")
    return paths, []


def check_unique_stems(paths: Iterable[Path]) -> None:
    """Raise InputError if two images have one name, as ``a.png`` and ``a.bmp``: rows are told apart by it."""
    known: dict[str, Path] = {}
    for path in paths:
        if path.stem in known:
            raise InputError(f"{known[path.stem]} and {path} have one name; rename or remove one of them")
        known[path.stem] = path


def _path(image: Any) -> Path:
    if not isinstance(image, str | Path):
        raise InputError(
            f"images must be the name of a set, a folder or paths of images, got {type(image).__name__}"
        )
    return user_path(image)


def _without_lr(paths: list[Path]) -> tuple[list[Path], list[str]]:
    """Leave out LR beside its HR (Huang et al. 2015: img_001_SRF_4_LR); say what else is not scored."""
    names = {path.stem for path in paths}
    lr = {path for path in paths if path.stem[-3:] in _LR and f"{path.stem[:-2]}HR" in names}
    folder = paths[0].parent
    others = sorted({name for name in os.listdir(folder) if name[0] != "."} - {path.name for path in paths})  # noqa: PTH208
    notes = []
    if lr:
        notes.append(
            f"{folder}: not scored, LR of an HR beside it: {shorten(sorted(path.name for path in lr))}"
        )
    if others:
        notes.append(f"{folder}: not scored, no images by their names: {shorten(others)}")
    return [path for path in paths if path not in lr], notes
