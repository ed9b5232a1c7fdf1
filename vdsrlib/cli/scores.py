"""How ``vdsr evaluate`` and ``vdsr score`` show the frames that they make."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def to_record(scores: "pd.DataFrame") -> dict[str, Any]:
    """Put the scores of each image at one scale together, as programs expect them in the JSON."""
    from vdsrlib.evaluation.frames import mean_scores

    images: dict[str, dict[str, Any]] = {}
    for row in scores.itertuples():
        images.setdefault(row.image, {"name": row.image})[row.method] = {"psnr": row.psnr, "ssim": row.ssim}
    return {
        "images": list(images.values()),
        "mean": mean_scores(scores, ["method"]).to_dict("index"),
        **scores.attrs,
        "seconds": float(scores.seconds.sum(skipna=False)),
    }


def image_table(scores: "pd.DataFrame") -> str:
    """Lay the scores at one scale out with a line for each image, and the means below."""
    import pandas as pd

    from vdsrlib.evaluation.frames import mean_scores

    mean = mean_scores(scores, ["method"]).reset_index()
    mean["image"] = f"mean of {scores.image.nunique()}"
    return _table(pd.concat([scores, mean]), ["image"])


def mean_table(scores: "pd.DataFrame") -> str:
    """Lay the means out with a line for each set and scale, as the tables of papers have them."""
    from vdsrlib.evaluation.frames import mean_scores

    mean = mean_scores(scores, ["set", "scale", "method"]).reset_index()
    return _table(mean.assign(scale=mean.scale.map("x{:g}".format)), ["set", "scale"])


def _table(scores: "pd.DataFrame", rows: Sequence[str]) -> str:
    """Lay scores out with a column for each method, in the order in which they stand."""
    text = scores.psnr.map("{:.2f}".format) + " / " + scores.ssim.map("{:.4f}".format)
    cells = text.groupby([scores[name] for name in (*rows, "method")], sort=False).first()
    table = cells.unstack("method", sort=False).reset_index()
    table.columns = heads = ["PSNR (dB) / SSIM", *rows[1:], *table.columns[len(rows) :]]
    longest = table[heads[0]].str.len().max()
    return table.to_string(index=False, justify="left", formatters={heads[0]: f"{{:<{longest}}}".format})


def check_csv(path: str) -> None:
    """Raise InputError if the CSV file cannot be written, before the long work."""
    from vdsrlib.utils.atomic import check_overwrite, check_writable

    check_overwrite(path, force=True)
    check_writable(Path(path).parent)


def write_csv(path: str, scores: "pd.DataFrame") -> None:
    """Write a row for each image, scale and method, atomically."""
    from vdsrlib.utils.atomic import atomic

    with atomic(path) as temporary:
        scores.to_csv(temporary, index=False)
