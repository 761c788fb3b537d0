"""The axes of figures: ticks at what was measured, and limits."""

import pandas as pd
import pytest

from analysis.figures.axes import find_limits_near_dense, find_ticks, set_axis
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
