"""Training: a run learns, reports, repeats to the bit, and begins with other weights."""

import itertools
import json
import re
import time

import pytest
import torch

from training.runs import TINY, identical, weights
from vdsrlib.errors import InputError
from vdsrlib.models import checkpoint
from vdsrlib.training import trainer
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipe import Recipe
from vdsrlib.utils.hashing import hash_file


class TestRun:
    def test_loss_goes_down(self, finished):
        losses = [row["loss"] for row in finished[0].history]
        assert sum(losses[-3:]) < 0.7 * sum(losses[:3])

    def test_history(self, finished):
        run = finished[0]
        assert [row["step"] for row in run.history] == [10, 20, 30, 40, 50, 60, 70, 80, 85]
        assert [row["step"] for row in run.validation] == [40, 80, 85]
        assert set(run.validation[-1]["psnr"]) == {"2", "3"}

    def test_the_loss_of_interpolation_is_recorded_beside(self, finished, images):
        """Of the same patches: the batches of the steps since the last record."""
        run = finished[0]
        recipe = checkpoint.load(run.weights, "cpu").info["recipe"]
        data = TrainingSet(Recipe(**recipe), [images / "a.png", images / "b.png"])
        pairs = data.batches(range(80, 85), recipe["batch_size"])
        means = [(ilr - hr).square().mean().item() for ilr, hr in pairs]
        assert recipe["loss"] == "mse"
        assert run.history[-1]["interpolation_loss"] == pytest.approx(sum(means) / 5, rel=1e-5)

    def test_files(self, finished):
        run, folder, _, _ = finished
        files = {"weights.safetensors", "state.pt", "state.lock", "samples.png", "run.json", "logs"}
        assert {path.name for path in folder.iterdir()} == files
        record = json.loads((folder / "run.json").read_text())
        loaded = checkpoint.load(run.weights, "cpu")
        assert record["history"] == run.history
        assert record["validation"] == run.validation
        assert record["validation_set"] == "Set5"
        assert record["weights"]["sha256"] == loaded.hash
        assert record["recipe"] == loaded.info["recipe"]
        assert Recipe(**record["recipe"]) == TINY.replace(steps=85, learning_rate=3e-3)
        assert loaded.info["scales"] == [2, 3]
        assert "2 images" in loaded.info["data"]
        assert loaded.info["validation"] == {"Set5": run.validation[-1]}

    def test_report(self, finished):
        lines = "\n".join(finished[3])
        for part in ("2 images", "step 30/85", "step 85/85", "step 80: Set5 x2", "against interpolation"):
            assert part in lines

    def test_progress_line(self, finished):
        """Step, loss, rate, speed and time left, as the history has them."""
        form = r"step (\d+)/85  loss (\S+)  rate (\S+)  (\d+) patches/s  (\d+) min left"
        found = [match.groups() for match in map(re.compile(form).fullmatch, finished[3]) if match]
        rows = {row["step"]: row for row in finished[0].history}
        assert [int(step) for step, *_ in found] == [30, 40, 60, 80, 85]
        for step, loss, rate, speed, left in found:
            assert float(loss) == pytest.approx(rows[int(step)]["loss"], rel=0.01)
            assert float(rate) == pytest.approx(rows[int(step)]["learning_rate"], rel=0.01)
            assert int(speed) > 1
            assert int(left) == 0

    def test_pace_is_that_of_the_steps(self, train, monkeypatch):
        """A validation that takes long does not make the steps after it look slow."""
        clock = [0.0]
        validate, save = trainer._Training.validate, trainer._Training.save

        def slow(self, signals):
            clock[0] += 1000
            return validate(self, signals)

        def step(self):
            clock[0] += 1
            save(self)

        monkeypatch.setattr(trainer._Training, "validate", slow)
        monkeypatch.setattr(trainer._Training, "save", step)
        monkeypatch.setattr(time, "perf_counter", lambda: clock[0] + 1e-3 * next(ticks))
        ticks, lines = itertools.count(), []
        train(validate_every=10, report=lines.append)
        assert all(int(line.split(" patches")[0].split()[-1]) > 100 for line in lines if "patches/s" in line)


def test_one_seed_one_result(train):
    one, two = weights(train(name="one")), weights(train(name="two"))
    assert identical(one, two)
    other = weights(train(TINY.replace(seed=1), name="other"))
    assert not identical(one, other)


class TestInit:
    """Training that begins with a trained network."""

    def test_first_step_is_from_those_weights(self, train):
        first = train(name="first")
        still = TINY.replace(scales=2.5, steps=1, ema=0.0, learning_rate=1e-12, seed=7)
        assert not identical(weights(first), weights(train(still, name="random")))
        further = train(still, name="further", init=first.weights)
        for one, other in zip(weights(first).values(), weights(further).values(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
        info = checkpoint.load(further.weights, "cpu").info
        assert info["init"] == {"file": "weights.safetensors", "sha256": hash_file(first.weights)}
        assert info["scales"] == sorted({2.5, *TINY.scales})

    def test_resumed_it_is_the_same_and_from_elsewhere_another_run(self, train, tmp_path):
        first = train(name="first")
        whole = train(name="whole", init=first.weights)

        def stop(line: str) -> None:
            if line.startswith("step 20/"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(name="halves", init=first.weights, report=stop)
        with pytest.raises(InputError, match=r"halves holds a run with another init"):
            train(name="halves")
        halves = train(name="halves", init=first.weights)
        assert identical(weights(whole), weights(halves))

    def test_another_network_is_refused(self, train):
        first = train(name="first")
        wider = TINY.replace(width=5)
        with pytest.raises(InputError, match=r"write protocol paper, depth 3, width 4 and residual True"):
            train(wider, name="wider", init=first.weights)
        with pytest.raises(InputError, match=r"There is no weights file"):
            train(name="none", init=first.weights.parent / "none.safetensors")


def test_bundled_photographs_without_data(train, monkeypatch):
    monkeypatch.delenv("VDSR_DATA", raising=False)
    lines = []
    recipe = TINY.replace(steps=1, scales=(2,), degrade_patch=True)
    train(recipe, data=None, report=lines.append)
    assert "scikit-image photographs (training)" in lines[0]
    assert any("scikit-image photographs (test) x2" in line for line in lines)
