"""The face of the library: names that come when they are used, and that type checkers see."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import vdsrlib

USE = """\
import vdsrlib

reveal_type(vdsrlib.__version__)
reveal_type(vdsrlib.load("vdsr", device="cpu"))
reveal_type(vdsrlib.get_recipe("best", steps=1000))
reveal_type(vdsrlib.get_protocol("paper"))
reveal_type(vdsrlib.VDSR(depth=3))
reveal_type(vdsrlib.score("sr.png", "hr.png", scale=4))
reveal_type(vdsrlib.upscale(vdsrlib.load(), vdsrlib.load().info["image"], scale=2.5))
vdsrlib.upscale_file(vdsrlib.load(), "photo.jpg", "big.png", scale=2.5)
vdsrlib.load(scale=3)
vdsrlib.enlarge
"""
SEEN = [
    'Revealed type is "str"',
    'Revealed type is "vdsrlib.models.checkpoint.Checkpoint"',
    'Revealed type is "vdsrlib.training.recipe.Recipe"',
    'Revealed type is "vdsrlib.protocol.Protocol"',
    'Revealed type is "vdsrlib.models.vdsr.VDSR"',
    "fallback=vdsrlib.protocol.Score",
    'Revealed type is "numpy.ndarray[',
    'Unexpected keyword argument "scale" for "load"',
    'Module has no attribute "enlarge"',
]


@pytest.mark.parametrize("name", vdsrlib.__all__)
def test_every_name_is_there_and_documented(name):
    assert getattr(vdsrlib, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="enlarge"):
        _ = vdsrlib.enlarge


def test_the_import_alone_loads_nothing_large():
    heavy = {"torch", "numpy", "matplotlib", "pandas", "pydantic", "scipy", "skimage", "PIL"}
    code = f"import sys, vdsrlib; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_type_checker_sees_the_names(tmp_path):
    if not find_spec("mypy"):
        pytest.skip("mypy is not installed")
    (tmp_path / "use.py").write_text(USE)
    command = [sys.executable, "-m", "mypy", "--no-pretty", "--no-error-summary", tmp_path / "use.py"]
    run = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert [part for part in SEEN if part not in run.stdout] == [], run.stdout
    assert run.stdout.count("error:") == 2
