"""The book, built once from the notebooks as they are, and read in a real browser from the disk.

Nothing is served, and no page may ask another host for anything.
"""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import CHROMIUM, ROOT, chromium

import vdsrlib

pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install 'vdsrlib[book]'")
EXTERNAL = re.compile(r"(https?|mailto|data|javascript):")


class Page(HTMLParser):
    """The links, identifiers and pictures of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.identifiers, self.pictures = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.identifiers |= {attributes.get("id"), attributes.get("name")}
        self.links += [value for name in ("href", "src") if (value := attributes.get(name))]
        if tag == "img":
            self.pictures.append(attributes)


@pytest.fixture(scope="session")
def book(tmp_path_factory, cli_environment):
    """The folder of the book. Its building is a test: warnings count as errors."""
    folder = tmp_path_factory.mktemp("book") / "html"
    command = [sys.executable, "tools/book.py", "--to", folder]
    run = subprocess.run(command, cwd=ROOT, env=cli_environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="session")
def pages(book):
    return {path: Page(path) for path in book.rglob("*.html") if "_static" not in path.parts}


def test_every_part_is_there(book):
    contents = (book / "index.html").read_text(encoding="utf-8")
    for part in ("Chapters", "Appendices", "Guide", "Reference"):
        assert f'<span class="caption-text">{part}</span>' in contents
    for name in (
        "docs/glossary",
        "docs/references",
        "docs/command_line",
        "reference/face",
        "genindex",
        "search",
    ):
        assert (book / f"{name}.html").is_file()
    for notebook in (ROOT / "notebooks").rglob("*.ipynb"):
        assert (book / notebook.relative_to(ROOT)).with_suffix(".html").is_file()


def test_every_link_leads_somewhere(pages):
    for path, page in pages.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if EXTERNAL.match(link) or (not target.partition("?")[0] and not anchor):
                continue
            linked = (path.parent / unquote(target.partition("?")[0])).resolve() if target else path
            assert linked.is_file(), f"{path.name}: {link}"
            if anchor and linked in pages:
                assert unquote(anchor) in pages[linked].identifiers, f"{path.name}: {link}"


def test_pictures_have_alternative_texts(pages):
    """Those of the outputs of notebooks, too, which carry the text as metadata."""
    charts = 0
    for path, page in pages.items():
        for picture in page.pictures:
            assert picture.get("alt", "").strip(), f"{path.name}: {str(picture)[:200]}"
            assert not re.fullmatch(r"(\.\./)*_images/.*", picture["alt"]), path.name
            charts += picture["alt"].startswith("Chart. ")
    assert charts > 10


def test_the_reference_has_every_name_and_command(book):
    face = (book / "reference/face.html").read_text(encoding="utf-8")
    assert all(f">{name}</span>" in face for name in vdsrlib.__all__ if name[0] != "_")
    commands = (book / "docs/command_line.html").read_text(encoding="utf-8")
    for command in ("upscale", "evaluate", "score", "train", "data get", "doctor"):
        assert f'id="vdsr-{command.replace(" ", "-")}"' in commands
    assert "--ground-truth" in commands
    assert "SUPPRESS" not in commands


def test_the_reference_shows_examples(book):
    """The doctests of docstrings."""
    page = (book / "reference/imaging.html").read_text(encoding="utf-8")
    assert "doctest" in page
    assert "to_uint8" in page


@pytest.fixture(scope="module")
def visit(book):
    """Opens a page of the book in a browser; at the end, nothing failed and nothing left the disk."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium), so no browser test")
    pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not installed")
    requests, faults = [], []
    with chromium() as browser:

        def note(request):
            if request.failure != "net::ERR_ABORTED":  # the page was left before it came
                faults.append(f"{request.url}: {request.failure}")

        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(30_000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("requestfailed", note)
        page.on("pageerror", lambda error: faults.append(str(error)))

        def opened(name):
            page.goto(f"{book.as_uri()}/{name}")
            return page

        yield opened
    assert faults == []
    assert [url for url in requests if not re.match(r"(file|data|blob):", url)] == []


def test_search_finds_words(visit):
    page = visit("search.html?q=receptive+field")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    found = results.all_inner_texts()
    assert "Glossary" in found
    assert any(re.match(r"2 · ", title) for title in found)


def test_equations_are_typeset(visit):
    page = visit("docs/glossary.html")
    page.locator("mjx-container svg").first.wait_for()
    assert "log" not in page.locator("mjx-container").first.inner_text()
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0


def test_the_glossary_hovers(visit):
    page = visit("docs/scoring.html")
    term = page.locator("a.glossary-term", has_text="PSNR").first
    assert page.locator("a.glossary-term", has_text=re.compile("^PSNR$")).count() == 1

    def hover():
        return term.evaluate("link => getComputedStyle(link, '::after').content")

    assert hover() == "none"
    term.hover()
    assert "Peak signal-to-noise ratio" in hover()
    term.click()
    assert page.url.endswith("glossary.html#term-PSNR")


def test_tables_are_sorted(visit):
    page = visit("docs/reproducing.html")
    table = page.locator("article table.dataTable").first
    title = table.locator("thead th").nth(1)

    def column():
        return table.locator("tbody tr td:nth-child(2)").all_inner_texts()

    def sort(direction):
        title.click()
        table.locator(f"thead th:nth-child(2)[aria-sort={direction}]").wait_for()
        return column()

    before = column()
    ascending = sort("ascending")
    assert sort("descending") == ascending[::-1] != ascending
    assert sorted(before) == sorted(ascending)


@pytest.mark.parametrize("width", [1280, 400])
def test_pages_fit_the_window(visit, width):
    """Wide tables and formulas scroll on their own."""
    for name in ("index", "docs/scoring", "docs/command_line", "reference/inference", "notebooks/03_train"):
        page = visit(f"{name}.html")
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_slider_moves_without_a_kernel(visit, book):
    names = [
        path.relative_to(book).as_posix()
        for path in sorted((book / "notebooks").glob("[0-9]*.html"))
        if 'class="stand-in"' in path.read_text(encoding="utf-8")
    ]
    assert names, "no chapter has a before/after slider"
    for name in names:
        figure = visit(name).locator("figure.stand-in").first
        before = figure.screenshot()
        figure.get_by_role("slider").press("Home" if "--line" in figure.inner_html() else "End")
        assert figure.screenshot() != before, name
