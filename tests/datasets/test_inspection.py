"""Looking at folders before use: sizes and modes, and test images that lie among the training images."""

import weakref

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from vdsrlib.datasets.catalog import EMBEDDED_TEST, EMBEDDED_TRAIN, embedded
from vdsrlib.datasets.inspection import ImageInfo, describe_images, inspect_folder, usable_images
from vdsrlib.datasets.leaks import Leak, find_leaks
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image


def test_describe(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "a.png")
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "b.jpg")
    (tmp_path / "c.png").write_bytes(b"no image")
    paths = sorted(tmp_path.iterdir())
    height, width = photo.shape[:2]
    assert describe_images(paths) == [
        ImageInfo("a.png", height, width, "RGB", "PNG", paths[0].stat().st_size),
        ImageInfo("b.jpg", height, width, "CMYK", "JPEG", paths[1].stat().st_size),
        ImageInfo("c.png", 0, 0, "broken", "", 8),
    ]


def test_report_of_a_folder_that_is_fine_is_empty(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "a.png")
    assert inspect_folder(tmp_path) == []
    assert [remark.what for remark in inspect_folder(tmp_path, patch=97)] == ["skipped"]
    with pytest.raises(InputError, match="There is no folder"):
        inspect_folder(tmp_path / "none")


def test_files_that_only_a_hardened_reader_opens(tmp_path, photo, monkeypatch):
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / ".hidden.png").touch()
    exif = b"Exif\0\0II*\0" + b"\xff" * 20
    Image.fromarray(photo).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(photo).save(tmp_path / "exif.png", exif=b"no exif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # instead of a file of 190 megapixels
    modes = {picture.name: picture.mode for picture in describe_images(sorted(tmp_path.iterdir()))}
    assert modes == {".hidden.png": "broken", "a.jpg": "RGB", "exif.png": "RGB", "lost.png": "broken"}
    found = {remark.name: remark.what for remark in inspect_folder(tmp_path)}
    assert found.pop("exif.png") == "counted twice" if "exif.png" in found else True
    assert found == {".hidden.png": "ignored", "lost.png": "stops training"}


def test_sixteen_bits(tmp_path, photo):
    """Also in a TIFF that Pillow does not know: grey with transparency."""
    wide = photo.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", wide, photometric="rgb", extratags=[(274, "H", 1, 3)])
    tifffile.imwrite(tmp_path / "b.tif", wide[..., :2], photometric="minisblack", extrasamples=["unassalpha"])
    paths = sorted(tmp_path.iterdir())
    assert [picture[1:5] for picture in describe_images(paths)] == [
        (*photo.shape[:2], "RGB", "TIFF"),
        (*photo.shape[:2], "LA", "TIFF"),
    ]
    assert [(remark.name, remark.why) for remark in inspect_folder(tmp_path)] == [
        ("a.tif", "16-bit samples are reduced to 8"),
        ("a.tif", "turned as its EXIF tag says"),
        ("b.tif", "transparency is dropped"),
        ("b.tif", "16-bit samples are reduced to 8"),
    ]


def test_what_is_changed_in_reading(tmp_path, photo):
    """16 bits in colour, too; an alpha channel in which nothing is transparent changes nothing."""
    wide = photo.astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(wide))
    tifffile.imwrite(tmp_path / "b.tif", wide[1:], photometric="rgb")
    Image.fromarray(wide[2:, :, 0]).save(tmp_path / "c.png")
    Image.fromarray(photo[3:]).convert("CMYK").save(tmp_path / "d.jpg")
    frames = [Image.fromarray(photo[i : i + 80]) for i in (4, 16)]
    frames[0].save(tmp_path / "e.png", save_all=True, append_images=frames[1:])
    Image.fromarray(np.dstack([photo[5:], photo[5:, :, 0]])).save(tmp_path / "f.png")
    Image.fromarray(photo[6:]).convert("RGBA").save(tmp_path / "g.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo[7:]).save(tmp_path / "h.jpg", exif=exif)
    found = inspect_folder(tmp_path)
    assert {remark.what for remark in found} == {"used, changed"}
    assert [(remark.name, remark.why) for remark in found] == [
        *((name, "16-bit samples are reduced to 8") for name in ("a.png", "b.tif", "c.png")),
        ("d.jpg", "CMYK became RGB"),
        ("e.png", "the first of 2 frames"),
        ("f.png", "transparency is dropped"),
        ("h.jpg", "turned as its EXIF tag says"),
    ]


def test_an_image_that_cropping_makes_too_small(tmp_path, photo):
    Image.fromarray(photo[:43, :43]).save(tmp_path / "a.png")
    [remark] = inspect_folder(tmp_path)
    assert remark.what == "skipped"
    assert remark.why.startswith("43x43 pixels, of which whole multiples of a scale leave 40x40, less than")


def test_usable_images_pass_over_what_is_broken_or_small(tmp_path, photo):
    (tmp_path / "a.png").write_bytes(b"no image")
    Image.fromarray(photo[:30]).save(tmp_path / "b.png")
    for name in "cde":
        Image.fromarray(photo).save(tmp_path / f"{name}.png")
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in usable_images(paths, 2)] == ["c.png", "d.png"]
    assert usable_images(paths[:2], 1) == paths[:1]


