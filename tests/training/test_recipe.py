"""The fields of a recipe: what each may be, and how it reads."""

import json
import pickle

import pytest
from pydantic import ValidationError

from training.runs import TINY
from vdsrlib.errors import InputError
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.recipes import RECIPES, get_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_in_words(name):
    """Every field has a meaning; what has no effect is no value."""
    recipe = RECIPES[name]
    words = recipe.formatted()
    assert [*words] == [*Recipe.model_fields]
    assert all(field.description for field in Recipe.model_fields.values())
    assert (words["clip_theta"] == "–") == (recipe.clip == "none")
    assert (words["decay_factor"] == "–") == (recipe.decay_steps == 0)
    scales = {"best": "1.5, 2, 2.5, 3, 3.5, 4", "photo": "1, 2, 3, 4"}
    assert words["scales"] == scales.get(name, "2, 3, 4")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protocol", "bicubic"),
        ("scales", "1_2"),
        ("scales", []),
        ("optimizer", "adamw"),
        ("clip", "element"),
        ("loss", "absolute"),
        ("precision", "float16"),
        ("orientations", 2),
        ("depth", 1),
        ("width", 0),
        ("patch_size", 2),
        ("patch_size", 41.0),
        ("batch_size", 0),
        ("steps", 0),
        ("steps", True),
        ("decay_steps", -1),
        ("seed", -1),
        ("seed", 10**20),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", "fast"),
        ("decay_factor", float("inf")),
        ("clip_theta", -0.01),
        ("ema", 1.5),
        ("weight_decay", -1.0),
        ("last_gain", float("nan")),
    ],
)
def test_impossible_values(field, value):
    with pytest.raises(InputError, match=r"scale|protocol|" + field):
        get_recipe("demo", **{field: value})


@pytest.mark.parametrize("factor", [1e-200, 1e-2, 1e200])
def test_rate_that_leaves_the_numbers(factor):
    with pytest.raises(InputError, match="decay_factor must keep the learning rate within"):
        get_recipe("paper", decay_steps=1, decay_factor=factor, steps=400)
    assert get_recipe("demo", decay_factor=factor).decay_steps == 0


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"learning_rate": -1}, "learning_rate must be greater than 0, got -1"),
        ({"loss": "l2"}, "loss must be 'sse', 'mse' or 'l1', got 'l2'"),
        ({"scales": "1_2"}, "scales must be above 1 where damage is none, got 1: nothing would be learnt"),
        ({"damage": "photo"}, "damage photo is drawn anew for every patch: degrade_patch must be True"),
        (
            {"damage": "photo", "degrade_patch": True, "protocol": "replication"},
            "damage photo is done to luma: protocol must be paper, got replication",
        ),
        ({"ema": True}, "ema must be a valid number, got True"),
        ({"patch_size": 2.5}, "patch_size must be a valid integer, got 2.5"),
        ({"rate": 1}, "a recipe has no field rate; its fields are name, protocol, .*, seed"),
        (
            {"width": 0, "depth": 1},
            "depth must be greater than .*, got 1; width must be .*, got 0",
        ),
    ],
    ids=str,
)
def test_one_sentence_says_what_is_wrong(fields, sentence):
    with pytest.raises(InputError, match=f"^{sentence}$"):
        TINY.replace(**fields)


def test_numbers_written_as_text():
    """YAML reads 1e-3 as text, and papermill's ``-r`` passes any number as text."""
    assert TINY.replace(learning_rate="1e-3") == TINY
    assert TINY.replace(steps=str(TINY.steps)) == TINY


def test_a_recipe_is_a_value():
    """Studies hash recipes, and send them to other processes."""
    again = pickle.loads(pickle.dumps(TINY))
    assert again == TINY
    assert hash(again) == hash(TINY)
    assert Recipe(**json.loads(json.dumps(TINY.model_dump(mode="json")))) == TINY
    with pytest.raises(ValidationError, match="frozen"):
        TINY.seed = 1
