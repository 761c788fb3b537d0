"""Critical sparsity, area and interpolation against sums done by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.reading.load import load_study
from analysis.statistics.results import Results, collect_results
from analysis.statistics.sparsity_curves import (
    compare_areas,
    compare_critical_sparsities,
    find_critical_level,
    find_crossing,
    interpolate_between_levels,
    interpolate_seeds,
)
from tests.analysis.synthetic import Writer, make_own_rows, make_row

LEVELS = (0.5, 0.75, 0.9)
LOSSES = {"magnitude": (0.0, 0.5, 2.0), "snip": (0.1, 0.6, 2.1), "gmp": (5.0, 9.0, 20.0)}


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
    level = find_critical_level(results, setting, ticket)
    assert level is not None
    assert (level.sparsity, level.requested, level.following) == (0.75, 0.75, 0.9)
    cell = results.cells.loc[level.cell]
    assert (cell["method"], cell["drop"]) == ("lottery_ticket", pytest.approx(-0.8))
    magnitude = next(series for series in results.series if series.method == "magnitude")
    assert find_critical_level(results, setting, magnitude) is None


def test_a_gain_counts_as_no_loss(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (0.2, 0.9, -0.5)})
    level = find_critical_level(results, results.settings[0], results.series[2])
    assert level is not None and (level.sparsity, level.following) == (0.9, None)


def test_what_was_requested_is_compared_not_what_was_reached(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, test_top1=95.0)])
        writer.add([make_row("l1_filter", 0.5, seed, test_top1=95.0, sparsity_reached=0.5021)])
        writer.add(make_own_rows("han_iterative", (0.6,), seed, test_top1=95.0))
    results = collect_results(load_study(writer.finish()))
    levels = {
        series.method: find_critical_level(results, results.settings[0], series)
        for series in results.series
    }
    l1, han = levels["l1_filter"], levels["han_iterative"]
    assert l1 is not None and (l1.requested, l1.sparsity) == (0.5, 0.5021)
    assert han is not None and han.requested == 0.6


def test_a_curve_crosses_the_tolerance_between_two_levels() -> None:
    x = -np.log10([0.5, 0.1])
    assert find_crossing(x, np.array([0.5, 1.5])) == (pytest.approx(x.mean()), False)
    assert find_crossing(x, np.array([2.0, 4.0])) == (pytest.approx(x[0] / 2), False)
    assert find_crossing(x, np.array([2.0, 1.0])) == (pytest.approx(x[1]), True)
    assert find_crossing(x, np.array([-3.0, 1.5])) == (
        pytest.approx(x[0] + 4 / 4.5 * (x[1] - x[0])),
        False,
    )


def make_curves(folder: Path, losses: dict[str, tuple[float, ...]], seeds: int = 4) -> Results:
    """Methods with a loss at each of the levels, that varies a little between seeds."""
    writer = Writer(folder)
    for seed in range(seeds):
        writer.add([make_row("dense", 0.0, seed, test_top1=95.0 + 0.1 * seed)])
        for number, (method, lost) in enumerate(losses.items()):
            for sparsity, loss in zip(LEVELS, lost, strict=True):
                noise = 0.05 * ((seed * (number + 2)) % 3)
                value = 95.0 + 0.1 * seed - loss - noise
                writer.add([make_row(method, sparsity, seed, test_top1=value)])
    return collect_results(load_study(writer.finish()))


def test_areas_are_compared_with_the_largest(tmp_path: Path) -> None:
    results = make_curves(
        tmp_path,
        {
            "magnitude": (0.0, 0.5, 2.0),
            "snip": (0.1, 0.6, 2.1),
            "gmp": (5.0, 9.0, 20.0),
            "random": (0, 0, 0),
        },
    )
    areas = compare_areas(results)
    areas["method"] = [results.series[index].method for index in areas["series_index"]]
    areas = areas.set_index("method")
    assert areas["start"].unique().tolist() == [0.5] and areas["end"].unique().tolist() == [0.9]
    assert pd.isna(areas.at["magnitude", "p"]) and pd.isna(areas.at["random", "p"])
    expected = areas.at["gmp", "mean"] - areas.at["magnitude", "mean"]
    assert areas.at["gmp", "difference"] == pytest.approx(expected)
    assert areas.at["gmp", "adjusted"] < 0.05 < areas.at["snip", "adjusted"]
    assert (areas["low"] < areas["mean"]).all() and (areas["high"] > areas["mean"]).all()
    assert (areas["high"] <= 100).all()


def test_critical_sparsities_are_compared_with_the_furthest(tmp_path: Path) -> None:
    results = make_curves(
        tmp_path,
        {
            "magnitude": (0.0, 0.5, 2.0),
            "snip": (0.1, 0.6, 2.1),
            "gmp": (5.0, 9.0, 20.0),
            "grasp": (0, 0, 0.5),
        },
    )
    critical = compare_critical_sparsities(results)
    critical["method"] = [results.series[index].method for index in critical["series_index"]]
    critical = critical.set_index("method")
    assert critical["at_least"].to_dict() == {
        **dict.fromkeys(("magnitude", "snip", "gmp"), False),
        "grasp": True,
    }
    assert critical.at["grasp", "mean"] == pytest.approx(0.9)
    assert critical.loc["grasp", ["low", "high", "p"]].isna().all()
    gmp, magnitude = critical.loc["gmp"], critical.loc["magnitude"]
    assert gmp["adjusted"] < 0.05 and gmp["low"] < gmp["mean"] < gmp["high"]
    assert gmp["low"] >= 0 and magnitude["high"] < 1
    assert gmp["density_ratio"] == pytest.approx((1 - gmp["mean"]) / 0.1)
    assert 1 < gmp["ratio_low"] < gmp["density_ratio"] < gmp["ratio_high"]
    assert gmp["density_ratio"] > magnitude["density_ratio"] > 1


def test_area_is_the_trapezoid_over_log_density(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 4.0)})
    areas = compare_areas(results)
    (area,) = areas.to_dict("records")
    x = -np.log10([0.5, 0.25, 0.1])
    y = [np.array([94.0, 93.0, 91.0]) + seed for seed in (0, 1)]
    expected = [(x[1] - x[0]) * (v[0] + v[1]) / 2 + (x[2] - x[1]) * (v[1] + v[2]) / 2 for v in y]
    assert results.series[area["series_index"]].method == "lottery_ticket"
    assert area["mean"] == pytest.approx(np.mean(expected) / (x[2] - x[0]), abs=1e-12)
    assert (area["start"], area["end"], area["n"]) == (0.5, 0.9, 2)


def test_an_incomplete_seed_has_no_area(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed, levels in ((1, LEVELS), (2, LEVELS[:2])):
        writer.add(
            [make_row("lottery_ticket", s, seed, level=level) for level, s in enumerate(levels, 1)]
        )
    areas = compare_areas(collect_results(load_study(writer.finish())))
    assert areas["n"].tolist() == [1] and areas["low"].isna().all()


def test_a_study_without_curves_compares_nothing(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    results = collect_results(load_study(writer.finish()))
    assert compare_areas(results).empty and compare_critical_sparsities(results).empty
    assert interpolate_between_levels(results, [0.5]).empty


def test_interpolation_is_linear_in_log_density_and_ends_with_the_range(tmp_path: Path) -> None:
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 6.0)})
    estimates = interpolate_between_levels(results, [0.49, 0.75, 0.8, 0.91])
    part = (np.log10(0.25) - np.log10(0.2)) / (np.log10(0.25) - np.log10(0.1))
    expected = [95.0 - 2.0 - part * 2.0, 96.0 - 2.0 - part * 4.0]
    (estimate,) = estimates.to_dict("records")
    assert estimate["sparsity"] == 0.8 and estimate["n"] == 2
    assert estimate["mean"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert estimate["low"] < estimate["mean"] < estimate["high"]


def test_each_seed_is_interpolated_between_its_own_levels(tmp_path: Path) -> None:
    """Seed 2 reached 0.502: 0.5015 lies inside the range of seed 1 only."""
    results = make_results(tmp_path, {1: (1.0, 2.0, 4.0), 2: (1.0, 2.0, 4.0)}, own=True)
    values = interpolate_seeds(results, results.settings[0], results.series[2], 0.5015)
    assert list(values) == [1]


def test_critical_ends_where_more_is_lost_once(tmp_path: Path) -> None:
    """At 75 % it loses two points; that 90 % is within one again does not count."""
    results = make_curves(tmp_path, {"magnitude": (0.2, 2.0, 0.3), "snip": (2.0, 0.1, 0.1)})
    levels = {
        series.method: find_critical_level(results, results.settings[0], series)
        for series in results.series
        if series.method != "dense"
    }
    assert levels["magnitude"] is not None and levels["magnitude"].requested == 0.5
    assert levels["snip"] is None


def test_the_best_is_the_one_that_others_are_compared_with(tmp_path: Path) -> None:
    """GraSP goes furthest and has the largest area, with one seed."""
    writer = Writer(tmp_path)
    losses = {"grasp": (0.0, 0.1, 0.2), "magnitude": (0.1, 0.6, 2.0), "snip": (0.5, 3.0, 9.0)}
    for seed in range(3):
        writer.add([make_row("dense", 0.0, seed, test_top1=95.0)])
        for method, lost in losses.items():
            for sparsity, loss in zip(LEVELS, lost, strict=True):
                value = 95.0 - loss - 0.05 * seed
                if method != "grasp" or seed == 0:
                    writer.add([make_row(method, sparsity, seed, test_top1=value)])
    results = collect_results(load_study(writer.finish()))
    for compared in (compare_areas(results), compare_critical_sparsities(results)):
        methods = [results.series[index].method for index in compared["series_index"]]
        best = dict(zip(methods, compared["is_best"], strict=True))
        assert best == {"grasp": False, "magnitude": True, "snip": False}
