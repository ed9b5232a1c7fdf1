"""Every run is done once, whoever asks for it; divergence is a result."""

import math
import shutil
import threading
import time

import pytest
from filelock import FileLock

from studies.conftest import TINY
from vdsrlib.errors import InputError
from vdsrlib.studies import runner
from vdsrlib.studies.images import study_images
from vdsrlib.studies.results import at_epoch, score_frame, score_table


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

    def test_skip_broken(self, tmp_path, call_cli):
        """A damaged training image is left out where that is asked for, and named where it is not."""
        folder = tmp_path / "images"
        folder.mkdir()
        for path in study_images("micro", tmp_path / "squares").training[1][:2]:
            shutil.copy(path, folder)
        (folder / "damaged.png").write_bytes(b"no image")
        changes = {"values": 2, "seeds": 1, "device": "cpu", **TINY, "steps": 2, "data-path": folder}
        typed = [word for name, value in changes.items() for word in (f"--{name.replace('_', '-')}", value)]
        command = ("study", "depth", *typed, "--runs-path", tmp_path / "runs")
        status, _, errors = call_cli(*command)
        assert status == 1
        assert "damaged.png" in errors
        assert call_cli(*command, "--skip-broken")[::2] == (0, "")

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
