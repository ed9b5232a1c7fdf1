"""python -m vdsrlib, as people and scripts use it."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

import vdsrlib
from vdsrlib.cli import checks, console
from vdsrlib.datasets.catalog import list_images
from vdsrlib.evaluation import ground_truth
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.inference import backends, upscale
from vdsrlib.models import checkpoint
from vdsrlib.protocol import Protocol


def strict_json(text: str) -> dict:
    """JSON by the standard, which has no NaN and no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


class TestEvaluate:
    @pytest.fixture
    def folder(self, tmp_path, photo, grey_photo):
        save_image(tmp_path / "set" / "a.png", photo)
        save_image(tmp_path / "set" / "b.png", grey_photo)
        return tmp_path / "set"

    def test_json(self, run_cli, folder, tiny):
        """One object on stdout, nothing else; relative names work."""
        done = run_cli("evaluate", "set", "--scales", 2.5, "--weights", tiny, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 1
        record = strict_json(done.stdout)
        assert [row["name"] for row in record["images"]] == ["a", "b"]
        for row in (*record["images"], record["mean"]):
            for method in ("interpolation", "model"):
                assert 15 < row[method]["psnr"] < 45
                assert 0.3 < row[method]["ssim"] < 1
        assert (record["scale"], record["protocol"], record["data"]) == (2.5, "paper", "set")
        assert record["weights"]["sha256"] == checkpoint.load(tiny, "cpu").hash
        assert record["versions"]["python"]
        assert record["device"]

    def test_flat_image_is_still_json(self, call_cli, tmp_path, tiny):
        """Interpolation of one grey is perfect, and its PSNR infinite."""
        save_image(tmp_path / "flat" / "a.png", np.full((40, 40), 77, np.uint8))
        status, out, _ = call_cli("evaluate", tmp_path / "flat", "--scales", 2, "--weights", tiny, "--json")
        assert status == 0
        assert strict_json(out)["mean"]["interpolation"] == {"psnr": None, "ssim": 1}

    def test_table(self, call_cli, folder, tiny):
        arguments = ["evaluate", folder, "--scales", 2, "--weights", tiny]
        record = strict_json(call_cli(*arguments, "--json")[1])
        status, out, error = call_cli(*arguments)
        assert (status, error) == (0, "")
        assert "paper protocol, x2, depth 3" in out
        for row in (*record["images"], {"name": "mean", **record["mean"]}):
            (line,) = (line for line in out.splitlines() if line.split()[:1] == [row["name"]])
            for method in ("interpolation", "model"):
                assert f"{row[method]['psnr']:.2f} / {row[method]['ssim']:.4f}" in line

    def test_protocol_of_the_weights(self, call_cli, folder, tiny_rgb):
        arguments = ["evaluate", folder, "--scales", 2, "--weights", tiny_rgb, "--json"]
        assert strict_json(call_cli(*arguments)[1])["protocol"] == "replication"

    def test_what_was_changed_in_reading_is_told(self, call_cli, folder, tiny, photo):
        Image.fromarray(np.dstack([photo, photo[..., 0]])).save(folder / "c.png")
        arguments = [folder, "--scales", 2, "--weights", tiny, "--json"]
        status, out, error = call_cli("evaluate", *arguments)
        assert (status, error) == (0, f"vdsrlib: {folder / 'c.png'}: transparency is dropped.\n")
        assert strict_json(out)["notes"] == [f"{folder / 'c.png'}: transparency is dropped."]

    def test_a_folder_needs_no_data_set(self, call_cli, folder, tiny, monkeypatch):
        monkeypatch.setenv("VDSR_DATA", str(folder / "none"))
        assert call_cli("evaluate", folder, "--scales", 2, "--weights", tiny)[0] == 0
        status, _, error = call_cli("evaluate", "Set5", "--scales", 2, "--weights", tiny)
        assert status == 2
        assert "VDSR_DATA names" in error

    def test_set_by_name(self, call_cli, folder, tiny, monkeypatch):
        """As the README has it; a folder of that name, here, goes first."""
        folder.rename(folder.with_name("Set5"))
        arguments = ["evaluate", "Set5", "--scales", 2, "--weights", tiny]
        monkeypatch.delenv("VDSR_DATA", raising=False)
        status, _, error = call_cli(*arguments)
        assert status == 2
        assert "no folder Set5, nor a set of that name" in error
        monkeypatch.setenv("VDSR_DATA", str(folder.parent))
        assert call_cli(*arguments)[0] == 0
        monkeypatch.chdir(folder.parent)
        monkeypatch.setenv("VDSR_DATA", str(folder.parent / "Set5"))
        assert call_cli(*arguments)[0] == 0

    def test_published_number(self, call_cli, data, tiny, monkeypatch):
        monkeypatch.setenv("VDSR_DATA", str((data / "Set5").parent))
        arguments = ["Set5", "--scales", 3, "--weights", tiny, "--json"]
        mean = strict_json(call_cli("evaluate", *arguments)[1])["mean"]["interpolation"]
        assert round(mean["psnr"], 2) == 30.39
        assert round(mean["ssim"], 4) == 0.8682


class TestUpscale:
    def test_direct(self, run_cli, photo_file, tiny, tmp_path):
        """Into a folder that does not exist yet; the shipped photograph keeps its bytes."""
        before = photo_file.read_bytes()
        done = run_cli("upscale", "photo.png", "new/größer.png", "--scale", 1.5, "--weights", tiny)
        assert (done.returncode, done.stderr) == (0, "")
        assert "180 x 144 pixels" in done.stdout
        assert read_image(tmp_path / "new" / "größer.png").shape == (144, 180, 3)
        assert photo_file.read_bytes() == before
        assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"photo.png", "größer.png"}

    def test_ground_truth(self, call_cli, photo_file, tiny, tmp_path):
        status, out, error = call_cli(
            "upscale", photo_file, tmp_path / "sr.jpg", "--scale", 3, "--weights", tiny, "--ground-truth"
        )
        assert (status, error) == (0, "")
        assert out.count(" dB, SSIM 0.") == 2
        assert read_image(tmp_path / "sr.jpg").shape == (96, 120, 3)

    def test_grey_stays_grey(self, call_cli, tmp_path, grey_photo, tiny):
        save_image(tmp_path / "grey.png", grey_photo)
        arguments = [tmp_path / "grey.png", tmp_path / "sr.png", "--scale", 2, "--weights", tiny]
        assert call_cli("upscale", *arguments)[0] == 0
        assert read_image(tmp_path / "sr.png").shape == (180, 202)

    def test_two_images_that_would_get_one_name(self, call_cli, tmp_path, grey_photo, photo, tiny):
        (tmp_path / "in").mkdir()
        Image.fromarray(grey_photo).save(tmp_path / "in/a.gif")
        save_image(tmp_path / "in/a.gif.png", photo)
        arguments = [tmp_path / "in", tmp_path / "out", "--scale", 2, "--weights", tiny, "--force"]
        check_refused(*call_cli("upscale", *arguments), "a.gif.png would both become")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("mode", [[], ["--ground-truth"]])
    def test_a_file_that_appears_meanwhile_is_kept(self, call_cli, photo_file, tiny, monkeypatch, mode):
        target = photo_file.with_name("out.png")
        for module, name in ((upscale, "to_batch"), (ground_truth, "predict")):
            compute = getattr(module, name)

            def meanwhile(*arguments, compute=compute):
                target.write_text("mine")
                return compute(*arguments)

            monkeypatch.setattr(module, name, meanwhile)
        arguments = ["upscale", photo_file, target, "--scale", 2, "--weights", tiny, *mode]
        check_refused(*call_cli(*arguments), "out.png exists; write another name, or --force")
        assert target.read_text() == "mine"
        assert call_cli(*arguments, "--force")[0] == 0
        assert read_image(target).ndim == 3

    def test_ground_truth_tells_what_was_changed_in_reading(self, call_cli, tmp_path, photo, tiny):
        frames = [Image.fromarray(photo[:, i : i + 90]) for i in (0, 30)]
        frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
        wide = np.dstack([photo, photo[..., :1] // 2]).astype(np.uint16) * 257
        (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(wide))
        for name, notes in {
            "a.png": "; the first of 2 frames\n",
            "b.png": "; transparency is dropped; 16-bit samples are reduced to 8\n",
        }.items():
            arguments = [tmp_path / name, tmp_path / f"sr-{name}", "--scale", 2, "--weights", tiny]
            status, out, error = call_cli("upscale", *arguments, "--ground-truth")
            assert (status, error) == (0, "")
            assert out.endswith(notes)

    @pytest.mark.parametrize("ask", [np.empty, torch.empty])
    def test_one_image_too_large_for_the_memory(self, call_cli, tmp_path, photo, tiny, monkeypatch, ask):
        for name in ("a", "b", "c"):
            save_image(tmp_path / f"in/{name}.png", photo[: 80 if name == "b" else 70])
        compute = upscale.to_batch

        def greedy(model, ilr, *others):
            return ask(2**58) if len(ilr) == 160 else compute(model, ilr, *others)

        monkeypatch.setattr(upscale, "to_batch", greedy)
        options = ["--scale", 2, "--weights", tiny]
        status, _, error = call_cli("upscale", tmp_path / "in", tmp_path / "out", *options)
        assert status == 1
        first, _ = error.splitlines()
        assert first.endswith(
            "b.png needs more memory than there is; a smaller scale or a smaller --memory may do."
        )
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
        alone = [tmp_path / "in/b.png", tmp_path / "b.png", *options]
        check_refused(*call_cli("upscale", *alone), "b.png needs more memory than there is")

    def test_existing_file_is_replaced_by_force_alone(self, call_cli, photo_file, tiny):
        arguments = ["upscale", photo_file, photo_file, "--scale", 2, "--weights", tiny]
        before = photo_file.read_bytes()
        check_refused(*call_cli(*arguments), "photo.png exists; write another name, or --force")
        assert photo_file.read_bytes() == before
        assert call_cli(*arguments, "--force")[0] == 0
        assert read_image(photo_file).shape == (192, 240, 3)


class TestFeatures:
    @pytest.fixture
    def features(self, call_cli, photo_file, make_model, tmp_path):
        info = {"protocol": "paper", "scales": [2], "recipe": "test", "data": "nothing"}
        weights = tmp_path / "w.safetensors"
        checkpoint.save(weights, make_model(depth=4, width=9), info)

        def run(*options, image=photo_file):
            arguments = [image, tmp_path / "maps", "--scale", 2, "--weights", weights]
            return call_cli("features", *arguments, *options)

        return run

    def test_pictures(self, features, tmp_path):
        depth = 4
        status, _, error = features()
        assert (status, error) == (0, "")
        convs = {f"conv.{i}" for i in range(1, depth + 1)}
        relus = {f"relu.{i}" for i in range(1, depth)}
        pictures = {path.stem: read_image(path) for path in list_images(tmp_path / "maps")}
        assert {path.name for path in (tmp_path / "maps").iterdir()} == {f"{name}.png" for name in pictures}
        assert set(pictures) == {"lr", "sr"} | convs | relus
        assert pictures["lr"].shape == (48, 60, 3)
        assert pictures["sr"].shape == (96, 120, 3)
        assert pictures["conv.1"].shape == (3 * 97 - 1, 3 * 121 - 1)
        assert pictures["conv.4"].shape == (96, 120)
        assert all(picture.std() > 0 for picture in pictures.values())
        assert (pictures["conv.1"] != pictures["relu.1"]).any()

    @pytest.mark.parametrize("size", [(96, 120), (1030, 1040)], ids=["small", "large"])
    def test_the_network_passes_once(self, features, tmp_path, photo, monkeypatch, size):
        """And SR is the one of ``upscale --ground-truth``."""
        save_image(tmp_path / "a.png", np.tile(photo, (11, 9, 1))[: size[0], : size[1]])
        calls = []
        monkeypatch.setattr(ground_truth, "predict", lambda *_: calls.append("predict"))
        degrade = Protocol.degrade
        monkeypatch.setattr(Protocol, "degrade", lambda *a: calls.append(a[1].ndim) or degrade(*a))
        assert features(image=tmp_path / "a.png")[0] == 0
        assert calls == [2, 3]  # luma and chroma
        monkeypatch.undo()
        weights = checkpoint.load(tmp_path / "w.safetensors", "cpu")
        wanted = to_uint8(degrade_and_upscale(weights, read_image(tmp_path / "a.png"), 2).sr)
        apart = np.abs(read_image(tmp_path / "maps/sr.png").astype(int) - wanted)
        assert apart.max() <= 1
        assert apart.mean() < 1e-3  # float32 rounds halves

    def test_force_alone_uses_a_folder_with_files(self, features, tmp_path):
        (tmp_path / "maps").mkdir()
        (tmp_path / "maps/lr.png").write_text("mine")
        check_refused(*features(), "maps is not empty; write another name, or --force")
        assert (tmp_path / "maps/lr.png").read_text() == "mine"
        assert features("--force")[0] == 0
        assert len(list_images(tmp_path / "maps")) == 9

    def test_no_half_a_set_on_a_full_disk(self, features, tmp_path, full_disk):
        with full_disk():
            status, out, error = features()
        check_refused(status, out, error, "File too large")
        assert not (tmp_path / "maps").exists()

    def test_what_was_changed_in_reading_is_told(self, features, tmp_path, photo):
        Image.fromarray(np.dstack([photo, photo[..., 0]])).save(tmp_path / "clear.png")
        assert "7 layers; transparency is dropped\n" in features(image=tmp_path / "clear.png")[1]


class TestDoctor:
    def test_report(self, call_cli, monkeypatch):
        monkeypatch.delenv("VDSR_DATA", raising=False)
        status, out, error = call_cli("doctor")
        lines = out.splitlines()
        assert error == ""
        assert all(line.startswith(("OK   ", "FAIL ")) for line in lines)
        assert status == any(line.startswith("FAIL") for line in lines)
        for part in ("OK   torch ", "OK   device ", "bundled photographs", "OK   weights vdsr.safetensors"):
            assert part in out

    def test_backends(self, call_cli, monkeypatch):
        """One that does not work is passed over; one that is asked for must be there, as for ``upscale``."""
        monkeypatch.setattr(checkpoint, "shipped_weights", list)
        monkeypatch.delenv("VDSR_BACKEND", raising=False)
        out = call_cli("doctor")[1]
        assert f"OK   backends {', '.join(backends.installed())}\n" in out
        monkeypatch.setenv("VDSR_BACKEND", "torch")
        assert "; VDSR_BACKEND is torch\n" in call_cli("doctor")[1]
        monkeypatch.setenv("VDSR_BACKEND", "abacus")
        status, out, _ = call_cli("doctor")
        assert status == 1
        (line,) = (line for line in out.splitlines() if line.startswith("FAIL backends"))
        assert "VDSR_BACKEND is abacus; unknown backend 'abacus'; choose auto, " in line
        monkeypatch.delenv("VDSR_BACKEND")
        monkeypatch.setattr(backends, "installed", lambda *_: ("openvino", "torch"))
        monkeypatch.setitem(backends.BUILDERS, ("openvino", "float32"), lambda model: 1 / 0)
        assert (
            "OK   backends openvino, torch; the backend openvino fails (division by zero)"
            in call_cli("doctor")[1]
        )

    def test_failures_are_lines(self, call_cli, monkeypatch, tmp_path):
        """One line for each failure, and all the other checks are made."""
        monkeypatch.setenv("VDSR_DATA", str(tmp_path / "none"))
        monkeypatch.setenv("VDSR_DEVICE", "abacus")
        monkeypatch.setattr(checkpoint, "DEFAULT", tmp_path / "none.safetensors")
        monkeypatch.setattr(checks, "PACKAGES", ("numpy", "no-such-package"))
        status, out, _ = call_cli("doctor")
        assert status == 1
        for part in (
            "no-such-package is not installed",
            "device: unknown",
            "data: The variable",
            "weights: ",
        ):
            assert f"FAIL {part}" in out
        assert "OK   numpy" in out

    def test_incomplete_data(self, call_cli, monkeypatch, tmp_path, photo):
        save_image(tmp_path / "Set5" / "a.png", photo)
        monkeypatch.setenv("VDSR_DATA", str(tmp_path))
        status, out, _ = call_cli("doctor")
        assert status == 1
        assert "OK   data Set5: 1 images" in out
        assert "FAIL no Urban100" in out


def test_help_names_every_command(call_cli, capsys):
    with pytest.raises(SystemExit) as caught:
        call_cli("--help")
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("train", "evaluate", "upscale", "features", "doctor"))


LONG = "n" * 300
ABSENT = "cuda" if torch.backends.mps.is_available() else "mps"
WRONG = {
    "no command": ("", "command"),
    "unknown command": ("enlarge a b", "invalid choice: 'enlarge'"),
    "unknown option": ("upscale photo.png out.png --scale 2 --factor 2", "--factor"),
    "no scale": ("upscale photo.png out.png", "--scale"),
    "no value": ("upscale photo.png out.png --scale", "--scale"),
    "scale 1": ("upscale photo.png out.png --scale 1", "above 1"),
    "scale 0": ("upscale photo.png out.png --scale 0", "above 1"),
    "scale -2": ("upscale photo.png out.png --scale -2", "above 1"),
    "scale 9": ("upscale photo.png out.png --scale 9", "at most 8"),
    "scale nan": ("evaluate set --scales nan", "above 1"),
    "scale inf": ("features photo.png maps --scale inf", "above 1"),
    "scale abc": ("upscale photo.png out.png --scale abc", "one number such as 3 or 2.5, got 'abc'"),
    "scale 2_3": ("upscale photo.png out.png --scale 2_3", "at most 8"),
    "no file": ("upscale none.png out.png --scale 2", "There is no image none.png"),
    "no file to show": ("features none.png maps --scale 2", "There is no image none.png"),
    "text as image": ("upscale notes.txt out.png --scale 2", "notes.txt cannot be read as an image"),
    "truncated image": ("upscale cut.png out.png --scale 2", "cut.png cannot be read as an image"),
    "truncated HR": ("features cut.png maps --scale 2", "cut.png cannot be read as an image"),
    "folder as image": ("upscale set out.png --scale 2", "set is a folder"),
    "small HR": ("upscale small.png out.png --scale 4 --ground-truth", "too small"),
    "small image": ("features small.png maps --scale 4", "too small"),
    "no suffix": ("upscale photo.png out --scale 2", "must end in"),
    "wrong suffix": ("upscale photo.png out.txt --scale 2", "must end in"),
    "OUT is a folder": ("upscale photo.png set --scale 2", "must end in"),
    "OUT is a folder with a suffix": ("upscale photo.png folder.png --scale 2", "folder.png is a folder"),
    "OUT in a file": ("upscale photo.png notes.txt/out.png --scale 2", "Cannot write"),
    "OUTDIR is a file": ("features photo.png notes.txt --scale 2", "Cannot write"),
    "no weights": ("upscale photo.png out.png --scale 2 --weights none.pt", "no weights file none.pt"),
    "name of weights too long": (f"upscale photo.png out.png --scale 2 --weights {LONG}", LONG),
    "name of a set too long": (f"evaluate {LONG} --scales 2", LONG),
    "name of a target folder too long": (f"upscale set {LONG} --scale 2", f"{LONG}: File name too long"),
    "a link to itself": ("upscale loop out.png --scale 2", "loop"),
    "a target that is a link to itself": ("upscale set loop --scale 2", "Cannot write in loop"),
    "HTML as weights": ("evaluate set --scales 2 --weights page.safetensors", "damaged"),
    "cut weights": ("features photo.png maps --scale 2 --weights cut.safetensors", "damaged"),
    "image as weights": ("upscale photo.png out.png --scale 2 --weights photo.png", "damaged"),
    "unknown device": ("upscale photo.png out.png --scale 2 --device tpu", "unknown device 'tpu'"),
    "no such device": (f"upscale photo.png out.png --scale 2 --device {ABSENT}", f"no {ABSENT} device"),
    "empty folder": ("evaluate empty --scales 2", "no image in empty"),
    "no folder": ("evaluate none --scales 2", "no folder none"),
    "file as folder": ("evaluate photo.png --scales 2", "no folder photo.png"),
    "nothing but a bad image": ("evaluate broken --scales 2", "c.png cannot be read as an image"),
    "two images of one name": ("evaluate twice --scales 2", "a.bmp and twice/a.png have one name"),
    "unknown protocol": ("evaluate set --scales 2 --protocol matlab", "matlab"),
    "protocol that does not fit": (
        "evaluate set --scales 2 --protocol replication",
        "choose weights or a",
    ),
    "unknown recipe": ("train --recipe beast", "unknown recipe 'beast'"),
    "wrong scales": ("train --scales 2_y", "'y'"),
    "no steps": ("train --steps 0", "steps is 0"),
    "half a step": ("train --steps 1.5", "--steps"),
    "rate nan": ("train --learning-rate nan", "learning_rate is nan"),
    "patch too large": ("train --data-path set --patch-size 500", "None of the 1 images"),
    "no training images": ("train --data-path empty", "no image in empty"),
    "no training folder": ("train --data-path none", "none, which is not a folder"),
    "training on a bad image": ("train --data-path bad --patch-size 16", "b.png cannot be read"),
    "misspelt benchmark": ("train --data-path set --validation-set Set55", "There is no folder Set55 in set"),
    "unknown training device": ("train --data-path set --device tpu", "unknown device"),
    "seed too large": ("train --data-path set --patch-size 16 --seed 99999999999999999999", "seed is 9999"),
}


@pytest.fixture
def workplace(tmp_path, photo, tiny, monkeypatch):
    """A current folder with all that a wrong command may name."""
    save_image(tmp_path / "photo.png", photo)
    save_image(tmp_path / "set" / "a.png", photo)
    save_image(tmp_path / "bad" / "a.png", photo)
    save_image(tmp_path / "twice" / "a.png", photo)
    save_image(tmp_path / "twice" / "a.bmp", photo)
    save_image(tmp_path / "small.png", photo[:15])
    (tmp_path / "broken").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "notes.txt").write_text("No image.")
    (tmp_path / "page.safetensors").write_text("<!DOCTYPE html><title>404</title>")
    (tmp_path / "cut.safetensors").write_bytes(tiny.read_bytes()[:400])
    for name in ("cut.png", "bad/b.png", "broken/c.png"):
        (tmp_path / name).write_bytes((tmp_path / "photo.png").read_bytes()[:3000])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snapshot(folder) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def check_refused(status: int, out: str, error: str, part: str) -> None:
    assert status == 2
    assert out == ""
    assert error.startswith("vdsrlib: ")
    assert error.count("\n") == 1
    assert error.endswith("\n")
    assert part in error


