"""Files are written whole or not at all."""

import errno
import json
import math
import os
from pathlib import Path

import pytest

from vdsrlib.errors import InputError, WriteError
from vdsrlib.utils.atomic import atomic, atomic_files, to_json, write_json


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_success_replaces_it(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for content in ("one", "two"):
        with atomic(path) as temporary:
            assert temporary.suffix == ".txt"
            assert temporary.parent == path.parent  # a rename across disks is not atomic
            temporary.write_text(content)
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


def raising(error: OSError):
    """Make a function that fails, whatever it is given."""

    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize("error", [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EROFS])
def test_a_file_system_that_refuses_modes(tmp_path, monkeypatch, error):
    refuse = raising(OSError(error, os.strerror(error)))
    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    for text in ("new", "newer"):
        with atomic(tmp_path / "a.txt") as temporary:
            temporary.write_text(text)
        assert (tmp_path / "a.txt").read_text() == text
    with atomic_files(tmp_path / "files", replace=True) as folder:
        (folder / "b.txt").write_text("b")
    assert (tmp_path / "files" / "b.txt").read_text() == "b"


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync(tmp_path, monkeypatch, error):
    monkeypatch.setattr(os, "fsync", raising(OSError(error, os.strerror(error))))
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_an_error_in_syncing_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", raising(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(WriteError, match="Input/output error"), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert not list(tmp_path.iterdir())


def test_the_umask_is_left_alone(tmp_path, monkeypatch):
    """Reading it means changing it, for all threads."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was changed"))
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_is_private_is_private_while_it_is_written(tmp_path):
    path = tmp_path / "a.txt"
    path.touch(0o400)
    with atomic(path) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with atomic(tmp_path / "atomic"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("mode", [0o600, 0o444])
def test_mode_of_what_is_replaced_is_kept(tmp_path, mode):
    path = tmp_path / "a"
    path.touch()
    path.chmod(mode)
    with atomic(path) as temporary:
        temporary.write_text("new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", mode)


@pytest.mark.parametrize("links", [True, False])
def test_without_replace_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch, links):
    """Also where a file system has no links, which are what does it elsewhere."""
    if not links:

        def refuse(self, target):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "a.txt"
    with atomic(path, replace=False) as temporary:
        temporary.write_text("first")
    assert path.read_text() == "first"
    assert path.stat().st_nlink == 1
    with pytest.raises(InputError, match="exists"), atomic(path, replace=False):
        raise AssertionError("it is asked before the work")
    path.unlink()
    with pytest.raises(InputError, match=r"a\.txt exists"), atomic(path, replace=False):
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


class TestSeveralFiles:
    def write(self, folder, *names, replace=False, fail=False):
        with atomic_files(folder, replace=replace) as temporary:
            for name in names:
                (temporary / name).write_text("new")
                assert "new" not in [path.read_text() for path in folder.glob("*.txt") if path.is_file()]
            if fail:
                raise KeyboardInterrupt

    @pytest.mark.parametrize("there", [True, False])
    def test_all_or_nothing(self, tmp_path, there):
        folder = tmp_path / "a"
        if there:
            folder.mkdir()
        with pytest.raises(KeyboardInterrupt):
            self.write(folder, "1.txt", "2.txt", fail=True)
        assert list(tmp_path.rglob("*")) == [folder] * there
        self.write(folder, "1.txt", "2.txt")
        assert sorted(path.name for path in folder.iterdir()) == ["1.txt", "2.txt"]

    def test_a_folder_that_is_not_empty_must_be_meant(self, tmp_path):
        (tmp_path / "mine.txt").write_text("mine")
        (tmp_path / "1.txt").write_text("old")
        (tmp_path / "1.txt").chmod(0o600)
        with pytest.raises(InputError, match="is not empty"):
            self.write(tmp_path, "1.txt")
        with pytest.raises(KeyboardInterrupt):
            self.write(tmp_path, "1.txt", replace=True, fail=True)
        (tmp_path / "2.txt").mkdir()
        with pytest.raises(InputError, match=r"2\.txt is a folder"):
            self.write(tmp_path, "1.txt", "2.txt", replace=True)
        assert (tmp_path / "1.txt").read_text() == "old"
        (tmp_path / "2.txt").rmdir()
        self.write(tmp_path, "1.txt", "2.txt", replace=True)
        texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert texts == {"1.txt": "new", "2.txt": "new", "mine.txt": "mine"}
        if os.name != "nt":
            assert (tmp_path / "1.txt").stat().st_mode & 0o777 == 0o600


def test_name_too_long_is_said_before_the_work(tmp_path):
    with pytest.raises(InputError, match="File name too long"), atomic(tmp_path / ("n" * 300)):
        raise AssertionError("the work began")


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in ((tmp_path, "is a folder"), (tmp_path / "file" / "a", "Cannot write")):
        with pytest.raises(InputError, match=reason), atomic(path):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_full_disk(tmp_path, full_disk):
    path = tmp_path / "a.txt"
    path.write_text("old")
    sentence = r"Cannot write .*a\.txt: File too large"
    with pytest.raises(InputError, match=sentence), full_disk(), atomic(path) as temporary:
        temporary.write_bytes(bytes(10_000))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"scale": 2.5, "name": "größer"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"scale": 2.5, "name": "größer"}
    scores = {"psnr": math.inf, "all": [math.nan, (1.5, -math.inf)], "count": 3}
    assert json.loads(to_json(scores)) == {"psnr": None, "all": [None, [1.5, None]], "count": 3}
    assert "\n" not in to_json(scores)
