"""The device and the data folder that are asked for."""

import pytest
import torch

from vdsrlib.errors import InputError
from vdsrlib.utils.device import choose_device, device_name, fast_in_bfloat16, versions


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("VDSR_DEVICE", "VDSR_DATA"):
        monkeypatch.delenv(name, raising=False)


def test_device(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    automatic = choose_device()
    assert automatic.type == "cuda" or not torch.cuda.is_available()
    monkeypatch.setenv("VDSR_DEVICE", "cpu")
    assert choose_device() == torch.device("cpu")
    monkeypatch.setenv("VDSR_DEVICE", "abacus")
    with pytest.raises(InputError, match="'abacus'"):
        choose_device()
    assert choose_device("cpu") == torch.device("cpu")


def test_empty_variable_is_no_device(monkeypatch):
    automatic = choose_device()
    monkeypatch.setenv("VDSR_DEVICE", "")
    assert choose_device() == automatic


@pytest.mark.parametrize("name", ["gpu", "CPU", "", "cpu:x"])
def test_unknown_device(name):
    with pytest.raises(InputError, match=r"unknown device .* choose auto, cpu"):
        choose_device(name)


@pytest.mark.parametrize(("units", "fast"), [("amx_bf16", True), ("avx512_bf16", True), ("avx2", False)])
def test_processor_with_units_for_bfloat16(monkeypatch, units, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {units: True}, raising=False)
    assert fast_in_bfloat16(torch.device("cpu")) == fast


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_absent_device(name):
    with pytest.raises(InputError, match="no cuda device; choose cpu or auto"):
        choose_device(name)


def test_number_of_an_absent_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match="no cuda:99; choose a number below 2"):
        choose_device("cuda:99")


def test_records_of_the_machine():
    assert device_name(torch.device("cpu")).startswith("cpu (")
    assert torch.__version__.startswith(versions()["torch"].split("+")[0])
    assert {"python", "numpy", "scikit-image"} <= set(versions())


def test_a_chosen_device_stays():
    assert choose_device(choose_device("cpu")) == torch.device("cpu")
