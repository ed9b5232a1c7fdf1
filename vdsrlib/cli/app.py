"""The command ``vdsr``, which is also ``python -m vdsrlib``. It is thin: the work is in the library."""

import os
import signal

import vdsrlib
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
from vdsrlib.utils.signals import exit_cleanly

COMMANDS = (upscale, evaluate, score, train, study, features, export, data, doctor)


def build_parser() -> Parser:
    """Build the parser of all commands."""
    parser = Parser(prog="vdsr", description="Very deep super-resolution (VDSR).")
    parser.add_argument("--version", action="version", version=f"vdsrlib {vdsrlib.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit status.

    It is 0 for success, 1 if a part failed, and 2 for wrong input or a place that cannot be read or written.
    As in shells, it is 130 after Ctrl-C, and 141 if nobody reads the output on, as behind ``head``.
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
    """Run a command as a program: prepare the streams, and end cleanly at Ctrl-C or a scheduler's SIGTERM."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, exit_cleanly)
    prepare_streams()
    try:
        return main(argv)
    finally:
        release_streams()