@pytest.mark.parametrize(("command", "part"), WRONG.values(), ids=list(WRONG))
def test_wrong_input_is_one_sentence(workplace, call_cli, tiny, command, part):
    words = command.split()
    if words[:1] in (["upscale"], ["evaluate"], ["features"]) and "--weights" not in words:
        words += ["--weights", str(tiny)]
        if words[-3] == "--scale":  # the value that is missing
            words = [*words[:-3], *words[-2:], "--scale"]
    before = snapshot(workplace)
    check_refused(*call_cli(*words), part)
    assert snapshot(workplace) == before


def test_one_bad_image_does_not_lose_the_scores_of_the_others(workplace, call_cli, tiny, photo):
    save_image(workplace / "bad" / "small.png", photo[:14])
    (workplace / "bad" / "text.png").write_text("No image.")
    status, out, error = call_cli("evaluate", "bad", "--scales", 2, "--weights", tiny, "--json")
    _, good, _ = call_cli("evaluate", "set", "--scales", 2, "--weights", tiny, "--json")
    assert status == 1
    lines = error.splitlines()
    assert [name for line in lines for name in ("b.png", "small.png", "text.png") if name in line] == [
        "b.png",
        "small.png",
        "text.png",
    ]
    assert json.loads(out)["mean"] == json.loads(good)["mean"]
    assert json.loads(out)["failed"] == [line.removeprefix("vdsrlib: ") for line in lines]


