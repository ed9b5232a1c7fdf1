"""Training images: HR alone, which is degraded, or HR with LR of its own."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vdsrlib.datasets.catalog import training_images
from vdsrlib.errors import InputError
from vdsrlib.evaluation.pairing import find_pairs
from vdsrlib.imaging.crops import paired_size
from vdsrlib.imaging.image_file import read_image
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.validation import Images
from vdsrlib.utils.logs import logger
from vdsrlib.utils.text import shorten


@dataclass(frozen=True)
class Pairs:
    """Real pairs to train on: no LR is made of HR.

    Attributes:
        hr: a folder of images, as ``train`` takes it, or None for VDSR_DATA.
        lr: a folder of LR images. Files are paired by name, see ``evaluation.pairing.pair_by_name``.
    """

    hr: str | Path | None
    lr: str | Path


Data = str | Path | Images | Pairs | None


class TrainingImages(NamedTuple):
    """A training set: its name, the HR images, and the LR of each, or None where HR is degraded."""

    name: str
    hr: Sequence[Path]
    lr: Sequence[Path] | None = None


def find_training_images(data: Data, *, skip_broken: bool = False) -> TrainingImages:
    """Find what ``train`` takes as its data.

    Args:
        data: see ``trainer.train``.
        skip_broken: leave out files without a partner, instead of raising.

    Raises:
        InputError: there is no such folder, no image in it, or a file without a partner.
    """
    if isinstance(data, tuple):
        return TrainingImages(*data)
    if not isinstance(data, Pairs):
        return TrainingImages(*training_images(data))
    name, hr = training_images(data.hr)
    pairs, problems = find_pairs(data.lr, hr, skip_broken=skip_broken)
    if problems:
        logger.info(f"Left out: {shorten(problems, separator='; ')}.")
    return TrainingImages(f"pairs of {name}", list(pairs), list(pairs.values()))


def fit_recipe(recipe: Recipe, images: TrainingImages) -> Recipe:
    """Change a recipe to what pairs allow: their one scale, and images as they are.

    Raises:
        InputError: the first pair that can be read fits none of the recipe's scales.
    """
    if images.lr is None:
        return recipe
    for hr_path, lr_path in zip(images.hr, images.lr, strict=True):
        with suppress(InputError):
            hr, lr = read_image(hr_path), read_image(lr_path)
            break
    else:
        raise InputError(f"None of the {len(images.hr)} pairs can be read.")
    sentences = []
    for scale in recipe.scales:
        try:
            paired_size(hr, lr, scale)
        except InputError as error:
            sentences.append(str(error))
        else:
            alone = {"rescale_factors": (1.0,), "degrade_patch": False, "damage": "none"}
            return recipe.replace(scales=(scale,), **alone)
    raise InputError(f"{lr_path} fits {hr_path} at none of the recipe's scales: {'; '.join(sentences)}")
