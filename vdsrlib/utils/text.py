"""Sentences for people."""

import re
from collections.abc import Sequence


def shorten(names: Sequence[str], most: int = 5, separator: str = ", ") -> str:
    """Name the first few of many, and count the others.

    >>> shorten(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = len(names) - most
    return separator.join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def visible(text: str) -> str:
    r"""Write control characters as escapes: a file's name must not end a line, nor command a terminal.

    >>> print(visible("a\nb\x1b[2J.png"))
    a\nb\x1b[2J.png
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: ascii(found[0])[1:-1], text)
