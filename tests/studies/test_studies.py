"""Studies: the paper's grids, runs done once whoever does them, divergence as a result, verdicts by rule."""

import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import wait_until
from filelock import FileLock

from vdsrlib.errors import InputError
from vdsrlib.inference.backends import BUILDERS, EXTRAS, prepare
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import predict
from vdsrlib.models import checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER
from vdsrlib.studies import definitions, power_law, runner, verdicts
from vdsrlib.studies.images import study_images
from vdsrlib.studies.results import UNCHANGED, at_epoch, score_frame, score_table
from vdsrlib.training.recipes import RECIPES
from vdsrlib.training.trainer import train
from vdsrlib.training.validation import Validation

TINY = {"depth": 3, "width": 4, "patch_size": 16, "batch_size": 2, "steps": 20}


@pytest.fixture
def conduct(tmp_path, caplog):
    """Conduct a tiny study into tmp_path/runs: (results, failures, lines logged)."""
    caplog.set_level("INFO", "vdsrlib")

    def run(name, root="runs", processes=1, **changes):
        caplog.clear()
        grid = definitions.build_grid(name, **{**TINY, "seeds": 2, **changes})
        images = study_images("micro", tmp_path / root)
        done = runner.run_grid(grid, images, tmp_path / root, "cpu", processes)
        return done.results, done.failures, caplog.messages

    return run


def without_time(results):
    return [{key: value for key, value in result.items() if key != "seconds"} for result in results]


def group_alive(leader):
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


