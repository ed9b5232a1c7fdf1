"""Weights survive a round trip; the authors' file scores what the paper says; nothing else is loaded."""

import io
import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from vdsrlib.datasets.catalog import embedded
from vdsrlib.errors import InputError
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.image_file import read_image
from vdsrlib.models import checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER
from vdsrlib.utils.hashing import hash_file

INFO = {"protocol": "paper", "scales": [2.0, 2.5], "recipe": {"name": "test"}, "data": "no images"}


def write_safetensors(path, model, tensors=None, **metadata):
    """As checkpoint.save writes it, but for what is given; a value of None leaves a key out."""
    info = {**INFO, "depth": model.depth, "width": model.width, "channels": model.channels}
    strings = {"format": checkpoint.FORMAT, **{key: json.dumps(value) for key, value in info.items()}}
    state = {**model.state_dict(), **(tensors or {})}
    save_file(
        {name: value.contiguous() for name, value in state.items() if value is not None},
        path,
        metadata={key: value for key, value in {**strings, **metadata}.items() if value is not None},
    )


def write_mat(path, model):
    """MatConvNet's layout, the last axis of length 1 dropped as MATLAB does."""
    weights, biases = np.empty((1, model.depth), object), np.empty((1, model.depth), object)
    for i, conv in enumerate(model.conv.values()):
        weights[0, i] = conv.weight.detach().numpy().transpose(2, 3, 1, 0)
        weights[0, i] = weights[0, i][..., 0] if conv.out_channels == 1 else weights[0, i]
        biases[0, i] = conv.bias.detach().numpy()[:, None]
    savemat(path, {"model": {"weight": weights, "bias": biases}}, do_compression=True)


