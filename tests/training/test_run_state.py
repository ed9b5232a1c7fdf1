"""States, records and folders of runs: what is refused, and what is kept."""

import shutil

import pytest
import torch

from training.runs import TINY, identical, left, weights
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import save_image
from vdsrlib.training import network, step


def interrupt_at(number: int):
    def report(line: str) -> None:
        if line.startswith(f"step {number}/"):
            raise KeyboardInterrupt

    return report


class TestRefused:
    def test_another_recipe_in_the_same_folder(self, train):
        run = train()
        content = run.weights.read_bytes()
        with pytest.raises(InputError, match="another width, learning_rate; give another folder"):
            train(TINY.replace(width=5, learning_rate=2e-3))
        assert run.weights.read_bytes() == content

    def test_another_validation_set(self, train, tmp_path, images):
        folder = shutil.copytree(images, tmp_path / "copy")
        shutil.copytree(folder / "Set5", folder / "Set14")
        train(data=folder)
        with pytest.raises(InputError, match="another validation_set; give another folder"):
            train(data=folder, validation_set="Set14")

    def test_a_folder_in_which_another_process_trains(self, train):
        def second(line: str) -> None:
            if line.startswith("step 20/"):
                with pytest.raises(InputError, match=r"Another process is training in .*run; wait, or give"):
                    train()
                refused.append(line)

        refused = []
        run = train(report=second)
        assert refused
        assert identical(weights(run), weights(train(name="alone")))

    @pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 cut"])
    def test_damaged_state(self, train, tmp_path, content):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "state.pt").write_bytes(content)
        with pytest.raises(InputError) as caught:
            train()
        message = str(caught.value)
        assert "state.pt is damaged" in message
        assert "remove it to start again" in message
        assert "weights_only=False" not in message  # PyTorch's advice would run what is in the file

    def test_state_of_another_version(self, train):
        """Whose optimizer kept something else. A finished run needs none of it."""
        run = train()
        path = run.weights.parent / "state.pt"
        torch.save({**torch.load(path, weights_only=True), "optimizer": [{"param_groups": []}]}, path)
        assert train().history == run.history
        run.weights.unlink()
        with pytest.raises(InputError, match=r"state\.pt is of another version .* remove it to start again"):
            train()

    def test_another_image_under_the_same_name(self, train, tmp_path, images, photo):
        folder = shutil.copytree(images, tmp_path / "copy")
        train(data=folder)
        save_image(folder / "a.png", photo[::-1])
        with pytest.raises(InputError, match="another images; give another folder"):
            train(data=folder)

    def test_broken_image(self, train, tmp_path, images):
        folder = shutil.copytree(images, tmp_path / "copy")
        (folder / "c.png").write_bytes((folder / "a.png").read_bytes()[:900])
        with pytest.raises(InputError, match=r"c\.png cannot be read"):
            train(data=folder)
        lines = []
        run = train(data=folder, skip_broken=True, report=lines.append)
        assert "Left out, cannot be read: c.png." in lines
        assert identical(weights(run), weights(train(name="whole")))

    def test_patch_larger_than_all_images(self, train, tmp_path):
        with pytest.raises(InputError, match="None of the 2 images is as large as a patch of 500 x 500"):
            train(TINY.replace(patch_size=500))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("which", ["ckpt", "logs"])
    def test_file_in_place_of_a_folder(self, train, tmp_path, which):
        (tmp_path / "file").write_text("")
        folders = {name: tmp_path / ("file" if name == which else name) for name in ("ckpt", "logs")}
        lines = []
        with pytest.raises(InputError, match="file"):
            train(name=folders["ckpt"].name, logs_path=folders["logs"], report=lines.append)
        assert not any(line.startswith("step") for line in lines)


