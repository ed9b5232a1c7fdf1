"""A table comes out the same on every run, with its numbers as they are to be read."""

import numpy as np
import pandas as pd

from vdsrlib.viz.tables import Table

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
