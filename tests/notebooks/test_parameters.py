"""Every parameter of every chapter, once set to wrong values and once to sensible ones.

A wrong value stops a chapter in the cell that checks the parameters, with one sentence, before there is
anything to lose. The cells up to that one run here as in a kernel, one shell for each chapter.
"""

import functools
import math
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from vdsrlib.datasets.catalog import embedded
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.models import checkpoint
from vdsrlib.training.network import build_network
from vdsrlib.training.recipes import get_recipe

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

SCALE = [0.5, "two", math.nan, True, 9], ["2.5", 2]
SCALES = ["2_x", "", 1.52, [2, 2], 1.5e9], [[2, 3], "1.5_2", 234, "4"]
WHOLE = [2.5, -1, "many", True], [3, "3"]
WHOLE_OR_NONE = [2.5, -1, "many"], [0, "3"]
RATE = [-1, "fast", math.nan, True], ["1e-3", 0.5]
FLAG = ["maybe", 2], ["no", "0", 1, True]
FOLDER = ["notes.txt", "notes.txt/deeper"], ["~/my results", Path("some where"), 2024]
IMAGE = ["nowhere.png", "notes.txt", "my sets", 5], ["~/my photo.png", Path("my photo.png")]
NET, PHOTO_NET = "my net.safetensors", "my photo net.safetensors"
WEIGHTS = ["nowhere.safetensors", "notes.txt", "vdrs", 5], [f"~/{NET}", Path(NET)]
DATA = ["nowhere", "notes.txt", 5], ["~/my sets", Path("my sets")]

# What a parameter may not be, and what it may, by its name; where chapters differ, by chapter and name.
VALUES = {
    "batch_size": WHOLE,
    "benchmark": (["Set6", 5, ""], ["Set14", "B100"]),
    "benchmarks": (["Set5 Set6", 55, True], ["Set5,Set14", ["Set5", "B100"]]),
    "04 benchmarks": (["Set5 Set6", 55, True, "", " "], ["Set5,Set14", ["Set5", "B100"]]),
    "bias_lr_factor": (RATE[0], ["0.1", 0]),
    "cache_path": FOLDER,
    "changes": (["loss", "loss=mes", "lost=mse", "depth=deep", 12], ["loss=mse", ["loss=mse", "ema=0"]]),
    "ckpt_path": FOLDER,
    "clip": (["valve", 5, True], ["none", "norm"]),
    "clip_theta": (RATE[0], ["1e-4", 0.4]),
    "combinations": (["2,x", 23, "9"], ["2,3,2_3", 2]),
    "counts": (["2,x", 25, "0"], ["2,5", [2, 5], 3]),
    "crop": (WHOLE_OR_NONE[0], ["48", 0]),
    "data_path": DATA,
    "decay_factor": (RATE[0], ["0.5"]),
    "decay_steps": (WHOLE_OR_NONE[0], [0, 100, "100"]),
    "depth": ([2.5, -1, 1, "deep", True], [3, "3"]),
    "depths": (["3,x", 358, "1"], ["3,5", 5, [3, 5]]),
    "device": (["tpu", 0, "cpu:x", True], ["cpu", "auto"]),
    "ensemble": FLAG,
    "ground_truth_mode": FLAG,
    "hard_mining_candidates": WHOLE,
    "hd_image_path": IMAGE,
    "image": IMAGE,
    "init": ([*WEIGHTS[0], "vdsr", "vdsr-rgb"], WEIGHTS[1]),
    "learning_rate": RATE,
    "lengths": (["15,x", 153060, "0"], ["15,30", 9]),
    "logs_path": FOLDER,
    "loss": (["mes", 1], ["l1", "sse"]),
    "official_weights": WEIGHTS,
    "optimizer": (["sdg", 1], ["sgd", "adam"]),
    "patch_size": ([2.5, -1, 2, "large", True], [24, "24"]),
    "precision": (["float16", 16], ["float32", "auto"]),
    "processes": ([0, *WHOLE[0]], WHOLE[1]),
    "protocol": (["papre", 1], ["paper", "replication"]),
    "quality": ([0, 101, "good", 2.5], ["75", 1, 100]),
    "rates": (["0.1,x", 11, "-1"], ["0.1,0.01", 0.1, [0.1, 1e-3]]),
    "recipe": (["bset", 5, "nowhere.toml", "notes.json", ""], ["best", "~/my recipe.toml"]),
    "reinitialise_every": WHOLE_OR_NONE,
    "rescale_factors": ([10.7, "1_x", 0, ""], ["1_0.7", [1, 0.5], 1]),
    "residual": FLAG,
    "result_dir_path": FOLDER,
    "rules": (["none,vague:1", "value", 12], ["none,value:1e-4", "norm:0.04"]),
    "run_path": FOLDER,
    "runs_path": FOLDER,
    "scale": SCALE,
    "scales": SCALES,
    "scaling_factor": SCALE,
    "seed": ([2.5, -1, 2**32, "lucky"], [7, "7", 0]),
    "seeds": ([0, *WHOLE[0]], [1, "2"]),
    "side": WHOLE_OR_NONE,
    "size": (["large", 3], ["micro", "full"]),
    "skip_broken": FLAG,
    "sr_image_path": (["sr.xyz", "notes.txt/sr.png", "", "my sets"], ["~/large one.png", Path("large.tif")]),
    "steps": ([0, *WHOLE[0]], WHOLE[1]),
    "store": FOLDER,
    "table_2": (["papre", "paper,replicaton", 2], ["paper", "paper,replication"]),
    "validate_every": ([-1, 2.5, "often", True], ["50", 0]),
    "validation_set": (["Set6", 5, ""], ["Set14"]),
    "08 validation_set": (["Set6", 5, ""], ["Set5"]),
    "weights": (WEIGHTS[0], [*WEIGHTS[1], "vdsr"]),
    "10 weights": ([*WEIGHTS[0], "vdsr", "vdsr-rgb", f"~/{NET}"], ["vdsr-photo", PHOTO_NET]),
    "width": ([0, *WHOLE[0]], [3, "3"]),
}


