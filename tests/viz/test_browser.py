"""Chapters 5 and 7 in JupyterLab in a real browser: controls are moved with the keyboard, and pixels change.

A screenshot of every widget is kept in runs/browser/.
"""

from contextlib import ExitStack

import nbformat
import numpy as np
import pytest
from browser import CHROMIUM, ERRORS, ROOT, SETTLE, Widget, chapter, chromium, jupyterlab
from PIL import Image

from vdsrlib.datasets.catalog import embedded
from vdsrlib.imaging.image_file import read_image
from vdsrlib.inference.size import upscaled_shape

CHAPTERS = {"05_feature_maps": 4, "07_super_resolve": 1}
"""Those with widgets, and how many pictures these show."""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed (Debian: apt install chromium), so no browser test"
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Opens a chapter and runs it; it stays open while the module's tests run."""
    pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not installed")
    folder = tmp_path_factory.mktemp("jupyterlab")
    with jupyterlab(folder, [*CHAPTERS]) as address, chromium() as browser, ExitStack() as pages:
        yield lambda name: pages.enter_context(chapter(browser, address, name, CHAPTERS[name]))


@pytest.fixture(scope="module")
def page(opened):
    return opened("05_feature_maps")


@pytest.fixture(scope="module")
def upscaler_page(opened):
    return opened("07_super_resolve")


def test_layers(page):
    widget = Widget(page, "layer")
    times = [widget.press("layer") for _ in range(3)]
    times += [widget.press("map") for _ in range(3)]
    times += [widget.toggle("", "relu"), widget.toggle("", "conv")]
    times += [widget.press("layer", "End"), widget.press("layer", "Home")]
    print("seconds from key to picture:", np.round(times, 2))
    widget.press("layer", "PageUp")
    widget.keep("layers")


def test_before_and_after(page):
    widget = Widget(page, "line (%)")
    for label in ("zoom", "zoom", "line", "across", "down"):
        widget.press(label)
    widget.toggle("left", "HR")
    widget.toggle("right", "ILR")
    widget.keep("comparison")


def test_scales(page):
    widget = Widget(page, "scale")
    for _ in range(3):
        widget.press("scale")
    assert "×1.5" in widget.box.inner_text()
    widget.keep("scales")


def test_own_image(page, photo_file, tmp_path):
    widget = Widget(page, "bundled")
    picker = widget.box

    def upload(path):
        with page.expect_file_chooser() as chooser:
            picker.locator(".widget-upload").click()
        chooser.value.set_files(path)

    def picked(act):
        """Another panel with another picture takes the place of the one that was there."""
        before = widget.pixels()
        old = widget.image.element_handle()
        act()
        page.wait_for_function("image => !image.isConnected", arg=old)
        after = widget.pixels()
        assert before.shape != after.shape or (before != after).any()

    picked(lambda: picker.locator("select").first.select_option("coffee"))
    picked(lambda: upload(photo_file))
    folder = picker.locator("input[type=text]")
    folder.fill(str(tmp_path / "nowhere"))
    folder.press("Enter")
    picker.get_by_role("alert").wait_for()
    assert "There is no folder" in picker.get_by_role("alert").inner_text()
    folder.fill(str(photo_file.parent))
    folder.press("Enter")
    picker.get_by_role("alert").wait_for(state="detached")
    widget.press("layer")
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(photo_file.read_bytes()[:500])
    upload(damaged)
    picker.get_by_role("alert").wait_for()
    assert "damaged.png cannot be read" in picker.get_by_role("alert").inner_text()
    widget.keep("own")


def test_stand_ins(page, upscaler_page):
    """The sliders that need no kernel."""
    for opened in (page, upscaler_page):
        figure = opened.locator("figure.stand-in").first
        figure.scroll_into_view_if_needed()
        before = figure.screenshot()
        figure.get_by_role("slider").press("End")
        assert figure.screenshot() != before


def test_upscale(upscaler_page, tmp_path):
    """Choose, scale, press, look, download; then an upload that is no image, and one that is."""
    widget = Widget(upscaler_page, "scale")
    box = widget.box
    link, alert = box.locator("a[download]"), box.get_by_role("alert")

    def enlarged(path):
        """What the press of the button shows and offers, decoded."""
        upscaler_page.evaluate(SETTLE)
        scale = float(number.input_value())
        source = widget.image.get_attribute("src")
        box.get_by_role("button", name="Enlarge").press("Enter")
        upscaler_page.wait_for_function(
            "([image, source]) => image.src !== source && image.complete && image.naturalWidth > 0",
            arg=[widget.image.element_handle(), source],
        )
        link.wait_for()
        with upscaler_page.expect_download() as download:
            link.press("Enter")
        assert download.value.suggested_filename == f"{path.stem}_x{scale:g}.png"
        sr, image = read_image(download.value.path()), read_image(path)
        assert sr.shape[:2] == upscaled_shape(image.shape[:2], scale)
        # what came down is the image, enlarged: made small again, it is what went in
        small = Image.fromarray(sr).resize(image.shape[1::-1], Image.Resampling.BOX)
        assert np.abs(np.asarray(small).astype(int) - image).mean() < 4
        return widget.pixels()

    examples = box.locator("select")
    assert examples.locator("option").all_inner_texts()[:2] == ["astronaut.png", "chelsea.png"]
    number = box.locator("input[type=number]")
    assert number.input_value() == "2.5"
    examples.select_option("chelsea.png")
    for _ in range(10):
        number.press("ArrowDown")
    assert float(number.input_value()) < 1.7
    shown = enlarged(embedded(["chelsea.png"])[0])
    assert shown.std() > 20
    widget.keep("upscaler")

    def upload(path):
        with upscaler_page.expect_file_chooser() as chooser:
            box.locator(".widget-upload").press("Enter")
        chooser.value.set_files(path)
        box.locator(".widget-upload", has_text="(1)").wait_for()

    page_of_text = tmp_path / "photo.png"
    page_of_text.write_text("<html>no photograph</html>")
    upload(page_of_text)
    box.get_by_role("button", name="Enlarge").press("Enter")
    alert.wait_for()
    assert "This image cannot be enlarged: photo.png cannot be read as an image" in alert.inner_text()
    assert link.count() == 0
    np.testing.assert_array_equal(widget.pixels(), shown)
    widget.keep("upscaler-error")

    photo = tmp_path / "my photo.png"
    Image.fromarray(read_image(embedded(["coffee.png"])[0])[100:250, 100:300]).save(photo)
    upload(photo)
    assert not np.array_equal(enlarged(photo), shown)
    widget.keep("upscaler-upload")


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_page_has_no_errors(name, page, upscaler_page):
    page = {"05_feature_maps": page, "07_super_resolve": upscaler_page}[name]
    assert page.evaluate(ERRORS) == []
    assert page.get_by_text("javascript error").count() == 0
    notebook = page.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON()")
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    committed = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    assert len(notebook["cells"]) == len(committed.cells)
