"""Training on HR with LR of its own."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import check_refused

from training.runs import TINY, identical, weights
from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.protocol import PAPER, REPLICATION
from vdsrlib.training.pairs import Pairs, find_training_images, fit_recipe
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipe import Recipe


@pytest.fixture
def pairs(images, tmp_path):
    """The two training images, and what a camera with a third of the pixels may have seen of them."""
    for path in images.glob("*.png"):
        image = read_image(path)
        rows, cols = (side // 3 * 3 for side in image.shape[:2])
        mean = image[:rows, :cols].reshape(rows // 3, 3, cols // 3, 3, *image.shape[2:]).mean((1, 3))
        save_image(tmp_path / f"lr/{path.stem}x3.png", to_uint8(mean / 255))
    return Pairs(images, tmp_path / "lr")


def training_set(pairs, recipe, **more):
    found = find_training_images(pairs)
    return TrainingSet(fit_recipe(recipe, found), found.hr, lr=found.lr, **more)


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
def test_ilr_is_the_interpolated_lr(pairs, protocol, tmp_path):
    recipe = TINY.replace(protocol=protocol.name, rescale_factors=(1, 0.5), degrade_patch=True)
    data = training_set(pairs, recipe)
    assert data.recipe.scales == (3.0,)
    assert data.pixels.index.sizes == [(96, 120), (90, 99)]
    image, lr = read_image(pairs.hr / "a.png"), read_image(tmp_path / "lr/ax3.png")
    hr, ilr = protocol.real_pair(image[:96, :120], lr, 3)
    channels = protocol.channels
    found = data.pixels.ilr[: channels * 96 * 120].view(channels, 96, 120).permute(1, 2, 0)
    np.testing.assert_allclose(found.squeeze(-1), ilr, atol=1e-6)
    found = data.pixels.hr[: channels * 96 * 120].view(channels, 96, 120).permute(1, 2, 0)
    np.testing.assert_array_equal(found.squeeze(-1), to_uint8(hr))
    degraded = protocol.pair(image, 3)[2]
    assert np.abs(degraded - ilr).max() > 0.02  # another LR than the protocol makes


def test_store_tells_lr_apart(pairs, tmp_path):
    store = tmp_path / "store"
    first = training_set(pairs, TINY, store=store).batch(0, 4)
    torch.testing.assert_close(training_set(pairs, TINY).batch(0, 4), first, rtol=0, atol=0)
    lr = read_image(tmp_path / "lr/ax3.png")
    save_image(tmp_path / "lr/ax3.png", np.roll(lr, 1, 0))
    assert (training_set(pairs, TINY, store=store).batch(0, 4)[0] - first[0]).abs().max() > 0
    assert len(list(store.glob("*/index.json"))) == 2


def test_run_is_known_by_its_lr(train, pairs, tmp_path, images):
    first = train(data=pairs)
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["scales"] == [3.0]
    assert record["data"] == f"pairs of {images.name}, 2 images"
    assert len(record["lr_sha256"]) == 64
    assert identical(weights(train(data=pairs)), weights(first))
    assert not identical(weights(train(name="other", recipe=TINY.replace(scales=3))), weights(first))
    (tmp_path / "run/state.pt").unlink()
    lr = tmp_path / "lr/ax3.png"
    save_image(lr, np.roll(read_image(lr), 1, 0))
    with pytest.raises(InputError, match="a run with another lr;"):
        train(data=pairs)
    with pytest.raises(InputError, match="a run with another lr;"):
        train(recipe=TINY.replace(scales=3))


def test_what_does_not_fit_is_named(pairs, tmp_path, photo):
    recipe = Recipe(name="x", scales=(2, 4))
    with pytest.raises(
        InputError, match=r"ax3\.png fits .*a\.png at none of the recipe's scales: .*factor of 3 by 3"
    ):
        training_set(pairs, recipe)
    save_image(tmp_path / "lr/bx3.png", read_image(tmp_path / "lr/bx3.png")[:, :-1])
    with pytest.raises(
        InputError, match=r"b\.png: LR must have 33x30 pixels.* got 32x30, a factor of 3\.156 by 3"
    ):
        training_set(pairs, TINY)
    assert training_set(pairs, TINY, skip_broken=True).pixels.index.broken == ["b.png"]
    save_image(tmp_path / "lr/bx3.png", photo[:30, :33])
    with pytest.raises(InputError, match="HR is grey and LR is not"):
        training_set(pairs, TINY)
    (tmp_path / "lr/bx3.png").rename(tmp_path / "lr/c.png")
    with pytest.raises(InputError, match=r"c\.png has no ground truth; .*b\.png has no LR"):
        training_set(pairs, TINY)
    assert len(find_training_images(pairs, skip_broken=True).hr) == 1


def test_command(pairs, tmp_path, images, call_cli):
    fields = {"depth": 3, "width": 4, "batch-size": 2, "patch-size": 16, "steps": 3, "device": "cpu"}
    small = [word for name, value in fields.items() for word in (f"--{name}", value)]
    command = ["train", "--data-path", images, "--ckpt-path", tmp_path / "run", *small, "--lr-path"]
    status, out, _ = call_cli(*command, tmp_path / "lr")
    assert status == 0
    assert "Training on pairs of" in out
    shutil.rmtree(tmp_path / "run")
    check_refused(*call_cli(*command, tmp_path / "nowhere"), "There is no folder")


def test_evaluate_with_lr(pairs, tmp_path, images, call_cli, tiny):
    """The scores are those of the LR in the folder; HR may lie beside it."""
    (tmp_path / "hr").mkdir()
    for path in images.glob("*.png"):
        shutil.copy(path, tmp_path / "hr")
        shutil.copy(path, pairs.lr)  # fits better by its name than the true LR
    command = ("evaluate", tmp_path / "hr", "--weights", tiny, "--scales", 3, "--json", "--lr", pairs.lr)
    check_refused(*call_cli(*command), "a factor of 1 by 1")
    (pairs.lr / "a.png").unlink()
    (pairs.lr / "b.png").unlink()
    status, out, _ = call_cli(*command, "--cache", tmp_path / "cache")
    assert status == 0
    image, lr = read_image(images / "a.png"), read_image(tmp_path / "lr/ax3.png")
    hr, ilr = PAPER.real_pair(image, lr, 3)
    wanted = PAPER.score(ilr, hr, 3)
    found = {row["name"]: row for row in json.loads(out)["images"]}
    assert found["a"]["interpolation"]["psnr"] == pytest.approx(wanted.psnr, abs=1e-9)
    check_refused(*call_cli(*command[:5], "2_3", "--lr", pairs.lr), "one set of images at one scale")
    check_refused(*call_cli(*command[:2], tmp_path / "lr", *command[2:]), "one set of images at one scale")
