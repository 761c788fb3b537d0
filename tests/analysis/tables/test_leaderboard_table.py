"""The leaderboard as a table: ranks, references and what training cost."""

import io
from pathlib import Path

import pandas as pd

from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from analysis.tables.leaderboard_table import make_leaderboard_table
from tests.analysis.synthetic import Writer, make_row, write_study


def test_the_leaderboard_has_ranks_and_references(tmp_path: Path) -> None:
    study = load_study(
        write_study(tmp_path / "s", methods=("magnitude", "random"), sparsities=(0.9,))
    )
    table = make_leaderboard_table(collect_results(study))
    metric = "Test top-1 accuracy (%)"
    first = ("Sparsity (%)", "Rank", "Method", metric, "n", "To the best", "p", "To dense", "p")
    assert table.head == (*first, "Epochs", "Training (s)", "Controls beaten")
    assert [row[:3] for row in table.cells] == [
        ("90", "–", "Dense"),
        ("90", "1", "Magnitude"),
        ("90", "–", "Random"),
    ]
    assert [row[-3] for row in table.cells] == ["160", "320", "320"]
    assert table.cells[1][-1] == "1 of 1" and table.cells[2][-1] == "–"
    assert table.bold == frozenset(), "one method has no rival"
    raw = pd.read_csv(io.StringIO(table.to_csv()))
    assert {"rank", "setting", "sparsity", "p_dense_adjusted", "total_epochs"} <= set(raw)


def test_training_is_counted_in_macs_where_rows_have_them(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        for method in ("magnitude", "snip"):
            writer.add([make_row(method, 0.9, seed, train_macs=5e11)])
    table = make_leaderboard_table(collect_results(load_study(writer.finish())))
    assert table.head[-1] == "Training (TMACs)"
    assert [row[-1] for row in table.cells] == ["0.500", "0.500"]
    assert len(table.bold) == 4, "rank and name of two that are not separable"
