"""Verdicts follow rules from the numbers of the runs."""

import math

import pandas as pd
import pytest

from vdsrlib.studies import definitions, verdicts
from vdsrlib.studies.results import UNCHANGED, score_frame


def made_up(study, curves, scale=2, label=None):
    """Scores with a given last PSNR for every value and seed; None has diverged."""
    results = []
    for value, numbers in curves.items():
        (run, *_) = definitions.get_study(study).vary(definitions.STUDIES[study].micro.recipe, value)
        for seed, number in enumerate(numbers):
            recipe = run.recipe.replace(seed=seed)
            psnr = {f"{scale:g}": {"interpolation": 30.0, "model": number}}
            results.append(
                {
                    "label": label or run.label,
                    "value": value,
                    "seed": seed,
                    "scales": [scale],
                    "recipe": recipe.model_dump(mode="json"),
                    "validation": [] if number is None else [{"step": recipe.steps, "psnr": psnr}],
                    "loss": [],
                    "diverged": 10 if number is None else None,
                }
            )
    return score_frame(results)


def joined(*scores):
    return pd.concat(scores, ignore_index=True)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("curves", "status", "words"),
        [
            ({3: (31, 31.1), 5: (32, 31.6)}, "supported", "+0.75 dB (+0.50 to +1.00 over 2 seeds)"),
            ({3: (31, 31.1), 5: (32, 31.0)}, "undecided", "+0.45 dB (-0.10 to +1.00 over 2 seeds)"),
            ({3: (32, 32), 5: (31, 31)}, "not supported", "-1.00 dB"),
            ({3: (31, 31), 4: (33, 33), 5: (32, 32)}, "partly supported", "the best on average: depth 4"),
            ({3: (31, 31), 5: (None, None)}, "not supported", "diverged for 2 of 2 seeds"),
            ({3: (None, None), 5: (None, None)}, "undecided", "diverged for 2 of 2 seeds"),
            ({3: (31,), 5: (32,)}, "supported", "over 1 seed)"),
        ],
        ids=str,
    )
    def test_deeper(self, curves, status, words):
        verdict = definitions.STUDIES["depth"].judge(made_up("depth", curves))
        assert verdict.status == status
        assert words in str(verdict)

    @pytest.mark.parametrize(
        ("curves", "status"),
        [
            ({"none": (None, None), "value:0.01": (31, 31), "norm:0.4": (None, 9)}, "supported"),
            ({"none": (None, 31), "value:0.01": (31, 31)}, "partly supported"),
            ({"none": (31, 31), "value:0.01": (None, 31)}, "not supported"),
        ],
        ids=str,
    )
    def test_clipping(self, curves, status):
        assert definitions.STUDIES["clipping"].judge(made_up("clipping", curves)).status == status

    @pytest.mark.parametrize(
        ("study", "curves"),
        [
            ("clipping", {"none": (None, None)}),
            ("clipping", {"value:0.01": (31, 31), "norm:0.4": (31, 31)}),
            ("scales", {"2": (32, 32), "3": (31, 31)}),
            ("scales", {"2_3": (32, 32)}),
            ("depth", {5: (32, 32)}),
        ],
        ids=str,
    )
    def test_what_was_not_tried_is_undecided(self, study, curves):
        assert definitions.STUDIES[study].judge(made_up(study, curves)).status == "undecided"

    def test_the_joint_network_is_compared_at_its_own_scales(self):
        """A network for 2 and 3 says nothing of 4."""
        scores = made_up("scales", {"4": (32,), "2_3": (31,)}, scale=4)
        assert definitions.STUDIES["scales"].judge(scores) == ("undecided", ())

    def test_residual(self):
        """Above the other one, and where it ends against interpolation, which is 30 dB here."""
        residual = made_up("residual", {0.1: (29, 29.5)})
        other = made_up("residual", {0.1: (27, 28)}, label="non-residual, rate 0.1")
        verdict = definitions.STUDIES["residual"].judge(joined(residual, other))
        assert verdict.status == "supported"
        words = "rate 0.1, epoch 80: residual minus"
        assert f"{words} non-residual: +1.75 dB (+1.50 to +2.00 over 2 seeds): supported" in str(verdict)
        assert f"{words} interpolation: -0.75 dB (-1.00 to -0.50 over 2 seeds)" in str(verdict)

    def test_growth(self):
        judge = definitions.STUDIES["steps"].judge
        growing = judge(
            made_up("steps", {x: (30 + math.log2(x), 30.01 + math.log2(x)) for x in (10, 20, 40, 80)})
        )
        assert growing.status == "supported"
        assert "no limit in sight, to within 0.01 dB; twice 80 would add +0.9" in str(growing)
        flat = judge(made_up("steps", {10: (31, 32), 20: (32, 31), 40: (31, 32), 80: (32, 31)}))
        assert flat.status == "undecided"
        assert "no growth beyond the scatter of 0.50 dB" in str(flat)

    @pytest.mark.parametrize(
        ("joint", "status"),
        [((31.96, 31.99), "supported"), ((31.96, 31.9), "undecided"), ((31, 31), "not supported")],
    )
    def test_one_network_for_all_scales(self, joint, status):
        """As good as: up to 0.05 dB below, which the paper's own is as well."""
        verdict = definitions.STUDIES["scales"].judge(made_up("scales", {"2": (32, 32), "2_3_4": joint}))
        assert verdict.status == status

    def test_the_network_for_all_scales_has_the_most_not_the_longest_name(self):
        combinations = {"2": (32,), "2.25": (29,), "2_3": (32,)}
        verdict = definitions.STUDIES["scales"].judge(made_up("scales", combinations))
        assert verdict.lines == (
            "tested at ×2: ×2, 3 minus ×2 alone: +0.00 dB (+0.00 to +0.00 over 1 seed): supported",
        )

    @pytest.mark.parametrize(
        ("changed", "status"),
        [((31.9, 31.8), "supported"), ((31.9, 32.1), "undecided"), ((33, 32.5), "not supported")],
    )
    def test_ingredients(self, changed, status):
        judge = definitions.STUDIES["ingredients"].judge
        as_it_is = made_up("ingredients", {"loss=mse": (32, 32)})
        verdict = judge(joined(as_it_is, made_up("ingredients", {"loss=mse": changed}, label="loss=mse")))
        assert verdict.status == status
        assert verdict.lines[0].startswith("loss=mse: ×2 ")

    def test_ingredients_that_cannot_be_compared(self):
        """The recipe as it is diverged, or failed, for every seed: said, rather than a number."""
        judge = definitions.STUDIES["ingredients"].judge
        lost = made_up("ingredients", {"loss=mse": (None, None)})
        other = made_up("ingredients", {"loss=mse": (31, None)}, label="loss=mse")
        for scores in (joined(lost, other), other):
            verdict = judge(scores)
            assert verdict.status == "undecided"
            assert "no run of the recipe as it is came to its end" in str(verdict)
        found = verdicts.compare(joined(lost, other), "loss=mse", UNCHANGED, 2)
        assert found.cell == "diverged for 2 of 2 seeds"
        assert verdicts.compare(other, "loss=mse", UNCHANGED, 2).cell == "no runs"
