"""Pixels of the training images: decoded and degraded once, in memory or in files.

All images lie in one flat tensor, so that a batch of patches from any images is a single gather.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import to_float
from vdsrlib.imaging.crops import modcrop_length, paired_size
from vdsrlib.imaging.image_file import read_image
from vdsrlib.imaging.resize import imresize
from vdsrlib.protocol import get_protocol
from vdsrlib.training.recipe import Recipe
from vdsrlib.utils.atomic import atomic_folder, write_json
from vdsrlib.utils.hashing import hash_files, hash_json
from vdsrlib.utils.locks import file_lock
from vdsrlib.utils.paths import user_path


@dataclass
class Index:
    """What lies where among the pixels.

    Attributes:
        sizes: (height, width) of each image, in order.
        skipped: names of images smaller than a patch.
        broken: names of images that cannot be read.
    """

    sizes: list[tuple[int, int]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


@dataclass
class Pixels:
    """Pixels of training images.

    Attributes:
        hr: uint8, image after image, each channels x height x width.
        ilr: float32 in [0, 1], image after image, each scales x channels x height x width; empty where
            patches are degraded by themselves.
        index: their sizes.
        folder: of the files that the tensors are mapped from; None in memory.
    """

    hr: Tensor
    ilr: Tensor
    index: Index
    folder: Path | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory, or on disk."""
        return self.hr.nbytes + self.ilr.nbytes


def load_pixels(
    recipe: Recipe,
    paths: Sequence[Path],
    *,
    device: torch.device | str = "cpu",
    store: str | Path | None = None,
    skip_broken: bool = False,
    progress: bool = False,
    lr: Sequence[Path] | None = None,
) -> Pixels:
    """Decode and degrade images as a recipe wants it, or open what was prepared before.

    Args:
        recipe: its protocol, scales, rescale_factors, patch_size and degrade_patch count.
        paths: HR images. Those smaller than a patch are left out.
        device: where the pixels lie: HR takes 1 byte a sample, ILR 4 bytes a sample and scale.
        store: a folder; the pixels then lie in files there, are read as they are needed, and may be more
            than memory holds. They are prepared once for the same images and degradation.
        skip_broken: leave out images that cannot be read.
        progress: show a bar while images are decoded.
        lr: the LR of each HR image, which is interpolated; None to degrade HR.

    Raises:
        InputError: an image cannot be read, none is as large as a patch, or the store's disk is full.
    """
    pairs = list(zip(paths, lr or itertools.repeat(None, len(paths)), strict=True))
    bar = tqdm(pairs, "Decode and degrade", disable=not progress, leave=False)
    prepare = partial(_prepare, recipe, bar, skip_broken)
    if store is not None:
        return _open(
            _find_or_write(user_path(store) / _key(recipe, [*paths, *(lr or ())], skip_broken), prepare),
            recipe,
        )
    hr, ilr = io.BytesIO(), io.BytesIO()
    index = prepare(hr, ilr)
    return Pixels(
        _as_tensor(hr.getbuffer(), torch.uint8).to(device),
        _as_tensor(ilr.getbuffer(), torch.float32).to(device),
        index,
    )


def _prepare(
    recipe: Recipe,
    pairs: Iterable[tuple[Path, Path | None]],
    skip_broken: bool,
    hr_file: BinaryIO,
    ilr_file: BinaryIO,
) -> Index:
    """Write image after image: HR as channels x pixels, ILR as scales x channels x pixels."""
    protocol, index = get_protocol(recipe.protocol), Index()
    for path, lr_path in pairs:
        try:
            image = read_image(path)
            lr = read_image(lr_path) if lr_path else None
            if lr is not None:
                height, width = _paired_size(path, image, lr, recipe.scales[0])
                image = image[:height, :width]
        except InputError:
            if not skip_broken:
                raise
            index.broken.append(path.name)
            continue
        whole = np.atleast_3d(protocol.samples(image))
        for factor in recipe.rescale_factors:
            hr = whole if factor == 1 else imresize(whole, factor)
            height, width = _usable_size(recipe, hr)
            if min(height, width) < recipe.patch_size:
                index.skipped.append(path.name + (f" x{factor:g}" if factor != 1 else ""))
                continue
            index.sizes.append((height, width))
            hr_file.write(_plane_bytes(hr[:height, :width]))
            for scale in () if recipe.degrade_patch else recipe.scales:
                crop = hr[: modcrop_length(hr.shape[0], scale), : modcrop_length(hr.shape[1], scale)]
                if lr is None:
                    ilr = protocol.degrade(to_float(crop), scale)[1]
                else:
                    ilr = np.atleast_3d(protocol.interpolate(lr, *crop.shape[:2]))
                ilr_file.write(_plane_bytes(ilr[:height, :width].astype(np.float32)))
    if not index.sizes:
        side = recipe.patch_size
        raise InputError(
            f"None of the {len(index.skipped)} images is as large as a patch of {side} x {side} pixels; use "
            "larger images or a smaller patch."
            if index.skipped
            else f"None of the {len(index.broken)} images can be read."
        )
    return index


