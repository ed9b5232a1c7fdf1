"""Training patches: drawn from the pixels of the images by indexing, as a function of seed and step."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vdsrlib.imaging.damage import Damage, draw_damage
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.protocol import get_protocol
from vdsrlib.training.pixel_store import load_pixels
from vdsrlib.training.recipe import Recipe

Batch = tuple[Tensor, Tensor]
READERS = 2  # threads that read ahead from a store, two batches each


class TrainingSet:
    """Pairs of ILR and HR patches, drawn as a function of (seed, step) alone.

    The paper's section 3.2: 41 x 41 patches without overlap, all scales mixed in one batch; and 5.1:
    rotated and flipped. Draws are with replacement, and every patch is equally likely, unless
    ``hard_mining_candidates`` is above 1. Nothing is remembered between steps, so a resumed run sees the very
    batches that it would have seen.

    Args:
        recipe: what to draw.
        paths: HR images.
        device: where the batches go, and the pixels, unless they are stored.
        store: folder for prepared pixels, see ``load_pixels``.
        skip_broken: leave out images that cannot be read.
        progress: show a bar while images are decoded.
        lr: the LR of each HR image; None to degrade HR.

    Raises:
        InputError: an image cannot be read, none is as large as a patch, or the store's disk is full.
    """

    def __init__(
        self,
        recipe: Recipe,
        paths: Sequence[Path],
        *,
        device: torch.device | str = "cpu",
        store: str | Path | None = None,
        skip_broken: bool = False,
        progress: bool = False,
        lr: Sequence[Path] | None = None,
    ) -> None:
        self.recipe, self.protocol = recipe, get_protocol(recipe.protocol)
        self.device = torch.device(device)
        self.pixels = load_pixels(
            recipe, paths, device=device, store=store, skip_broken=skip_broken, progress=progress, lr=lr
        )
        self.height, self.width = torch.tensor(self.pixels.index.sizes).T
        areas = self.height * self.width
        self.offset = areas.cumsum(0) - areas  # pixels before each image
        self.patches = self._places(self.height) * self._places(self.width)  # how many each image holds
        self.cells = _orientations(recipe.patch_size, recipe.orientations).to(self.pixels.hr.device)

    def __repr__(self) -> str:
        recipe, sizes, pixels = self.recipe, self.pixels.index.sizes, int((self.height * self.width).sum())
        copies = f" with their {len(recipe.rescale_factors)} sizes" if len(recipe.rescale_factors) > 1 else ""
        return (
            f"{len(sizes)} images{copies}, {pixels / 1e6:.1f} megapixels, {int(self.patches.sum()):,} "
            f"patches of {recipe.patch_size} x {recipe.patch_size} a scale and orientation, "
            f"{self.pixels.nbytes / 2**20:.0f} MiB {'on disk' if self.pixels.folder else 'in memory'}"
        )

    def batch(self, step: int, size: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Draw the batch of a step: (ILR, HR), float32, size x channels x patch x patch, network range.

        Args:
            step: from 0.
            size: patches of the whole batch.
            rank: which of the processes that train together this is; it gets every ``world_size``-th patch.
            world_size: how many there are.
        """
        recipe, drawn = self.recipe, (self.recipe.hard_mining_candidates, size)
        # PyTorch keeps 32 bits of a seed: a sum of seed and step would give two seeds the same batches.
        mixed, noise_seed = map(int, np.random.SeedSequence((recipe.seed, step)).generate_state(2))
        random = torch.Generator().manual_seed(mixed)

        def draw(below: Tensor | int, *shape: int) -> Tensor:
            return (torch.rand(shape, generator=random, dtype=torch.float64) * below).long()

        image = torch.multinomial(
            self.patches.double(), drawn[0] * size, replacement=True, generator=random
        ).view(drawn)
        stride = 1 if recipe.random_crops else recipe.patch_size
        top = draw(self._places(self.height[image]), *drawn) * stride
        left = draw(self._places(self.width[image]), *drawn) * stride
        scale, orientation = draw(len(recipe.scales), size), draw(len(self.cells), size)
        mine, damage = slice(rank, None, world_size), None
        if recipe.damage == "photo":
            where = self.pixels.hr.device
            damage = draw_damage(drawn, recipe.patch_size, random, where, noise_seed).select(mine)
        return self._cut(damage, *(x[..., mine] for x in (image, top, left, scale, orientation)))

    def _cut(
        self,
        damage: Damage | None,
        image: Tensor,
        top: Tensor,
        left: Tensor,
        scale: Tensor,
        orientation: Tensor,
    ) -> Batch:
        """Cut patches: image, top and left have candidates x patches, scale and orientation have patches."""
        side, device, channels = self.recipe.patch_size, self.pixels.hr.device, self.protocol.channels
        width, area, offset = self.width[image], self.height[image] * self.width[image], self.offset[image]
        hr_start = offset * channels  # of a patch's image and scale in the flat tensors
        ilr_start = (offset * len(self.recipe.scales) + area * scale) * channels
        # These few numbers go to where the pixels lie, and become their places there.
        numbers = torch.stack(
            torch.broadcast_tensors(hr_start, ilr_start, area, width, top, left, orientation)
        )
        there = numbers.to(device, non_blocking=device.type == "cuda")
        hr_start, ilr_start, area, width, top, left = there[:-1, ..., None, None, None]
        cell = self.cells[there[-1, 0]][:, None]
        pixel = (top + cell // side) * width + left + cell % side
        place = pixel + area * torch.arange(channels, device=device)[:, None, None]
        hr = self.pixels.hr[hr_start + place].float() / 255.0  # candidates x patches x C x H x W
        if self.recipe.degrade_patch:
            ilr = _degrade(hr, scale, self.recipe, damage)
        else:
            ilr = self.pixels.ilr[ilr_start + place]
        hardest = (ilr - hr).abs().mean((2, 3, 4)).argmax(0), torch.arange(hr.shape[1], device=device)
        return self.protocol.normalize(ilr[hardest]), self.protocol.normalize(hr[hardest])

    def batches(self, steps: range, size: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Yield the batches of these steps, on the device; from a store, threads read ahead."""
        if self.pixels.folder is None:
            yield from (self.batch(step, size, rank, world_size) for step in steps)
            return

        def read(step: int) -> Batch:  # waiting for the disk and gathering leave Python to the other threads
            ilr, hr = self.batch(step, size, rank, world_size)
            return (ilr.pin_memory(), hr.pin_memory()) if self.device.type == "cuda" else (ilr, hr)

        pool = ThreadPoolExecutor(READERS, "read patches")
        ahead: deque[Future[Batch]] = deque()
        try:
            for step in steps:
                ahead.append(pool.submit(read, step))
                if len(ahead) > 2 * READERS:
                    yield self._arrived(ahead)
            while ahead:
                yield self._arrived(ahead)
        finally:
            pool.shutdown(cancel_futures=True)

    def _arrived(self, ahead: deque[Future[Batch]]) -> Batch:
        ilr, hr = ahead.popleft().result()
        return ilr.to(self.device, non_blocking=True), hr.to(self.device, non_blocking=True)

    def _places(self, side: Tensor) -> Tensor:
        """Count the places that a patch has along a side."""
        return (
            side - self.recipe.patch_size + 1 if self.recipe.random_crops else side // self.recipe.patch_size
        )


def _degrade(hr: Tensor, scale: Tensor, recipe: Recipe, damage: Damage | None) -> Tensor:
    """Degrade every patch (candidates x patches x C x H x W) by itself."""
    ilr, degrade = torch.empty_like(hr), DEGRADATIONS[get_protocol(recipe.protocol).degradation]
    for i, factor in enumerate(recipe.scales):
        mine = scale == i
        apply = damage.select(mine).apply if damage else None
        ilr[:, mine] = degrade(hr[:, mine], factor, apply)[1]
    return ilr


def _orientations(side: int, count: int) -> Tensor:
    """Which pixel of a patch comes where: orientation x side x side."""
    cells = torch.arange(side**2).view(side, side)
    turned = [torch.rot90(cells, turn) for turn in range(min(count, 4))]
    turned += [cell.flip(1) for cell in turned] if count == 8 else []
    return torch.stack(turned)
