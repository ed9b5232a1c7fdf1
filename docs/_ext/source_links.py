"""Let links to modules of the package lead to their pages of source code."""

from pathlib import PurePosixPath

from docutils import nodes
from sphinx import addnodes


def _lead_to_code(app, doctree, docname):
    if app.builder.format != "html":
        return
    for link in [*doctree.findall(addnodes.download_reference)]:
        path = PurePosixPath(link["reftarget"])
        if path.suffix != ".py" or "vdsrlib" not in path.parts:
            continue
        parts = path.with_suffix("").parts[path.parts.index("vdsrlib") :]
        page = f"_modules/{'/'.join(parts)}"
        if ".".join(parts) in getattr(app.env, "_viewcode_modules", {}):
            target = app.builder.get_relative_uri(docname, page)
            link.replace_self(nodes.reference("", "", *link.children, refuri=target, internal=True))


def _leave_out_builtins(app):
    """A union of types counts as one of Python's own, whose source has no page."""
    getattr(app.env, "_viewcode_modules", {}).pop("builtins", None)
    return ()


def setup(app):
    """Connect to Sphinx."""
    app.connect("html-collect-pages", _leave_out_builtins, priority=1)
    app.connect("doctree-resolved", _lead_to_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
