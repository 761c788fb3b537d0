"""The command `python -m analysis`: what it prints, its JSON output, and its user errors.

Covers: analysis/__main__.py, analysis/report/terminal_output.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main
from tests.analysis.synthetic import Writer, make_row, write_study
from trainables.version import version


def test_tables_and_files_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_study(tmp_path / "s", gaps=True)
    assert main([str(folder), "--format", "csv,md,html"]) == 0
    out, err = capsys.readouterr()
    assert "92.75 [" in out and "] (2/3)" in out
    assert "57 of 62 trials done" in out
    assert "magnitude/s0.500/seed99" in out
    assert f"figure: {folder}/report/figures/sparsity-accuracy-cifar10-resnet18.csv" in out
    assert (
        f"table: {folder}/report/tables/efficiency.csv (and .md)" in out
        or "efficiency.md (and .csv)" in out
    )
    assert f"report: {folder}/report/report.html (and .md)" in out
    assert err.startswith("warning: skipped rows/")


def test_bootstrap_only_on_request(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.5,))
    assert main([str(folder), "--format", "csv", "--out", str(tmp_path / "a")]) == 0
    assert main([str(folder), "--format", "csv", "--out", str(tmp_path / "b"), "--bootstrap"]) == 0
    assert not (tmp_path / "a/tables/bootstrap.csv").exists()
    assert "coverage" in (tmp_path / "b/tables/bootstrap.csv").read_text().splitlines()[0]


def test_a_study_without_rows_is_not_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer(tmp_path / "s", name="young")
    writer.add([make_row("dense", 0.0, 1)], outcome="failed")
    writer.add([make_row("dense", 0.0, 2)], outcome="missing")
    assert main([str(writer.finish()), "--out", str(tmp_path / "elsewhere")]) == 0
    out, _ = capsys.readouterr()
    assert "study 'young': 0 of 2 trials done, 1 failed, 1 waiting." in out
    assert "failed: cifar10-resnet18/dense/s0.000/seed1" in out
    assert "0 of 2 trials done" in (tmp_path / "elsewhere/report.html").read_text()
    assert json.loads((tmp_path / "elsewhere/all_results.json").read_text()) == []
    assert not (tmp_path / "s/report").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{}/nowhere"], "no directory"),
        (["{}"], "is not a study directory; did you mean"),
        (["{}/s", "--metric", "test_top2"], "no metric 'test_top2'; did you mean 'test_top"),
        (["{}/s", "--metric", "latency_ms_b1"], "no row has a value of 'latency_ms_b1' yet"),
        (["{}/s", "--out", "{}/s/study.yaml"], "study.yaml"),
        (
            ["{}/s", "--format", "png,gif"],
            "no format 'gif'; there are: png, pdf, svg, csv, md, tex, html, json",
        ),
        (["{}/s", "--format", ","], "--format names no format"),
        (["{}/s", "{}/nowhere"], "no directory"),
        (["{}/s", "{}/s", "--watch"], "--watch takes one study"),
        (["{}/s", "{}/s", "--bootstrap"], "--bootstrap takes one study"),
    ],
)
def test_user_errors_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,), sparsities=(0.5,))
    quick = [] if "--format" in arguments else ["--format", "csv"]
    assert main([*(argument.format(tmp_path) for argument in arguments), *quick]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "1.5"])
def test_watching_takes_whole_seconds(
    tmp_path: Path, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), f"--watch={seconds}"])
    assert stop.value.code == 2
    assert "seconds must be a whole number of at least 1" in capsys.readouterr().err


def test_runs_from_anywhere(tmp_path: Path) -> None:
    write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,), sparsities=(0.5,))
    command = [sys.executable, "-m", "analysis", "s", "--format", "html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "s/report/report.html").is_file()


def test_json_is_one_object_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path / "s", seeds=(1, 2, 3), gaps=True)
    assert main([str(folder), "--format", "csv,md", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["exit_code"] == 0
    (study,) = output["studies"]
    written = {
        path.relative_to(tmp_path) for path in (folder / "report").rglob("*") if path.is_file()
    }
    assert {Path(path).relative_to(tmp_path) for path in output["written"]} == written
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
    folder = write_study(tmp_path / "a", methods=("magnitude",), sparsities=(0.5,), seeds=(1, 2))
    assert (
        main([str(folder), str(folder), "--format", "csv", "--json", "--out", str(tmp_path / "o")])
        == 0
    )
    output = json.loads(capsys.readouterr().out)
    assert [study["rows"] for study in output["studies"]] == [4, 4]
    assert all(Path(path).is_file() for path in output["written"])


def test_json_and_watch_exclude_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.5,), seeds=(1,))
    assert main([str(folder), "--json", "--watch", "1"]) == 2
    seen = capsys.readouterr()
    output = json.loads(seen.out)
    assert output["exit_code"] == 2 and "--watch" in output["error"]
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
    script = f"{' '.join(command)} | true; echo ${{PIPESTATUS[0]}}"
    closed = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True)
    assert closed.stdout == "0\n"
    assert closed.stderr == ""
