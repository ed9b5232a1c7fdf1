"""The tables of docs/ hold what was measured, and what was published."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMBINATIONS = ("2", "3", "4", "2_3", "2_4", "3_4", "2_3_4")


def record(name):
    return json.loads((ROOT / "vdsrlib/results" / f"{name}.json").read_text(encoding="utf-8"))


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").splitlines()


def row(*cells):
    return f"| {' | '.join(cells)} |"


def scores(*names):
    """The mean scores of a network, as "PSNR / SSIM": (set, scale, network) -> method -> text."""
    return {
        (images, scale, network): {
            method: f"{mean['psnr']:.2f} / {mean['ssim']:.4f}" for method, mean in found["mean"].items()
        }
        for name in names
        for images, by_scale in record(name)["results"]["scores"].items()
        for scale, networks in by_scale.items()
        for network, found in networks.items()
    }


def published(rules, images, scale):
    """The published scores, as text: method -> "PSNR / SSIM"."""
    found = record("published")[rules]["Table 3"][images][scale]
    return {method: f"{psnr:.2f} / {ssim:.4f}" for method, (psnr, ssim) in found.items()}


def test_table_3_of_the_paper():
    measured = scores("04_evaluate", "04_evaluate_urban100")
    cells = [key[:2] for key in measured if key[2] == "ours"]
    assert len(cells) == 12
    for images, scale in cells:
        ours, theirs = (measured[images, scale, network] for network in ("ours", "the authors' weights"))
        told = published("paper", images, scale)["VDSR"]
        line = row(images, f"×{scale}", ours["interpolation"], told, theirs["model"], ours["model"])
        assert line in page("reproducing")


def test_the_authors_weights_are_as_near_as_the_page_says():
    for name in ("04_evaluate", "04_evaluate_urban100"):
        for images, by_scale in record(name)["results"]["scores"].items():
            for scale, found in by_scale.items():
                psnr = found["the authors' weights"]["mean"]["model"]["psnr"]
                told = record("published")["paper"]["Table 3"][images][scale]["VDSR"][0]
                assert abs(psnr - told) < (0.04 if images == "Set14" else 0.01)


def test_table_3_of_the_replication():
    measured = scores("04_evaluate_replication", "04_evaluate_replication_urban100")
    assert len(measured) == 12
    for (images, scale, _), ours in measured.items():
        theirs = published("replication", images, scale)
        line = row(
            images, f"×{scale}", theirs["interpolation"], ours["interpolation"], theirs["VDSR"], ours["model"]
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
    assert len(shipped) == 16
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
