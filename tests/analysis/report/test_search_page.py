"""The report of a search, in every state of the directory.

Covers: analysis/report/search_page.py, analysis/report/search_findings.py,
analysis/tables/search_tables.py, analysis/figures/importance_bars.py,
analysis/figures/parallel_coordinates.py, analysis/figures/search_dimensions.py,
analysis/figures/search_tradeoff.py.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.__main__ import main
from analysis.figures.search_tradeoff import draw_traded
from analysis.reading.load import load_study
from analysis.reading.search_data import load_search
from analysis.report.page_files import FORMATS
from analysis.report.study_report import write_report
from analysis.statistics.search_best import (
    find_best_candidates,
)
from tests.analysis.synthetic_search import SPEC, write_candidate, write_search
from trainables.storage.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_search(tmp_path_factory.mktemp("search") / "made_up", 20)


def test_the_report_has_figures_tables_and_the_study_file(folder: Path, tmp_path: Path) -> None:
    formats = ("svg", "csv", "md", "html")
    page, paths = write_report(load_study(folder), out=Store.at(tmp_path), formats=formats)
    names = {picture.name for picture in page.pictures}
    assert names == {
        "search-iterations",
        "search-recipe-lr",
        "search-importance",
        "search-parallel",
    }
    for name in names:
        assert {f"figures/{name}.{kind}" for kind in ("svg", "csv")} <= set(paths)
    assert {table.name for table in page.tables} == {
        "search-best",
        "search-scores",
        "search-candidates",
    }
    text = (tmp_path / "report.md").read_text()
    assert "name: made_up-best" in text and "log_range" in text and "disconnected" in text
    assert "82.00 [" in text and "] % on the test set (n = 3)" in text
    table_of_candidates = next(table for table in page.tables if table.name == "search-candidates")
    assert len(table_of_candidates.cells) == 40 and set(FORMATS) >= {
        path.rpartition(".")[2] for path in paths
    }
    assert (tmp_path / "report.html").read_text().count("<svg") + (
        tmp_path / "report.html"
    ).read_text().count("svg+xml") >= 4


def test_a_search_that_has_hardly_begun_has_a_report_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_search(tmp_path / "begun", 0, confirmed=False)
    assert main([str(folder), "--format", "md"]) == 0
    write_candidate(
        folder,
        0,
        0.9,
        configuration={"iterations": 5, "schedule": "linear"},
        outcome="running",
        values=[],
    )
    (folder / "candidates/s0.9/00001.json").write_text("{")
    assert main([str(folder), "--format", "md,html"]) == 0
    printed = capsys.readouterr()
    assert (
        "1 candidates at 1 sparsities (1 running)" in printed.out
        and "is no record of a candidate" in printed.err
    )


@pytest.mark.parametrize("objective", [{"pareto": True}, {"max_effective_macs": 1010.0}])
def test_a_search_for_a_trade_shows_it(objective: dict[str, Any], tmp_path: Path) -> None:
    folder = write_search(tmp_path / "traded", 20)
    (folder / "search.yaml").write_text(
        yaml.safe_dump({**SPEC, "objective": objective}, sort_keys=False)
    )
    search = load_search(load_study(folder))
    assert search is not None
    best, done = (
        find_best_candidates(search),
        search.candidates[search.candidates["outcome"] == "done"],
    )
    if "pareto" in objective:
        for candidate in done.to_dict("records"):
            same = done[done["sparsity"] == candidate["sparsity"]]
            beats = (same["val_top1"] >= candidate["val_top1"]) & (
                same["effective_macs"] < candidate["effective_macs"]
            )
            beats |= (same["val_top1"] > candidate["val_top1"]) & (
                same["effective_macs"] <= candidate["effective_macs"]
            )
            assert (candidate["key"] in set(best["key"])) != beats.any()
    else:
        assert (best["effective_macs"] <= 1010).all() and len(best) == 2
    (picture,) = draw_traded(search, "SynFlow", "made up", ("png",))
    assert (
        set(picture.data.loc[picture.data["best"], "number"]) == set(best["number"])
        and picture.files["png"]
    )
