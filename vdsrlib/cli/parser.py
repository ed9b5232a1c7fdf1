"""The parser of a command, and the options that several commands share."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias, TypeVar

from vdsrlib.errors import InputError

Value = TypeVar("Value")


class Parser(argparse.ArgumentParser):
    """A parser that raises an InputError where the arguments are wrong.

    Args:
        options: adds the options once they are needed, so that ``vdsr --help`` imports nothing for them.
        others: as ``argparse.ArgumentParser`` takes them.
    """

    def __init__(self, options: Callable[["Parser"], None] | None = None, **others: Any) -> None:
        super().__init__(**others)
        self._options = options

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Add the options, and parse with them."""
        if self._options:
            self._options(self)
            self._options = None
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Report wrong arguments in one sentence, like every other wrong input."""
        raise InputError(f"{message} (see {self.prog} --help)")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_device(parser: Parser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def add_weights(parser: argparse._ActionsContainer, default: str = "vdsr") -> None:
    """Add ``--weights``; ``default`` says in the help what is taken without it."""
    parser.add_argument(
        "--weights",
        metavar="NAME",
        help=f"shipped weights (vdsr, vdsr-rgb, ...), a file, or the authors' .mat; default: {default}",
    )


def with_message(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """Make an option's type of ``parse``: argparse replaces the message of any other ValueError."""

    def parsed(text: str) -> Value:
        try:
            return parse(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def whole_number(text: str) -> int:
    """Parse a whole number from 1 to a million."""
    if not text.isdecimal() or not 1 <= int(text) <= 10**6:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1000000, got {text!r}")
    return int(text)
