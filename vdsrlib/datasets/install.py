"""Pick a set's images out of whatever holds them, and make the set's folder in one step."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from vdsrlib.datasets import comparison
from vdsrlib.datasets.archives import Members
from vdsrlib.datasets.comparison import DAMAGES, LARGEST_CUT, Comparison, Copy
from vdsrlib.datasets.manifest import Entry
from vdsrlib.datasets.sources import Source
from vdsrlib.errors import InputError, explain_write_error
from vdsrlib.imaging.formats import FORMATS
from vdsrlib.imaging.image_file import save_image

USABLE = (comparison.SAME, comparison.DECODED, comparison.GREY_AS_RGB)  # the last is put right: written grey


class NotTheDataset(Exception):
    """A file or folder does not hold the right copy of a set."""


def install(source: Source, members: Members, to: Path, work: Path) -> None:
    """Make the set's folder, whole and verified, or leave everything as it was.

    Args:
        source: the set.
        members: images that may belong to it, as ``archives.archived_images`` gives them.
        to: the folder of the sets; its folder for this one must be empty where it exists.
        work: a folder on the same disk, for what is not finished.

    Raises:
        NotTheDataset: the set is not among them, or not whole, or not as it should be.
        WriteError: the folder cannot be written, or the disk is full.
    """
    folder, stage = to / source.name, work / "stage"
    shutil.rmtree(stage, ignore_errors=True)  # of a run that was killed
    try:
        with explain_write_error(to):
            ready = stage / source.name
            ready.mkdir(parents=True)
            if source.entries:
                _pick_by_pixels(source, members, stage, ready)
            else:
                _pick_by_folder(source, members, ready)
            if folder.exists():
                folder.rmdir()  # it is empty
            ready.replace(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def find_faults(source: Source, paths: Sequence[Path]) -> str:
    """Say what is wrong with a set's images; empty where they are right."""
    if source.entries:
        return comparison.compare([Copy(path) for path in paths], source.name, source.entries).faults()
    return "" if len(paths) == source.count else f"it has {len(paths)} images instead of {source.count}"


def _pick_by_pixels(source: Source, members: Members, stage: Path, ready: Path) -> None:
    """Take the images whose pixels prove them."""
    copies: list[Copy] = []
    for path, content in _readable(members):
        if _is_plausible(content, source.entries):
            file = stage / f"{len(copies)}{PurePosixPath(path).suffix.lower()}"
            file.write_bytes(content)
            copies.append(Copy(file))
    done: set[str] = set()
    for copy, entry in zip(copies, comparison.match(copies, source.entries), strict=True):
        if entry and entry.name not in done and comparison.judge(copy, entry)[0] in USABLE:
            done.add(entry.name)
            _place(copy, entry, ready)
    if len(done) < len(source.entries):
        rest = [entry for entry in source.entries if entry.name not in done]
        found: Comparison = comparison.compare(
            [copy for copy in copies if copy.path.exists()], source.name, rest
        )
        raise NotTheDataset(
            f"{len(done)} of the {len(source.entries)} images of {source.name} are right; "
            f"{found.faults(DAMAGES)}"
        )


def _is_plausible(content: bytes, entries: Sequence[Entry]) -> bool:
    """Tell by its header whether an image is as large as one of the set, or little smaller."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            width, height = file.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    cuts = range(LARGEST_CUT + 1)
    return any(entry.height - height in cuts and entry.width - width in cuts for entry in entries)


def _place(copy: Copy, entry: Entry, ready: Path) -> None:
    """Put an image into the folder under the set's name for it: the file as it is, or its pixels as PNG."""
    target = ready / Path(entry.name).with_suffix(copy.path.suffix)
    image = copy.image
    if image.ndim == 3 and entry.channels == 1:
        save_image(target.with_suffix(".png"), image[..., 0])
    elif FORMATS[copy.path.suffix] in ("PNG", "JPEG"):
        copy.path.replace(target)
    else:
        save_image(target.with_suffix(".png"), image)


def _pick_by_folder(source: Source, members: Members, ready: Path) -> None:
    """Take the images of a folder by their number alone."""
    for path, content in _readable(members):
        if source.folder in PurePosixPath(path).parts[:-1]:
            (ready / PurePosixPath(path).name).write_bytes(content)
    found = len(list(ready.iterdir()))
    if found != source.count:
        raise NotTheDataset(f"there are {found} images in a folder {source.folder} instead of {source.count}")


def _readable(members: Members) -> Members:
    """Pass the members on; an archive that is broken or refused does not hold the set."""
    try:
        yield from members
    except InputError as error:
        raise NotTheDataset(str(error)) from error
