"""The axes of figures: ticks at what was measured, and limits."""

import numpy as np
import pandas as pd
import pytest

from analysis.figures.axes import (
    find_finite_ends,
    find_limits_near_dense,
    find_ticks,
    round_sparsity,
    set_axis,
)
from analysis.figures.canvas import Canvas, style
from analysis.metrics import KNOWN_METRICS

TOP1 = KNOWN_METRICS["test_top1"]


def list_labels(places: list[float]) -> list[str]:
    with style():
        axes = Canvas("t", heights=[1.5]).axes[0][0]
        set_axis(axes, pd.Series(places))
        return [label.get_text() for label in axes.get_xticklabels()]


@pytest.mark.parametrize("lowest", [0.9, 0.5, 0.3, 0.1, 0.01, 1e-3, 1e-5])
def test_ticks_are_the_dense_network_and_what_was_measured(lowest: float) -> None:
    ticks = find_ticks(pd.Series([0.0, 0.05, 1 - lowest, 1 - lowest, 0.05]))
    assert ticks[0] == 1
    assert sorted(ticks) == pytest.approx(sorted([1.0, 0.95, lowest]))


def test_ticks_stand_at_the_sparsities_of_the_study() -> None:
    assert list_labels([0.5, 0.9, 0.95, 0.98] * 3) == ["0 %", "50 %", "90 %", "95 %", "98 %"]
    # One method has sparsities of its own: the ticks are those of the many.
    labels = list_labels([0.5, 0.9] * 10 + [0.613, 0.694])
    assert labels == ["0 %", "50 %", "90 %"]


def test_a_sparsity_that_is_nearly_reached_has_the_label_of_the_round_one() -> None:
    reached = [0.4992, 0.5008, 0.7496, 0.8994, 0.94985]
    assert list_labels(reached) == ["0 %", "50 %", "75 %", "90 %", "95 %"]
    # What paper shows beside the round number keeps its own.
    assert list_labels([0.56, 0.912]) == ["0 %", "56 %", "91.2 %"]
    assert list_labels([0.9995, 0.99995]) == ["0 %", "99.95 %", "99.995 %"]
    for place in (0.4992, 0.7379, 0.98, 0.99993):
        assert abs(np.log10((1 - round_sparsity(place)) / (1 - place))) < 0.0045


def test_one_of_five_methods_makes_no_ticks_of_its_own() -> None:
    assert list_labels([0.5, 0.9] * 4 + [0.5312, 0.9377]) == ["0 %", "50 %", "90 %"]


def test_marks_beside_the_sparsest_network_have_room() -> None:
    with style():
        canvas = Canvas("t", heights=[1.5], columns=2)
        axes = canvas.axes[0][0]
        for aside in (0.0, 9.0, 14.0):
            axes.set_xlim(*set_axis(axes, pd.Series([0.5, 0.98]), aside=aside))
            frame = axes.get_window_extent()
            place = axes.transData.transform((0.02, 0.0))[0]
            points = (frame.x1 - place) / canvas.figure.dpi * 72
            assert points > aside - 0.01


def test_infinite_values_are_no_limits() -> None:
    values = pd.Series([0.5, np.inf, 2.0])
    assert find_finite_ends(values) == (0.5, 2.0)
    assert find_finite_ends(pd.Series([np.inf, np.nan])) == (0.0, 1.0)
    low, high = find_limits_near_dense(values, pd.Series([0.4]), KNOWN_METRICS["test_loss"])
    assert 0.2 < low < 0.4 and 2.0 < high < 2.2


def test_labels_of_many_sparsities_do_not_touch() -> None:
    levels = [1 - 0.8**level for level in range(1, 30)]
    labels = list_labels(levels)
    assert 4 <= len(labels) < 29 and labels[0] == "0 %"


def test_an_axis_near_the_dense_network_shows_it_and_not_collapsed_ones() -> None:
    means = pd.Series([98.0, 97.0, 90.0, 10.0])
    low, high = find_limits_near_dense(means, pd.Series([99.0]), TOP1)
    assert 70 < low < 75 and 99 < high < 102
    low, high = find_limits_near_dense(means, pd.Series(dtype=float), TOP1)
    assert 70 < low < 74 and high > 98
