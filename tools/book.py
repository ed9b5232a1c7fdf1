"""Build the book from the chapters, the pages of docs/, and the library's docstrings.

python tools/book.py                  the notebooks as they are committed
python tools/book.py runs/tutorial    those that a run left there take their place
"""

import argparse
import importlib
import pkgutil
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx

import vdsrlib

ROOT = Path(__file__).parents[1].resolve()
FACE = sorted((name for name in dir(vdsrlib) if name[0] != "_"), key=lambda name: (name[0].isupper(), name))
"""Its names, functions first."""


def lay_out(source: Path, executed: Path | None) -> None:
    """Copy all that becomes a page into one folder, where the links hold as in the repository."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source / "docs")
    shutil.copytree(
        ROOT / "vdsrlib", source / "vdsrlib", ignore=shutil.ignore_patterns("weights", "__pycache__")
    )
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "CITATION.cff", "constraints.txt", "Makefile"):
        shutil.copy(ROOT / name, source)
    contents = ROOT / "docs" / "_book" / "contents.md"
    pages = (ROOT / "README.md", contents)
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    (source / "index.md").write_text(text, encoding="utf-8")
    for folder in filter(None, (ROOT / "notebooks", executed)):
        for path in [*folder.glob("*.ipynb"), *folder.glob("[as]*/*.ipynb")]:
            notebook = nbformat.read(path, 4)
            notebook.metadata.pop("widgets", None)  # their state would ask another host for scripts
            target = source / "notebooks" / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, target)
    write_reference(source / "reference")


def write_reference(folder: Path) -> None:
    """Write a page for the face of the library, and one for each room, with all its modules."""
    folder.mkdir()
    rooms = [room.name for room in pkgutil.iter_modules(vdsrlib.__path__)]
    rooms = [room for room in rooms if room not in ("__main__", "cli")]  # commands have a page of their own
    names = "\n".join(f"   {name}" for name in ("face", *rooms))
    index = f"Every module\n============\n\n.. toctree::\n   :maxdepth: 1\n\n{names}\n"
    (folder / "index.rst").write_text(index, encoding="utf-8")
    face = ["The face of the library", "=======================", ""]
    for name in FACE:
        kind = "class" if isinstance(getattr(vdsrlib, name), type) else "function"
        again = ["   :no-index:"] if kind == "class" else []  # its room's page is where links to it lead
        face += [f".. auto{kind}:: vdsrlib.{name}", *again, ""]
    (folder / "face.rst").write_text("\n".join(face), encoding="utf-8")
    for room in rooms:
        lines = [f"``vdsrlib.{room}``", "=" * (len(room) + 12), ""]
        for module in modules(f"vdsrlib.{room}"):
            if module != f"vdsrlib.{room}":
                lines += [f"``{module}``", "-" * (len(module) + 4), ""]
            lines += [f".. automodule:: {module}", "   :members:", ""]
        (folder / f"{room}.rst").write_text("\n".join(lines), encoding="utf-8")


def modules(name: str) -> Iterator[str]:
    """List a module, and those in it."""
    module = importlib.import_module(name)
    yield name
    for inner in pkgutil.iter_modules(getattr(module, "__path__", ())):
        yield f"{name}.{inner.name}"


def build(book: Path, executed: Path | None = None) -> int:
    """Lay out the sources and build; return Sphinx's exit status. A warning is a failure."""
    source = book.with_name(f"{book.name}-source")
    lay_out(source, executed)
    shutil.rmtree(book, ignore_errors=True)
    options = [
        "-b",
        "html",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        str(ROOT / "docs"),
        "-d",
        f"{source}/.doctrees",
    ]
    return sphinx([*options, str(source), str(book)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("executed", nargs="?", type=Path, help="folder of notebooks that a run left")
    parser.add_argument("--to", type=Path, default=ROOT / "runs" / "book", help="folder of the book")
    arguments = parser.parse_args()
    status = build(arguments.to.resolve(), arguments.executed)
    print(f"Open {arguments.to / 'index.html'}")
    sys.exit(status)
