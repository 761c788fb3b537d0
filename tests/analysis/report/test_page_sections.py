"""The sections of the page after figures and tables."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.report.page import MethodCard
from analysis.report.page_sections import describe_data, list_method_cards
from analysis.report.study_report import make_page
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_row, write_study
from trainables.storage.store import Store


def test_missing_trials_are_named(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s",
        methods=("magnitude", "synflow", "random"),
        sparsities=(0.5, 0.9),
        gaps=True,
    )
    Store.at(folder).write(
        "checkpoints/cifar10-resnet18/magnitude/s0.900/seed44-00000000/step-1.pt", b""
    )
    key = next(key for key in load_study(folder).plan["key"] if "magnitude/s0.900/seed44" in key)
    Store.at(folder).write(f"checkpoints/{key}/step-1.pt", b"")
    page = make_page(load_study(folder), formats=("json",)).to_markdown(("md",))
    assert "18 of 23 trials done, 2 failed, 1 not run, 1 begun, 1 unreadable." in page
    failed = [
        line
        for line in page.split("## Failed trials")[1].split("##")[0].splitlines()
        if line.startswith("* ")
    ]
    assert len(failed) == 2
    assert "/synflow/s0.900/seed44" in failed[1]
    assert "RuntimeError: CUDA out of memory (attempt 3)" in failed[1]
    blocked = page.split("## Trials not run")[1].split("\n## ")[0]
    assert "magnitude/s0.500/seed99" in blocked
    assert "because cifar10-resnet18/dense/s0.000/seed99" in blocked
    waiting = page.split("## Trials without rows")[1].split("\n## ")[0]
    assert f"{key}: begun, not done" in waiting
    assert "its rows cannot be read" in waiting
    assert "skipped rows/cifar10-resnet18/random/s0.500/seed44" in page.split("## Warnings")[1]


def test_cards_print_the_knobs_of_the_study_and_not_the_defaults(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for knobs in ("{}", '{"rate": 0.6}'):
        writer.add([make_row("lottery_ticket", 0.5, 1, knobs=knobs)])
    writer.add([make_row("mine", 0.5, 1, knobs='{"k": 3}')])
    knobs = {"rate": 0.2, "levels": 10}
    writer.cards = {"lottery_ticket": {"title": "Lottery ticket", "summary": "s", "knobs": knobs}}
    (section,) = list_method_cards(collect_results(load_study(writer.finish())))
    cards = [card for card in section.items if isinstance(card, MethodCard)]
    assert [card.properties for card in cards] == [
        (
            ("Knobs of Lottery ticket", "rate=0.2, levels=10"),
            ("Knobs of Lottery ticket (rate=0.6)", "rate=0.6 (default 0.2), levels=10"),
        ),
        (("Knobs", "k=3"),),
    ]


def test_the_sizes_of_the_splits_are_said_where_they_are_known(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("dense", 0.0, 1, dataset="cifar10", test_top1=94.0)])
    writer.add([make_row("dense", 0.0, 1, dataset="mine", test_top1=94.0)])
    (section,) = describe_data(collect_results(load_study(writer.finish())))
    assert section.items == (
        ("cifar10, resnet18", "45,000 to train on, 5,000 to validate on, 10,000 to test on"),
        (
            "mine, resnet18",
            "an unknown number to train on, an unknown number to validate on, "
            "an unknown number to test on",
        ),
    )
