"""Two processes train one network."""

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from training.runs import saved_step
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.training import trainer
from vdsrlib.utils.distributed import World

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def test_two_processes(tmp_path, command, quiet):
    """torchrun: the curve of one process to 1e-4, past the warm-up, by the recipe's Muon; one writer."""
    alone = {"batch-size": 4, "steps": 120, "validate-every": 80}
    torchrun = [sys.executable, *TORCHRUN]
    subprocess.run(command("one", **alone), check=True, **quiet)
    both = subprocess.run([*torchrun, *command("two", **alone)[1:]], check=True, **quiet)
    assert both.stdout.count("Training on") == 1
    one, two = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "two"))
    assert (one["processes"], two["processes"]) == (1, 2)
    assert len(list((tmp_path / "two/logs").iterdir())) == 1
    losses = [[row["loss"] for row in record["history"]] for record in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert two["validation"][0]["step"] == 80  # later, rounding moves the scores on some processors
    assert two["validation"][0]["psnr"]["2"]["model"] == pytest.approx(
        one["validation"][0]["psnr"]["2"]["model"], abs=1e-3
    )
    again = subprocess.run([*torchrun, *command("two", **alone)[1:]], check=True, **quiet)
    assert "holds this run, finished" in again.stdout


def test_two_processes_are_told_to_stop(tmp_path, command, quiet):
    """SIGTERM to torchrun: both agree on a step, one saves it, and one process alone goes on."""
    typed = command("run", **{"batch-size": 4, "steps": 1000, "save-every": 10})
    with subprocess.Popen([sys.executable, *TORCHRUN, *typed[1:]], **quiet) as process:
        while process.poll() is None and not (tmp_path / "run/state.pt").exists():  # both are at work
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        output = process.stdout.read()
    step = saved_step(tmp_path / "run")
    assert 0 < step < 1000
    assert f"Stopped after step {step}; the same command goes on from there." in output
    resumed = subprocess.run(typed, check=True, **quiet)
    assert f"Going on from step {step} of 1000" in resumed.stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["history"][-1]["step"] == 1000


def test_two_processes_are_told_to_stop_in_a_validation(tmp_path, command, quiet, images):
    """The one that waits for the scores of the other stops with it."""
    folder = shutil.copytree(images, tmp_path / "copy")
    image = np.tile(read_image(folder / "a.png"), (4, 4, 1))
    for i in range(30):
        save_image(folder / "Set5" / f"{i}.png", image)
    typed = command("run", **{"batch-size": 4, "steps": 20, "data-path": folder})
    with subprocess.Popen(
        [sys.executable, *TORCHRUN, *typed[1:]], stderr=subprocess.PIPE, **quiet
    ) as process:
        assert any(line.startswith("step 20/20  loss") for line in process.stdout)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate()
    assert "Stopped after step 20; the same command goes on from there." in output
    assert "against interpolation" not in output
    assert "RuntimeError" not in errors
    assert saved_step(tmp_path / "run") == 20


def test_one_process_does_not_wait_for_its_device():
    alone = World(torch.device("meta"))  # which has no numbers to read
    assert (alone.any(True), alone.any(False)) == (True, False)


def test_batch_that_processes_cannot_share(train, monkeypatch):
    monkeypatch.setattr(trainer, "init_distributed", lambda device: nullcontext(World(device, size=3)))
    with pytest.raises(InputError, match="batch_size must be a multiple of the 3 processes, got 2"):
        train()
