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


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a GPU")
@pytest.mark.parametrize("words", [["--fresh"], ["--seeds", "7"]])
def test_a_launch_that_this_machine_refuses_leaves_the_study_as_it_is(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither deleted by `--fresh` nor given another plan: no GPU is known before that."""
    out = tmp_path / "out"
    (out / "rows").mkdir(parents=True)
    (out / "rows" / "old.parquet").write_bytes(b"of an earlier run")
    asked = [*WORDS, "--gpus-per-trial", "1", "--out", str(out), *words]
    assert full_study.main(asked) == 2
    assert "wants GPUs and this machine has none" in capsys.readouterr().err
    left = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    assert left == ["rows/old.parquet"]
