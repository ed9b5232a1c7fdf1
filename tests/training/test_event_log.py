"""TensorBoard's event files: every step once, and an error where the disk is full."""

import sys

import pytest

from training.runs import TINY, left, saved_step, scalars
from vdsrlib.errors import InputError


def test_tensorboard_has_the_history(finished):
    run, _, logs, _ = finished
    for name in ("loss", "interpolation_loss", "learning_rate"):
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


def test_two_runs_with_one_folder_of_logs(train, tmp_path):
    """The second voids nothing of the first: whoever gives one folder to both sees both curves."""
    logs = tmp_path / "logs"
    runs = [train(TINY.replace(seed=seed), name=str(seed), logs_path=logs) for seed in range(2)]
    wanted = sorted((row["step"], row["loss"]) for run in runs for row in run.history)
    found = sorted(scalars(logs, "loss"))
    assert found == [(step, pytest.approx(loss, rel=1e-6)) for step, loss in wanted]


def test_killed_before_the_first_state(train, tmp_path):
    """A run that begins anew in its own folder voids what it logged before."""

    def kill(line: str) -> None:
        if line.startswith("step 20/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(logs_path=None, save_every=20, report=kill)
    assert not (tmp_path / "run" / "state.pt").exists()
    run = train(logs_path=None)
    wanted = [(row["step"], pytest.approx(row["loss"], rel=1e-6)) for row in run.history]
    assert scalars(tmp_path / "run" / "logs", "loss") == wanted


def test_without_tensorboard(train, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"tensorboard.* is not installed; pip install 'vdsrlib\[train\]'"):
        train()
