"""Results are stored with what made them."""

import json

import pytest
import torch

from vdsrlib import records
from vdsrlib.errors import InputError
from vdsrlib.models import checkpoint
from vdsrlib.utils.device import versions


def test_write_record(tmp_path, tiny, capsys):
    weights = checkpoint.load(tiny)
    path = tmp_path / "run" / "scores.json"
    arguments = {"parameters": {"scale": 2.5}, "device": torch.device("cpu")}
    records.write_record(path, [1.5, 2], weights=weights, **arguments)
    record = json.loads(path.read_text())
    assert record["results"] == [1.5, 2]
    assert record["parameters"] == {"scale": 2.5}
    assert record["weights"]["sha256"] == weights.hash
    assert record["versions"] == versions()
    assert record["device"].startswith("cpu")
    assert "scores.json" in capsys.readouterr().out
    records.write_record(path, {}, **arguments)
    assert json.loads(path.read_text())["weights"] is None


def test_stored_record(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    (tmp_path / "a.json").write_text('{"psnr": 33.66}')
    assert records.stored_record("a.json") == {"psnr": 33.66}
    with pytest.raises(InputError, match=r"there is no stored result 'none\.json' in"):
        records.stored_record("none.json")


def test_check_replaceable(tmp_path):
    """Files of an earlier run may be replaced, as long as they are what it wrote; nothing else may."""
    made, record = tmp_path / "sr.png", tmp_path / "sr.results.json"
    arguments = {"parameters": {}, "device": torch.device("cpu")}
    records.check_replaceable([made], record)
    made.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"sr\.png is taken, and not by an earlier run"):
        records.check_replaceable([made], record)
    records.write_record(record, {}, files=[made], **arguments)
    records.check_replaceable([made, tmp_path / "new.png"], record)
    made.write_bytes(b"edited")
    with pytest.raises(InputError, match=r"sr\.png is taken"):
        records.check_replaceable([made], record)
    made.unlink()
    made.symlink_to("nowhere")
    with pytest.raises(InputError, match=r"sr\.png is taken"):
        records.check_replaceable([made], record)


@pytest.mark.parametrize("content", ["", "{}", '{"files": 3}', "my notes", "[1]"])
def test_check_replaceable_keeps_a_record_of_someone_else(tmp_path, content):
    record = tmp_path / "sr.results.json"
    record.write_text(content)
    with pytest.raises(InputError, match=r"sr\.results\.json is taken"):
        records.check_replaceable([tmp_path / "sr.png"], record)
