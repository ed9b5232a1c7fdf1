"""The widget of chapter 7, without a browser: what its button does."""

import base64
import io
import re
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from vdsrlib.enlarger import enlarger
from vdsrlib.images import embedded
from vdsrlib.picture import read_picture
from vdsrlib.protocol import PAPER, SEED


@pytest.fixture
def parts(make_model, photo_file):
    def make(protocol=PAPER):
        box = enlarger(make_model(protocol.channels), protocol, [photo_file], 2)
        controls, message, picture = box.children
        return (*controls.children, message, picture)

    return make


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


@pytest.mark.parametrize("protocol", [PAPER, SEED], ids=["paper", "seed"])
def test_chosen_image_is_compared_and_offered(parts, tmp_path, protocol):
    _, _, factor, button, message, picture = parts(protocol)
    assert picture.value == b""
    factor.value = 1.5
    button.click()
    assert "180 x 144 pixels" in message.value
    assert 'download="photo_x1.5.png"' in message.value
    (data,) = re.findall(r"base64,([^\"]+)", message.value)
    (tmp_path / "sr.png").write_bytes(base64.b64decode(data))
    assert read_picture(tmp_path / "sr.png").pixels.shape == (144, 180, 3)
    assert np.asarray(Image.open(io.BytesIO(picture.value))).std() > 10
    assert not button.disabled


def test_uploaded_image_wins(parts):
    upload, _, _, button, message, _ = parts()
    upload.value = uploaded("../<b>camera.png", embedded(["coins.png"])[0].read_bytes())
    button.click()
    assert "768 x 606 pixels" in message.value
    assert "<b>" not in message.value


def test_bad_upload_is_one_sentence(parts):
    upload, _, _, button, message, picture = parts()
    upload.value = uploaded("page.png", b"<html>")
    button.click()
    assert "cannot be read as an image" in message.value
    assert picture.value == b""
    assert not button.disabled
