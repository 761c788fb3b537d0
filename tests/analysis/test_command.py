"""The command `python -m analysis`: what it prints, its JSON output, and its user errors.

Covers: analysis/__main__.py, analysis/report/terminal_output.py.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main
from tests.analysis.synthetic import Writer, make_row, write_study
from trainables.version import version


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 23 trials, 18 of them done."""
    return write_study(
        tmp_path_factory.mktemp("gappy") / "s",
        methods=("magnitude", "synflow", "random"),
        sparsities=(0.5, 0.9),
        gaps=True,
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two trials, alone in its folder."""
    folder = tmp_path_factory.mktemp("small") / "s"
    return write_study(folder, methods=("magnitude",), seeds=(1,), sparsities=(0.5,))


def test_tables_and_files_are_printed(gappy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = gappy
    assert main([str(folder), "--format", "csv,md,html"]) == 0
    out, err = capsys.readouterr()
    assert "92.75 [" in out and "] (2/3)" in out
    assert " With a star (*): the best method" in out and "Bold: the best method" not in out
    assert "18 of 23 trials done" in out
    assert "magnitude/s0.500/seed99" in out
    assert f"figure: {folder}/report/figures/sparsity-accuracy-cifar10-resnet18.csv" in out
    assert (
        f"table: {folder}/report/tables/efficiency.csv (and .md)" in out
        or "efficiency.md (and .csv)" in out
    )
    assert f"report: {folder}/report/report.html (and .md)" in out
    assert err.startswith("warning: skipped rows/")


@pytest.mark.parametrize("words", [[], ["--bootstrap"]])
def test_bootstrap_only_on_request(tmp_path: Path, small: Path, words: list[str]) -> None:
    out = ["--format", "tex", "--out", str(tmp_path)]  # TeX needs no figures
    assert main([str(small), *out, *words]) == 0
    assert (tmp_path / "tables/accuracy.tex").exists()
    assert (tmp_path / "tables/bootstrap.tex").exists() == bool(words)


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
    small: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    quick = [] if "--format" in arguments else ["--format", "tex"]
    assert main([*(argument.format(small.parent) for argument in arguments), *quick]) == 2
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


def test_runs_from_anywhere_and_a_log_has_plain_lines(small: Path) -> None:
    command = [sys.executable, "-m", "analysis", "s", "--format", "html"]
    done = subprocess.run(command, cwd=small.parent, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (small / "report/report.html").is_file()
    escape, carriage_return, backspace = 0x1B, 0x0D, 0x08
    assert done.stdout and not set(done.stdout) & {escape, carriage_return, backspace}


def test_json_is_one_object_and_nothing_else(
    gappy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(gappy, tmp_path / "s", ignore=shutil.ignore_patterns("report"))
    assert main([str(folder), "--format", "csv,md", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["exit_code"] == 0
    (study,) = output["studies"]
    written = {
        path.relative_to(tmp_path) for path in (folder / "report").rglob("*") if path.is_file()
    }
    assert {Path(path).relative_to(tmp_path) for path in output["written"]} == written
    rows = 3 * (1 + 3 * 2) - 3  # of each seed; one failed, one is missing, one is broken
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


def test_json_of_two_studies(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--format", "csv", "--json", "--out", str(tmp_path / "o")]
    assert main([str(small), str(small), *words]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [study["rows"] for study in output["studies"]] == [2, 2]
    assert all(Path(path).is_file() for path in output["written"])


def test_json_and_watch_exclude_each_other(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small), "--json", "--watch", "1"]) == 2
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


def test_a_closed_pipe_is_no_error(small: Path) -> None:
    command = [sys.executable, "-m", "analysis", str(small), "--format", "tex"]
    script = f"{' '.join(command)} | true; echo ${{PIPESTATUS[0]}}"
    closed = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True)
    assert closed.stdout == "0\n"
    assert closed.stderr == ""


def test_importing_needs_neither_torch_nor_ray_nor_pyplot() -> None:
    modules = (
        "analysis.__main__, analysis.report.study_report, analysis.report.comparison_page, "
        "analysis.report.keep_current"
    )
    code = (
        f"import {modules}, sys; print(sorted({{'torch', 'ray', 'matplotlib.pyplot'}} & "
        "set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
