"""How a run of a study ends; whole runs are in tests/sweeps/test_full_study.py."""

from pathlib import Path

import pytest

from sweeps import full_study
from sweeps.cli.study_launch import LaunchEnd
from tests.troubles import check_trouble

WORDS = ("--preset", "digits", "--methods", "magnitude", "--seeds", "0", "--set", "recipe.epochs=1")


def test_rows_that_cannot_be_read_after_the_run_are_no_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every worker says that its trial is done, and the disk has no rows."""
    monkeypatch.setattr(
        "sweeps.cli.study_run.launch_missing_trials",
        lambda spec, plan, *others: LaunchEnd("", frozenset(plan.by_key)),
    )
    monkeypatch.setattr("sweeps.running.lease.SETTLE", 0)
    assert full_study.main([*WORDS, "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().out
    check_trouble("rows that were written cannot be read afterwards", printed)
    assert "--retry-failed" not in printed and "0 of " in printed
