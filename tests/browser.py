"""A chapter in JupyterLab in a real browser, driven as by a user: for the tests and for the benchmark."""

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
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
# A widget that waits for the kernel keeps further values back, and the press of a button overtakes them: what
# was sent is answered by the end of one empty run, what was kept back by the end of a second.
SETTLE = """async () => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    for (let round = 0; round < 2; round++)
        await kernel.requestExecute({code: '', silent: true, store_history: false}).done;
}"""
ERRORS = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .flatMap(cell => cell.model.outputs.toJSON())
    .filter(output => output.output_type === 'error' || output.name === 'stderr')
    .map(output => output.evalue || output.text)"""


@contextmanager
def jupyterlab(folder: Path, chapters: Sequence[str]) -> Iterator[str]:
    """JupyterLab on a loopback port with a token, of a folder that holds these chapters; its address."""
    for name, value in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value))
    root = folder / "root"
    root.mkdir()
    for name in chapters:
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", root)
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
            raise TimeoutError((folder / "log").read_text())
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; a context of it is a user of their own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def chapter(browser: Any, address: str, name: str, pictures: int) -> Iterator[Any]:
    """A chapter's page with all cells run and so many pictures of widgets; free of errors at the end, too."""
    page = browser.new_page(viewport={"width": 1500, "height": 1300})
    page.set_default_timeout(60_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address.format(name))
    page.wait_for_function(READY)
    page.set_default_timeout(240_000)
    assert page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')") is True
    page.set_default_timeout(60_000)
    page.wait_for_function(f"document.querySelectorAll('img.widget-image').length === {pictures}")
    yield page
    assert page.evaluate(ERRORS) == []
    assert faults == []
    page.close()


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
