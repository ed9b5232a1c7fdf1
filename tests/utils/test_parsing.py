"""Scales in every spelling; misspelt names of parameters."""

import math
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsrlib.errors import InputError
from vdsrlib.utils.parsing import (
    lookup,
    parse_flag,
    parse_integer,
    parse_listed,
    parse_rescale_factors,
    parse_scale,
    parse_scales,
    refuse_unknown,
)

DIGITS = [*chain.from_iterable(combinations(range(2, 9), n) for n in range(1, 8))]


@pytest.mark.parametrize(
    ("value", "scales"),
    [
        (234, (2, 3, 4)),  # -p scales 2_3_4
        (23, (2, 3)),
        (2, (2,)),
        (8, (8,)),
        (2.5, (2.5,)),
        (np.float32(2.5), (2.5,)),
        ("2_3_4", (2, 3, 4)),
        ("'2_3_4'", (2, 3, 4)),
        ("2,3,4", (2, 3, 4)),
        ("2, 3, 4", (2, 3, 4)),
        ("2 3 4", (2, 3, 4)),
        ("[2, 3, 4]", (2, 3, 4)),
        ("(2, 3.5)", (2, 3.5)),
        ("1.5_2_3", (1.5, 2, 3)),
        ("1.5", (1.5,)),
        ("1.52", (1.52,)),
        ([1.25, 2], (1.25, 2)),
        (" 3 ", (3,)),
        ([2, 3, 4], (2, 3, 4)),
        ([4, 1.5], (1.5, 4)),
        (["2", 3], (2, 3)),
        ((2,), (2,)),
    ],
)
def test_spellings(value, scales):
    found = parse_scales(value)
    assert found == scales
    assert all(type(scale) is float for scale in found)


@given(st.sampled_from(DIGITS))
def test_what_papermill_makes_of_underscores(digits):
    """``-p scales 2_3_4`` is an integer to Python, and so to papermill."""
    text = "_".join(map(str, digits))
    assert parse_scales(int(text)) == parse_scales(text) == digits


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (22.54, "1.5_2_3"),  # -p scales 2_2.5_4
        (1.52, "1.5_2_3"),  # -p scales 1.5_2
        (2.534, "1.5_2_3"),  # -p scales 2.5_3_4
        (9.5, "1.5_2_3"),
        (243, "1.5_2_3"),
        (22, "1.5_2_3"),
        (123, "1.5_2_3"),
        (239, "1.5_2_3"),
        (1, "above 1 and at most 8"),
        (0, "above 1 and at most 8"),
        (-2, "above 1 and at most 8"),
        (math.nan, "above 1 and at most 8"),
        (math.inf, "above 1 and at most 8"),
        (-math.inf, "above 1 and at most 8"),
        (True, "above 1 and at most 8"),
        ([2, 9], "above 1 and at most 8"),
        ([2, True], "above 1 and at most 8"),
        ("nan", "above 1 and at most 8"),
        ("inf", "above 1 and at most 8"),
        (None, "must be one number such as 3 or 2.5"),
        ("", "must be one number such as 3 or 2.5"),
        ("abc", "must be one number such as 3 or 2.5"),
        ({}, "must be one number such as 3 or 2.5"),
        ([], "at least one scale, such as 2_3_4"),
        ((), "at least one scale, such as 2_3_4"),
        ("2_2", "scales must differ"),
        ([3, 3.0], "scales must differ"),
    ],
)
def test_refusals_name_the_fix(value, advice):
    with pytest.raises(InputError) as caught:
        parse_scales(value)
    assert advice in str(caught.value)


def test_scale_1_where_it_cleans():
    assert parse_scales("1_2.5", one=True) == (1.0, 2.5)
    for value in ("1", True, 0.5):
        with pytest.raises(InputError, match="scale must be above 1"):
            parse_scales(value, one=value != "1")


@given(st.lists(st.floats(0, 1, exclude_min=True), min_size=1))
def test_factors_of_copies_in_every_spelling(factors):
    text = "_".join(f"{factor:.17g}" for factor in factors)
    assert (
        parse_rescale_factors(text)
        == parse_rescale_factors(factors)
        == parse_rescale_factors(str(factors))
        == tuple(factors)
    )


