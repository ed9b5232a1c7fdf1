"""Runs that are stopped or killed go on to the same bits."""

import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from training.runs import TINY, identical, saved_step, scalars, weights
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.training import run_state


class TestInterrupted:
    class Stop(Exception):
        pass

    def stop_at(self, step: int):
        def report(line: str) -> None:
            if line.startswith(f"step {step}/"):
                raise self.Stop

        return report

    @pytest.fixture
    def resumed(self, train) -> run_state.Run:
        """Stopped at step 20, before its state was saved: it goes on from 10."""
        with pytest.raises(self.Stop):
            train(report=self.stop_at(20))
        lines = []
        run = train(report=lines.append)
        assert lines[0].startswith("Going on from step 10 of 30")
        return run

    def test_same_weights_and_history(self, train, resumed):
        whole = train(name="whole")
        assert identical(weights(resumed), weights(whole))
        assert resumed.history == whole.history
        assert resumed.validation == whole.validation

    def test_damage_is_drawn_again(self, train):
        """Noise and JPEG of every step, too, are those of a run that was never stopped."""
        photo = TINY.replace(scales="1_2", damage="photo", degrade_patch=True)
        with pytest.raises(self.Stop):
            train(photo, report=self.stop_at(20))
        resumed, whole = train(photo), train(photo, name="whole")
        assert identical(weights(resumed), weights(whole))
        assert resumed.history == whole.history
        assert [*resumed.validation[-1]["psnr"]] == ["2"], "at scale 1, clean images say nothing"

    def test_tensorboard_has_every_step_once(self, tmp_path, resumed):
        wanted = [(row["step"], pytest.approx(row["loss"], rel=1e-6)) for row in resumed.history]
        assert scalars(tmp_path / "run-logs", "loss") == wanted

    def test_finished_run_is_left_as_it_is(self, train):
        first = train()
        content = weights(first)
        again = train()
        assert again.history == first.history
        assert again.validation == first.validation
        assert identical(weights(again), content)

    def test_deleted_weights_are_made_again(self, train):
        first = train()
        content = weights(first)
        first.weights.unlink()
        assert identical(weights(train(report=self.stop_at(31))), content)

    def test_validation_that_fails_costs_no_step(self, train, tmp_path, images):
        """An image is lost while the run goes on; once it is back, the run is the uninterrupted one."""
        folder = shutil.copytree(images, tmp_path / "copy")
        lost = folder / "Set5" / "c.png"

        def lose(line: str) -> None:
            if line.startswith("step 30/"):
                lost.unlink()

        with pytest.raises(InputError, match=r"c\.png"):
            train(data=folder, report=lose)
        assert saved_step(tmp_path / "run") == 30
        shutil.copy(images / "Set5" / "c.png", lost)
        again, whole = train(data=folder), train(name="whole")
        assert identical(weights(again), weights(whole))
        assert again.validation == whole.validation

    @pytest.mark.parametrize("save_every", [1, 5, 7])
    def test_any_interval_of_saving(self, train, save_every):
        whole = train(name="whole")
        with pytest.raises(self.Stop):
            train(save_every=save_every, report=self.stop_at(3 * save_every))
        assert identical(weights(train(save_every=save_every)), weights(whole))

    def test_killed(self, tmp_path, command, quiet):
        """kill -9 after the first saved state; the same command goes on to the very same weights."""
        whole = subprocess.Popen(command("whole"), **quiet)
        with subprocess.Popen(command("killed"), **quiet) as process:
            while process.poll() is None and not (tmp_path / "killed" / "state.pt").exists():
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "killed" / "weights.safetensors").exists()
        resumed = subprocess.run(command("killed"), **quiet)
        assert "Going on from step" in resumed.stdout
        whole.communicate()
        one, two = (weights(tmp_path / name / "weights.safetensors") for name in ("killed", "whole"))
        assert identical(one, two)

    def test_terminated(self, tmp_path, command, quiet):
        """SIGTERM saves at once, between two intervals of saving, and exits as a scheduler expects."""
        steps = 20_000  # more than can be done before the signal
        words = command("run", steps=steps, **{"save-every": steps})
        with subprocess.Popen(words, **quiet) as process:
            while process.poll() is None and not list(tmp_path.glob("run/logs/*")):
                time.sleep(0.01)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            output = process.stdout.read()
        assert process.returncode == 128 + signal.SIGTERM
        saved = saved_step(tmp_path / "run")
        assert 0 < saved < steps
        assert f"Stopped after step {saved}; the same command goes on from there." in output

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signal_loses_nothing(self, train, number):
        """Stopped in the middle by either signal, and gone on: bit by bit the uninterrupted run."""

        def once(line: str) -> None:
            if line.startswith("step 10/"):
                signal.raise_signal(number)

        before = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
            train(report=once)
        assert signal.getsignal(number) is before
        lines = []
        resumed = train(report=lines.append)
        assert lines[0].startswith("Going on from step 11 of 30")
        assert identical(weights(resumed), weights(train(name="whole")))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    @pytest.mark.parametrize("step", [15, 30])
    def test_signal_in_a_validation(self, train, number, step):
        """Heard between two images, in the last validation too; the scores are those of the whole run."""

        def once(line: str) -> None:
            if line.startswith(f"step {step}/"):  # which is said before the validation begins
                signal.raise_signal(number)

        with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
            train(validate_every=15, report=once)
        assert getattr(caught.value, "code", None) in (None, 128 + number)
        resumed, whole = train(validate_every=15), train(name="whole", validate_every=15)
        assert identical(weights(resumed), weights(whole))
        assert resumed.validation == whole.validation
        assert resumed.history == whole.history

    def test_terminated_in_the_last_validation(self, tmp_path, command, quiet, images):
        """However long it would take, it ends after the image that it is at."""
        folder = shutil.copytree(images, tmp_path / "copy")
        image = np.tile(read_image(folder / "a.png"), (4, 4, 1))
        for i in range(30):
            save_image(folder / "Set5" / f"{i}.png", image)
        words = command("run", steps=20, **{"data-path": folder})
        with subprocess.Popen(words, **quiet) as process:
            assert any(line.startswith("step 20/20  loss") for line in process.stdout)
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            output = process.stdout.read()
        assert process.returncode == 128 + signal.SIGTERM
        assert "against interpolation" not in output  # what a validation says that reached its end
        assert "Stopped after step 20; the same command goes on from there." in output
        assert not (tmp_path / "run" / "run.json").exists()
