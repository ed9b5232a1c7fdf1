"""Photographs as people have them: the image chooses the default network."""

import json

import numpy as np
import pytest
from conftest import check_refused
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from vdsrlib.datasets.catalog import EMBEDDED_TEST, embedded, list_images
from vdsrlib.imaging.colour import as_rgb, luma
from vdsrlib.imaging.image_file import read_image
from vdsrlib.imaging.resize import imresize


def middle(path, side=192):
    image = as_rgb(read_image(path))
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def gains(call_cli, folder, paths):
    """Shrink photographs, save JPEGs of quality 75, and enlarge them: dB above interpolation, above vdsr."""
    (folder / "small").mkdir()
    for path in paths:
        small = Image.fromarray(imresize(middle(path), 0.5))
        small.save(folder / "small" / f"{path.stem}.jpg", quality=75)
    for name, options in {"default": [], "vdsr": ["--weights", "vdsr"]}.items():
        typed = "upscale", folder / "small", folder / name, "--scale", 2, "--format", "png"
        _, out, _ = call_cli(*typed, *options)
        assert out.count("by vdsr-photo (JPEG of quality 75)") == (len(paths) if name == "default" else 0)
    found = []
    for path in paths:
        hr = middle(path)
        images = [imresize(read_image(folder / "small" / f"{path.stem}.jpg"), 2.0)]
        images += [read_image(folder / name / f"{path.stem}.png") for name in ("default", "vdsr")]
        bicubic, photo, vdsr = (peak_signal_noise_ratio(hr, image, data_range=255) for image in images)
        found.append((photo - bicubic, photo - vdsr))
    return np.array(found)


def test_ten_jpegs_of_quality_75(call_cli, data, tmp_path):
    """Of Kodak24, by default, colours included: each is nearer to its original than by interpolation."""
    found = gains(call_cli, tmp_path, list_images(data / "Kodak24")[:10])
    assert len(found) == 10
    assert found[:, 0].min() > 0.05
    assert found.mean(axis=0).min() > 0.3


def test_the_bundled_photographs_as_jpegs(call_cli, tmp_path):
    """Most gain. Where the original is itself soft or noisy, next to nothing is lost."""
    paths = embedded((*EMBEDDED_TEST, "camera.png", "coins.png", "moon.png", "motorcycle_left.png"))
    found = gains(call_cli, tmp_path, paths)
    assert (found[:, 0] > 0.5).sum() >= 5
    assert found[:, 0].min() > -0.2
    assert found.mean(axis=0).min() > 0.4


def test_what_is_clean_gets_what_it_got(call_cli, tmp_path):
    Image.fromarray(middle(embedded(["coffee.png"])[0], 48)).save(tmp_path / "a.png")
    for name, options in {"default": [], "vdsr": ["--weights", "vdsr"]}.items():
        call_cli("upscale", tmp_path / "a.png", tmp_path / f"{name}.png", "--scale", 2, *options)
    assert (tmp_path / "default.png").read_bytes() == (tmp_path / "vdsr.png").read_bytes()


def test_scale_1_cleans(call_cli, tmp_path):
    clean = luma(middle(embedded(["camera.png"])[0], 128))
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 10, clean.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "a.png")
    _, out, _ = call_cli("upscale", tmp_path / "a.png", tmp_path / "b.png", "--scale", 1, "--json")
    assert json.loads(out)["notes"] == ["by vdsr-photo (scale 1)"]
    found = read_image(tmp_path / "b.png")
    assert found.shape == clean.shape
    assert peak_signal_noise_ratio(clean, found) > peak_signal_noise_ratio(clean, noisy) + 3


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            ["--scale", "1", "--weights", "vdsr"],
            "scale must be above 1 for vdsr.safetensors, got 1; vdsr-photo",
        ),
        (["--scale", "1", "--ground-truth"], "--ground-truth needs --scale, above 1"),
        (["--scale", "0.9"], "scale must be above 1 and at most 8, got 0.9"),
    ],
)
def test_scales_that_are_none(call_cli, tmp_path, photo, typed, sentence):
    Image.fromarray(photo).save(tmp_path / "a.png")
    check_refused(*call_cli("upscale", tmp_path / "a.png", tmp_path / "b.png", *typed), sentence)
    assert not (tmp_path / "b.png").exists()


def test_scores_never_choose(call_cli, tmp_path):
    Image.fromarray(middle(embedded(["coffee.png"])[0], 64)).save(tmp_path / "a.jpg", quality=40)
    typed = "upscale", tmp_path / "a.jpg", tmp_path / "b.png", "--scale", 2, "--ground-truth", "--force"
    outputs = [call_cli(*typed, *options)[1] for options in ([], ["--weights", "vdsr"])]
    assert outputs[0] == outputs[1]
    assert "vdsr-photo" not in outputs[0]
