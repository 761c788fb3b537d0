"""Ranks over several settings."""

from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures.critical_difference import draw_ranking
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import MANY, check_labels
from tests.analysis.synthetic import Writer, make_row


def test_ranks_have_a_diagram_over_three_settings(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "vgg16", "resnet20", "resnet56"):
        for method in MANY:
            writer.add([make_row(method, 0.98, 1, model=model)])
    (picture,) = draw_ranking(collect_results(load_study(writer.finish())), ())
    assert picture.name == "ranks-98"
    assert picture.data["method"].iloc[-1] == "Random"
    assert "critical difference" in picture.caption
    check_labels(kept[0])
