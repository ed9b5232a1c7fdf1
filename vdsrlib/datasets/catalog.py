"""The named image sets, the bundled photographs, and the images of a folder."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import skimage

from vdsrlib.errors import InputError, explain_read_error
from vdsrlib.imaging.formats import FORMATS


def data_root(data_path: str | Path | None = None) -> Path | None:
    """The folder of data sets: ``data_path``, else the variable VDSR_DATA, else None.

    Raises:
        InputError: the folder does not exist, or cannot be reached.
    """
    chosen = data_path or os.environ.get("VDSR_DATA")
    if not chosen:
        return None
    root = Path(chosen).expanduser()
    with explain_read_error(root):
        if not root.is_dir():
            source = "data_path" if data_path else "The variable VDSR_DATA"
            raise InputError(f"{source} names {root}, which is not a folder.")
    return root


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
EMBEDDED_NAME = "scikit-image photographs (test)"


def list_images(folder: str | Path, suffixes: Collection[str] = FORMATS) -> list[Path]:
    """The images of a folder, by name: files with one of the suffixes, other than hidden ones.

    A link that leads nowhere, or where nothing can be read, is among them: what reads it says so.

    Raises:
        InputError: there is no such folder, it cannot be read, or there is no image in it.
    """
    folder = Path(folder)
    with explain_read_error(folder):
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}.")
        paths = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes
            and not path.name.startswith(".")
            and (os.path.isfile(path) or not os.path.exists(path))  # noqa: PTH110, PTH113  these never raise
        )
    if not paths:
        raise InputError(f"There is no image in {folder} (looked for {', '.join(sorted(suffixes))}).")
    return paths


def image_set(name: str | Path) -> list[Path]:
    """The images of a folder, or of the set of that name in the folder that the variable VDSR_DATA names.

    Raises:
        InputError: there is neither, or no image in it.
    """
    folder = Path(name)
    with explain_read_error(name):
        if not folder.is_dir() and (root := data_root()):
            folder = root / name
        if not folder.is_dir():
            sentence = f"There is no folder {name}, nor a set of that name in a folder named by VDSR_DATA."
            raise InputError(sentence)
    return list_images(folder)


def embedded(names: Sequence[str]) -> list[Path]:
    """Paths of the bundled photographs of those names."""
    return [Path(skimage.__file__).parent / "data" / name for name in names]


def training_images(data_path: str | Path | None = None) -> tuple[str, list[Path]]:
    """Name and paths of the training set.

    ``data_path`` (default: the variable VDSR_DATA) is either a folder of images or a folder that
    holds T91 and BSD200; without either, the bundled photographs are used.
    """
    root = data_root(data_path)
    if root is None:
        return "scikit-image photographs (training)", embedded(EMBEDDED_TRAIN)
    sets = [name for name in TRAINING_SETS if (root / name).is_dir()]
    if sets:
        return "+".join(sets), [path for name in sets for path in list_images(root / name)]
    return root.name, list_images(root)


def benchmark_images(name: str = "Set5", data_path: str | Path | None = None) -> tuple[str, list[Path]]:
    """Name and paths of the benchmark ``name`` under ``data_path`` (default: VDSR_DATA).

    Without a data folder, or where it holds no such set, the bundled test photographs stand in for the
    known sets. The name that comes back says which: print it.

    Raises:
        InputError: the name is neither a folder there nor one of ``TEST_SETS``.
    """
    root = data_root(data_path)
    if root and (root / name).is_dir():
        return name, list_images(root / name)
    if name in (*TEST_SETS, EMBEDDED_NAME):
        return EMBEDDED_NAME, embedded(EMBEDDED_TEST)
    inside = sorted(path.name for path in root.iterdir() if path.is_dir()) if root else []
    where = f"no folder {name} in {root}" if root else f"no image set {name}"
    raise InputError(f"There is {where}; write one of {', '.join(dict.fromkeys([*inside, *TEST_SETS]))}.")
