"""Error lines: one line whatever they quote, and the nearest name."""

import pytest

from pruning.user_error import LONGEST, UserError, list_some, nearest, printable, short


def test_an_error_is_one_line_that_cannot_steer_the_terminal() -> None:
    assert str(UserError("first\nsecond\t\x1b[31mred‮")) == "first second \\x1b[31mred\\u202e"
    assert isinstance(UserError("x"), ValueError)


def test_the_middle_of_a_long_line_is_left_out() -> None:
    line = printable("a" * LONGEST + "b" * LONGEST)
    assert len(line) < LONGEST and line.startswith("aaa") and line.endswith("bbb")
    assert " ... " in line and printable("c" * LONGEST) == "c" * LONGEST


def test_the_nearest_name_or_all_there_are() -> None:
    assert nearest("magnitud", ["random", "magnitude"]) == "; did you mean 'magnitude'?"
    assert nearest("xyz", ["random", "magnitude"]) == "; there are: random, magnitude"
    assert nearest("xyz", []) == ""


def test_of_many_names_the_first_are_listed_and_the_rest_counted() -> None:
    assert list_some([]) == "" and list_some(["a"]) == "a"
    assert list_some(["a", "b", "c"]) == "a, b, c"
    assert list_some(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert list_some(["a", "b", "c", "d"], 2) == "a, b and 2 more"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("x" * 58, "'" + "x" * 58 + "'"),
        ("x" * 59, "'" + "x" * 56 + "..."),
    ],
)
def test_a_value_is_quoted_in_60_characters(value: object, text: str) -> None:
    assert short(value) == text and len(text) <= 60


def test_a_number_that_python_refuses_to_write_out_is_described() -> None:
    assert short(10**5000) == "a number of thousands of digits"
    assert short([10**5000]) == "something that holds a number too long"