@pytest.mark.parametrize("name", ["no command", "HTML as weights"])
def test_wrong_input_as_a_process(workplace, run_cli, name):
    command, part = WRONG[name]
    before = snapshot(workplace)
    done = run_cli(*command.split())
    check_refused(done.returncode, done.stdout, done.stderr, part)
    assert snapshot(workplace) == before


@pytest.fixture
def locked(photo, tiny, call_cli, monkeypatch):
    """A current folder with one that cannot be entered; root, whom nothing stops, becomes somebody else."""
    if os.name == "nt":
        pytest.skip("Windows has no such modes")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        monkeypatch.chdir(folder)
        folder.chmod(0o777)
        shutil.copy(tiny, "w.safetensors")
        save_image("in/a.png", photo)
        save_image("in/b.png", photo)
        save_image("locked/set/a.png", photo)
        Path("in/lost.png").symlink_to("../locked/set/a.png")
        shutil.copy(tiny, "secret.safetensors")
        Path("secret.safetensors").chmod(0)
        Path("locked").chmod(0)
        root = os.geteuid() == 0
        if root:
            call_cli("doctor")  # imports what it needs, while Python's own modules can be read
            os.seteuid(65534)
        try:
            if root and not os.access(vdsrlib.__file__, os.R_OK, effective_ids=True):
                pytest.skip("nobody but root can read this clone: a folder above it is closed")
            yield folder
        finally:
            if root:
                os.seteuid(0)
            Path("locked").chmod(0o700)


