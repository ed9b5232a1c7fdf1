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
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import COLUMNS, mean_scores
from vdsrlib.imaging.colour import split_luma
from vdsrlib.imaging.image_file import save_image
from vdsrlib.inference.predict import predict, predict_luma, self_ensemble
from vdsrlib.models.checkpoint import Checkpoint
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
    net = Checkpoint(make_zero_model(protocol.channels), {"protocol": protocol.name, "scales": [2, 3]})
    scores = evaluate(net, paths, scale).set_index(["method", "image"])
    network, interpolation = scores.loc["model"], scores.loc["interpolation"]
    # float32 can round a half to the other grey level
    np.testing.assert_allclose(network.psnr, interpolation.psnr, rtol=0, atol=1e-3)
    np.testing.assert_allclose(network.ssim, interpolation.ssim, rtol=0, atol=1e-5)


@PROTOCOLS
def test_rows_and_means(make_net, paths, protocol):
    scores = evaluate(make_net(protocol.channels), paths, (4, 3))
    assert tuple(scores.columns) == COLUMNS
    assert scores.dtypes[["scale", "psnr", "ssim", "seconds"]].eq("float64").all()
    assert [*scores.image] == ["a"] * 4 + ["b"] * 4
    assert [*scores.scale] == [3, 3, 4, 4] * 2
    assert [*scores.method] == ["interpolation", "model"] * 4
    assert (scores.seconds >= 0).all()
    means = mean_scores(scores)
    for (scale, method), mean in means.iterrows():
        found = scores[(scores.scale == scale) & (scores.method == method)]
        for metric in ("psnr", "ssim"):
            one, other = found[metric]
            assert one != other
            assert mean[metric] == pytest.approx((one + other) / 2)
    assert means.psnr[3, "model"] != means.psnr[3, "interpolation"]
    alone = evaluate(make_net(protocol.channels), paths, 3)
    assert scores[scores.scale == 3].drop(columns="seconds").to_numpy().tolist() == (
        alone.drop(columns="seconds").to_numpy().tolist()
    )


def test_an_infinite_psnr_is_left_out_of_the_mean(paths, tmp_path):
    save_image(tmp_path / "blank.png", np.full((40, 40), 77, np.uint8))
    scores = evaluate(None, [tmp_path / "blank.png", *paths], 2)
    assert scores.psnr[0] == math.inf
    told = f"{tmp_path / 'blank.png'}: interpolation equals HR at x2, and is left out of the mean of PSNR"
    assert scores.attrs["notes"] == [told]
    means = mean_scores(scores).loc[2, "interpolation"]
    assert means.psnr == pytest.approx(scores.psnr[1:].mean())
    assert means.ssim == pytest.approx(scores.ssim.mean())
    assert mean_scores(scores[:1]).loc[2, "interpolation"].psnr == math.inf


def test_images_are_paths_a_folder_or_the_name_of_a_set(paths, monkeypatch):
    folder = paths[0].parent
    wanted = evaluate(None, paths, 2).drop(columns="seconds")
    monkeypatch.setenv("VDSR_DATA", str(folder.parent))
    for images in (folder, str(folder), folder.name, map(str, paths), tuple(paths), iter(paths)):
        assert evaluate(None, images, 2).drop(columns="seconds").equals(wanted)
    with pytest.raises(InputError, match="no image to score"):
        evaluate(None, [])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"images": []}, "there is no image to score"),
        ({"images": iter(())}, "there is no image to score"),
        ({"images": 5}, "images must be the name of a set, a folder or paths of images, got int"),
        ({"images": [None]}, "images must be .*, got NoneType"),
        ({"images": "Set6"}, "no folder Set6"),
        ({"scales": 1}, "above 1"),
        ({"scales": (2, 0.5)}, "above 1"),
        ({"scales": ()}, "at least one scale"),
        ({"scales": "two"}, "two"),
        ({"scales": True}, "True"),
        ({"net": "vdsr"}, "net must be what vdsrlib.load returns, .*, got str"),
        ({"protocol": "papre"}, "unknown protocol 'papre'"),
    ],
    ids=lambda value: "",
)
def test_wrong_calls(paths, wrong, sentence, monkeypatch):
    monkeypatch.delenv("VDSR_DATA", raising=False)
    with pytest.raises(InputError, match=sentence):
        evaluate(**{"net": None, "images": paths, "scales": 2, **wrong})


