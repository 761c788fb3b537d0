"""Critical sparsity, area and interpolation against sums done by hand."""

from pathlib import Path

import numpy as np
import pytest

from analysis.reading.load import load
from analysis.statistics.results import Results, collect
from analysis.statistics.sparsity_curves import find_area, find_critical, interpolate
from analysis.tables.accuracy_table import make_interpolated_table
from analysis.tables.sparsity_curves_table import make_courses_table
from tests.analysis.synthetic import Writer, make_own_rows, make_row

LEVELS = (0.5, 0.75, 0.9)


def make_results(
    folder: Path, losses: dict[int, tuple[float, ...]], *, own: bool = False
) -> Results:
    """Dense networks of 95 and 96, a method that loses so much at each level, and magnitude at 0.8.
    """
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
    return collect(load(writer.finish()))


def test_critical_is_the_largest_within_a_point(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (0.2, 0.4, 3.0), 2: (0.4, 1.2, 5.0)})
    (setting,) = results.settings
    ticket = next(one for one in results.series if one.method == "lottery_ticket")
    found = find_critical(results, setting, ticket)
    assert found is not None
    assert (found.sparsity, found.following) == (0.75, 0.9)
    assert found.drop.mean == pytest.approx(-0.8)
    # t(0.975, 1) = 12.7062; the drops are -0.4 and -1.2, so s / sqrt(2) = 0.4
    assert found.drop.half_width == pytest.approx(12.706204736432095 * 0.4)
    magnitude = next(one for one in results.series if one.method == "magnitude")
    assert find_critical(results, setting, magnitude) is None
    table = make_courses_table(results)
    assert table.cells[0][:4] == ("Lottery ticket", "75", "−0.80 ± 5.08", "90")


def test_a_gain_counts_as_no_loss_and_one_seed_has_no_interval(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (0.2, 4.0, -0.5)})
    (setting,) = results.settings
    found = find_critical(results, setting, results.series[2])
    assert found is not None
    assert (found.sparsity, found.following, found.drop.half_width) == (0.9, None, None)


def test_area_is_the_trapezoid_over_log_density(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 4.0)})
    (setting,) = results.settings
    found = find_area(results, setting, results.series[2])
    assert found is not None
    interval, low, high = found
    x = -np.log10([0.5, 0.25, 0.1])
    y = [np.array([94.0, 93.0, 91.0]) + seed for seed in (0, 1)]
    expected = [(x[1] - x[0]) * (v[0] + v[1]) / 2 + (x[2] - x[1]) * (v[1] + v[2]) / 2 for v in y]
    assert interval.mean == pytest.approx(np.mean(expected) / (x[2] - x[0]), abs=1e-12)
    assert (low, high, interval.n) == (0.5, 0.9, 2)
    assert find_area(results, setting, results.series[1]) is None


def test_an_incomplete_seed_has_no_area(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed, levels in ((1, LEVELS), (2, LEVELS[:2])):
        writer.add(
            [make_row("lottery_ticket", s, seed, level=level) for level, s in enumerate(levels, 1)]
        )
    results = collect(load(writer.finish()))
    found = find_area(results, results.settings[0], results.series[0])
    assert found is not None
    assert found[0].n == 1


def test_interpolation_is_linear_in_log_density_and_ends_with_the_range(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 6.0)})
    (setting,) = results.settings
    ticket = results.series[2]
    found = interpolate(results, setting, ticket, 0.8)
    part = (np.log10(0.25) - np.log10(0.2)) / (np.log10(0.25) - np.log10(0.1))
    assert found is not None
    expected = [95.0 - 2.0 - part * 2.0, 96.0 - 2.0 - part * 4.0]
    assert found.mean == pytest.approx(np.mean(expected), abs=1e-12)
    assert interpolate(results, setting, ticket, 0.75) is not None
    for outside in (0.49, 0.91):
        assert interpolate(results, setting, ticket, outside) is None


def test_each_seed_is_interpolated_between_its_own_levels(tmp_path: Path) -> None:
    """Seed 2 reached 0.502: 0.5015 lies inside the range of seed 1 only."""
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 4.0)}, own=True)
    found = interpolate(results, results.settings[0], results.series[2], 0.5015)
    assert found is not None
    assert found.n == 1


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
    assert make_interpolated_table(collect(load(writer.finish()))).cells == ()
