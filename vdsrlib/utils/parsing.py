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


def parse_scale(value: Any, *, one: bool = False) -> float:
    """Parse one scale, a finite number above 1 and up to 8.

    Args:
        value: as it was typed.
        one: whether 1 is a scale, too: a photograph is cleaned, and keeps its size.

    Raises:
        InputError: the value is anything else.

    >>> parse_scale("2.5")
    2.5
    """
    try:
        scale = float(value)
    except (TypeError, ValueError):
        raise InputError(f"scale must be one number such as 3 or 2.5, got {value!r}") from None
    if one and scale == 1 and not isinstance(value, bool):
        return scale
    if isinstance(value, bool) or not (math.isfinite(scale) and 1 < scale <= LARGEST_SCALE):
        cleaning = "; only vdsr upscale takes 1, with weights that clean (vdsr-photo)" if scale == 1 else ""
        raise InputError(f"scale must be above 1 and at most {LARGEST_SCALE}, got {value}{cleaning}")
    return scale


def parse_scales(value: Any, *, one: bool = False) -> tuple[float, ...]:
    """Parse scales in every spelling that reaches a notebook, and sort them.

    papermill's ``-p scales 2_3_4`` arrives as the integer 234, since Python reads ``2_3_4`` as one number.
    An integer above the largest scale is therefore split into its digits, which must ascend. A number such
    as 22.54 (from ``-p scales 2_2.5_4``) or 1.52 (from 1.5_2, or meant so) is ambiguous and refused. The text
    ``"1.52"`` means 1.52.

    Args:
        value: as it was typed.
        one: whether 1 is a scale, too, see ``parse_scale``.

    Raises:
        InputError: the value has no scales or is ambiguous; the message has the spelling to use.

    >>> parse_scales("2_3_4")
    (2.0, 3.0, 4.0)
    >>> parse_scales(234) == parse_scales([2, 3, 4]) == parse_scales("2, 3, 4")
    True
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
        raise InputError("scales must have at least one scale, such as 2_3_4, got none")
    scales = tuple(parse_scale(part, one=one) for part in parts)
    if len(set(scales)) != len(scales):
        raise InputError(f"scales must differ, got {value!r}")
    return tuple(sorted(scales))


def parse_rescale_factors(value: Any) -> tuple[float, ...]:
    """Parse the factors above 0 and up to 1 by which training images are resized.

    Raises:
        InputError: the value is anything else, such as 10.7, which papermill's ``-p`` makes of 1_0.7.

    >>> parse_rescale_factors("1_0.7_0.5")
    (1.0, 0.7, 0.5)
    """
    parts = _split(value) if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    try:
        factors = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        factors = ()
    if not (factors and all(0 < factor <= 1 for factor in factors)):
        raise InputError(
            f"rescale_factors must be above 0 and at most 1, such as 1_0.7_0.5, got {value!r}; "
            "with papermill write -r rescale_factors 1_0.7_0.5"
        )
    return factors


def parse_flag(value: Any, name: str) -> bool:
    """Read a choice between yes and no: True, ``false``, ``no``, ``on``, 0.

    Args:
        value: as it was typed; papermill's ``-p`` passes "false" on as text, which Python counts as true.
        name: of the parameter, for the message.

    Raises:
        InputError: anything else.

    >>> parse_flag("false", "ground_truth_mode"), parse_flag(1, "ground_truth_mode")
    (False, True)
    """
    meanings = {"true": True, "yes": True, "on": True, "1": True}
    meanings |= {"false": False, "no": False, "off": False, "0": False}
    text = str(value).strip().lower()
    if text not in meanings:
        raise InputError(f"{name} must be true or false, got {value!r}")
    return meanings[text]


def parse_integer(value: Any, name: str, least: int = 1) -> int:
    """Read a whole number from ``least`` up, also where it arrives as text.

    Raises:
        InputError: anything else, such as 2.5.

    >>> parse_integer("2", "processes")
    2
    """
    text = str(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or int(text) < least:
        raise InputError(f"{name} must be a whole number from {least} up, got {value!r}")
    return int(text)


def parse_listed(value: Any, name: str) -> str:
    """Read a parameter that lists values, as text.

    papermill's ``-p depths 3_5_8`` arrives as the integer 358, since Python reads ``3_5_8`` as one number.
    An integer of several digits is therefore refused. One digit, and a number with a point, are what they
    say.

    Raises:
        InputError: the value could be several things; the message has the spelling to use.

    >>> parse_listed("3,5,8", "depths"), parse_listed(0.1, "rates"), parse_listed(5, "depths")
    ('3,5,8', '0.1', '5')
    """
    if isinstance(value, int) and (isinstance(value, bool) or value > 9):
        raise InputError(
            f"{name} arrived as the number {value}, which is ambiguous: Python reads 3_5_8 as "
            f"358. Write commas, -p {name} 3,5,8, or text, -r {name} {value}."
        )
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _split(text: str) -> list[str]:
    """Split ``2_3_4``, ``1.5, 2``, ``[2, 3]`` or ``2x3`` into its numbers, still as text."""
    return re.split(r"[\s_,;x]+", text.strip().strip("[]()'\"").strip())


def _unclear(value: Any) -> str:
    return (
        f"scales arrived as the number {value}, which is ambiguous: Python reads 1.5_2 as 1.52. "
        "Write text or a list instead, with papermill -r scales 1.5_2_3 or -y 'scales: [1.5, 2, 3]'."
    )


def refuse_unknown(cells: Sequence[str]) -> None:
    """Refuse a papermill run whose ``-p NAME VALUE`` names no parameter of the chapter.

    papermill only warns of a misspelt name and runs with the default. Its values arrive in a cell that begins
    with "# Parameters", after the chapter's own cell, which begins with "# Chapter parameters".

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
            hint = f"did you mean {near[0]}?" if near else f"choose {', '.join(known)}"
            raise InputError(f"unknown parameter {name!r}; {hint}")


def parse_size(text: str) -> tuple[int | None, int | None]:
    """Parse the size of an image, WIDTHxHEIGHT, into (height, width); a side that is left out is None.

    Raises:
        InputError: the text is anything else.

    >>> parse_size("1920x1080"), parse_size("1920x"), parse_size("x1080")
    ((1080, 1920), (None, 1920), (1080, None))
    """
    found = re.fullmatch(r"(\d{0,9})[xX×](\d{0,9})", text.strip())
    if not found or not any(found.groups()):
        raise InputError(f"size must be WIDTHxHEIGHT in pixels, such as 1920x1080 or 1920x, got {text!r}")
    width, height = (int(part) if part else None for part in found.groups())
    return height, width