class TestSomebodyElses:
    """Weights are never replaced by a run that did not make them."""

    def test_finished_run_without_its_state(self, train, tmp_path):
        """run.json is enough to know it by."""
        first = train()
        (tmp_path / "run" / "state.pt").unlink()
        content, lines = first.weights.read_bytes(), []
        again = train(report=lines.append)
        assert (again.history, again.validation) == (first.history, first.validation)
        assert "holds this run, finished" in lines[0]
        with pytest.raises(InputError, match="run with another seed; give another folder"):
            train(TINY.replace(seed=5))
        assert first.weights.read_bytes() == content

    def test_other_images_without_a_state(self, train, tmp_path, images):
        train()
        (tmp_path / "run" / "state.pt").unlink()
        folder = shutil.copytree(images, tmp_path / "copy")
        (folder / "a.png").unlink()
        with pytest.raises(InputError, match="run with another images; give another folder"):
            train(data=folder)

    def test_weights_alone(self, train, tmp_path):
        other = train(name="other")
        (tmp_path / "run").mkdir()
        target = shutil.copy(other.weights, tmp_path / "run")
        with pytest.raises(InputError, match=r"weights\.safetensors has no run\.json that says whose"):
            train()
        assert identical(weights(target), weights(other))

    def test_weights_beside_an_interrupted_run(self, train, tmp_path):
        other = train(TINY.replace(seed=3), name="other")
        with pytest.raises(KeyboardInterrupt):
            train(report=interrupt_at(20))
        shutil.copy(other.weights, tmp_path / "run")
        with pytest.raises(InputError, match=r"weights\.safetensors is not of the run in its folder"):
            train()

    def test_run_that_ended_before_it_wrote_its_record(self, train, tmp_path):
        run = train()
        wanted = weights(run)
        (tmp_path / "run" / "run.json").unlink()
        assert identical(weights(train()), wanted)
        assert (tmp_path / "run" / "run.json").exists()

    @pytest.mark.parametrize("content", ["", "[]", '{"recipe": "mine"}', '{"recipe": {}}'])
    def test_run_json_of_something_else(self, train, tmp_path, content):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "run.json").write_text(content)
        with pytest.raises(InputError, match=r"run\.json is no record of a training; give another folder"):
            train()


class TestMoreSteps:
    STEPPED = TINY.replace(decay_steps=12, decay_factor=0.5)

    def test_are_the_run_that_had_them_from_the_beginning(self, train):
        train(self.STEPPED)
        lines = []
        longer = train(self.STEPPED.replace(steps=45), report=lines.append)
        assert lines[0].startswith("Going on from step 30 of 45")
        assert identical(weights(longer), weights(train(self.STEPPED.replace(steps=45), name="whole")))

    def test_where_the_schedule_depends_on_them(self, train):
        train()
        with pytest.raises(InputError, match="another steps; give another folder, and its weights as init"):
            train(TINY.replace(steps=45))

    def test_fewer_than_were_made(self, train):
        train(self.STEPPED)
        with pytest.raises(InputError, match="another steps; give another folder"):
            train(self.STEPPED.replace(steps=20))


@pytest.mark.parametrize(("began", "now"), [(True, False), (False, True)])
def test_precision_is_that_in_which_the_run_began(train, monkeypatch, began, now):
    """With "auto", on a machine with units for bfloat16 and on one without."""
    recipe = TINY.replace(precision="auto")
    whole = train(TINY.replace(precision="bfloat16" if began else "float32"), name="whole")
    monkeypatch.setattr(network, "fast_in_bfloat16", lambda _: began)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, report=interrupt_at(20))
    monkeypatch.setattr(network, "fast_in_bfloat16", lambda _: now)
    assert identical(weights(train(recipe)), weights(whole))


class TestMemory:
    def test_more_than_there_is(self, train):
        """The batch alone would take 80 TB."""
        with pytest.raises(InputError, match=r"10000000000000 patches of 16 x 16 .* a smaller batch_size"):
            train(TINY.replace(batch_size=10**13))

    def test_of_a_gpu(self, train, monkeypatch):
        def full(*_):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        monkeypatch.setattr(step, "forward_backward", full)
        with pytest.raises(InputError, match="needs more memory than there is; a smaller batch_size"):
            train()


def test_full_disk(train, tmp_path, full_disk):
    with pytest.raises(InputError, match=r"Cannot write .*state\.pt"), full_disk():
        train()
    assert left(tmp_path) == set()


class TestNotFinite:
    EXPLODES = TINY.replace(optimizer="sgd", loss="sse", ema=0.0)

    def test_says_at_which_step(self, train, tmp_path):
        with pytest.raises(InputError, match="by step 10, at a learning rate of"):
            train(self.EXPLODES.replace(learning_rate=1e9))
        assert left(tmp_path) == set()

    def test_advice_fits_the_recipe(self, train):
        recipe = self.EXPLODES.replace(learning_rate=1e9, clip="norm", clip_theta=1e30)
        with pytest.raises(InputError, match=r"Write a lower learning_rate, or a clip_theta below 1e\+30\."):
            train(recipe)

    def test_keeps_the_state_from_before(self, train, tmp_path):
        recipe = self.EXPLODES.replace(learning_rate=1e-4, decay_steps=20, decay_factor=1e20, steps=40)
        with pytest.raises(InputError, match="by step 30"):
            train(recipe)
        state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
        assert state["step"] == 20
        assert all(torch.isfinite(value).all() for value in state["model"].values())
        assert left(tmp_path) == {"state.pt"}

    def test_at_the_very_last_step(self, train, tmp_path):
        """The last loss is from before the last update: it cannot tell that the weights are lost."""
        with pytest.raises(InputError, match="by step 1"):
            train(self.EXPLODES.replace(learning_rate=1e38, steps=1))
        assert left(tmp_path) == set()
