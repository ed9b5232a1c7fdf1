"""Tables of chapters."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler


class Table(Styler):
    """A frame as a table that comes out the same on every run: a ``Styler`` without random identifiers.

    Args:
        frame: what to show; a plain numbering of its rows is left out.
        formats: of the columns of numbers, or of those named; a missing number is an empty cell.

    >>> Table(pd.DataFrame({"scale": [2, 3], "PSNR (dB)": [33.664, None]}))
    scale  PSNR (dB)
    2      33.66
    3
    """

    def __init__(self, frame: pd.DataFrame, formats: str | Mapping[str, Any] = "{:.2f}") -> None:
        identifier = hashlib.sha256(frame.to_csv().encode()).hexdigest()[:8]
        super().__init__(frame, uuid=identifier, cell_ids=False)
        if isinstance(formats, str):
            formats = dict.fromkeys(frame.select_dtypes("floating").columns, formats)
        self.format(dict(formats), na_rep="")
        if frame.index.name is None and frame.index.equals(pd.RangeIndex(len(frame))):
            self.hide(axis="index")

    def __repr__(self) -> str:
        rows = [line.split("\t") for line in self.to_string(delimiter="\t").splitlines()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join(lines)
