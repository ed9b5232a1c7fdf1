"""Lock files between processes."""

import errno

import pytest
from filelock import FileLock

from vdsrlib.errors import InputError
from vdsrlib.utils.locks import file_lock


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("flock")])
def test_file_system_without_locks(tmp_path, monkeypatch, error):
    """As some network drives are: the folder can be written, and that is not what the message is about."""

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with (
        pytest.raises(InputError, match=r"a file system that locks no files .* give a folder on another one"),
        file_lock(tmp_path / "lock"),
    ):
        pass
