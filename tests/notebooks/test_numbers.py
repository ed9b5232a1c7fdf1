"""The numbers in the chapters' prose are those of the stored records."""

from pathlib import Path

import nbformat

from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.records import stored_record, stored_scores

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def prose(name):
    """The text of a notebook, without its code."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


class TestChapters0And1:
    def test_the_published_gap(self):
        """Both published scores of VDSR on Set5 at x2."""
        published = stored_record("published.json")
        paper, replication = (
            published[rules]["Table 3"]["Set5"]["2"]["VDSR"][0] for rules in ("paper", "replication")
        )
        assert f"at ×2: {paper:.2f} dB and {replication:.2f} dB." in prose("00_start_here")
        assert f"{paper - replication:.1f} dB apart" in prose("00_start_here")

    def test_the_baseline_that_must_be_right(self):
        text = prose("01_data_and_degradation")
        for record, rules in (("04_evaluate", "paper"), ("04_evaluate_replication", "replication")):
            scores = stored_scores(f"{record}.json")
            interpolation = scores[(scores.method == "interpolation") & (scores["set"] == "Set5")]
            two, three, four = mean_scores(interpolation, ["scale"]).psnr
            assert f"{two:.2f}, {three:.2f} and {four:.2f} dB under `{rules}`" in text

    def test_the_copy_of_set14_that_the_replication_used(self):
        text = prose("appendix/B_your_own_data")
        published = stored_record("published.json")["replication"]["Table 3"]["Set14"]["2"]
        scores = stored_scores("04_evaluate_replication.json")
        chosen = (scores.method == "interpolation") & (scores["set"] == "Set14") & (scores.scale == 2)
        assert f"interpolation under `replication` has {published['interpolation'][0]:.2f} dB at ×2" in text
        assert f"The original files give {scores[chosen].psnr.mean():.2f} dB." in text
