"""Plan which images of a folder to enlarge, and the name of each result."""

import os
from dataclasses import dataclass
from pathlib import Path

from vdsrlib.errors import InputError, explain_read_error
from vdsrlib.imaging.formats import FORMATS, READABLE

Job = tuple[Path, Path]

SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tif": ".tif"}
"""The formats that all results of a folder can be written in."""


@dataclass(frozen=True)
class FolderPlan:
    """What is to be done in a folder.

    Attributes:
        jobs: each image and the name of its result, by name.
        others: files that are no images by their names; relative to the folder.
        folders: subfolders that are not looked into; relative to the folder.
        locked: a sentence for every subfolder that cannot be read.
    """

    jobs: list[Job]
    others: list[str]
    folders: list[str]
    locked: list[str]


def plan_folder(
    source: Path, target: Path, *, recursive: bool = False, suffix: str = "", kind: str = "keep"
) -> FolderPlan:
    """Plan what becomes of a folder's images.

    A link that leads nowhere, or to what cannot be read, is an image by its name: what reads it says so.
    Hidden files and folders are left alone, and so is ``target`` if it lies inside ``source``.

    Args:
        source: the folder of images.
        target: the folder of results; with ``recursive``, it gets the same subfolders.
        recursive: whether subfolders are looked into.
        suffix: is put behind the name, before the format: "_x2" makes a_x2.png of a.png.
        kind: a key of ``SUFFIXES``; or "keep" for each image's own format, and PNG where that cannot be
            written (GIF).

    Raises:
        InputError: there is no image in ``source``, two of them would get one name, or ``target`` is a file's
            name or the same folder.
    """
    # os.path answers for any name, however long, and for a link that leads to itself
    if target.suffix.lower() in FORMATS or os.path.isfile(target):  # noqa: PTH113
        raise InputError(f"{source} is a folder; {target} must be a folder, too, for the results")
    if os.path.exists(target) and target.samefile(source):  # noqa: PTH110
        raise InputError(f"{target} is the folder of the images themselves; write to another one")
    images, others, folders, locked = _walk(source, target, recursive)
    if not images:
        where = f", but in {len(folders)} subfolders --recursive may find some" if folders else ""
        raise InputError(f"there is no image in {source}{where}; looked for {', '.join(sorted(READABLE))}")
    sources: dict[Path, Path] = {}
    for path in images:
        new = target / path.relative_to(source).with_name(_result_name(path, suffix, kind))
        if new in sources:
            raise InputError(f"{sources[new]} and {path} would both become {new}; rename one of them")
        sources[new] = path
    return FolderPlan([(path, new) for new, path in sources.items()], others, folders, locked)


def _walk(source: Path, target: Path, recursive: bool) -> tuple[list[Path], list[str], list[str], list[str]]:
    """Find images, other files, subfolders that are left out, and why others cannot be read."""
    images: list[Path] = []
    others: list[str] = []
    folders: list[str] = []
    locked: list[str] = []

    def note(error: OSError) -> None:
        locked.append(f"{error.filename} cannot be read ({error.strerror})")

    with explain_read_error(source):
        os.listdir(source)  # noqa: PTH208  the folder itself must be readable
    for name, inner, files in os.walk(source, onerror=note):
        folder = Path(name)
        inner[:] = sorted(part for part in inner if part[0] != "." and not _is_same(folder / part, target))
        for file in sorted(files):
            if file.startswith("."):
                continue
            path = folder / file
            known = path.suffix.lower() in READABLE
            if known and (os.path.isfile(path) or not os.path.exists(path)):  # noqa: PTH110, PTH113
                images.append(path)
            else:
                others.append(str(path.relative_to(source)))
        if not recursive:
            folders += inner
            inner.clear()
    return images, others, folders, locked


def _is_same(folder: Path, target: Path) -> bool:
    return os.path.exists(target) and os.path.samefile(folder, target)  # noqa: PTH110, PTH121


def _result_name(path: Path, suffix: str, kind: str) -> str:
    """Name a result; what is only read (GIF) keeps its whole name before .png."""
    if kind != "keep":
        return f"{path.stem}{suffix}{SUFFIXES[kind]}"
    if path.suffix.lower() in FORMATS:
        return f"{path.stem}{suffix}{path.suffix}"
    return f"{path.name}{suffix}.png"
