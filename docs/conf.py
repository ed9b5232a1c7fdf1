"""The book: chapters, guide and reference, by Sphinx. ``tools/book.py`` lays its sources out and builds it.

It reads offline: the formulas' and the tables' scripts come from installed packages, not from another host.
"""

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import vdsrlib

project = "The VDSR study"
author = "The VDSR study"
version = release = vdsrlib.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    "command_line",
    "glossary_hovers",
    "notebook_pictures",
    "source_links",
]
exclude_patterns = ["docs/_*", "vdsrlib/weights"]
suppress_warnings = ["config.cache", "mystnb.unknown_mime_type", "myst.header", "toc.empty_glob"]

# Chapters are shown as they were run.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 4

autodoc_default_options = {"exclude-members": "set"}  # matplotlib's, which lists all properties of a figure
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
viewcode_follow_imported_members = False  # the face of the library has no source of its own
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
add_module_names = False

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = ">>> "

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["datatables.css", "book.css"]
html_js_files = [("datatables.js", {"defer": "defer"}), ("book.js", {"defer": "defer"})]
html_sidebars = {"_modules/**": ["navbar-logo.html", "search-button-field.html"]}
html_copy_source = False
html_show_search_summary = False  # a page from a disk may not read the other pages
html_theme_options = {
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navigation_with_keys": False,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
}
html_context = {"default_mode": "auto"}

# A single file that holds its glyphs as paths: no font is fetched.
mathjax_path = "mathjax.js"


def _copy_scripts(app, error):
    """Take MathJax and DataTables from the packages that bring them."""
    if error:
        return
    static = Path(app.outdir) / "_static"
    mathjax = distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax")
    (static / "mathjax.js").write_bytes((Path(mathjax) / "tex-svg.js").read_bytes())
    tables = Path(distribution("itables").locate_file("itables/html"))
    # A page from a disk may not import a module: the bundle becomes a plain script.
    script, exports = re.subn(
        r"export\s*\{[^}]*?(\w+) as default[^}]*\}",
        r"window.DataTable=\1",
        tables.joinpath("dt_bundle.js").read_text("utf-8"),
    )
    assert exports == 1, "itables' bundle has another form than before"
    (static / "datatables.js").write_text(f"(() => {{{script}\n}})();", "utf-8")
    (static / "datatables.css").write_bytes(tables.joinpath("dt_bundle.css").read_bytes())


def _root_is_index(app, docname, source):
    """The first page is the README."""
    source[0] = (
        source[0].replace("(../README.md", "(../index.md").replace("(../../README.md", "(../../index.md")
    )


def _bars_are_bars(app, what, name, obj, options, lines):
    """A docstring writes |x| for a magnitude, which reStructuredText takes for a substitution."""
    lines[:] = [line if "`" in line or ">>>" in line else line.replace("|", r"\|") for line in lines]


plain: dict[str, list[str]] = {}


def _keep_plain(app, what, name, obj, options, lines):
    if what in ("attribute", "data"):
        plain[name] = [*lines]


def _put_plain_back(app, what, name, obj, options, lines):
    """Napoleon takes the words before a colon for a type, which they are not in a constant's sentence."""
    lines[:] = plain.pop(name, lines)


def setup(app):
    """Connect what is too small for an extension of its own."""
    app.connect("build-finished", _copy_scripts)
    app.connect("source-read", _root_is_index)
    app.connect("autodoc-process-docstring", _bars_are_bars, priority=1)
    app.connect("autodoc-process-docstring", _keep_plain, priority=2)
    app.connect("autodoc-process-docstring", _put_plain_back, priority=900)
