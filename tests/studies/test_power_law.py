"""Power laws: a known one is found, and the words say what it means."""

import math

import numpy as np
import pytest

from vdsrlib.errors import InputError
from vdsrlib.studies import power_law


class TestPowerLaw:
    @pytest.mark.parametrize(
        ("limit", "factor", "exponent"), [(1.5, 2.0, 0.5), (0.3, 30.0, 1.2), (37, 9, 0.25)]
    )
    def test_a_known_law_is_found(self, limit, factor, exponent):
        x = np.array([20, 40, 80, 160, 320, 640])
        law = power_law.fit_power_law(x, limit - factor * x**-exponent)
        assert law[:3] == pytest.approx((limit, factor, exponent), rel=1e-3)
        assert law.error < 1e-4
        assert law(1000) == pytest.approx(limit - factor * 1000.0**-exponent, rel=1e-4)

    def test_noise_moves_it_a_little(self):
        x = np.repeat([10, 20, 40, 80, 160, 320], 3)
        noise = np.random.default_rng(0).normal(scale=0.01, size=len(x))
        law = power_law.fit_power_law(x, 2 - 5 * x**-0.7 + noise)
        assert law.limit == pytest.approx(2, abs=0.05)
        assert law.exponent == pytest.approx(0.7, abs=0.05)
        assert law.error == pytest.approx(0.01, abs=0.005)

    def test_words(self):
        x = np.array([10, 20, 40, 80])
        assert "gain = 2.00 - 5.00 n^-0.70 dB" in str(power_law.fit_power_law(x, 2 - 5 * x**-0.7))
        assert "no limit in sight" in str(power_law.fit_power_law(x, np.log2(x)))
        assert "has reached its limit, 1.00 dB" in str(power_law.fit_power_law(x, [0.2, 1, 1, 1]))
        assert str(power_law.fit_power_law(x, [1, 0.9, 1.1, 1])) == "no growth beyond the scatter of 0.07 dB"

    def test_diverged_runs_are_left_out(self):
        x = np.array([10, 20, 40, 80])
        law = power_law.fit_power_law([5, *x], [-math.inf, *(2 - 5 * x**-0.7)])
        assert law.exponent == pytest.approx(0.7, rel=1e-3)

    def test_too_few(self):
        """A law of three parameters goes through any three points."""
        with pytest.raises(InputError, match="four different values"):
            power_law.fit_power_law([1, 1, 2, 2, 4], [0, 0, 1, 1, 1.5])
