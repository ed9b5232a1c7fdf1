"""Shipping trained networks: what goes into the package is what was trained, and says so."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from vdsrlib.datasets.catalog import embedded
from vdsrlib.models import checkpoint
from vdsrlib.training.recipes import get_recipe
from vdsrlib.training.trainer import train
from vdsrlib.training.validation import Validation
from vdsrlib.utils.hashing import hash_file

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import ship


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs as ``make weights`` leaves them, of tiny networks validated on the bundled photographs."""
    root = tmp_path_factory.mktemp("runs")
    images = root / "images"
    images.mkdir()
    shutil.copy(embedded(["coffee.png"])[0], images)
    (images / "tiny").mkdir()
    shutil.copy(embedded(["chelsea.png"])[0], images / "tiny")
    for name, protocol in (("vdsr", "paper"), ("replication-2", "replication")):
        changes = dict(protocol=protocol, scales="2", depth=2, width=4, patch_size=16, batch_size=2, steps=20)
        folder = root / "weights" / name
        recipe = get_recipe("demo", **changes)
        train(recipe, folder, images, validation=Validation("tiny"), device="cpu")
    return root


@pytest.fixture
def package(tmp_path, monkeypatch, runs):
    monkeypatch.setattr(checkpoint, "WEIGHTS", tmp_path)
    monkeypatch.setattr(ship, "RESULTS", tmp_path)
    monkeypatch.setenv("VDSR_DATA", str(runs / "images"))
    return tmp_path


def test_shipped_networks_are_the_trained_ones_in_half_the_room(package, runs):
    ship.main(runs / "weights")
    names = ("vdsr", "replication-2")
    assert {path.name for path in package.glob("*.*")} == {f"{name}.safetensors" for name in names}
    assert {path.name for path in (package / "training").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("json", "png")
    }
    for name in names:
        file = package / f"{name}.safetensors"
        record = json.loads((package / "training" / f"{name}.json").read_text())
        assert record["weights"] == {"file": file.name, "sha256": hash_file(file)}
        with safe_open(file, framework="pt") as stored:
            assert all(stored.get_tensor(key).dtype == torch.float16 for key in stored.keys())  # noqa: SIM118
        trained, shipped = (
            checkpoint.load(runs / "weights" / name / "weights.safetensors", "cpu"),
            checkpoint.load(file, "cpu"),
        )
        assert shipped.info == trained.info
        for before, after in zip(trained.model.parameters(), shipped.model.parameters(), strict=True):
            torch.testing.assert_close(after, before, atol=1e-7, rtol=2**-11)


def test_of_trainings_that_others_begin_with_the_records_are_kept(package, runs, tmp_path_factory):
    root = tmp_path_factory.mktemp("chain")
    shutil.copytree(runs / "weights" / "vdsr", root / "vdsr")
    shutil.copytree(runs / "weights" / "vdsr", root / "records" / "training" / "vdsr-first")
    ship.main(root)
    assert {path.name for path in package.glob("*.*")} == {"vdsr.safetensors"}
    record = json.loads((package / "training" / "vdsr-first.json").read_text())
    assert record["weights"]["sha256"] == hash_file(
        root / "records" / "training" / "vdsr-first" / "weights.safetensors"
    )
    assert record == json.loads((root / "records" / "training" / "vdsr-first" / "run.json").read_text())


def test_weights_that_float16_would_change_are_not_shipped(package, runs, monkeypatch, capsys):
    (package / "vdsr.safetensors").write_bytes(b"what was shipped before")
    monkeypatch.setattr(ship, "MOVED", 0.0)
    assert ship.main(runs / "weights") == 1
    assert len(re.findall(r"float16 moves its PSNR by [+-]0\.0", capsys.readouterr().err)) == 2
    assert (package / "vdsr.safetensors").read_bytes() == b"what was shipped before"


def test_a_missing_validation_set_is_named(package, runs, monkeypatch, capsys):
    monkeypatch.delenv("VDSR_DATA")
    assert ship.main(runs / "weights") == 1
    assert "vdsr was validated on tiny, which is not there; set VDSR_DATA" in capsys.readouterr().err


def test_what_was_trained_without_the_image_sets_is_not_shipped(package, runs, monkeypatch, capsys, tmp_path):
    """And the networks beside it are."""
    monkeypatch.setattr(ship, "EMBEDDED_NAME", "tiny")
    root = shutil.copytree(runs / "weights", tmp_path / "weights")
    trained = checkpoint.load(root / "vdsr" / "weights.safetensors", "cpu")
    other = {**trained.info, "validation": {"Set5": trained.info["validation"]["tiny"]}}
    checkpoint.save(root / "replication-2" / "weights.safetensors", trained.model, other)
    shutil.copytree(runs / "images" / "tiny", tmp_path / "images" / "Set5")
    monkeypatch.setenv("VDSR_DATA", str(tmp_path / "images"))
    assert ship.main(root) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("vdsr was trained without the image sets")
    assert {path.name for path in package.glob("*.safetensors")} == {"replication-2.safetensors"}


def test_nothing_to_ship(package, tmp_path, capsys):
    assert ship.main(tmp_path) == 1
    assert "There is no finished network in" in capsys.readouterr().err


def test_what_is_shipped_already_is_left_alone_and_so_is_what_others_shipped(package, runs, monkeypatch):
    ship.main(runs / "weights")
    (package / "training" / "paper-3.json").write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in package.rglob("*.*")}
    monkeypatch.setattr(ship, "evaluate", None)  # nothing is scored again
    ship.main(runs / "weights")
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*.*")} == before


def test_cut_off_between_weights_and_record(package, runs, monkeypatch):
    """The next time writes the record of the weights that are there."""
    ship.main(runs / "weights")
    file, record = package / "vdsr.safetensors", package / "training" / "vdsr.json"
    record.write_text(record.read_text().replace(hash_file(file), 64 * "0"))
    ship.main(runs / "weights")
    assert json.loads(record.read_text())["weights"]["sha256"] == hash_file(file)


def test_a_network_trained_anew_takes_the_place_of_the_former(package, runs):
    ship.main(runs / "weights")
    file, record = package / "vdsr.safetensors", package / "training" / "vdsr.json"
    shutil.copy(package / "replication-2.safetensors", file)
    ship.main(runs / "weights")
    assert json.loads(record.read_text())["weights"]["sha256"] == hash_file(file)
    assert checkpoint.load(file, "cpu").protocol.name == "paper"
