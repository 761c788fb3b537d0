"""Pareto fronts against a check of every pair.

Covers: analysis/tables/pareto_table.py.
"""

from pathlib import Path

import numpy as np
import pytest

from analysis.reading.load import load_study
from analysis.statistics.pareto import COSTS, find_pareto_front, find_results_with_cost
from analysis.statistics.results import collect_results
from analysis.tables.pareto_table import make_pareto_table
from tests.analysis.synthetic import Writer, make_row, write_study


@pytest.mark.parametrize("seed", range(20))
def test_front_is_what_no_other_dominates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost, gain = (
        rng.integers(0, 8, 40).astype(float),
        rng.integers(0, 8, 40).astype(float),
    )  # many ties
    expected = [
        not any(
            (c <= cost[i] and g >= gain[i]) and (c < cost[i] or g > gain[i])
            for c, g in zip(cost, gain, strict=True)
        )
        for i in range(40)
    ]
    assert find_pareto_front(cost, gain).tolist() == expected


def test_points_of_a_study(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, test_top1=94.0, effective_macs=500e6)])
        writer.add([make_row("magnitude", 0.9, seed, test_top1=95.0, effective_macs=100e6)])
        writer.add([make_row("random", 0.9, seed, test_top1=80.0, effective_macs=100e6)])
        writer.add([make_row("synflow", 0.9, seed, test_top1=70.0, effective_macs=50e6)])
    results = collect_results(load_study(writer.finish()))
    points = find_results_with_cost(results, results.settings[0], COSTS[0])
    assert points[["method", "cost", "front"]].to_numpy().tolist() == [
        ["synflow", 50.0, True],
        ["random", 100.0, False],
        ["magnitude", 100.0, True],
        ["dense", 500.0, False],
    ]
    assert find_results_with_cost(
        results, results.settings[0], COSTS[2]
    ).empty  # no latency was measured
    loss = collect_results(results.study, "test_loss")
    assert find_results_with_cost(loss, loss.settings[0], COSTS[0])["front"].any()


def test_latency_has_its_front_where_it_was_measured(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for method, sparsity, value in (
        ("dense", 0.0, 2.0),
        ("magnitude", 0.5, 2.0),
        ("l1_filter", 0.5, 1.0),
    ):
        writer.add([make_row(method, sparsity, 1, latency_ms_b1=value)])
    table = make_pareto_table(collect_results(load_study(writer.finish())))
    assert ("latency at batch 1 (ms)", "L1 filter", "50", "1") in {line[:4] for line in table.cells}


def test_table(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", seeds=(1, 2), sparsities=(0.5, 0.9))
    table = make_pareto_table(collect_results(load_study(folder)))
    assert {line[0] for line in table.cells} == {
        "effective MACs (M)",
        "nonzero parameters (M)",
        "training of the trial (s)",
    }
    assert len(table.raw) == len(table.cells)