def _paired_size(path: Path, hr: np.ndarray, lr: np.ndarray, scale: float) -> tuple[int, int]:
    try:
        return paired_size(hr, lr, scale)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _usable_size(recipe: Recipe, hr: np.ndarray) -> tuple[int, int]:
    """Height and width of the part of an image that is a multiple of every scale."""
    if recipe.degrade_patch:
        return hr.shape[0], hr.shape[1]
    height, width = (min(modcrop_length(side, scale) for scale in recipe.scales) for side in hr.shape[:2])
    return height, width


def _key(recipe: Recipe, paths: Sequence[Path], skip_broken: bool) -> str:
    """Name the pixels by all that they depend on."""
    content = [
        recipe.protocol,
        recipe.scales,
        recipe.rescale_factors,
        recipe.patch_size,
        recipe.degrade_patch,
        skip_broken,
        hash_files(paths),
    ]
    return hash_json(content)[:16]


def _find_or_write(folder: Path, prepare: Callable[[BinaryIO, BinaryIO], Index]) -> Path:
    """Return the folder, written if it is not there."""
    if not (folder / "index.json").exists():
        with file_lock(folder.parent / "lock"):  # one of several processes prepares, and the others wait
            if not (folder / "index.json").exists():
                _write(folder, prepare)
    return folder


def _write(folder: Path, prepare: Callable[[BinaryIO, BinaryIO], Index]) -> None:
    # The files are written beside and renamed whole: a folder of that name is complete.
    with atomic_folder(folder) as temporary, ExitStack() as stack:
        hr, ilr = (stack.enter_context((temporary / name).open("wb")) for name in ("hr", "ilr"))
        write_json(temporary / "index.json", vars(prepare(hr, ilr)))
        # Temporary folders are private; whoever may read this one's files may enter it.
        mode = (temporary / "index.json").stat().st_mode
        with suppress(OSError):  # network and Windows file systems refuse it
            temporary.chmod(0o700 | mode | (mode & 0o444) >> 2)


def _open(folder: Path, recipe: Recipe) -> Pixels:
    """Map the files of a folder, whose lengths must be those of its index: to read beyond an end is fatal."""
    try:
        index = Index(**json.loads((folder / "index.json").read_text(encoding="utf-8")))
        index.sizes = [(int(height), int(width)) for height, width in index.sizes]  # which JSON makes lists
        samples = get_protocol(recipe.protocol).channels * sum(
            height * width for height, width in index.sizes
        )
        wanted = {"hr": samples, "ilr": 0 if recipe.degrade_patch else 4 * len(recipe.scales) * samples}
        for name, length in wanted.items():
            if (found := (folder / name).stat().st_size) != length:
                raise InputError(f"{name} has {found} bytes, not {length}")
        return Pixels(
            _memory_mapped(folder / "hr", torch.uint8),
            _memory_mapped(folder / "ilr", torch.float32),
            index,
            folder,
        )
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder} is damaged ({error}); remove it, and it is prepared again.") from error


def _plane_bytes(image: np.ndarray) -> bytes:
    """H x W x C as the bytes of C planes."""
    return image.transpose(2, 0, 1).tobytes()


def _as_tensor(buffer: memoryview, dtype: torch.dtype) -> Tensor:
    """The numbers in memory; there are none where patches are degraded by themselves."""
    return torch.frombuffer(buffer, dtype=dtype) if len(buffer) else torch.empty(0, dtype=dtype)


def _memory_mapped(path: Path, dtype: torch.dtype) -> Tensor:
    """The numbers in a file, read as they are needed; nothing is written back to it."""
    count = path.stat().st_size // dtype.itemsize
    if not count:
        return torch.empty(0, dtype=dtype)
    return torch.from_file(str(path), shared=False, size=count, dtype=dtype)
