"""Pictures with a slider: the same on every run, and moved with the keyboard in a real browser."""

import re

import numpy as np
import pytest
from browser import CHROMIUM, chromium
from skimage.transform import rescale

from vdsrlib.errors import InputError
from vdsrlib.viz.captioned import CaptionedImage
from vdsrlib.viz.stand_ins import before_after, layer_slider


@pytest.fixture
def pair(photo):
    small = rescale(photo, 1 / 4, channel_axis=2)
    return rescale(small, 4, order=0, channel_axis=2), photo


@pytest.fixture
def slider(pair):
    return before_after(*pair, ("ILR", "HR"), "The face of an astronaut")


@pytest.fixture
def layers(photo):
    maps = [CaptionedImage(np.roll(photo[..., 0], 9 * i, axis=1), "a map", "maps") for i in range(3)]
    return layer_slider(maps, ["conv.1", "conv.2", "conv.3"], "Feature maps")


def test_the_same_on_every_run_and_never_the_same_identifier(pair, slider, layers):
    again = before_after(*pair, ("ILR", "HR"), "The face of an astronaut")
    other = before_after(*reversed(pair), ("HR", "ILR"), "The face of an astronaut")
    assert again._repr_html_() == slider._repr_html_()
    identifiers = [re.search(r' id="([\w-]+)"', each.markup)[1] for each in (slider, other, layers)]
    assert len(set(identifiers)) == 3


def test_alternative_texts(slider, layers):
    alts = re.findall(r' alt="([^"]*)"', slider.markup)
    assert alts == ["HR: The face of an astronaut", "ILR: The face of an astronaut"]
    assert re.findall(r' alt="([^"]*)"', layers.markup)[2] == "conv.3: Feature maps"
    assert repr(slider) == "The face of an astronaut"


def test_labels_are_text(photo):
    markup = before_after(photo, photo, ('<b>"a"', "b & c"), 'a "face"').markup
    assert "<b>" not in markup
    assert "b &amp; c ▶" in markup


def test_photographs_are_small_and_maps_exact(slider, layers):
    assert slider.markup.count("data:image/jpeg;base64,") == 2
    assert layers.markup.count("data:image/png;base64,") == 3


def test_what_does_not_fit(photo):
    with pytest.raises(InputError, match="ILR and HR are 120 x 96 and 119 x 96 pixels; give two of one size"):
        before_after(photo, photo[:, 1:], ("ILR", "HR"), "a face")
    with pytest.raises(InputError, match="got 1 pictures and 2 labels"):
        layer_slider([photo], ["a", "b"], "maps")
    with pytest.raises(InputError, match="got 0 pictures"):
        layer_slider([], [], "maps")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed, so no browser test")
def test_the_keyboard_moves_them(slider, layers, tmp_path):
    pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not installed")
    page_file = tmp_path / "page.html"
    page_file.write_text(
        f"<!doctype html><meta charset=utf-8>{slider.markup}{layers.markup}", encoding="utf-8"
    )
    with chromium() as browser:
        page = browser.new_page()
        page.goto(page_file.as_uri())
        figures = page.locator("figure.stand-in")
        shots = [figures.nth(0).locator("div").first.screenshot()]
        ranges = page.get_by_role("slider")
        for key in ("Home", "End"):
            ranges.nth(0).press(key)
            shots.append(figures.nth(0).locator("div").first.screenshot())
        assert len(set(shots)) == 3
        assert figures.nth(1).locator("img:visible").count() == 1
        ranges.nth(1).press("ArrowRight")
        assert figures.nth(1).locator("img:visible").get_attribute("alt") == "conv.2: Feature maps"
        assert figures.nth(1).locator("output").inner_text() == "conv.2"
        assert ranges.nth(1).get_attribute("aria-valuetext") == "conv.2"
        ranges.nth(1).press("End")
        assert figures.nth(1).locator("img:visible").get_attribute("alt") == "conv.3: Feature maps"
