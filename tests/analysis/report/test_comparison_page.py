"""The page of two studies: its files, and its sentences.

Covers: analysis/report/comparison_page.py, analysis/figures/two_studies.py,
analysis/tables/two_studies_table.py.
"""

import dataclasses
import re
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.reading.load import load_study
from analysis.report.comparison_page import write_comparison, write_comparison_summary
from analysis.statistics.study_comparison import (
    compare_studies,
)
from tests.analysis.statistics.test_study_comparison import A, B, make_study
from tests.analysis.synthetic import Writer, make_row, write_study
from trainables.storage.store import Store


def test_different_recipes_and_commits_are_named(tmp_path: Path) -> None:
    comparison = compare_studies(
        make_study(tmp_path / "a", {"magnitude": A}),
        make_study(tmp_path / "b", {"magnitude": B}, recipe='{"epochs": 5}'),
    )
    assert comparison.recipes
    sentences = write_comparison_summary(comparison)
    assert (
        "The recipes differ: the differences are those of recipes and code together." in sentences
    )
    assert "A was measured with commit a, B with b." in sentences
    assert (
        "Of 1 tested, B is separably better in 1 and separably worse in 0 "
        "(p corrected for all of them, Holm, 5 %)." in sentences
    )
    (largest,) = [sentence for sentence in sentences if "largest" in sentence]
    assert re.fullmatch(
        r"The largest difference: Magnitude at [\d.]+ % \(\S+, \S+\), B less A \+[\d.]+ "
        r"\[\+[\d.]+, \+[\d.]+\] points, p (= |< )[\d.]+\.",
        largest,
    )


def test_two_studies_of_one_name_are_told_apart(tmp_path: Path) -> None:
    a, b = (make_study(tmp_path / name, {"magnitude": A}) for name in ("first", "second"))
    b = dataclasses.replace(b, name=a.name)
    page, _ = write_comparison(a, b, out=Store.at(tmp_path / "out"), formats=("md",))
    name_a, _, name_b = page.title.partition(" and ")
    assert name_a != name_b and "first" in name_a and "second" in name_b


def test_the_comparison_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seeds in (("a", (1, 2, 3)), ("b", (1, 2))):
        write_study(
            tmp_path / name, methods=("magnitude", "random"), seeds=seeds, sparsities=(0.5, 0.9)
        )
        (tmp_path / name / "study.yaml").write_text(f"name: {name}\nseeds: {list(seeds)}\n")
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--format", "csv,md,tex,html"]) == 0
    folder = tmp_path / "a/report/versus-b"
    assert {path.name for path in folder.rglob("*.*")} == {
        "report.html",
        "report.md",
        "versus.csv",
        "versus.md",
        "versus.tex",
        "versus-test-top1-cifar10-resnet18.csv",
    }
    assert "The results are" not in (folder / "report.md").read_text()
    # B has no seed 3, and the differences are those of the other two.
    assert "n = 2 seeds behind a difference; lines are mean" in (folder / "report.md").read_text()
    assert "seeds: [1, 2, 3]" in (folder / "report.md").read_text()
    assert "5 results are in both; 0 only in A, 0 only in B." in capsys.readouterr().out


def test_one_seed_compares_without_a_test(tmp_path: Path) -> None:
    a, b = (
        make_study(tmp_path / "a", {"magnitude": A[:1]}),
        make_study(tmp_path / "b", {"magnitude": B[:1]}),
    )
    page, _ = write_comparison(a, b, out=Store.at(tmp_path / "out"), formats=("md",))
    assert "With one seed nothing can be tested." in page.summary
    assert page.tables[0].cells[0][6:] == ("+0.50", "1", "–", "–", "–")


def test_a_study_against_itself_is_equal_and_its_axes_are_no_rounding_errors(
    tmp_path: Path,
) -> None:
    from analysis.figures import two_studies as figure

    study = make_study(
        tmp_path / "a", {"magnitude": [2 / 3, 0.1, 0.7], "random": [0.3, 1 / 3, 0.9]}
    )
    comparison = compare_studies(study, study)
    comparison.cells["difference"] += 5e-17  # as means of differently ordered sums may have
    comparison.cells[["low", "high"]] = None  # an interval would make the axis longer
    assert "All 2 means are equal." in write_comparison_summary(comparison)
    spans = []
    save = figure.Canvas.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            figure.Canvas,
            "save",
            lambda self, kinds: (spans.append(self.axes[0][0].get_ylim()), save(self, kinds))[1],
        )
        figure.draw_versus(comparison, ("png",))
    assert spans == [(-0.5, 0.5)]


def test_other_test_sets_are_told(tmp_path: Path) -> None:
    studies = []
    for name, images in (("a", 10_000), ("b", 5000)):
        writer = Writer(tmp_path / name)
        for seed, value in enumerate(A):
            row = make_row("magnitude", 0.9, seed, test_top1=value, test_images=images)
            writer.add([row])
        studies.append(load_study(writer.finish()))
    told = "cifar10, resnet18: A was tested on 10,000 images, B on 5,000; differences are those of"
    summary = write_comparison_summary(compare_studies(*studies))
    assert any(sentence.startswith(told) for sentence in summary)
    same = write_comparison_summary(compare_studies(studies[0], studies[0]))
    assert not any("was tested on" in sentence for sentence in same)


def test_results_that_never_vary_are_not_said_to_have_one_seed(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in range(3):
        writer.add([make_row("magnitude", 0.9, seed)])
    study = load_study(writer.finish())
    summary = write_comparison_summary(compare_studies(study, study, "macs"))
    assert "No result varies with the seed, so nothing can be tested." in summary
