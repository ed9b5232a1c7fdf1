"""Tiles give what the whole image gives, in bounded memory."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import as_net
from hypothesis import example, given
from hypothesis import strategies as st

from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.image_file import Picture
from vdsrlib.inference import backends
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import predict
from vdsrlib.inference.size import upscaled_shape
from vdsrlib.inference.tiling import MEMORY, tile_pixels, tiled, tiles
from vdsrlib.inference.upscale import upscale_picture, upscale_stages
from vdsrlib.models.vdsr import VDSR, receptive_field
from vdsrlib.protocol import PAPER, REPLICATION

SIDES = st.integers(1, 90)


@given(height=SIDES, width=SIDES, halo=st.integers(0, 9), pixels=st.integers(1, 3000))
def test_tiles_cover_every_pixel_once_and_keep_to_the_size(height, width, halo, pixels):
    covered = np.zeros((height, width), int)
    for tile in tiles(height, width, halo, pixels):
        covered[tile.result] += 1
        seen = np.zeros((height, width), bool)
        seen[tile.seen] = True
        assert seen.sum() <= max(pixels, (4 * halo) ** 2)
        rows, cols = tile.result
        around = seen[
            max(0, rows.start - halo) : rows.stop + halo, max(0, cols.start - halo) : cols.stop + halo
        ]
        assert around.all()
        assert seen[tile.seen][tile.inner].shape == covered[tile.result].shape
    assert (covered == 1).all()


@pytest.fixture(scope="module")
def deep() -> VDSR:
    """A network whose every layer matters as far as its receptive field goes."""
    torch.manual_seed(0)
    model = VDSR(depth=6, width=5)
    for conv in model.conv.values():
        torch.nn.init.normal_(conv.bias, std=0.1)
    return model.eval()


@example(height=80, width=70, pixels=26**2)  # corners, edges and an inner tile
@example(height=1, width=90, pixels=1)
@given(height=SIDES, width=SIDES, pixels=st.integers(400, 4000))
def test_tiled_equals_untiled(deep, height, width, pixels):
    batch = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(height * width))
    with torch.inference_mode():
        whole = deep(batch)
    parts = tiled(deep, batch, deep.depth, pixels)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


def test_the_halo_is_no_wider_than_needed(deep):
    batch = torch.rand(1, 1, 60, 60)
    with torch.inference_mode():
        whole = deep(batch)
    narrow = tiled(deep, batch, deep.depth - 1, 30**2)
    assert (narrow - whole).abs().max() > 1e-4
    assert receptive_field(deep.depth) == 2 * deep.depth + 1


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    scale=st.sampled_from([2, 3, 4]) | st.floats(1.05, 8),
    memory=st.integers(300_000, 5_000_000),  # of 520 pixels and more
)
def test_every_scale_in_tiles(make_model, photo, protocol, height, width, scale, memory):
    net, image = as_net(make_model(protocol.channels), protocol), photo[:height, :width]
    whole = upscale_stages(net, image, scale)
    parts = upscale_stages(net, image, scale, InferenceOptions(memory=memory))
    np.testing.assert_allclose(parts.sr, whole.sr, rtol=0, atol=1e-5)
    np.testing.assert_allclose(parts.ilr, whole.ilr, rtol=0, atol=1e-12)


def test_scores_in_tiles(make_model, photo):
    model = make_model()
    small = InferenceOptions(memory=10**5)
    whole = degrade_and_upscale(as_net(model), photo, 3)
    parts = degrade_and_upscale(as_net(model), photo, 3, small)
    assert parts.network_score.psnr == pytest.approx(whole.network_score.psnr, abs=1e-3)
    ilr = whole.hr[..., 0]
    np.testing.assert_allclose(
        predict(model, ilr, PAPER, small), predict(model, ilr, PAPER), rtol=0, atol=1e-5
    )


def test_a_long_thin_image(make_model):
    """65,000 pixels a side: as a whole matrix its interpolation alone would take 68 GB."""
    strip = np.tile(np.arange(256, dtype=np.uint8), (2, 254))[:, :65_000]
    result = upscale_picture(as_net(make_model()), Picture(strip), upscaled_shape(strip.shape, 2))
    assert result.pixels.shape == (4, 130_000)
    part = upscale_picture(as_net(make_model()), Picture(strip[:, :300]), (4, 600))
    np.testing.assert_array_equal(result.pixels[:, :500], part.pixels[:, :500])


PEAK = """
import sys
import numpy as np
import torch
from vdsrlib.models.vdsr import VDSR
from vdsrlib.imaging.image_file import Picture
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.upscale import upscale_picture
backend, side, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))
net = Checkpoint(VDSR(2).eval(), {"protocol": "paper"})
picture = Picture(np.random.default_rng(0).integers(0, 256, (side // 2, side // 2, 3), dtype=np.uint8))
upscale_picture(net, Picture(picture.pixels[:9, :9]), (18, 18), InferenceOptions(backend))
before = status("VmRSS")
result = upscale_picture(net, picture, (side, side), InferenceOptions(backend, memory=memory))
print(status("VmHWM") - before - result.pixels.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
def test_memory_is_that_of_the_budget(cli_environment, backend):
    """A network of full width, in a budget of 32 MiB; untiled, each layer alone takes 125 MB."""
    pytest.importorskip(backend)
    budget = 32 << 20
    command = [sys.executable, "-c", PEAK, backend, "700", str(budget)]
    done = subprocess.run(command, env=cli_environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 * budget


def test_a_tiny_budget_makes_no_tiny_tiles(photo, monkeypatch):
    """One MiB is less than a halo of 20 pixels takes. The weights are hashed once, not for each tile."""
    assert len(list(tiles(240, 320, 20, tile_pixels(VDSR(), 1 << 20)))) == 6 * 8
    hashed, done = [], []
    digest = backends.hash_bytes
    monkeypatch.setattr(backends, "hash_bytes", lambda *weights: hashed.append(weights) or digest(*weights))
    options = InferenceOptions("torch", memory=1, progress=lambda *tile: done.append(tile))
    torch.manual_seed(0)
    model = VDSR(depth=12, width=3, last_gain=0.05).eval()
    tiny = upscale_stages(as_net(model), photo[:50, :40], 2, options)
    assert done == [(number, 20) for number in range(1, 21)]
    assert len(hashed) == 1
    whole = upscale_stages(as_net(model), photo[:50, :40], 2, InferenceOptions("torch"))
    np.testing.assert_allclose(tiny.sr, whole.sr, rtol=0, atol=1e-5)


def test_default_budget_wastes_little():
    side = tile_pixels(VDSR(), MEMORY) ** 0.5
    assert (side / (side - 2 * 20)) ** 2 < 1.2