def declared(path):
    """The names of a notebook's parameters."""
    for cell in nbformat.read(path, 4).cells:
        if "parameters" in cell.metadata.get("tags", ()):
            return re.findall(r"^(\w+): ", cell.source, re.MULTILINE)
    return []


CHAPTERS = {path.stem.split("_")[0]: path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
CHAPTERS |= {path.stem.split("_")[0]: path for path in sorted(NOTEBOOKS.glob("appendix/*.ipynb"))}
EVERY = [(chapter, name) for chapter, path in CHAPTERS.items() for name in declared(path)]


class Chapter:
    """The first cells of a notebook in a shell, which has run those above its parameters."""

    def __init__(self, path):
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        tags = [cell.metadata.get("tags", ()) for cell in cells]
        place = next(i for i, each in enumerate(tags) if "parameters" in each)
        self.defaults, self.check = cells[place].source, cells[place + 1].source
        module, quick = ModuleType("chapter"), {"xmode": "Minimal", "colors": "nocolor"}
        config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": quick})
        self.shell = InteractiveShell(user_module=module, user_ns=vars(module), config=config)
        for cell in cells[:place]:
            assert self.run(cell.source) is None
        self.above = len(self.shell.user_ns["In"])

    def run(self, source):
        """Run a cell; return what it raised."""
        done = self.shell.run_cell(source, store_history=True)
        return done.error_before_exec or done.error_in_exec

    def set(self, name, value):
        """Run the parameters' cell, the one that papermill adds, and the one that checks; what it raised."""
        del self.shell.user_ns["In"][self.above :]  # as in a kernel that has run this chapter once
        assert self.run(self.defaults) is None
        assert self.run(f"# Parameters\n{name} = None") is None
        self.shell.user_ns[name] = value
        return self.run(self.check)


@functools.cache
def opened(chapter):
    return Chapter(CHAPTERS[chapter])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a photograph, sets of images, weights, a recipe, and two files that are no such thing."""
    folder = tmp_path_factory.mktemp("home")
    photograph = read_image(embedded(["chelsea.png"])[0])[:260, 100:360]
    for name in ("my photo", "my sets/1", "my sets/2", "my sets/3", "my sets/Set5/photo"):
        save_image(folder / f"{name}.png", photograph)
    demo = get_recipe("demo")
    info = {"protocol": "paper", "recipe": {}, "data": "-"}
    for name, scales in {NET: [2, 3], PHOTO_NET: [1, 2, 3]}.items():
        checkpoint.save(folder / name, build_network(demo), {**info, "scales": scales})
    (folder / "my recipe.toml").write_text("depth = 4\n")
    (folder / "notes.txt").write_text("mine")
    (folder / "notes.json").write_text("[]")
    return folder


@pytest.fixture
def elsewhere(files, monkeypatch):
    """The files above are in the current folder, and in the home folder; there are no data sets."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("HOME", str(files))
    monkeypatch.setenv("USERPROFILE", str(files))
    monkeypatch.setenv("VDSR_DATA", "")
    return files


def values_for(chapter, name):
    return VALUES.get(f"{chapter} {name}") or VALUES[name]


def test_there_are_values_for_every_parameter_and_no_other():
    missing = [(chapter, name) for chapter, name in EVERY if name not in VALUES]
    assert not missing, "give each a wrong and a sensible value in VALUES"
    unused = {key.split()[-1] for key in VALUES} - {name for _, name in EVERY}
    assert not unused
    assert all(wrong and sensible for wrong, sensible in VALUES.values())


@pytest.mark.parametrize(("chapter", "name"), EVERY)
def test_wrong_values_stop_at_once_in_one_sentence(elsewhere, chapter, name):
    wrong, _ = values_for(chapter, name)
    opened(chapter)
    before = sorted(elsewhere.rglob("*"))
    faults = []
    for value in wrong:
        error = opened(chapter).set(name, value)
        if not isinstance(error, InputError):
            faults.append((value, f"{type(error).__name__}: {error}"))
        elif "\n" in str(error):
            faults.append((value, str(error)))
    assert not faults
    assert sorted(elsewhere.rglob("*")) == before, "something was written"


@pytest.mark.parametrize(("chapter", "name"), EVERY)
def test_sensible_values_pass(elsewhere, chapter, name):
    _, sensible = values_for(chapter, name)
    errors = {str(value): opened(chapter).set(name, value) for value in sensible}
    assert not {value: error for value, error in errors.items() if error}


def test_a_study_of_more_images_than_there_are_stops_at_once(elsewhere):
    error = opened("08").set("counts", "2,41")
    assert isinstance(error, InputError)
    assert str(error) == "There are 40 training images, not 41."


# Several parameters at once, for whole chapters; none of them is at its default.
WHOLE_CHAPTERS = {
    "03": {
        "recipe": "best", "data_path": "~/my sets", "ckpt_path": "~/my results/run", "logs_path": "~/my logs",
        "scales": "[2, 3]", "patch_size": "'24'", "rescale_factors": "'1_0.7'", "hard_mining_candidates": "2",
        "batch_size": "'2'", "depth": "3", "width": "4", "residual": "'no'", "optimizer": "adam",
        "learning_rate": "'1e-3'", "bias_lr_factor": "0", "reinitialise_every": "2", "decay_steps": "100",
        "decay_factor": "0.5", "clip": "norm", "clip_theta": "'1e-2'", "loss": "sse", "steps": "4",
        "precision": "float32", "seed": "7", "store": "~/my store", "skip_broken": "'yes'",
        "validation_set": "Set14", "validate_every": "'0'", "device": "cpu",
    },
    "04": {
        "data_path": "~/my sets", "benchmarks": "'Set5,Set14'", "scales": "[1.5, 3]",
        "weights": "~/my net.safetensors", "official_weights": "vdsr", "table_2": "paper",
        "ensemble": "'yes'", "cache_path": "~/my scores", "device": "cpu", "run_path": "~/my results",
    },
    "06": {
        "hd_image_path": "~/my photo.png", "data_path": "~/my sets", "scales": "'2.5_3'",
        "weights": "~/my net.safetensors", "device": "cpu", "run_path": "2024",
    },
    "08": {
        "seeds": "1", "depths": "'2,3'", "rates": "0.1", "rules": "'none,value:1e-4'",
        "combinations": "'2,2_3'", "counts": "[2, 3]", "lengths": "'3,6'", "changes": "loss=mse",
        "steps": "'6'", "width": "3", "patch_size": "16", "batch_size": "2", "data_path": "~/my sets",
        "validation_set": "Set14", "processes": "'1'", "runs_path": "~/my studies", "device": "cpu",
    },
    "10": {
        "image": "~/my photo.png", "quality": "'75'", "weights": f"~/{PHOTO_NET}",
        "benchmarks": "'Set5,Set14'", "scales": "'3_4'", "side": "'96'", "data_path": "~/my sets",
        "device": "cpu", "run_path": "2024",
    },
}  # fmt: skip


@pytest.mark.hard
@pytest.mark.parametrize("chapter", WHOLE_CHAPTERS)
def test_whole_chapters_run_with_sensible_values(elsewhere, tmp_path, chapter):
    typed = "\n".join(f"{name}: {value}" for name, value in WHOLE_CHAPTERS[chapter].items())
    command = [sys.executable, "-m", "papermill", str(CHAPTERS[chapter]), "out.ipynb", "-y", typed]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
