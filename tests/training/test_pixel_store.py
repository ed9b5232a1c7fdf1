"""Pixels of training images: what is left out, and what a store keeps."""

import os
import signal
import subprocess
import sys
import time

import pytest

from training.runs import TINY, identical, saved_step, weights
from vdsrlib.errors import InputError
from vdsrlib.training import validation
from vdsrlib.training.network import build_network
from vdsrlib.training.patches import TrainingSet


class TestStore:
    def test_same_weights(self, train, tmp_path):
        """Pixels from a store, read ahead by workers: the weights of the run in memory."""
        memory = weights(train(name="memory"))
        lines = []
        stored = train(name="stored", store=tmp_path / "store", report=lines.append)
        assert identical(weights(stored), memory)
        assert "MiB on disk" in lines[0]

    def test_scheduler_ends_the_whole_group(self, tmp_path, images, cli_environment):
        """SIGTERM reaches the workers that read ahead, too: the state is saved all the same."""
        options = {
            "recipe": "demo",
            "data-path": images,
            "ckpt-path": tmp_path / "run",
            "logs-path": tmp_path / "logs",
        }
        options |= {"store": tmp_path / "store", "scales": 2, "depth": 3, "width": 4, "patch-size": 16}
        options |= {
            "batch-size": 2,
            "steps": 20_000,
            "save-every": 20_000,
            "validate-every": 0,
            "device": "cpu",
        }
        typed = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
        with subprocess.Popen(
            [sys.executable, "-m", "vdsrlib", "train", *typed],
            env={**cli_environment, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            while process.poll() is None and not list(tmp_path.glob("logs/*")):
                time.sleep(0.01)
            time.sleep(1)
            os.killpg(process.pid, signal.SIGTERM)
            output, errors = process.communicate()
        assert process.returncode == 128 + signal.SIGTERM, errors
        assert errors == ""
        step = saved_step(tmp_path / "run")
        assert f"Stopped after step {step};" in output

    def test_patches_go_where_the_network_is(self, images, tmp_path):
        """Validation and samples draw from the store, whose pixels are not on the device."""
        data = TrainingSet(TINY, [images / "a.png"], store=tmp_path / "store", device="meta")
        assert data.batch(0, 2)[0].device.type == "cpu"
        with pytest.raises(NotImplementedError, match="meta"):  # where nothing can be read back
            validation.sample_patches(build_network(TINY).to("meta"), data)

    def test_full_disk(self, train, tmp_path, full_disk):
        with pytest.raises(InputError, match=r"Cannot write .*store"), full_disk():
            train(store=tmp_path / "store")
        assert [path.name for path in (tmp_path / "store").iterdir()] == ["lock"]

    @pytest.mark.parametrize("name", ["hr", "ilr", "index.json"])
    def test_truncated(self, train, tmp_path, name):
        """Found before the first step; to read beyond the end of a mapped file would kill the process."""
        train(name="first", store=tmp_path / "store")
        (folder,) = (path for path in (tmp_path / "store").iterdir() if path.is_dir())
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match=r"is damaged .* remove it, and it is prepared again"):
            train(name="second", store=tmp_path / "store")

    def test_wherever_temporary_files_lie(self, tmp_path, command, quiet):
        """Neither a socket, whose path must be short, nor shared memory is needed to read ahead."""
        long = tmp_path / ("t" * 100)
        long.mkdir()
        words = command("run", steps=20, store=tmp_path / "store")
        done = subprocess.run(
            words, stderr=subprocess.PIPE, **{**quiet, "env": {**quiet["env"], "TMPDIR": str(long)}}
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "MiB on disk" in done.stdout

    def test_unexpected_error_ends_at_once(self, tmp_path, command, quiet):
        """Whatever a reading thread raises ends the program, and leaves no process behind."""
        script = tmp_path / "script.py"
        script.write_text(
            "import sys\n"
            "from vdsrlib.cli.app import main\n"
            "from vdsrlib.training.patches import TrainingSet\n"
            "cut, calls = TrainingSet._cut, []\n"
            "def broken(self, *numbers):\n"
            "    calls.append(0)\n"
            "    assert len(calls) < 20, 'broken'\n"
            "    return cut(self, *numbers)\n"
            "TrainingSet._cut = broken\n"
            "sys.exit(main())\n"
        )
        words = [sys.executable, script, *command("run", store=tmp_path / "store")[3:]]
        done = subprocess.run(words, timeout=60, stderr=subprocess.PIPE, start_new_session=True, **quiet)
        assert done.returncode == 1
        assert "AssertionError: broken" in done.stderr
