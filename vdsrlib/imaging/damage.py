"""What happens to photographs before anyone enlarges them: a sensor's noise, then JPEG."""

from typing import NamedTuple

import torch
from torch import Tensor

from vdsrlib.imaging.jpeg import SIDE, compress

SIGMA = 15
"""The strongest noise of training patches: its standard deviation, in levels of 255."""

QUALITIES = (30, 100)
"""The lowest and the highest quality of JPEG of training patches."""


class Damage(NamedTuple):
    """What is done to a batch of small images, candidates x patches.

    Attributes:
        sigma: standard deviation of the noise, in levels of 255; 0 for none.
        quality: of JPEG, 1 to 100; 0 for none.
        phase: candidates x patches x 2, where JPEG's blocks begin, see ``jpeg.compress``.
        noise: candidates x patches x H x W, normal with a deviation of 1; at least as large as the images.
    """

    sigma: Tensor
    quality: Tensor
    phase: Tensor
    noise: Tensor

    def select(self, patches: slice | Tensor) -> "Damage":
        """Choose some of the patches."""
        return Damage(*(part[:, patches] for part in self))

    def apply(self, lr: Tensor) -> Tensor:
        """Add the noise, round to 255 levels, and compress; patches without either stay as they are.

        Args:
            lr: candidates x patches x 1 x H x W in [0, 1]: luma, or grey.
        """
        height, width = lr.shape[-2:]
        sigma, quality = (part[..., None, None] for part in (self.sigma, self.quality))
        planes = lr.squeeze(2)
        noisy = (255 * planes + sigma * self.noise[..., :height, :width] + 0.5).floor().clamp(0, 255)
        jpeg = compress(noisy.flatten(0, 1), self.quality.flatten().clamp(1), self.phase.flatten(0, 1))
        damaged = torch.where(quality > 0, jpeg.view_as(noisy), noisy) / 255
        return torch.where((sigma > 0) | (quality > 0), damaged, planes)[:, :, None]


def draw_damage(
    shape: tuple[int, int], side: int, random: torch.Generator, device: torch.device, noise_seed: int
) -> Damage:
    """Draw the damage of training patches: of six, two stay clean, two become JPEGs, one noisy, one both.

    Args:
        shape: candidates x patches.
        side: of the largest image.
        random: gives the few numbers, on the CPU, so that they are the same for every device.
        device: where the damage is done, and the noise drawn.
        noise_seed: of the noise.
    """
    case = torch.randint(6, shape, generator=random)
    sigma = SIGMA * torch.rand(shape, generator=random)
    quality = torch.randint(QUALITIES[0], QUALITIES[1] + 1, shape, generator=random)
    phase = torch.randint(SIDE, (*shape, 2), generator=random)
    normal = torch.Generator(device).manual_seed(noise_seed)
    return Damage(
        torch.where(case >= 4, sigma, 0.0).to(device),
        torch.where((case == 2) | (case == 3) | (case == 5), quality, 0).to(device),
        phase.to(device),
        torch.randn((*shape, side, side), generator=normal, device=device),
    )
