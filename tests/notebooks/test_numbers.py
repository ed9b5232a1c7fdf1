"""Numbers in the chapters' prose are those of the stored records: a class a chapter."""

import itertools
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from vdsrlib.datasets.catalog import list_images
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.imaging.crops import modcrop_length
from vdsrlib.imaging.image_file import read_image
from vdsrlib.protocol import REPLICATION_TO_PAPER
from vdsrlib.records import published_scores, stored_record, stored_scores
from vdsrlib.studies import definitions, results, verdicts
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.recipes import RECIPES, get_recipe

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
        assert f"where are the {paper - replication:.1f} dB?" in prose("00_start_here")

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
        measured = psnrs("04_evaluate", "04_evaluate_urban100")["the authors' weights"]
        off = (measured - published("paper").VDSR).abs().sort_index()
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

    def test_interpolation_walks_as_stored(self, data, record):
        """The record is of Set5, and the rules of today are those that made it."""
        for step, rules in REPLICATION_TO_PAPER.items():
            psnr = mean_scores(evaluate(None, data / "Set5", 2, protocol=rules)).psnr.item()
            assert psnr == pytest.approx(record["walk"][step][0], abs=1e-6)

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


def final(name):
    """PSNR by scale at the end of a stored training, and its dead maps."""
    record = stored_record(f"{name}.json")
    last = record["validation"][-1]
    assert last["step"] == record["recipe"]["steps"]
    return {scale: found["model"] for scale, found in last["psnr"].items()}, sum(
        last.get("dead", {}).values()
    )


class TestChapter3:
    def test_sixteen_bits(self):
        twins = [stored_record(f"03_precision_{name}.json") for name in ("float32", "bfloat16")]
        assert [twin["recipe"].pop("precision") for twin in twins] == ["float32", "bfloat16"]
        assert twins[0]["recipe"] == twins[1]["recipe"]
        assert twins[0]["init"]["sha256"] == twins[1]["init"]["sha256"]
        exact, rounded = (twin["validation"][-1]["psnr"] for twin in twins)
        assert set(exact) == {"2", "3", "4"}
        assert all(rounded[scale]["model"] > exact[scale]["model"] - 0.02 for scale in exact)
        assert twins[1]["seconds"] < 2 / 3 * twins[0]["seconds"]
        text = prose("03_train")
        assert "It costs less than 0.02 dB, and saves more than a third of the time" in text
        assert f"for {twins[0]['recipe']['steps']} steps" in text


class TestAppendixC:
    STAGES = ("training/vdsr-first", "training/vdsr-second", "training/vdsr")

    def test_the_work(self):
        records = [stored_record(f"{name}.json") for name in self.STAGES]
        recipes = [Recipe(**record["recipe"]) for record in records]
        share = sum(recipe.flops for recipe in recipes) / RECIPES["paper"].flops
        minutes = sum(record["seconds"] for record in records) / 60
        text = prose("appendix/C_shipped_weights")
        assert f"took {share:.0f} times that work, and {minutes:.0f} minutes" in text
        assert f"also {100 * (recipes[1].steps / recipes[0].steps - 1):.0f} % longer" in text
        assert recipes[2].learning_rate == pytest.approx(recipes[1].learning_rate / 5)

    def test_what_each_training_brought(self):
        first, second, last = (final(name)[0] for name in self.STAGES)
        added = {scale: second[scale] - first[scale] for scale in first}
        text = prose("appendix/C_shipped_weights")
        assert f"added {min(added.values()):.2f} to {max(added.values()):.2f} dB on Set5, most at ×3" in text
        assert max(added, key=added.get) == "3"
        assert [round(last[scale] - second[scale], 2) + 0 for scale in "34"] == [0.03, 0.01]
        assert last["2"] - second["2"] < 0.005
        published = stored_record("published.json")["paper"]["Table 3"]["Set5"]
        for scale in "234":
            assert first[scale] == pytest.approx(published[scale]["VDSR"][0], abs=0.03)
        larger = final("03_larger_patches")[0]
        assert all(larger[scale] <= last[scale] + 0.005 for scale in last)

    def test_dead_maps(self):
        without, reinitialised = (
            [row["dead"] for row in stored_record(f"{name}.json")["validation"]]
            for name in ("03_without_reinitialisation", "training/vdsr-first")
        )
        lost = [dead["relu.2"] for dead in without]
        assert lost == sorted(lost)
        assert lost[-1] / 64 == pytest.approx(2 / 3, abs=0.05)
        counts = [sum(dead.values()) for dead in reinitialised]
        assert (max(counts), counts[-1]) == (4, 0)

    def test_the_network_for_one_scale_is_above_those_that_share_its_steps(self):
        others = {"2": ("2_3", "2_4", "2_3_4"), "3": ("2_3", "3_4", "2_3_4"), "4": ("2_4", "3_4", "2_3_4")}
        above = [
            (rules, scale, other)
            for rules in ("paper", "replication")
            for scale, shared in others.items()
            for other in shared
            if final(f"training/{rules}-{other}")[0][scale] > final(f"training/{rules}-{scale}")[0][scale]
        ]
        assert above == [("replication", "3", "3_4")]


