"""Scores where LR is noisy or a JPEG: what is scored, and that it is found again."""

import numpy as np
import pytest
from conftest import as_net

from vdsrlib.errors import InputError
from vdsrlib.evaluation.damaged import add_jpeg, add_noise, damaged_pair, evaluate_damaged
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.protocol import PAPER


@pytest.fixture
def file(tmp_path, photo):
    save_image(tmp_path / "a.png", photo)
    return tmp_path / "a.png"


def test_noise_of_0_is_what_evaluate_scores(file, make_model):
    net = as_net(make_model())
    found = evaluate_damaged({"model": net}, [file], [2], {"noise": [0]}).set_index("method")
    wanted = evaluate(net, [file], 2).set_index("method")
    for method in ("interpolation", "model"):
        assert found.psnr[method] == pytest.approx(wanted.psnr[method], abs=1e-9)
        assert found.ssim[method] == pytest.approx(wanted.ssim[method], abs=1e-9)


def test_scores_fall_with_the_damage(file):
    scores = evaluate_damaged({}, [file], [1, 2], {"jpeg": [10, 50, 95], "noise": [20, 10, 2]}, side=80)
    assert len(scores) == 2 * 6
    for _, curve in scores.groupby(["scale", "damage"]):
        assert curve.psnr.is_monotonic_increasing
        assert curve.ssim.is_monotonic_increasing
    first = scores.iloc[0]
    image = read_image(file)[8:88, 20:100]
    hr, ilr = damaged_pair(image, 1, "jpeg", 10)
    assert (first.psnr, first.ssim) == PAPER.score(ilr, hr, 1)
    np.testing.assert_array_equal(ilr, add_jpeg(hr, 10))


def test_noise_is_as_strong_as_it_says_and_the_same_every_time():
    grey = np.full((200, 300), 0.5)
    noisy = add_noise(grey, 12)
    assert np.std(255 * noisy) == pytest.approx(12, abs=0.1)
    np.testing.assert_array_equal(noisy, add_noise(grey, 12))
    np.testing.assert_allclose(255 * noisy, np.rint(255 * noisy), atol=1e-9)


def test_scores_are_found_again(file, make_model, tmp_path, monkeypatch):
    net, cache = as_net(make_model()), tmp_path / "cache"
    first = evaluate_damaged({"model": net}, [file], [2], {"jpeg": [50]}, side=64, cache=cache)
    monkeypatch.setattr("vdsrlib.evaluation.damaged.predict", None)
    again = evaluate_damaged({"model": net}, [file], [2], {"jpeg": [50]}, side=64, cache=cache)
    assert again.equals(first)


def test_an_unknown_damage_is_named(file):
    with pytest.raises(InputError, match="unknown damage 'dust'; choose jpeg or noise"):
        evaluate_damaged({}, [file], [2], {"dust": [1]})
