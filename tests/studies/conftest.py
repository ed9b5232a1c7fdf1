"""Tiny studies."""

import pytest

from vdsrlib.studies import definitions, runner
from vdsrlib.studies.images import study_images

TINY = {"depth": 3, "width": 4, "patch_size": 16, "batch_size": 2, "steps": 20}


@pytest.fixture
def conduct(tmp_path, caplog):
    """Conduct a tiny study into tmp_path/runs: (results, failures, lines logged)."""
    caplog.set_level("INFO", "vdsrlib")

    def run(name, root="runs", processes=1, **changes):
        caplog.clear()
        grid = definitions.build_grid(name, **{**TINY, "seeds": 2, **changes})
        images = study_images("micro", tmp_path / root)
        done = runner.run_grid(grid, images, tmp_path / root, "cpu", processes)
        return done.results, done.failures, caplog.messages

    return run
