"""Levels that a method visits or reaches by a rule of its own, and what is interpolated between
them."""

import csv
import io
from pathlib import Path

import pytest

from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from analysis.tables.accuracy_table import make_accuracy_table
from analysis.tables.efficiency_table import make_efficiency_table
from analysis.tables.levels_table import make_interpolated_table, make_levels_table
from tests.analysis.interval_text import hide_intervals
from tests.analysis.synthetic import Writer, make_own_rows, make_row


def test_levels_do_not_widen_the_matrix(tmp_path: Path) -> None:
    """A ticket that visits 0.5, as magnitude does, and 0.7, as nobody does; Han's rule reaches 0.41
    and 0.62."""
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, test_top1=94.0)])
        writer.add([make_row("magnitude", 0.5, seed, test_top1=93.0)])
        ticket = [
            make_row("lottery_ticket", s, seed, level=n, test_top1=90.0 + n)
            for n, s in ((1, 0.5), (2, 0.7))
        ]
        writer.add(ticket)
        rows = make_own_rows(
            "han_iterative", (0.4 + seed / 100, 0.6 + seed / 100), seed, test_top1=92.0
        )
        writer.add(rows, outcome="done" if seed == 1 else "missing")
    study = load_study(writer.finish())
    results = collect_results(study)
    accuracy, levels = make_accuracy_table(results), make_levels_table(results)
    assert accuracy.head == ("Method", "Epochs", "0 %", "50 %")
    assert hide_intervals(accuracy.cells) == [
        ("Dense", "160", "94.00 […]", ""),
        ("Magnitude", "160", "", "93.00 […]"),
        ("Lottery ticket", "160", "", "91.00 […]"),
    ]
    assert accuracy.caption.endswith("All levels of Lottery ticket, Han iterative: table 'levels'.")
    assert levels.head == (
        "Method",
        "Level",
        "Sparsity (%)",
        "Test top-1 accuracy (%)",
        "n",
        "Epochs",
    )
    assert hide_intervals(levels.cells) == [
        ("Lottery ticket", "1", "50", "91.00 […]", "2", "160"),
        ("Lottery ticket", "2", "70", "92.00 […]", "2", "160"),
        ("Han iterative", "1", "41 (reached)", "92.00 (1/2)", "1", "160"),
        ("Han iterative", "2", "61 (reached)", "92.00 (1/2)", "1", "160"),
    ]
    assert levels.rules == {2}
    assert "(reached): the method's own rule" in levels.caption
    raw = list(csv.DictReader(io.StringIO(levels.to_csv())))
    assert [line["sparsity"] for line in raw] == ["0.5", "0.7", "", ""]
    assert float(raw[2]["sparsity_reached"]) == pytest.approx(0.41)
    assert [row[1] for row in make_efficiency_table(results).cells][-2:] == [
        "41 (reached)",
        "61 (reached)",
    ]


def test_a_study_of_one_rule_alone(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add(make_own_rows("han_iterative", (0.4, 0.6), 1), outcome="missing")
    writer.add([make_row("dense", 0.0, 1)])
    study = load_study(writer.finish())
    results = collect_results(study)
    assert make_accuracy_table(results).head == ("Method", "Epochs", "0 %")
    row = ("Han iterative", "–", "own rule", "– (0/1)", "0", "–")
    assert make_levels_table(results).cells == (row,)


def test_only_a_column_that_says_so_is_interpolated(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        levels = ((1, 0.5), (2, 0.75), (3, 0.9))
        writer.add([make_row("lottery_ticket", s, seed, level=level) for level, s in levels])
        writer.add([make_row("magnitude", 0.8, seed)])
    table = make_interpolated_table(collect_results(load_study(writer.finish())))
    assert table.head == ("Method", "80 % (interpolated)")
    assert [row[0] for row in table.cells] == ["Lottery ticket"]
    assert "only inside the measured range" in table.caption


def test_what_was_measured_is_not_interpolated(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    levels = ((1, 0.5), (2, 0.75), (3, 0.9))
    writer.add([make_row("lottery_ticket", s, 1, level=level) for level, s in levels])
    writer.add([make_row("magnitude", 0.75, 1)])
    writer.add([make_row("magnitude", 0.95, 1)])
    assert make_interpolated_table(collect_results(load_study(writer.finish()))).cells == ()
