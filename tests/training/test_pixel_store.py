"""Pixels of training images: what is left out, and what a store keeps."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conftest import wait_until

from training.runs import TINY, identical, saved_step, weights
from training.sets import PROTOCOLS, SCALES
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import save_image
from vdsrlib.protocol import PAPER
from vdsrlib.training import pixel_store, validation
from vdsrlib.training.network import build_network
from vdsrlib.training.patches import TrainingSet


class TestTraining:
    def test_same_weights(self, train, tmp_path):
        """Pixels from a store, read ahead by workers: the weights of the run in memory."""
        memory = weights(train(name="memory"))
        lines = []
        stored = train(name="stored", store=tmp_path / "store", report=lines.append)
        assert identical(weights(stored), memory)
        assert "MiB on disk" in lines[0]

    def test_scheduler_ends_the_whole_group(self, tmp_path, images, cli_environment):
        """SIGTERM reaches the workers that read ahead, too: the state is saved all the same."""
        options = {
            "recipe": "demo",
            "data-path": images,
            "ckpt-path": tmp_path / "run",
            "logs-path": tmp_path / "logs",
        }
        options |= {"store": tmp_path / "store", "scales": 2, "depth": 3, "width": 4, "patch-size": 16}
        options |= {
            "batch-size": 2,
            "steps": 20_000,
            "save-every": 20_000,
            "validate-every": 0,
            "device": "cpu",
        }
        typed = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
        with subprocess.Popen(
            [sys.executable, "-m", "vdsrlib", "train", *typed],
            env={**cli_environment, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            while process.poll() is None and not list(tmp_path.glob("logs/*")):
                time.sleep(0.01)
            time.sleep(1)
            os.killpg(process.pid, signal.SIGTERM)
            output, errors = process.communicate()
        assert process.returncode == 128 + signal.SIGTERM, errors
        assert errors == ""
        step = saved_step(tmp_path / "run")
        assert f"Stopped after step {step};" in output

    def test_patches_go_where_the_network_is(self, images, tmp_path):
        """Validation and samples draw from the store, whose pixels are not on the device."""
        data = TrainingSet(TINY, [images / "a.png"], store=tmp_path / "store", device="meta")
        assert data.batch(0, 2)[0].device.type == "cpu"
        with pytest.raises(NotImplementedError, match="meta"):  # where nothing can be read back
            validation.sample_patches(build_network(TINY).to("meta"), data)

    def test_full_disk(self, train, tmp_path, full_disk):
        with pytest.raises(InputError, match=r"Cannot write .*store"), full_disk():
            train(store=tmp_path / "store")
        assert [path.name for path in (tmp_path / "store").iterdir()] == ["lock"]

    @pytest.mark.parametrize("name", ["hr", "ilr", "index.json"])
    def test_truncated(self, train, tmp_path, name):
        """Found before the first step; to read beyond the end of a mapped file would kill the process."""
        train(name="first", store=tmp_path / "store")
        (folder,) = (path for path in (tmp_path / "store").iterdir() if path.is_dir())
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match=r"is damaged .* remove it, and it is prepared again"):
            train(name="second", store=tmp_path / "store")

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows lets no one cut a mapped file short")
    @pytest.mark.parametrize("name", ["hr", "ilr"])
    def test_truncated_meanwhile(self, tmp_path, command, quiet, name):
        """A sentence instead of SIGBUS without a word; the steps that were saved are there."""
        words = command("run", steps=10**6, store=tmp_path / "store", **{"save-every": 10})
        with subprocess.Popen(words, stderr=subprocess.PIPE, **quiet) as process:
            wait_until(lambda: (tmp_path / "run" / "state.pt").exists())
            (file,) = (tmp_path / "store").glob(f"*/{name}")
            os.truncate(file, 0)
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 2
        assert errors.count("vdsrlib: ") >= 1
        assert f"{file.parent} was changed while it was read; remove it, and it is prepared again." in errors
        assert saved_step(tmp_path / "run") > 0

    def test_wherever_temporary_files_lie(self, tmp_path, command, quiet):
        """Neither a socket, whose path must be short, nor shared memory is needed to read ahead."""
        long = tmp_path / ("t" * 100)
        long.mkdir()
        words = command("run", steps=20, store=tmp_path / "store")
        done = subprocess.run(
            words, stderr=subprocess.PIPE, **{**quiet, "env": {**quiet["env"], "TMPDIR": str(long)}}
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "MiB on disk" in done.stdout

    def test_unexpected_error_ends_at_once(self, tmp_path, command, quiet):
        """Whatever a reading thread raises ends the program, and leaves no process behind."""
        script = tmp_path / "script.py"
        script.write_text(
            "import sys\n"
            "from vdsrlib.cli.app import main\n"
            "from vdsrlib.training.patches import TrainingSet\n"
            "cut, calls = TrainingSet._cut, []\n"
            "def broken(self, *numbers):\n"
            "    calls.append(0)\n"
            "    assert len(calls) < 20, 'broken'\n"
            "    return cut(self, *numbers)\n"
            "TrainingSet._cut = broken\n"
            "sys.exit(main())\n"
        )
        words = [sys.executable, script, *command("run", store=tmp_path / "store")[3:]]
        done = subprocess.run(words, timeout=60, stderr=subprocess.PIPE, start_new_session=True, **quiet)
        assert done.returncode == 1
        assert "AssertionError: broken" in done.stderr


def test_small_images_are_left_out(make, tmp_path, photo):
    save_image(tmp_path / "large.png", photo)
    save_image(tmp_path / "low.png", photo[:47])
    save_image(tmp_path / "narrow.png", photo[:, :40])
    paths = sorted(tmp_path.iterdir())
    training = make(PAPER, paths=paths, scales=[2], patch_size=48)
    assert training.pixels.index.skipped == ["low.png", "narrow.png"]
    assert len(training.height) == 1
    with pytest.raises(InputError, match="None of the 2 images is as large as a patch of 48 x 48"):
        make(PAPER, paths=paths[1:], scales=[2], patch_size=48)


def test_corrupt_image_is_named(make, paths, tmp_path):
    (tmp_path / "bad.png").write_bytes(paths[0].read_bytes()[:500])
    with pytest.raises(InputError, match=r"bad\.png"):
        make(PAPER, paths=[*paths, tmp_path / "bad.png"], scales=[2])


def test_corrupt_image_left_out(make, paths, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    training = make(PAPER, paths=[bad, *paths], scales=[2], skip_broken=True)
    assert training.pixels.index.broken == ["bad.png"]
    assert len(training.pixels.index.sizes) == len(paths)
    with pytest.raises(InputError, match="None of the 1 images can be read"):
        make(PAPER, paths=[bad], scales=[2], skip_broken=True)


def folders(root) -> list:
    return [path for path in root.iterdir() if path.is_dir()]


class TestFiles:
    @PROTOCOLS
    @pytest.mark.parametrize("degrade_patch", [True, False])
    def test_same_batches(self, make, tmp_path, protocol, degrade_patch):
        memory = make(protocol, SCALES, degrade_patch=degrade_patch)
        stored = make(protocol, SCALES, degrade_patch=degrade_patch, store=tmp_path)
        assert "on disk" in repr(stored)
        read = list(stored.batches(range(3, 9), 8))
        assert len(read) == 6
        for step, batch in enumerate(read, start=3):
            assert all(torch.equal(a, b) for a, b in zip(batch, memory.batch(step, 8), strict=True))

    def test_prepared_once_for_the_same_content(self, make, paths, tmp_path):
        make(PAPER, SCALES, store=tmp_path)
        (folder,) = folders(tmp_path)
        kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        assert kept.keys() == {"hr", "ilr", "index.json"}
        again = make(PAPER, SCALES, store=tmp_path, seed=8, random_crops=True)
        assert folders(tmp_path) == [folder]
        assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == kept
        assert again.pixels.index == make(PAPER, SCALES).pixels.index
        make(PAPER, [2], store=tmp_path)
        make(PAPER, paths=paths[1:], scales=SCALES, store=tmp_path)
        assert len(folders(tmp_path)) == 3

    def test_nothing_is_left_of_a_failure(self, make, paths, tmp_path):
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"no image")
        with pytest.raises(InputError, match=r"bad\.png"):
            make(PAPER, paths=[*paths, bad], scales=SCALES, store=tmp_path / "store")
        assert [path.name for path in (tmp_path / "store").iterdir()] == ["lock"]

    def test_read_ahead_by_threads_that_end_with_the_last_batch(self, make, tmp_path, monkeypatch):
        """No process is started that could outlive this one, or fail to hand over what it has read."""
        stored, draw, readers = make(PAPER, SCALES, store=tmp_path), TrainingSet.batch, set()

        def watched(*arguments):
            readers.add(threading.current_thread())
            return draw(*arguments)

        monkeypatch.setattr(TrainingSet, "batch", watched)
        batches = stored.batches(range(100), 8)
        for _ in range(3):
            next(batches)
        assert 1 <= len(readers) <= 2
        assert threading.current_thread() not in readers
        assert not multiprocessing.active_children()
        batches.close()  # as where training fails, or is stopped
        assert not any(reader.is_alive() for reader in readers)

    def test_of_several_processes_one_prepares(self, make, tmp_path, monkeypatch):
        prepare, calls = pixel_store._prepare, []

        def slowly(*arguments):
            calls.append(arguments)
            time.sleep(0.2)
            return prepare(*arguments)

        monkeypatch.setattr(pixel_store, "_prepare", slowly)
        with ThreadPoolExecutor() as pool:
            one, two = pool.map(lambda _: make(PAPER, SCALES, store=tmp_path), range(2))
        assert len(calls) == 1
        assert torch.equal(one.batch(0, 4)[0], two.batch(0, 4)[0])

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
    def test_others_may_read_it(self, make, tmp_path):
        make(PAPER, SCALES, store=tmp_path / "store")
        (folder,) = folders(tmp_path / "store")
        assert folder.stat().st_mode == (tmp_path / "store").stat().st_mode
