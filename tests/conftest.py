"""Fixtures: the image sets where there are any, photographs, small networks, the command line."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

import vdsrlib
from vdsrlib.cli.app import main
from vdsrlib.datasets.catalog import embedded
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.models import checkpoint
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER, Protocol

# The suite's numbers are those of float32; the tests of other precisions ask for them.
os.environ["VDSR_PRECISION"] = "float32"
settings.register_profile("suite", max_examples=25, deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


def as_net(model: VDSR, protocol: Protocol = PAPER) -> Checkpoint:
    """A network as ``load`` gives it."""
    return Checkpoint(model, {"protocol": protocol.name, "scales": [1.1, 8.0]})


class Folder:
    """A folder of which any part may be missing: asking for what is not there skips the test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __truediv__(self, name: str) -> Path:
        path = self.root / name
        if not path.exists():
            pytest.skip(f"{path} is missing")
        return path


@pytest.fixture(scope="session")
def data() -> Folder:
    """The image sets: Set5, Set14, B100, Urban100."""
    if not os.environ.get("VDSR_DATA"):
        pytest.skip("VDSR_DATA is not set, and this test needs the real image sets")
    return Folder(Path(os.environ["VDSR_DATA"]))


@pytest.fixture(scope="session")
def reference(data: Folder) -> Folder:
    """What others computed: MATLAB's imresize, the authors' weights."""
    return Folder(data / "../reference")


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A real RGB photograph with fine detail, 96 x 120."""
    return read_image(embedded(["astronaut.png"])[0])[10:106, 170:290].copy()


@pytest.fixture(scope="session")
def grey_photo() -> np.ndarray:
    """A real grey photograph, 90 x 101."""
    return read_image(embedded(["camera.png"])[0])[120:210, 200:301].copy()


@pytest.fixture
def folders(tmp_path: Path, photo: np.ndarray, grey_photo: np.ndarray) -> tuple[Path, Path]:
    """A folder of ground truth, and one of images that were made from it."""
    sr, hr = tmp_path / "sr", tmp_path / "hr"
    for name, image in (("baby", photo), ("bird", grey_photo)):
        save_image(hr / f"{name}.png", image)
        save_image(sr / f"{name}_x3_SR.png", np.roll(image, 1, axis=0))
    return sr, hr


@pytest.fixture
def photo_file(tmp_path: Path, photo: np.ndarray) -> Path:
    path = tmp_path / "photo.png"
    save_image(path, photo)
    return path


@pytest.fixture(scope="session")
def make_model():
    """A small network with weights as after training: residuals of a few grey levels, biases too."""

    def make(channels: int = 1, depth: int = 3, width: int = 4) -> VDSR:
        torch.manual_seed(7)
        model = VDSR(depth, width, channels, last_gain=0.05)
        for conv in model.conv.values():
            torch.nn.init.normal_(conv.bias, std=0.01)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def make_net(make_model):
    """The small network as a checkpoint, of a protocol that fits its channels."""

    def make(channels: int = 1) -> checkpoint.Checkpoint:
        protocol = "paper" if channels == 1 else "replication"
        return checkpoint.Checkpoint(make_model(channels), {"protocol": protocol, "scales": [2, 3]})

    return make


@pytest.fixture(scope="session")
def make_zero_model():
    """A network whose residual is zero everywhere: its SR is ILR."""

    def make(channels: int = 1) -> VDSR:
        model = VDSR(3, 4, channels)
        torch.nn.init.zeros_(model.conv["3"].weight)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, make_model) -> Path:
    """Weights file of a small luma network."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoint.save(
        path, make_model(), {"protocol": "paper", "scales": [2, 3], "recipe": "test", "data": "-"}
    )
    return path


@pytest.fixture(scope="session")
def tiny_rgb(tmp_path_factory, make_model) -> Path:
    """Weights file of a small RGB network."""
    path = tmp_path_factory.mktemp("weights") / "tiny_rgb.safetensors"
    info = {"protocol": "replication", "scales": [2.5], "recipe": "test", "data": "nothing"}
    checkpoint.save(path, make_model(3), info)
    return path


@pytest.fixture
def full_disk():
    """Within ``with full_disk():`` no file can grow beyond 4 KiB; outside it, pytest may write its log."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limit(size=4096):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture(scope="session")
def cli_environment() -> dict[str, str]:
    """Lets a subprocess in any folder find the package, installed or not."""
    root = Path(vdsrlib.__file__).parents[1]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.fixture
def run_cli(tmp_path: Path, cli_environment):
    """Run ``python -m vdsrlib`` as a user does, from another folder; costs seconds of imports."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "vdsrlib", *map(str, arguments)],
            cwd=tmp_path,
            env={**cli_environment, **environment},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def call_cli(capsys):
    """Run the same command line in this process: (exit status, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return call


def wait_until(true, seconds=60):
    """Wait until the condition is true; fail where it does not come true in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def check_refused(status: int, out: str, error: str, part: str) -> None:
    assert status == 2
    assert out == ""
    assert error.startswith("vdsrlib: ")
    assert error.count("\n") == 1
    assert error.endswith("\n")
    assert part in error
