"""JPEG as matrices, against the encoder and the decoder that everyone uses."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn

from vdsrlib.datasets.catalog import embedded
from vdsrlib.imaging.colour import luma
from vdsrlib.imaging.image_file import read_image
from vdsrlib.imaging.jpeg import compress, cosine_matrix, quantisation_table

QUALITIES = range(1, 101)


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    """Luma of a photograph whose sides are no multiples of 8: 203 x 301."""
    return luma(read_image(embedded(["coffee.png"])[0]))[100:303, 150:451]


def libjpeg(levels: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Decoded samples, and the table."""
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "jpeg", quality=quality)
    decoded = Image.open(file)
    return np.asarray(decoded), np.array(decoded.quantization[0]).reshape(8, 8)


def ours(levels: np.ndarray, quality: int, phase=(0, 0), dtype=torch.float32) -> np.ndarray:
    planes = torch.from_numpy(levels.copy())[None].to(dtype)
    return compress(planes, torch.tensor([quality]), torch.tensor([phase]))[0].numpy()


def as_blocks(plane: np.ndarray) -> np.ndarray:
    """Whole blocks of a plane, down x across x 8 x 8."""
    height, width = (side // 8 * 8 for side in plane.shape)
    return plane[:height, :width].reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3)


def test_the_matrix_is_the_orthogonal_cosine_transform(levels):
    block = levels[:8, :8].astype(float)
    np.testing.assert_allclose(
        cosine_matrix() @ block @ cosine_matrix().T, dctn(block, norm="ortho"), rtol=0, atol=1e-10
    )


def test_every_quality_is_libjpeg_to_one_level_save_where_rounding_ties(levels):
    """Beyond one level are 0.5 % of the samples, all in blocks where a coefficient lies halfway."""
    beyond, differing, count = 0, 0, 0
    for quality in QUALITIES:
        wanted, table = libjpeg(levels, quality)
        np.testing.assert_array_equal(quantisation_table(quality), table)
        difference = np.abs(ours(levels, quality) - wanted)
        beyond, differing, count = (
            beyond + (difference > 1).sum(),
            differing + (difference > 0).sum(),
            count + difference.size,
        )
        blocks = as_blocks(levels.astype(float) - 128)
        exact = np.abs(dctn(blocks, axes=(2, 3), norm="ortho")) / table
        from_tie = (np.abs(exact - np.floor(exact) - 0.5) * table).min((2, 3))  # in units of a coefficient
        off = (as_blocks(difference) > 1).any((2, 3))
        assert (from_tie[off] < 0.25).all()  # libjpeg computes in integers, to eighths
    print(f"of {count} samples {differing} differ, {beyond} by more than one level")
    assert beyond / count < 0.006
    assert differing / count < 0.035


@pytest.mark.parametrize("phase", [(1, 0), (3, 7), (7, 4)])
def test_the_phase_is_where_a_larger_image_was_cut(levels, phase):
    """Inner blocks are those of a JPEG whose first row and column lie outside."""
    top, left = phase
    whole = ours(levels, 60)
    cut = ours(levels[top:, left:], 60, phase)
    np.testing.assert_array_equal(cut[8 - top : 160, 8 - left : 240], whole[8 : 160 + top, 8 : 240 + left])


def test_each_plane_of_a_batch_has_its_own_quality_and_phase(levels):
    planes = torch.from_numpy(np.stack([levels[:40, :50], levels[60:100, 80:130]])).float()
    quality, phase = torch.tensor([20, 90]), torch.tensor([[0, 5], [6, 1]])
    both = compress(planes, quality, phase)
    for i in range(2):
        alone = compress(planes[i : i + 1], quality[i : i + 1], phase[i : i + 1])
        assert torch.equal(both[i : i + 1], alone)


def test_a_plane_smaller_than_a_block(levels):
    assert ours(levels[:5, :3], 50, (7, 7)).shape == (5, 3)
