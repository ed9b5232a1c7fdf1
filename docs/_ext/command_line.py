"""Directive ``command-line``: the options of each command, from the parser that reads them."""

import argparse
import contextlib
import io

from docutils import nodes
from docutils.parsers.rst import Directive

from vdsrlib.cli.app import build_parser


def _commands(parser):
    """The commands below a parser, depth first; the options of one are added when help is asked for."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        parser.parse_args(["--help"])
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser
    for action in below:
        for child in action.choices.values():
            yield from _commands(child)


def _option(action):
    """The names of an option, with what follows each."""
    value = action.metavar or (action.choices and "{" + ",".join(map(str, action.choices)) + "}")
    value = value or action.dest.replace("_", "-").upper()
    if not action.option_strings:
        return value if isinstance(value, str) else " ".join(value)
    value = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"{name}{value}" for name in action.option_strings)


def _entries(parser, actions):
    entries = nodes.definition_list(classes=["options"])
    for action in actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        term = nodes.term("", "", nodes.literal("", _option(action)))
        text = parser._get_formatter()._expand_help(action) if action.help else ""
        entries += nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", text)))
    return entries


class CommandLine(Directive):
    """A section for each command."""

    def run(self):
        """Make the sections."""
        return [self._section(parser) for parser in _commands(build_parser())]

    def _section(self, parser):
        section = nodes.section(
            ids=[nodes.make_id(parser.prog)], names=[nodes.fully_normalize_name(parser.prog)]
        )
        section += nodes.title("", "", nodes.literal("", parser.prog))
        section += nodes.paragraph("", parser.description or "")
        usage = parser.format_usage().removeprefix("usage: ").rstrip()
        section += nodes.literal_block(usage, usage, language="text")
        for group in parser._action_groups:
            entries = _entries(parser, group._group_actions)
            if not entries.children:
                continue
            if group.title not in ("positional arguments", "options"):
                section += nodes.rubric("", group.title or "")
                if group.description:
                    section += nodes.paragraph("", group.description)
            section += entries
        if parser.epilog:
            section += nodes.literal_block(parser.epilog, parser.epilog, language="text")
        return section


def setup(app):
    """Connect to Sphinx."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
