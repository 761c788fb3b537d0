"""Watching: a report that follows a study until it is over."""

import re
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.reading.load import load_study
from analysis.report import keep_current as module
from tests.analysis.synthetic import Writer, make_row

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    writer = Writer(tmp_path / "s")
    writer.add([make_row("dense", 0.0, 1)])
    writer.add([make_row("magnitude", 0.9, 1)], outcome="missing")
    writer.finish()
    return writer


def read_refresh(writer: Writer) -> str | None:
    match = re.search(
        r'http-equiv="refresh" content="(\d+)"', (writer.folder / "report/report.html").read_text()
    )
    return match[1] if match else None


def test_a_report_follows_its_study(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refreshes: list[str | None] = []

    def sleep(seconds: float) -> None:
        assert seconds == 3
        refreshes.append(read_refresh(writer))
        if len(refreshes) == 3:  # nothing came before the second and the third check
            writer.add([make_row("magnitude", 0.9, 1)], plan=False)

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert main([str(writer.folder), "--watch", "3", "--format", "html"]) == 0
    assert refreshes == ["3", "3", "3"]
    assert read_refresh(writer) is None
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1].split(":")[0] for line in lines] == [
        "1 of 2 trials done, 1 waiting",
        "2 of 2 trials done",
    ]


def test_a_study_that_failed_is_over(writer: Writer) -> None:
    writer.add([make_row("magnitude", 0.9, 1)], outcome="failed", plan=False)
    assert main([str(writer.folder), "--watch", "--format", "md"]) == 0
    assert "1 failed" in (writer.folder / "report/report.md").read_text()


def test_an_outage_is_named_and_survived(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def fail_once(place: str) -> object:
        calls.append(place)
        if len(calls) == 2:
            raise OSError("the bucket is away")
        return load_study(place)

    def sleep(seconds: float) -> None:
        if len(calls) == 1:
            writer.add([make_row("magnitude", 0.9, 1)], plan=False)

    monkeypatch.setattr(module, "load_study", fail_once)
    monkeypatch.setattr(module.time, "sleep", sleep)
    assert main([str(writer.folder), "--watch", "1", "--format", "tex"]) == 0
    assert len(calls) == 3
    assert "warning: the bucket is away; looking again in 1 s" in capsys.readouterr().err


def test_interruption_ends_it(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", stop)
    assert main([str(writer.folder), "--watch", "--format", "tex"]) == 130


def test_a_first_check_that_fails_is_a_user_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere"), "--watch"]) == 2
    assert "no directory" in capsys.readouterr().err
