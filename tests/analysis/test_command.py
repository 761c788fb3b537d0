"""`python -m analysis` for machines and at the edges of a terminal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main
from tests.analysis.synthetic import write_study
from trainables.version import version


def test_json_is_one_object_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path / "s", seeds=(1, 2, 3), gaps=True)
    assert main([str(folder), "--format", "csv,md", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 0
    (study,) = told["studies"]
    written = {
        path.relative_to(tmp_path) for path in (folder / "report").rglob("*") if path.is_file()
    }
    assert {Path(path).relative_to(tmp_path) for path in told["written"]} == written
    rows = 3 * (1 + 3 * 6 + 10) - 3  # of each seed; one failed, one is missing, one is broken
    assert (study["rows"], study["name"], study["place"]) == (rows, "synthetic", str(folder))
    blocked = [
        why
        for why in study["missing"].values()
        if why.startswith("not run, because cifar10-resnet18/dense/")
    ]
    assert sorted(study["missing"].values()) == sorted(
        ["not begun", "its rows cannot be read", *blocked]
    )
    assert len(blocked) == 1
    assert set(study["failed"].values()) == {"RuntimeError: CUDA out of memory"}
    assert study["planned"] == study["done"] + len(study["failed"]) + len(study["missing"])
    assert study["warnings"]


def test_json_of_two_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_study(tmp_path / "a", methods=("magnitude",), sparsities=(0.5,), seeds=(1, 2))
    assert (
        main([str(one), str(one), "--format", "csv", "--json", "--out", str(tmp_path / "o")]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert [study["rows"] for study in told["studies"]] == [4, 4]
    assert all(Path(path).is_file() for path in told["written"])


def test_json_and_watch_exclude_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.5,), seeds=(1,))
    assert main([str(folder), "--json", "--watch", "1"]) == 2
    seen = capsys.readouterr()
    told = json.loads(seen.out)
    assert told["exit_code"] == 2 and "--watch" in told["error"]
    assert seen.err.count("\n") == 1
    assert "--watch" in seen.err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"python -m analysis {version()}\n"


def test_a_log_has_plain_lines_and_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", methods=("magnitude",), sparsities=(0.5, 0.9), seeds=(1, 2)
    )
    command = [sys.executable, "-m", "analysis", str(folder), "--format", "csv,md"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert not set(done.stdout + done.stderr) & {
        0x1B,
        0x0D,
        0x08,
    }  # escape, carriage return, backspace
    closed = subprocess.run(f"{' '.join(command)} | true; echo ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash",
                            capture_output=True, text=True)  # fmt: skip
    assert closed.stdout == "0\n"
    assert closed.stderr == ""
