"""Intervals by resampling beside Student's."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from analysis.tables.bootstrap_table import make_bootstrap_table
from tests.analysis.interval_text import hide_intervals
from tests.analysis.synthetic import write_study


def test_bootstrap_states_its_coverage(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.9,))
    results = collect_results(load_study(folder))
    table, values = make_bootstrap_table(results), results.values
    last = values[values["series_index"] == 1]["value"]
    assert hide_intervals([table.cells[-1][2:3]]) == [("92.88 […]",)]
    assert table.cells[-1][3:] == (
        "[92.26, 93.49]",  # 92.88 ± 0.62, Student's t
        f"[{last.min():.2f}, {last.max():.2f}]",
        "75",
        "3",
    )
    folder = write_study(tmp_path / "o", methods=("magnitude",), seeds=(1,), sparsities=(0.9,))
    one = make_bootstrap_table(collect_results(load_study(folder)))
    assert one.cells[0][3:] == ("–", "–", "–", "1")
