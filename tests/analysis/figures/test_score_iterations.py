"""Accuracy and connection by the number of iterations of a score."""

from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures.score_iterations import draw_iterations
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import check_labels
from tests.analysis.synthetic import Writer, make_row


def test_iterations_need_several_counts(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        for count, connected in ((1, False), (10, seed == 1), (100, True)):
            knobs = f'{{"iterations": {count}}}' if count != 100 else "{}"
            writer.add([make_row("synflow", 0.98, seed, knobs=knobs, connected=connected)])
        writer.add(
            [make_row("synflow", 0.98, seed, knobs='{"iterations": 5, "schedule": "linear"}')]
        )
        writer.add([make_row("magnitude", 0.98, seed)])
    writer.finish()
    results = collect_results(load_study(tmp_path))
    data = draw_iterations(results, results.settings[0], ())[0].data
    assert data["iterations"].tolist() == [1, 10]  # without a card, the default is not known
    writer.cards = {
        "synflow": {"title": "SynFlow", "knobs": {"iterations": 100, "schedule": "exponential"}}
    }
    writer.finish()
    results = collect_results(load_study(tmp_path))
    (picture,) = draw_iterations(results, results.settings[0], ())
    assert picture.data["iterations"].tolist() == [1, 10, 100]
    assert picture.data["connected"].tolist() == [0.0, 0.5, 1.0]
    upper, lower = kept[-1].axes
    assert lower.lines[0].get_ydata().tolist() == [0.0, 50.0, 100.0]
    assert upper.get_xscale() == lower.get_xscale() == "log"
    check_labels(kept[-1])
