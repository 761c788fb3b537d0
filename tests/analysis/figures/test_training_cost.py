"""Bars of training time."""

from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures.training_cost import draw_cost
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_row, write_study


def test_cost_has_bars_and_sums(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    dense = writer.add([make_row("dense", 0.0, 1, trial_seconds=100.0)])
    writer.add([make_row("magnitude", 0.5, 1, trial_seconds=50.0)], parents=[dense])
    writer.add([make_row("magnitude", 0.9, 1, trial_seconds=70.0)], parents=[dense])
    results = collect_results(load_study(writer.finish()))
    (picture,) = draw_cost(results, results.settings[0], ())
    assert picture.data[["seconds", "shared", "total"]].to_numpy().tolist() == [
        [100.0, 0.0, 100.0],
        [60.0, 100.0, 120.0],
    ]
    widths = [patch.get_width() for patch in kept[0].axes[0].patches]  # type: ignore[attr-defined]
    assert widths == [100.0, 0.0, 60.0, 100.0]
    assert (
        draw_cost(
            collect_results(load_study(write_study(tmp_path / "untimed"))), results.settings[0], ()
        )
        == []
    )
