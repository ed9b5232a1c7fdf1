"""Grids in several processes: killed, shared by torchrun, helped by others."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress

import pytest
from conftest import wait_until

from studies.conftest import TINY


def without_time(results):
    return [{key: value for key, value in result.items() if key != "seconds"} for result in results]


def group_alive(leader):
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def command(tmp_path, cli_environment):
    """(words of a tiny study's command line into tmp_path/ROOT, options of subprocess)."""

    def words(root, *more, steps=20, values="2,3,4"):
        changes = {**TINY, "steps": steps, "seeds": 2, "values": values, "runs-path": tmp_path / root}
        typed = [
            str(word) for key, value in changes.items() for word in (f"--{key.replace('_', '-')}", value)
        ]
        return ["-m", "vdsrlib", "study", "depth", "--device", "cpu", *typed, *map(str, more)]

    environment = {**cli_environment, "OMP_NUM_THREADS": "1"}
    return words, {"env": environment, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}


class TestProcesses:
    def test_killed(self, command, conduct, tmp_path):
        """kill -9 in the middle of the second run: the same command goes on to the very same results."""
        words, options = command
        typed = words("runs", "--out", tmp_path / "out.json", steps=120, values="2,3")
        with subprocess.Popen([sys.executable, *typed], **options) as process:
            while process.poll() is None and len(list((tmp_path / "runs").glob("*/state.pt"))) < 2:
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert len(list((tmp_path / "runs").glob("*/run.json"))) < 4
        resumed = subprocess.run([sys.executable, *typed], check=True, **options)
        assert "1/4 depth 2, seed 0" not in resumed.stdout, "the first run was done"
        record = json.loads((tmp_path / "out.json").read_text())["results"]
        whole, _, _ = conduct("depth", root="whole", values="2,3", steps=120)
        assert without_time(record["results"]) == without_time(whole)

    def test_two_processes_share_a_grid(self, command, conduct, tmp_path):
        """torchrun: every run once, by either; the first process writes what one process alone finds."""
        words, options = command
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        both = subprocess.run(
            [*torchrun, *words("runs", "--out", tmp_path / "out.json")], check=True, **options
        )
        titles = [line.split(":")[0] for line in both.stdout.splitlines() if "/6 depth" in line]
        assert sorted(titles) == [
            f"{2 * i + seed + 1}/6 depth {depth}, seed {seed}"
            for i, depth in enumerate((2, 3, 4))
            for seed in (0, 1)
        ]
        record = json.loads((tmp_path / "out.json").read_text())["results"]
        alone, _, _ = conduct("depth", root="alone", values="2,3,4")
        assert without_time(record["results"]) == without_time(alone)
        assert both.stdout.count("The deeper, the better: ") == 1

    def test_a_notebook_can_start_others(self, conduct):
        """The runs of a grid are shared with processes started for it; each is done once."""
        alone, _, every_line = conduct("depth", root="alone", values="2,3,4", steps=400)
        shared, failures, lines = conduct("depth", root="runs", values="2,3,4", steps=400, processes=2)
        assert without_time(shared) == without_time(alone)
        assert not failures
        assert 0 < len(lines) < len(every_line) == 6

    def test_a_long_temporary_folder(self, conduct, tmp_path, monkeypatch):
        """No socket has so long a path; the helpers are started without one."""
        long = tmp_path / ("a" * 100)
        long.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(long))
        results, failures, _ = conduct("depth", values="2,3", seeds=1, processes=2)
        assert (len(results), failures) == (2, [])

    def test_others_that_die_leave_the_runs_to_this_process(self, conduct):
        def kill():
            while len(others := multiprocessing.active_children()) < 2:
                time.sleep(0.01)
            for other in others:
                other.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        results, failures, _ = conduct("depth", values="2,3", steps=400, processes=3)
        killer.join()
        assert (len(results), len(failures)) == (4, 0)

    @pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
    def test_others_end_with_the_process_that_started_them(self, ending, tmp_path):
        """Where the kernel is killed or interrupted, nothing goes on computing, and nothing done is lost."""
        script = tmp_path / "script.py"
        script.write_text(
            "from vdsrlib.studies import definitions, images, runner\n"
            "if __name__ == '__main__':\n"
            "    grid = definitions.build_grid('depth', values='2,3', steps=10**6)\n"
            f"    squares = images.study_images('micro', {str(tmp_path)!r})\n"
            f"    runner.run_grid(grid, squares, {str(tmp_path)!r}, processes=2)\n"
        )
        # a shell's background would have it ignore SIGINT
        restored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
        process = subprocess.Popen([sys.executable, script], start_new_session=True, **restored)
        try:
            wait_until(lambda: len(list(tmp_path.glob("*/state.pt"))) == 2)  # two runs, in two processes
            process.send_signal(ending)
            assert process.wait(timeout=60)
            wait_until(lambda: not group_alive(process.pid))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    @pytest.mark.parametrize(
        ("typed", "sentence"),
        [
            (["dept"], "unknown study 'dept'"),
            (["depth", "--values", "deep"], "'deep' is no whole number"),
            (["depth", "--validations", "0"], "validations must be a whole number from 1 up, got 0"),
            (["depth", "--data-path", "nowhere"], "data_path names nowhere, which is not a folder"),
            (["depth", "--validation-set", "Set14"], "not on Set14; add a data_path, or leave out"),
            (["depth", "--out", "."], ". is a folder; give the name of a file to write"),
            (["depth", "--out", "file/out.json"], "Cannot write in file: File exists"),
        ],
    )
    def test_wrong_input(self, call_cli, tmp_path, typed, sentence, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        status, _, errors = call_cli("study", *typed)
        assert status == 2
        assert sentence in errors
        assert "Traceback" not in errors
        assert not list(tmp_path.glob("runs/studies/*/lock")), "refused before any run"
