"""Scores of a network and of interpolation."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vdsrlib.errors import InputError
from vdsrlib.evaluation.cache import ScoreCache
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.imaging.colour import split_luma
from vdsrlib.imaging.image_file import save_image
from vdsrlib.inference.predict import predict, predict_luma, self_ensemble
from vdsrlib.protocol import PAPER, REPLICATION

PROTOCOLS = pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])


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
    result = evaluate(make_model(protocol.channels), protocol, paths, 3, progress=done.append)
    assert done == [row["name"] for row in result["images"]] == ["a", "b"]
    for method in ("interpolation", "model"):
        for metric in ("psnr", "ssim"):
            values = [row[method][metric] for row in result["images"]]
            assert values[0] != values[1]
            assert result["mean"][method][metric] == pytest.approx(sum(values) / 2)
    assert result["mean"]["model"]["psnr"] != result["mean"]["interpolation"]["psnr"]


def test_the_hash_is_of_the_images_in_their_order(paths, tmp_path):
    found = evaluate(None, PAPER, paths, 2)["sha256"]
    assert len(found) == 64
    assert found != evaluate(None, PAPER, paths[:1], 2)["sha256"]
    renamed = [shutil.copy(path, tmp_path / f"z{path.name}") for path in paths]
    assert found == evaluate(None, PAPER, renamed, 2)["sha256"]
    assert found != evaluate(None, PAPER, renamed[::-1], 2)["sha256"]


@pytest.mark.parametrize(
    ("channels", "protocol"), [(3, PAPER), (1, REPLICATION)], ids=["paper", "replication"]
)
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


def test_an_image_that_vanishes_after_it_was_read_keeps_its_scores(make_model, paths, tmp_path):
    copies = [Path(shutil.copy(path, tmp_path)) for path in paths]

    def last_look(*arguments):
        copies[-1].unlink(missing_ok=True)
        return predict(*arguments)

    found = evaluate(make_model(), PAPER, copies[::-1], 2, predict=last_look, skip_broken=True)
    assert found["failed"] == []
    assert found["sha256"] == evaluate(None, PAPER, paths[::-1], 2)["sha256"]


def other_engine(_):
    raise ValueError("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer")


@pytest.mark.parametrize("ask", [np.empty, torch.empty, other_engine])
def test_an_image_that_is_too_large_for_the_memory_is_named(make_model, paths, ask):
    def greedy(model, ilr, protocol):
        return ask(2**58) if ilr.shape == (96, 120) else predict(model, ilr, protocol)

    with pytest.raises(InputError, match=r"a\.png needs more memory than there is; leave it out"):
        evaluate(make_model(), PAPER, paths, 2, predict=greedy)
    found = evaluate(make_model(), PAPER, paths, 2, predict=greedy, skip_broken=True)
    assert [row["name"] for row in found["images"]] == ["b"]
    (sentence,) = found["failed"]
    assert "a.png needs more memory" in sentence


def test_other_errors_are_not_taken_for_want_of_memory(make_model, paths):
    def broken(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        evaluate(make_model(), PAPER, paths, 2, predict=broken, skip_broken=True)


def test_what_was_changed_in_reading_is_told(tmp_path, photo):
    save_image(tmp_path / "a.png", photo)
    clear = np.dstack([photo, np.full(photo.shape[:2], 99, np.uint8)])
    Image.fromarray(clear).save(tmp_path / "b.png")
    Image.fromarray(photo[..., 0].astype(np.uint16) * 257).save(tmp_path / "c.png")
    notes = evaluate(None, PAPER, sorted(tmp_path.iterdir()), 2)["notes"]
    assert notes == [
        f"{tmp_path / 'b.png'}: transparency is dropped.",
        f"{tmp_path / 'c.png'}: 16-bit samples are reduced to 8.",
    ]


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


@PROTOCOLS
def test_without_a_network(paths, make_model, protocol):
    alone = evaluate(None, protocol, paths, 2)
    both = evaluate(make_model(protocol.channels), protocol, paths, 2)
    assert alone["mean"].keys() == {"interpolation"}
    assert alone["mean"]["interpolation"] == both["mean"]["interpolation"]


@PROTOCOLS
def test_self_ensemble_is_the_mean_of_eight(make_model, photo, protocol):
    model = make_model(protocol.channels)
    ilr = photo[:30, :41] / 255
    ilr = ilr if protocol.colour == "rgb" else ilr[..., 0]
    found = self_ensemble(model, ilr, protocol)
    wanted = []
    for flip in (False, True):
        for turns in range(4):
            turned = np.rot90(ilr[::-1] if flip else ilr, turns)
            back = np.rot90(predict(model, turned.copy(), protocol), -turns)
            wanted.append(back[::-1] if flip else back)
    np.testing.assert_allclose(found, np.mean(wanted, axis=0), atol=1e-6)
    assert np.abs(found - predict(model, ilr, protocol)).max() > 1e-4
    # turning the image turns the result
    np.testing.assert_allclose(
        self_ensemble(model, np.rot90(ilr).copy(), protocol), np.rot90(found), atol=1e-6
    )


def test_luma_network_under_rgb_rules(make_model, make_zero_model, paths, photo):
    """Luma is the network's, chroma is interpolation's; scored as RGB."""
    ilr = photo[:24, :30] / 255
    found = predict_luma(make_model(), ilr, REPLICATION)
    y, chroma = split_luma(found)
    ilr_y, ilr_chroma = split_luma(ilr)
    np.testing.assert_allclose(y, predict(make_model(), ilr_y, PAPER), atol=0.02)  # RGB is clipped
    np.testing.assert_allclose(chroma, ilr_chroma, atol=0.03)
    scores = evaluate(make_zero_model(), REPLICATION, paths, 2, predict=predict_luma)["mean"]
    assert scores["model"]["psnr"] == pytest.approx(scores["interpolation"]["psnr"], abs=0.02)


class TestCache:
    @pytest.fixture
    def score(self, tmp_path, paths, make_model):
        """Evaluate with a cache; returns the result and how many images went through the network."""

        def run(protocol=PAPER, scale=2.0, weights="a" * 64, paths=paths, how=predict):
            calls = []

            def counted(*arguments):
                calls.append(1)
                return how(*arguments)

            counted.__name__ = how.__name__
            cache = ScoreCache(tmp_path / "cache", weights)
            result = evaluate(make_model(), protocol, paths, scale, predict=counted, cache=cache)
            return result, len(calls)

        return run

    def test_computed_once(self, score, paths, make_model):
        first = score()
        plain = evaluate(make_model(), PAPER, paths, 2)
        assert plain["seconds"] > 0
        assert first == ({**plain, "seconds": first[0]["seconds"]}, 2)
        assert score() == (first[0], 0), "with the seconds of the first time"

    def test_scores_without_a_time(self, score, tmp_path):
        """As those are that were kept before the time was."""
        first, _ = score()
        kept = next((tmp_path / "cache").iterdir())
        kept.write_text(json.dumps({k: v for k, v in json.loads(kept.read_text()).items() if k != "seconds"}))
        assert score() == ({**first, "seconds": None}, 0)

    @pytest.mark.parametrize(
        "change",
        [
            {"protocol": replace(PAPER, border=False)},
            {"scale": 2.5},
            {"weights": "b" * 64},
            {"how": self_ensemble},
        ],
        ids=str,
    )
    def test_every_change_is_scored_anew(self, score, change):
        score()
        assert score(**change)[1] == 2
        assert score()[1] == 0

    def test_by_content_not_by_name(self, score, paths, tmp_path, photo):
        score()
        renamed = shutil.copy(paths[0], tmp_path / "z.png")
        assert score(paths=[renamed])[1] == 0
        save_image(tmp_path / "z.png", photo[::-1])
        assert score(paths=[renamed])[1] == 1

    def test_damaged_file_is_computed_again(self, score, tmp_path):
        first = score()
        for path in (tmp_path / "cache").iterdir():
            path.write_bytes(path.read_bytes()[:9])
        again, calls = score()
        assert (again["images"], calls) == (first[0]["images"], first[1])

    @pytest.mark.parametrize(
        "change",
        [
            {"score": {"psnr": "abc", "ssim": 0.9}},
            {"score": {"psnr": None, "ssim": 0.9}},
            {"score": {"psnr": 10**400, "ssim": 0.9}},
            {"score": {"psnr": 30, "ssim": math.nan}},
            {"score": [30, 0.9]},
            {"seconds": "abc"},
        ],
    )
    def test_a_value_of_the_wrong_type_is_computed_again(self, score, tmp_path, change):
        first = score()
        for path in (tmp_path / "cache").iterdir():
            path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        again, calls = score()
        assert (again["images"], calls) == (first[0]["images"], first[1])
        assert score() == (again, 0)

    def test_killed_evaluation_goes_on(self, score, paths, tmp_path):
        """The second image is broken: the first one's scores are kept."""
        broken = tmp_path / "zz.png"
        broken.write_bytes(b"no image")
        with pytest.raises(InputError, match=r"zz\.png"):
            score(paths=[paths[0], broken])
        assert score()[1] == 1

    def test_place_that_cannot_be_written(self, score, tmp_path, paths, make_model):
        cache = ScoreCache(tmp_path / "cache", "a" * 64)

        def breaking(*arguments):
            shutil.rmtree(tmp_path / "cache")
            (tmp_path / "cache").touch()
            return predict(*arguments)

        with pytest.raises(InputError, match=r"^Cannot write .*cache"):
            evaluate(make_model(), PAPER, paths, 2, predict=breaking, cache=cache, skip_broken=True)
        with pytest.raises(InputError, match=r"Cannot write in .*cache"):
            score()

    @pytest.mark.parametrize("cached", [True, False])
    def test_broken_images_are_left_out(self, tmp_path, paths, cached):
        (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
        cache = ScoreCache(tmp_path / "cache", "a" * 64) if cached else None
        found = evaluate(None, PAPER, [*paths, tmp_path / "lost.png"], 2, cache=cache, skip_broken=True)
        assert len(found["images"]) == 2
        assert "lost.png" in found["failed"][0]


def test_every_process_says_what_stopped_it(call_cli, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    status, _, error = call_cli("evaluate", "--images", "none", "--scale", 2)
    assert status == 2
    assert error.startswith("vdsrlib: rank 1: There is no folder none, ")


def test_processes_share_the_images(call_cli, cli_environment, tmp_path, tiny, paths):
    typed = ["evaluate", "--images", paths[0].parent, "--scale", 2, "--weights", tiny, "--json"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "vdsrlib", *map(str, typed), "--cache", str(tmp_path / "cache")]
    environment = {**cli_environment, "OMP_NUM_THREADS": "1"}
    shared = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert shared.returncode == 0, shared.stderr
    one = json.loads(call_cli(*typed)[1])
    both = json.loads(shared.stdout)
    assert [row["name"] for row in both["images"]] == ["a", "b"]
    assert both["sha256"] == one["sha256"]
    for method, score in one["mean"].items():
        assert both["mean"][method]["psnr"] == pytest.approx(score["psnr"], abs=1e-6)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_ensemble_from_the_command_line(call_cli, tiny, paths, make_model):
    typed = ["evaluate", "--images", paths[0].parent, "--scale", 2, "--weights", tiny, "--json", "--ensemble"]
    found = json.loads(call_cli(*typed)[1])
    assert found["ensemble"] is True
    wanted = evaluate(make_model(), PAPER, paths, 2, predict=self_ensemble)
    assert found["mean"]["model"]["psnr"] == pytest.approx(wanted["mean"]["model"]["psnr"], abs=1e-6)
