"""Wrong input is one sentence and status 2, and nothing is written."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from conftest import check_refused

import vdsrlib
from vdsrlib.cli import images
from vdsrlib.imaging.image_file import save_image


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
    "no steps": ("train --steps 0", "steps must be greater than or equal to 1, got 0"),
    "half a step": ("train --steps 1.5", "--steps"),
    "rate nan": ("train --learning-rate nan", "learning_rate must be a finite number, got nan"),
    "patch too large": ("train --data-path set --patch-size 500", "None of the 1 images"),
    "no training images": ("train --data-path empty", "no image in empty"),
    "no training folder": ("train --data-path none", "none, which is not a folder"),
    "training on a bad image": ("train --data-path bad --patch-size 16", "b.png cannot be read"),
    "misspelt benchmark": ("train --data-path set --validation-set Set55", "There is no folder Set55 in set"),
    "unknown training device": ("train --data-path set --device tpu", "unknown device"),
    "seed too large": (
        "train --data-path set --seed 99999999999999999999",
        "seed must be less than",
    ),
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

    monkeypatch.setattr(images, "upscale_file", fail)
    arguments = [photo_file, "out.png", "--scale", 2, "--weights", tiny]
    check_refused(*call_cli("upscale", *arguments), "vdsrlib: /somewhere: Permission denied.")
