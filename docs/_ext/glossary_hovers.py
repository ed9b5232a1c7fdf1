"""Link the first use of each word of the glossary on a page to it, with the definition as a hover."""

import html
import re

from docutils import nodes
from sphinx import addnodes

GLOSSARY = "docs/glossary"
TITLES_OF_OTHERS = "docs/references"
EVERYDAY = {"border", "loss", "step", "seed", "width"}
"""Words that often mean something else in a sentence: no link without being asked."""
NOT_PROSE = (
    nodes.Titular,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.reference,
    nodes.doctest_block,
    nodes.comment,
    addnodes.desc_signature,
    addnodes.literal_strong,
    addnodes.download_reference,
    addnodes.toctree,
    addnodes.pending_xref,
)


class TermLink(nodes.reference):
    """A word that links to the glossary."""


def _visit(writer, node):
    definition = html.escape(node["definition"])
    writer.body.append(f'<a class="glossary-term" href="{node["refuri"]}" data-definition="{definition}">')


def _depart(writer, node):
    writer.body.append("</a>")


def _hover(definition):
    """The first sentence, as far as it has no formula."""
    words = []
    for child in definition.next_node(nodes.paragraph).children:
        if isinstance(child, nodes.math):
            words.append("$")
        else:
            words.append(child.astext())
    text = " ".join("".join(words).split())
    sentence = re.split(r"(?<=\.)\s", text, maxsplit=1)[0]
    return re.sub(r"[\s:,(]*\$.*", "", sentence).rstrip(".") + "."


def _terms(env):
    """Definition and anchor of each term."""
    found = {}
    for item in env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        for term in item.findall(nodes.term):
            word = term.astext().strip()
            if word not in EVERYDAY:
                found[word] = (_hover(item.next_node(nodes.definition)), term["ids"][0])
    return found


def _pattern(terms):
    """Longest first; a plural counts, and a capital letter at the beginning of a plain word."""
    words = []
    for word in sorted(terms, key=len, reverse=True):
        plain = re.escape(word)
        words.append(f"[{word[0]}{word[0].upper()}]{plain[1:]}" if word.islower() else plain)
    return re.compile(rf"(?<![\w-])({'|'.join(words)})(?:e?s)?(?![\w-])")


def _is_prose(node):
    while node is not None:
        if isinstance(node, NOT_PROSE):
            return False
        node = node.parent
    return True


def _link(app, doctree, docname):
    if (
        app.builder.format != "html"
        or docname in (GLOSSARY, TITLES_OF_OTHERS)
        or GLOSSARY not in app.env.all_docs
    ):
        return
    if not hasattr(app, "glossary_terms"):
        app.glossary_terms = _terms(app.env)
        app.glossary_pattern = _pattern(app.glossary_terms)
    by_name = {word.lower() if word.islower() else word: entry for word, entry in app.glossary_terms.items()}
    page, seen = app.builder.get_relative_uri(docname, GLOSSARY), set()
    for text in [*doctree.findall(nodes.Text)]:
        if not _is_prose(text.parent):
            continue
        parts, end = [], 0
        for match in app.glossary_pattern.finditer(text.astext()):
            word = match[1] if match[1] in by_name else match[1].lower()
            if word in seen:
                continue
            seen.add(word)
            definition, anchor = by_name[word]
            link = TermLink("", "", nodes.Text(match[0]), refuri=f"{page}#{anchor}", definition=definition)
            parts += [nodes.Text(text.astext()[end : match.start()]), link]
            end = match.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text.astext()[end:])])


def setup(app):
    """Connect to Sphinx."""
    app.add_node(TermLink, html=(_visit, _depart))
    app.connect("doctree-resolved", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
