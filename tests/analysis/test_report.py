"""The report and its command, on studies in every state."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import Writer, make_row, write_study

from analysis.__main__ import main
from analysis.load import load
from analysis.report import make_results, write_report
from trainables.record import ROWS
from trainables.store import Store

ALL = {
    "all_results.json",
    "figures/sparsity-accuracy-cifar10-resnet18.pdf",
    "figures/sparsity-accuracy-cifar10-resnet18.png",
    "report.md",
    *(f"tables/{name}.{kind}" for name in ("accuracy", "efficiency") for kind in ("md", "tex", "csv")),
}


def test_everything_is_written_where_it_says(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude", "lottery_ticket"))
    paths = write_report(load(folder))
    everything = ALL | {f"tables/levels.{kind}" for kind in ("md", "tex", "csv")}
    assert set(paths) == everything
    assert set(Store.at(folder / "report").list(".")) == {f"./{path}" for path in everything}
    page = (folder / "report/report.md").read_text()
    for path in everything - {"report.md"}:
        assert path in page
    assert "27 of 27" not in page
    assert "24 of 24 trials done." in page


def test_the_same_study_gives_the_same_files(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        study = load(write_study(tmp_path / name, methods=("magnitude", "random"), gaps=True))
        out = Store.at(tmp_path / f"out-{name}")
        contents.append({path: out.read(path) for path in write_report(study, out=out)})
    assert contents[0] == contents[1]


def test_gaps_are_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", gaps=True)
    write_report(load(folder))
    page = (folder / "report/report.md").read_text()
    assert "57 of 62 trials done, 2 failed, 1 not run, 2 missing or running." in page
    failed = [line for line in page.split("## Failed trials")[1].split("##")[0].splitlines() if line.startswith("* ")]
    assert len(failed) == 2
    assert "/synflow/s0.990/seed44" in failed[1]
    assert "RuntimeError: CUDA out of memory (attempt 3)" in failed[1]
    (blocked,) = [line for line in page.splitlines() if "not run, because" in line]
    assert "magnitude/s0.500/seed99" in blocked
    assert "because `cifar10-resnet18/dense/s0.000/seed99" in blocked
    waiting = page.split("## Trials without rows")[1].split("\n## ")[0]
    assert "magnitude/s0.900/seed44" in waiting
    assert "random/s0.500/seed44" in waiting
    assert "skipped rows/cifar10-resnet18/random/s0.500/seed44" in page.split("## Warnings")[1]


def test_results_are_flat_and_complete(tmp_path: Path) -> None:
    row = make_row("magnitude", 0.5, 7, test_top1=93.25, bytes=44_700_000, latency_ms_b1=1.5, test_loss=float("inf"))
    writer = Writer(tmp_path)
    writer.add([row])
    writer.add([make_row("dense", 0.0, 7)])
    content = make_results(load(writer.finish()).rows)
    assert content.count(b"\n") == 2 + 2
    dense, first = json.loads(content)
    assert list(first)[:7] == [
        "method",
        "sparsity",
        "seed",
        "test_accuracy",
        "params_millions",
        "model_size_mb",
        "inference_latency_ms",
    ]
    assert (first["test_accuracy"], first["params_millions"]) == (93.25, 11.173962)
    assert (first["model_size_mb"], first["inference_latency_ms"], first["seed"]) == (44.7, 1.5, 7)
    assert set(ROWS.names) <= set(first)
    assert first["connected"] is True
    assert first["test_loss"] is None
    assert dense["inference_latency_ms"] is None
    assert not any(isinstance(value, dict | list) for value in first.values())


def test_each_setting_has_its_figure(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "vgg16"):
        writer.add([make_row("dense", 0.0, 1, model=model)])
        writer.add([make_row("magnitude", 0.5, 1, model=model)])
    paths = write_report(load(writer.finish()), "val_top1")
    assert [path for path in paths if path.endswith(".png")] == [
        "figures/sparsity-val-top1-cifar10-mlp.png",
        "figures/sparsity-val-top1-cifar10-vgg16.png",
    ]


def test_many_series_begin_with_an_overview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = ("magnitude", "hrank", "fpgm", "synflow", "snip", "gmp", "rigl", "random")
    folder = write_study(tmp_path / "s", methods=methods, seeds=(1,), sparsities=(0.5, 0.9))
    assert main([str(folder)]) == 0
    drawn = [line.split("/figures/")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("figure: ")]
    families = ["", "-after-training", "-initialisation-and-dynamic", "-structured", "-controls"]
    assert drawn == [f"sparsity-accuracy-cifar10-resnet18{family}.png (and .pdf)" for family in families]


@pytest.mark.parametrize(
    ("method", "sparsity"), [("dense", 0.0), ("magnitude", 0.5)], ids=["dense only", "one method, no dense"]
)
def test_one_row(tmp_path: Path, method: str, sparsity: float) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row(method, sparsity, 1)])
    assert set(write_report(load(writer.finish()))) == ALL


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_study(tmp_path / "s", gaps=True)
    assert main([str(folder)]) == 0
    out, err = capsys.readouterr()
    assert "92.75 ± 1.46 (2/3)" in out
    assert "57 of 62 trials done" in out
    assert "not run: cifar10-resnet18/magnitude/s0.500/seed99" in out
    assert f"figure: {folder}/report/figures/sparsity-accuracy-cifar10-resnet18.png (and .pdf)" in out
    assert f"table: {folder}/report/tables/efficiency.md (and .tex, .csv)" in out
    assert f"report: {folder}/report/report.md" in out
    assert err.startswith("warning: skipped rows/")


def test_a_study_without_rows_is_not_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = Writer(tmp_path / "s", name="young")
    writer.add([make_row("dense", 0.0, 1)], outcome="failed")
    writer.add([make_row("dense", 0.0, 2)], outcome="missing")
    assert main([str(writer.finish()), "--out", str(tmp_path / "elsewhere")]) == 0
    out, _ = capsys.readouterr()
    assert "study 'young' has no rows yet: 0 of 2 trials done, 1 failed, 1 missing or running" in out
    assert "failed: cifar10-resnet18/dense/s0.000/seed1" in out
    assert (tmp_path / "elsewhere/report.md").is_file()
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
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,), sparsities=(0.5,))
    assert main([argument.format(tmp_path) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err


def test_runs_from_anywhere(tmp_path: Path) -> None:
    write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,), sparsities=(0.5,))
    command = [sys.executable, "-m", "analysis", "s"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "s/report/report.md").is_file()
