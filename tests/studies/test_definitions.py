"""Grids: the paper's experiments, values in every spelling, and what cannot be."""

import json
from pathlib import Path

import pytest

from vdsrlib.errors import InputError
from vdsrlib.studies import definitions


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