def test_one_image_behind_a_locked_door(locked, call_cli):
    """It alone fails, as a broken one does."""
    options = ["--scale", 2, "--weights", "w.safetensors"]
    for command in (["upscale", "in", "out"], ["evaluate", "in"]):
        status, out, error = call_cli(*command, *options)
        assert status == 1
        assert all(name in out for name in ("a", "b"))
        first, *rest = error.splitlines()
        assert first.startswith("vdsrlib: in/lost.png cannot be read")
        assert "Permission denied" in first
        assert len(rest) == (command[0] == "upscale")
    assert sorted(path.name for path in (locked / "out").iterdir()) == ["a.png", "b.png"]


def test_places_that_cannot_be_read(locked, call_cli, monkeypatch):
    options = ["--scale", 2, "--weights"]
    secret = ["in/a.png", "out.png", *options, "secret.safetensors"]
    check_refused(*call_cli("upscale", *secret), "secret.safetensors cannot be read (Permission denied)")
    inside = ["locked/set", *options, "w.safetensors"]
    check_refused(*call_cli("evaluate", *inside), "locked/set cannot be read (Permission denied)")
    monkeypatch.setenv("VDSR_DATA", "locked/set")
    status, out, _ = call_cli("doctor")
    assert status == 1
    assert "FAIL data: locked/set cannot be read (Permission denied)." in out
    monkeypatch.setenv("VDSR_DATA", ".")
    Path("Set5").symlink_to("locked/set")
    out = call_cli("doctor")[1]
    assert "FAIL data Set5: Set5 cannot be read (Permission denied)." in out
    assert "FAIL no Set14" in out


