"""TensorBoard's event files: every step once, and an error where the disk is full."""

import pytest

from training.runs import TINY, left, saved_step, scalars
from vdsrlib.errors import InputError


def test_tensorboard_has_the_history(finished):
    run, _, logs, _ = finished
    for name in ("loss", "learning_rate"):
        wanted = [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in run.history]
        assert scalars(logs, name) == wanted
    for scale in ("2", "3"):
        wanted = [(row["step"], row["psnr"][scale]["model"]) for row in run.validation]
        assert scalars(logs, f"psnr/x{scale}") == [(s, pytest.approx(v, rel=1e-6)) for s, v in wanted]


def test_full_disk_under_the_logs(train, tmp_path, full_disk):
    """It is met while the states still fit; the last of them is kept."""
    with (
        pytest.raises(InputError, match=r"Cannot write logs to .*run-logs: File too large"),
        full_disk(60_000),
    ):
        train(TINY.replace(steps=400), validate_every=10)
    assert left(tmp_path) == {"state.pt"}
    assert saved_step(tmp_path / "run") % 10 == 0
