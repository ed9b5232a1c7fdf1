"""Give pictures of notebooks the alternative texts that their outputs carry as metadata."""

import base64
import hashlib
from pathlib import Path

import nbformat
from docutils import nodes


def _alternative_texts(path):
    """Alternative texts by the hash of the picture, which is its file's name."""
    texts = {}
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", ()):
            for kind, options in output.get("metadata", {}).items():
                if isinstance(options, dict) and "alt" in options:
                    data = base64.decodebytes(output.data[kind].encode())
                    texts[hashlib.sha256(data).hexdigest()] = options["alt"]
    return texts


def _put_in(app, doctree):
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    texts = _alternative_texts(path)
    for image in doctree.findall(nodes.image):
        text = texts.get(Path(image["uri"]).stem)
        if text:
            image["alt"] = text


def setup(app):
    """Connect to Sphinx."""
    app.connect("doctree-read", _put_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