class TestLeaks:
    def test_one_training_image_is_in_memory_at_a_time(self, monkeypatch):
        alive = []

        def read(path):
            image = read_image(path)
            alive.append(weakref.ref(image))
            assert (
                sum(reference() is not None for reference in alive) <= 3
            )  # with the test image and the last one
            return image

        monkeypatch.setattr("vdsrlib.datasets.leaks.read_image", read)
        assert find_leaks(embedded(EMBEDDED_TRAIN[:4]), embedded(EMBEDDED_TEST[:1])) == []
        assert len(alive) == 5

    def test_photographs_of_the_tutorial_do_not_leak(self):
        assert find_leaks(embedded(EMBEDDED_TRAIN), embedded(EMBEDDED_TEST)) == []

    @pytest.mark.parametrize("name", EMBEDDED_TEST)
    def test_a_copy_in_another_size_grey_and_compressed(self, tmp_path, name):
        path = embedded([name])[0]
        with Image.open(path) as picture:
            picture.convert("L").resize((200, 170)).save(tmp_path / "copy.jpg", quality=40)
        [leak] = find_leaks([tmp_path / "copy.jpg"], embedded(EMBEDDED_TEST))
        assert leak[:2] == ("copy.jpg", name)
        assert leak.how.startswith("the whole picture, 200x170 and ")

    @pytest.mark.parametrize("name", EMBEDDED_TEST)
    def test_a_crop_compressed(self, tmp_path, name):
        image = read_image(embedded([name])[0])
        Image.fromarray(image[75:235, 110:290]).save(tmp_path / "crop.jpg", quality=70)
        found = find_leaks([*embedded(["brick.png"]), tmp_path / "crop.jpg"], embedded(EMBEDDED_TEST))
        size = f"{image.shape[1]}x{image.shape[0]}"
        assert found == [Leak("crop.jpg", name, f"a part of it, 180x160 and {size} pixels")]

    def test_a_test_image_that_is_a_part_of_a_training_image(self, tmp_path):
        image = read_image(embedded(["coffee.png"])[0])
        Image.fromarray(image[100:300, 150:400]).save(tmp_path / "part.png")
        [leak] = find_leaks(embedded(["coffee.png"]), [tmp_path / "part.png"])
        assert leak.how.startswith("a part of it")

    def test_images_without_any_detail(self, tmp_path):
        Image.fromarray(np.full((80, 90), 128, np.uint8)).save(tmp_path / "flat.png")
        assert find_leaks([tmp_path / "flat.png"], embedded(EMBEDDED_TEST)) == []

    def test_set5_leaks_into_the_training_images_of_the_paper(self, data):
        others = sorted((data / "BSD200").iterdir())[:15]
        training = [*others, data / "BSD200" / "302003.jpg"]
        found = find_leaks(training, sorted((data / "Set5").iterdir()))
        assert [leak[:2] for leak in found] == [("302003.jpg", "woman.png")]
