"""The files of a report, in the formats that are asked for.

Covers: analysis/report/page_files.py, analysis/report/figures_and_tables.py.
"""

from pathlib import Path

import pytest

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.reading.load import load_study
from analysis.report import figures_and_tables
from analysis.report.study_report import write_report
from tests.analysis.synthetic import Writer, make_row, write_study
from trainables.storage.store import Store


@pytest.fixture(autouse=True)
def _one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a setting."""
    monkeypatch.setattr(figures_and_tables, "FIGURES", (draw_accuracy,))


def test_formats_are_chosen(tmp_path: Path) -> None:
    study = load_study(
        write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.5,), seeds=(1, 2))
    )
    for formats in (("tex",), ("json",), ("csv", "html")):
        _, paths = write_report(study, out=Store.at(tmp_path / "-".join(formats)), formats=formats)
        assert {path.rsplit(".", 1)[1] for path in paths} == set(formats)
    assert "data:image/svg+xml" in (tmp_path / "csv-html/report.html").read_text()


def test_each_setting_has_its_figure(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "vgg16"):
        writer.add([make_row("dense", 0.0, 1, model=model)])
        writer.add([make_row("magnitude", 0.5, 1, model=model)])
    _, paths = write_report(load_study(writer.finish()), "val_top1", formats=("csv",))
    assert [path for path in paths if path.startswith("figures/sparsity-accuracy")] == [
        "figures/sparsity-accuracy-val-top1-cifar10-mlp.csv",
        "figures/sparsity-accuracy-val-top1-cifar10-vgg16.csv",
    ]
