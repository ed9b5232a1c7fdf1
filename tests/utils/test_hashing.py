import hashlib
import json

import numpy as np
import pytest

from vdsrlib.errors import InputError
from vdsrlib.utils.hashing import hash_bytes, hash_file, hash_files, hash_json


@pytest.mark.parametrize(
    "array",
    [np.arange(24).reshape(2, 3, 4), np.arange(24).reshape(4, 6)[::2, ::-1], np.zeros((0, 3)), np.array(1.5)],
)
def test_arrays_count_by_their_samples(array):
    assert hash_bytes(b"a", array, b"b") == hashlib.sha256(b"a" + array.tobytes() + b"b").hexdigest()


def test_json():
    value = {"b": [1, 2.5, None], "a": "größer"}
    assert hash_json(value) == hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    assert hash_json(value) == hash_json(dict(reversed(value.items())))


def test_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(InputError, match=r"none cannot be read \(No such file"):
        hash_file(tmp_path / "none")


def test_files(tmp_path):
    """Another name, other bytes, another order: another hash. A link that leads nowhere has one, too."""
    a, b, c, link = (tmp_path / name for name in ("a", "b", "c", "link"))
    a.write_bytes(b"abc")
    b.write_bytes(b"abc")
    c.write_bytes(b"abd")
    link.symlink_to(tmp_path / "nowhere")
    found = [hash_files(paths) for paths in ([a, b], [b, a], [a, c], [a], [a, link], [])]
    assert len(set(found)) == len(found)
    assert hash_files([a, link]) == found[4]
