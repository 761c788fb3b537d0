"""Reading the directory of a search."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.reading.search_data import load_search


def test_a_plain_study_is_no_search(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: plain\n")
    assert load_search(load_study(tmp_path)) is None
