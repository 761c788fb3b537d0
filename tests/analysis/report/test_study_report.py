"""The report, on studies in every state. That equal studies give equal files is seen in
`test_fork_pool.py`."""

from pathlib import Path

import pytest

from analysis.reading.load import load_study
from analysis.report.study_report import make_page, write_report
from tests.analysis.synthetic import Writer, make_row, write_study
from tests.analysis.synthetic_details import write_details
from trainables.storage.store import Store

NO_FIGURES = ("json",)
TABLES = ("leaderboard", "accuracy", "efficiency", "versus-dense", "critical", "pareto")


def test_everything_is_written_where_it_says(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s",
        methods=("magnitude", "lottery_ticket"),
        sparsities=(0.5, 0.9),
        seeds=(1, 2),
    )
    write_details(folder)
    _, paths = write_report(load_study(folder))
    figures = (
        *("sparsity-accuracy", "paired-drop", "pareto", "compression"),
        *("layer-densities", "learning-curves"),
    )
    everything = {
        f"figures/{name}-cifar10-resnet18.{kind}"
        for name in figures
        for kind in ("pdf", "svg", "csv")
    }
    everything |= {
        f"tables/{name}.{kind}"
        for name in (*TABLES, "levels", "interpolated")
        for kind in ("md", "tex", "csv")
    }
    whole = {"all_results.json", "all_results_fields.json", "report.md", "report.html"}
    everything |= whole
    assert set(paths) == everything
    assert set(Store.at(folder / "report").list(".")) == {f"./{path}" for path in everything}
    page = (folder / "report/report.md").read_text()
    for path in everything - whole:
        assert path in page
    assert "8 of 8 trials done." in page


@pytest.mark.parametrize(
    ("method", "sparsity"),
    [("dense", 0.0), ("magnitude", 0.5)],
    ids=["dense only", "one method, no dense"],
)
def test_one_row(tmp_path: Path, method: str, sparsity: float) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row(method, sparsity, 1)])
    formats = ("svg", "md", "tex", "html", "json")
    page, paths = write_report(load_study(writer.finish()), formats=formats)
    assert {
        "report.html",
        "report.md",
        "tables/accuracy.tex",
        "figures/sparsity-accuracy-cifar10-resnet18.svg",
    } <= set(paths)
    assert page.summary[0] == "1 of 1 trials done."
    if method == "magnitude":
        assert "The dense network is not measured yet." in page.summary


def test_one_method_one_seed_and_one_of_each(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "m", methods=("magnitude",), sparsities=(0.5, 0.9))
    one_method = make_page(load_study(folder), formats=NO_FIGURES)
    assert not any("is best" in sentence for sentence in one_method.summary)
    folder = write_study(
        tmp_path / "s", methods=("magnitude", "synflow"), seeds=(1,), sparsities=(0.5, 0.9)
    )
    one_seed = make_page(load_study(folder), formats=NO_FIGURES)
    assert any("with one seed nothing can be tested" in sentence for sentence in one_seed.summary)
    assert not one_seed.tables[0].bold


def test_a_running_study_says_what_there_is(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "s")
    for seed in (1, 2, 3):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add([make_row("magnitude", 0.9, seed)], outcome="done" if seed == 1 else "missing")
        writer.add([make_row("synflow", 0.9, seed)], outcome="missing")
    page = make_page(load_study(writer.finish()), formats=NO_FIGURES)
    assert page.summary[0] == "4 of 9 trials done, 5 waiting."
    accuracy = next(table for table in page.tables if table.name == "accuracy")
    assert [line[-1] for line in accuracy.cells if line[0] == "SynFlow"] == ["– (0/3)"]
    assert any(table.name == "missing" for table in page.tables)
