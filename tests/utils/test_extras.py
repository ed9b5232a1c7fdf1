"""A package that an extra brings is imported, or its absence is one sentence."""

import json
import re
import sys
from pathlib import Path

import pytest

from vdsrlib.errors import InputError
from vdsrlib.utils.extras import EXTRAS, need


def test_a_package_that_is_there_comes_back():
    assert need("json", "data") is json


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    with pytest.raises(InputError) as raised:
        need("imagehash", "data")
    assert str(raised.value) == "imagehash is not installed; pip install 'vdsrlib[data]' brings it"


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_packages_of_an_extra_are_those_that_it_installs(extra):
    tomllib = pytest.importorskip("tomllib")  # new in Python 3.11
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra]
    wanted = [
        re.match(r"[\w-]+", line)[0].replace("-", "_") for line in lines if ";" not in line
    ]  # no backports
    known = [name.replace("-", "_") for name in EXTRAS[extra]]
    assert sorted(known) == sorted(set(wanted) - {"vdsrlib"})
