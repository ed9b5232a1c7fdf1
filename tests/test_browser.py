"""Chapter 5 in JupyterLab in a real browser: each control is moved with the keyboard, and pixels change.

A screenshot of every widget is kept in runs/browser/.
"""

import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--no-proxy-server"]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
READY = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
ERRORS = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .flatMap(cell => cell.model.outputs.toJSON())
    .filter(output => output.output_type === 'error' || output.name === 'stderr')
    .map(output => output.evalue || output.text)"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed (Debian: apt install chromium), so no browser test"
)


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory):
    """JupyterLab on a loopback port with a token, of a folder that holds chapter 5."""
    folder = tmp_path_factory.mktemp("jupyterlab")
    for name, value in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value))
    root = folder / "root"
    root.mkdir()
    shutil.copy(ROOT / "notebooks" / "05_feature_maps.ipynb", root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True"]
    environment = {
        **os.environ,
        "VDSR_DATA": "",
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(240):
            try:
                direct.open(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.25)
        else:
            pytest.fail((folder / "log").read_text())
        yield f"http://127.0.0.1:{port}/lab/tree/05_feature_maps.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def page(jupyterlab):
    """The chapter in a browser, all its cells run."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(60_000)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(jupyterlab)
        page.wait_for_function(READY)
        page.set_default_timeout(240_000)
        assert page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')") is True
        page.set_default_timeout(60_000)
        page.wait_for_function("document.querySelectorAll('img.widget-image').length === 4")
        yield page
        assert page.evaluate(ERRORS) == []
        assert faults == []
        browser.close()


class Widget:
    """One widget of the page, by a control that it alone has."""

    def __init__(self, page, label: str) -> None:
        self.page = page
        label_of = page.locator(".widget-label", has_text=label)
        self.box = page.locator(".jp-OutputArea-output .widget-vbox").filter(has=label_of).first
        self.image = self.box.locator("img.widget-image")

    def pixels(self) -> np.ndarray:
        """The picture as the browser shows it."""
        self.image.scroll_into_view_if_needed()
        handle = self.image.element_handle()
        self.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=handle)
        shown = Image.open(io.BytesIO(self.image.screenshot())).convert("RGB")
        return np.asarray(shown).astype(int)

    def change(self, act) -> float:
        """Do something; seconds until other pixels are shown. Fails where none are."""
        before, source = self.pixels(), self.image.get_attribute("src")
        start = time.monotonic()
        act()
        self.page.wait_for_function(
            "([image, source]) => image.src !== source && image.complete && image.naturalWidth > 0",
            arg=[self.image.element_handle(), source],
        )
        seconds = time.monotonic() - start
        after = self.pixels()
        assert before.shape == after.shape
        assert (np.abs(before - after).max(axis=-1) > 8).sum() > 50
        return seconds

    def slider(self, label: str):
        return self.box.locator(".widget-slider").filter(has_text=label).first

    def press(self, label: str, key: str = "ArrowRight") -> float:
        """A key on a slider; the number beside it must change too."""
        slider = self.slider(label)
        before = slider.locator(".widget-readout").inner_text()
        seconds = self.change(lambda: slider.locator(".noUi-handle").press(key))
        assert slider.locator(".widget-readout").inner_text() != before
        return seconds

    def toggle(self, row: str, option: str) -> float:
        """Space on a button of a row of buttons."""
        group = self.box.locator(".widget-toggle-buttons")
        group = group.filter(has_text=row) if row else group
        return self.change(lambda: group.locator("button", has_text=option).press("Space"))

    def keep(self, name: str) -> None:
        """Keep a screenshot."""
        folder = ROOT / "runs" / "browser"
        folder.mkdir(parents=True, exist_ok=True)
        self.box.scroll_into_view_if_needed()
        self.box.screenshot(path=folder / f"{name}.png")


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


def test_the_page_has_no_errors(page):
    assert page.evaluate(ERRORS) == []
    assert page.get_by_text("javascript error").count() == 0
    notebook = page.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON()")
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    committed = nbformat.read(ROOT / "notebooks" / "05_feature_maps.ipynb", 4)
    assert len(notebook["cells"]) == len(committed.cells)
