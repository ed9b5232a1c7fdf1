"""Training data on the device: images decoded once, patches cut and turned by indexing.

All images lie in one flat tensor, so a batch of patches from any images, at any position, scale and
orientation is a single gather, on a CPU and on a GPU alike.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vdsrlib.degradation import DEGRADATIONS
from vdsrlib.files import InputError
from vdsrlib.images import as_rgb, luma, read_image, to_float
from vdsrlib.protocol import Protocol, crop_length


class TrainingSet:
    """Pairs of ILR and HR patches, drawn as a function of (seed, step) alone.

    The paper's section 3.2: 41 x 41 patches without overlap, all scales mixed in one batch; and 5.1:
    rotated and flipped. Draws are with replacement and every patch is equally likely. Nothing
    is remembered between steps, so a stopped run goes on with the very batches it would have had.

    Args:
        paths: HR images. Those smaller than a patch are left out and named in ``skipped``.
        protocol: colour, degradation and range.
        scales: scales to train for.
        patch: side of a patch in pixels.
        overlap: patches at any position; else on the grid without overlap.
        degrade_patch: cut the HR patch first and degrade it by itself, as the 2018 replication does;
            else degrade the whole image once a scale, and cut HR and ILR at the same place.
        orientations: 1 (as they are), 4 (rotations) or 8 (rotations and flips).
        seed: of the draws.
        device: where the pixels lie: HR takes 1 byte a sample, ILR 4 bytes a sample and scale.
        progress: show a bar while images are decoded.

    Raises:
        InputError: an image cannot be read, or none is as large as a patch.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        protocol: Protocol,
        scales: Sequence[float],
        *,
        patch: int = 41,
        overlap: bool = False,
        degrade_patch: bool = False,
        orientations: int = 8,
        seed: int = 0,
        device: torch.device | str = "cpu",
        progress: bool = False,
    ) -> None:
        self.protocol, self.scales, self.patch = protocol, tuple(scales), patch
        self.overlap, self.degrade_patch, self.seed = overlap, degrade_patch, seed
        self.skipped: list[str] = []
        sizes, hr_parts, ilr_parts = [], [], []
        for path in tqdm(paths, "Decode and degrade", disable=not progress, leave=False):
            image = read_image(path)
            hr = luma(image)[..., None] if protocol.colour == "luma" else as_rgb(image)
            height, width = hr.shape[:2]
            if not degrade_patch:  # the part of the image that is a multiple of every scale
                height = min(crop_length(height, scale) for scale in self.scales)
                width = min(crop_length(width, scale) for scale in self.scales)
            if min(height, width) < patch:
                self.skipped.append(path.name)
                continue
            sizes.append((height, width))
            hr_parts.append(hr[:height, :width].reshape(-1, protocol.channels))
            if not degrade_patch:
                ilr_parts.append([self._ilr(hr, scale)[:height, :width] for scale in self.scales])
        if not sizes:
            raise InputError(
                f"None of the {len(self.skipped)} images is as large as a patch of {patch} x {patch} "
                "pixels; use larger images or a smaller patch."
            )
        # channels x pixels of all images, and scales x channels x pixels
        self.hr = torch.from_numpy(np.concatenate(hr_parts).T.copy()).to(device)
        if not degrade_patch:
            flat = [[ilr.reshape(-1, protocol.channels).T for ilr in part] for part in ilr_parts]
            self.ilr = torch.from_numpy(np.concatenate(flat, axis=-1)).to(device)
        self.height, self.width = torch.tensor(sizes).T
        areas = self.height * self.width
        self.offset = areas.cumsum(0) - areas
        rows, cols = self._places(self.height), self._places(self.width)
        self.patches = rows * cols  # how many each image holds
        cells = torch.arange(patch**2).view(patch, patch)
        turned = [torch.rot90(cells, turn) for turn in range(min(orientations, 4))]
        turned += [cell.flip(1) for cell in turned] if orientations == 8 else []
        self.cells = torch.stack(turned)  # orientation x patch x patch: which pixel comes here

    def __repr__(self) -> str:
        return (
            f"{len(self.height)} images, {self.hr.shape[1] / 1e6:.1f} megapixels, "
            f"{int(self.patches.sum()):,} patches of {self.patch} x {self.patch} a scale and "
            f"orientation, {self.nbytes / 2**20:.0f} MiB"
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels take on the device."""
        return self.hr.nbytes + (0 if self.degrade_patch else self.ilr.nbytes)

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: (ILR, HR), float32, size x channels x patch x patch, network range."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + step)

        def draw(below: Tensor | int) -> Tensor:
            return (torch.rand(size, generator=random, dtype=torch.float64) * below).long()

        image = torch.multinomial(self.patches.double(), size, replacement=True, generator=random)
        stride = 1 if self.overlap else self.patch
        top = draw(self._places(self.height[image])) * stride
        left = draw(self._places(self.width[image])) * stride
        scale = draw(len(self.scales))
        cell = self.cells[draw(len(self.cells))]
        row = top[:, None, None] + cell // self.patch
        col = left[:, None, None] + cell % self.patch
        pixel = self.offset[image, None, None] + row * self.width[image, None, None] + col
        pixel, scale = pixel.to(self.hr.device), scale.to(self.hr.device)
        hr = self.hr[:, pixel].transpose(0, 1).float() / 255.0
        if self.degrade_patch:
            ilr = torch.empty_like(hr)
            for i, factor in enumerate(self.scales):
                chosen = scale == i
                ilr[chosen] = DEGRADATIONS[self.protocol.degradation](hr[chosen], factor)[1]
        else:
            # two indices with a slice between them: the indexed axes come first
            ilr = self.ilr[scale[:, None, None], :, pixel].permute(0, 3, 1, 2)
        return self.protocol.to_network(ilr), self.protocol.to_network(hr)

    def _ilr(self, hr: np.ndarray, scale: float) -> np.ndarray:
        height, width = crop_length(hr.shape[0], scale), crop_length(hr.shape[1], scale)
        return self.protocol.degrade(to_float(hr[:height, :width]), scale)[1].astype(np.float32)

    def _places(self, side: Tensor) -> Tensor:
        """How many places a patch has along a side."""
        return side - self.patch + 1 if self.overlap else side // self.patch
