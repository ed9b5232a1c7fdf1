"""Scores of a network and of interpolation."""

import numpy as np
import pytest
import torch

from vdsrlib.evaluation import evaluate, predict
from vdsrlib.files import InputError
from vdsrlib.images import save_image
from vdsrlib.protocol import PAPER, SEED

PROTOCOLS = pytest.mark.parametrize("protocol", [PAPER, SEED], ids=["paper", "seed"])


@pytest.fixture(scope="module")
def paths(tmp_path_factory, photo, grey_photo):
    folder = tmp_path_factory.mktemp("images")
    save_image(folder / "a.png", photo)
    save_image(folder / "b.png", grey_photo)
    return sorted(folder.iterdir())


@PROTOCOLS
@pytest.mark.parametrize("scale", [2, 2.5])
def test_without_residual_the_network_is_interpolation(make_zero_model, paths, protocol, scale):
    result = evaluate(make_zero_model(protocol.channels), protocol, paths, scale)
    for row in (*result["images"], result["mean"]):
        # float32 can round a half to the other grey level
        assert row["model"]["psnr"] == pytest.approx(row["interpolation"]["psnr"], abs=1e-3)
        assert row["model"]["ssim"] == pytest.approx(row["interpolation"]["ssim"], abs=1e-5)


@PROTOCOLS
def test_rows_and_means(make_model, paths, protocol):
    done = []
    result = evaluate(make_model(protocol.channels), protocol, paths, 3, done.append)
    assert done == [row["name"] for row in result["images"]] == ["a", "b"]
    for method in ("interpolation", "model"):
        for metric in ("psnr", "ssim"):
            values = [row[method][metric] for row in result["images"]]
            assert values[0] != values[1]
            assert result["mean"][method][metric] == pytest.approx(sum(values) / 2)
    assert result["mean"]["model"]["psnr"] != result["mean"]["interpolation"]["psnr"]


@pytest.mark.parametrize(("channels", "protocol"), [(3, PAPER), (1, SEED)], ids=["paper", "seed"])
def test_channels_must_fit(make_model, paths, photo, channels, protocol):
    model = make_model(channels)
    for attempt in (
        lambda: evaluate(model, protocol, paths, 2),
        lambda: predict(model, protocol.ground_truth(photo, 2), protocol),
    ):
        with pytest.raises(InputError, match=f"{protocol.name} protocol .* choose weights or a protocol"):
            attempt()


def test_bad_images_are_named(make_model, paths, tmp_path, photo):
    save_image(tmp_path / "small.png", photo[:14])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    for name, reason in (("small.png", "too small"), ("broken.png", "cannot be read")):
        with pytest.raises(InputError, match=f"{name}.*{reason}"):
            evaluate(make_model(), PAPER, [*paths, tmp_path / name], 2)


@PROTOCOLS
@pytest.mark.parametrize("size", [(40, 30), (1, 1), (7, 90)])
def test_predict_is_ilr_plus_residual(make_model, photo, protocol, size):
    model = make_model(protocol.channels)
    ilr = photo[: size[0], : size[1]] / 255
    ilr = ilr if protocol.colour == "rgb" else ilr[..., 0]
    before = ilr.copy()
    sr = predict(model, ilr, protocol)
    assert (sr.shape, sr.dtype) == (ilr.shape, np.float64)
    np.testing.assert_array_equal(ilr, before)
    low, high = protocol.input_range
    planes = torch.from_numpy(np.atleast_3d(ilr * (high - low) + low)).permute(2, 0, 1)[None]
    with torch.no_grad():
        residual = model.double().residual(planes)[0].permute(1, 2, 0).numpy().reshape(ilr.shape)
    model.float()
    np.testing.assert_allclose(sr, ilr + residual / (high - low), rtol=0, atol=1e-5)
