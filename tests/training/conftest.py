"""Fixtures of the tests of training: images, runs in this process, and runs by the command line."""

import subprocess
import sys

import pytest
import torch

from training.runs import TINY, reporting
from training.sets import PATCH
from vdsrlib.datasets.catalog import embedded
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.protocol import Protocol
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.run_state import Run
from vdsrlib.training.trainer import Options, train
from vdsrlib.training.validation import Validation


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Layers this small are faster without the others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def images(tmp_path_factory, photo, grey_photo):
    """A folder of two training images, with a Set5 of one."""
    folder = tmp_path_factory.mktemp("images")
    save_image(folder / "a.png", photo)
    save_image(folder / "b.png", grey_photo)
    save_image(folder / "Set5" / "c.png", read_image(embedded(["chelsea.png"])[0])[90:138, 150:198])
    return folder


@pytest.fixture(name="train")
def train_into(tmp_path, images):
    """Train into tmp_path/NAME; validates at the end only, and reports to a function."""

    def run(
        recipe: Recipe = TINY,
        name: str = "run",
        data=images,
        report=lambda _: None,
        validation_set="Set5",
        validate_every=0,
        init=None,
        device="cpu",
        **options,
    ) -> Run:
        with reporting(report):
            return train(
                recipe,
                tmp_path / name,
                data,
                validation=Validation(validation_set, validate_every),
                init=init,
                device=device,
                options=Options(**{"save_every": 10, "logs_path": tmp_path / f"{name}-logs", **options}),
            )

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory, images):
    """(run, its folder, its log folder, lines it reported)."""
    folder, lines = tmp_path_factory.mktemp("finished"), []
    with reporting(lines.append):
        run = train(
            TINY.replace(steps=85, learning_rate=3e-3),
            folder / "run",
            images,
            validation=Validation(every=40),
            device="cpu",
            options=Options(save_every=30),
        )
    return run, folder / "run", folder / "run" / "logs", lines


@pytest.fixture
def command(tmp_path, images):
    """The command line of a short run into tmp_path/NAME."""

    def words(name: str, **changes) -> list[str]:
        options = {
            "recipe": "demo",
            "data-path": images,
            "ckpt-path": tmp_path / name,
            "validate-every": 0,
            "scales": 2,
            "depth": 3,
            "width": 4,
            "patch-size": 16,
            "batch-size": 2,
            "steps": 300,
            "device": "cpu",
            **changes,
        }
        typed = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
        return [sys.executable, "-m", "vdsrlib", "train", *typed]

    return words


@pytest.fixture
def quiet(cli_environment):
    return {"env": {**cli_environment, "OMP_NUM_THREADS": "1"}, "stdout": subprocess.PIPE, "text": True}


@pytest.fixture(scope="session")
def paths(tmp_path_factory, photo, grey_photo):
    """Three photographs of different sizes, one of them grey."""
    folder = tmp_path_factory.mktemp("images")
    cat = read_image(embedded(["chelsea.png"])[0])[90:145, 150:221]
    for name, image in {"a": photo, "b": cat, "c": grey_photo[:, :64]}.items():
        save_image(folder / f"{name}.png", image)
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def make(paths):
    """Make a training set of the three, or of others, for a protocol, scales and other fields."""

    def training(protocol: Protocol, scales, paths=paths, store=None, skip_broken=False, **fields):
        settings = {"patch_size": PATCH, "seed": 3, **fields}
        recipe = Recipe(name="test", protocol=protocol.name, scales=scales, **settings)
        return TrainingSet(recipe, paths, store=store, skip_broken=skip_broken)

    return training
