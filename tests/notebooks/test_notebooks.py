"""The chapters, run through papermill's real command line, and the stored numbers that they show."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vdsrlib.datasets.catalog import list_images
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.models.checkpoint import DEFAULT, WEIGHTS, load
from vdsrlib.records import stored_record as stored
from vdsrlib.records import stored_scores
from vdsrlib.training.recipes import get_recipe
from vdsrlib.utils.hashing import hash_file

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
PAPERMILL = (sys.executable, "-m", "papermill")
TINY = [
    part
    for knob in ("depth 2", "width 2", "patch_size 8", "batch_size 2", "steps 2")
    for part in f"-p {knob}".split()
]


RGB = WEIGHTS / "vdsr-rgb.safetensors"
TABLES = {
    "04_evaluate": DEFAULT,
    "04_evaluate_urban100": DEFAULT,
    "04_evaluate_ensemble": DEFAULT,
    "04_evaluate_replication": RGB,
    "04_evaluate_replication_urban100": RGB,
}
SWEEPS = {
    "06_img_017": DEFAULT,
    "06_img_019": DEFAULT,
    "06_img_017_replication": RGB,
    "06_img_019_replication": RGB,
}


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(output):
    return "".join(output.get("text", "")) + "".join(
        str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")
    )


@pytest.fixture
def papermill(tmp_path):
    """Run papermill as in a shell, in a folder that holds copies of the chapters."""
    for path in CHAPTERS:
        shutil.copy(path, tmp_path)

    def run(*arguments, cwd=tmp_path):
        environment = {**os.environ, "VDSR_DATA": ""}
        command = [*PAPERMILL, *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(
    ("spelling", "scales"),
    [
        ("-p scales 2_3_4", [2, 3, 4]),
        ("-p scales 2", [2]),
        ("-p scales 2.5", [2.5]),
        ("-r scales 1.5_2_3", [1.5, 2, 3]),
        ("-y|scales: [2, 3]", [2, 3]),
    ],
)
def test_papermill_scales_mean_what_was_typed(papermill, spelling, scales):
    """The notebook goes to stdout where no output file is named."""
    typed = spelling.split("|") if "|" in spelling else spelling.split()
    prepared = papermill("03_train.ipynb", "--prepare-only", *typed)
    assert prepared.returncode == 0, prepared.stderr[-2000:]
    given = {}
    for cell in code_cells(nbformat.reads(prepared.stdout, 4)):
        if {"parameters", "injected-parameters"} & {*cell.metadata.tags}:
            exec(cell.source, given)
    assert list(get_recipe(given["recipe"], scales=given["scales"]).scales) == scales


def test_papermill_trains_for_the_scales_that_were_typed(papermill, tmp_path):
    run = papermill("03_train.ipynb", "-p", "scales", "2_3", *TINY)
    assert run.returncode == 0, run.stderr[-2000:]
    executed = nbformat.reads(run.stdout, 4)
    printed = [text_of(output) for cell in code_cells(executed) for output in cell.outputs]
    assert "scales: 2, 3\n" in printed
    record = json.loads((tmp_path / "runs/03_train/checkpoints/run.json").read_text())
    assert record["scales"] == [2, 3]
    assert record["recipe"]["steps"] == 2


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("-p scales 1.5_2", "-r scales 1.5_2_3"),
        ("-p scales 243", "-r scales 1.5_2_3"),
        ("-p scalse 2_3", "did you mean scales?"),
        ("-p recipe papr", "unknown recipe 'papr'; choose"),
        ("-p batch_size many", "batch_size must be a valid integer, got 'many'"),
        ("-p device tpu", "unknown device 'tpu'"),
    ],
)
def test_papermill_wrong_values_stop_with_what_to_write(papermill, tmp_path, typed, sentence):
    run = papermill("03_train.ipynb", "out.ipynb", *typed.split())
    assert run.returncode != 0
    assert sentence in run.stderr
    assert not (tmp_path / "runs").exists()


def test_papermill_from_another_folder_with_an_image_of_ones_own(papermill, tmp_path, photo_file):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "big.json").write_text("mine")
    typed = f"-p hd_image_path {photo_file} -p scaling_factor 1.7 -p sr_image_path big.png"
    run = papermill(tmp_path / "07_super_resolve.ipynb", "out.ipynb", *typed.split(), cwd=elsewhere)
    assert run.returncode == 0, run.stderr[-2000:]
    names = ["big.json", "big.png", "big.results.json", "out.ipynb"]
    assert sorted(path.name for path in elsewhere.iterdir()) == names
    assert (elsewhere / "big.json").read_text() == "mine"


def test_papermill_does_not_replace_the_photograph(papermill, tmp_path, photo_file):
    before = photo_file.read_bytes()
    (tmp_path / "link.png").symlink_to(photo_file)
    typed = f"-p hd_image_path {photo_file} -p sr_image_path link.png"
    run = papermill("07_super_resolve.ipynb", "out.ipynb", *typed.split())
    assert run.returncode != 0
    assert "sr_image_path names your image itself; write another name." in run.stderr
    assert photo_file.read_bytes() == before


def means(*names, method):
    """The mean scores of a method in stored evaluations, by set and scale."""
    scores = stored_scores(*(f"{name}.json" for name in names))
    return mean_scores(scores[scores.method == method], ["set", "scale"])


def test_the_measured_results_are_of_the_shipped_weights():
    for name, weights in {**TABLES, **SWEEPS}.items():
        assert stored(f"{name}.json")["weights"]["sha256"] == hash_file(weights)
    scored = stored("04_evaluate.json")["parameters"]["SHA-256"]
    shipped = {path.stem: hash_file(path) for path in WEIGHTS.glob("*.safetensors")}
    others = {"vdsr-rgb": hash_file(RGB), "vdsr-photo": stored("10_photographs.json")["weights"]["sha256"]}
    assert {**scored, "vdsr": scored["ours"], **others}.items() >= shipped.items()
    for name, digest in shipped.items():
        assert stored(f"training/{name}.json")["weights"]["sha256"] == digest
    photo = "vdsr", "vdsr-photo-first", "vdsr-photo-second", "vdsr-photo"
    chains = ("vdsr-first", "vdsr-second", "vdsr"), ("vdsr-rgb-first", "vdsr-rgb"), photo
    for before, name in (pair for chain in chains for pair in itertools.pairwise(chain)):
        assert stored(f"training/{name}.json")["init"] == stored(f"training/{before}.json")["weights"]
    assert "init" not in stored("training/vdsr-first.json")


def test_the_luma_weights_are_above_the_paper():
    """In every cell of its Table 3, in PSNR by as much as the README says."""
    published, differences = stored("published.json")["paper"]["Table 3"], []
    for (benchmark, scale), ours in means("04_evaluate", "04_evaluate_urban100", method="ours").iterrows():
        psnr, ssim = published[benchmark][f"{scale:g}"]["VDSR"]
        differences.append(ours.psnr - psnr)
        assert ours.ssim > ssim
    assert len(differences) == 12
    assert (round(min(differences), 2), round(max(differences), 2)) == (0.01, 0.27)


def test_table_2_is_complete_and_of_one_recipe():
    combinations = ["2", "3", "4", "2_3", "2_4", "3_4", "2_3_4"]
    table = stored("04_evaluate.json")["results"]["table 2"]
    for rules in ("paper", "replication"):
        for scale in ("2", "3", "4"):
            assert set(table[rules][scale]) == {"interpolation", *combinations}
        recipes = [stored(f"training/{rules}-{scales}.json")["recipe"] for scales in combinations]
        shared = [{k: v for k, v in recipe.items() if k != "scales"} for recipe in recipes]
        assert all(recipe == shared[0] for recipe in shared)


def test_the_numbers_in_the_readme_are_the_measured_ones():
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")

    def on_set5(name, method):
        return means(name, method=method).psnr["Set5"]

    published = stored("published.json")["replication"]["Table 3"]["Set5"].values()
    rows = {
        "interpolation": on_set5("04_evaluate", "interpolation"),
        "the authors' weights": on_set5("04_evaluate", "the authors' weights"),
        "the paper's recipe, as we read it": [
            scores["model"] for scores in stored("03_recipe_paper.json")["validation"][-1]["psnr"].values()
        ],
        "the weights in this package": on_set5("04_evaluate", "ours"),
        "interpolation, `replication`": on_set5("04_evaluate_replication", "interpolation"),
        "the replication's VDSR, `replication`": [found["VDSR"][0] for found in published],
        "the RGB weights in this package, `replication`": on_set5("04_evaluate_replication", "ours"),
    }
    for name, values in rows.items():
        assert f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |" in readme


def test_the_rgb_weights_are_above_every_figure_of_the_replication():
    published, pairs = stored("published.json")["replication"], []
    ours = means("04_evaluate_replication", "04_evaluate_replication_urban100", method="ours")
    for (benchmark, scale), found in ours.iterrows():
        pairs.append((found, published["Table 3"][benchmark][f"{scale:g}"]["VDSR"]))
    assert len(pairs) == 12
    for image, by_scale in published["Figure 5"].items():
        sweep = stored(f"06_{image}_replication.json")["results"]["sweep"]
        pairs += [(sweep[scale]["model"], figures["VDSR"]) for scale, figures in by_scale.items()]
    crops = stored("06_img_017_replication.json")["results"]["figures 6 and 7, x3"]
    for image, figures in published["Figures 6 and 7, x3"].items():
        pairs.append((crops[image]["model"], figures["VDSR"]))
    for ours, (psnr, ssim) in pairs:
        assert ours["psnr"] > psnr
        assert ours["ssim"] > ssim


def test_the_networks_for_one_scale_are_above_the_replications_at_that_scale():
    ours = stored("04_evaluate.json")["results"]["table 2"]["replication"]
    published = stored("published.json")["replication"]["Table 2"]
    for scale in "234":  # the diagonal
        assert ours[scale][scale] > published[scale][scale]


def test_the_shipped_weights_are_above_interpolation_everywhere():
    """Every cell of the committed tables and every scale of Figure 5, the smallest included."""
    for name in TABLES:
        interpolation, ours = (means(name, method=method).psnr for method in ("interpolation", "ours"))
        assert len(ours) == len(interpolation)
        assert (ours > interpolation).all()
    for name in SWEEPS:
        sweep = stored(f"{name}.json")["results"]["sweep"]
        assert [*sweep] == ["1.5", "2", "2.5", "3", "3.5", "4"]
        for scale, found in sweep.items():
            assert found["model"]["psnr"] > found["interpolation"]["psnr"], (name, scale)


@pytest.mark.parametrize(
    ("name", "columns"),
    [("04_evaluate", ("ours", "the authors' weights")), ("04_evaluate_replication", ("ours",))],
)
def test_table_3_is_complete(name, columns):
    scores = stored_scores(f"{name}.json", f"{name}_urban100.json")
    assert [*scores["set"].unique()] == ["Set5", "Set14", "B100", "Urban100"]
    counts = scores.groupby(["set", "scale", "method"]).image.nunique()
    assert len(counts) == 4 * 3 * (1 + len(columns))
    for (test_name, scale, method), count in counts.items():
        assert scale in (2, 3, 4)
        assert method in ("interpolation", *columns)
        assert count == int(test_name.strip("BSetUrban"))
    assert not scores.duplicated(["set", "image", "scale", "method"]).any()


def test_eight_orientations_are_a_column_of_their_own_and_better():
    name = "04_evaluate_ensemble"
    once, eight = (means(name, method=method).psnr for method in ("ours", "ours, eight orientations"))
    assert len(eight) == len(once) == 3
    assert (eight > once).all()


@pytest.mark.parametrize("name", TABLES)
def test_measured_cells_are_reproduced(data, name):
    """Set5 at x2 whole, and one image of each other set at x3."""
    network = load(TABLES[name], "cpu")
    scores = stored_scores(f"{name}.json").set_index(["set", "scale", "image", "method"])[["psnr", "ssim"]]
    for test_name in scores.index.unique("set"):
        scale, count = (2, 5) if test_name == "Set5" else (3, 1)
        paths = list_images(data / test_name)[:count]
        for row in evaluate(network, paths, scale).itertuples():
            method = "ours" if row.method == "model" else row.method
            psnr, ssim = scores.loc[test_name, scale, row.image, method]
            assert row.psnr == pytest.approx(psnr, abs=0.01)
            assert row.ssim == pytest.approx(ssim, abs=0.0005)


@pytest.mark.parametrize(("name", "scale"), [("paper-2", 3), ("replication-2_3_4", 4)])
def test_measured_cells_of_table_2_are_reproduced(data, name, scale):
    network = load(WEIGHTS / f"{name}.safetensors", "cpu")
    found = evaluate(network, data / "Set5", scale).groupby("method").psnr.mean()
    rules, trained = name.split("-")
    kept = stored("04_evaluate.json")["results"]["table 2"][rules][str(scale)]
    assert found["model"] == pytest.approx(kept[trained], abs=0.01)
    assert found["interpolation"] == pytest.approx(kept["interpolation"], abs=0.01)
