"""The space of a search: dimensions with their conditions, points drawn from it, and its grid. Pure
arithmetic."""

import random
from collections.abc import Iterator
from itertools import product

from pruning.user_error import nearest, short
from sweeps.search.dimension import Configuration, Dimension

MOST_POINTS = 100_000  # of a grid


def check_conditions(space: dict[str, Dimension]) -> None:
    """Pass if every condition names earlier dimensions and values that they can have.

    Raises:
        ValueError: one does not; the message names it.
    """
    earlier: list[str] = []
    for name, dimension in space.items():
        for other, wanted in dimension.when.items():
            if other not in earlier:
                raise ValueError(
                    f"{name}: when must name an earlier dimension, "
                    f"but got '{other}'{nearest(other, earlier)}"
                )
            choices = space[other].choices
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if choices is not None and value not in choices:
                    raise ValueError(
                        f"{name}: {other} is never {short(value)}; it is one of {short(choices)}"
                    )
        earlier.append(name)


def draw_point(space: dict[str, Dimension], generator: random.Random) -> Configuration:
    """A point drawn at random. Every dimension draws, whether its condition is met or not, so that
    the others do not depend on it."""
    chosen: Configuration = {}
    for name, dimension in space.items():
        value = dimension.draw(generator)
        if dimension.applies(chosen):
            chosen[name] = value
    return chosen


def iterate_grid(space: dict[str, Dimension]) -> Iterator[Configuration]:
    """The points of the grid, each once, the last dimension fastest."""
    seen = set()
    for values in product(*(dimension.list_grid() for dimension in space.values())):
        chosen: Configuration = {}
        for (name, dimension), value in zip(space.items(), values, strict=True):
            if dimension.applies(chosen):
                chosen[name] = value
        point = tuple(chosen.items())
        if point not in seen:
            seen.add(point)
            yield chosen


def count_grid_points(space: dict[str, Dimension]) -> int:
    """Points of the grid; those that conditions make equal are all counted."""
    total = 1
    for dimension in space.values():
        total *= len(dimension.list_grid())
    return total


def format_configuration(configuration: Configuration) -> str:
    """A point as a short text: `iterations=23, schedule=linear`."""
    return ", ".join(
        f"{name}={f'{value:g}' if isinstance(value, float) else value}"
        for name, value in configuration.items()
    )
