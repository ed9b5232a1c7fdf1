"""The first cells of every chapter: parameters as people write them, wrong ones, and a second run."""

import json
from pathlib import Path

import pytest
import torch

from vdsrlib.errors import InputError
from vdsrlib.models import checkpoint
from vdsrlib.records import write_record

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHAPTERS = {path.stem[:2]: path for path in NOTEBOOKS.glob("[0-9]*.ipynb")}


@pytest.fixture
def check(tmp_path, monkeypatch, make_model):
    """Run a chapter's first cells, up to the one that checks the parameters, which runs twice; its names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VDSR_DATA", "")
    info = {"protocol": "paper", "scales": [1, 2, 3], "recipe": "test", "data": "-"}
    checkpoint.save("w.safetensors", make_model(), info)

    def run(chapter, **parameters):
        cells = json.loads(CHAPTERS[chapter].read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        last = next(i for i, source in enumerate(sources) if "refuse_unknown(In)" in source)
        names = {"In": []}
        for source in sources[:last]:
            exec(source, names)
        assert not set(parameters) - set(names), "the chapter has no such parameter"
        if "weights" in names:
            parameters.setdefault("weights", "w.safetensors")
        names.update(parameters)
        for _ in range(2):
            exec(sources[last], names)
        return names

    return run


@pytest.mark.parametrize("chapter", sorted(CHAPTERS))
def test_the_check_cell_runs_twice(check, chapter):
    check(chapter)


@pytest.mark.parametrize(
    ("chapter", "parameters", "sentence"),
    [
        ("00", {"scale": 1}, "scale must be above 1 and at most 8, got 1"),
        ("00", {"image": "nowhere.png"}, "nowhere.png"),
        ("00", {"device": "tpu"}, "unknown device 'tpu'"),
        ("01", {"benchmark": "Set6"}, "There is no image set Set6"),
        ("01", {"scales": 1.52}, "ambiguous"),
        ("02", {"depth": 2.5}, "depth must be a whole number from 2 up, got 2.5"),
        ("02", {"width": 0}, "width must be a whole number from 1 up, got 0"),
        ("02", {"weights": "vdsr-rgb"}, "The paper protocol works on luma"),
        ("03", {"depth": 1}, "depth must be greater than or equal to 2, got 1"),
        ("03", {"scales": 1.52}, "ambiguous"),
        ("05", {"crop": -5}, "crop must be a whole number from 0 up, got -5"),
        ("05", {"scaling_factor": 1}, "must be above 1"),
        ("06", {"scales": 1.52}, "ambiguous"),
        ("09", {"weights": "vdsr-rgb"}, "The paper protocol works on luma"),
        ("07", {"ground_truth_mode": "maybe"}, "ground_truth_mode must be true or false, got 'maybe'"),
        ("08", {"processes": "two"}, "processes must be a whole number from 1 up, got 'two'"),
        ("08", {"depths": 358}, "-p depths 3,5,8"),
        ("08", {"lengths": 153060}, "-p lengths 3,5,8"),
        ("08", {"seeds": 0}, "seeds must be a whole number from 1 up, got 0"),
        ("08", {"counts": "2,x"}, "'x' is no whole number"),
    ],
)
def test_wrong_parameters(check, chapter, parameters, sentence):
    with pytest.raises(InputError) as caught:
        check(chapter, **parameters)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("chapter", "name", "typed", "meaning"),
    [
        ("02", "depth", "5", 5),
        ("05", "crop", "0", 0),
        ("07", "ground_truth_mode", "false", False),
        ("07", "ground_truth_mode", "No", False),
        ("08", "processes", "2", 2),
        ("08", "seeds", "2", 2),
    ],
)
def test_parameters_as_text(check, chapter, name, typed, meaning):
    assert check(chapter, **{name: typed})[name] == meaning


def test_a_home_folder(check, tmp_path, monkeypatch, photo_file):
    monkeypatch.setenv("HOME", str(photo_file.parent))
    monkeypatch.setenv("USERPROFILE", str(photo_file.parent))
    assert check("00", image=f"~/{photo_file.name}")["path"] == photo_file
    for chapter in ("05", "06", "07"):
        assert check(chapter, hd_image_path=f"~/{photo_file.name}")["path"] == photo_file
    assert check("05", result_dir_path="~/maps")["folder"] == photo_file.parent / "maps"
    assert check("07", sr_image_path="~/large.png")["target"] == photo_file.parent / "large.png"


def test_what_a_chapter_did_not_make_is_kept(check, tmp_path):
    """A chapter replaces its own results; what else is there stays, as on the command line."""
    mine = {"05": ("result_dir_path", "maps/sr.png", "maps", "maps/results.json")}
    mine["07"] = ("sr_image_path", "large.png", "large.png", "large.results.json")
    (tmp_path / "maps").mkdir()
    for chapter, (name, file, target, record) in mine.items():
        check(chapter, **{name: target})
        Path(file).write_text("my own")
        with pytest.raises(InputError, match="is taken, and not by an earlier run of this chapter"):
            check(chapter, **{name: target})
        write_record(record, {}, parameters={}, device=torch.device("cpu"), files=[Path(file)])
        check(chapter, **{name: target})
        Path(file).write_text("my own again")
        with pytest.raises(InputError, match="is taken, and not by an earlier run of this chapter"):
            check(chapter, **{name: target})
        Path(file).unlink()
        Path(record).write_text("notes of mine")
        with pytest.raises(InputError, match="is taken, and not by an earlier run of this chapter"):
            check(chapter, **{name: target})
        assert Path(record).read_text() == "notes of mine"
    Path("large.results.json").unlink()
    Path("large.png").symlink_to("nowhere")
    with pytest.raises(InputError, match="is taken"):
        check("07", sr_image_path="large.png")
