"""The wheel, built and installed without the clone, beside the base dependencies and nothing else."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vdsrlib.imaging.image_file import read_image, save_image

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """An sdist of a fresh clone, and the wheel that is made of it."""
    source = tmp_path_factory.mktemp("source")
    unwanted = shutil.ignore_patterns("__pycache__", ".*", "runs", "build", "dist", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=unwanted, dirs_exist_ok=True)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist"]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = (source / "dist").glob("*.tar.gz")
    (wheel,) = (source / "dist").glob("*.whl")
    return archive, wheel


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    return built[1]


def base_distributions(wheel: Path) -> set[str]:
    """The distributions that an installation without extras brings."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    waiting = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    found: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if (requirement.marker and not requirement.marker.evaluate({"extra": ""})) or name in found:
            continue
        found.add(name)
        waiting += distribution(name).requires or []
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel):
    """Run a program of an environment that has the wheel and, as links, its base dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=os.name != "nt")
    binaries = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / Path(sys.executable).name
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    packages = Path(asked.stdout.strip())
    for name in base_distributions(wheel):
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            link, place = packages / top, distribution(name).locate_file(top)
            if not link.exists():
                try:
                    link.symlink_to(str(place), target_is_directory=Path(str(place)).is_dir())
                except OSError:
                    pytest.skip("links cannot be made here")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VDSR", "COV_CORE"))}

    def run(program: str, *arguments: object) -> subprocess.CompletedProcess:
        command = [binaries / program, *map(str, arguments)]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    run.folder = folder
    return run


def milliseconds(run) -> float:
    """The time that a program needs, in ms: the shortest of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def test_the_sdist_has_what_its_tests_and_chapters_need(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for path in ("tests", "notebooks", "tools", "docs", "data_scripts"):
        wanted = [p for p in (ROOT / path).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        assert {p.relative_to(ROOT).as_posix() for p in wanted if p.name[0] != "."} <= names
    for name in ("Makefile", "constraints.txt", "pyproject.toml", "CITATION.cff"):
        assert name in names


def test_what_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    for name in ("py.typed", "__init__.pyi", "weights/vdsr.safetensors", "datasets/manifest.json"):
        assert f"vdsrlib/{name}" in names
    assert {name.split("/")[0] for name in names} == {"vdsrlib", metadata.split("/")[0]}
    for field in ("Author", "Keywords", "Classifier", "License-Expression", "Description-Content-Type"):
        assert re.search(f"^{field}: .", text, re.MULTILINE)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")


def test_nothing_but_the_base_dependencies_is_there(installed):
    absent = ["matplotlib", "pydantic", "tensorboard", "imagehash", "requests", "onnxruntime", "pytest"]
    code = f"from importlib.util import find_spec; print([n for n in {absent} if find_spec(n)])"
    done = installed("python", "-c", code)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    done = installed("python", "-c", "import vdsrlib; print(vdsrlib.__file__)")
    assert str(installed.folder) in done.stdout


def test_an_image_and_a_folder(installed, photo):
    save_image(installed.folder / "set/a.png", photo)
    done = installed("vdsr", "upscale", "set/a.png", "big.png", "--scale", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_image(installed.folder / "big.png").shape == (192, 240, 3)
    done = installed("vdsr", "evaluate", "set", "--scales", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert "paper protocol, x2, depth 20" in done.stdout
    done = installed("vdsr", "score", "set", "set", "--scale", 2)
    assert done.returncode == 0
    assert "inf / 1.0000" in done.stdout
    done = installed("vdsr", "features", "set/a.png", "maps", "--scale", 2)
    assert (done.returncode, done.stderr) == (0, "")


def test_doctor(installed):
    done = installed("vdsr", "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "FAIL" not in done.stdout
    assert "extra figures is not installed; pip install 'vdsrlib[figures]' brings matplotlib" in done.stdout


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("train", "pydantic", "train"),
        ("study depth", "pydantic", "train"),
        ("data get Set5 --to data", "pooch", "data"),
        ("export net.onnx", "onnx", "fast"),
    ],
)
def test_a_missing_extra_is_one_sentence(installed, photo, command, package, extra):
    save_image(installed.folder / "set/a.png", photo)
    done = installed("vdsr", *command.split())
    assert (done.returncode, done.stdout) == (2, "")
    sentence = f"{package} is not installed; pip install 'vdsrlib[{extra}]' brings it"
    assert done.stderr == f"vdsrlib: {sentence}\n"


def test_the_import_and_the_help_are_quick(installed):
    code = "import sys, vdsrlib; print(sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    done = installed("python", "-c", code)
    assert done.stdout == "[]\n"
    nothing = milliseconds(lambda: installed("python", "-c", ""))
    took = milliseconds(lambda: installed("python", "-c", "import vdsrlib"))
    print(f"import vdsrlib: {took - nothing:.0f} ms; vdsr --help: ", end="")
    done = installed("python", "-X", "importtime", "-m", "vdsrlib", "--help")
    assert done.returncode == 0
    assert not re.search(r"\| +(torch|numpy|matplotlib|pydantic|pandas)$", done.stderr, re.MULTILINE)
    print(f"{milliseconds(lambda: installed('vdsr', '--help')):.0f} ms")
