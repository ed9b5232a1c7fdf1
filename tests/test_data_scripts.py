"""data_scripts/verify.py tells the right copy of a set from others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vdsrlib.images import list_images, read_image, save_image

VERIFY = Path(__file__).parents[1] / "data_scripts" / "verify.py"


def verify(*arguments, cwd):
    command = [sys.executable, str(VERIFY), *map(str, arguments)]
    environment = {**os.environ, "VDSR_DATA": ""}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("damage", ["none", "cropped", "missing", "truncated"])
def test_verify(data, tmp_path, damage):
    shutil.copytree(data / "Set5", tmp_path / "Set5")
    image = list_images(tmp_path / "Set5")[0]
    image.chmod(0o644)
    image.parent.chmod(0o755)
    if damage == "cropped":
        save_image(image, read_image(image)[:-3, :-3])
    elif damage == "missing":
        image.unlink()
    elif damage == "truncated":
        image.write_bytes(image.read_bytes()[:5000])
    done = verify(tmp_path, cwd=tmp_path)
    word = {
        "none": "30.3922",
        "cropped": "another copy",
        "missing": "4 images",
        "truncated": "cannot be read",
    }
    assert done.stderr == ""
    assert word[damage] in done.stdout
    assert done.stdout.startswith("OK   Set5" if damage == "none" else "FAIL Set5")
    assert done.returncode == (0 if damage == "none" else 1)


def test_nothing_to_verify_is_one_sentence(tmp_path):
    for arguments in ([], [tmp_path / "none"], [tmp_path]):
        done = verify(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "Traceback" not in done.stderr
