"""Backends in several threads, and in processes that were forked after they had computed."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vdsrlib.inference import backends

PAIRS = [*backends.BUILDERS]

FORKED = """
import multiprocessing
import os
import sys
import torch
from concurrent.futures import ProcessPoolExecutor
from vdsrlib.inference import backends
from vdsrlib.models.vdsr import VDSR

prepare, backends.CHECKED_SIDE = backends.prepare, 48
backends.GREY_LEVELS = backends.DECIBELS = 1.0  # random weights lose more to bfloat16 than trained ones
torch.set_num_threads(2)
torch.manual_seed(0)
model, (name, precision) = VDSR(6, 24, last_gain=0.05).eval(), sys.argv[1:]
batches = list(torch.rand(3, 1, 1, 64, 200))
held = prepare(model, name, precision)
wanted = [held(batch).numpy() for batch in batches]

def anew(i):
    return prepare(model, name, precision)(batches[i]).numpy()

def again(i):
    return held(batches[i]).numpy()

if not os.fork():
    anew(0)
    sys.exit()  # which frees what the parent has prepared
assert os.wait()[1] == 0
with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
    found = [*pool.map(anew, range(3)), *pool.map(again, range(3))]
assert all(abs(a - b).max() < 0.02 for a, b in zip(found, wanted * 2, strict=True))
assert abs(held(batches[0]).numpy() - wanted[0]).max() < 0.02
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.parametrize(("name", "precision"), PAIRS)
def test_forked_after_an_enlargement(name, precision, cli_environment):
    """The threads of a runtime stay behind; whoever waits for them in the new process waits for ever."""
    pytest.importorskip(name)
    if precision == "float16":
        pytest.skip("takes long on processors, and differs from bfloat16 in nothing here")
    command = [sys.executable, "-c", FORKED, name, precision]
    run = subprocess.run(command, env=cli_environment, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr


@pytest.mark.parametrize(("name", "precision"), PAIRS)
def test_one_network_in_several_threads(name, precision, make_model, monkeypatch):
    pytest.importorskip(name)
    monkeypatch.setattr(backends, "CHECKED_SIDE", 48)
    network = backends.prepare(make_model(), name, precision)
    batches = [torch.rand(1, 1, 40 + i, 200) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(network, batches))
    for batch, sr in zip(batches, found, strict=True):
        torch.testing.assert_close(sr, network(batch), rtol=0, atol=1e-6)


def test_prepared_once_for_several_threads(make_model, monkeypatch):
    """Two cores of OpenVINO in one process would leave a signal no stack."""
    built = []

    def build(model):
        built.append(model)
        time.sleep(0.1)
        return backends._torch(model)

    monkeypatch.setitem(backends.BUILDERS, ("torch", "float32"), build)
    model = make_model()
    with ThreadPoolExecutor(4) as pool:
        networks = set(pool.map(lambda _: backends.prepare(model, "torch"), range(8)))
    assert len(built) == len(networks) == 1
