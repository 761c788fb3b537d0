"""Published numbers beside ours."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

from analysis.figures.published_comparison import draw_published
from analysis.reading.load import load_study
from analysis.statistics.results import Results, collect_results
from tests.analysis.synthetic import Writer, make_row


def test_published_beside_ours(everything: Results, kept: list[Figure]) -> None:
    (picture,) = draw_published(everything, ())
    assert picture.data["value"].tolist() == [93.0]
    xs = [float(np.ravel(line.get_xdata())[0]) for line in kept[0].axes[0].lines]
    assert 93.0 in xs and pytest.approx(float(picture.data["mean"].iloc[0])) in xs


def test_the_spread_of_a_published_number_is_drawn(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("magnitude", 0.5, seed, test_top1=91.0 + seed)])
    entry = {"dataset": "cifar10", "model": "resnet18", "method": "magnitude", "sparsity": 0.5}
    entry |= {"value": 93.0, "spread": 0.5, "spread_is": "half range", "source": "A 2020"}
    writer.store.write("study.yaml", yaml.safe_dump({"name": "s", "published": [entry]}).encode())
    (picture,) = draw_published(collect_results(load_study(writer.finish())), ())
    assert "spread of the source" in picture.caption
    bars = [segment for of in kept[0].axes[0].collections for segment in of.get_segments()]  # type: ignore[attr-defined]
    assert [[92.5, 0.0], [93.5, 0.0]] in [segment.tolist() for segment in bars]
