"""The tables of docs/ hold what was measured, and what was published."""

from pathlib import Path

import pytest

from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.records import stored_record, stored_scores

ROOT = Path(__file__).parents[1]
COMBINATIONS = ("2", "3", "4", "2_3", "2_4", "3_4", "2_3_4")


def record(name):
    return stored_record(f"{name}.json")


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").splitlines()


def row(*cells):
    return f"| {' | '.join(cells)} |"


def means(*names):
    """The mean scores in stored evaluations: set, scale, method."""
    return mean_scores(stored_scores(*(f"{name}.json" for name in names)), ["set", "scale", "method"])


def texts(*names):
    """The mean scores as "PSNR / SSIM": (set, scale) -> method -> text."""
    found = means(*names)
    text = found.psnr.map("{:.2f}".format) + " / " + found.ssim.map("{:.4f}".format)
    return text.rename("{:g}".format, level="scale").unstack("method").to_dict("index")


def published(rules, images, scale):
    """The published scores, as text: method -> "PSNR / SSIM"."""
    found = record("published")[rules]["Table 3"][images][scale]
    return {method: f"{psnr:.2f} / {ssim:.4f}" for method, (psnr, ssim) in found.items()}


def test_table_3_of_the_paper():
    measured = texts("04_evaluate", "04_evaluate_urban100")
    assert len(measured) == 12
    for (images, scale), found in measured.items():
        told = published("paper", images, scale)["VDSR"]
        ours, theirs = found["ours"], found["the authors' weights"]
        assert row(images, f"×{scale}", found["interpolation"], told, theirs, ours) in page("reproducing")


def test_kodak24_which_the_paper_does_not_have():
    measured = texts("04_evaluate_kodak24")
    assert [*measured] == [("Kodak24", scale) for scale in "234"]
    for (images, scale), found in measured.items():
        theirs, ours = found["the authors' weights"], found["ours"]
        line = row(images, f"×{scale}", found["interpolation"], "–", theirs, ours)
        assert line in page("reproducing")


def test_the_authors_weights_are_as_near_as_the_page_says():
    found = means("04_evaluate", "04_evaluate_urban100").psnr.xs("the authors' weights", level="method")
    assert len(found) == 12
    for (images, scale), psnr in found.items():
        told = record("published")["paper"]["Table 3"][images][f"{scale:g}"]["VDSR"][0]
        assert abs(psnr - told) < (0.04 if images == "Set14" else 0.01)


def test_the_lead_without_the_leaked_image():
    scores = stored_scores("04_evaluate.json")
    clean = scores[(scores["set"] == "Set5") & (scores.image != "woman")]
    psnr = mean_scores(clean, ["scale", "method"]).psnr.unstack("method")
    two, three, four = (f"{lead:.2f}" for lead in psnr["ours"] - psnr["the authors' weights"])
    told = f"lead the authors' weights by {two}, {three} and {four} dB at ×2, ×3 and ×4."
    assert told in " ".join(page("reproducing"))


def test_table_3_of_the_replication():
    measured = texts("04_evaluate_replication", "04_evaluate_replication_urban100")
    assert len(measured) == 12
    for (images, scale), ours in measured.items():
        theirs = published("replication", images, scale)
        line = row(
            images, f"×{scale}", theirs["interpolation"], ours["interpolation"], theirs["VDSR"], ours["ours"]
        )
        assert line in page("replication")


@pytest.mark.parametrize(("rules", "where"), [("paper", "reproducing"), ("replication", "replication")])
def test_table_2(rules, where):
    columns = (*COMBINATIONS, "interpolation")
    for scale, ours in record("04_evaluate")["results"]["table 2"][rules].items():
        theirs = record("published")[rules]["Table 2"][scale]
        assert row(f"×{scale}", "ours", *(f"{ours[name]:.2f}" for name in columns)) in page(where)
        told = (f"{theirs[name]:.2f}" if name in theirs else "–" for name in columns)
        assert f"| | published | {' | '.join(told)} |" in page(where)


def test_the_shipped_weights_are_named_by_their_hash():
    lines = "\n".join(page("reproducing"))
    shipped = sorted((ROOT / "vdsrlib/weights").glob("*.safetensors"))
    assert len(shipped) == 17
    for path in shipped:
        digest = record(f"training/{path.stem}")["weights"]["sha256"]
        assert f"| `{path.stem}` | `{digest[:12]}` |" in lines


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("speed_training_gpu", "H200"),
        ("speed_training_cpu", "2 CPU cores"),
        ("speed_training_cpu_bfloat16", "2 CPU cores with AMX"),
    ],
)
def test_the_speed_of_training(name, machine):
    for found in record(name)["rows"][:3]:
        line = row(
            machine,
            found["what"].split(":")[0],
            f"{found['ms']:.3g}",
            f"{found['times the plain way']:.2f}",
            f"{found['of the matrix product']:.0%}".replace("%", " %"),
        )
        assert line in page("benchmarks")


def test_the_speed_of_upscaling():
    names = {
        "eager NCHW": "PyTorch, eager",
        "torch, float16": "`torch`, float16",
        "torch, float16, compiled": "the same, compiled",
    }
    cpu, gpu = record("speed_inference_cpu"), record("speed_inference_gpu")
    seconds = {found["backend"]: found["seconds"] for found in cpu["growth"] if found["megapixels"] == 10}
    for found in cpu["backends"]:
        name = found["backend"]
        if name == "ncnn":  # measured once, and since removed, as others were faster
            continue
        what = names.get(name, f"`{name}`: channels last" if name == "torch" else f"`{name}`")
        large = f"{seconds[name]:.0f} s" if name in seconds else "–"
        assert row(what, f"{found['times eager NCHW']:.2f}", f"{found['GFLOP/s']:.0f}", large) in page(
            "benchmarks"
        )
    for found in gpu["backends"]:
        what = names.get(found["backend"], "`torch`, float32")
        speed = f"{found['times eager NCHW']:.2f}", f"{found['megapixels/s']:.0f}"
        assert row(what, *speed) in page("benchmarks")
    for found in gpu["psnr"]:
        assert abs(found["torch"] - found["torch, float16"]) < 0.001