def test_any_other_error_of_a_place_is_one_sentence(call_cli, monkeypatch, photo_file, tiny):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(upscale, "upscale_file", fail)
    arguments = [photo_file, "out.png", "--scale", 2, "--weights", tiny]
    check_refused(*call_cli("upscale", *arguments), "vdsrlib: /somewhere: Permission denied.")


class TestStreams:
    """What is printed is read, or not, by other programs."""

    @pytest.mark.parametrize("buffered", [True, False])
    @pytest.mark.parametrize(
        ("closed", "status", "sentence"),
        [(True, 141, ""), (False, 2, "vdsrlib: standard output: No space left on device.\n")],
        ids=["closed pipe", "full disk"],
    )
    def test_stdout_that_takes_nothing(self, cli_environment, tmp_path, buffered, closed, status, sentence):
        if closed:
            end, stdout = os.pipe()
            os.close(end)
        elif Path("/dev/full").exists():
            stdout = os.open("/dev/full", os.O_WRONLY)
        else:
            pytest.skip("there is no /dev/full")
        environment = {**cli_environment, "PYTHONUNBUFFERED": "" if buffered else "1"}
        command = [sys.executable, "-m", "vdsrlib", "doctor"]
        streams = {"stdout": stdout, "stderr": subprocess.PIPE}
        run = subprocess.run(command, cwd=tmp_path, env=environment, text=True, **streams)
        os.close(stdout)
        assert (run.returncode, run.stderr) == (status, sentence)

    def test_names_that_the_encoding_lacks(self, run_cli, tmp_path, grey_photo, tiny):
        save_image(tmp_path / "in/größer.png", grey_photo)
        save_image(tmp_path / "in/\udcff.png", grey_photo)  # a byte that is no UTF-8
        options = ["--scale", 1.5, "--weights", tiny]
        run = run_cli("upscale", "in", "out", *options, PYTHONIOENCODING="ascii")
        assert (run.returncode, run.stderr) == (0, "")
        names = [line.split(":")[0] for line in run.stdout.splitlines()]
        assert names == [r"out/gr\xf6\xdfer.png", r"out/\udcff.png"]

    def test_a_backend_that_falls_back_says_so_in_one_sentence(self, run_cli, tmp_path, photo_file, tiny):
        (tmp_path / "onnxruntime.py").write_text("raise ImportError('a broken\\nbuild')")
        run = run_cli("upscale", "photo.png", "out.png", "--scale", 2, "--weights", tiny)
        assert run.returncode == 0
        sentence = r"vdsrlib: the backend onnxruntime fails \(a broken build\).*; the next backend is \w+\n"
        assert re.fullmatch(sentence, run.stderr)


def test_photograph_from_a_phone(workplace, call_cli, tiny, photo):
    """JPEG, turned by its EXIF tag."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save("phone.jpg", exif=exif)
    assert call_cli("upscale", "phone.jpg", "out.png", "--scale", 2, "--weights", tiny)[0] == 0
    assert read_image("out.png").shape == (240, 192, 3)


def test_a_line_is_one_write(monkeypatch):
    """Without a buffer, as torchrun starts Python, print makes two: another process may write between."""
    writes = []

    class Recorder(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            writes.append(bytes(data))
            return len(data)

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Recorder(), write_through=True))
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # which is changed, too
    console.prepare_streams()
    print("1/6 depth 2")
    assert writes == [b"1/6 depth 2\n"]
