"""Files from anywhere: one sentence, nothing half-written, no traceback."""

import io
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import wait_until
from PIL import Image

from vdsrlib.errors import InputError
from vdsrlib.imaging.formats import MAX_PIXELS
from vdsrlib.imaging.image_file import read_image, read_picture, save_image

KINDS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}


def encoded(image, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A valid header, and next to nothing behind it: a bomb that costs its sender 60 bytes."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.fixture
def upscale(tmp_path, call_cli, tiny, monkeypatch):
    """Run the command on a file, and insist on one sentence and a folder that is as it was."""
    monkeypatch.chdir(tmp_path)

    def listing():
        return {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}

    def run(source, part, target="out.png", options=("--scale", 2), weights=tiny):
        before = listing()
        status, out, error = call_cli("upscale", source, target, *options, "--weights", weights)
        assert (status, out) == (2, "")
        assert error.startswith("vdsrlib: ")
        assert error.count("\n") == 1
        assert part in error
        assert listing() == before

    return run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_cut_at_every_quarter(upscale, tmp_path, photo, kind, quarters):
    content = encoded(photo, kind)
    (tmp_path / f"cut{KINDS[kind]}").write_bytes(content[: len(content) * quarters // 4])
    upscale(f"cut{KINDS[kind]}", "cannot be read as an image")


def test_decompression_bomb(upscale, call_cli, tmp_path, tiny):
    (tmp_path / "bomb.png").write_bytes(png_of_size(100_000, 100_000))
    upscale(
        "bomb.png",
        f"10000 megapixels, and the limit is {MAX_PIXELS // 10**6}. Raise it with --max-megapixels",
    )
    save_image("large.png", np.zeros((1000, 1100), np.uint8))
    small = ("--scale", 1.1, "--max-megapixels", 1)
    upscale("large.png", "1100 x 1000 are 1.1 megapixels, and the limit is 1.", options=small)
    save_image("half.png", np.zeros((700, 1000), np.uint8))
    upscale(
        "half.png", "out.png: 2000 x 1400 are 2.8 megapixels", options=("--scale", 2, "--max-megapixels", 1)
    )
    raised = ("--scale", 1.1, "--max-megapixels", 2)
    assert call_cli("upscale", "large.png", "out.png", *raised, "--weights", tiny)[0] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_pillows_own_limit_gives_way(tmp_path, photo, kind, monkeypatch):
    """It warns of more, and refuses twice as many: here 100 pixels instead of 89 million."""
    (tmp_path / "a").write_bytes(encoded(photo, kind))
    for limit in (100, photo.shape[0] * photo.shape[1] - 1):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_picture(tmp_path / "a").pixels.shape == photo.shape
        assert limit == Image.MAX_IMAGE_PIXELS


def test_other_formats(upscale, tmp_path):
    (tmp_path / "photo.psd").write_bytes(b"8BPS\0\1" + bytes(99))
    upscale("photo.psd", "none of the PNG, JPEG, WEBP, TIFF, BMP")


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("name", ["TIFF jpeg", "TIFF jpeg strips", "TIFF lzw", "TIFF 16", "PNG 16"])
def test_decoders_print_nothing(tmp_path, capfd, recwarn, name, quarters):
    content = seeds()[name]
    (tmp_path / "cut.tif").write_bytes(content[: len(content) * quarters // 4])
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_picture(tmp_path / "cut.tif")
    assert capfd.readouterr() == ("", "")
    assert not recwarn


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_smallest_images(tmp_path, call_cli, photo, tiny, shape):
    save_image(tmp_path / "a.png", photo[: shape[0], : shape[1]])
    arguments = [tmp_path / "a.png", tmp_path / "b.png", "--scale", 2.5, "--weights", tiny]
    assert call_cli("upscale", *arguments)[0] == 0
    assert read_image(tmp_path / "b.png").shape[:2] == tuple(-(-side * 5 // 2) for side in shape)


def test_sides_of_65000(upscale, tmp_path, call_cli, tiny):
    """More than JPEG holds is said before the work; PNG takes it."""
    save_image(tmp_path / "long.jpg", np.full((1, 65_000), 90, np.uint8))
    upscale("long.jpg", "write .png instead", target="out.jpg")
    upscale("long.jpg", "write .png instead", target="out.webp")
    assert call_cli("upscale", "long.jpg", "out.png", "--scale", 2, "--weights", tiny)[0] == 0
    assert read_image("out.png").shape == (2, 130_000)


def test_nan_in_a_float_tiff(upscale, call_cli, tmp_path, tiny):
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 9), np.nan, np.float32))
    upscale("a.tif", ".png cannot hold samples of float32; write .tif instead")
    upscale("a.tif", "32-bit", options=("--scale", 2, "--ground-truth"))
    status, out, _ = call_cli("upscale", "a.tif", "b.tif", "--scale", 2, "--weights", tiny)
    assert (status, out) == (0, "b.tif: 18 x 18 pixels; pixels without a value stay as they are\n")


def test_animation_is_named(tmp_path, photo, call_cli, tiny):
    frames = [Image.fromarray(photo[i : i + 30, :30]) for i in (0, 30)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    status, out, _ = call_cli(
        "upscale", tmp_path / "a.gif", tmp_path / "b.png", "--scale", 2, "--weights", tiny
    )
    assert status == 0
    assert "60 x 60 pixels; the first of 2 frames" in out


def test_too_large_for_a_command_without_that_option(tmp_path, call_cli, tiny):
    (tmp_path / "bomb.png").write_bytes(png_of_size(100_000, 100_000))
    error = call_cli("evaluate", tmp_path, "--scales", 2, "--weights", tiny)[2]
    assert error.endswith("and the limit is 500.\n")


def test_ended_by_a_scheduler(tmp_path, cli_environment):
    save_image(tmp_path / "a.png", np.zeros((900, 900), np.uint8))
    command = [
        sys.executable,
        "-m",
        "vdsrlib",
        "upscale",
        "a.png",
        "b.png",
        "--scale",
        "8",
        "--backend",
        "torch",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, env=cli_environment)
    wait_until(lambda: list(tmp_path.glob(".part-*")))
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_pipe_is_not_waited_for(upscale, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    waiting = threading.Timer(20, lambda: os.open(tmp_path / "pipe.png", os.O_WRONLY | os.O_NONBLOCK))
    waiting.start()
    upscale("pipe.png", "is a pipe or a device")
    upscale("/dev/zero", "is a pipe or a device")
    waiting.cancel()


def test_names(upscale, tmp_path, photo_file, call_cli, tiny):
    long = "n" * 300 + ".png"
    upscale(long, "File name too long")
    upscale("photo.png", "File name too long", target=long)
    upscale("photo.png", "File name too long", target="n" * 4000 + "/a.png")
    upscale("no\0thing.png", "There is no image no")
    for name in ("größer 图像.png", "-.png", "a\nb.png", "n" * 200 + ".png"):
        target = tmp_path / name
        assert call_cli("upscale", photo_file, target, "--scale", 1.5, "--weights", tiny)[0] == 0
        assert read_image(target).shape == (144, 180, 3)


def test_places_that_cannot_be_written(upscale, tmp_path, photo_file, full_disk):
    (tmp_path / "folder.png").mkdir()
    upscale("photo.png", "folder.png is a folder", target="folder.png")
    upscale("photo.png", "must end in", target="folder")
    upscale("photo.png", "Cannot write", target="photo.png/out.png")
    with full_disk():
        upscale("photo.png", "Cannot write out.png: File too large")


def test_no_permission(call_cli, photo, tiny, monkeypatch):
    """In a folder that anyone may enter, since root, whom no permission stops, becomes somebody else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        monkeypatch.chdir(folder)
        shutil.copy(tiny, "w.safetensors")
        save_image("secret.png", photo)
        Path("secret.png").chmod(0)
        save_image("photo.png", photo)
        Path("locked").mkdir(mode=0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            for source, target in (("secret.png", "out.png"), ("photo.png", "locked/out.png")):
                status, out, error = call_cli(
                    "upscale", source, target, "--scale", 2, "--weights", "w.safetensors"
                )
                assert (status, out, error.count("\n")) == (2, "", 1)
                assert "Permission denied" in error
            assert sorted(path.name for path in folder.rglob("*")) == [
                "locked",
                "photo.png",
                "secret.png",
                "w.safetensors",
            ]
        finally:
            if root:
                os.seteuid(0)


def test_a_web_page_as_weights(upscale, tmp_path, photo_file):
    page = tmp_path / "w.safetensors"
    page.write_text("<!DOCTYPE html><title>404</title>")
    upscale("photo.png", "is damaged, or no safetensors file", weights=page)


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path, photo, grey_photo, monkeypatch):
        monkeypatch.chdir(tmp_path)
        save_image("in/a.jpg", photo)
        save_image("in/b.png", grey_photo)
        save_image("in/z.webp", photo)
        (tmp_path / "in" / "bad.png").write_bytes(b"<html>")
        (tmp_path / "in" / "empty.png").touch()
        (tmp_path / "in" / "notes.txt").write_text("no image")
        (tmp_path / "in" / "more").mkdir()
        return tmp_path

    def test_goes_on_after_bad_files(self, folder, call_cli, tiny):
        command = ["upscale", "in", "out", "--scale", 2, "--weights", tiny]
        status, out, error = call_cli(*command)
        assert status == 1
        assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.jpg", "b.png", "z.webp"]
        assert [line.split(":")[0] for line in out.splitlines()] == ["out/a.jpg", "out/b.png", "out/z.webp"]
        first, second, *lines = error.splitlines()
        assert first == "vdsrlib: not looked into, without --recursive: more"
        assert second == "vdsrlib: no images by their names: notes.txt"
        assert [line.split()[1] for line in lines] == ["in/bad.png", "in/empty.png", "2"]
        assert "2 of 5 images failed" in error
        before = (folder / "out" / "a.jpg").stat().st_mtime_ns
        status, out, error = call_cli(*command)
        assert (status, out) == (1, "")
        assert error.count("--force") == 3
        assert (folder / "out" / "a.jpg").stat().st_mtime_ns == before
        for name in ("bad.png", "empty.png"):
            (folder / "in" / name).unlink()
        assert call_cli(*command, "--force")[0] == 0

    def test_gif_becomes_png(self, folder, call_cli, tiny, grey_photo):
        Image.fromarray(grey_photo).save("gifs.gif")
        (folder / "gifs").mkdir()
        shutil.move("gifs.gif", "gifs/a.gif")
        assert call_cli("upscale", "gifs", "out", "--scale", 2, "--weights", tiny)[0] == 0
        assert read_image("out/a.gif.png").shape[:2] == (180, 202)

    def test_ground_truth_of_a_folder(self, folder, call_cli, tiny):
        status, out, _ = call_cli("upscale", "in", "out", "--scale", 3, "--ground-truth", "--weights", tiny)
        assert status == 1
        assert out.count("interpolation PSNR") == out.count("; model PSNR") == 3

    @pytest.mark.parametrize(
        ("target", "part"),
        [("in", "another one"), ("out.png", "must be a folder"), ("in/notes.txt", "must be a folder")],
    )
    def test_wrong_targets(self, folder, call_cli, tiny, target, part):
        status, _, error = call_cli("upscale", "in", target, "--scale", 2, "--force", "--weights", tiny)
        assert status == 2
        assert part in error

    def test_size_in_pixels(self, folder, call_cli, tiny):
        assert call_cli("upscale", "in/b.png", "out.png", "--size", "150x100", "--weights", tiny)[0] == 0
        assert read_image("out.png").shape == (100, 150)
        for wrong in ("150", "50x50", "2000x2000"):
            assert call_cli("upscale", "in/b.png", "c.png", "--size", wrong, "--weights", tiny)[0] == 2
        command = ["upscale", "in/b.png", "c.png", "--size", "150x100", "--ground-truth", "--weights", tiny]
        assert "needs --scale" in call_cli(*command)[2]

    @pytest.mark.parametrize(
        ("option", "value", "part"),
        [
            ("--memory", "0", "argument --memory: must be a whole number from 1 to 1000000, got '0'"),
            ("--backend", "abacus", "unknown backend 'abacus'; choose auto, "),
            ("--max-megapixels", "x", "argument --max-megapixels: must be a whole number from 1"),
        ],
    )
    def test_wrong_options(self, folder, call_cli, tiny, option, value, part):
        command = ["upscale", "in", "out", "--scale", "2", "--weights", tiny, option, value]
        status, out, error = call_cli(*command)
        assert (status, out) == (2, "")
        assert error.startswith(f"vdsrlib: {part}")
        assert not (folder / "out").exists()


def mutations(content: bytes, count: int, seed: int):
    """Bits flipped, runs of bytes overwritten, removed and doubled, the file cut."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 5, 20))):
            at, size = chance.randrange(len(data)), chance.choice((1, 1, 2, 4, 16))
            way = chance.randrange(5)
            if way == 0:
                data[at] ^= 1 << chance.randrange(8)
            elif way == 1:
                data[at : at + size] = chance.choice((b"\xff", b"\0", b"\x7f")) * size
            elif way == 2:
                del data[at : at + size]
            elif way == 3:
                data[at:at] = data[at : at + size]
            else:
                data[at : at + size] = chance.randbytes(size)
            if not data:
                break
        yield bytes(data)


def seeds() -> dict[str, bytes]:
    """Small files of every kind, since a mutation of a header is what finds something."""
    pixels = np.arange(9 * 11 * 3, dtype=np.uint8).reshape(9, 11, 3)
    wide = pixels.astype(np.uint16) * 257
    files = {kind: encoded(pixels, kind) for kind in KINDS}
    for name, options in {
        "TIFF lzw": {"compression": "lzw"},
        "TIFF 16": {},
        "TIFF planes": {"planarconfig": "separate"},
    }.items():
        buffer = io.BytesIO()
        samples = wide if "lzw" not in name else pixels
        samples = np.moveaxis(wide, -1, 0) if "planes" in name else samples
        tifffile.imwrite(buffer, samples, photometric="rgb", **options)
        files[name] = buffer.getvalue()
    smooth = np.kron(pixels, np.ones((8, 8, 1), np.uint8))
    for name, options in {"TIFF jpeg": {}, "TIFF jpeg strips": {"rowsperstrip": 16}}.items():
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, smooth, photometric="rgb", compression="jpeg", **options)
        files[name] = buffer.getvalue()
    files["PNG 16"] = imagecodecs.png_encode(wide)
    buffer = io.BytesIO()
    frames = [Image.fromarray(pixels).quantize(8), Image.fromarray(pixels[::-1]).quantize(8)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    files["GIF"] = buffer.getvalue()
    return files


@pytest.mark.filterwarnings("error")  # decoders warn of what they repair
@pytest.mark.parametrize("kind", seeds())
def test_mutated_files_are_read_or_refused(tmp_path, kind):
    """VDSR_FUZZ=20000 looks longer; the seed is fixed, so that a failure can be looked at."""
    path = tmp_path / "a.png"
    for content in mutations(seeds()[kind], int(os.environ.get("VDSR_FUZZ", "60")), seed=1):
        path.write_bytes(content)
        try:
            picture = read_picture(path, max_pixels=10**6)
        except InputError:
            continue
        assert picture.pixels.dtype in (np.uint8, np.uint16)
        assert picture.pixels.ndim == 2 or picture.pixels.shape[2] == 3
        assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]
