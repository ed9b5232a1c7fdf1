"""Noise and JPEG of training patches: as strong as they say, and many patches stay clean."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vdsrlib.imaging.damage import Damage, draw_damage
from vdsrlib.imaging.degradation import BICUBIC

CPU = torch.device("cpu")


def drawn(count: int, side: int = 16, seed: int = 1) -> Damage:
    return draw_damage((1, count), side, torch.Generator().manual_seed(seed), CPU, seed + 1)


def patches(photo: np.ndarray, count: int) -> torch.Tensor:
    """Candidates x patches x 1 x 16 x 16, in 255 levels."""
    grey = torch.from_numpy(photo[..., 1] / 255).float()
    cut = [grey[i % 70 : i % 70 + 16, 3 * i % 100 : 3 * i % 100 + 16] for i in range(count)]
    return torch.stack(cut)[None, :, None]


def test_a_third_stays_clean():
    damage = drawn(6000)
    noisy, compressed = damage.sigma[0] > 0, damage.quality[0] > 0
    for chosen, wanted in (
        (~noisy & ~compressed, 1 / 3),
        (~noisy & compressed, 1 / 3),
        (noisy & ~compressed, 1 / 6),
        (noisy & compressed, 1 / 6),
    ):
        assert chosen.float().mean() == pytest.approx(wanted, abs=0.02)
    assert 14.5 < damage.sigma.max() < 15
    assert damage.quality[0][compressed].min() == 30
    assert damage.quality.max() == 100
    assert {*damage.phase.flatten().tolist()} == set(range(8))


def test_clean_patches_are_untouched(photo):
    damage, lr = drawn(60), patches(photo, 60) + 0.001  # no whole levels
    same = (damage.apply(lr) == lr).flatten(2).all(2)
    assert torch.equal(same, (damage.sigma == 0) & (damage.quality == 0))


def test_noise_has_the_deviation_that_was_drawn():
    damage = drawn(400, side=32)
    flat = torch.full((1, 400, 1, 32, 32), 0.5)
    noisy = (damage.sigma > 1) & (damage.quality == 0)
    found = 255 * damage.apply(flat).flatten(2).std(2)
    torch.testing.assert_close(found[noisy], damage.sigma[noisy], rtol=0.1, atol=0.1)


def test_compressed_patches_are_pillows(photo):
    """Of a phase of 0, where nothing was added."""
    damage = drawn(300)
    damage.phase.zero_()
    lr, jpeg = patches(photo, 300), damage.apply(patches(photo, 300))
    chosen = ((damage.quality > 0) & (damage.sigma == 0))[0].nonzero().flatten().tolist()
    assert len(chosen) > 50
    beyond = []
    for i in chosen:
        file = io.BytesIO()
        levels = Image.fromarray((255 * lr[0, i, 0]).round().byte().numpy())
        levels.save(file, "jpeg", quality=int(damage.quality[0, i]))
        wanted = np.asarray(Image.open(file)).astype(float)
        beyond.append((np.abs(255 * jpeg[0, i, 0].numpy() - wanted) > 1.01).mean())
    assert np.mean(beyond) < 0.02  # where rounding ties


def test_the_same_seeds_draw_the_same():
    assert all(torch.equal(one, other) for one, other in zip(drawn(20), drawn(20), strict=True))
    assert not torch.equal(drawn(20).noise, drawn(20, seed=3).noise)


def test_ilr_is_interpolated_from_damaged_lr(photo):
    hr = torch.from_numpy(photo[..., 1] / 255)
    lr, ilr = BICUBIC(hr, 2, lambda lr: lr + 0.25)
    torch.testing.assert_close(lr, BICUBIC(hr, 2)[0] + 0.25)
    torch.testing.assert_close(ilr, BICUBIC(hr, 2)[1] + 0.25)
    assert torch.equal(BICUBIC(hr, 1, lambda lr: lr)[1], hr)
