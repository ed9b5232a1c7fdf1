"""The recipes are what they are called."""

import json
from itertools import pairwise

import pytest

from training.runs import TINY
from vdsrlib.errors import InputError
from vdsrlib.models import checkpoint
from vdsrlib.records import RESULTS
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.recipes import RECIPES, get_recipe


def test_paper():
    """Section 5.2: depth 20, batch 64, momentum 0.9, weight decay 0.0001, rate 0.1 cut tenfold thrice."""
    recipe = RECIPES["paper"]
    assert (recipe.protocol, recipe.scales, recipe.depth, recipe.width) == ("paper", (2, 3, 4), 20, 64)
    assert (recipe.patch_size, recipe.batch_size, recipe.random_crops, recipe.orientations) == (
        41,
        64,
        False,
        8,
    )
    assert (recipe.optimizer, recipe.weight_decay, recipe.clip) == ("sgd", 1e-4, "value")
    assert recipe.last_gain == 1
    for quarter, rate in enumerate((0.1, 0.01, 0.001, 0.0001)):
        for step in (quarter * 2490, (quarter + 1) * 2490 - 1):
            assert recipe.lr_at(step) == pytest.approx(rate)
    assert recipe.steps == 4 * 2490


def test_seed():
    """--scaling_factors=2_3_4 --stop_training_at_k_step=25600 --image_size=128 --batch_size=64 …"""
    recipe = RECIPES["replication"]
    assert (recipe.protocol, recipe.scales, recipe.steps) == ("replication", (2, 3, 4), 25_600)
    assert (recipe.patch_size, recipe.batch_size, recipe.depth) == (128, 64, 20)
    assert (recipe.optimizer, recipe.learning_rate) == ("adam", 0.00005)
    assert (recipe.decay_steps, recipe.decay_factor) == (2560, 0.9)
    assert recipe.clip == "none"
    for step in (0, 2559, 2560, 12_800, 25_599):
        assert recipe.lr_at(step) == pytest.approx(5e-5 * 0.9 ** (step // 2560))


@pytest.mark.parametrize("name", ["best", "photo", "demo"])
def test_cosine(name):
    recipe = RECIPES[name]
    rates = [recipe.lr_at(step) for step in range(recipe.steps)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(recipe.learning_rate, rel=0.05)
    assert rates[0] > 0
    assert all(earlier < later for earlier, later in pairwise(rates[: peak + 1]))
    assert all(earlier > later for earlier, later in pairwise(rates[peak:]))
    assert 0 < rates[-1] < 1e-3 * recipe.learning_rate


def test_changes():
    recipe = get_recipe("demo", scales=234, steps=7, batch_size=None)
    assert (recipe.scales, recipe.steps) == ((2, 3, 4), 7)
    assert recipe.batch_size == RECIPES["demo"].batch_size
    assert recipe.name == "demo"
    names = "paper, replication, best, photo or demo"
    with pytest.raises(InputError, match=f"unknown recipe 'dmo'; choose {names}"):
        get_recipe("dmo")


RECORDS = [
    path
    for folder in ("", "training")
    for path in sorted((RESULTS / folder).glob("*.json"))
    if "recipe" in json.loads(path.read_text(encoding="utf-8"))
]


class TestFiles:
    def test_toml(self, tmp_path):
        (tmp_path / "mine.toml").write_text('loss = "l1"\nscales = [2, 3]\nlearning_rate = 1\n')
        recipe = get_recipe(tmp_path / "mine.toml", steps=7)
        assert recipe == Recipe(name="mine", loss="l1", scales=(2, 3), learning_rate=1.0, steps=7)

    def test_finished_run(self, finished):
        _, folder, _, _ = finished
        assert get_recipe(str(folder / "run.json")) == TINY.replace(steps=85, learning_rate=3e-3)

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("a.toml", "loss = l1", "a.toml is no TOML file"),
            ("a.toml", b"\xff\xfe", "a.toml is no TOML file"),
            ("a.toml", "stepz = 3", "a.toml: a recipe has no field stepz"),
            ("a.toml", 'name = "x"\nsteps = 0', "a.toml: steps must be greater than or equal to 1, got 0"),
            ("run.json", "{", "run.json is no run.json of a training"),
            ("run.json", "[]", "run.json is no run.json of a training"),
            ("run.json", "{}", "run.json is no run.json of a training"),
            ("run.json", '{"recipe": "published"}', "run.json is no run.json of a training"),
            ("run.json", None, "run.json cannot be read"),
        ],
    )
    def test_that_hold_no_recipe(self, tmp_path, name, content, sentence):
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError, match=sentence):
            get_recipe(tmp_path / name)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_stored_record_holds_a_recipe(path):
    """As it was run: it can be read, and says the same again."""
    stored = json.loads(path.read_text())["recipe"]
    recipe = Recipe(**stored)
    assert {name: value for name, value in recipe.model_dump(mode="json").items() if name in stored} == stored


@pytest.mark.parametrize("path", checkpoint.shipped_weights(), ids=lambda path: path.stem)
def test_every_shipped_network_holds_its_recipe(path):
    loaded = checkpoint.load(path, "cpu")
    recipe = Recipe(**loaded.info["recipe"])
    assert (recipe.depth, recipe.width) == (loaded.model.depth, loaded.model.width)
    assert recipe.protocol == loaded.protocol.name
