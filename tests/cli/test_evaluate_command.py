"""``vdsr evaluate``, as people and scripts use it."""

import json

import numpy as np
import pytest
from PIL import Image

from vdsrlib.imaging.image_file import save_image
from vdsrlib.models import checkpoint


def strict_json(text: str) -> dict:
    """JSON by the standard, which has no NaN and no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def folder(tmp_path, photo, grey_photo):
    save_image(tmp_path / "set" / "a.png", photo)
    save_image(tmp_path / "set" / "b.png", grey_photo)
    return tmp_path / "set"


def test_json(run_cli, folder, tiny):
    """One object on stdout, nothing else; relative names work."""
    done = run_cli("evaluate", "set", "--scales", 2.5, "--weights", tiny, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    record = strict_json(done.stdout)
    assert [row["name"] for row in record["images"]] == ["a", "b"]
    for row in (*record["images"], record["mean"]):
        for method in ("interpolation", "model"):
            assert 15 < row[method]["psnr"] < 45
            assert 0.3 < row[method]["ssim"] < 1
    assert (record["scale"], record["protocol"], record["data"]) == (2.5, "paper", "set")
    assert record["weights"]["sha256"] == checkpoint.load(tiny, "cpu").hash
    assert record["versions"]["python"]
    assert record["device"]


def test_flat_image_is_still_json(call_cli, tmp_path, tiny):
    """Interpolation of one grey is perfect, and its PSNR infinite."""
    save_image(tmp_path / "flat" / "a.png", np.full((40, 40), 77, np.uint8))
    status, out, _ = call_cli("evaluate", tmp_path / "flat", "--scales", 2, "--weights", tiny, "--json")
    assert status == 0
    assert strict_json(out)["mean"]["interpolation"] == {"psnr": None, "ssim": 1}


def test_table(call_cli, folder, tiny):
    arguments = ["evaluate", folder, "--scales", 2, "--weights", tiny]
    record = strict_json(call_cli(*arguments, "--json")[1])
    status, out, error = call_cli(*arguments)
    assert (status, error) == (0, "")
    assert "paper protocol, x2, depth 3" in out
    for row in (*record["images"], {"name": "mean", **record["mean"]}):
        (line,) = (line for line in out.splitlines() if line.split()[:1] == [row["name"]])
        for method in ("interpolation", "model"):
            assert f"{row[method]['psnr']:.2f} / {row[method]['ssim']:.4f}" in line


def test_protocol_of_the_weights(call_cli, folder, tiny_rgb):
    arguments = ["evaluate", folder, "--scales", 2, "--weights", tiny_rgb, "--json"]
    assert strict_json(call_cli(*arguments)[1])["protocol"] == "replication"


def test_what_was_changed_in_reading_is_told(call_cli, folder, tiny, photo):
    Image.fromarray(np.dstack([photo, photo[..., 0]])).save(folder / "c.png")
    arguments = [folder, "--scales", 2, "--weights", tiny, "--json"]
    status, out, error = call_cli("evaluate", *arguments)
    assert (status, error) == (0, f"vdsrlib: {folder / 'c.png'}: transparency is dropped.\n")
    assert strict_json(out)["notes"] == [f"{folder / 'c.png'}: transparency is dropped."]


def test_a_folder_needs_no_data_set(call_cli, folder, tiny, monkeypatch):
    monkeypatch.setenv("VDSR_DATA", str(folder / "none"))
    assert call_cli("evaluate", folder, "--scales", 2, "--weights", tiny)[0] == 0
    status, _, error = call_cli("evaluate", "Set5", "--scales", 2, "--weights", tiny)
    assert status == 2
    assert "VDSR_DATA names" in error


def test_set_by_name(call_cli, folder, tiny, monkeypatch):
    """As the README has it; a folder of that name, here, goes first."""
    folder.rename(folder.with_name("Set5"))
    arguments = ["evaluate", "Set5", "--scales", 2, "--weights", tiny]
    monkeypatch.delenv("VDSR_DATA", raising=False)
    status, _, error = call_cli(*arguments)
    assert status == 2
    assert "no folder Set5, nor a set of that name" in error
    monkeypatch.setenv("VDSR_DATA", str(folder.parent))
    assert call_cli(*arguments)[0] == 0
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("VDSR_DATA", str(folder.parent / "Set5"))
    assert call_cli(*arguments)[0] == 0


def test_published_number(call_cli, data, tiny, monkeypatch):
    monkeypatch.setenv("VDSR_DATA", str((data / "Set5").parent))
    arguments = ["Set5", "--scales", 3, "--weights", tiny, "--json"]
    mean = strict_json(call_cli("evaluate", *arguments)[1])["mean"]["interpolation"]
    assert round(mean["psnr"], 2) == 30.39
    assert round(mean["ssim"], 4) == 0.8682
