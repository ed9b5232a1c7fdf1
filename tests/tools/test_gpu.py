"""The list of jobs for a GPU: every command is right, and a rehearsal runs, stops and resumes on a CPU."""

import json
import os
import sys
from pathlib import Path

import pytest

from vdsrlib.cli.app import build_parser
from vdsrlib.datasets.catalog import embedded
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.recipes import get_recipe

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import gpu

SETS = {"T91": "coffee.png", "BSD200": "chelsea.png", "CID22": "rocket.jpg", "Set5": "astronaut.png"}
TRAININGS = [job for job in gpu.JOBS if isinstance(job, gpu.Training)]


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """Sets of one small image each, under VDSR_DATA."""
    for name, photograph in SETS.items():
        save_image(tmp_path / "data" / name / "a.png", read_image(embedded([photograph])[0])[:96, :96])
    monkeypatch.setenv("VDSR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("VDSR_DEVICE", "cpu")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(gpu.__file__).parents[1]), *sys.path]))
    return tmp_path


@pytest.mark.parametrize("rehearse", [False, True])
@pytest.mark.parametrize("job", TRAININGS, ids=lambda job: job.name)
def test_every_training_is_a_right_command(job, rehearse, tmp_path):
    _, _, *typed = job.command(tmp_path, rehearse)
    arguments = build_parser().parse_args(typed)
    fields = {name: getattr(arguments, name) for name in Recipe.model_fields if name != "name"}
    recipe = get_recipe(arguments.recipe, **fields)
    wanted = get_recipe(job.recipe, **job.changes)
    assert recipe.steps == (max(2, wanted.steps // 1000) if rehearse else wanted.steps)
    assert rehearse or recipe == wanted
    assert arguments.data_path == job.data_path


def test_jobs_have_names_of_their_own_and_begin_with_jobs_before_them():
    names = [job.name for job in gpu.JOBS]
    assert len(set(names)) == len(names)
    for number, job in enumerate(gpu.JOBS):
        begin = getattr(job, "init", None)
        assert begin in (None, "vdsr", *names[:number])


def test_a_rehearsal_trains_a_chain_in_its_order(sets, capfd):
    runs = sets / "runs"
    chain = ["vdsr", "records/training/vdsr-second", "records/training/vdsr-first"]
    assert gpu.main([str(runs), *reversed(chain), "--rehearse", "--at-once", "3"]) == 0
    begun = {name: json.loads((runs / name / "run.json").read_text())["init"] for name in chain[:2]}
    assert all(begun[name]["sha256"] for name in chain[:2])
    printed = capfd.readouterr().out
    assert [line.split(":")[0] for line in printed.splitlines() if line.endswith(": done")] == chain[::-1]
    assert gpu.main([str(runs), *chain, "--rehearse"]) == 0
    assert "PFLOP" not in capfd.readouterr().out, "what is done is skipped"


def test_what_is_not_done_when_the_time_is_up_is_resumed(sets, capfd):
    runs = sets / "runs"
    name = "records/03_paper_39840"
    assert gpu.main([str(runs), name, "paper-2", "--minutes", "0.07"]) == 0
    printed = capfd.readouterr().out
    assert f"{name}: the time is up" in printed
    assert "not begun: paper-2" in printed
    assert not (runs / name / "run.json").exists()


def test_a_network_for_photographs_learns_from_all_sets(sets):
    runs = sets / "runs"
    assert gpu.main([str(runs), "vdsr-photo", "vdsr-cid22", "--rehearse"]) == 0
    for name, damage in {"vdsr-photo": "photo", "vdsr-cid22": "none"}.items():
        record = json.loads((runs / name / "run.json").read_text())
        assert record["data"] == "T91+BSD200+CID22, 3 images"
        assert record["recipe"]["damage"] == damage


def test_an_unknown_job_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        gpu.main([str(tmp_path), "vdsr-3"])
    assert "unknown job 'vdsr-3'; choose records/03_paper_39840, " in capsys.readouterr().err
