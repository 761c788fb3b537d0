"""A made-up study that several rooms read, and reports without figures."""

import pytest

from analysis.reading.load import load_study
from analysis.report import study_report
from analysis.statistics.results import Results, collect_results
from tests.analysis.synthetic_details import write_everything


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A study that has something to show in every figure but the ranking."""
    folder = write_everything(tmp_path_factory.mktemp("everything") / "s")
    return collect_results(load_study(folder))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports draw no figures, which take most of their time."""
    monkeypatch.setattr(study_report, "list_drawings", lambda results, formats: [])
