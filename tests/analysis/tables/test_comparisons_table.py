"""Comparisons with the dense network, the best method and the controls."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from analysis.tables.comparisons_table import (
    make_best_table,
    make_controls_table,
    make_dense_table,
    make_longer_dense_table,
)
from tests.analysis.synthetic import Writer, make_row, write_study


def test_comparisons_are_tables_with_their_number(tmp_path: Path) -> None:
    results = collect_results(
        load_study(write_study(tmp_path / "s", seeds=(1, 2, 3, 4), sparsities=(0.9, 0.98)))
    )
    dense, best = make_dense_table(results), make_best_table(results)
    assert dense.head == ("Method", "Sparsity (%)", "Difference", "n", "p", "p (Holm)", "Separable")
    assert (
        "corrected for the 16 comparisons" in dense.caption
    )  # 3 methods x 2, and 10 levels of tickets
    assert best.head[1] == "Best"
    assert "corrected for the 2 comparisons" in best.caption, "random does not compete"
    assert "multiplied by k / 2" in best.caption
    assert {row[:2] for row in best.cells} == {("Magnitude", "SynFlow")}
    controls = make_controls_table(results)
    assert controls.head[1] == "Control"
    assert {row[:2] for row in controls.cells} == {("Magnitude", "Random"), ("SynFlow", "Random")}
    verdicts = {row[2]: row[-1] for row in controls.cells if row[0] == "SynFlow"}
    assert verdicts["98"] == "yes"
    assert controls.raw["control"].tolist() == ["Random"] * 4
    assert list(best.raw.columns).count("n") == 1
    assert make_longer_dense_table(results).cells == ()


def test_what_is_not_paired_is_counted(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2, 3):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add([make_row("magnitude", 0.9, seed + 10)])
        writer.add([make_row("snip", 0.9, seed)])
    caption = make_dense_table(collect_results(load_study(writer.finish()))).caption
    assert "1 of them not paired by seed" in caption
