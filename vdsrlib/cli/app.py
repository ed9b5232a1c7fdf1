"""The command ``vdsr``, and ``python -m vdsrlib``: a thin command line; the work is in the library."""

import os
import signal

from vdsrlib.cli import data, doctor, evaluate, export, features, score, study, train, upscale
from vdsrlib.cli.console import (
    as_sentence,
    prepare_streams,
    print_problem,
    release_streams,
)
from vdsrlib.cli.parser import Parser
from vdsrlib.errors import InputError, MainProcessError
from vdsrlib.utils.logs import print_log
from vdsrlib.utils.signals import exit_on_terminate

COMMANDS = (upscale, evaluate, score, train, study, features, export, data, doctor)


def build_parser() -> Parser:
    """Build the parser of all commands."""
    parser = Parser(prog="vdsr", description="Very deep super-resolution (VDSR).")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit status.

    0, 1 for a failed check, 2 for wrong input or a place that fails; and, as shells have it, 130 after Ctrl-C
    and 141 where nobody reads on, as behind ``head``.
    """
    print_log()
    try:
        arguments = build_parser().parse_args(argv)
        return arguments.run(arguments)
    except MainProcessError:
        return 2
    except InputError as error:
        sentence = as_sentence(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return 141
        sentence = f"{error.filename}: {error.strerror}." if error.filename else f"{error}."
    except KeyboardInterrupt:
        return 130
    rank = os.environ.get("RANK", "0")
    print_problem(sentence if rank in ("", "0") else f"rank {rank}: {sentence}")
    return 2


def run(argv: list[str] | None = None) -> int:
    """Run a command as a program: with plain streams, and with a scheduler's stop heard."""
    prepare_streams()
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP, and nohup ignores it
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, exit_on_terminate)
    try:
        return main(argv)
    finally:
        release_streams()