class TestGrid:
    def test_depth_is_figure_3(self):
        grid = definitions.build_grid("depth", "full")
        assert len(grid) == 6 * 3
        assert sorted({run.recipe.depth for run in grid}) == [5, 8, 11, 14, 17, 20]
        assert {run.recipe.seed for run in grid} == {0, 1, 2}
        same = {run.recipe.replace(depth=2, seed=0) for run in grid}
        assert [recipe.scales for recipe in same] == [(2, 3, 4)], "only depth and seed vary"

    def test_residual_is_table_1(self):
        grid = definitions.build_grid("residual", "full", seeds=1)
        varied = [(run.recipe.learning_rate, run.recipe.residual) for run in grid]
        assert varied == [
            (0.1, True),
            (0.1, False),
            (0.01, True),
            (0.01, False),
            (0.001, True),
            (0.001, False),
        ]
        for run in grid:
            assert (run.recipe.depth, run.recipe.scales, run.recipe.optimizer) == (10, (2,), "sgd")
            assert run.recipe.lr_at(run.recipe.steps // 4) == pytest.approx(run.recipe.learning_rate / 10)

    def test_work_of_one_run_of_the_paper(self):
        """4 MFLOP a pixel: 9,960 steps of 64 patches of 41 x 41 are 4.3 PFLOP."""
        assert definitions.petaflops(definitions.build_grid("depth", "full", 1, 20)) == pytest.approx(
            4.27, abs=0.01
        )

    def test_fewer_steps_keep_the_schedule(self):
        (run, *_) = definitions.build_grid("residual", "full", 1, steps=400)
        assert [run.recipe.lr_at(step) for step in (0, 100, 200, 300)] == pytest.approx(
            [0.1, 0.01, 1e-3, 1e-4]
        )

    @pytest.mark.parametrize("typed", ["3,5,8", "3 5 8", [3, 5, 8], ("3", "5", "8", "5")], ids=str)
    def test_spellings(self, typed):
        assert [run.value for run in definitions.build_grid("depth", seeds=1, values=typed)] == [3, 5, 8]
        assert [run.value for run in definitions.build_grid("scales", seeds=1, values="2_3_4,2")] == [
            "2_3_4",
            "2",
        ]

    @pytest.mark.parametrize(
        ("name", "options", "sentence"),
        [
            ("dept", {}, "unknown study 'dept'; choose depth, residual"),
            ("depth", {"size": "large"}, "unknown size 'large'; choose micro or full"),
            ("depth", {"seeds": 0}, "seeds must be a whole number from 1 up, got 0"),
            ("depth", {"values": "2_4_8"}, "'2_4_8' is no whole number"),
            ("depth", {"values": "1"}, "depth must be greater than or equal to 2, got 1"),
            ("depth", {"width": 0}, "width must be greater than or equal to 1, got 0"),
            ("ingredients", {"values": "taste=salt"}, "'taste=salt' is no change of a recipe; write for"),
            ("ingredients", {"values": "loss"}, "'loss' is no change of a recipe"),
            ("ingredients", {"values": "loss=big"}, "(loss must be 'sse', 'mse' or 'l1', got 'big')"),
            ("ingredients", {"values": "residual=no"}, "'residual=no' is no change"),
            ("ingredients", {"values": "name=x"}, "'name=x' is no change"),
            ("ingredients", {"values": "seed=1"}, "'seed=1' is no change"),
            ("depth", {"steps": 0}, "steps must be greater than or equal to 1, got 0"),
            ("residual", {"values": "0.1,fast"}, "'fast' is no learning rate"),
            ("clipping", {"values": "value"}, "'value' is no clipping rule; write none, value:1e-4"),
            ("clipping", {"values": "value:-1"}, "is no clipping rule"),
            ("scales", {"values": "2_1"}, "must be above 1"),
            ("steps", {"values": []}, "There is no value"),
        ],
    )
    def test_impossible(self, name, options, sentence):
        with pytest.raises(InputError) as caught:
            definitions.build_grid(name, **options)
        assert sentence in str(caught.value)

    def test_ingredients_are_changed_one_at_a_time(self):
        values = "loss=mse,optimizer=adam+learning_rate=0.001,rescale_factors=1_0.8,residual=False"
        base, *changed = definitions.build_grid("ingredients", "full", 1, values)
        assert base.label == "as it is"
        found = []
        for run in changed:
            ours, theirs = base.recipe.model_dump(mode="json"), run.recipe.model_dump(mode="json")
            found.append({name: theirs[name] for name in ours if ours[name] != theirs[name]})
        assert found == [
            {"loss": "mse"},
            {"optimizer": "adam", "learning_rate": 0.001},
            {"rescale_factors": [1.0, 0.8]},
            {"residual": False},
        ]

    def test_the_papers_patches_are_drawn_alike(self):
        """Only the study of our recipe chooses among patches."""
        drawn = {
            name: {run.recipe.hard_mining_candidates for run in definitions.build_grid(name, "full")}
            for name in definitions.STUDIES
        }
        assert drawn.pop("ingredients") == {1, 2, 4, 8}
        assert all(found == {1} for found in drawn.values())

    def test_more_images_than_there_are(self, conduct, tmp_path):
        with pytest.raises(InputError, match="There are 40 training images, not 41"):
            conduct("images", values="2,41")


class TestWithoutResidual:
    """The network of section 5.1 that predicts HR itself."""

    @pytest.fixture
    def model(self):
        torch.manual_seed(3)
        return VDSR(4, 6, residual=False).to(memory_format=torch.channels_last).eval()

    def test_nothing_is_added(self, model):
        ilr = torch.rand(1, 1, 20, 24)
        assert torch.equal(model(ilr), model.residual(ilr))
        plain = VDSR(4, 6)
        plain.load_state_dict(model.state_dict())
        torch.testing.assert_close(plain(ilr), ilr + model(ilr))

    def test_weights_stay_what_they_are(self, model, tmp_path):
        info = {"protocol": "paper", "scales": [2], "recipe": "test", "data": "-"}
        checkpoint.save(tmp_path / "direct.safetensors", model, info)
        loaded = checkpoint.load(tmp_path / "direct.safetensors", "cpu")
        assert "not residual" in loaded.summary()
        ilr = torch.rand(1, 1, 20, 24)
        assert torch.equal(loaded.model(ilr), model(ilr))

    def test_shipped_weights_are_residual(self):
        assert checkpoint.load(device="cpu").model.global_skip

    @pytest.mark.parametrize(("backend", "precision"), BUILDERS)
    def test_every_backend(self, model, backend, precision):
        if backend in EXTRAS:
            pytest.importorskip(backend)
        ilr, atol = torch.rand(1, 1, 40, 51), 1e-4 if precision == "float32" else 2e-3
        torch.testing.assert_close(prepare(model, backend, precision)(ilr), model(ilr), atol=atol, rtol=0)

    def test_trained_and_exported_by_the_command_line(self, call_cli, tmp_path, photo_file, monkeypatch):
        """The file that other programs get computes what the weights do: nothing is added there either."""
        pytest.importorskip("onnx")
        onnxruntime = pytest.importorskip("onnxruntime")
        monkeypatch.chdir(tmp_path)
        knobs = [
            "--depth",
            3,
            "--width",
            4,
            "--patch-size",
            16,
            "--batch-size",
            2,
            "--steps",
            5,
            "--scales",
            2,
        ]
        status, out, _ = call_cli(
            "train", "--no-residual", *knobs, "--data-path", photo_file.parent, "--ckpt-path", "run"
        )
        assert status == 0, out
        assert call_cli("export", "direct.onnx", "--weights", "run/weights.safetensors")[0] == 0
        ilr = torch.rand(1, 1, 20, 24)
        (found,) = onnxruntime.InferenceSession("direct.onnx").run(None, {"ilr": ilr.numpy()})
        wanted = checkpoint.load("run/weights.safetensors", "cpu").model.residual(ilr)
        np.testing.assert_allclose(found, wanted.detach().numpy(), atol=1e-5)

    def test_tiles(self, model, photo):
        ilr = photo[..., 0] / 255
        whole, tiled = (
            predict(model, ilr, PAPER, InferenceOptions("torch", memory=memory)) for memory in (2**30, 2**19)
        )
        np.testing.assert_allclose(tiled, whole, atol=1e-6)

    def test_a_state_from_before_there_was_a_choice(self, tmp_path):
        """Such a run goes on as a residual one, and is refused to one that is not."""
        images = study_images("micro", tmp_path)
        recipe = RECIPES["demo"].replace(**{**TINY, "steps": 2})
        options = {"data": images.training, "validation": Validation(images.validation), "device": "cpu"}
        done = train(recipe, tmp_path / "run", **options)
        state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
        del state["identity"]["residual"]
        torch.save(state, tmp_path / "run" / "state.pt")
        again = train(recipe, tmp_path / "run", **options)
        assert again.history == done.history
        direct = recipe.replace(residual=False)
        with pytest.raises(InputError, match="another residual"):
            train(direct, tmp_path / "run", **options)


class TestRuns:
    def test_a_diverging_run_is_a_result(self, conduct):
        results, failures, lines = conduct("clipping", values="none,value:1e-4", depth=8, width=16)
        assert not failures
        assert [result["diverged"] is not None for result in results] == [True, True, False, False]
        assert sum("diverged by step" in line for line in lines) == 2
        for result in results[:2]:
            assert result["diverged"] in (10, 20)
        scores = score_frame(results)
        last = at_epoch(scores[scores["scale"] == 2])
        assert last["psnr"][:2].to_list() == last["gain"][:2].to_list() == [-math.inf] * 2
        assert last["psnr"][2:].between(10, 60).all()
        assert score_table(scores)["diverged"].to_list() == ["2 of 2", "0 of 2"]

    def test_again_nothing_is_done(self, conduct, monkeypatch):
        first, _, lines = conduct("clipping", values="none,value:1e-4", depth=8, width=16)
        assert len(lines) == 4
        monkeypatch.setattr(runner, "train", None)
        again, failures, lines = conduct("clipping", values="none,value:1e-4", depth=8, width=16)
        assert again == first
        assert lines == failures == []

    def test_studies_share_runs(self, conduct):
        one, _, _ = conduct("steps", values="10,20")
        other, _, lines = conduct("images", values="7,40", steps=20)
        assert [line.split(":")[0] for line in lines] == ["1/4 7 images, seed 0", "2/4 7 images, seed 1"]
        assert [run["validation"] for run in one[2:]] == [run["validation"] for run in other[2:]]

    def test_measured_also_at_scales_it_was_not_trained_for(self, conduct):
        results, _, _ = conduct("scales", values="2,2_3_4", seeds=1)
        for result in results:
            assert list(result["validation"][-1]["psnr"]) == ["2", "3", "4"]

    def test_psnr_after_every_epoch(self, conduct):
        results, _, _ = conduct("residual", values="0.01", seeds=1, steps=24)
        for result in results:
            assert [row["step"] for row in result["validation"]] == list(range(3, 25, 3))
            scores = score_frame([result])
            assert at_epoch(scores, 10)["psnr"].item() == result["validation"][0]["psnr"]["2"]["model"]
            assert at_epoch(scores)["psnr"].item() == result["validation"][-1]["psnr"]["2"]["model"]

    def test_a_failing_run_does_not_stop_the_others(self, conduct, tmp_path):
        (_, paths), _ = study_images("micro", tmp_path / "runs")
        paths[1].write_bytes(b"no image")
        results, failures, _ = conduct("images", values="1,2", seeds=1)
        assert [result["label"] for result in results] == ["1 images"]
        (failure,) = failures
        assert failure.startswith("2/2 2 images, seed 0: ")
        assert paths[1].name in failure

    def test_runs_that_all_fail(self, conduct, tmp_path):
        (_, paths), _ = study_images("micro", tmp_path / "runs")
        paths[0].write_bytes(b"no image")
        results, failures, _ = conduct("images", values="1,2", seeds=1)
        assert len(failures) == 2
        with pytest.raises(InputError, match="no run of the study came to its end"):
            score_frame(results)

    def test_a_changed_image_is_another_run(self, conduct, tmp_path):
        conduct("depth", values="2", seeds=1)
        (_, paths), _ = study_images("micro", tmp_path / "runs")
        shutil.copy(paths[3], paths[0])
        _, _, lines = conduct("depth", values="2", seeds=1)
        assert len(lines) == 1

    def test_a_run_that_another_process_is_at_is_waited_for(self, conduct, tmp_path):
        first, _, _ = conduct("depth", values="2", seeds=1)
        (record,) = (tmp_path / "runs").glob("*/run.json")
        record.rename(tmp_path / "kept")
        found = []
        with FileLock(record.parent / "lock"):
            waiting = threading.Thread(target=lambda: found.append(conduct("depth", values="2", seeds=1)))
            waiting.start()
            time.sleep(0.5)
            assert waiting.is_alive()
            (tmp_path / "kept").rename(record)  # the other process has done it
        waiting.join(20)
        assert found[0] == (first, [], [])


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


class TestPowerLaw:
    @pytest.mark.parametrize(
        ("limit", "factor", "exponent"), [(1.5, 2.0, 0.5), (0.3, 30.0, 1.2), (37, 9, 0.25)]
    )
    def test_a_known_law_is_found(self, limit, factor, exponent):
        x = np.array([20, 40, 80, 160, 320, 640])
        law = power_law.fit_power_law(x, limit - factor * x**-exponent)
        assert law[:3] == pytest.approx((limit, factor, exponent), rel=1e-3)
        assert law.error < 1e-4
        assert law(1000) == pytest.approx(limit - factor * 1000.0**-exponent, rel=1e-4)

    def test_noise_moves_it_a_little(self):
        x = np.repeat([10, 20, 40, 80, 160, 320], 3)
        noise = np.random.default_rng(0).normal(scale=0.01, size=len(x))
        law = power_law.fit_power_law(x, 2 - 5 * x**-0.7 + noise)
        assert law.limit == pytest.approx(2, abs=0.05)
        assert law.exponent == pytest.approx(0.7, abs=0.05)
        assert law.error == pytest.approx(0.01, abs=0.005)

    def test_words(self):
        x = np.array([10, 20, 40, 80])
        assert "gain = 2.00 - 5.00 n^-0.70 dB" in str(power_law.fit_power_law(x, 2 - 5 * x**-0.7))
        assert "no limit in sight" in str(power_law.fit_power_law(x, np.log2(x)))
        assert "has reached its limit, 1.00 dB" in str(power_law.fit_power_law(x, [0.2, 1, 1, 1]))
        assert str(power_law.fit_power_law(x, [1, 0.9, 1.1, 1])) == "no growth beyond the scatter of 0.07 dB"

    def test_diverged_runs_are_left_out(self):
        x = np.array([10, 20, 40, 80])
        law = power_law.fit_power_law([5, *x], [-math.inf, *(2 - 5 * x**-0.7)])
        assert law.exponent == pytest.approx(0.7, rel=1e-3)

    def test_too_few(self):
        """A law of three parameters goes through any three points."""
        with pytest.raises(InputError, match="four different values"):
            power_law.fit_power_law([1, 1, 2, 2, 4], [0, 0, 1, 1, 1.5])


def made_up(study, curves, scale=2, label=None):
    """Scores with a given last PSNR for every value and seed; None has diverged."""
    results = []
    for value, numbers in curves.items():
        (run, *_) = definitions.get_study(study).vary(definitions.STUDIES[study].micro.recipe, value)
        for seed, number in enumerate(numbers):
            recipe = run.recipe.replace(seed=seed)
            psnr = {f"{scale:g}": {"interpolation": 30.0, "model": number}}
            results.append(
                {
                    "label": label or run.label,
                    "value": value,
                    "seed": seed,
                    "scales": [scale],
                    "recipe": recipe.model_dump(mode="json"),
                    "validation": [] if number is None else [{"step": recipe.steps, "psnr": psnr}],
                    "loss": [],
                    "diverged": 10 if number is None else None,
                }
            )
    return score_frame(results)


def joined(*scores):
    return pd.concat(scores, ignore_index=True)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("curves", "status", "words"),
        [
            ({3: (31, 31.1), 5: (32, 31.6)}, "supported", "+0.75 dB (+0.50 to +1.00 over 2 seeds)"),
            ({3: (31, 31.1), 5: (32, 31.0)}, "undecided", "+0.45 dB (-0.10 to +1.00 over 2 seeds)"),
            ({3: (32, 32), 5: (31, 31)}, "not supported", "-1.00 dB"),
            ({3: (31, 31), 4: (33, 33), 5: (32, 32)}, "partly supported", "the best on average: depth 4"),
            ({3: (31, 31), 5: (None, None)}, "not supported", "diverged for 2 of 2 seeds"),
            ({3: (None, None), 5: (None, None)}, "undecided", "diverged for 2 of 2 seeds"),
            ({3: (31,), 5: (32,)}, "supported", "over 1 seed)"),
        ],
        ids=str,
    )
    def test_deeper(self, curves, status, words):
        verdict = definitions.STUDIES["depth"].judge(made_up("depth", curves))
        assert verdict.status == status
        assert words in str(verdict)

    @pytest.mark.parametrize(
        ("curves", "status"),
        [
            ({"none": (None, None), "value:0.01": (31, 31), "norm:0.4": (None, 9)}, "supported"),
            ({"none": (None, 31), "value:0.01": (31, 31)}, "partly supported"),
            ({"none": (31, 31), "value:0.01": (None, 31)}, "not supported"),
        ],
        ids=str,
    )
    def test_clipping(self, curves, status):
        assert definitions.STUDIES["clipping"].judge(made_up("clipping", curves)).status == status

    @pytest.mark.parametrize(
        ("study", "curves"),
        [
            ("clipping", {"none": (None, None)}),
            ("clipping", {"value:0.01": (31, 31), "norm:0.4": (31, 31)}),
            ("scales", {"2": (32, 32), "3": (31, 31)}),
            ("scales", {"2_3": (32, 32)}),
            ("depth", {5: (32, 32)}),
        ],
        ids=str,
    )
    def test_what_was_not_tried_is_undecided(self, study, curves):
        assert definitions.STUDIES[study].judge(made_up(study, curves)).status == "undecided"

    def test_the_joint_network_is_compared_at_its_own_scales(self):
        """A network for 2 and 3 says nothing of 4."""
        scores = made_up("scales", {"4": (32,), "2_3": (31,)}, scale=4)
        assert definitions.STUDIES["scales"].judge(scores) == ("undecided", ())

    def test_residual(self):
        """Above the other one, and where it ends against interpolation, which is 30 dB here."""
        residual = made_up("residual", {0.1: (29, 29.5)})
        other = made_up("residual", {0.1: (27, 28)}, label="non-residual, rate 0.1")
        verdict = definitions.STUDIES["residual"].judge(joined(residual, other))
        assert verdict.status == "supported"
        words = "rate 0.1, epoch 80: residual minus"
        assert f"{words} non-residual: +1.75 dB (+1.50 to +2.00 over 2 seeds): supported" in str(verdict)
        assert f"{words} interpolation: -0.75 dB (-1.00 to -0.50 over 2 seeds)" in str(verdict)

    def test_growth(self):
        judge = definitions.STUDIES["steps"].judge
        growing = judge(
            made_up("steps", {x: (30 + math.log2(x), 30.01 + math.log2(x)) for x in (10, 20, 40, 80)})
        )
        assert growing.status == "supported"
        assert "no limit in sight, to within 0.01 dB; twice 80 would add +0.9" in str(growing)
        flat = judge(made_up("steps", {10: (31, 32), 20: (32, 31), 40: (31, 32), 80: (32, 31)}))
        assert flat.status == "undecided"
        assert "no growth beyond the scatter of 0.50 dB" in str(flat)

    @pytest.mark.parametrize(
        ("joint", "status"),
        [((31.96, 31.99), "supported"), ((31.96, 31.9), "undecided"), ((31, 31), "not supported")],
    )
    def test_one_network_for_all_scales(self, joint, status):
        """As good as: up to 0.05 dB below, which the paper's own is as well."""
        verdict = definitions.STUDIES["scales"].judge(made_up("scales", {"2": (32, 32), "2_3_4": joint}))
        assert verdict.status == status

    def test_the_network_for_all_scales_has_the_most_not_the_longest_name(self):
        combinations = {"2": (32,), "2.25": (29,), "2_3": (32,)}
        verdict = definitions.STUDIES["scales"].judge(made_up("scales", combinations))
        assert verdict.lines == (
            "tested at ×2: ×2, 3 minus ×2 alone: +0.00 dB (+0.00 to +0.00 over 1 seed): supported",
        )

    @pytest.mark.parametrize(
        ("changed", "status"),
        [((31.9, 31.8), "supported"), ((31.9, 32.1), "undecided"), ((33, 32.5), "not supported")],
    )
    def test_ingredients(self, changed, status):
        judge = definitions.STUDIES["ingredients"].judge
        as_it_is = made_up("ingredients", {"loss=mse": (32, 32)})
        verdict = judge(joined(as_it_is, made_up("ingredients", {"loss=mse": changed}, label="loss=mse")))
        assert verdict.status == status
        assert verdict.lines[0].startswith("loss=mse: ×2 ")

    def test_ingredients_that_cannot_be_compared(self):
        """The recipe as it is diverged, or failed, for every seed: said, rather than a number."""
        judge = definitions.STUDIES["ingredients"].judge
        lost = made_up("ingredients", {"loss=mse": (None, None)})
        other = made_up("ingredients", {"loss=mse": (31, None)}, label="loss=mse")
        for scores in (joined(lost, other), other):
            verdict = judge(scores)
            assert verdict.status == "undecided"
            assert "no run of the recipe as it is came to its end" in str(verdict)
        found = verdicts.compare(joined(lost, other), "loss=mse", UNCHANGED, 2)
        assert found.cell == "diverged for 2 of 2 seeds"
        assert verdicts.compare(other, "loss=mse", UNCHANGED, 2).cell == "no runs"


