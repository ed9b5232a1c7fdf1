"""The named image sets, the bundled photographs, and the images of a folder."""

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import skimage

from vdsrlib.errors import InputError, explain_read_error
from vdsrlib.imaging.formats import FORMATS
from vdsrlib.utils.paths import user_path

TRAINING_SETS = ("T91", "BSD200")
"""The paper's 291 training images (section 5.1)."""

TEST_SETS = ("Set5", "Set14", "B100", "Urban100")
"""The paper's benchmarks."""

ALL_TRAINING_SETS = (*TRAINING_SETS, "CID22")
ALL_TEST_SETS = (*TEST_SETS, "Kodak24")
"""The paper's sets, and those that are known beside them: nothing uses these unless they are named."""

# scikit-image installs these photographs with itself, so the tutorial needs no data set.
EMBEDDED_TRAIN = (
    "brick.png",
    "camera.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
EMBEDDED_TEST = ("astronaut.png", "chelsea.png", "coffee.png")
EMBEDDED_TRAIN_NAME = "scikit-image photographs (training)"
EMBEDDED_NAME = "scikit-image photographs (test)"


def embedded(names: Sequence[str]) -> list[Path]:
    """Return the paths of bundled photographs.

    >>> [path.name for path in embedded(EMBEDDED_TEST)]
    ['astronaut.png', 'chelsea.png', 'coffee.png']
    """
    return [Path(skimage.__file__).parent / "data" / name for name in names]


def data_root(data_path: str | Path | None = None) -> Path | None:
    """Find the folder of data sets: ``data_path``, else the variable VDSR_DATA, else None.

    A ``data_path`` that is no folder may name a set in the folder that VDSR_DATA names. It may also name
    several sets, such as T91+BSD200+CID22, and their folder is then returned. A relative VDSR_DATA counts
    from the current folder. If nothing is there, it counts from the folder of the shell that started the
    program, which the kernel of a notebook has left; the variable PWD names it.

    Raises:
        InputError: the folder does not exist, or cannot be reached.
    """
    root, source = _variable(), "The variable VDSR_DATA"
    if data_path:
        if root and _set_folders(root, data_path):
            return root
        named = root / str(data_path) if root else None
        root, source = user_path(data_path), "data_path"
        if named and not os.path.exists(root) and os.path.isdir(named):  # noqa: PTH110, PTH112  never raise
            root = named
    if root is None:
        return None
    with explain_read_error(root):
        if not root.is_dir():
            raise InputError(f"{source} names {root}, which is not a folder.")
    return root


def _set_folders(root: Path, data_path: str | Path) -> list[Path]:
    """Return the folders of the sets that T91+BSD200+CID22 names; none where it is not of this form."""
    folders = [root / name for name in str(data_path).split("+")]
    several = len(folders) > 1 and all(map(os.path.isdir, folders))
    return folders if several else []


def _variable() -> Path | None:
    """Return the folder that VDSR_DATA names, whether it is there or not."""
    if not (value := os.environ.get("VDSR_DATA")):
        return None
    written = user_path(value)
    started = Path(os.environ.get("PWD", ""), written)
    # os.path answers for any name, however long, and wherever a link leads.
    return started if os.path.exists(started) and not os.path.lexists(written) else written  # noqa: PTH110


def list_images(folder: str | Path, suffixes: Collection[str] = FORMATS) -> list[Path]:
    """List the images of a folder by name: files with one of the suffixes, other than hidden ones.

    A link that leads nowhere, or where nothing can be read, is among them: what reads it says so. The
    folders in it are not looked into.

    Raises:
        InputError: there is no such folder, it cannot be read, or there is no image in it.
    """
    folder = user_path(folder)
    with explain_read_error(folder):
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}.")
        found = sorted(folder.iterdir())
    paths = [path for path in found if _is_image(path, suffixes)]
    if paths:
        return paths
    inner = [path.name for path in found if os.path.isdir(path) and _holds_images(path, suffixes)]  # noqa: PTH112
    if inner:
        names = ", ".join(inner[:3]) + (", …" if len(inner) > 3 else "")
        raise InputError(
            f"There is no image in {folder} itself, but in its folders: {names}. Name one of them."
        )
    raise InputError(f"There is no image in {folder} (looked for {', '.join(sorted(suffixes))}).")


