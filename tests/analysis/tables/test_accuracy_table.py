"""The accuracies as a matrix, and the same cells with their sizes: cells by hand.

Covers: analysis/tables/efficiency_table.py.
"""

from pathlib import Path

from analysis.reading.load import load_study
from tests.analysis.interval_text import hide_intervals
from tests.analysis.synthetic import Writer, make_row, write_study
from tests.analysis.tables.small_study import make_small_study, make_tables


def test_cells_by_hand(tmp_path: Path) -> None:
    efficiency, accuracy = make_tables(make_small_study(tmp_path))
    head = (
        "Method",
        "Sparsity (%)",
        "Test top-1 accuracy (%)",
        "n",
        "Top-5 (%)",
        "Params (M)",
        "Nonzero (M)",
    )
    assert efficiency.head == (*head, "Size (MB)", "Sparse (MB)", "MACs (M)", "Eff. MACs (M)")
    # sparse: 40 - 4 x (11.173962 - 5.591786) + 11.173962 / 8
    whole = ("11.174", "5.592", "40.00", "19.07", "556.65", "123.46")
    assert [row[:4] + row[5:] for row in hide_intervals(efficiency.cells)] == [
        ("Magnitude", "50", "93.50 […] (2/3)", "2", *whole),
        ("Magnitude", "90", "– (0/1)", "0", *["–"] * 6),
        (
            "L1 filter",
            "50 (reached 50.31)",
            "91.00",
            "1",
            "11.174",
            "–",
            "44.70",
            "–",
            "556.65",
            "298.30",
        ),
        ("L1 filter", "90", "90.00", "1", "11.174", "1.126", "44.70", "5.90", "556.65", "70.08"),
    ]
    assert efficiency.rules == {2}
    assert accuracy.head == ("Method", "Epochs", "50 %", "90 %")
    assert hide_intervals(accuracy.cells) == [
        ("Magnitude", "160", "93.50 […] (2/3)", "– (0/1)"),
        ("L1 filter", "160", "91.00", "90.00"),
    ]
    assert "what L1 filter reached is in table 'efficiency'" in accuracy.caption


def test_the_longer_side_runs_down(tmp_path: Path) -> None:
    _, accuracy = make_tables(load_study(write_study(tmp_path / "s", methods=("lottery_ticket",))))
    assert accuracy.head == ("Sparsity (%)", "Dense", "Lottery ticket")
    assert len(accuracy.cells) == 1 + 10
    assert accuracy.cells[0][2:] == ("",)


def test_several_settings_share_a_table(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "resnet18"):
        writer.add([make_row("dense", 0.0, 1, model=model)])
        writer.add([make_row("magnitude", 0.5, 1, model=model)])
    efficiency, accuracy = make_tables(load_study(writer.finish()))
    assert [row[:2] for row in efficiency.cells] == [
        ("cifar10, mlp", "Dense"),
        ("cifar10, mlp", "Magnitude"),
        ("cifar10, resnet18", "Dense"),
        ("cifar10, resnet18", "Magnitude"),
    ]
    assert accuracy.head[0] == "Setting"
    assert accuracy.rules == {2}


def test_captions_say_what_the_numbers_are(tmp_path: Path) -> None:
    sparsities = (0.5, 0.8, 0.9, 0.95)
    folder = write_study(tmp_path / "full", methods=("magnitude",), sparsities=sparsities)
    study = load_study(folder)
    caption = make_tables(study)[1].caption
    assert caption == (
        "Test top-1 accuracy (%), cifar10, resnet18. An unknown number of test images. Mean over "
        "seeds (n = 3) and its 95 % interval, by a model of all cells of a setting that shares "
        "their variances."
    )  # one method has no rival, so nothing is bold; here sparsities run down, without epochs
    folder = write_study(
        tmp_path / "one", methods=("magnitude",), seeds=(1,), sparsities=sparsities
    )
    study = load_study(folder)
    caption = make_tables(study)[1].caption
    assert "95 %" not in caption
    assert "one seed has no interval" in caption
    caption = make_tables(make_small_study(tmp_path / "gaps"))[1].caption
    assert "(n = 1 to 2)" in caption
    assert "(k/n): k of n planned seeds" in caption
