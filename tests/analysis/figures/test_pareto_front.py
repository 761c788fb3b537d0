"""The Pareto front."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures.pareto_front import draw_pareto
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import find_lines
from tests.analysis.synthetic import write_study


def test_the_front_is_drawn_over_what_it_beats(tmp_path: Path, kept: list[Figure]) -> None:
    folder = write_study(tmp_path / "s", seeds=(1, 2), sparsities=(0.5, 0.9))
    results = collect_results(load_study(folder))
    (picture,) = draw_pareto(results, results.settings[0], ())
    assert picture.data["front"].any() and not picture.data["front"].all()
    legend = kept[0].axes[0].get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert {*picture.data[picture.data["front"]]["series"], "Dense", "Pareto front"} <= set(names)
    black = [line for line in find_lines(kept[0].axes[0], "s") if line.get_color() == "#000000"]
    assert [
        float(np.ravel(line.get_ydata())[0]) for line in black if np.size(line.get_ydata())
    ] == [pytest.approx(float(picture.data.loc[picture.data["method"] == "dense", "mean"].iloc[0]))]
