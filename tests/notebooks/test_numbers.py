"""Numbers in the chapters' prose are those of the stored records: a class a chapter."""

import itertools
import re
from pathlib import Path

import nbformat
import pytest

from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.records import published_scores, stored_record, stored_scores

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ROW = ["set", "scale", "method"]


def prose(name):
    """The text of a chapter, in one line."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.sub(r"\s+", " ", text)


def psnrs(*names):
    """The mean PSNRs of stored evaluations, a column a method."""
    return mean_scores(stored_scores(*(f"{name}.json" for name in names)), ROW).psnr.unstack("method")


def published(rules):
    """Table 3 as published, a column a method."""
    return published_scores(rules).set_index(ROW).psnr.unstack("method")


class TestChapters0And1:
    def test_the_published_gap(self):
        """Both published scores of VDSR on Set5 at x2."""
        published = stored_record("published.json")
        paper, replication = (
            published[rules]["Table 3"]["Set5"]["2"]["VDSR"][0] for rules in ("paper", "replication")
        )
        assert f"at ×2: {paper:.2f} dB and {replication:.2f} dB." in prose("00_start_here")
        assert f"{paper - replication:.1f} dB apart" in prose("00_start_here")

    def test_the_baseline_that_must_be_right(self):
        text = prose("01_data_and_degradation")
        for record, rules in (("04_evaluate", "paper"), ("04_evaluate_replication", "replication")):
            scores = stored_scores(f"{record}.json")
            interpolation = scores[(scores.method == "interpolation") & (scores["set"] == "Set5")]
            two, three, four = mean_scores(interpolation, ["scale"]).psnr
            assert f"{two:.2f}, {three:.2f} and {four:.2f} dB under `{rules}`" in text

    def test_the_copy_of_set14_that_the_replication_used(self):
        text = prose("appendix/B_your_own_data")
        published = stored_record("published.json")["replication"]["Table 3"]["Set14"]["2"]
        scores = stored_scores("04_evaluate_replication.json")
        chosen = (scores.method == "interpolation") & (scores["set"] == "Set14") & (scores.scale == 2)
        assert f"interpolation under `replication` has {published['interpolation'][0]:.2f} dB at ×2" in text
        assert f"The original files give {scores[chosen].psnr.mean():.2f} dB." in text


class TestEvaluation:
    @pytest.fixture
    def text(self):
        return prose("04_evaluate")

    @pytest.fixture
    def images(self):
        """The PSNRs of the 219 images at three scales, a column a method."""
        scores = stored_scores("04_evaluate.json", "04_evaluate_urban100.json")
        return scores.pivot_table("psnr", ["set", "image", "scale"], "method")

    def test_the_authors_weights_give_the_published_numbers(self, text):
        off = (
            psnrs("04_evaluate", "04_evaluate_urban100")["the authors' weights"] - published("paper").VDSR
        ).abs()
        assert off.drop("Set14").max() < 0.0105
        assert "to 0.01 dB on Set5, B100 and Urban100" in text
        assert f"On Set14 they differ by up to {off['Set14'].max():.2f} dB" in text

    def test_ours_is_ahead_in_every_row(self, text):
        measured, told = psnrs("04_evaluate", "04_evaluate_urban100"), published("paper")
        lead = (measured.ours.round(2) - told.VDSR).round(2)
        assert len(lead) == 12
        assert (lead.idxmin(), lead.idxmax()) == (("Set14", 4), ("Urban100", 2))
        assert f"by {lead.min():.2f} dB (Set14 ×4) to {lead.max():.2f} dB (Urban100 ×2)" in text

    def test_the_work(self, text):
        recipes = [stored_record(f"training/vdsr{name}.json")["recipe"] for name in ("-first", "-second", "")]
        recipes.append(stored_record("03_recipe_paper.json")["recipe"])
        *work, paper = (r["steps"] * r["batch_size"] * r["patch_size"] ** 2 for r in recipes)
        times = round(sum(work) / paper)
        assert f"with {times} times the work and one leaked image" in text
        assert f"but {times} times the work" in text

    def test_the_lead_stays_without_the_leaked_image(self, images):
        lead = (images.ours - images["the authors' weights"]).loc["Set5"]
        without = lead.drop("woman").groupby("scale").mean()
        assert (without - lead.groupby("scale").mean()).abs().max() < 0.02

    def test_barbara_is_the_one_loss(self, text, images):
        lost = images[images.ours <= images.interpolation]
        assert [*lost.index] == [("Set14", "barbara", 3)]
        assert f"the one case of {len(images)} in which it ends below interpolation" in text
        assert f"the {images.index.droplevel('scale').nunique()} images of the paper's four test sets" in text


class TestScaleSweep:
    @pytest.fixture
    def text(self):
        return prose("06_scale_sweep")

    @pytest.fixture
    def ours(self):
        return stored_record("04_evaluate.json")["results"]["table 2"]

    def test_one_network_for_all_scales(self, text, ours):
        behind = [row[scale] - row["2_3_4"] for scale, row in ours["paper"].items()]
        assert f"it is {min(behind):.2f} to {max(behind):.2f} dB behind" in text
        told = {
            who: {scale: row["2_3_4"] - row[scale] for scale, row in table.items()}
            for who in ours
            for table in [stored_record("published.json")[who]["Table 2"]]
        }
        assert abs(told["paper"]["2"]) < 0.05
        assert min(told["paper"]["3"], told["paper"]["4"]) > 0.05
        assert max(told["replication"].values()) < 0

    def test_a_scale_that_was_not_seen(self, text, ours):
        ruined = [table["2"]["interpolation"] - table["2"]["4"] for table in ours.values()]
        assert f"it ends {min(ruined):.0f} to {max(ruined):.0f} dB below interpolation" in text
        little = ours["paper"]["4"]["2"] - ours["paper"]["4"]["interpolation"]
        assert 0 < little < 0.1

    @pytest.mark.parametrize("image", ["img_017", "img_019"])
    def test_where_the_range_ends(self, image):
        """Between the trained scales no gap, a little beyond them a gain, and far below the smallest none."""
        gains = stored_record(f"06_{image}.json")["results"]["gain"]
        ours, few = ({float(scale): gain for scale, gain in found.items()} for found in gains.values())
        assert {scale for scale, gain in ours.items() if gain < 0} == {1.2}
        assert {scale for scale, gain in few.items() if gain < 0} == {1.2, 1.35, 1.5}
        for found, trained in ((ours, (2, 2.5, 3, 3.5, 4)), (few, (2, 3, 4))):
            assert 0.5 * found[4] < found[4.5] < found[4]
            for low, high in itertools.pairwise(trained):
                between = [gain for scale, gain in found.items() if low < scale < high]
                assert between
                assert min(between) > 0.8 * min(found[low], found[high])


class TestGap:
    @pytest.fixture
    def text(self):
        return prose("09_anatomy_of_a_gap")

    @pytest.fixture
    def record(self):
        return stored_record("09_anatomy_of_a_gap.json")["results"]

    def test_the_two_numbers(self, text):
        paper, replication = (published(rules).VDSR["Set5", 2] for rules in ("paper", "replication"))
        assert f"the paper reports {paper:.2f} dB, its replication {replication:.2f} dB" in text
        assert f"Where are the {paper - replication:.1f} dB?" in text

    def test_the_rules_are_nearly_all_of_it(self, text, record):
        steps = [*record["walk"].values()]
        (low, network_low), *_, (high, network_high) = steps
        apart = published("paper").VDSR["Set5", 2] - published("replication").VDSR["Set5", 2]
        assert f"they move interpolation by {high - low:.1f} dB" in text
        assert f"Does the rest, {apart - (high - low):.2f} dB, say" in text
        gains = network_low - low, network_high - high
        assert f"gains {gains[0]:.1f} dB over interpolation in the first row and {gains[1]:.1f} dB" in text
        border = [after - before for before, after in zip(steps[-2], steps[-1], strict=True)]
        told = f"network gains {border[1]:.2f} dB by that on Set5, and interpolation loses {-border[0]:.2f}"
        assert told in text

    def test_the_edge(self, text, record):
        interpolation, network = record["error by pixels from the edge"].values()
        near, inside = sum(network[:2]) / sum(interpolation[:2]), sum(network[2:]) / sum(interpolation[2:])
        assert f"On Set5 it is {near:.2f} and {inside:.2f}." in text

    def test_the_halves_of_the_degradation(self, text, record):
        crossed = [*record["degradations crossed"].values()]  # up and down: blur-blur, blur-bicubic, …
        up = [crossed[2] - crossed[0], crossed[3] - crossed[1]]
        down = [crossed[1] - crossed[0], crossed[3] - crossed[2]]
        assert all(value == pytest.approx(1.4, abs=0.06) for value in up)
        assert all(value == pytest.approx(0.5, abs=0.06) for value in down)
        assert "on Set5 1.4 dB for the way up, and half a decibel for the way down" in text

    def test_the_colour(self, record):
        rgb, stretched, luma = record["colour"].values()
        assert luma - stretched == pytest.approx(1.32, abs=0.005)
        assert stretched - rgb == pytest.approx(0.55, abs=0.005)

    def test_the_table_under_the_replications_rules(self, text):
        measured = psnrs("04_evaluate_replication", "04_evaluate_replication_urban100")
        told = published("replication")
        lead = (measured.ours.round(2) - told.VDSR).round(2)
        assert f"ahead in every row, by {lead.min():.2f} to {lead.max():.2f} dB" in text
        off = (measured.interpolation - told.interpolation).abs().round(2)
        assert f"by up to {off['Set14'].max():.2f} dB on Set14" in text
        assert f"by {off['B100'].min():.2f} to {off['B100'].max():.2f} dB on B100" in text
        gain = (told.VDSR - told.interpolation).xs(2, level="scale")
        others = gain.drop("B100")
        assert (
            f"gains only {gain['B100']:.1f} dB on B100, but {others.min():.1f} to {others.max():.1f} dB"
            in text
        )
        assert f"our lead of {lead['B100', 2]:.2f} dB there" in text
        joint = stored_record("published.json")["replication"]["Table 2"]["2"]["2_3_4"]
        assert f"has {joint:.2f} dB" in text
