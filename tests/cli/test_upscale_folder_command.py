"""``vdsr upscale`` on folders: trees, names, runs that go on, and several processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import wait_until
from filelock import FileLock

from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.utils import locks


@pytest.fixture
def tree(tmp_path, photo, grey_photo, monkeypatch):
    """A folder with images at three depths, hidden ones, and others."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "trip/b.jpg", "trip/more/c.webp", ".hidden/d.png", "trip/.e.png"):
        save_image(tmp_path / "in" / name, photo)
    (tmp_path / "in/trip/more/notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture
def upscale(call_cli, tiny):
    return lambda *arguments: call_cli("upscale", *arguments, "--scale", 2, "--weights", tiny)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_subfolders_are_kept(tree, upscale):
    status, out, error = upscale("in", "out", "--recursive")
    assert (status, error) == (0, "vdsrlib: no images by their names: trip/more/notes.txt\n")
    assert files(tree / "out") == ["a.png", "trip/b.jpg", "trip/more/c.webp"]
    assert len(out.splitlines()) == 3
    assert read_image("out/trip/more/c.webp").shape == (192, 240, 3)


def test_a_target_inside_the_source_is_not_looked_into(tree, upscale):
    assert upscale("in", "in/large", "--recursive")[0] == 0
    status, out, _ = upscale("in", "in/large", "--recursive", "--skip-existing")
    assert (status, out.count("exists; skipped")) == (0, 3)
    assert files(tree / "in/large") == ["a.png", "trip/b.jpg", "trip/more/c.webp"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_would_command_a_terminal(tree, upscale):
    """Each image keeps its name, and has one line."""
    name = "new\nline \x1b[31mred.png"
    for folder in ("in", "bad"):
        (tree / folder).mkdir(exist_ok=True)
    (tree / "in/a.png").rename(tree / "in" / name)
    (tree / "bad" / name).write_text("no image")
    assert upscale("in", "out") == (
        0,
        "out/new\\nline \\x1b[31mred.png: 240 x 192 pixels\n",
        "vdsrlib: not looked into, without --recursive: trip\n",
    )
    assert files(tree / "out") == [name]
    _, _, error = upscale("bad", "out2")
    assert "\x1b" not in error
    assert len(error.splitlines()) == 2


def test_images_in_subfolders_alone_are_named(tree, upscale):
    (tree / "in/a.png").unlink()
    status, _, error = upscale("in", "out")
    assert status == 2
    assert "there is no image in in, but in 1 subfolders --recursive may find some" in error


@pytest.mark.parametrize(("kind", "suffix"), [("png", ""), ("jpg", "_x2"), ("tif", ""), ("webp", " big")])
def test_one_format_and_a_suffix(tree, upscale, kind, suffix):
    assert upscale("in", "out", "--recursive", "--format", kind, "--suffix", suffix)[0] == 0
    assert files(tree / "out") == [f"{n}{suffix}.{kind}" for n in ("a", "trip/b", "trip/more/c")]
    assert read_image(tree / f"out/a{suffix}.{kind}").shape == (192, 240, 3)


def test_two_images_that_would_get_one_name_in_one_format(tree, upscale, photo):
    save_image("in/a.jpg", photo)
    status, _, error = upscale("in", "out", "--format", "png")
    assert status == 2
    assert "would both become out/a.png" in error
    assert upscale("in", "out")[0] == 0


def test_a_stopped_run_goes_on(tree, upscale):
    assert upscale("in/a.png", "out/a.png")[0] == 0
    before = (tree / "out/a.png").stat().st_mtime_ns
    status, out, _ = upscale("in", "out", "--recursive", "--skip-existing")
    assert status == 0
    first, *others = out.splitlines()
    assert first == "out/a.png: exists; skipped"
    assert len(others) == 2
    assert (tree / "out/a.png").stat().st_mtime_ns == before
    assert upscale("in/a.png", "out/a.png", "--skip-existing")[:2] == (0, "out/a.png: exists; skipped\n")


def test_an_image_that_another_process_works_on_is_left_to_it(tree, upscale, monkeypatch):
    names = []

    def lock(file, timeout):
        names.append(file)
        return locks_before(file, timeout)

    locks_before = locks.file_lock
    monkeypatch.setattr(locks, "file_lock", lock)
    assert upscale("in/a.png", "out/a.png", "--skip-existing")[0] == 0
    (tree / "out/a.png").unlink()
    (claimed,) = names
    with FileLock(claimed):
        status, out, _ = upscale("in/a.png", "out/a.png", "--skip-existing")
        assert (status, out) == (0, "out/a.png: exists; skipped\n")
        assert not (tree / "out/a.png").exists()
    assert upscale("in/a.png", "out/a.png", "--skip-existing")[0] == 0
    assert [path.name for path in (tree / "out").iterdir()] == ["a.png"]


def test_skip_existing_and_force_exclude_each_other(tree, upscale):
    status, _, error = upscale("in", "out", "--skip-existing", "--force")
    assert status == 2
    assert "not allowed with" in error


@pytest.mark.parametrize("option", ["--recursive", "--format png", "--suffix _x2", "--jobs 2"])
def test_options_of_a_folder_are_refused_for_an_image(tree, upscale, option):
    status, _, error = upscale("in/a.png", "out.png", *option.split())
    assert status == 2
    assert error == f"vdsrlib: {option.split()[0]} is for a folder, and in/a.png is none\n"


def test_json_has_a_line_for_each_image(tree, upscale):
    upscale("in/a.png", "out/a.png")
    (tree / "in/bad.png").write_bytes(b"<html>")
    status, out, _ = upscale("in", "out", "--json", "--skip-existing", "--recursive")
    assert status == 1
    records = {record["source"]: record for record in map(json.loads, out.splitlines())}
    assert records["in/a.png"] | {"seconds": 0} == {
        "source": "in/a.png",
        "target": "out/a.png",
        "width": None,
        "height": None,
        "skipped": True,
        "error": None,
        "notes": [],
        "seconds": 0,
    }
    done, failed = records["in/trip/b.jpg"], records["in/bad.png"]
    assert (done["width"], done["height"], done["skipped"], done["error"]) == (240, 192, False, None)
    assert "cannot be read" in failed["error"]


def test_many_names_are_not_all_printed(tree, upscale):
    for number in range(3000):
        (tree / f"in/{number:04}.nef").touch()
    status, _, error = upscale("in", "out")
    assert status == 0
    assert "no images by their names: 0000.nef, 0001.nef, 0002.nef, 0003.nef, 0004.nef and 2995 more" in error
    assert len(error) < 300


def test_several_processes(tree, upscale):
    (tree / "in/bad.png").write_bytes(b"<html>")
    status, out, error = upscale("in", "out", "--recursive", "--jobs", 2)
    assert status == 1
    assert sorted(line.split(":")[0] for line in out.splitlines()) == [
        "out/a.png",
        "out/trip/b.jpg",
        "out/trip/more/c.webp",
    ]
    assert "in/bad.png cannot be read" in error
    assert "1 of 4 images failed" in error
    assert upscale("in/a.png", "alone.png")[0] == 0
    assert (read_image("alone.png") == read_image("out/a.png")).all()


def test_processes_of_torchrun_share_the_images(tree, upscale, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        status, out, _ = upscale("in", "out", "--recursive")
        assert status == 0
        done += [line.split(":")[0] for line in out.splitlines()]
    assert sorted(done) == ["out/a.png", "out/trip/b.jpg", "out/trip/more/c.webp"]
    monkeypatch.setenv("WORLD_SIZE", "")  # as some schedulers leave it
    assert upscale("in", "again")[0] == 0
    monkeypatch.setenv("WORLD_SIZE", "two")
    status, _, error = upscale("in", "third")
    assert (status, error.count("\n")) == (2, 1)
    assert "WORLD_SIZE must be a whole number" in error


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stopped_run_leaves_no_part_and_no_process(tree, cli_environment, photo, number, jobs):
    for index in range(4):
        save_image(f"many/{index}.png", photo.repeat(6, axis=0).repeat(6, axis=1))
    command = [sys.executable, "-m", "vdsrlib", "upscale", "many", "out", "--scale", "3", "--jobs", str(jobs)]
    process = subprocess.Popen(
        command, env=cli_environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: list((tree / "out").glob("*")))
    time.sleep(0.2)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode in (130, 128 + number)
    assert error == ""
    assert [path.name for path in (tree / "out").iterdir() if path.name.startswith(".")] == []