@pytest.mark.parametrize("scales", [2, 2.0, "2", [2], (2,), "2_3", [3, "2"], range(2, 4), np.float64(2)])
def test_scales_in_any_spelling(paths, scales):
    assert set(evaluate(None, paths, scales).scale) <= {2, 3}


def test_the_network_itself_is_no_checkpoint(paths, make_model):
    with pytest.raises(InputError, match=r"net must be what vdsrlib\.load returns, .*, got VDSR"):
        evaluate(make_model(), paths, 2)


def test_scales_that_the_network_was_not_trained_for_are_told(paths, make_net):
    notes = evaluate(make_net(), paths, (1.5, 2, 2.5, 3, 4, 5)).attrs["notes"]
    assert notes == [
        "the weights were trained for x2 to x3, not for x1.5; vdsr fits",
        "the weights were trained for x2 to x3, not for x4; vdsr fits",
        "the weights were trained for x2 to x3, not for x5; interpolation may be better",
    ]
    (note,) = evaluate(make_net(3), paths, 4).attrs["notes"]
    assert note.endswith("vdsr-rgb fits")


def test_other_files_of_a_folder_are_named(tmp_path, paths):
    folder = shutil.copytree(paths[0].parent, tmp_path / "set")
    for name in ("b.txt", "a.dng", ".hidden"):
        (folder / name).touch()
    (folder / "inner").mkdir()
    scores = evaluate(None, folder, 2)
    assert [*scores.image] == ["a", "b"]
    assert scores.attrs["notes"] == [f"{folder}: not scored, no images by their names: a.dng, b.txt, inner"]
    assert evaluate(None, sorted(folder.glob("*.png")), 2).attrs["notes"] == []


def test_lr_beside_its_hr_is_not_scored(tmp_path, photo):
    """As Huang et al. (2015) name the files of Urban100."""
    for name in ("img_001_SRF_4_HR", "img_001_SRF_4_LR", "other_LR", "COLLR"):
        save_image(tmp_path / f"{name}.png", photo)
    scores = evaluate(None, tmp_path, 2)
    assert [*scores.image] == ["COLLR", "img_001_SRF_4_HR", "other_LR"]
    name = "img_001_SRF_4_LR.png"
    assert scores.attrs["notes"] == [f"{tmp_path}: not scored, LR of an HR beside it: {name}"]


def test_the_rules_are_those_of_the_network_unless_others_are_named(make_net, paths):
    net = make_net(3)
    wanted = evaluate(net, paths, 2).psnr.tolist()
    assert wanted == evaluate(net, paths, 2, protocol="replication").psnr.tolist()
    assert wanted == evaluate(net, paths, 2, protocol=REPLICATION).psnr.tolist()
    plain = evaluate(None, paths, 2).psnr.tolist()
    assert plain == evaluate(None, paths, 2, protocol="paper").psnr.tolist()
    other = evaluate(net, paths, 2, protocol=replace(REPLICATION, degradation="bicubic"))
    assert wanted != other.psnr.tolist()
    with pytest.raises(InputError, match="unknown protocol 'papre'"):
        evaluate(net, paths, 2, protocol="papre")


def test_the_hash_is_of_the_images_in_their_order(paths, tmp_path):
    def digest(paths, scales=2):
        return evaluate(None, paths, scales).attrs["sha256"]

    found = digest(paths)
    assert len(found) == 64
    assert found == digest(paths, (2, 3))
    assert found != digest(paths[:1])
    renamed = [shutil.copy(path, tmp_path / f"z{path.name}") for path in paths]
    assert found == digest(renamed)
    assert found != digest(renamed[::-1])