class TestAppendixD:
    def test_where_the_recipe_ends(self):
        text = prose("appendix/D_paper_recipe")
        paper, _ = final("03_recipe_paper")
        short, _ = final("training/paper-2_3_4")
        published = stored_record("published.json")["paper"]
        table_3 = published["Table 3"]["Set5"]["2"]["VDSR"][0]
        assert f"ends at {paper['2']:.2f} dB, where the paper reports {table_3:.2f}" in text
        rows = {row["step"]: row["psnr"] for row in stored_record("03_recipe_paper.json")["validation"]}
        assert f"After 1,992, the run above was at {rows[1992]['2']['model']:.2f} dB" in text
        for scale in "234":
            assert paper[scale] < rows[6972][scale]["model"] + 0.03  # "its last 3,000 steps brought nothing"
        assert short["2"] - paper["2"] == pytest.approx(0.5, abs=0.1)
        work = Recipe(**stored_record("training/paper-2_3_4.json")["recipe"]).flops / RECIPES["paper"].flops
        assert work == pytest.approx(1 / 3, abs=0.04)

    def test_what_it_lacks_is_length(self):
        """Four times the steps gain, a larger theta kills maps, and the rest moves little."""
        names = ("03_paper_theta_1e-4", "03_paper_quarter", "03_recipe_paper")
        lengths = [final(name)[0] for name in names]
        gains = {
            scale: [longer[scale] - shorter[scale] for shorter, longer in itertools.pairwise(lengths)]
            for scale in "234"
        }
        assert [[round(gain, 1) for gain in gains[scale]] for scale in "24"] == [[1.8, 1.0], [0.7, 0.3]]
        assert all(gain > 0.2 for pair in gains.values() for gain in pair)
        for name in ("03_paper_theta_3e-5", "03_paper_batch_sum"):
            for scale in "234":
                assert final(name)[0][scale] == pytest.approx(lengths[0][scale], abs=0.3)
        silent, dead = final("03_paper_theta_1e-3")
        assert dead > 19 * 64 * 2 / 3
        interpolation = stored_record("03_paper_theta_1e-3.json")["validation"][-1]["psnr"]
        for scale in "234":
            assert silent[scale] == pytest.approx(interpolation[scale]["interpolation"], abs=0.01)

    def test_the_papers_patches(self, data):
        """Those of 41 x 41 without overlap in its 291 images, which are cropped for each scale."""

        def across(side):
            return min(modcrop_length(side, scale) for scale in (2, 3, 4)) // 41

        paths = [path for name in ("T91", "BSD200") for path in list_images(data / name)]
        shapes = [read_image(path).shape for path in paths]
        count = sum(across(rows) * across(columns) for rows, columns, *_ in shapes)
        text = prose("appendix/D_paper_recipe")
        assert f"hold {count:,} patches" in text
        pairs = count * 3 * 8
        assert f"{pairs:,}".replace(",", "{,}") + r" \text{ pairs}" in text
        assert 9960 * 64 / pairs == pytest.approx(1.5, abs=0.05)
        assert f"would be {80 * pairs // 64:,} iterations" in text


