"""How many images were trained on, validated on and tested on."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.statistics.data_sizes import DataSizes, find_data_sizes
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_row


def find_sizes(folder: Path, **columns: object) -> DataSizes:
    writer = Writer(folder)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, test_top1=100.0 * (300 + seed) / 359, **columns)])
    results = collect_results(load_study(writer.finish()))
    return find_data_sizes(results, results.settings[0])


def test_those_of_a_standard_data_set_are_known(tmp_path: Path) -> None:
    assert find_sizes(tmp_path / "a", dataset="digits") == DataSizes(1295, 143, 359)
    sizes = find_sizes(tmp_path / "b", dataset="digits", recipe='{"hold_out": false}')
    assert sizes == DataSizes(1438, 0, 359)


def test_of_other_data_the_training_counted_its_images(tmp_path: Path) -> None:
    """3 passes x 2 epochs x 500 images x 10 MACs."""
    counted = {"train_macs": 3.0 * 2 * 500 * 10, "epochs": 2, "macs": 10}
    sizes = find_sizes(tmp_path / "a", dataset="mine", test_images=359, **counted)
    assert sizes == DataSizes(500, None, 359)
    assert find_sizes(tmp_path / "b", dataset="mine") == DataSizes(None, None, None)


def test_a_part_of_a_standard_data_set_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    assert find_sizes(tmp_path, dataset="cifar10", test_images=359) == DataSizes(None, None, 359)