@pytest.mark.parametrize(
    ("channels", "protocol"), [(3, PAPER), (1, REPLICATION)], ids=["paper", "replication"]
)
def test_channels_must_fit(make_net, paths, photo, channels, protocol):
    net = make_net(channels)
    for attempt in (
        lambda: evaluate(net, paths, 2, protocol=protocol),
        lambda: predict(net.model, protocol.ground_truth(photo, 2), protocol),
    ):
        with pytest.raises(InputError, match=f"{protocol.name} protocol .* choose weights or a protocol"):
            attempt()


def test_bad_images_are_named(make_net, paths, tmp_path, photo):
    save_image(tmp_path / "small.png", photo[:14])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    for name, reason in (("small.png", "too small"), ("broken.png", "cannot be read")):
        with pytest.raises(InputError, match=f"{name}.*{reason}"):
            evaluate(make_net(), [*paths, tmp_path / name], 2)


def test_an_image_is_left_out_of_the_scales_that_it_is_too_small_for(paths, tmp_path, photo):
    save_image(tmp_path / "small.png", photo[:16])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    small, broken = tmp_path / "small.png", tmp_path / "broken.png"
    scores = evaluate(None, [*paths, small, broken], (2, 3), skip_broken=True)
    assert scores.groupby("scale").image.agg(list).to_dict() == {2: ["a", "b", "small"], 3: ["a", "b"]}
    one, other = scores.attrs["failed"]  # the broken one once, though there are two scales
    assert one.startswith(f"{small}: ")
    assert "too small to be scored at scale 3" in one
    assert other.startswith(f"{broken} cannot be read")


def test_an_image_that_vanishes_after_it_was_read_keeps_its_scores(make_net, paths, tmp_path):
    copies = [Path(shutil.copy(path, tmp_path)) for path in paths]

    def last_look(*arguments):
        copies[-1].unlink(missing_ok=True)
        return predict(*arguments)

    found = evaluate(make_net(), copies[::-1], 2, predict=last_look, skip_broken=True)
    assert found.attrs["failed"] == []
    assert found.attrs["sha256"] == evaluate(None, paths[::-1], 2).attrs["sha256"]


def other_backend(_):
    raise ValueError("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer")


@pytest.mark.parametrize("ask", [np.empty, torch.empty, other_backend])
def test_an_image_that_is_too_large_for_the_memory_is_named(make_net, paths, ask):
    def greedy(model, ilr, protocol):
        return ask(2**58) if ilr.shape == (96, 120) else predict(model, ilr, protocol)

    with pytest.raises(InputError, match=r"a\.png needs more memory than there is; leave it out"):
        evaluate(make_net(), paths, 2, predict=greedy)
    found = evaluate(make_net(), paths, 2, predict=greedy, skip_broken=True)
    assert set(found.image) == {"b"}
    (sentence,) = found.attrs["failed"]
    assert "a.png needs more memory" in sentence