class TestAppendixE:
    def test_one_ingredient_at_a_time(self):
        scores = results.score_frame(stored_record("08_ingredients.json")["results"]["results"])

        def effect(change):
            """What a change adds to the base, by scale, in dB."""
            found = (verdicts.compare(scores, change, results.UNCHANGED, scale) for scale in (2, 3, 4))
            return [round(float(np.mean(each.differences)), 2) for each in found]

        adam = [effect(f"optimizer=adam+learning_rate={rate}") for rate in (0.001, 0.0003)]
        assert [-max(pair) for pair in zip(*adam, strict=True)][1:] == [0.17, 0.27]
        assert abs(max(adam[0][0], adam[1][0])) < 0.05
        assert effect("last_gain=1") == [-0.13, -0.43, -0.43]
        assert [effect("ema=0")[i] for i in (0, 2)] == [-0.24, 0.07]
        assert effect("loss=mse") == [-0.52, 0.01, 0.15]
        assert effect("hard_mining_candidates=1") == [0.22, -0.09, -0.17]
        small = ("learning_rate=0.004", "orientations=1", "rescale_factors=1_0.8_0.6", "precision=bfloat16")
        for change in (*small, "scales=1.5_2_2.5_3_3.5_4"):
            assert max(map(abs, effect(change))) < 0.1


class TestChapter8:
    @pytest.fixture
    def scores(self):
        """The last scores of a stored grid: a row a variant and seed."""

        def last(name):
            return results.at_epoch(
                results.score_frame(stored_record(f"08_{name}.json")["results"]["results"])
            )

        return last

    def test_the_patches_are_as_large_as_the_deepest_network_sees(self):
        """In the study of depth, stored and micro: else the deep networks would learn from padding."""
        stored = stored_record("08_depth.json")["results"]["results"]
        micro = definitions.build_grid("depth", "micro")
        for recipe in [*(run["recipe"] for run in stored), *(run.recipe.model_dump() for run in micro)]:
            assert recipe["patch_size"] >= 2 * recipe["depth"] + 1

    def test_the_plain_networks_end_below_interpolation_and_the_others_above(self, scores):
        ends = scores("residual")
        assert f"{ends.interpolation.iloc[0]:.2f} dB" in prose("08_paper_studies")
        plain = ends.label.str.startswith("non-residual")
        assert ends[plain].gain.max() < 0 < ends[~plain].gain.min()

    def test_depth_is_undecided(self, scores):
        verdict = definitions.STUDIES["depth"].judge(scores("depth"))
        assert verdict.status == "undecided"
        assert all("undecided" in line for line in verdict.lines)

    def test_where_the_clipping_rules_end(self, scores):
        ends = scores("clipping")
        assert ends[ends.label == "none"].diverged.all()
        ends = ends[ends.label != "none"]
        assert not ends.diverged.any()
        gains = ends.groupby(["label", "scale"]).gain.mean().unstack()
        assert gains.loc["norm, θ = 0.4"].max() < -10
        assert [*gains.index[(gains > 0.1).any(axis=1)]] == ["value, θ = 0.0001"]

    def test_the_network_for_all_scales_is_never_the_worst(self, scores):
        """And at its own scale, a network for one scale is the best."""
        means = scores("scales").groupby(["scale", "label"]).gain.mean().unstack()
        for scale, row in means.iterrows():
            assert row.idxmax() == f"×{scale:g}"
            assert row.idxmin() != "×2, 3, 4"

    def test_what_one_network_for_all_scales_costs(self):
        """At full size about 0.2 dB; in the paper 0.04 dB at ×2, and gains elsewhere."""
        ours = stored_record("04_evaluate.json")["results"]["table 2"]["paper"]
        theirs = stored_record("published.json")["paper"]["Table 2"]
        for scale in "234":
            assert ours[scale]["2_3_4"] - ours[scale][scale] == pytest.approx(-0.2, abs=0.06)
        assert theirs["2"]["2_3_4"] - theirs["2"]["2"] == pytest.approx(-0.04)
        assert all(theirs[scale]["2_3_4"] > theirs[scale][scale] for scale in "34")


