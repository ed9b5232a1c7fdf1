"""``vdsr data``: sets are known by their pixels, damaged copies are told apart, archives are not trusted.

Small sets made of photographs stand for the real ones, with a manifest of their own made by the same command.
"""

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

import vdsrlib
from vdsrlib.cli import app
from vdsrlib.datasets import archives, manifest, sources
from vdsrlib.datasets.catalog import embedded, list_images
from vdsrlib.imaging.colour import as_rgb
from vdsrlib.imaging.image_file import read_image

SCRIPTS = Path(__file__).parents[2] / "data_scripts"
PACKAGE = Path(vdsrlib.__file__).parent


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Scripts beside a manifest of two small sets: five PNG, one of them grey, and four JPEG; odd sizes."""
    root = tmp_path_factory.mktemp("small")
    for number, name in enumerate(("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png")):
        image = read_image(embedded([name])[0])
        write(root / f"sets/Set5/{name[:-4]}.png", image[60:157, 80 + number : 201 + number])
        if number < 4:
            write(root / f"sets/B100/{number}.jpg", image[150:247, 180:301], quality=85)
    shutil.copytree(SCRIPTS, root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    without = shutil.ignore_patterns("*.json", "*.safetensors", "__pycache__")
    shutil.copytree(PACKAGE, root / "scripts/vdsrlib", ignore=without)  # with sets of its own
    command = [sys.executable, root / "scripts/manifest.py", root / "sets"]
    subprocess.run(command, check=True, capture_output=True)
    return root


@pytest.fixture(scope="session")
def known(small):
    """The small sets in place of the real ones."""
    folder = small / "scripts/vdsrlib/datasets"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "PATH", folder / "manifest.json")
        patch.setattr(sources, "PATH", folder / "sources.json")
        yield


@pytest.fixture(scope="session")
def real_scripts(data):
    """Run verify.py as a user does, on the real sets."""

    def verify(*arguments):
        command = [sys.executable, SCRIPTS / "verify.py", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True)

    return verify


@pytest.fixture
def verify(known, capsys):
    def run(*arguments):
        capsys.readouterr()
        status = app.main(["data", "verify", *map(str, arguments)])
        return status, capsys.readouterr().out

    return run


def even(image):
    return image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]


def grey(image):
    return np.asarray(Image.fromarray(image).convert("L"))


def changed(change, suffix=".png", **options):
    """A damage that changes every image and writes it under another name."""

    def damage(folder):
        for number, path in enumerate(list_images(folder)):
            image = change(read_image(path))
            path.unlink()
            write(folder / f"no{number}{suffix}", image, **options)

    return damage


def decoded_otherwise(folder):
    """The JPEG files as PNG, their colours computed by Pillow instead of libjpeg: ±1."""
    for path in list_images(folder):
        picture = Image.open(path)
        picture.draft("YCbCr", picture.size)
        image = np.asarray(picture.convert("RGB"))
        assert abs(image.astype(int) - read_image(path)).max() == 1
        path.unlink()
        write(path.with_suffix(".png"), image)


def first(folder):
    return list_images(folder)[0]


DAMAGES = {
    "nothing": ("Set5", lambda folder: None, "OK", "pixel for pixel"),
    "names and format": ("Set5", changed(lambda image: image, ".bmp"), "OK", "pixel for pixel"),
    "lossless copies of JPEG": ("B100", changed(lambda image: image), "OK", "pixel for pixel"),
    "another decoder": ("B100", decoded_otherwise, "OK", "decoded otherwise 4"),
    "missing": ("Set5", lambda folder: first(folder).unlink(), "FAIL", "missing 1: astronaut.png"),
    "extra": (
        "Set5",
        lambda folder: shutil.copy(embedded(["brick.png"])[0], folder / "x.png"),
        "FAIL",
        "extra 1: x.png",
    ),
    "duplicated": (
        "Set5",
        lambda folder: shutil.copy(first(folder), folder / "again.png"),
        "FAIL",
        "duplicated 1",
    ),
    "cropped": ("Set5", changed(even), "FAIL", "120x96 instead of 121x97, the top left part pixel for pixel"),
    "cropped elsewhere": ("Set5", changed(lambda image: image[1:, 1:]), "FAIL", "cropped 5"),
    "resized": ("Set5", changed(lambda image: image[::2, ::2]), "FAIL", "resized 5"),
    "greyscale": ("B100", changed(grey), "FAIL", "greyscale 4"),
    "grey as RGB": ("Set5", changed(as_rgb), "FAIL", "grey as RGB 1"),
    "recompressed": ("Set5", changed(lambda image: image, ".jpg", quality=90), "FAIL", "recompressed 5"),
    "recompressed JPEG": ("B100", changed(lambda image: image, ".jpg", quality=70), "FAIL", "recompressed 4"),
    "recompressed, saved as PNG": (
        "B100",
        changed(
            lambda image: np.asarray(
                Image.open(
                    (Image.fromarray(image).save(memory := io.BytesIO(), "JPEG", quality=80), memory)[1]
                )
            )
        ),
        "FAIL",
        "recompressed 4",
    ),
    "truncated": (
        "Set5",
        lambda folder: first(folder).write_bytes(first(folder).read_bytes()[:3000]),
        "FAIL",
        "unreadable 1",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damages_are_told_apart(small, verify, tmp_path, damage):
    name, apply, verdict, words = DAMAGES[damage]
    shutil.copytree(small / "sets" / name, tmp_path / "whatever name")
    apply(tmp_path / "whatever name")
    status, report = verify(tmp_path)
    assert report.startswith(f"{verdict:4} {name} in ")
    assert words in report
    assert status == (verdict != "OK")
    kinds = (
        "cropped",
        "resized",
        "greyscale",
        "grey as RGB",
        "recompressed",
        "duplicated",
        "extra",
        "missing",
    )
    named = {kind for kind in kinds if f"\n     {kind} " in report}
    wanted = {kind for kind in kinds if kind in damage} if verdict == "FAIL" else set()
    assert named == (wanted | {"missing"} if damage == "truncated" else wanted)


def test_the_report_says_what_a_copy_does_to_the_numbers(small, verify, tmp_path):
    from vdsrlib.evaluation.evaluate import evaluate

    shutil.copytree(small / "sets/Set5", tmp_path / "Set5")
    changed(lambda image: image, ".jpg", quality=60)(tmp_path / "Set5")
    _, report = verify(tmp_path, "--scales", "3")

    def score(folder):
        return evaluate(None, folder, 3).psnr.mean()

    right, here = score(small / "sets/Set5"), score(tmp_path / "Set5")
    assert abs(right - here) > 0.01
    numbers = f"{here:.4f} dB instead of {right:.4f} ({here - right:+.4f})"
    assert f"interpolation at x3, protocol paper: {numbers}" in report
    assert "interpolation at x3, protocol replication: " in report
    assert "scores on this copy do not compare with published ones" in report


def test_a_right_copy_needs_no_package_for_perceptual_hashes(small, verify, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert verify(small / "sets")[0] == 0


def test_an_image_too_small_to_be_scored_is_named(small, verify, tmp_path):
    shutil.copytree(small / "sets/Set5", tmp_path / "elsewhere")
    write(tmp_path / "elsewhere/tiny.png", read_image(first(small / "sets/Set5"))[:14, :14])
    (tmp_path / "sl").mkdir()
    (tmp_path / "sl/Set5").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "sl/round").symlink_to(tmp_path / "sl")
    status, report = verify(tmp_path / "sl")
    assert status == 1
    assert report.count("FAIL Set5 in ") == 1
    assert "extra 1: tiny.png" in report
    assert ", without tiny.png, too small to be scored" in report


def test_own_images_get_a_report_of_what_is_skipped_and_why(small, verify, tmp_path):
    folder = tmp_path / "mine"
    photo = read_image(embedded(["motorcycle_left.png"])[0])
    for number in range(4):
        write(folder / f"{number}.png", photo[100 : 200 + number, 200:300])
    write(folder / "small.png", photo[:30, :90])
    write(folder / "twice.png", photo[100:200, 200:300])
    write(folder / "rgba.png", np.dstack([photo[:80, :80], photo[:80, :80, 0]]))
    write(folder / "leak.jpg", read_image(first(small / "sets/Set5"))[:-2, :-2], quality=80)
    write(folder / "inner/x.png", photo[300:400, 300:400])
    (folder / "clip.gif").write_bytes(b"GIF89a")
    status, report = verify(folder)
    assert status == 0
    assert report.startswith(f"OWN  {folder}: 8 images, none of the known sets")
    for line in (
        "small.png: skipped; 90x30 pixels, less than a patch of 41x41",
        "twice.png: counted twice; the same pixels as 0.png",
        "rgba.png: used, changed; transparency is dropped",
        "leak.jpg: a leak; it shows astronaut.png of the test set Set5",
        "inner: not looked into; a folder, with 1 image",
        "clip.gif: ignored",
    ):
        assert f"\n     {line}" in report
    (folder / "broken.png").write_bytes(b"not an image")
    status, report = verify(folder)
    assert status == 1
    assert "broken.png: stops training" in report


@pytest.mark.parametrize(
    "arguments", [[], ["none"], ["."], [".", "--scales", "5"], [".", "--scales", "2.5_3.9"]]
)
def test_nothing_to_verify_is_one_sentence(known, monkeypatch, capsys, tmp_path, arguments):
    monkeypatch.setenv("VDSR_DATA", "")
    monkeypatch.chdir(tmp_path)
    assert app.main(["data", "verify", *arguments]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("flags", [[], ["-OO"], ["-W", "error"]], ids=["plain", "-OO", "warnings"])
def test_names_that_the_terminal_cannot_write(small, tmp_path, flags):
    for path in list_images(small / "sets/Set5"):
        write(tmp_path / f"größe 图像/Ä{path.name}", read_image(path)[1:])
    sources = small / "scripts/vdsrlib/datasets/sources.json"
    sources.write_text('{"Set5": {"mirrors": []}}')
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for script, arguments in (
        ("verify", [tmp_path]),
        ("get", ["Set5", "--to", tmp_path / "Ö", "--from", tmp_path / "größe 图像"]),
    ):
        command = [sys.executable, *flags, small / f"scripts/{script}.py", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "cropped 5" in done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_named(known, small, tmp_path, capsys):
    shutil.copytree(small / "sets/Set5", tmp_path / "mine")
    first(tmp_path / "mine").chmod(0)
    typed = ["data", "get", "Set5", "--to", tmp_path / "to", "--from", tmp_path / "mine"]
    assert app.main([str(argument) for argument in typed]) == 1
    assert "astronaut.png cannot be read (Permission denied)" in capsys.readouterr().err


class TestRealSets:
    def test_every_set_verifies_by_the_committed_manifest(self, data, real_scripts):
        done = real_scripts(data.root)
        assert done.returncode == 0, done.stdout + done.stderr
        for name, images in {
            "T91": 91,
            "BSD200": 200,
            "CID22": 209,
            "Kodak24": 24,
            "Set5": 5,
            "Set14": 14,
            "B100": 100,
            "Urban100": 100,
        }.items():
            assert f"OK   {name} in {data.root / name}: {images} of {images} images, pixel for pixel\n" in (
                done.stdout
            )
        assert "x2, x3, x4, protocol paper: 33.6614, 30.3922, 28.4207 dB" in done.stdout

    def test_common_copies(self, data, real_scripts, tmp_path):
        """B100 at 480x320 and by another decoder, Set14 of even sizes and with its grey image as RGB."""
        for path in list_images(data / "B100")[:25]:
            write(tmp_path / f"a/{path.stem}.png", even(read_image(path)))
        shutil.copytree(data / "B100", tmp_path / "b", copy_function=shutil.copyfile)
        (tmp_path / "b").chmod(0o755)
        decoded_otherwise(tmp_path / "b")
        for path in list_images(data / "Set14"):
            image = read_image(path)
            write(tmp_path / f"even/{path.name}", even(image))
            write(tmp_path / f"rgb/{path.name}", as_rgb(image))
        done = real_scripts(tmp_path, "--scales", "3")
        assert done.returncode == 1, done.stderr
        cropped, decoded, even14, rgb14 = done.stdout.replace("OK   ", "FAIL ").split("FAIL ")[1:]
        assert "cropped 25" in cropped
        assert "480x320 instead of 481x321, the top left part pixel for pixel" in cropped
        assert "missing 75" in cropped
        assert "OK   B100" in done.stdout
        assert "27.2065 dB instead of 27.2072 (-0.0007)" in decoded
        assert "cropped 3" in even14
        assert "528x656 instead of 529x656" in even14
        assert "paper: 27.5405 dB instead of 27.5405 (-0.0000)" in even14
        assert "replication: 24.8906 dB instead of 24.8616 (+0.0290)" in even14
        assert "grey as RGB 1: bridge.png" in rgb14
        assert "27.6348 dB instead of 27.5405 (+0.0942)" in rgb14


class TestArchives:
    """``--from``: any layout will do, and no archive is trusted."""

    @pytest.fixture
    def get(self, known, small, tmp_path, capsys):
        sources = small / "scripts/vdsrlib/datasets/sources.json"
        sources.write_text('{"Set5": {"mirrors": []}, "B100": {"mirrors": []}}')

        def run(*arguments):
            capsys.readouterr()
            typed = ["--to", tmp_path / "to", *arguments]
            status = app.main(["data", "get", *map(str, typed)])
            return status, capsys.readouterr()

        return run

    def packed(self, layout, small, folder):
        """The small sets as they are published: an archive, or a folder."""
        set5, b100 = list_images(small / "sets/Set5"), list_images(small / "sets/B100")
        files = {}
        for number, path in enumerate(set5, start=1):
            image, name = read_image(path), path.stem
            if layout == "SelfExSR":
                for scale in (2, 3):
                    files[f"SelfExSR/data/Set5/image_SRF_{scale}/img_{number:03d}_SRF_{scale}_HR.png"] = image
                    low = image[::scale, ::scale]
                    files[f"SelfExSR/data/Set5/image_SRF_{scale}/img_{number:03d}_SRF_{scale}_LR.png"] = low
            elif layout == "benchmark.tar":
                files[f"benchmark/Set5/HR/{name}.png"] = as_rgb(image)
                files[f"benchmark/Set5/LR_bicubic/X2/{name}x2.png"] = as_rgb(image)[::2, ::2]
            elif layout == "LapSRN.zip":
                files[f"Set5/{name}.bmp"] = image
            elif layout == "HF.tar.gz":
                files[f"Set5_HR/{name}.png"] = image
        for path in b100:
            if layout == "BSDS300.tgz":
                files[f"BSDS300/images/test/{path.name}"] = path
            elif layout == "benchmark.tar":
                files[f"benchmark/B100/HR/{path.stem}.png"] = read_image(path)
        tree = folder / "tree"
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copy(content, tree / name)
            else:
                write(tree / name, content)
        if layout == "SelfExSR":
            return tree
        target = folder / layout
        if layout.endswith(".zip"):
            with zipfile.ZipFile(target, "w") as archive:
                for name in files:
                    archive.write(tree / name, name)
        else:
            with tarfile.open(target, "w" if layout.endswith(".tar") else "w:gz") as archive:
                archive.add(tree, ".")
        return target

    @pytest.mark.parametrize(
        ("layout", "sets"),
        [
            ("SelfExSR", ["Set5"]),
            ("benchmark.tar", ["Set5", "B100"]),
            ("LapSRN.zip", ["Set5"]),
            ("HF.tar.gz", ["Set5"]),
            ("BSDS300.tgz", ["B100"]),
        ],
    )
    def test_layouts(self, get, verify, small, tmp_path, layout, sets):
        source = self.packed(layout, small, tmp_path)
        status, printed = get(*sets, "--from", source)
        assert (status, printed.err) == (0, "")
        assert verify(tmp_path / "to")[0] == 0
        for name in sets:
            stems = [
                [path.stem for path in list_images(root / name)] for root in (tmp_path / "to", small / "sets")
            ]
            assert stems[0] == stems[1]
            assert f"{name}: {len(stems[0])} images" in printed.out
        status, printed = get(*sets)
        assert status == 0
        assert "already" in printed.out

    def test_a_set_without_a_manifest_is_taken_by_its_folder_and_counted(self, get, small, tmp_path):
        sources = {"General100": {"folder": "General100", "count": 5, "mirrors": []}}
        (small / "scripts/vdsrlib/datasets/sources.json").write_text(json.dumps(sources))
        shutil.copytree(small / "sets/Set5", tmp_path / "packed/General100")
        shutil.copytree(small / "sets/B100", tmp_path / "packed/T91")
        shutil.make_archive(tmp_path / "sets", "zip", tmp_path / "packed")
        status, printed = get("General100", "--from", tmp_path / "sets.zip")
        assert (status, printed.err) == (0, "")
        assert "5 images" in printed.out
        assert "counted only" in printed.out
        names = [
            [path.name for path in list_images(folder)]
            for folder in (tmp_path / "to/General100", small / "sets/Set5")
        ]
        assert names[0] == names[1]
        first(tmp_path / "packed/General100").unlink()
        shutil.rmtree(tmp_path / "to/General100")
        status, printed = get("General100", "--from", tmp_path / "packed")
        assert (status, printed.err) == (1, "get: there are 4 images in a folder General100 instead of 5\n")

    def test_a_wrong_copy_is_named_and_not_taken(self, get, small, tmp_path):
        shutil.copytree(small / "sets/Set5", tmp_path / "copy")
        changed(even)(tmp_path / "copy")
        status, printed = get("Set5", "--from", tmp_path / "copy")
        assert status == 1
        assert "0 of the 5 images of Set5 are right; cropped 5" in printed.err
        assert not (tmp_path / "to/Set5").exists()

    def test_a_folder_in_the_way_is_left_as_it_is(self, get, small, tmp_path):
        write(tmp_path / "to/Set5/mine.png", read_image(first(small / "sets/Set5"))[::2])
        before = sorted((tmp_path / "to/Set5").iterdir())
        status, printed = get("Set5", "--from", small / "sets")
        assert status == 1
        assert "Move it away first; it was left as it is" in printed.err
        assert sorted((tmp_path / "to/Set5").iterdir()) == before

    def evil_tar(self, path, **attributes):
        member = tarfile.TarInfo("Set5/baby.png")
        for name, value in attributes.items():
            setattr(member, name, value)
        with tarfile.open(path, "w:gz") as archive:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
        return path

    def evil_zip(self, path, name="Set5/baby.png", mode=0, content=b"x", flags=0):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            member = zipfile.ZipInfo(name)
            member.external_attr, member.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
        return path

    EVIL: ClassVar = {
        "dots": lambda self, path: self.evil_tar(path, name="Set5/../../evil.png"),
        "absolute": lambda self, path: self.evil_tar(path, name="/tmp/evil.png"),
        "symbolic link": lambda self, path: self.evil_tar(path, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "hard link": lambda self, path: self.evil_tar(path, type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        "device": lambda self, path: self.evil_tar(path, type=tarfile.CHRTYPE, devmajor=1, devminor=5),
        "pipe": lambda self, path: self.evil_tar(path, type=tarfile.FIFOTYPE),
        "bomb": lambda self, path: self.evil_tar(path, name="zeros.bin", size=8 * 2**20),
        "bomb of a name": lambda self, path: self.evil_tar(path, name="x" * 8 * 2**20),
        "large image": lambda self, path: self.evil_tar(path, size=2 * 2**20),
        "zip dots": lambda self, path: self.evil_zip(path, "Set5/../../evil.png"),
        "zip backslashes": lambda self, path: self.evil_zip(path, "..\\evil.png"),
        "zip drive": lambda self, path: self.evil_zip(path, "C:/evil.png"),
        "zip symbolic link": lambda self, path: self.evil_zip(path, mode=stat.S_IFLNK | 0o777),
        "zip device": lambda self, path: self.evil_zip(path, mode=stat.S_IFBLK | 0o600),
        "zip bomb": lambda self, path: self.evil_zip(path, "zeros.bin", content=bytes(8 * 2**20)),
    }

    @pytest.mark.parametrize("evil", EVIL)
    def test_evil_archives_are_refused(self, get, monkeypatch, tmp_path, evil):
        monkeypatch.setattr(archives, "SLACK", 2**20)
        monkeypatch.setattr(archives, "LARGEST_IMAGE", 2**20)
        source = self.EVIL[evil](self, tmp_path / "evil")
        status, printed = get("Set5", "--from", source)
        assert status == 1
        assert printed.err.startswith("get: evil is refused: ")
        assert printed.err.count("\n") == 1
        assert sorted(path.name for path in tmp_path.rglob("*")) == [".downloads", "evil", "lock", "to"]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"<!DOCTYPE html><html>Sign in</html>", "a web page, not a zip or tar archive"),
            (b"Rar!\x1a\x07\x00", "a rar archive (unpack it by hand"),
            (b"", "empty, not a zip"),
            (b"PK\x03\x04 and then nothing", "something else, not a zip"),
            (b"\x1f\x8b\x08\x00 broken", "broken archive"),
        ],
    )
    def test_what_is_no_archive_is_named(self, get, tmp_path, content, words):
        (tmp_path / "file").write_bytes(content)
        status, printed = get("Set5", "--from", tmp_path / "file")
        assert status == 1
        assert words in printed.err
        assert "Traceback" not in printed.err