def test_other_errors_are_not_taken_for_want_of_memory(make_net, paths):
    def broken(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        evaluate(make_net(), paths, 2, predict=broken, skip_broken=True)


def test_what_was_changed_in_reading_is_told(tmp_path, photo):
    save_image(tmp_path / "a.png", photo)
    clear = np.dstack([photo, np.full(photo.shape[:2], 99, np.uint8)])
    Image.fromarray(clear).save(tmp_path / "b.png")
    Image.fromarray(photo[..., 0].astype(np.uint16) * 257).save(tmp_path / "c.png")
    notes = evaluate(None, tmp_path, (2, 3)).attrs["notes"]
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
def test_without_a_network(paths, make_net, protocol):
    alone = evaluate(None, paths, 2, protocol=protocol)
    both = evaluate(make_net(protocol.channels), paths, 2)
    assert set(alone.method) == {"interpolation"}
    assert [*alone.psnr] == [*both[both.method == "interpolation"].psnr]


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
    net = Checkpoint(make_zero_model(), {"protocol": "paper", "scales": [2]})
    means = mean_scores(evaluate(net, paths, 2, protocol=REPLICATION, predict=predict_luma), ["method"])
    assert means.psnr["model"] == pytest.approx(means.psnr["interpolation"], abs=0.02)


class TestCache:
    @pytest.fixture
    def score(self, tmp_path, paths, make_net):
        """Evaluate with a cache; returns the scores and how many images went through the network."""

        def run(protocol=PAPER, scale=2.0, weights="a" * 64, paths=paths, how=predict):
            calls = []

            def counted(*arguments):
                calls.append(1)
                return how(*arguments)

            counted.__name__ = how.__name__
            net = replace(make_net(), hash=weights)
            cache = tmp_path / "cache"
            return evaluate(net, paths, scale, protocol=protocol, predict=counted, cache=cache), len(calls)

        return run

    def test_computed_once(self, score, paths, make_net):
        first, calls = score()
        plain = evaluate(make_net(), paths, 2)
        assert plain.seconds.sum() > 0
        assert calls == 2
        assert first.drop(columns="seconds").equals(plain.drop(columns="seconds"))
        assert first.attrs == plain.attrs
        again, calls = score()
        assert (again.equals(first), calls) == (True, 0), "with the seconds of the first time"

    def test_scores_without_a_time(self, score, tmp_path):
        """As those are that were kept before the time was."""
        first, _ = score()
        kept = next((tmp_path / "cache").iterdir())
        kept.write_text(json.dumps({k: v for k, v in json.loads(kept.read_text()).items() if k != "seconds"}))
        again, calls = score()
        assert again.drop(columns="seconds").equals(first.drop(columns="seconds"))
        assert (again.seconds.isna().sum(), calls) == (1, 0)

    @pytest.mark.parametrize(
        "change",
        [
            {"protocol": replace(PAPER, border=False)},
            {"scale": 2.5},
            {"weights": "b" * 64},
            {"how": self_ensemble},
        ],
        ids=lambda change: next(iter(change)),
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
        assert again.drop(columns="seconds").equals(first[0].drop(columns="seconds"))
        assert calls == first[1]

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
        assert again.drop(columns="seconds").equals(first[0].drop(columns="seconds"))
        assert calls == first[1]
        last, calls = score()
        assert (last.equals(again), calls) == (True, 0)

    def test_killed_evaluation_goes_on(self, score, paths, tmp_path):
        """The second image is broken: the first one's scores are kept."""
        broken = tmp_path / "zz.png"
        broken.write_bytes(b"no image")
        with pytest.raises(InputError, match=r"zz\.png"):
            score(paths=[paths[0], broken])
        assert score()[1] == 1

    def test_place_that_cannot_be_written(self, score, tmp_path, paths, make_net):
        cache = tmp_path / "cache"

        def breaking(*arguments):
            shutil.rmtree(tmp_path / "cache")
            (tmp_path / "cache").touch()
            return predict(*arguments)

        with pytest.raises(InputError, match=r"^Cannot write .*cache"):
            evaluate(make_net(), paths, 2, predict=breaking, cache=cache, skip_broken=True)
        with pytest.raises(InputError, match=r"Cannot write in .*cache"):
            score()

    @pytest.mark.parametrize("cached", [True, False])
    def test_broken_images_are_left_out(self, tmp_path, paths, cached):
        (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
        cache = tmp_path / "cache" if cached else None
        found = evaluate(None, [*paths, tmp_path / "lost.png"], 2, cache=cache, skip_broken=True)
        assert [*found.image] == ["a", "b"]
        assert "lost.png" in found.attrs["failed"][0]


def test_every_process_says_what_stopped_it(call_cli, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    status, _, error = call_cli("evaluate", "none", "--scales", 2)
    assert status == 2
    assert error.startswith("vdsrlib: rank 1: There is no folder none, ")


def test_processes_share_the_images(call_cli, cli_environment, tmp_path, tiny, paths):
    typed = ["evaluate", paths[0].parent, "--scales", 2, "--weights", tiny, "--json"]
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


def test_ensemble_from_the_command_line(call_cli, tiny, paths, make_net):
    typed = ["evaluate", paths[0].parent, "--scales", 2, "--weights", tiny, "--json", "--ensemble"]
    found = json.loads(call_cli(*typed)[1])
    assert found["ensemble"] is True
    wanted = mean_scores(evaluate(make_net(), paths, 2, predict=self_ensemble))
    assert found["mean"]["model"]["psnr"] == pytest.approx(wanted.psnr[2, "model"], abs=1e-6)
