"""Training patches are real cuts of real images, and a function of (seed, step) alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.sets import BATCH, PATCH, PROTOCOLS, SCALES
from vdsrlib.imaging.colour import as_rgb, luma
from vdsrlib.imaging.crops import modcrop_length
from vdsrlib.imaging.image_file import read_image
from vdsrlib.imaging.resize import imresize
from vdsrlib.protocol import PAPER, REPLICATION, Protocol


def turn(x: np.ndarray, orientation: tuple[int, bool]) -> np.ndarray:
    quarters, flip = orientation
    return np.rot90(x[:, ::-1] if flip else x, quarters)


ORIENTATIONS = [(quarters, flip) for quarters in range(4) for flip in (False, True)]


def pixels(path, protocol: Protocol) -> np.ndarray:
    """A file as uint8 H x W x C."""
    image = read_image(path)
    return luma(image)[..., None] if protocol.colour == "luma" else as_rgb(image)


def pairs(protocol: Protocol, batch: tuple[torch.Tensor, torch.Tensor]):
    """(ILR in [0, 1], HR as uint8), H x W x C, pair by pair."""
    for tensors in zip(*batch, strict=True):
        ilr, hr = (protocol.denormalize(t.double()).permute(1, 2, 0).numpy() for t in tensors)
        assert np.abs(hr * 255 - np.rint(hr * 255)).max() < 1e-4
        yield ilr, np.rint(hr * 255).astype(np.uint8)


def origins(hr: np.ndarray, images: list[np.ndarray]):
    """Every (image, top, left, orientation) that an HR patch can come from; orientation undoes its turn."""
    for orientation in ORIENTATIONS:
        patch = turn(hr, orientation)
        for i, image in enumerate(images):
            first, last = image[: 1 - PATCH, : 1 - PATCH], image[PATCH - 1 :, PATCH - 1 :]
            corners = ((first == patch[0, 0]) & (last == patch[-1, -1])).all(axis=-1)
            for top, left in np.argwhere(corners):
                if np.array_equal(image[top : top + PATCH, left : left + PATCH], patch):
                    yield i, top, left, orientation


@PROTOCOLS
@pytest.mark.parametrize(("overlap", "candidates"), [(True, 1), (False, 1), (True, 3)])
def test_pairs_are_cut_at_one_place(make, paths, protocol, overlap, candidates):
    """ILR patches come from the ILR of the whole image, from the place where HR was cut."""
    images = [pixels(path, protocol) for path in paths]
    ilrs = []
    for image in images:
        crops = [image[: modcrop_length(len(image), s), : modcrop_length(image.shape[1], s)] for s in SCALES]
        ilrs.append([protocol.degrade(crop / 255, s)[1] for crop, s in zip(crops, SCALES, strict=True)])
    seen = []
    for ilr, hr in pairs(
        protocol,
        make(protocol, SCALES, random_crops=overlap, hard_mining_candidates=candidates).batch(0, BATCH),
    ):
        fits = []
        for i, top, left, orientation in origins(hr, images):
            for s, whole in enumerate(ilrs[i]):
                part = whole[top : top + PATCH, left : left + PATCH]
                if part.shape == ilr.shape and np.abs(turn(ilr, orientation) - part).max() < 1e-5:
                    fits.append((i, s, orientation, top % PATCH or left % PATCH))
        assert len(fits) == 1
        seen += fits
    images_seen, scales_seen, orientations_seen, off_grid = map(set, zip(*seen, strict=True))
    assert images_seen == scales_seen == {0, 1, 2}
    assert orientations_seen == set(ORIENTATIONS)
    assert (off_grid == {0}) is not overlap


@PROTOCOLS
def test_patches_degraded_by_themselves(make, paths, protocol):
    images = [pixels(path, protocol) for path in paths]
    scales_seen = set()
    batch = make(protocol, SCALES, degrade_patch=True, random_crops=True).batch(5, BATCH)
    for ilr, hr in pairs(protocol, batch):
        assert any(origins(hr, images))
        wanted = [protocol.degrade(hr / 255, scale)[1] for scale in SCALES]
        fits = [s for s, each in enumerate(wanted) if np.abs(each - ilr).max() < 1e-5]
        assert len(fits) == 1
        scales_seen |= set(fits)
    assert scales_seen == {0, 1, 2}


@pytest.mark.parametrize("count", [1, 4, 8])
def test_orientations(make, paths, count):
    images = [pixels(path, REPLICATION) for path in paths]
    batch = make(REPLICATION, [2], orientations=count, random_crops=True).batch(0, BATCH)
    seen = {orientation for _, hr in pairs(REPLICATION, batch) for *_, orientation in origins(hr, images)}
    assert len(seen) == count
    assert any(flip for _, flip in seen) == (count == 8)


@pytest.mark.parametrize("degrade_patch", [True, False])
def test_batch_is_a_function_of_seed_and_step(make, degrade_patch):
    def batch(training, step):
        return torch.cat(training.batch(step, 8))

    one, two = (make(PAPER, SCALES, degrade_patch=degrade_patch) for _ in range(2))
    later = batch(one, 7)
    batch(two, 3)
    torch.manual_seed(99)
    assert torch.equal(batch(two, 7), later)
    assert not torch.equal(batch(one, 8), later)
    assert not torch.equal(batch(make(PAPER, SCALES, degrade_patch=degrade_patch, seed=4), 7), later)
    # of seed * 1,000,003 + step, PyTorch would keep the same 32 bits here
    far = make(PAPER, SCALES, degrade_patch=degrade_patch, seed=3 + 4295)
    assert not torch.equal(batch(far, 0), batch(one, 45_589))


@PROTOCOLS
@pytest.mark.parametrize("degrade_patch", [True, False])
def test_shape_type_and_range(make, protocol, degrade_patch):
    low, high = protocol.input_range
    for tensor in make(protocol, [2, 3], degrade_patch=degrade_patch).batch(0, 32):
        assert tensor.dtype == torch.float32
        assert tensor.shape == (32, protocol.channels, PATCH, PATCH)
        overshoot = 0.2 * (high - low)  # bicubic's ILR
        assert low - overshoot < tensor.min() < low + (high - low) / 4
        assert high - (high - low) / 4 < tensor.max() < high + overshoot
    assert low <= tensor.min()  # HR
    assert tensor.max() <= high


def test_every_patch_is_equally_likely(make):
    """96 x 120, 54 x 70 and 90 x 64: an image is drawn as often as patches fit into it."""
    training = make(PAPER, [2])
    assert training.patches.tolist() == [6 * 7, 3 * 4, 5 * 4]
    assert "74 patches of 16 x 16" in repr(training)


def test_copies_are_smaller_images(make, paths):
    """Each image, and then the same at half its size, cut and degraded like any other."""
    training = make(PAPER, [2], rescale_factors=(1.0, 0.5))
    whole = [pixels(path, PAPER) for path in paths]
    halves = [imresize(image, 0.5) for image in whole]
    wanted = [image for pair in zip(whole, halves, strict=True) for image in pair]
    assert training.pixels.index.sizes == [
        (h // 2 * 2, w // 2 * 2) for h, w, _ in (image.shape for image in wanted)
    ]
    found = {place[0] for _, hr in pairs(PAPER, training.batch(0, 200)) for place in origins(hr, wanted)}
    assert found == set(range(len(wanted)))


@pytest.mark.parametrize("degrade_patch", [True, False])
def test_of_the_candidates_the_hardest_is_used(make, monkeypatch, degrade_patch):
    """Those that were drawn are seen as a batch of so many; the one furthest from its ILR is kept."""
    training = make(
        REPLICATION, SCALES, random_crops=True, hard_mining_candidates=5, degrade_patch=degrade_patch
    )
    kept = training.batch(2, 12)
    drawn = []
    monkeypatch.setattr(Tensor, "argmax", lambda errors, _: drawn.append(errors) or torch.argmin(errors, 0))
    easy = training.batch(2, 12)
    (errors,) = drawn
    assert errors.shape == (5, 12)
    for (ilr, hr), wanted in ((kept, errors.amax(0)), (easy, errors.amin(0))):
        found = (ilr - hr).abs().mean((1, 2, 3)) / 2  # the network's range is twice as wide
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


@PROTOCOLS
@pytest.mark.parametrize(("degrade_patch", "candidates"), [(False, 1), (False, 4), (True, 1), (True, 4)])
def test_parts_make_up_the_batch(make, protocol, degrade_patch, candidates):
    training = make(protocol, SCALES, degrade_patch=degrade_patch, hard_mining_candidates=candidates)
    for whole, *parts in zip(
        training.batch(5, 9), *(training.batch(5, 9, i, 3) for i in range(3)), strict=True
    ):
        assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole)


PHOTO = {"damage": "photo", "degrade_patch": True, "random_crops": True}


def test_damaged_patches(make, paths):
    """A third is what is degraded alone; the others are off by noise or JPEG."""
    scales = [1, *SCALES]
    batch = make(PAPER, scales, **PHOTO).batch(5, 200)
    clean = []
    for ilr, hr in pairs(PAPER, batch):
        errors = [np.abs(PAPER.degrade(hr / 255, scale)[1] - ilr).mean() for scale in scales]
        clean.append(errors.index(min(errors)) if min(errors) < 1e-5 else None)
    assert 0.25 < np.mean([scale is not None for scale in clean]) < 0.42
    assert {*clean} == {None, 0, 1, 2, 3}


def test_damage_is_a_function_of_seed_and_step_for_any_number_of_processes(make):
    one, two = (make(PAPER, [1, 2], **PHOTO) for _ in range(2))
    later = torch.cat(one.batch(7, 12))
    two.batch(3, 12)
    torch.manual_seed(99)
    assert torch.equal(torch.cat(two.batch(7, 12)), later)
    parts = [two.batch(7, 12, i, 3) for i in range(3)]
    for whole, *part in zip(one.batch(7, 12), *parts, strict=True):
        assert torch.equal(torch.stack(part, dim=1).flatten(0, 1), whole)


def test_damage_changes_no_batch_of_the_other_recipes(make):
    plain = make(PAPER, SCALES, degrade_patch=True, random_crops=True).batch(4, 16)
    damaged = make(PAPER, SCALES, **PHOTO).batch(4, 16)
    assert torch.equal(plain[1], damaged[1]), "the same HR patches"
    assert not torch.equal(plain[0], damaged[0])