def test_appendix_f_has_the_parameters_of_every_chapter():
    """Where this fails: make notebooks CHAPTERS=appendix/F_reference."""
    appendix = nbformat.read(NOTEBOOKS / "appendix" / "F_reference.ipynb", 4)
    outputs = [output for cell in appendix.cells for output in cell.get("outputs", ())]
    table = next(
        text for o in outputs if "00_start_here" in (text := o.get("data", {}).get("text/plain", ""))
    )
    listed = {tuple(line.split()[:2]) for line in table.splitlines()[1:]}
    for path in NOTEBOOKS.glob("[0-9]*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            if "parameters" in cell.metadata.get("tags", ()):
                names = re.findall(r"^(\w+): ", cell.source, re.MULTILINE)
                assert {(path.stem, name) for name in names} <= listed


class TestChapter10:
    @pytest.fixture
    def kodak(self):
        """PSNR on Kodak24: a function of the damage, its strength, the scale and the method."""
        rows = pd.DataFrame(stored_record("10_photographs.json")["results"]["scores"])
        rows = rows[rows["set"] == "Kodak24"].set_index(["damage", "strength", "scale", "method"])
        return lambda *case: rows.psnr[case]

    @pytest.mark.parametrize(
        ("damage", "strength", "words"),
        [
            ("jpeg", 75, "At quality 75"),
            ("noise", 5, "With noise of 5 grey levels"),
            ("noise", 0, "Without any"),
        ],
    )
    def test_three_points_of_the_curves(self, kodak, damage, strength, words):
        psnr = {name: kodak(damage, strength, 2, name) for name in ("interpolation", "VDSR", "vdsr-photo")}
        sentence = "{}, interpolation has {:.2f} dB, VDSR {:.2f} and `vdsr-photo` {:.2f}"
        assert sentence.format(words, *psnr.values()) in prose("10_photographs")

    def test_what_vdsr_photo_gains(self, kodak):
        """Nearly a decibel on a JPEG of quality 75, more on noise, at ×2; and at ×1 it removes both."""
        for damage, strength, least in (("jpeg", 75, 0.9), ("noise", 5, 1.3)):
            assert (
                kodak(damage, strength, 2, "vdsr-photo") > kodak(damage, strength, 2, "interpolation") + least
            )
        for damage, strength in (("jpeg", 30), ("jpeg", 75), ("noise", 10)):
            for scale in (1, 2, 3, 4):
                best = max(kodak(damage, strength, scale, name) for name in ("interpolation", "VDSR"))
                assert kodak(damage, strength, scale, "vdsr-photo") > best

    def test_how_long_the_weights_were_trained(self):
        names = "vdsr-photo-first", "vdsr-photo-second", "vdsr-photo"
        records = [stored_record(f"training/{name}.json") for name in names]
        steps = [record.get("stopped_after_step", record["recipe"]["steps"]) for record in records]
        recipes = [Recipe(**record["recipe"]) for record in records]
        assert {(recipe.batch_size, recipe.patch_size) for recipe in recipes} == {(16, 48)}
        work = sum(recipe.flops * made / recipe.steps for recipe, made in zip(recipes, steps, strict=True))
        share = work / get_recipe("photo").flops
        text = prose("10_photographs")
        assert f"**interim**: {sum(steps):,} steps of 16 patches of 48 × 48 pixels" in text
        assert f"{100 * share:.1f} % of the recipe's work" in text
