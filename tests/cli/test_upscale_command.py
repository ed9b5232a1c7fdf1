"""``vdsr upscale`` on an image, as people and scripts use it."""

import imagecodecs
import numpy as np
import pytest
import torch
from conftest import check_refused
from PIL import Image

from vdsrlib.evaluation import ground_truth
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.inference import enlarge


def test_direct(run_cli, photo_file, tiny, tmp_path):
    """Into a folder that does not exist yet; the shipped photograph keeps its bytes."""
    before = photo_file.read_bytes()
    done = run_cli("upscale", "photo.png", "new/größer.png", "--scale", 1.5, "--weights", tiny)
    assert (done.returncode, done.stderr) == (0, "")
    assert "180 x 144 pixels" in done.stdout
    assert read_image(tmp_path / "new" / "größer.png").shape == (144, 180, 3)
    assert photo_file.read_bytes() == before
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"photo.png", "größer.png"}


def test_ground_truth(call_cli, photo_file, tiny, tmp_path):
    status, out, error = call_cli(
        "upscale", photo_file, tmp_path / "sr.jpg", "--scale", 3, "--weights", tiny, "--ground-truth"
    )
    assert (status, error) == (0, "")
    assert out.count(" dB, SSIM 0.") == 2
    assert read_image(tmp_path / "sr.jpg").shape == (96, 120, 3)


def test_grey_stays_grey(call_cli, tmp_path, grey_photo, tiny):
    save_image(tmp_path / "grey.png", grey_photo)
    arguments = [tmp_path / "grey.png", tmp_path / "sr.png", "--scale", 2, "--weights", tiny]
    assert call_cli("upscale", *arguments)[0] == 0
    assert read_image(tmp_path / "sr.png").shape == (180, 202)


def test_two_images_that_would_get_one_name(call_cli, tmp_path, grey_photo, photo, tiny):
    (tmp_path / "in").mkdir()
    Image.fromarray(grey_photo).save(tmp_path / "in/a.gif")
    save_image(tmp_path / "in/a.gif.png", photo)
    arguments = [tmp_path / "in", tmp_path / "out", "--scale", 2, "--weights", tiny, "--force"]
    check_refused(*call_cli("upscale", *arguments), "a.gif.png would both become")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", [[], ["--ground-truth"]])
def test_a_file_that_appears_meanwhile_is_kept(call_cli, photo_file, tiny, monkeypatch, mode):
    target = photo_file.with_name("out.png")
    for module, name in ((enlarge, "to_batch"), (ground_truth, "predict")):
        compute = getattr(module, name)

        def meanwhile(*arguments, compute=compute):
            target.write_text("mine")
            return compute(*arguments)

        monkeypatch.setattr(module, name, meanwhile)
    arguments = ["upscale", photo_file, target, "--scale", 2, "--weights", tiny, *mode]
    check_refused(*call_cli(*arguments), "out.png exists; write another name, or --force")
    assert target.read_text() == "mine"
    assert call_cli(*arguments, "--force")[0] == 0
    assert read_image(target).ndim == 3


def test_ground_truth_tells_what_was_changed_in_reading(call_cli, tmp_path, photo, tiny):
    frames = [Image.fromarray(photo[:, i : i + 90]) for i in (0, 30)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    wide = np.dstack([photo, photo[..., :1] // 2]).astype(np.uint16) * 257
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(wide))
    for name, notes in {
        "a.png": "; the first of 2 frames\n",
        "b.png": "; transparency is dropped; 16-bit samples are reduced to 8\n",
    }.items():
        arguments = [tmp_path / name, tmp_path / f"sr-{name}", "--scale", 2, "--weights", tiny]
        status, out, error = call_cli("upscale", *arguments, "--ground-truth")
        assert (status, error) == (0, "")
        assert out.endswith(notes)


@pytest.mark.parametrize("ask", [np.empty, torch.empty])
def test_one_image_too_large_for_the_memory(call_cli, tmp_path, photo, tiny, monkeypatch, ask):
    for name in ("a", "b", "c"):
        save_image(tmp_path / f"in/{name}.png", photo[: 80 if name == "b" else 70])
    compute = enlarge.to_batch

    def greedy(model, ilr, *others):
        return ask(2**58) if len(ilr) == 160 else compute(model, ilr, *others)

    monkeypatch.setattr(enlarge, "to_batch", greedy)
    options = ["--scale", 2, "--weights", tiny]
    status, _, error = call_cli("upscale", tmp_path / "in", tmp_path / "out", *options)
    assert status == 1
    first, _ = error.splitlines()
    assert first.endswith(
        "b.png needs more memory than there is; a smaller scale or a smaller --memory may do."
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    alone = [tmp_path / "in/b.png", tmp_path / "b.png", *options]
    check_refused(*call_cli("upscale", *alone), "b.png needs more memory than there is")


def test_existing_file_is_replaced_by_force_alone(call_cli, photo_file, tiny):
    arguments = ["upscale", photo_file, photo_file, "--scale", 2, "--weights", tiny]
    before = photo_file.read_bytes()
    check_refused(*call_cli(*arguments), "photo.png exists; write another name, or --force")
    assert photo_file.read_bytes() == before
    assert call_cli(*arguments, "--force")[0] == 0
    assert read_image(photo_file).shape == (192, 240, 3)


def test_photograph_from_a_phone(tmp_path, call_cli, tiny, photo, monkeypatch):
    """JPEG, turned by its EXIF tag."""
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save("phone.jpg", exif=exif)
    assert call_cli("upscale", "phone.jpg", "out.png", "--scale", 2, "--weights", tiny)[0] == 0
    assert read_image("out.png").shape == (240, 192, 3)
