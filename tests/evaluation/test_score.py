"""Scores of the output of any method."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vdsrlib
from vdsrlib.errors import InputError
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import COLUMNS
from vdsrlib.evaluation.pairing import pair_by_name
from vdsrlib.evaluation.score import score
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.protocol import PAPER, REPLICATION


@pytest.fixture
def blurred(photo):
    """An image that a method might make of the photograph."""
    return ((photo[:-1, :-1].astype(int) + photo[1:, :-1] + photo[:-1, 1:] + photo[1:, 1:]) // 4).astype(
        np.uint8
    )


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
@pytest.mark.parametrize("scale", [2, 2.5])
def test_interpolation_scores_as_in_evaluate(tmp_path, photo, grey_photo, protocol, scale):
    """The luma or the RGB of the very image that evaluate scores."""
    for name, image in (("a", photo), ("b", grey_photo)):
        save_image(tmp_path / f"{name}.png", image)
        _, _, ilr = protocol.pair(image, scale)
        found = score(ilr, image, scale, protocol)
        wanted = evaluate(None, [tmp_path / f"{name}.png"], scale, protocol=protocol).iloc[0]
        assert found == pytest.approx((wanted.psnr, wanted.ssim), abs=1e-9)


def test_the_published_number_of_interpolation(data):
    """MATLAB's bicubic, rounded to 8 bits a channel on the way, as a method that writes files does."""
    images = [read_image(path) for path in sorted((data / "Set5").iterdir())]
    found = []
    for image in images:
        hr = image[: image.shape[0] // 3 * 3, : image.shape[1] // 3 * 3]
        sr = to_uint8(vdsrlib.imresize(vdsrlib.imresize(hr / 255, 1 / 3), 3))
        found.append(vdsrlib.score(sr, image, 3).psnr)
    assert np.mean(found) == pytest.approx(30.39, abs=0.01)


def test_files_and_arrays_of_any_kind_score_alike(tmp_path, photo, blurred):
    hr = photo[:-1, :-1]
    wanted = score(blurred, hr, 2)
    assert 20 < wanted.psnr < 40
    save_image(tmp_path / "sr.png", blurred)
    save_image(tmp_path / "hr.png", hr)
    opaque = np.dstack([blurred, np.full(blurred.shape[:2], 255, np.uint8)])
    for sr in (
        tmp_path / "sr.png",
        str(tmp_path / "sr.png"),
        Image.fromarray(blurred),
        blurred / 255,
        blurred.astype(np.float32) / 255,
        blurred.astype(np.uint16) * 257,
        blurred.astype(np.int64),
        blurred.astype(np.float64),
        opaque,
    ):
        for truth in (hr, tmp_path / "hr.png", hr / 255):
            assert score(sr, truth, 2) == wanted


def test_equal_images(photo):
    found = score(photo, photo, 3)
    assert found == (math.inf, 1)


@pytest.mark.parametrize(("scale", "size"), [(2, (94, 118)), (3, (93, 117)), (4, (92, 116))])
def test_a_crop_to_a_multiple_of_the_scale_is_right(photo, scale, size):
    hr = photo[:95, :119]
    sr = np.roll(hr, 1, axis=1)
    whole, cropped = (score(image, hr, scale) for image in (sr, sr[: size[0], : size[1]]))
    assert whole == cropped


@pytest.mark.parametrize("size", [(95, 118), (92, 119), (91, 116), (96, 120), (120, 95), (23, 29)])
def test_any_other_size_is_refused(photo, size):
    hr = photo[:95, :119]
    sr = np.zeros((*size, 3), np.uint8)
    got = f"got {size[1]}x{size[0]}"
    with pytest.raises(
        InputError, match=f"size of hr, 119x95 pixels, or of hr cropped for x4, 116x92; {got}"
    ):
        score(sr, hr, 4)
    with pytest.raises(InputError, match=f"size of hr, 119x95 pixels; {got}"):
        score(sr, hr, 4, "replication")


def test_a_crop_is_not_offered_where_there_is_none(photo):
    with pytest.raises(InputError, match="size of hr, 120x96 pixels; got 60x48"):
        score(photo[::2, ::2], photo, 2)


class TestGrey:
    def test_written_as_rgb(self, grey_photo):
        """As most methods do, which a grey ground truth must not be scored by the luma of."""
        sr = np.roll(grey_photo, 1, axis=0)
        for protocol in ("paper", "replication"):
            wanted = score(sr, grey_photo, 2, protocol)
            assert score(np.dstack([sr] * 3), grey_photo, 2, protocol) == wanted
            assert score(np.dstack([sr] * 3) / 255, grey_photo, 2, protocol) == pytest.approx(wanted)

    def test_of_a_colour_photograph_is_its_luma(self, photo, blurred):
        hr = photo[:-1, :-1]
        wanted = score(blurred, hr, 2)
        assert score(PAPER.samples(blurred), hr, 2) == wanted
        with pytest.raises(InputError, match="sr must be in colour"):
            score(PAPER.samples(blurred), hr, 2, "replication")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scale": 1}, "above 1"),
        ({"scale": "two"}, "scale"),
        ({"protocol": "papre"}, "unknown protocol 'papre'"),
        ({"sr": np.zeros((3, 40, 50), np.uint8)}, "image must be H x W"),
        ({"sr": np.zeros((40, 50), complex)}, "image must be an array of numbers"),
        ({"sr": np.full((40, 50), np.nan)}, "image must be uint8"),
        ({"sr": "none.png"}, "none.png"),
        ({"hr": "none.png"}, "none.png"),
        ({"sr": np.zeros((12, 12), np.uint8), "hr": np.zeros((12, 12), np.uint8)}, "too small to be scored"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_calls(wrong, sentence):
    right = {"sr": np.zeros((40, 50), np.uint8), "hr": np.zeros((40, 50), np.uint8), "scale": 2}
    with pytest.raises(InputError, match=sentence):
        score(**{**right, **wrong})


class TestFolders:
    def test_frame(self, folders, photo, grey_photo):
        sr, hr = folders
        found = vdsrlib.score(sr, hr, scale=3)
        assert tuple(found.columns) == COLUMNS
        assert found[["image", "scale", "method"]].to_numpy().tolist() == [
            ["baby", 3, "sr"],
            ["bird", 3, "sr"],
        ]
        for row, image in zip(found.itertuples(), (photo, grey_photo), strict=True):
            assert (row.psnr, row.ssim) == score(np.roll(image, 1, axis=0), image, 3)
        assert found.attrs["failed"] == found.attrs["notes"] == []
        assert found.equals(vdsrlib.score(str(sr), str(hr), scale="3"))

    def test_what_has_no_partner_is_named(self, folders, photo):
        sr, hr = folders
        save_image(sr / "ape_x3_SR.png", photo)
        save_image(hr / "woman.png", photo)
        problems = [f"{sr / 'ape_x3_SR.png'} has no ground truth", f"{hr / 'woman.png'} has no image"]
        with pytest.raises(
            InputError, match=r"ape_x3_SR\.png has no ground truth; .*woman\.png has no image"
        ):
            score(sr, hr, 3)
        found = score(sr, hr, 3, skip_broken=True)
        assert [*found.image] == ["baby", "bird"]
        assert found.attrs["failed"] == problems

    def test_pairs_that_cannot_be_scored_are_named(self, folders, photo):
        sr, hr = folders
        save_image(sr / "baby_x3_SR.png", photo[:-4])
        (sr / "bird_x3_SR.png").write_bytes(b"\x89PNG")
        save_image(hr / "woman.png", photo)
        save_image(sr / "woman.png", photo[::-1])
        with pytest.raises(InputError, match=r"baby_x3_SR\.png and .*baby\.png: sr must have the size"):
            score(sr, hr, 3)
        found = score(sr, hr, 3, skip_broken=True)
        assert [*found.image] == ["woman"]
        size, broken = found.attrs["failed"]
        assert "baby_x3_SR.png" in size
        assert "bird_x3_SR.png cannot be read" in broken

    def test_the_ground_truth_may_be_a_set(self, folders, monkeypatch):
        wanted = score(*folders, 3)
        monkeypatch.setenv("VDSR_DATA", str(folders[1].parent))
        assert score(folders[0], "hr", 3).equals(wanted)

    def test_other_files_are_named(self, folders):
        (folders[0] / "readme.txt").touch()
        (note,) = score(*folders, 3).attrs["notes"]
        assert note == f"{folders[0]}: not scored, no images by their names: readme.txt"

    def test_nothing_fits(self, folders, tmp_path, photo):
        save_image(tmp_path / "other" / "ape.png", photo)
        for skip_broken in (False, True):
            with pytest.raises(InputError, match="has no ground truth"):
                score(tmp_path / "other", folders[1], 3, skip_broken=skip_broken)

    def test_a_folder_and_an_image(self, folders, photo):
        for sides in ((folders[0], photo), (photo, folders[1]), (folders[0], folders[1] / "baby.png")):
            with pytest.raises(InputError, match="two images or two folders"):
                score(*sides, 3)

    def test_what_was_changed_in_reading_is_told(self, folders, photo):
        clear = np.dstack([photo, np.full(photo.shape[:2], 99, np.uint8)])
        Image.fromarray(clear).save(folders[0] / "baby_x3_SR.png")
        note, equal = score(*folders, 3).attrs["notes"]
        assert note.endswith("baby.png: transparency is dropped.")
        assert equal.endswith("baby.png: sr equals HR at x3, and is left out of the mean of PSNR")


@pytest.mark.parametrize(
    ("sr", "hr"),
    [
        ("baby", "baby"),
        ("babyx4", "baby"),
        ("baby_x4", "baby"),
        ("baby_X2.5", "baby"),
        ("baby_4x", "baby"),
        ("baby_SR", "baby"),
        ("baby-sr", "baby"),
        ("baby_x4_SR", "baby"),
        ("baby_SRx4", "baby"),
        ("baby_x4_SwinIR", "baby"),
        ("baby_out", "baby"),
        ("baby", "baby_GT"),
        ("baby_SR", "baby_HR"),
        ("img_001_SRF_4_SR", "img_001_SRF_4_HR"),
        ("img_001_SRF_4_SRCNN", "img_001_SRF_4_HR"),
        ("0801x4", "0801"),
        ("Baby_SR", "baby"),
        ("x4", "x4"),
        ("caf\u00e9_SR", "cafe\u0301"),
    ],
)
def test_names_that_fit(sr, hr):
    sr, hr = Path(f"sr/{sr}.png"), Path(f"hr/{hr}.bmp")
    others = [Path("hr/img_002_SRF_4_HR.bmp"), Path("hr/bab.bmp"), Path("hr/080.bmp")]
    pairs, problems = pair_by_name([sr], [hr, *others])
    assert pairs == {hr: sr}
    assert problems == [f"{other} has no image" for other in others]


@pytest.mark.parametrize(
    ("sr", "hr"), [("img_10", "img_1"), ("babysr", "baby"), ("baby2", "baby"), ("a", "ab")]
)
def test_names_that_do_not_fit(sr, hr):
    pairs, problems = pair_by_name([Path(sr)], [Path(hr)])
    assert pairs == {}
    assert problems == [f"{sr} has no ground truth", f"{hr} has no image"]


def test_a_name_that_could_be_two_is_refused(tmp_path):
    a, b = Path("a_x2.png"), Path("a_x4.png")
    pairs, problems = pair_by_name([a, b], [Path("hr/a.png")])
    assert (pairs, problems) == ({}, ["a_x2.png and a_x4.png fit hr/a.png alike"])
    pairs, problems = pair_by_name([Path("a_SR.png")], [Path("a_HR.png"), Path("a_GT.png")])
    assert pairs == {}
    assert problems[0] == "a_SR.png fits a_HR.png and a_GT.png alike"
    # a better rule goes first
    pairs, problems = pair_by_name([Path("a.png"), b], [Path("hr/a.png")])
    assert (pairs, problems) == ({Path("hr/a.png"): Path("a.png")}, ["a_x4.png has no ground truth"])
    longer = [Path("hr/a.png"), Path("hr/a_b.png")]
    assert pair_by_name([Path("a_b_SwinIR.png")], longer)[0] == {longer[1]: Path("a_b_SwinIR.png")}
    with pytest.raises(InputError, match="have one name"):
        pair_by_name([a], [Path("hr/a.png"), Path("hr/a.bmp")])


def test_many_names_take_no_time():
    hr = [Path(f"hr/{number:06}_HR.png") for number in range(20_000)]
    sr = [Path(f"sr/{number:06}_x4_net_v2.png") for number in range(20_000)]
    begin = time.perf_counter()
    pairs, problems = pair_by_name(sr, hr)
    assert time.perf_counter() - begin < 5
    assert (list(pairs.values()), problems) == (sr, [])
