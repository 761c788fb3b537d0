"""The sections of the page after figures and tables."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.report.study_report import write_report
from tests.analysis.synthetic import write_study
from trainables.storage.store import Store

QUICK = ("csv", "md", "json")


def test_missing_trials_are_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", gaps=True)
    Store.at(folder).write(
        "checkpoints/cifar10-resnet18/magnitude/s0.900/seed44-00000000/step-1.pt", b""
    )
    key = next(key for key in load_study(folder).plan["key"] if "magnitude/s0.900/seed44" in key)
    Store.at(folder).write(f"checkpoints/{key}/step-1.pt", b"")
    write_report(load_study(folder), formats=QUICK)
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
