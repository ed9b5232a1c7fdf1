"""``vdsr score``, and ``vdsr evaluate`` on several sets and scales."""

import json

import numpy as np
import pandas as pd
import pytest

from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import COLUMNS, mean_scores
from vdsrlib.evaluation.score import score
from vdsrlib.imaging.image_file import save_image
from vdsrlib.models import checkpoint


class TestScore:
    def test_table(self, call_cli, folders):
        status, out, error = call_cli("score", *folders, "--scale", 3)
        assert (status, error) == (0, "")
        found = score(*folders, 3)
        first, *lines = out.splitlines()
        assert first == "paper protocol, x3"
        assert lines[0].split() == ["PSNR", "(dB)", "/", "SSIM", "sr"]
        for row in found.itertuples():
            (line,) = (line for line in lines if line.startswith(row.image))
            assert line.endswith(f"{row.psnr:.2f} / {row.ssim:.4f}")
        assert lines[-1].split() == f"mean of 2 {found.psnr.mean():.2f} / {found.ssim.mean():.4f}".split()

    def test_json_and_csv(self, call_cli, folders, tmp_path):
        options = ["--scale", 3, "--protocol", "replication", "--json", "--csv", tmp_path / "new" / "out.csv"]
        status, out, error = call_cli("score", *folders, *options)
        assert (status, error) == (0, "")
        found, record = score(*folders, 3, "replication"), json.loads(out)
        assert (record["sr"], record["hr"], record["scale"]) == (*map(str, folders), 3)
        assert record["protocol"] == "replication"
        assert [row["name"] for row in record["images"]] == ["baby", "bird"]
        assert record["images"][0]["sr"] == found[["psnr", "ssim"]].iloc[0].to_dict()
        assert record["mean"]["sr"]["psnr"] == found.psnr.mean()
        assert record["failed"] == []
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "out.csv"), found, check_dtype=False)

    def test_two_files(self, call_cli, folders):
        files = folders[0] / "baby_x3_SR.png", folders[1] / "baby.png"
        found = score(*files, 3)
        status, out, error = call_cli("score", *files, "--scale", 3)
        assert (status, error) == (0, "")
        assert f"{found.psnr:.2f} / {found.ssim:.4f}" in out
        record = json.loads(call_cli("score", *files, "--scale", 3, "--json")[1])
        assert record["mean"]["sr"] == found._asdict()

    def test_what_is_left_out_is_named(self, call_cli, folders, photo):
        save_image(folders[1] / "woman.png", photo)
        save_image(folders[0] / "bird_x3_SR.png", photo)
        status, out, error = call_cli("score", *folders, "--scale", 3)
        assert status == 1
        size, lost = error.splitlines()
        assert "bird_x3_SR.png" in size
        assert "sr must have the size of hr" in size
        assert lost == f"vdsrlib: {folders[1] / 'woman.png'} has no image"
        assert "mean of 1" in out

    def test_a_blank_page_does_not_make_the_mean_infinite(self, call_cli, folders):
        for folder in folders:
            save_image(folder / "page.png", np.full((40, 40), 255, np.uint8))
        status, out, _ = call_cli("score", *folders, "--scale", 3, "--json")
        assert status == 0
        record = json.loads(out)
        assert record["images"][-1] == {"name": "page", "sr": {"psnr": None, "ssim": 1}}
        assert record["mean"]["sr"]["psnr"] == pytest.approx(score(*folders, 3).psnr[:2].mean())


class TestEvaluate:
    @pytest.fixture
    def sets(self, folders, tmp_path, photo, monkeypatch):
        save_image(tmp_path / "other" / "a.png", photo[::-1])
        monkeypatch.chdir(tmp_path)
        return "hr", "other"

    def test_means_of_sets_and_scales(self, call_cli, sets, tiny, tmp_path):
        options = ["--scales", "2_3", "--weights", tiny]
        status, out, error = call_cli("evaluate", *sets, *options, "--csv", "out.csv")
        assert (status, error) == (0, "")
        net = checkpoint.load(tiny, "cpu")
        first, heads, *lines = out.splitlines()
        assert first == f"paper protocol, {net.summary()}"
        assert heads.split() == ["PSNR", "(dB)", "/", "SSIM", "scale", "interpolation", "model"]
        assert [line.split()[:2] for line in lines] == [[name, s] for name in sets for s in ("x2", "x3")]
        wanted = mean_scores(evaluate(net, "hr", 3)).loc[3, "model"]
        assert lines[1].endswith(f"{wanted.psnr:.2f} / {wanted.ssim:.4f}")
        table = pd.read_csv("out.csv")
        assert tuple(table.columns) == ("set", *COLUMNS)
        assert table.groupby(["set", "scale", "method"]).image.nunique().tolist() == [2] * 4 + [1] * 4

    def test_json_is_an_object_a_line(self, call_cli, sets, tiny):
        options = ["--weights", tiny, "--json"]
        status, out, _ = call_cli("evaluate", *sets, "--scales", "2_3", *options)
        assert status == 0
        records = [json.loads(line) for line in out.splitlines()]
        assert [(r["data"], r["scale"]) for r in records] == [(n, s) for n in sets for s in (2, 3)]
        alone = json.loads(call_cli("evaluate", "other", "--scales", 3, *options)[1])
        for record in (records[-1], alone):
            assert record.pop("seconds") > 0
        assert records[-1] == alone

    def test_a_wrong_name_is_said_before_the_work(self, call_cli, sets, tiny, monkeypatch):
        monkeypatch.delenv("VDSR_DATA", raising=False)
        monkeypatch.setattr(checkpoint, "load", None)
        status, out, error = call_cli("evaluate", *sets, "Set6", "--scales", 2, "--weights", tiny)
        assert (status, out) == (2, "")
        assert "no folder Set6" in error

    def test_a_set_that_fails_leaves_the_others(self, call_cli, sets, tiny, photo):
        save_image("small/b.png", photo[:16])
        status, out, error = call_cli("evaluate", "hr", "small", "--scales", "2_3", "--weights", tiny)
        assert status == 1
        assert [line.split()[:2] for line in out.splitlines()[2:]] == [
            ["hr", "x2"],
            ["hr", "x3"],
            ["small", "x2"],
        ]
        assert len(error.splitlines()) == 1
        assert "too small to be scored at scale 3" in error
