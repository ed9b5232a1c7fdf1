"""Fit a power law with a limit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vdsrlib.errors import InputError


class PowerLaw(NamedTuple):
    """limit - factor * x ** -exponent, and how it was found.

    Attributes:
        limit: what it tends to.
        factor: positive.
        exponent: positive.
        error: root of the mean squared distance of the points from it.
        least: of the points' x.
        most: of the points' x.

    With a tiny exponent, the law cannot be told from a logarithm. With a large one, it has reached its limit.
    As text, it says so.
    """

    limit: float
    factor: float
    exponent: float
    error: float
    least: float
    most: float

    def __call__(self, x: Any) -> Any:
        """Evaluate the law at x."""
        return self.limit - self.factor * np.asarray(x, dtype=float) ** -self.exponent

    @property
    def grows(self) -> bool:
        """True if the law grows between the points by more than they scatter about it."""
        return bool(self(self.most) - self(self.least) > self.error)

    def __str__(self) -> str:
        if not self.grows:
            return f"no growth beyond the scatter of {self.error:.2f} dB"
        words = f"gain = {self.limit:.2f} - {self.factor:.2f} n^-{self.exponent:.2f} dB"
        if self.exponent < 0.05:
            words = "the gain grows as the logarithm of n, no limit in sight"
        if self.exponent > 3:
            words = f"the gain has reached its limit, {self.limit:.2f} dB"
        twice = self(2 * self.most) - self(self.most)
        return f"{words}, to within {self.error:.2f} dB; twice {self.most:g} would add {twice:+.2f} dB"


def fit_power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """Fit limit - factor * x ** -exponent by least squares, with a positive factor and exponent.

    Args:
        x: positive; at least four different values, since the law has three parameters.
        y: as many numbers; those that are not finite are left out.

    Raises:
        InputError: there are fewer than four different values, or no such law fits.

    >>> print(fit_power_law([10, 20, 40, 80], [1.0, 1.5, 1.75, 1.875]))
    gain = 2.00 - 10.00 n^-1.00 dB, to within 0.00 dB; twice 80 would add +0.06 dB
    """
    from scipy.optimize import curve_fit  # takes a quarter of a second, which few commands need

    at, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    at, values = at[np.isfinite(values)], values[np.isfinite(values)]
    if len(set(at)) < 4:
        raise InputError("A power law needs at least four different values.")
    unit = at.min()  # so that the numbers are about 1, whatever x counts

    def law(x: np.ndarray, limit: float, factor: float, exponent: float) -> np.ndarray:
        return limit - factor * x**-exponent

    try:
        (limit, factor, exponent), _ = curve_fit(
            law,
            at / unit,
            values,
            p0=(values.max(), max(np.ptp(values), 1e-6), 0.5),
            bounds=([-np.inf, 0, 0.01], [np.inf, np.inf, 10]),
        )
    except RuntimeError:
        raise InputError("No power law fits these values.") from None
    error = float(np.sqrt(np.mean((law(at / unit, limit, factor, exponent) - values) ** 2)))
    span = float(at.min()), float(at.max())
    return PowerLaw(float(limit), float(factor * unit**exponent), float(exponent), error, *span)
