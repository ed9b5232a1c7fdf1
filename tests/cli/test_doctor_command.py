"""``vdsr doctor``: what is right, and what is not."""

from vdsrlib.cli import checks
from vdsrlib.imaging.image_file import save_image
from vdsrlib.inference import backends
from vdsrlib.models import checkpoint


def test_report(call_cli, monkeypatch):
    monkeypatch.delenv("VDSR_DATA", raising=False)
    status, out, error = call_cli("doctor")
    lines = out.splitlines()
    assert error == ""
    assert all(line.startswith(("OK   ", "FAIL ")) for line in lines)
    assert status == any(line.startswith("FAIL") for line in lines)
    for part in ("OK   torch ", "OK   device ", "bundled photographs", "OK   weights vdsr.safetensors"):
        assert part in out


def test_backends(call_cli, monkeypatch):
    """One that does not work is passed over; one that is asked for must be there, as for ``upscale``."""
    monkeypatch.setattr(checkpoint, "shipped_weights", list)
    monkeypatch.delenv("VDSR_BACKEND", raising=False)
    out = call_cli("doctor")[1]
    assert f"OK   backends {', '.join(backends.installed())}\n" in out
    monkeypatch.setenv("VDSR_BACKEND", "torch")
    assert "; VDSR_BACKEND is torch\n" in call_cli("doctor")[1]
    monkeypatch.setenv("VDSR_BACKEND", "abacus")
    status, out, _ = call_cli("doctor")
    assert status == 1
    (line,) = (line for line in out.splitlines() if line.startswith("FAIL backends"))
    assert "VDSR_BACKEND is abacus; unknown backend 'abacus'; choose auto, " in line
    monkeypatch.delenv("VDSR_BACKEND")
    monkeypatch.setattr(backends, "installed", lambda *_: ("openvino", "torch"))
    monkeypatch.setitem(backends.BUILDERS, ("openvino", "float32"), lambda model: 1 / 0)
    assert (
        "OK   backends openvino, torch; the backend openvino fails (division by zero)"
        in call_cli("doctor")[1]
    )


def test_failures_are_lines(call_cli, monkeypatch, tmp_path):
    """One line for each failure, and all the other checks are made."""
    monkeypatch.setenv("VDSR_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("VDSR_DEVICE", "abacus")
    monkeypatch.setattr(checkpoint, "DEFAULT", tmp_path / "none.safetensors")
    monkeypatch.setattr(checks, "PACKAGES", ("numpy", "no-such-package"))
    status, out, _ = call_cli("doctor")
    assert status == 1
    for part in (
        "no-such-package is not installed",
        "device: unknown",
        "data: The variable",
        "weights: ",
    ):
        assert f"FAIL {part}" in out
    assert "OK   numpy" in out


def test_incomplete_data(call_cli, monkeypatch, tmp_path, photo):
    save_image(tmp_path / "Set5" / "a.png", photo)
    monkeypatch.setenv("VDSR_DATA", str(tmp_path))
    status, out, _ = call_cli("doctor")
    assert status == 1
    assert "OK   data Set5: 1 images" in out
    assert "FAIL no Urban100" in out
