"""The trials that are missing, and why."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials
from analysis.tables.completeness_table import make_missing_table
from tests.analysis.synthetic import Writer, make_row, write_study


def test_what_is_missing_and_why(tmp_path: Path) -> None:
    methods = ("magnitude", "synflow", "random")
    folder = write_study(tmp_path / "s", methods=methods, sparsities=(0.5, 0.9), gaps=True)
    study = load_study(folder)
    (tmp_path / "s/checkpoints/cifar10-resnet18").mkdir(parents=True)
    table = make_missing_table(study, find_missing_trials(study))
    found = {(line[0], line[2], line[3]): line[4] for line in table.cells}
    assert found == {
        (
            "SynFlow",
            "90",
            "44",
        ): "failed: RuntimeError: CUDA out of memory",
        ("Magnitude", "90", "44"): "not begun",
        ("Random", "50", "44"): "its rows cannot be read",
        ("Dense", "0", "99"): "failed: RuntimeError: CUDA out of memory",
        ("Magnitude", "50", "99"): "not run: the training it starts from failed",
    }
    folder = write_study(tmp_path / "full", seeds=(1,), methods=("magnitude",), sparsities=(0.5,))
    full = load_study(folder)
    assert make_missing_table(full, find_missing_trials(full)).cells == ()


def test_a_seed_without_a_value_of_the_metric_is_explained(tmp_path: Path) -> None:
    """What the other tables print as (1/2)."""
    writer = Writer(tmp_path, seeds=(1, 2))
    writer.add([make_row("synflow", 0.9, 1)])
    writer.add([make_row("synflow", 0.9, 2, test_loss=float("nan"))])
    study = load_study(writer.finish())
    table = make_missing_table(study, find_missing_trials(study, "test_loss"))
    why = "done, but without a value of test_loss"
    assert table.cells == (("SynFlow", "", "90", "2", why),)
    assert table.caption.startswith(
        "Planned trials without results, and trials without a value of test_loss: "
    )
    assert make_missing_table(study, find_missing_trials(study, "test_top1")).cells == ()
