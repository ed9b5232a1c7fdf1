"""Enlarging on a device from end to end gives what enlarging on the CPU gives."""

import numpy as np
import pytest
import torch

from vdsrlib.datasets.catalog import embedded
from vdsrlib.imaging.image_file import Picture, read_image
from vdsrlib.inference import upscale as upscaling
from vdsrlib.inference.on_device import enlarge_on_device
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.ranges import sample_range
from vdsrlib.inference.upscale import upscale, upscale_picture
from vdsrlib.models.checkpoint import load

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PHOTO = read_image(embedded(["astronaut.png"])[0])[100:160, 150:230]
PICTURES = {
    "RGB": PHOTO,
    "grey": PHOTO[..., 0],
    "16 bits": PHOTO.astype(np.uint16) * 257,
    "12 bits in 16": PHOTO[..., 1].astype(np.uint16) * 16,
    "one colour": np.full((20, 30, 3), 90, np.uint8),
}
SMALL_TILES = InferenceOptions("torch", "float32", memory=2**22)


@pytest.fixture(scope="module", params=["vdsr", "vdsr-rgb"])
def weights(request):
    return request.param


@pytest.mark.parametrize("kind", PICTURES)
def test_samples_differ_by_one_level_where_rounding_is_a_tie(weights, kind):
    pixels = PICTURES[kind]
    wanted = upscale(load(weights), pixels, scale=2.5, options=SMALL_TILES)
    on_device = load(weights, DEVICE)
    found = enlarge_on_device(on_device, pixels, wanted.shape[:2], sample_range(pixels), SMALL_TILES)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    difference = np.abs(found.astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference > 0).mean() < (1e-3 if pixels.dtype == np.uint8 else 1e-2)


def test_progress_is_told_for_every_tile():
    told = []
    options = InferenceOptions("torch", "float32", memory=2**22, progress=lambda *args: told.append(args))
    enlarge_on_device(load(device=DEVICE), PHOTO, (180, 240), sample_range(PHOTO), options)
    assert told == [(done, len(told)) for done in range(1, len(told) + 1)]
    assert len(told) > 1


def test_pictures_with_transparency_go_the_other_way(monkeypatch):
    used = []
    monkeypatch.setattr(upscaling, "can_enlarge_on_device", lambda *_: True)
    monkeypatch.setattr(
        upscaling, "enlarge_on_device", lambda *args: used.append(args) or enlarge_on_device(*args)
    )
    net, options = load(), InferenceOptions("torch", "float32")
    opaque = upscale_picture(net, Picture(PHOTO), (90, 120), options)
    assert opaque.pixels.shape == (90, 120, 3)
    assert len(used) == 1
    alpha = np.arange(60 * 80, dtype=np.uint8).reshape(60, 80)
    upscale_picture(net, Picture(PHOTO, alpha), (90, 120), options)
    assert len(used) == 1
