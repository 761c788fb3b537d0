"""The report and its command, on studies in every state."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.reading.load import load
from analysis.reading.missing_trials import find_gaps
from analysis.report.checklist import tick
from analysis.report.rows_as_json import write_records
from analysis.report.study_report import make_page, write_report
from analysis.report.summary import write_summary
from analysis.statistics.results import collect
from tests.analysis.synthetic import Writer, make_row, write_details, write_study
from trainables.storage.parquet_tables import ROWS
from trainables.storage.store import Store

QUICK = ("csv", "md", "json")
TABLES = ("accuracy", "efficiency", "versus-dense", "critical", "pareto")


def test_everything_is_written_where_it_says(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", methods=("magnitude", "lottery_ticket"), sparsities=(0.5, 0.9)
    )
    write_details(folder)
    _, paths = write_report(load(folder))
    figures = ("sparsity-accuracy", "paired-drop", "pareto", "layer-densities", "learning-curves")
    everything = {
        f"figures/{name}-cifar10-resnet18.{kind}"
        for name in figures
        for kind in ("png", "pdf", "svg", "csv")
    }
    everything |= {
        f"tables/{name}.{kind}"
        for name in (*TABLES, "levels", "interpolated")
        for kind in ("md", "tex", "csv")
    }
    everything |= {"all_results.json", "report.md", "report.html"}
    assert set(paths) == everything
    assert set(Store.at(folder / "report").list(".")) == {f"./{path}" for path in everything}
    page = (folder / "report/report.md").read_text()
    for path in everything - {"report.md", "report.html", "all_results.json"}:
        assert path in page
    assert "12 of 12 trials done." in page


def test_the_same_study_gives_the_same_files(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        study = load(write_study(tmp_path / name, methods=("magnitude", "random"), gaps=True))
        out = Store.at(tmp_path / f"out-{name}")
        formats = ("csv", "md", "tex", "json")  # that figures are equal is seen in test_figures
        contents.append(
            {path: out.read(path) for path in write_report(study, out=out, formats=formats)[1]}
        )
    assert contents[0] == contents[1]


def test_formats_are_chosen(tmp_path: Path) -> None:
    study = load(
        write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.5,), seeds=(1, 2))
    )
    for formats in (("tex",), ("csv",), ("json",), ("html",)):
        _, paths = write_report(study, out=Store.at(tmp_path / "-".join(formats)), formats=formats)
        assert {path.rsplit(".", 1)[1] for path in paths} == set(formats)
    assert "data:image/svg+xml" in (tmp_path / "html/report.html").read_text()


def test_gaps_are_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", gaps=True)
    Store.at(folder).write(
        "checkpoints/cifar10-resnet18/magnitude/s0.900/seed44-00000000/step-1.pt", b""
    )
    key = next(key for key in load(folder).plan["key"] if "magnitude/s0.900/seed44" in key)
    Store.at(folder).write(f"checkpoints/{key}/step-1.pt", b"")
    write_report(load(folder), formats=QUICK)
    page = (folder / "report/report.md").read_text()
    assert "57 of 62 trials done, 2 failed, 1 not run, 1 begun, 1 unreadable." in page
    failed = [
        line
        for line in page.split("## Failed trials")[1].split("##")[0].splitlines()
        if line.startswith("* ")
    ]
    assert len(failed) == 2
    assert "/synflow/s0.990/seed44" in failed[1]
    assert "RuntimeError: CUDA out of memory (attempt 3)" in failed[1]
    blocked = page.split("## Trials not run")[1].split("\n## ")[0]
    assert "magnitude/s0.500/seed99" in blocked
    assert "because cifar10-resnet18/dense/s0.000/seed99" in blocked
    waiting = page.split("## Trials without rows")[1].split("\n## ")[0]
    assert f"{key}: begun, not done" in waiting
    assert "its rows cannot be read" in waiting
    assert "skipped rows/cifar10-resnet18/random/s0.500/seed44" in page.split("## Warnings")[1]


def test_results_are_flat_and_complete(tmp_path: Path) -> None:
    row = make_row(
        "magnitude",
        0.5,
        7,
        test_top1=93.25,
        bytes=44_700_000,
        latency_ms_b1=1.5,
        test_loss=float("inf"),
    )
    writer = Writer(tmp_path)
    writer.add([row])
    writer.add([make_row("dense", 0.0, 7)])
    content = write_records(load(writer.finish()).rows)
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
    _, paths = write_report(load(writer.finish()), "val_top1", formats=QUICK)
    assert [path for path in paths if path.startswith("figures/sparsity-accuracy")] == [
        "figures/sparsity-accuracy-val-top1-cifar10-mlp.csv",
        "figures/sparsity-accuracy-val-top1-cifar10-vgg16.csv",
    ]


@pytest.mark.parametrize(
    ("method", "sparsity"),
    [("dense", 0.0), ("magnitude", 0.5)],
    ids=["dense only", "one method, no dense"],
)
def test_one_row(tmp_path: Path, method: str, sparsity: float) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row(method, sparsity, 1)])
    page, paths = write_report(load(writer.finish()))
    assert {
        "report.html",
        "report.md",
        "tables/accuracy.tex",
        "figures/sparsity-accuracy-cifar10-resnet18.pdf",
    } <= set(paths)
    assert page.summary[0] == "1 of 1 trials done."
    if method == "magnitude":
        assert "The dense network is not measured yet." in page.summary


def test_one_method_one_seed_and_one_of_each(tmp_path: Path) -> None:
    one_method = make_page(load(write_study(tmp_path / "m", methods=("magnitude",))), formats=QUICK)
    assert not any("is best" in sentence for sentence in one_method.summary)
    one_seed = make_page(load(write_study(tmp_path / "s", seeds=(1,))), formats=QUICK)
    assert any("with one seed nothing can be tested" in sentence for sentence in one_seed.summary)
    assert "n = 1" in one_seed.pictures[0].caption
    assert not one_seed.tables[0].bold


def test_a_running_study_says_what_there_is(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "s")
    for seed in (1, 2, 3):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add([make_row("magnitude", 0.9, seed)], outcome="done" if seed == 1 else "missing")
        writer.add([make_row("synflow", 0.9, seed)], outcome="missing")
    page = make_page(load(writer.finish()), formats=QUICK)
    assert page.summary[0] == "4 of 9 trials done, 5 waiting."
    accuracy = page.tables[0]
    assert [line[2] for line in accuracy.cells if line[0] == "SynFlow"] == ["– (0/3)"]
    assert any(table.name == "gaps" for table in page.tables)


def test_sentences_are_derived_from_the_numbers(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in range(5):
        noise = [0.10, -0.08, 0.02, -0.05, 0.01][seed]
        writer.add([make_row("dense", 0.0, seed, test_top1=94.0 + noise, connected=True)])
        writer.add([make_row("magnitude", 0.9, seed, test_top1=93.6 - noise)])
        writer.add([make_row("synflow", 0.9, seed, test_top1=93.5 + 2 * noise, connected=seed > 0)])
        writer.add([make_row("random", 0.9, seed, test_top1=88.0 + 0.5 * noise)])
    study = load(writer.finish())
    summary = write_summary(collect(study), find_gaps(study))
    assert "The dense network has a test top-1 accuracy of 94.00 ± 0.09 % (n = 5)." in summary
    best = next(sentence for sentence in summary if "is best" in sentence)
    assert best == (
        "At 90 %, Magnitude is best with 93.60 ± 0.09 %; 1 of 2 other methods are not separable from it (n = 5)."
    )
    assert "At 90 %, every method is above uniformly random pruning, in the mean." in summary
    assert "1 of 20 measured networks are disconnected: SynFlow." in summary
    critical = next(sentence for sentence in summary if "within 1 point" in sentence)
    assert critical.startswith(
        "Magnitude and SynFlow stay within 1 point of the dense network, in the mean, up to 90 %"
    )


def test_the_checklist_is_ticked_from_the_data(tmp_path: Path) -> None:
    full = load(write_study(tmp_path / "s", methods=("magnitude", "random", "synflow", "snip")))
    poor = load(
        write_study(tmp_path / "p", methods=("hrank",), seeds=(1,), sparsities=(0.5,), gaps=True)
    )
    found = []
    for study in (full, poor):
        found.append({point.asks: point.met for point in tick(collect(study), find_gaps(study))})
    for asks, expected in {
        "a random pruning baseline": [True, False],
        "several runs with separate seeds": [True, False],
        "nothing left out": [True, False],
        "top-1 and top-5 accuracy": [True, True],
        "at least 3 pairs of data set and architecture": [False, False],
        "a random baseline with the same proportions in each layer": [False, False],
        "a range of compression ratios, at least 5 operating points for each method": [True, False],
        "extreme ratios, at which accuracy falls substantially": [True, False],
        "measured speed where speed is claimed": [False, False],
        "claims that go no further than the experiments": [None, None],
    }.items():
        assert [one[asks] for one in found] == expected, asks


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_study(tmp_path / "s", gaps=True)
    assert main([str(folder), "--format", "csv,md,html"]) == 0
    out, err = capsys.readouterr()
    assert "92.75 ± 1.46 (2/3)" in out
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
def test_mistakes_are_one_line(
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
