"""Critical sparsity, area and interpolation against sums done by hand."""

from pathlib import Path

import numpy as np
import pytest

from analysis.reading.load import load_study
from analysis.statistics.results import Results, collect_results
from analysis.statistics.sparsity_curves import (
    find_area_under_curve,
    find_critical_sparsity,
    interpolate_between_levels,
)
from analysis.tables.accuracy_table import make_interpolated_table
from analysis.tables.sparsity_curves_table import make_courses_table
from tests.analysis.synthetic import Writer, make_own_rows, make_row

LEVELS = (0.5, 0.75, 0.9)


def make_results(
    folder: Path, losses: dict[int, tuple[float, ...]], *, own: bool = False
) -> Results:
    """Dense networks of 95 and 96, a method with a loss at each level, and magnitude at 0.8."""
    writer = Writer(folder)
    for seed, lost in losses.items():
        dense = 94.0 + seed
        writer.add([make_row("dense", 0.0, seed, test_top1=dense)])
        writer.add([make_row("magnitude", 0.8, seed, test_top1=90.0)])
        if own:
            rows = make_own_rows(
                "han_iterative", tuple(level + seed / 1000 for level in LEVELS), seed
            )
        else:
            rows = [
                make_row("lottery_ticket", s, seed, level=level)
                for level, s in enumerate(LEVELS, 1)
            ]
        rows = [row | {"test_top1": dense - loss} for row, loss in zip(rows, lost, strict=True)]
        writer.add(rows)
    return collect_results(load_study(writer.finish()))


def test_critical_is_the_largest_within_a_point(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (0.2, 0.4, 3.0), 2: (0.4, 1.2, 5.0)})
    (setting,) = results.settings
    ticket = next(series for series in results.series if series.method == "lottery_ticket")
    critical = find_critical_sparsity(results, setting, ticket)
    assert critical is not None
    assert (critical.sparsity, critical.following) == (0.75, 0.9)
    assert critical.drop.mean == pytest.approx(-0.8)
    # t(0.975, 1) = 12.7062; the drops are -0.4 and -1.2, so s / sqrt(2) = 0.4
    assert critical.drop.half_width == pytest.approx(12.706204736432095 * 0.4)
    magnitude = next(series for series in results.series if series.method == "magnitude")
    assert find_critical_sparsity(results, setting, magnitude) is None
    table = make_courses_table(results)
    assert table.cells[0][:4] == ("Lottery ticket", "75", "−0.80 ± 5.08", "90")


def test_a_gain_counts_as_no_loss_and_one_seed_has_no_interval(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (0.2, 4.0, -0.5)})
    (setting,) = results.settings
    critical = find_critical_sparsity(results, setting, results.series[2])
    assert critical is not None
    assert (critical.sparsity, critical.following, critical.drop.half_width) == (0.9, None, None)


def test_area_is_the_trapezoid_over_log_density(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 4.0)})
    (setting,) = results.settings
    area = find_area_under_curve(results, setting, results.series[2])
    assert area is not None
    interval, low, high = area
    x = -np.log10([0.5, 0.25, 0.1])
    y = [np.array([94.0, 93.0, 91.0]) + seed for seed in (0, 1)]
    expected = [(x[1] - x[0]) * (v[0] + v[1]) / 2 + (x[2] - x[1]) * (v[1] + v[2]) / 2 for v in y]
    assert interval.mean == pytest.approx(np.mean(expected) / (x[2] - x[0]), abs=1e-12)
    assert (low, high, interval.n) == (0.5, 0.9, 2)
    assert find_area_under_curve(results, setting, results.series[1]) is None


def test_an_incomplete_seed_has_no_area(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed, levels in ((1, LEVELS), (2, LEVELS[:2])):
        writer.add(
            [make_row("lottery_ticket", s, seed, level=level) for level, s in enumerate(levels, 1)]
        )
    results = collect_results(load_study(writer.finish()))
    area = find_area_under_curve(results, results.settings[0], results.series[0])
    assert area is not None
    assert area[0].n == 1


def test_interpolation_is_linear_in_log_density_and_ends_with_the_range(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 6.0)})
    (setting,) = results.settings
    ticket = results.series[2]
    interval = interpolate_between_levels(results, setting, ticket, 0.8)
    part = (np.log10(0.25) - np.log10(0.2)) / (np.log10(0.25) - np.log10(0.1))
    assert interval is not None
    expected = [95.0 - 2.0 - part * 2.0, 96.0 - 2.0 - part * 4.0]
    assert interval.mean == pytest.approx(np.mean(expected), abs=1e-12)
    assert interpolate_between_levels(results, setting, ticket, 0.75) is not None
    for outside in (0.49, 0.91):
        assert interpolate_between_levels(results, setting, ticket, outside) is None


def test_each_seed_is_interpolated_between_its_own_levels(tmp_path: Path) -> None:
    """Seed 2 reached 0.502: 0.5015 lies inside the range of seed 1 only."""
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 4.0)}, own=True)
    interval = interpolate_between_levels(results, results.settings[0], results.series[2], 0.5015)
    assert interval is not None
    assert interval.n == 1


def test_only_a_column_that_says_so_is_interpolated(tmp_path: Path) -> None:
    table = make_interpolated_table(
        make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 4.0)})
    )
    assert table.head == ("Method", "80 % (interpolated)")
    assert [line[0] for line in table.cells] == ["Lottery ticket"]
    assert "only inside the measured range" in table.caption


def test_what_was_measured_is_not_interpolated(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("lottery_ticket", s, 1, level=level) for level, s in enumerate(LEVELS, 1)])
    writer.add([make_row("magnitude", 0.75, 1)])
    writer.add([make_row("magnitude", 0.95, 1)])
    assert make_interpolated_table(collect_results(load_study(writer.finish()))).cells == ()
