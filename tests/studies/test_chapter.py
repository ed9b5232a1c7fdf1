"""Chapter 8 with other parameters."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_chapter_reruns_any_study_with_another_parameter(tmp_path):
    """papermill's command line: tiny networks, other depths; the record has what was asked for."""
    chapter = Path(__file__).parents[2] / "notebooks" / "08_paper_studies.ipynb"
    knobs = "depths 2,3 rates 0.01 rules none,norm:0.04 combinations 2,2_3 counts 1,2,3 lengths 4,6,8 seeds 1"
    knobs += " changes loss=mse,ema=0 steps 8 width 2 patch_size 8 batch_size 2 processes 1"
    words = [word for pair in zip(*[iter(knobs.split())] * 2, strict=True) for word in ("-p", *pair)]
    papermill = Path(sys.executable).parent / "papermill"
    run = subprocess.run(
        [papermill, chapter, "out.ipynb", *words],
        cwd=tmp_path,
        env={**os.environ, "VDSR_DATA": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    record = json.loads((tmp_path / "runs/studies/08_paper_studies.json").read_text())["results"]
    assert {name: len(done["results"]) for name, done in record.items()} == {
        "depth": 2, "residual": 2, "clipping": 2, "scales": 2, "images": 3, "steps": 3, "ingredients": 3,
    }  # fmt: skip
    assert [run["recipe"]["depth"] for run in record["depth"]["results"]] == [2, 3]