@pytest.mark.parametrize("value", [10.7, 0, "1_1.5", "", [], None, "half", "nan"])
def test_what_copies_cannot_be(value):
    with pytest.raises(InputError, match=r"must be above 0 and at most 1, such as 1_0\.7_0\.5, got"):
        parse_rescale_factors(value)


@given(st.integers(min_value=9))
def test_any_other_integer_is_refused(value):
    if tuple(map(int, str(value))) in DIGITS:
        assert len(parse_scales(value)) == len(str(value))
    else:
        with pytest.raises(InputError):
            parse_scales(value)


@given(st.floats(1, 8, exclude_min=True))
def test_one_scale(value):
    assert parse_scale(value) == parse_scale(repr(value)) == value


@pytest.mark.parametrize("value", [1, 8.01, 0, -3, "1", "nan", math.inf, True, None, "x", "2_3", [2]])
def test_wrong_scale(value):
    with pytest.raises(InputError, match="scale must be"):
        parse_scale(value)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        *((value, True) for value in (True, 1, "true", "True", "yes", "ON", " 1 ")),
        *((value, False) for value in (False, 0, "false", "False", "no", "off", "0")),
    ],
)
def test_flags(value, meaning):
    assert parse_flag(value, "ensemble") is meaning


@pytest.mark.parametrize("value", ["", "maybe", 2, None, 1.0, [True]])
def test_what_flags_cannot_be(value):
    with pytest.raises(InputError, match="ensemble must be true or false, got"):
        parse_flag(value, "ensemble")


@pytest.mark.parametrize(
    ("value", "least", "number"), [(3, 1, 3), ("3", 1, 3), (0, 0, 0), (np.int64(7), 1, 7)]
)
def test_integers(value, least, number):
    assert parse_integer(value, "crop", least) == number


@pytest.mark.parametrize("value", [0, -5, 2.5, "2.5", "two", "", None, True, "1_0", math.nan])
def test_what_integers_cannot_be(value):
    with pytest.raises(InputError, match="processes must be a whole number from 1 up, got"):
        parse_integer(value, "processes")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3,5,8", "3,5,8"),
        ("3_5_8", "3_5_8"),
        ([3, 5], "3,5"),
        (5, "5"),
        (0.01, "0.01"),
        ("", ""),
        ("12", "12"),
    ],
)
def test_lists(value, text):
    assert parse_listed(value, "depths") == text


@pytest.mark.parametrize("value", [358, 10, 153060, True])
def test_a_number_that_may_have_been_a_list(value):
    with pytest.raises(InputError, match=f"-p depths 3,5,8, or text, -r depths {value}"):
        parse_listed(value, "depths")


class TestUnknownNames:
    CHAPTER = "# Chapter parameters\nscales = '2_3_4'  # of training\nsteps: int = 400\n"

    def test_known(self):
        refuse_unknown(["import os", self.CHAPTER, "# Parameters\nsteps = 10\nscales = 234\n", "other = 1"])
        refuse_unknown([self.CHAPTER])

    def test_misspelt(self):
        with pytest.raises(InputError, match=r"unknown parameter 'scale'; did you mean scales\?"):
            refuse_unknown([self.CHAPTER, "# Parameters\nscale = 2\n"])

    def test_far_from_all(self):
        with pytest.raises(InputError, match="unknown parameter 'zzz'; choose scales, steps"):
            refuse_unknown([self.CHAPTER, "# Parameters\nzzz = [1, 2]\n"])


class TestLookup:
    def test_finds_the_entry(self):
        assert lookup({"a": 1, "b": 2}, "b", "letter") == 2

    @pytest.mark.parametrize(
        ("table", "choices"),
        [({"a": 1}, "a"), ({"a": 1, "b": 2}, "a or b"), (dict(zip("abc", "xyz", strict=True)), "a, b or c")],
    )
    def test_lists_the_choices(self, table, choices):
        with pytest.raises(InputError, match=f"^unknown letter 'd'; choose {choices}$"):
            lookup(table, "d", "letter")
