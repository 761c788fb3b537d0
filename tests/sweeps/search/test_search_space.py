"""The space of a search: what is drawn from it, its grid, its conditions, and mistakes in it.

Covers: sweeps/search/search_space.py, sweeps/search/dimension.py.
"""

import random
from collections import Counter
from math import log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sweeps.search.dimension import Dimension
from sweeps.search.search_space import check_conditions, draw_point, iterate_grid


def make(**raw: Any) -> Dimension:
    return Dimension.model_validate(raw)


def test_a_log_range_of_whole_numbers_gives_every_number_its_share_of_the_scale() -> None:
    dimension, draws = make(log_range=[1, 500]), 20_000
    counts = Counter(dimension.draw(random.Random(index)) for index in range(draws))
    assert (
        min(counts) == 1 and max(counts) == 500 and all(isinstance(value, int) for value in counts)
    )
    for low, high in ((1, 1), (2, 4), (5, 20), (21, 100), (101, 500)):
        expected = (log(high + 0.5) - log(low - 0.5)) / (log(500.5) - log(0.5))
        share = sum(count for value, count in counts.items() if low <= value <= high) / draws
        assert abs(share - expected) < 0.02


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e4), st.integers(0, 10**6), st.booleans())
def test_draws_and_grids_stay_within_the_range(
    low: float, factor: float, seed: int, on_log: bool
) -> None:
    ends = [low, low * factor]
    dimension = make(log_range=ends) if on_log else make(range=ends)
    values = [dimension.draw(random.Random(seed)), *dimension.list_grid()]
    assert all(ends[0] <= value <= ends[1] for value in values)
    assert dimension.list_grid()[0] == ends[0] and dimension.list_grid()[-1] == ends[1]


def test_the_grid_of_a_log_range_has_equal_steps_and_whole_numbers_once() -> None:
    assert make(log_range=[1, 1000], points=4).list_grid() == [1, 10, 100, 1000]
    assert make(range=[0.0, 1.0], points=3).list_grid() == [0.0, 0.5, 1.0]
    assert make(log_range=[1, 3], points=9).list_grid() == [1, 2, 3]


def test_a_dimension_whose_condition_is_not_met_is_left_out() -> None:
    dimensions = {
        "schedule": make(choices=["a", "b"]),
        "depth": make(range=[1, 3], points=3, when={"schedule": ["b"]}),
        "width": make(choices=[8, 9], when={"depth": 2}),
    }
    check_conditions(dimensions)
    points = list(iterate_grid(dimensions))
    assert points == [
        {"schedule": "a"},
        {"schedule": "b", "depth": 1},
        {"schedule": "b", "depth": 2, "width": 8},
        {"schedule": "b", "depth": 2, "width": 9},
        {"schedule": "b", "depth": 3},
    ]
    drawn = [draw_point(dimensions, random.Random(index)) for index in range(200)]
    assert {tuple(point.items()) for point in drawn} == {tuple(point.items()) for point in points}


def test_a_condition_does_not_change_what_other_dimensions_draw() -> None:
    free = {"a": make(choices=[1, 2]), "b": make(range=[0.0, 1.0]), "c": make(range=[0.0, 1.0])}
    bound = {**free, "b": make(range=[0.0, 1.0], when={"a": 1})}
    for seed in range(30):
        first, second = (
            draw_point(dimensions, random.Random(seed)) for dimensions in (free, bound)
        )
        assert first["c"] == second["c"] and ("b" in second) == (first["a"] == 1)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({}, "give one of choices, range and log_range, but got none"),
        (
            {"choices": [1], "range": [1, 2]},
            "give one of choices, range and log_range, but got choices and range",
        ),
        ({"range": [2, 1]}, "range must rise"),
        ({"log_range": [0, 1]}, "log_range must begin above 0, but got 0"),
        ({"range": [1, 2, 3]}, "a range is a list of two numbers"),
        ({"range": [True, 2]}, "the ends of a range must be numbers within 64 bits, but got True"),
        ({"choices": [1, 1]}, "choices must differ"),
        ({"choices": []}, "at least 1 item"),
        ({"range": [1, 2], "points": 0}, "greater than or equal to 1"),
        ({"rang": [1, 2]}, "Extra inputs"),
    ],
)
def test_mistakes_in_a_dimension(raw: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        make(**raw)


def test_conditions_name_earlier_dimensions_and_values_they_have() -> None:
    with pytest.raises(ValueError, match="a: when must name an earlier dimension, but got 'b'"):
        check_conditions({"a": make(choices=[1], when={"b": 1}), "b": make(choices=[1])})
    with pytest.raises(ValueError, match="b: a is never 3; it is one of"):
        check_conditions({"a": make(choices=[1, 2]), "b": make(choices=[1], when={"a": [1, 3]})})
