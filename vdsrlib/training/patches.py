"""Training data: images decoded and degraded once, patches cut and turned by indexing.

All images lie in one flat tensor, on the device or in a file, so a batch of patches from any
images, at any position, scale and orientation is a single gather, on a CPU and on a GPU alike.
"""

import io
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import to_float
from vdsrlib.imaging.crops import modcrop_length
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.imaging.image_file import read_image
from vdsrlib.imaging.resize import imresize
from vdsrlib.protocol import Protocol
from vdsrlib.training.pixel_store import memory_mapped, plane_bytes, tensor_of
from vdsrlib.utils.atomic import atomic_folder, write_json
from vdsrlib.utils.hashing import hash_files, hash_json
from vdsrlib.utils.locks import file_lock
from vdsrlib.utils.paths import user_path

Batch = tuple[Tensor, Tensor]


class TrainingSet:
    """Pairs of ILR and HR patches, drawn as a function of (seed, step) alone.

    The paper's section 3.2: 41 x 41 patches without overlap, all scales mixed in one batch; and 5.1:
    rotated and flipped. Draws are with replacement, and every patch is equally likely, unless
    ``hard_mining_candidates`` is above 1. Nothing is remembered between steps, so a resumed run sees the very
    batches that it would have seen.

    Args:
        paths: HR images. Those smaller than a patch are left out and named in ``skipped``.
        protocol: colour, degradation and range.
        scales: scales to train for.
        patch: side of a patch in pixels.
        random_crops: patches at any position; else on the grid without overlap.
        degrade_patch: cut the HR patch first and degrade it by itself, as the 2018 replication does;
            else degrade the whole image once a scale, and cut HR and ILR at the same place.
        orientations: 1 (as they are), 4 (rotations) or 8 (rotations and flips).
        rescale_factors: factors by which every image is resized; each copy counts as one more image.
        hard_mining_candidates: patches drawn for every one that is used: that whose ILR is furthest from HR.
        seed: of the draws.
        device: where the pixels lie: HR takes 1 byte a sample, ILR 4 bytes a sample and scale.
        store: a folder; the pixels then lie in files there, are read as they are needed, and
            may be more than memory holds. Prepared once for the same images and degradation.
        skip_broken: leave out images that cannot be read, and name them in ``broken``.
        progress: show a bar while images are decoded.

    Raises:
        InputError: an image cannot be read, none is as large as a patch, or the store's disk is full.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        protocol: Protocol,
        scales: Sequence[float],
        *,
        patch: int = 41,
        random_crops: bool = False,
        degrade_patch: bool = False,
        orientations: int = 8,
        rescale_factors: Sequence[float] = (1.0,),
        hard_mining_candidates: int = 1,
        seed: int = 0,
        device: torch.device | str = "cpu",
        store: str | Path | None = None,
        skip_broken: bool = False,
        progress: bool = False,
    ) -> None:
        self.protocol, self.scales, self.patch = protocol, tuple(scales), patch
        self.random_crops, self.degrade_patch, self.seed = random_crops, degrade_patch, seed
        self.hard_mining_candidates = hard_mining_candidates
        self.rescale_factors = tuple(rescale_factors)
        self.folder: Path | None = None  # of the store
        self.device = torch.device(device)
        self.skipped: list[str] = []
        self.broken: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        bar = tqdm(paths, "Decode and degrade", disable=not progress, leave=False)
        if store is None:
            hr, ilr = io.BytesIO(), io.BytesIO()
            self._prepare(bar, hr, ilr, skip_broken)
            self.hr = tensor_of(hr.getbuffer(), torch.uint8).to(self.device)
            self.ilr = tensor_of(ilr.getbuffer(), torch.float32).to(self.device)
        else:
            self.folder = self._stored(bar, user_path(store), skip_broken)
            self._map(self.folder)
        self.height, self.width = torch.tensor(self.sizes).T
        areas = self.height * self.width
        self.offset = areas.cumsum(0) - areas  # pixels before each image
        rows, cols = self._places(self.height), self._places(self.width)
        self.patches = rows * cols  # how many each image holds
        cells = torch.arange(patch**2).view(patch, patch)
        turned = [torch.rot90(cells, turn) for turn in range(min(orientations, 4))]
        turned += [cell.flip(1) for cell in turned] if orientations == 8 else []
        # orientation x patch x patch: which pixel comes here
        self.cells = torch.stack(turned).to(self.hr.device)

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes that are not forked: they map the store's files themselves."""
        return {**self.__dict__, "hr": None, "ilr": None} if self.folder else self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.folder:
            self._map(self.folder)

    def __repr__(self) -> str:
        images = f"{len(self.sizes)} images"
        if len(self.rescale_factors) > 1:
            images += f" with their {len(self.rescale_factors)} sizes"
        return (
            f"{images}, {int((self.height * self.width).sum()) / 1e6:.1f} megapixels, "
            f"{int(self.patches.sum()):,} patches of {self.patch} x {self.patch} a scale and "
            f"orientation, {self.nbytes / 2**20:.0f} MiB {'on disk' if self.folder else 'in memory'}"
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels take on the device, or on disk."""
        return self.hr.nbytes + self.ilr.nbytes

    def batch(self, step: int, size: int, share: tuple[int, int] = (0, 1)) -> Batch:
        """The batch of a step: (ILR, HR), float32, size x channels x patch x patch, network range.

        Args:
            step: from 0.
            size: patches of the whole batch.
            share: (i, n) for the i-th of n equal parts of it, when n processes train together.
        """
        # PyTorch keeps 32 bits of a seed: a sum of seed and step would give two seeds the same batches.
        mixed = int(np.random.SeedSequence((self.seed, step)).generate_state(1)[0])
        random = torch.Generator().manual_seed(mixed)

        def draw(below: Tensor | int, *shape: int) -> Tensor:
            return (torch.rand(shape, generator=random, dtype=torch.float64) * below).long()

        drawn = self.hard_mining_candidates, size
        image = torch.multinomial(
            self.patches.double(), self.hard_mining_candidates * size, replacement=True, generator=random
        ).view(drawn)
        stride = 1 if self.random_crops else self.patch
        top = draw(self._places(self.height[image]), *drawn) * stride
        left = draw(self._places(self.width[image]), *drawn) * stride
        scale, orientation = draw(len(self.scales), size), draw(len(self.cells), size)

        part, device, channels = slice(share[0], None, share[1]), self.hr.device, self.protocol.channels
        width, area, offset = self.width[image], self.height[image] * self.width[image], self.offset[image]
        hr_start = offset * channels  # of a patch's image and scale in the flat tensors
        ilr_start = (offset * len(self.scales) + area * scale) * channels
        # These few numbers go to where the pixels lie, and become their places there.
        numbers = torch.broadcast_tensors(hr_start, ilr_start, area, width, top, left, orientation)
        numbers_there = torch.stack(numbers)[:, :, part].to(device, non_blocking=device.type == "cuda")
        hr_start, ilr_start, area, width, top, left = numbers_there[:-1, ..., None, None, None]
        cell = self.cells[numbers_there[-1, 0]][:, None]
        pixel = (top + cell // self.patch) * width + left + cell % self.patch
        place = pixel + area * torch.arange(channels, device=device)[:, None, None]
        hr = self.hr[hr_start + place].float() / 255.0  # candidates x patches x C x H x W
        if self.degrade_patch:
            ilr = torch.empty_like(hr)
            for i, factor in enumerate(self.scales):
                chosen = hr[:, scale[part] == i]
                degraded = DEGRADATIONS[self.protocol.degradation](chosen.flatten(0, 1), factor)[1]
                ilr[:, scale[part] == i] = degraded.view_as(chosen)
        else:
            ilr = self.ilr[ilr_start + place]
        hardest = (ilr - hr).abs().mean((2, 3, 4)).argmax(0), torch.arange(hr.shape[1], device=device)
        ilr, hr = ilr[hardest], hr[hardest]
        return self.protocol.normalize(ilr), self.protocol.normalize(hr)

    def batches(
        self, steps: range, size: int, share: tuple[int, int] = (0, 1), workers: int = 2
    ) -> Iterator[Batch]:
        """The batches of these steps, on the device; from a store, worker processes read ahead."""
        if self.folder is None:
            yield from (self.batch(step, size, share) for step in steps)
            return
        loader = DataLoader(
            _Batches(self, size, share),
            batch_size=None,  # an item is a batch already
            sampler=steps,
            num_workers=workers,
            worker_init_fn=ignore_terminate,
            pin_memory=self.device.type == "cuda",
        )
        for ilr, hr in loader:
            yield ilr.to(self.device, non_blocking=True), hr.to(self.device, non_blocking=True)

    def _prepare(
        self, paths: Sequence[Path], hr_file: BinaryIO, ilr_file: BinaryIO, skip_broken: bool
    ) -> None:
        """Write image after image: HR as channels x pixels, ILR as scales x channels x pixels."""
        for path in paths:
            try:
                image = read_image(path)
            except InputError:
                if not skip_broken:
                    raise
                self.broken.append(path.name)
                continue
            whole = np.atleast_3d(self.protocol.samples(image))
            for factor in self.rescale_factors:
                hr = whole if factor == 1 else imresize(whole, factor)
                height, width = hr.shape[:2]
                if not self.degrade_patch:  # the part of the image that is a multiple of every scale
                    height = min(modcrop_length(height, scale) for scale in self.scales)
                    width = min(modcrop_length(width, scale) for scale in self.scales)
                if min(height, width) < self.patch:
                    self.skipped.append(path.name + (f" x{factor:g}" if factor != 1 else ""))
                    continue
                self.sizes.append((height, width))
                hr_file.write(plane_bytes(hr[:height, :width]))
                for scale in () if self.degrade_patch else self.scales:
                    ilr_file.write(plane_bytes(self._ilr(hr, scale)[:height, :width]))
        if not self.sizes:
            raise InputError(
                f"None of the {len(self.skipped)} images is as large as a patch of {self.patch} x "
                f"{self.patch} pixels; use larger images or a smaller patch."
                if self.skipped
                else f"None of the {len(self.broken)} images can be read."
            )

    def _stored(self, paths: Sequence[Path], root: Path, skip_broken: bool) -> Path:
        """The folder in ``root`` with the pixels of these images; made when it is not there."""
        content = [
            self.protocol.name,
            self.scales,
            self.rescale_factors,
            self.patch,
            self.degrade_patch,
            skip_broken,
        ]
        content.append(hash_files(paths))
        folder = root / hash_json(content)[:16]
        if not (folder / "index.json").exists():
            with file_lock(root / "lock"):  # of several processes one prepares, and the others wait
                if not (folder / "index.json").exists():
                    self._write(folder, paths, skip_broken)
        index = json.loads((folder / "index.json").read_text())
        self.sizes = [(height, width) for height, width in index["sizes"]]
        self.skipped, self.broken = index["skipped"], index["broken"]
        return folder

    def _write(self, folder: Path, paths: Sequence[Path], skip_broken: bool) -> None:
        # Written beside and renamed whole: a folder of that name is complete.
        with atomic_folder(folder) as temporary, ExitStack() as stack:
            hr, ilr = (stack.enter_context((temporary / name).open("wb")) for name in ("hr", "ilr"))
            self._prepare(paths, hr, ilr, skip_broken)
            index = {"sizes": self.sizes, "skipped": self.skipped, "broken": self.broken}
            write_json(temporary / "index.json", index)
            # Temporary folders are private; whoever may read this one's files may enter it.
            mode = (temporary / "index.json").stat().st_mode
            temporary.chmod(0o700 | mode | (mode & 0o444) >> 2)

    def _map(self, folder: Path) -> None:
        self.hr = memory_mapped(folder / "hr", torch.uint8)
        self.ilr = memory_mapped(folder / "ilr", torch.float32)

    def _ilr(self, hr: np.ndarray, scale: float) -> np.ndarray:
        height, width = modcrop_length(hr.shape[0], scale), modcrop_length(hr.shape[1], scale)
        return self.protocol.degrade(to_float(hr[:height, :width]), scale)[1].astype(np.float32)

    def _places(self, side: Tensor) -> Tensor:
        """How many places a patch has along a side."""
        return side - self.patch + 1 if self.random_crops else side // self.patch


class _Batches(Dataset[Batch]):
    """Item ``step`` is the batch of that step."""

    def __init__(self, data: TrainingSet, size: int, share: tuple[int, int]) -> None:
        self.data, self.size, self.share = data, size, share

    def __getitem__(self, step: int) -> Batch:
        return self.data.batch(step, self.size, self.share)


def ignore_terminate(_: int) -> None:
    """A scheduler's SIGTERM goes to workers, too; they go on until the process that they serve is done."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
