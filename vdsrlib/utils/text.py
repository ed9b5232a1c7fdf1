"""Sentences for people."""

from collections.abc import Sequence


def shorten(names: Sequence[str], most: int = 5, separator: str = ", ") -> str:
    """Name the first few of many, and count the others.

    >>> shorten(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = len(names) - most
    return separator.join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
