"""Tables of chapters."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from vdsrlib.protocol import Score


class Table(Styler):
    """A frame as a table that comes out the same on every run: a ``Styler`` without random identifiers.

    Args:
        frame: what to show; a plain numbering of its rows is left out.
        formats: one format for all floating-point columns, or one for each of some columns. The others have
            two decimals, and SSIM four. A missing number is an empty cell.

    >>> Table(pd.DataFrame({"scale": [2, 3], "PSNR (dB)": [33.664, None], "SSIM": [0.92991, 0.5]}))
    scale  PSNR (dB)  SSIM
    2      33.66      0.9299
    3                 0.5000
    """

    def __init__(self, frame: pd.DataFrame, formats: str | Mapping[str, Any] | None = None) -> None:
        identifier = hashlib.sha256(frame.to_csv().encode()).hexdigest()[:8]
        super().__init__(frame, uuid=identifier, cell_ids=False)
        chosen = {
            column: formats if isinstance(formats, str) else "{:.4f}" if "SSIM" in str(column) else "{:.2f}"
            for column in frame.select_dtypes("floating").columns
        }
        self.format(chosen | dict(formats) if isinstance(formats, Mapping) else chosen, na_rep="")
        if frame.index.name is None and frame.index.equals(pd.RangeIndex(len(frame))):
            self.hide(axis="index")

    def __repr__(self) -> str:
        rows = [line.split("\t") for line in self.to_string(delimiter="\t").splitlines()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join(lines)


def methods_table(means: pd.DataFrame, methods: Sequence[str], **columns: pd.Series) -> Table:
    """Show PSNR and SSIM of methods side by side, a row for a set and a scale, its best PSNR in bold.

    Args:
        means: as ``mean_scores`` returns them by set, scale and method.
        methods: columns, in order.
        columns: more columns, of texts.
    """
    psnr, ssim = (means[score].unstack("method", sort=False)[list(methods)] for score in Score._fields)
    text = (psnr.map("{:.2f}".format) + " / " + ssim.map("{:.4f}".format)).where(psnr.notna(), "")
    text = text.assign(**columns).rename(index="×{:g}".format, level="scale")
    best = psnr.round(2).eq(psnr.round(2).max(axis=1), axis=0)
    table = Table(text.rename_axis(["PSNR (dB) / SSIM", ""]).reset_index())
    table.apply(lambda _: np.where(best, "font-weight: bold", ""), axis=None, subset=list(methods))
    return table


def score_table(scores: Mapping[str, Score], title: str = "") -> Table:
    """Show PSNR and SSIM, a row a name, under ``title``.

    >>> score_table({"interpolation": Score(33.664, 0.92991)}, "butterfly.png ×2")
    butterfly.png ×2  PSNR (dB)  SSIM
    interpolation     33.66      0.9299
    """
    names = pd.Index(list(scores), name=title)
    return Table(pd.DataFrame(list(scores.values()), names, ["PSNR (dB)", "SSIM"]).reset_index())
