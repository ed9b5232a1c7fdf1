"""``vdsr features``, as people and scripts use it."""

import numpy as np
import pytest
from conftest import check_refused
from PIL import Image

from vdsrlib.datasets.catalog import list_images
from vdsrlib.evaluation import ground_truth
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.models import checkpoint
from vdsrlib.protocol import Protocol


@pytest.fixture
def features(call_cli, photo_file, make_model, tmp_path):
    info = {"protocol": "paper", "scales": [2], "recipe": "test", "data": "nothing"}
    weights = tmp_path / "w.safetensors"
    checkpoint.save(weights, make_model(depth=4, width=9), info)

    def run(*options, image=photo_file):
        arguments = [image, tmp_path / "maps", "--scale", 2, "--weights", weights]
        return call_cli("features", *arguments, *options)

    return run


def test_pictures(features, tmp_path):
    depth = 4
    status, _, error = features()
    assert (status, error) == (0, "")
    convs = {f"conv.{i}" for i in range(1, depth + 1)}
    relus = {f"relu.{i}" for i in range(1, depth)}
    pictures = {path.stem: read_image(path) for path in list_images(tmp_path / "maps")}
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {f"{name}.png" for name in pictures}
    assert set(pictures) == {"lr", "sr"} | convs | relus
    assert pictures["lr"].shape == (48, 60, 3)
    assert pictures["sr"].shape == (96, 120, 3)
    assert pictures["conv.1"].shape == (3 * 97 - 1, 3 * 121 - 1)
    assert pictures["conv.4"].shape == (96, 120)
    assert all(picture.std() > 0 for picture in pictures.values())
    assert (pictures["conv.1"] != pictures["relu.1"]).any()


@pytest.mark.parametrize("size", [(96, 120), (1030, 1040)], ids=["small", "large"])
def test_the_network_passes_once(features, tmp_path, photo, monkeypatch, size):
    """And SR is the one of ``upscale --ground-truth``."""
    save_image(tmp_path / "a.png", np.tile(photo, (11, 9, 1))[: size[0], : size[1]])
    calls = []
    monkeypatch.setattr(ground_truth, "predict", lambda *_: calls.append("predict"))
    degrade = Protocol.degrade
    monkeypatch.setattr(Protocol, "degrade", lambda *a: calls.append(a[1].ndim) or degrade(*a))
    assert features(image=tmp_path / "a.png")[0] == 0
    assert calls == [2, 3]  # luma and chroma
    monkeypatch.undo()
    weights = checkpoint.load(tmp_path / "w.safetensors", "cpu")
    wanted = to_uint8(degrade_and_upscale(weights, read_image(tmp_path / "a.png"), 2).sr)
    apart = np.abs(read_image(tmp_path / "maps/sr.png").astype(int) - wanted)
    assert apart.max() <= 1
    assert apart.mean() < 1e-3  # float32 rounds halves


def test_force_alone_uses_a_folder_with_files(features, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/lr.png").write_text("mine")
    check_refused(*features(), "maps is not empty; write another name, or --force")
    assert (tmp_path / "maps/lr.png").read_text() == "mine"
    assert features("--force")[0] == 0
    assert len(list_images(tmp_path / "maps")) == 9


def test_no_half_a_set_on_a_full_disk(features, tmp_path, full_disk):
    with full_disk():
        status, out, error = features()
    check_refused(status, out, error, "File too large")
    assert not (tmp_path / "maps").exists()


def test_what_was_changed_in_reading_is_told(features, tmp_path, photo):
    Image.fromarray(np.dstack([photo, photo[..., 0]])).save(tmp_path / "clear.png")
    assert "7 layers; transparency is dropped\n" in features(image=tmp_path / "clear.png")[1]
