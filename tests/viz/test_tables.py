"""A table comes out the same on every run, with its numbers as they are to be read."""

import numpy as np
import pandas as pd

from vdsrlib.viz.tables import Table, methods_table

FRAME = pd.DataFrame({"scale": [2, 3], "PSNR (dB)": [33.664, np.nan], "SSIM": [0.92991, 0.5]})


def test_html_is_the_same_every_time():
    assert Table(FRAME).to_html() == Table(FRAME.copy()).to_html()
    assert Table(FRAME)._repr_html_() == Table(FRAME)._repr_html_()
    assert Table(FRAME).to_html() != Table(FRAME.iloc[:1]).to_html()


def test_numbers_are_formatted():
    text = repr(Table(FRAME, {"PSNR (dB)": "{:.2f}", "SSIM": "{:.4f}"}))
    assert text.splitlines() == [
        "scale  PSNR (dB)  SSIM",
        "2      33.66      0.9299",
        "3                 0.5000",
    ]


def test_an_index_with_names_is_shown():
    named = FRAME.set_index("scale")
    assert repr(Table(named)).splitlines()[-1].startswith("3")


def test_methods_side_by_side():
    rows = [("Set5", 2.0, "a", 30.0, 0.9), ("Set5", 2.0, "b", 31.0, 0.8), ("Set5", 3.0, "a", 29.0, 0.7)]
    means = pd.DataFrame(rows, columns=["set", "scale", "method", "psnr", "ssim"])
    means = means.set_index(["set", "scale", "method"])
    table = methods_table(means, ["b", "a"], note=pd.Series({("Set5", 2.0): "+1", ("Set5", 3.0): ""}))
    first, second, third = repr(table).splitlines()
    assert first.split() == ["PSNR", "(dB)", "/", "SSIM", "b", "a", "note"]
    assert second.split() == ["Set5", "×2", "31.00", "/", "0.8000", "30.00", "/", "0.9000", "+1"]
    assert third.split() == ["Set5", "×3", "29.00", "/", "0.7000"]
    styles = [line for line in table.to_html().splitlines() if "font-weight: bold" in line]
    assert len(styles) == 1
