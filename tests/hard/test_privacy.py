"""Nothing is sent, and nothing is written in the user's home, by any command with any backend."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from vdsrlib.imaging.image_file import save_image
from vdsrlib.inference import backends

pytestmark = pytest.mark.hard

COMMANDS = """
upscale photo.png large.png --scale 2 --weights tiny.safetensors
upscale photos large --scale 2 --jobs 2 --weights tiny.safetensors
evaluate photos --scales 2 --weights tiny.safetensors
evaluate photos --scales 2 --network net.onnx
score photos photos --scale 2
train --data-path photos --ckpt-path run --depth 2 --width 2 --batch-size 2 --patch-size 8 --steps 2
study depth --values 2 --seeds 1 --steps 2 --width 2 --batch-size 2 --patch-size 8 --runs-path studies
features photo.png maps --scale 2 --weights tiny.safetensors
export net.onnx --weights tiny.safetensors
data verify photos
doctor
"""

HOMES = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
HIDDEN = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ORT_DISABLE_TELEMETRY", "CI", "VDSR_DATA")

ALL = """
import sys
import warnings
from vdsrlib.cli.app import main

FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "socket.sendto")

def refuse(event, arguments):
    if event in FORBIDDEN and not isinstance(arguments[-1], (str, bytes)):  # a name in the file system
        print("asked for a network:", event, arguments)
        raise OSError("no network")

if __name__ == "__main__":
    sys.addaudithook(refuse)
    warnings.simplefilter("ignore")
    for line in open("commands").read().split("\\n"):
        status = main(line.split()) if line else 0
        print("STATUS", status, line)
"""


@pytest.fixture
def place(tmp_path, photo, tiny):
    """A folder with what the commands want."""
    save_image(tmp_path / "photo.png", photo[:48, :60])
    save_image(tmp_path / "photos/a.png", photo[:60, :72])
    save_image(tmp_path / "photos/b.png", photo[:72, :60])
    shutil.copy(tiny, tmp_path / "tiny.safetensors")
    lines = COMMANDS.strip().split("\n")
    lines.sort(key=lambda line: not line.startswith("export"))  # evaluate takes what it writes
    (tmp_path / "commands").write_text("\n".join(lines))
    (tmp_path / "all.py").write_text(ALL)
    return tmp_path


@pytest.fixture
def run_all(place, cli_environment):
    """Run all commands with a home folder and a backend, traced where this machine can: (output, trace)."""

    def run(home, backend):
        hidden = (
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "ORT_DISABLE_TELEMETRY",
            "CI",
            "VDSR_DATA",
        )
        environment = {name: value for name, value in cli_environment.items() if name not in hidden}
        homes = (
            {name: str(home) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")} if home else {}
        )
        environment = {k: v for k, v in environment.items() if k not in ("HOME", "USERPROFILE")} | homes
        environment |= {"VDSR_BACKEND": backend, "OMP_NUM_THREADS": "1"}
        trace = place / "trace"
        tracer = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=network", "-o", str(trace)]
        able = (
            shutil.which("strace") and not subprocess.run([*tracer, "true"], capture_output=True).returncode
        )
        command = [*(tracer if able else ()), sys.executable, "all.py"]
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout, trace.read_text() if able else ""

    return run


def check(output, trace):
    assert "asked for a network" not in output
    statuses = dict(line.split(" ", 2)[:0:-1] for line in output.splitlines() if line.startswith("STATUS"))
    assert len(statuses) == len(COMMANDS.strip().split("\n"))
    failed = {
        line for line, status in statuses.items() if status != "0" and not line.startswith("data verify")
    }
    assert not failed, output[-3000:]
    outside = [line for line in trace.splitlines() if re.search(r"AF_(?!UNIX|UNSPEC|LOCAL)\w+", line)]
    assert not outside, "\n".join(outside[:20])


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_empty_home_stays_empty(run_all, tmp_path_factory, backend):
    pytest.importorskip(backend)
    home = tmp_path_factory.mktemp("home")
    check(*run_all(home, backend))
    assert [path for path in home.rglob("*")] == []


@pytest.mark.parametrize("home", [os.devnull + "/home", ""], ids=["cannot be written", "none"])
def test_without_a_home(run_all, home):
    check(*run_all(home, "onnxruntime"))
