"""The densities of layers."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.figures.layer_densities import draw_layers
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import find_lines
from tests.analysis.synthetic import write_study
from tests.analysis.synthetic_details import write_details


def test_an_emptied_layer_is_dashed(tmp_path: Path, kept: list[Figure]) -> None:
    folder = write_study(
        tmp_path / "s", methods=("magnitude", "random"), sparsities=(0.9,), seeds=(1, 2)
    )
    write_details(folder, empty="random")
    results = collect_results(load_study(folder))
    (picture,) = draw_layers(results, results.settings[0], ())
    assert "dashed: a layer is emptied" in picture.caption
    (axes,) = kept[0].axes
    assert find_lines(axes, "o")[0].get_linestyle() == "-"
    assert find_lines(axes, "X")[0].get_linestyle() == "--"
    random = picture.data[picture.data["series"] == "Random"]
    assert random["density"].tolist() == pytest.approx([0.1**0.5, 0.0, 0.1, 0.1], abs=2e-3)
    assert random["layer"].tolist() == ["conv", "body.0", "body.1", "fc"]


def test_layers_of_a_smaller_network_are_parts_of_the_dense_one(tmp_path: Path) -> None:
    from trainables.storage.parquet_tables import encode_table

    folder = write_study(tmp_path / "s", methods=("l1_filter",), sparsities=(0.75,), seeds=(1,))
    study = load_study(folder)
    for key, weights in zip(study.rows["key"], (1000, 250), strict=True):
        row = {
            "key": key,
            "level": 0 if "dense" in key else 1,
            "stage": "final",
            "layer": "conv.weight",
            "weights": weights,
        }
        study.store.write(
            f"layers/{key}.parquet", encode_table("layers", [row | {"nonzero": weights}])
        )
    results = collect_results(load_study(folder))
    (picture,) = draw_layers(results, results.settings[0], ())
    assert picture.data["density"].tolist() == [0.25]
    assert "emptied" not in picture.caption
