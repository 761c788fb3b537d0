"""The results of a metric: which cells and values belong to a setting, a series, a seed."""

from pathlib import Path

import numpy as np
import pytest

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.inline_accuracy import draw_inline_accuracy
from analysis.reading.load import load_study
from analysis.statistics.fitted_tables import FittedTables
from analysis.statistics.results import Results, collect_results
from analysis.statistics.sparsity_curves import compare_areas, compare_critical_sparsities
from tests.analysis.synthetic import Writer, make_row


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Two settings; random pruning with and without knobs; a method with two stages."""
    writer = Writer(tmp_path)
    for model in ("resnet18", "vgg16"):
        for seed in (1, 2):
            writer.add([make_row("dense", 0.0, seed, model=model, test_top1=90.0 + seed)])
            writer.add([make_row("random", 0.5, seed, model=model, test_top1=80.0)])
        writer.add([make_row("random", 0.5, 1, model=model, knobs='{"layers": "erk"}')])
    rows = [make_row("obc", 0.5, 1, stage=stage) for stage in ("raw", "recalibrated")]
    writer.add(rows)
    return collect_results(load_study(writer.finish()))


def test_cells_are_those_of_a_setting_and_a_series(results: Results) -> None:
    assert [setting.model for setting in results.settings] == ["resnet18", "vgg16"]
    for setting in results.settings:
        assert set(results.cells_of(setting)["model"]) == {setting.model}
        for series in results.series:
            both = results.cells_of(setting, series)
            assert set(both["method"]) <= {series.method} and set(both["knobs"]) <= {series.knobs}
    assert len(results.cells_of()) == 8


def test_random_pruning_is_the_one_without_knobs(results: Results) -> None:
    for setting in results.settings:
        series = results.find_random_pruning(setting)
        assert series is not None and (series.method, series.knobs) == ("random", "{}")


def test_without_random_pruning_there_is_none(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    results = collect_results(load_study(writer.finish()))
    assert results.find_random_pruning(results.settings[0]) is None
    assert results.find_dense(results.settings[0]) is None


def test_the_last_stage_is_the_result_of_a_method(results: Results) -> None:
    last = [results.series[index] for index in results.list_last_stages(dense=True)]
    assert [series.method for series in last] == ["dense", "obc", "random", "random"]
    assert [series.stage for series in last if series.method == "obc"] == ["recalibrated"]
    assert results.list_last_stages() == results.list_last_stages(dense=True)[1:]


def test_differences_are_to_the_dense_network_of_the_same_setting_and_seed(
    results: Results,
) -> None:
    random = results.find_random_pruning(results.settings[1])
    assert random is not None
    cells = results.cells_of(results.settings[1], random)
    assert cells["drop"].tolist() == [-11.5] and cells["drop_n"].tolist() == [2]
    values = results.seed_values(cells)
    assert values["dense"].tolist() == [91.0, 92.0] and values["seed"].tolist() == [1, 2]


def test_intervals_are_those_of_a_model_of_each_setting(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "vgg16"):
        for seed in range(3):
            for sparsity in (0.5, 0.9):
                right = 300 + 5 * seed if model == "mlp" else 358 + (seed > 0)
                value = 100 * (right - round(10 * sparsity)) / 359
                writer.add(
                    [
                        make_row(
                            "snip", sparsity, seed, model=model, test_top1=value, test_images=359
                        )
                    ]
                )
    results = collect_results(load_study(writer.finish()))
    for index, setting in enumerate(results.settings):
        cells = results.cells_of(setting)
        values = results.values[results.values["setting_index"] == index]
        expected = FittedTables(values[["cell", "seed", "value"]], images=359).summarise()
        assert cells[["low", "high"]].to_numpy() == pytest.approx(
            expected[["low", "high"]].to_numpy()
        )
        assert results.test_images(setting) == 359
    assert (results.cells["high"] <= 100).all() and (
        results.cells["low"] < results.cells["high"]
    ).all()


def test_a_loss_is_no_share_of_images(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in range(3):
        loss = float("inf") if seed == 2 else 0.1 * seed
        writer.add([make_row("snip", 0.5, seed, test_loss=loss)])
        writer.add([make_row("snip", 0.9, seed, test_loss=150.0 + seed)])
    results = collect_results(load_study(writer.finish()), "test_loss")
    assert results.images is None
    assert results.cells["low"].isna().tolist() == [True, False]
    assert results.cells.at[1, "high"] > 152


def test_a_network_without_any_weight_has_no_place_on_an_axis_of_log_density(
    tmp_path: Path,
) -> None:
    """It stays in tables and comparisons; one at infinity would end every figure."""
    writer = Writer(tmp_path, seeds=(1, 2))
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed)])
        for method in ("random", "l1_filter"):
            writer.add([make_row(method, 0.9, seed)])
            emptied = {"sparsity_reached": 1.0, "test_top1": 10.0 + seed / 10}
            writer.add([make_row(method, 0.99, seed, **emptied)])
    results = collect_results(load_study(writer.finish()))
    emptied_cells = results.cells["sparsity"] == 0.99
    assert results.cells.loc[emptied_cells, "place"].isna().all()
    assert results.values.loc[results.values["value"] < 20, "place"].isna().all()
    assert results.cells.loc[emptied_cells, "drop_p"].notna().all()
    with np.errstate(all="raise"):
        assert np.isfinite(compare_critical_sparsities(results)["mean"]).all()
        compare_areas(results)
    figure = draw_inline_accuracy(results, results.settings[0])
    assert figure is not None and "inf" not in figure.svg
    (picture,) = draw_accuracy(results, results.settings[0], ("svg",))
    assert "2 without any weight left: no place on the axis" in picture.caption
