"""A package that an extra brings is imported, or its absence is one sentence."""

import json
import sys

import pytest

from vdsrlib.errors import InputError
from vdsrlib.utils.extras import need


def test_a_package_that_is_there_comes_back():
    assert need("json", "data") is json


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    with pytest.raises(InputError) as raised:
        need("imagehash", "data")
    assert str(raised.value) == "This needs vdsrlib[data]: pip install 'vdsrlib[data]'."
