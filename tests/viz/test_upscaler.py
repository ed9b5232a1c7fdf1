"""The widget of chapter 7, without a browser: what its button does."""

import base64
import io
import re
from datetime import datetime

import numpy as np
import pytest
from conftest import as_net
from PIL import Image

from vdsrlib.datasets.catalog import embedded
from vdsrlib.imaging.image_file import read_picture
from vdsrlib.protocol import PAPER, REPLICATION
from vdsrlib.viz.upscaler import Upscaler


@pytest.fixture
def make(make_model, photo_file):
    return lambda protocol=PAPER: Upscaler(as_net(make_model(protocol.channels), protocol), [photo_file], 2)


def uploaded(name: str, content: bytes):
    return (
        {
            "name": name,
            "type": "",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.now(),
        },
    )


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
def test_chosen_image_is_compared_and_offered(make, tmp_path, protocol):
    widget = make(protocol)
    assert widget.picture.value == b""
    widget.scale.value = 1.5
    widget.button.click()
    assert "180 x 144 pixels" in widget.message.value
    assert 'download="photo_x1.5.png"' in widget.message.value
    (data,) = re.findall(r"base64,([^\"]+)", widget.message.value)
    (tmp_path / "sr.png").write_bytes(base64.b64decode(data))
    assert read_picture(tmp_path / "sr.png").pixels.shape == (144, 180, 3)
    assert np.asarray(Image.open(io.BytesIO(widget.picture.value))).std() > 10
    assert not widget.button.disabled


def test_what_was_chosen_last_is_enlarged(make_model, photo_file):
    widget = Upscaler(as_net(make_model()), [*embedded(["coffee.png"]), photo_file], 2)
    widget.upload.value = uploaded("../<b>camera.png", embedded(["coins.png"])[0].read_bytes())
    widget.button.click()
    assert "768 x 606 pixels" in widget.message.value
    assert "<b>" not in widget.message.value
    widget.chosen.label = "photo.png"
    widget.button.click()
    assert "240 x 192 pixels" in widget.message.value


def test_bad_upload_is_one_sentence(make):
    widget = make()
    widget.upload.value = uploaded("page.png", b"<html>")
    widget.button.click()
    assert widget.message.value.startswith('<b role="alert">This image cannot be enlarged: ')
    assert "page.png cannot be read as an image" in widget.message.value
    assert "/" not in widget.message.value.replace("</b>", "")
    assert widget.picture.value == b""
    assert not widget.button.disabled
