"""Parse what people type: names, scales in any spelling, sizes, and a notebook's parameters."""

import ast
import difflib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from vdsrlib.errors import InputError

LARGEST_SCALE = 8

Entry = TypeVar("Entry")


def lookup(table: Mapping[str, Entry], name: str, kind: str) -> Entry:
    """Return the entry of a table by its name.

    Args:
        table: what there is, by name.
        name: what the user asks for.
        kind: what the entries are, in the singular, for the message.

    Raises:
        InputError: the table has no such name; the message lists those it has.

    >>> lookup({"paper": 1, "replication": 2}, "paper", "protocol")
    1
    >>> lookup({"paper": 1, "replication": 2}, "papre", "protocol")
    Traceback (most recent call last):
    vdsrlib.errors.InputError: unknown protocol 'papre'; choose paper or replication
    """
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


def unknown(kind: str, name: str, choices: Collection[str]) -> InputError:
    """Make the error for a name that is none of the choices."""
    *others, last = choices
    listed = f"{', '.join(others)} or {last}" if others else last
    return InputError(f"unknown {kind} {name!r}; choose {listed}")


def parse_scale(value: Any) -> float:
    """One scale, a finite number above 1 and up to 8.

    Raises:
        InputError: anything else.
    """
    try:
        scale = float(value)
    except (TypeError, ValueError):
        raise InputError(f"The scale is {value!r}; write one number, such as 3 or 2.5.") from None
    if isinstance(value, bool) or not (math.isfinite(scale) and 1 < scale <= LARGEST_SCALE):
        raise InputError(f"The scale is {value}; it must be above 1 and at most {LARGEST_SCALE}.")
    return scale


def parse_scales(value: Any) -> tuple[float, ...]:
    """Scales in every spelling that reaches a notebook: ``2_3_4``, ``[2, 3]``, ``"1.5,2"``, 2.5, 234.

    papermill's ``-p scales 2_3_4`` arrives as the integer 234, since Python reads ``2_3_4`` as one number.
    An integer above the largest scale is therefore split into its digits, which must ascend. A number such
    as 22.54 (from ``-p scales 2_2.5_4``) or 1.52 (from 1.5_2, or meant so) could be several things and is
    refused; as text, ``"1.52"`` is what it says.

    Raises:
        InputError: not scales, or could be two things; the message has the spelling to use.
    """
    if isinstance(value, str):
        parts: Sequence[Any] = _split(value)
    elif isinstance(value, Sequence):
        parts = value
    elif isinstance(value, int) and not isinstance(value, bool) and value > LARGEST_SCALE:
        parts = [int(digit) for digit in str(value)]
        if min(parts) < 2 or max(parts) > LARGEST_SCALE or sorted(set(parts)) != parts:
            raise InputError(_unclear(value))
    elif (
        isinstance(value, float)
        and math.isfinite(value)
        and (value > LARGEST_SCALE or value != round(value, 1))
    ):
        raise InputError(_unclear(value))
    else:
        parts = [value]
    if not parts:
        raise InputError("There is no scale; write for example 2_3_4.")
    scales = tuple(parse_scale(part) for part in parts)
    if len(set(scales)) != len(scales):
        raise InputError(f"A scale stands twice in {value!r}; write each once.")
    return tuple(sorted(scales))


def parse_rescale_factors(value: Any) -> tuple[float, ...]:
    """Factors above 0 and up to 1, by which images are resized: ``1_0.7_0.5``, ``[1, 0.7]``, 1.

    Raises:
        InputError: anything else, such as 10.7, which papermill's ``-p`` makes of 1_0.7.
    """
    parts = _split(value) if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    try:
        factors = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        factors = ()
    if not (factors and all(0 < factor <= 1 for factor in factors)):
        raise InputError(
            f"rescale_factors is {value!r}; write factors above 0 and up to 1, such as 1_0.7_0.5; "
            "with papermill as text: -r rescale_factors 1_0.7_0.5."
        )
    return factors


def _split(text: str) -> list[str]:
    """The numbers of ``2_3_4``, ``1.5, 2``, ``[2, 3]`` or ``2x3``, still as text."""
    return re.split(r"[\s_,;x]+", text.strip().strip("[]()'\"").strip())


def _unclear(value: Any) -> str:
    return (
        f"scales arrived as the number {value}, which could be several things: Python reads 1.5_2 as 1.52. "
        "Write text or a list instead, with papermill: -r scales 1.5_2_3, or -y 'scales: [1.5, 2, 3]'."
    )


def refuse_unknown(cells: Sequence[str]) -> None:
    """Stop a papermill run whose ``-p NAME VALUE`` names no parameter of the chapter.

    papermill only warns of a misspelt name and runs with the default. Its values arrive as a cell that begins
    with "# Parameters", behind the chapter's own, which begins with "# Chapter parameters".

    Args:
        cells: the sources of the cells run so far; in a notebook, ``In``.

    Raises:
        InputError: a name is unknown; the message has the nearest one.
    """

    def names(mark: str) -> list[str]:
        trees = [ast.parse(cell) for cell in cells if cell.startswith(mark)]
        return [
            node.id
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]

    known = names("# Chapter parameters")
    for name in names("# Parameters"):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
            raise InputError(f"This chapter has no parameter {name}; {hint}")


def parse_size(text: str) -> tuple[int, int]:
    """The size of an image as people write it, WIDTHxHEIGHT, as (height, width).

    Raises:
        InputError: anything else.
    """
    found = re.fullmatch(r"(\d{1,9})[xX×](\d{1,9})", text.strip())
    if not found:
        raise InputError(f"The size is {text!r}; write width x height in pixels, such as 1920x1080.")
    return int(found[2]), int(found[1])
