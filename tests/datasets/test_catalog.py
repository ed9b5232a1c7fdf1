"""Image sets by name, the bundled photographs, and the images of a folder."""

import pytest

from vdsrlib.datasets import catalog
from vdsrlib.errors import InputError
from vdsrlib.imaging import image_file


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.delenv("VDSR_DATA", raising=False)
    assert catalog.data_root() is None
    monkeypatch.setenv("VDSR_DATA", str(tmp_path))
    assert catalog.data_root() == tmp_path
    (tmp_path / "own").mkdir()
    assert catalog.data_root(tmp_path / "own") == tmp_path / "own"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert catalog.data_root("~/own") == tmp_path / "own"
    with pytest.raises(InputError, match=r"data_path names .*none, which is not a folder"):
        catalog.data_root(tmp_path / "none")


def test_list_images(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", "c.webp"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in catalog.list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.webp"]
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    assert [path.name for path in catalog.list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.webp", "lost.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no image in .*empty"):
        catalog.list_images(tmp_path / "empty")
    for wrong in ("none", "a.jpg"):
        with pytest.raises(InputError, match="There is no folder"):
            catalog.list_images(tmp_path / wrong)


def test_bundled_photographs():
    train, test = catalog.embedded(catalog.EMBEDDED_TRAIN), catalog.embedded(catalog.EMBEDDED_TEST)
    assert not set(train) & set(test)
    for path in train + test:
        image = image_file.read_image(path)
        assert min(image.shape[:2]) >= 128, path.name


class TestNamedSets:
    @pytest.fixture
    def root(self, tmp_path, photo, monkeypatch):
        monkeypatch.delenv("VDSR_DATA", raising=False)
        for name in ("T91/t.png", "BSD200/b.png", "Set5/s.png", "mine.png"):
            image_file.save_image(tmp_path / name, photo)
        return tmp_path

    def names(self, found):
        return found[0], [path.name for path in found[1]]

    def test_without_data(self, root):
        assert self.names(catalog.training_images())[1] == list(catalog.EMBEDDED_TRAIN)
        name, paths = self.names(catalog.benchmark_images("Set5"))
        assert "scikit-image" in name
        assert paths == list(catalog.EMBEDDED_TEST)

    @pytest.mark.parametrize("by_variable", [True, False])
    def test_with_data(self, root, monkeypatch, by_variable):
        given = None if by_variable else root
        if by_variable:
            monkeypatch.setenv("VDSR_DATA", str(root))
        assert self.names(catalog.training_images(given)) == ("T91+BSD200", ["t.png", "b.png"])
        assert self.names(catalog.benchmark_images("Set5", given)) == ("Set5", ["s.png"])
        assert "scikit-image" in catalog.benchmark_images("Set14", given)[0]

    def test_a_folder_of_images(self, root, tmp_path):
        assert self.names(catalog.training_images(root / "Set5")) == ("Set5", ["s.png"])

    def test_a_misspelt_name_is_not_replaced_by_other_images(self, root):
        with pytest.raises(InputError, match=r"no folder Set55 in .*; write one of BSD200, Set5, T91, Set14"):
            catalog.benchmark_images("Set55", root)
        with pytest.raises(InputError, match="no image set Set55; write one of Set5, "):
            catalog.benchmark_images("Set55")
        found = catalog.benchmark_images("Set5")
        assert catalog.benchmark_images(found[0]) == found

    def test_argument_wins(self, root, monkeypatch):
        monkeypatch.setenv("VDSR_DATA", str(root / "none"))
        assert catalog.benchmark_images("Set5", root)[0] == "Set5"

    def test_missing_folder(self, root, monkeypatch):
        with pytest.raises(InputError, match=r"data_path names .*none"):
            catalog.training_images(root / "none")
        monkeypatch.setenv("VDSR_DATA", str(root / "none"))
        for function in (catalog.training_images, catalog.benchmark_images):
            with pytest.raises(InputError, match=r"VDSR_DATA names .*none"):
                function()

    def test_only_test_sets(self, root):
        """Training names what is missing; a chapter takes the bundled photographs instead."""
        tests = root / "tests"
        image_file.save_image(tests / "Set5/s.png", image_file.read_image(root / "Set5/s.png"))
        with pytest.raises(InputError, match=r"neither T91 nor BSD200, only Set5.*vdsr data get 291 --to"):
            catalog.training_images(tests)
        assert self.names(catalog.training_images(tests, stand_in=True))[1] == list(catalog.EMBEDDED_TRAIN)
        (root / "empty").mkdir()
        with pytest.raises(InputError, match=r"no image in .*empty"):
            catalog.training_images(root / "empty", stand_in=True)

    def test_a_set_beside_the_papers_trains_by_name(self, root, monkeypatch):
        """And the benchmark is found beside it, not in it."""
        image_file.save_image(root / "CID22/c.png", image_file.read_image(root / "mine.png"))
        monkeypatch.setenv("VDSR_DATA", str(root))
        for given in ("CID22", root / "CID22"):
            assert self.names(catalog.training_images(given)) == ("CID22", ["c.png"])
            assert self.names(catalog.benchmark_images("Set5", given)) == ("Set5", ["s.png"])
        with pytest.raises(InputError, match="data_path names CID23, which is not a folder"):
            catalog.training_images("CID23")

    def test_several_sets_train_by_their_names(self, root, monkeypatch):
        image_file.save_image(root / "CID22/c.png", image_file.read_image(root / "mine.png"))
        monkeypatch.setenv("VDSR_DATA", str(root))
        name, images = self.names(catalog.training_images("BSD200+CID22+T91"))
        assert name == "BSD200+CID22+T91"
        assert images == [path.name for set_ in name.split("+") for path in catalog.image_set(set_)]
        assert self.names(catalog.benchmark_images("Set5", name)) == ("Set5", ["s.png"])
        with pytest.raises(InputError, match=r"data_path names T91\+CID23, which is not a folder"):
            catalog.training_images("T91+CID23")

    def test_kodak24_is_known_but_not_among_the_papers(self, root):
        assert "Kodak24" not in catalog.TEST_SETS
        assert "scikit-image" in catalog.benchmark_images("Kodak24", root)[0]


def test_images_in_folders_of_a_folder_are_named(tmp_path, photo):
    image_file.save_image(tmp_path / "first/a.png", photo)
    image_file.save_image(tmp_path / "second/a.png", photo)
    (tmp_path / "third").mkdir()
    with pytest.raises(
        InputError, match=r"no image in .* itself, but in its folders: first, second. Name one"
    ):
        catalog.list_images(tmp_path)


def test_home_is_understood_everywhere(tmp_path, photo, monkeypatch):
    image_file.save_image(tmp_path / "photos/a.png", photo)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    right = [tmp_path / "photos/a.png"]
    assert catalog.list_images("~/photos") == right
    assert catalog.image_set("~/photos") == right
    assert catalog.training_images("~/photos") == ("photos", right)
    monkeypatch.setenv("VDSR_DATA", "~")
    assert catalog.benchmark_images("photos") == ("photos", right)


def test_a_relative_folder_counts_from_where_the_program_was_started(tmp_path, photo, monkeypatch):
    """The kernel of a notebook works in the folder of the notebook."""
    image_file.save_image(tmp_path / "data/Set5/a.png", photo)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("VDSR_DATA", "data")
    assert catalog.benchmark_images("Set5")[0] == "Set5"
    image_file.save_image(tmp_path / "notebooks/data/Set5/b.png", photo)
    assert [path.name for path in catalog.image_set("Set5")] == ["b.png"]
