"""Files are written whole or not at all."""

import hashlib
import json
import math
import os

import pytest

from vdsrlib.files import InputError, atomic, contents, sha256, to_json, write_json


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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with atomic(tmp_path / "atomic"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


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


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(InputError, match=r"none cannot be read \(No such file"):
        sha256(tmp_path / "none")


def test_contents(tmp_path):
    """Another name, other bytes, another order: another hash. A link that leads nowhere has one, too."""
    a, b, c, link = (tmp_path / name for name in ("a", "b", "c", "link"))
    a.write_bytes(b"abc")
    b.write_bytes(b"abc")
    c.write_bytes(b"abd")
    link.symlink_to(tmp_path / "nowhere")
    found = [contents(paths) for paths in ([a, b], [b, a], [a, c], [a], [a, link], [])]
    assert len(set(found)) == len(found)
    assert contents([a, link]) == found[4]
