"""The images of a study."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vdsrlib.datasets.catalog import (
    EMBEDDED_TEST,
    EMBEDDED_TRAIN,
    benchmark_images,
    data_root,
    embedded,
    list_images,
    training_images,
)
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.training.validation import Images
from vdsrlib.utils.paths import user_path

VALIDATION_SET = "Set5"  # unless another one is asked for


class StudyImages(NamedTuple):
    """The training and validation images of a study: name and paths of each."""

    training: Images
    validation: Images


def study_images(
    size: str, root: str | Path, data_path: str | Path | None = None, validation_set: str = VALIDATION_SET
) -> StudyImages:
    """Find the training and validation images of a study.

    A micro study without ``data_path`` uses small squares of scikit-image's photographs, cut into ``root``,
    also where VDSR_DATA is set. Otherwise T91 alone where it is there, as in the paper's own analysis, and
    else what ``training_images`` finds.

    Args:
        size: "micro" or "full".
        root: folder of the runs.
        data_path: folder that holds T91 and the benchmarks, or of images.
        validation_set: benchmark to score with.

    Raises:
        InputError: a benchmark is asked for where there are only squares; or there are no such images.
    """
    if size == "micro" and not data_path:
        if validation_set != VALIDATION_SET:
            raise InputError(
                f"A micro study without data_path is scored on squares of photographs, not on "
                f"{validation_set}; add a data_path, or leave out the validation_set."
            )
        training = _cut_squares(user_path(root) / "images", EMBEDDED_TRAIN, 4)
        validation = _cut_squares(user_path(root) / "images", EMBEDDED_TEST, 2)
        return StudyImages(
            (f"{len(training)} squares of scikit-image photographs", training),
            (f"{len(validation)} squares of other photographs", validation),
        )
    found = data_root(data_path)
    images = training_images(data_path)
    if found and (found / "T91").is_dir():
        images = "T91", list_images(found / "T91")
    return StudyImages(images, benchmark_images(validation_set, data_path))


def _cut_squares(folder: Path, names: Sequence[str], each: int, side: int = 96) -> list[Path]:
    """Cut ``each`` squares along every photograph's diagonal; the first of all photographs come first."""
    paths = []
    for i in range(1, each + 1):
        for source in embedded(names):
            path = folder / f"{source.stem}-{i}.png"
            if not path.exists():
                image = read_image(source)
                top, left = ((length - side) * i // (each + 1) for length in image.shape[:2])
                save_image(path, image[top : top + side, left : left + side])
            paths.append(path)
    return paths