def refused(path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(InputError) as caught:
        checkpoint.load(path, "cpu")
    message = str(caught.value)
    assert path.name in message
    assert len(message) < 600
    return message


def same_weights(one: VDSR, other: VDSR) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip(tmp_path, make_model, channels):
    model = make_model(channels, depth=4, width=5)
    path = tmp_path / "new folder" / "weights.safetensors"
    checkpoint.save(path, model, {**INFO, "note": "Ä β", "validation": {"x2": 30.5}})
    loaded = checkpoint.load(path, "cpu")
    assert same_weights(loaded.model, model)
    assert not loaded.model.training
    sizes = {"depth": 4, "width": 5, "channels": channels, "residual": True}
    assert loaded.info == {**INFO, **sizes, "note": "Ä β", "validation": {"x2": 30.5}}
    assert list(loaded.info) == sorted(loaded.info)
    assert loaded.protocol is PAPER
    assert (loaded.file, loaded.hash) == ("weights.safetensors", hash_file(path))
    assert loaded.record()["sha256"] == loaded.hash
    for part in ("depth 4", "width 5", "paper protocol", "scales 2, 2.5", "no images", loaded.hash[:12]):
        assert part in loaded.summary()


def test_passport_is_required(tmp_path, make_model):
    with pytest.raises(InputError, match="lacks scales, data"):
        checkpoint.save(tmp_path / "w.safetensors", make_model(), {"protocol": "paper", "recipe": "x"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("scale", "psnr"), [(2, 37.5269), (3, 33.6583), (4, 31.3430)])
def test_weights_of_the_authors(data, reference, scale, psnr):
    loaded = checkpoint.load(reference / "VDSR_Official.mat", "cpu")
    assert (loaded.model.depth, loaded.model.width, loaded.model.channels) == (20, 64, 1)
    means = mean_scores(evaluate(loaded, data / "Set5", scale), ["method"])
    assert means.psnr["model"] == pytest.approx(psnr, abs=0.005)


def test_shipped_weights():
    """They load, and beat interpolation on a photograph at every scale that they name."""
    loaded = checkpoint.load(device="cpu")
    assert checkpoint.DEFAULT in checkpoint.shipped_weights()
    assert (loaded.model.depth, loaded.model.width) == (20, 64)
    image = read_image(embedded(["chelsea.png"])[0])[60:180, 100:244]
    for scale in loaded.info["scales"]:
        upscaled = degrade_and_upscale(loaded, image, scale)
        assert upscaled.network_score.psnr > upscaled.interpolation_score.psnr + 0.1


def test_matconvnet_layout(tmp_path, make_model):
    model = make_model(depth=4, width=5)
    write_mat(tmp_path / "m.mat", model)
    loaded = checkpoint.load(tmp_path / "m.mat", "cpu")
    assert same_weights(loaded.model, model)
    assert loaded.protocol is PAPER


def test_missing(tmp_path):
    assert "There is no weights file" in refused(tmp_path / "none.safetensors")
    assert "There is no weights file" in refused(tmp_path)


def test_shipped_weights_by_name(tmp_path, make_model, monkeypatch):
    """Each of them; a file of the same name comes first, a folder does not."""
    for path in checkpoint.shipped_weights():
        assert checkpoint.load(path.stem, "cpu").hash == hash_file(path)
    assert checkpoint.load(device="cpu").hash == checkpoint.load("vdsr", "cpu").hash
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vdsr").mkdir()
    assert checkpoint.load("vdsr", "cpu").model.depth == 20
    checkpoint.save("mine.safetensors", make_model(), INFO)
    (tmp_path / "mine.safetensors").rename("vdsr-rgb")
    assert checkpoint.load("vdsr-rgb", "cpu").model.depth == 3
    for name in ("vdsr-rbg", "paper", ""):
        with pytest.raises(InputError, match=rf"unknown weights '{name}'; choose paper-2, .*, vdsr"):
            checkpoint.load(name)


@pytest.mark.parametrize("suffix", [".safetensors", ".mat", ".pth", ""])
@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"<!DOCTYPE html><html><body>404: Not Found</body></html>", b"\xff" * 5000]
)
def test_something_else(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    assert "damaged" in refused(path)


@pytest.mark.parametrize("kept", [1, 7, 8, 9, 100, 0.3, 0.9, -1])
def test_truncated(tmp_path, tiny, kept):
    content = tiny.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    assert "damaged" in refused(path)


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_truncated_mat(tmp_path, make_model, kept):
    path = tmp_path / "cut.mat"
    write_mat(path, make_model())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "damaged" in refused(path)


@pytest.mark.parametrize(
    "variables", [{"other": 1.0}, {"model": 1.0}, {"model": {"weight": np.ones(3)}}], ids=str
)
def test_mat_of_something_else(tmp_path, variables):
    savemat(tmp_path / "m.mat", variables)
    assert "MatConvNet" in refused(tmp_path / "m.mat")


class Trap:
    """Makes a file when unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".mat"])
@pytest.mark.parametrize("kind", ["torch", "torch legacy", 0, 2, 3, 4, 5])
def test_pickles_are_never_run(tmp_path, kind, suffix):
    path, sprung = tmp_path / f"w{suffix}", tmp_path / "sprung"
    content = {"weights": torch.ones(2), "trap": Trap(sprung)}
    buffer = io.BytesIO()
    if isinstance(kind, str):
        torch.save(content, buffer, _use_new_zipfile_serialization=kind == "torch")
    else:
        pickle.dump(content, buffer, protocol=kind)
    path.write_bytes(buffer.getvalue())
    message = refused(path)
    assert not sprung.exists()
    if suffix != ".mat" and kind != 0:
        assert "pickle" in message
        assert "safetensors" in message


def test_foreign_safetensors(tmp_path, make_model):
    path = tmp_path / "foreign.safetensors"
    save_file(dict(make_model().state_dict()), path)
    assert "no weights of this project" in refused(path)
    save_file(dict(make_model().state_dict()), path, metadata={"format": "pt"})
    assert "no weights of this project" in refused(path)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"conv.2.weight": torch.ones(4, 4, 5, 5)}, r"conv.2.weight is \(4, 4, 5, 5\), not \(4, 4, 3, 3\)"),
        ({"conv.1.bias": torch.ones(3)}, r"conv.1.bias is \(3,\), not \(4,\)"),
        ({"conv.4.weight": torch.ones(1)}, "conv.4.weight has no place"),
        ({"conv.2.bias": None}, "it has no conv.2.bias"),
        ({"conv.1.bias": torch.tensor([0, 1, float("nan"), 2])}, "not finite, in conv.1.bias"),
        ({"conv.3.bias": torch.tensor([float("inf")])}, "not finite, in conv.3.bias"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, make_model, tensors, reason):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, make_model(), tensors)
    refused(path)
    with pytest.raises(InputError, match=reason):
        checkpoint.load(path, "cpu")


@pytest.mark.parametrize(
    "metadata",
    [
        {"depth": None},
        {"protocol": None},
        {"scales": None},
        {"recipe": None},
        {"depth": "{"},
        {"depth": '"3"'},
        {"depth": "3.0"},
        {"depth": "-3"},
        {"width": "null"},
        {"width": str(10**15)},  # petabytes
        {"channels": "0"},
        {"protocol": '"none"'},
        {"protocol": "[]"},
        {"scales": "null"},
        {"scales": '"ab"'},
        {"scales": "2"},
    ],
    ids=str,
)
def test_damaged_metadata(tmp_path, make_model, metadata):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, make_model())
    checkpoint.load(path, "cpu")
    write_safetensors(path, make_model(), **metadata)
    refused(path)


def test_a_claim_takes_no_memory(tmp_path, make_model):
    """Terabytes, by the metadata of a file of a few KiB."""
    write_safetensors(tmp_path / "w.safetensors", make_model(), width="300000")
    with pytest.raises(InputError, match="does not fit the network"):
        checkpoint.load(tmp_path / "w.safetensors", "cpu")


class TestFailingSave:
    @pytest.fixture
    def old(self, tmp_path, make_model):
        path = tmp_path / "w.safetensors"
        checkpoint.save(path, make_model(), INFO)
        return path

    def test_full_disk_is_one_sentence_and_leaves_the_old_file(self, old, make_model, full_disk):
        content = old.read_bytes()
        with pytest.raises(InputError, match=r"Cannot write .*w\.safetensors"), full_disk():
            checkpoint.save(old, make_model(width=32), INFO)
        assert old.read_bytes() == content
        assert list(old.parent.iterdir()) == [old]

    def test_folder_in_the_way(self, tmp_path, make_model):
        (tmp_path / "w.safetensors").mkdir()
        with pytest.raises(InputError, match="is a folder"):
            checkpoint.save(tmp_path / "w.safetensors", make_model(), INFO)
        assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]

    def test_file_in_place_of_the_folder(self, tmp_path, make_model):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="Cannot write"):
            checkpoint.save(tmp_path / "file" / "w.safetensors", make_model(), INFO)


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_header_length_that_looks_like_a_pickle(make_model, tmp_path, length):
    """A header of 0x0280 … 0x0580 bytes makes a file begin as pickles do."""
    path, info = tmp_path / "weights.safetensors", {**INFO, "padding": ""}
    checkpoint.save(path, make_model(), info)
    header = int.from_bytes(path.read_bytes()[:8], "little")
    while header < length:
        info["padding"] += "x" * (length - header)
        checkpoint.save(path, make_model(), info)
        header = int.from_bytes(path.read_bytes()[:8], "little")
        assert header <= length
    if header > length:
        pytest.skip("the header is longer without padding")
    assert path.read_bytes()[:2] == bytes((0x80, length >> 8))
    assert checkpoint.load(path, "cpu").info["padding"] == info["padding"]
