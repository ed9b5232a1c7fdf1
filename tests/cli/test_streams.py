"""What is printed is read, or not, by other programs."""

import io
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import vdsrlib
from vdsrlib.cli import console
from vdsrlib.imaging.image_file import save_image


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(
    ("closed", "status", "sentence"),
    [(True, 141, ""), (False, 2, "vdsrlib: standard output: No space left on device.\n")],
    ids=["closed pipe", "full disk"],
)
def test_stdout_that_takes_nothing(cli_environment, tmp_path, buffered, closed, status, sentence):
    if closed:
        end, stdout = os.pipe()
        os.close(end)
    elif Path("/dev/full").exists():
        stdout = os.open("/dev/full", os.O_WRONLY)
    else:
        pytest.skip("there is no /dev/full")
    environment = {**cli_environment, "PYTHONUNBUFFERED": "" if buffered else "1"}
    command = [sys.executable, "-m", "vdsrlib", "doctor"]
    streams = {"stdout": stdout, "stderr": subprocess.PIPE}
    run = subprocess.run(command, cwd=tmp_path, env=environment, text=True, **streams)
    os.close(stdout)
    assert (run.returncode, run.stderr) == (status, sentence)


def test_names_that_the_encoding_lacks(run_cli, tmp_path, grey_photo, tiny):
    save_image(tmp_path / "in/größer.png", grey_photo)
    save_image(tmp_path / "in/\udcff.png", grey_photo)  # a byte that is no UTF-8
    options = ["--scale", 1.5, "--weights", tiny]
    run = run_cli("upscale", "in", "out", *options, PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    names = [line.split(":")[0] for line in run.stdout.splitlines()]
    assert names == [r"out/gr\xf6\xdfer.png", r"out/\udcff.png"]


def test_a_backend_that_falls_back_says_so_in_one_sentence(run_cli, tmp_path, photo_file, tiny):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('a broken\\nbuild')")
    run = run_cli("upscale", "photo.png", "out.png", "--scale", 2, "--weights", tiny)
    assert run.returncode == 0
    sentence = r"vdsrlib: the backend onnxruntime fails \(a broken build\).*; the next backend is \w+\n"
    assert re.fullmatch(sentence, run.stderr)


def test_a_line_is_one_write(monkeypatch):
    """Without a buffer, as torchrun starts Python, print makes two: another process may write between."""
    writes = []

    class Recorder(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            writes.append(bytes(data))
            return len(data)

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Recorder(), write_through=True))
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # which is changed, too
    console.prepare_streams()
    print("1/6 depth 2")
    assert writes == [b"1/6 depth 2\n"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_stop_during_the_first_second_is_silent(cli_environment, tmp_path, name, status):
    """NumPy and PyTorch, left half imported, fail in ways of their own."""
    command = [sys.executable, "-m", "vdsrlib", "doctor"]
    for tenths in (4, 7, 10):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=tmp_path, env=cli_environment, text=True, **pipes)
        time.sleep(tenths / 10)
        process.send_signal(getattr(signal, name))
        _, error = process.communicate(timeout=60)
        assert (process.returncode, error) in ((status, ""), (0, "")), f"{tenths / 10} s"


def test_version(call_cli, capsys):
    with pytest.raises(SystemExit):
        call_cli("--version")
    assert capsys.readouterr().out == f"vdsrlib {vdsrlib.__version__}\n"