def test_the_committed_grids_are_whole():
    """Every run of the larger grids is there, for three seeds or more, from T91 and scored on Set5."""
    for name in definitions.STUDIES:
        record = json.loads((Path(__file__).parents[2] / f"vdsrlib/results/08_{name}.json").read_text())
        done = record["results"]
        assert (done["training"], done["validation"], done["failures"]) == ("T91", "Set5", [])
        asked = record["parameters"]
        changes = {knob: asked[knob] for knob in ("steps", "depth", "width", "patch_size", "batch_size")}
        grid = definitions.build_grid(name, asked["size"], asked["seeds"], asked["values"], **changes)
        assert [(run["label"], run["seed"]) for run in done["results"]] == [
            (r.label, r.recipe.seed) for r in grid
        ]
        assert asked["seeds"] >= 3


def test_chapter_reruns_any_study_with_another_parameter(tmp_path):
    """papermill's command line: tiny networks, other depths; the record has what was asked for."""
    chapter = Path(__file__).parents[2] / "notebooks" / "08_paper_studies.ipynb"
    knobs = "depths 2,3 rates 0.01 rules none,norm:0.04 combinations 2,2_3 counts 1,2,3 lengths 4,6,8 seeds 1"
    knobs += " changes loss=mse,ema=0 steps 8 width 2 patch_size 8 batch_size 2 processes 1"
    words = [word for pair in zip(*[iter(knobs.split())] * 2, strict=True) for word in ("-p", *pair)]
    papermill = Path(sys.executable).parent / "papermill"
    run = subprocess.run(
        [papermill, chapter, "out.ipynb", *words],
        cwd=tmp_path,
        env={**os.environ, "VDSR_DATA": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    record = json.loads((tmp_path / "runs/studies/08_paper_studies.json").read_text())["results"]
    assert {name: len(done["results"]) for name, done in record.items()} == {
        "depth": 2, "residual": 2, "clipping": 2, "scales": 2, "images": 3, "steps": 3, "ingredients": 3,
    }  # fmt: skip
    assert [run["recipe"]["depth"] for run in record["depth"]["results"]] == [2, 3]