def _is_image(path: Path, suffixes: Collection[str]) -> bool:
    # os.path never raises, also where a link leads into a place that cannot be entered.
    is_file = os.path.isfile(path) or not os.path.exists(path)  # noqa: PTH110, PTH113
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and is_file


def _holds_images(folder: Path, suffixes: Collection[str]) -> bool:
    with suppress(OSError):
        return any(_is_image(path, suffixes) for path in folder.iterdir())
    return False


def image_set(name: str | Path) -> list[Path]:
    """List the images of a folder, or of the set of that name in the folder that VDSR_DATA names.

    Raises:
        InputError: there is neither, or no image in it.
    """
    folder = user_path(name)
    with explain_read_error(name):
        if not folder.is_dir() and (root := data_root()):
            folder = root / name
        if not folder.is_dir():
            sentence = f"There is no folder {name}, nor a set of that name in a folder named by VDSR_DATA."
            raise InputError(sentence)
    return list_images(folder)


def training_images(data_path: str | Path | None = None, *, stand_in: bool = False) -> tuple[str, list[Path]]:
    """Find the training set: its name and paths.

    Args:
        data_path: a folder of images, one that holds T91 and BSD200, the name of a set such as CID22, or of
            several, such as T91+BSD200+CID22; default: the variable VDSR_DATA. Without either, the bundled
            photographs are the training set.
        stand_in: take the bundled photographs also where the folder holds other known sets alone.

    Raises:
        InputError: there is no such folder, or no image for training in it.
    """
    root = data_root(data_path)
    if root is None:
        return EMBEDDED_TRAIN_NAME, embedded(EMBEDDED_TRAIN)
    if data_path and (folders := _set_folders(root, data_path)):
        return str(data_path), [path for folder in folders for path in list_images(folder)]
    sets = [name for name in TRAINING_SETS if (root / name).is_dir()]
    if sets:
        return "+".join(sets), [path for name in sets for path in list_images(root / name)]
    others = [name for name in (*ALL_TRAINING_SETS, *ALL_TEST_SETS) if (root / name).is_dir()]
    try:
        return root.name, list_images(root)
    except InputError:
        if not others:
            raise
        if stand_in:
            return EMBEDDED_TRAIN_NAME, embedded(EMBEDDED_TRAIN)
        raise InputError(
            f"{root} holds neither T91 nor BSD200, only {', '.join(others)}. Get the training sets with "
            f"vdsr data get 291 --to {root}, or name a folder of images."
        ) from None


def benchmark_images(name: str = "Set5", data_path: str | Path | None = None) -> tuple[str, list[Path]]:
    """Find the benchmark ``name`` under ``data_path``, else where VDSR_DATA says: its name and paths.

    Without a data folder, or where none holds such a set, the bundled test photographs stand in for the
    known sets. The name that comes back says which: print it.

    Raises:
        InputError: the name is neither a folder there nor one of ``ALL_TEST_SETS``.
    """
    root, name = data_root(data_path), str(name)
    for folder in (root, _variable()):
        if folder and name and os.path.isdir(folder / name):  # noqa: PTH112  which never raises
            return name, list_images(folder / name)
    if name in (*ALL_TEST_SETS, EMBEDDED_NAME):
        return EMBEDDED_NAME, embedded(EMBEDDED_TEST)
    inside = sorted(path.name for path in root.iterdir() if path.is_dir()) if root else []
    where = f"no folder {name} in {root}" if root else f"no image set {name}"
    known = ", ".join(dict.fromkeys([*inside, *ALL_TEST_SETS]))
    raise InputError(f"There is {where}; write one of {known}.")
