"""Scores and samples of a run."""

import shutil

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.runs import saved_step
from vdsrlib.errors import InputError
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.inference import predict
from vdsrlib.models import checkpoint


def test_validation_is_that_of_evaluate(finished, images):
    run = finished[0]
    net = checkpoint.load(run.weights, "cpu")
    for scale, found in run.validation[-1]["psnr"].items():
        scores = evaluate(net, [images / "Set5" / "c.png"], scale).set_index("method")
        for method in ("interpolation", "model"):
            assert found[method] == pytest.approx(scores.psnr[method], abs=0.01)


def test_validation_is_in_float32_whatever_enlarging_takes(train, monkeypatch):
    monkeypatch.delenv("VDSR_PRECISION", raising=False)
    asked = []
    prepare = predict.prepare

    def watched(model, backend, precision, protocol):
        asked.append((backend, precision))
        return prepare(model, backend, precision, protocol)

    monkeypatch.setattr(predict, "prepare", watched)
    train()
    assert set(asked) == {("torch", "float32")}


def test_steps_before_a_validation_are_safe(train, tmp_path, images):
    """Whatever the validation meets, and whatever the interval of saving."""
    folder = shutil.copytree(images, tmp_path / "copy")

    def lose(line: str) -> None:
        if line.startswith("step 15/"):
            (folder / "Set5" / "c.png").unlink()

    with pytest.raises(InputError, match=r"c\.png"):
        train(data=folder, validate_every=15, report=lose)
    assert saved_step(tmp_path / "run") == 15


def test_samples(train, tmp_path, finished):
    """Three rows (ILR, SR, HR) of the same eight patches: SR and HR are alike, ILR and HR less so."""
    picture = read_image(finished[1] / "samples.png").astype(float)
    assert picture.shape == (3 * 18, 8 * 18)
    ilr, sr, hr = np.split(picture, 3)
    assert np.abs(hr - ilr).mean() > 1
    assert np.abs(hr - sr).mean() < 40
    events = EventAccumulator(str(finished[2]), size_guidance={"images": 0}).Reload()
    assert events.Images("ILR, SR, HR")


@pytest.mark.parametrize("fault", ["too small", "no image", "one name twice"])
def test_validation_image(train, tmp_path, images, fault):
    """Found before the first step, which writes anything."""
    folder = shutil.copytree(images, tmp_path / "copy")
    image = read_image(folder / "Set5" / "c.png")
    if fault == "too small":
        save_image(folder / "Set5" / "d.png", image[:14])
    elif fault == "no image":
        (folder / "Set5" / "d.png").write_bytes(b"no image")
    else:
        save_image(folder / "Set5" / "c.bmp", image)
    lines = []
    with pytest.raises(InputError, match=r"c\.png" if fault == "one name twice" else r"d\.png"):
        train(data=folder, report=lines.append)
    assert (lines, list(tmp_path.glob("run*"))) == ([], [])
