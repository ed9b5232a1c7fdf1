"""``~`` is the home folder wherever a path is written or read."""

import json

import pytest

import vdsrlib
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.training.recipes import get_recipe
from vdsrlib.training.trainer import Options, train
from vdsrlib.training.validation import Validation
from vdsrlib.utils.atomic import atomic_files, atomic_folder, check_writable, write_json
from vdsrlib.utils.hashing import hash_file
from vdsrlib.utils.paths import output_folder, user_path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder; the test works elsewhere, and leaves nothing there."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(elsewhere)
    yield home
    assert not list(elsewhere.iterdir())


def test_nobodys_home_is_left_as_it_is(home):
    assert str(user_path("~no-such-user/a")) == "~no-such-user/a"


def test_a_name_of_digits_is_a_name(home):
    assert str(user_path(2024)) == "2024"


def test_a_folder_for_results_may_be_new_but_not_a_file(home):
    (home / "notes.txt").touch()
    assert output_folder("~/new/deeper", "run_path") == home / "new/deeper"
    for name in ("~/notes.txt", "~/notes.txt/deeper"):
        with pytest.raises(InputError, match=r"^run_path must be a folder, got .*notes.txt is a file$"):
            output_folder(name, "run_path")
    assert [path.name for path in home.iterdir()] == ["notes.txt"]


def test_files(home, photo):
    save_image("~/new/a.png", photo)
    assert (read_image("~/new/a.png") == photo).all()
    assert hash_file("~/new/a.png") == hash_file(home / "new/a.png")
    write_json("~/a.json", [1])
    assert json.loads((home / "a.json").read_text()) == [1]
    with atomic_files("~/files", replace=False) as folder:
        (folder / "a").touch()
    with atomic_folder("~/folder"):
        pass
    check_writable("~/writable")
    assert {path.name for path in home.iterdir()} == {"new", "a.json", "files", "folder", "writable"}


def test_networks(home, photo, call_cli):
    save_image("~/photos/a.png", photo)
    recipe = get_recipe("demo", depth=3, width=4, batch_size=2, patch_size=16, scales=(2.0,), steps=2)
    images = ("photos", [home / "photos/a.png"])
    options = Options(logs_path="~/logs", store="~/store")
    run = train(
        recipe, "~/ckpt", images, validation=Validation(images, every=0), device="cpu", options=options
    )
    assert run.weights.parent == home / "ckpt"
    assert (home / "logs").is_dir()
    assert (home / "store").is_dir()
    weights = f"~/ckpt/{run.weights.name}"
    net = vdsrlib.load(weights)
    vdsrlib.upscale_file(net, "~/photos/a.png", "~/big.png", scale=2)
    assert read_image(home / "big.png").shape[0] == 2 * photo.shape[0]
    scores = vdsrlib.evaluate(net, ["~/photos/a.png"], scales=2)
    assert list(scores["image"]) == ["a", "a"]
    enlarge, look = ("upscale", "~/photos", "~/bigger"), ("features", "~/photos/a.png", "~/maps")
    for command, source, target in (enlarge, look):
        status, _, error = call_cli(command, source, target, "--scale", 2, "--weights", weights)
        assert status == 0, error
        assert user_path(target).is_dir()
