"""A signal at any moment of any command: results are whole or absent, nothing stays behind."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import wait_until

from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.models import checkpoint

pytestmark = [pytest.mark.hard, pytest.mark.skipif(sys.platform == "win32", reason="for POSIX systems")]

SMALL = "--width 2 --batch-size 2 --patch-size 8"
COMMANDS = [
    "upscale photos large --scale 2 --weights tiny.safetensors",
    "upscale photos large --scale 2 --weights tiny.safetensors --jobs 2",
    "evaluate photos --scales 2_3 --weights tiny.safetensors --csv scores.csv --cache cache",
    "score photos photos --scale 2 --csv scores.csv",
    f"train --data-path photos --ckpt-path run --store store --depth 2 --steps 2000 {SMALL}",
    f"study depth --values 2,3 --seeds 1 --steps 200 --runs-path studies --out study.json {SMALL}",
    "features photos/0.png maps --scale 2 --weights tiny.safetensors",
    "export net.onnx --weights tiny.safetensors",
]
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
MOMENTS = 3  # for each command and signal
LONGEST = 8.0  # seconds, of imports and work


@pytest.fixture
def place(tmp_path, photo, tiny):
    for i in range(6):
        save_image(tmp_path / f"photos/{i}.png", photo[: 60 + i])
    shutil.copy(tiny, tmp_path / "tiny.safetensors")
    return tmp_path


def members(group):
    """The processes of a group that still run."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True).stdout.split("\n")
    return [row for row in map(str.split, listed) if row and row[0] == str(group) and row[1][0] != "Z"]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("line", COMMANDS)
def test_any_moment(place, cli_environment, line, number):
    moments = random.Random(f"{line} {number.name}")
    command = [sys.executable, "-m", "vdsrlib", *line.split()]
    environment = {**cli_environment, "OMP_NUM_THREADS": "1", "VDSR_DATA": ""}
    for _ in range(MOMENTS):
        with subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in SIGNALS],
        ) as process:
            time.sleep(moments.uniform(0.05, LONGEST))
            os.kill(process.pid, number)
            errors = process.communicate(timeout=60)[1]
        # before Python hears of signals, the system ends it
        assert process.returncode in (0, SIGNALS[number], -number), errors
        assert "Traceback" not in errors
        wait_until(lambda group=process.pid: not members(group), seconds=20)
        check_whole(place)
    done = subprocess.run(
        [*command, *(["--force"] if line.startswith(("upscale", "features", "export")) else [])],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]  # whatever was stopped before does no harm
    check_whole(place)


def check_whole(place):
    """No part of a file is there, and all files can be read."""
    files = [path for path in place.rglob("*") if path.is_file()]
    assert not [path for path in files if ".part-" in str(path)]
    for path in files:
        if path.suffix == ".png":
            read_image(path)
        elif path.suffix == ".safetensors":
            checkpoint.load(path, "cpu")
