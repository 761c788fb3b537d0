"""Two studies side by side, against scipy's tests and differences that are known."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from analysis.__main__ import main
from analysis.reading.load import Study, load
from analysis.statistics.study_comparison import (
    compare,
    compare_samples,
    summarise,
    write_comparison,
)
from tests.analysis.synthetic import Writer, make_own_rows, make_row, write_study
from trainables.storage.store import Store

A = [93.1, 92.7, 93.4, 92.9]
B = [93.6, 93.1, 93.8, 93.5]


def make_study(
    folder: Path, values: dict[str, list[float]], *, first: int = 0, recipe: str = "{}"
) -> Study:
    writer = Writer(folder, name=folder.name)
    for method, found in values.items():
        for seed, value in enumerate(found, first):
            writer.add(
                [make_row(method, 0.9, seed, test_top1=value, recipe=recipe, commit=folder.name)]
            )
    return load(writer.finish())


def test_shared_seeds_are_paired(tmp_path: Path) -> None:
    a = make_study(tmp_path / "a", {"magnitude": A, "random": A})
    b = make_study(tmp_path / "b", {"magnitude": B, "hrank": B})
    versus = compare(a, b)
    (cell,) = versus.cells.to_dict("records")
    expected = scipy.stats.ttest_rel(B, A)
    low, high = expected.confidence_interval(0.95)
    assert (cell["series_a"], cell["pairs"], cell["paired"]) == ("Magnitude", 4, True)
    assert cell["p"] == pytest.approx(expected.pvalue, abs=1e-12)
    assert cell["difference"] - cell["half_width"] == pytest.approx(low, abs=1e-12)
    assert cell["difference"] + cell["half_width"] == pytest.approx(high, abs=1e-12)
    assert (versus.alone_a, versus.alone_b, versus.recipes) == (1, 1, False)


def test_other_seeds_are_two_samples(tmp_path: Path) -> None:
    versus = compare(
        make_study(tmp_path / "a", {"magnitude": A}),
        make_study(tmp_path / "b", {"magnitude": B[:3]}, first=10),
    )
    (cell,) = versus.cells.to_dict("records")
    expected = scipy.stats.ttest_ind(B[:3], A, equal_var=False)
    assert (cell["pairs"], cell["paired"]) == (0, False)
    assert cell["p"] == pytest.approx(expected.pvalue, abs=1e-12)
    low, high = expected.confidence_interval(0.95)
    assert [
        cell["difference"] - cell["half_width"],
        cell["difference"] + cell["half_width"],
    ] == pytest.approx([low, high])


def test_welch_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    for n, m in ((2, 2), (3, 7), (10, 4)):
        x, y = rng.normal(0, 1, n), rng.normal(0.5, 3, m)
        difference, half, p = compare_samples(x, y)
        expected = scipy.stats.ttest_ind(y, x, equal_var=False)
        assert p == pytest.approx(expected.pvalue, abs=1e-12)
        assert difference + half == pytest.approx(
            expected.confidence_interval(0.95).high, abs=1e-10
        )
    assert np.isnan(compare_samples(np.array([1.0]), np.array([1.0, 2.0]))[2])


def test_recipes_may_differ_and_are_told_of(tmp_path: Path) -> None:
    versus = compare(
        make_study(tmp_path / "a", {"magnitude": A}),
        make_study(tmp_path / "b", {"magnitude": B}, recipe='{"epochs": 5}'),
    )
    assert versus.recipes
    sentences = summarise(versus)
    assert (
        "The recipes differ: the differences are those of recipes and code together." in sentences
    )
    assert "A was measured with commit a, B with b." in sentences
    assert (
        "Of 1 tested, B is separably better in 1 and separably worse in 0 (t-test, Holm, 5 %)."
        in sentences
    )


def test_levels_of_an_own_rule_match_by_level(tmp_path: Path) -> None:
    studies = []
    for name, off in (("a", 0.0), ("b", 0.02)):
        writer = Writer(tmp_path / name, name=name)
        for seed in (1, 2):
            writer.add(make_own_rows("han_iterative", (0.4 + off, 0.7 + off), seed))
        studies.append(load(writer.finish()))
    versus = compare(*studies)
    assert versus.cells["place_b"].tolist() == pytest.approx([0.42, 0.72])


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
    assert "seeds: [1, 2, 3]" in (folder / "report.md").read_text()
    assert "5 results are in both; 0 only in A, 0 only in B." in capsys.readouterr().out


def test_nothing_to_compare_is_one_line(tmp_path: Path) -> None:
    a = make_study(tmp_path / "a", {"magnitude": A})
    with pytest.raises(ValueError, match="studies 'a' and 'b' have no result in common"):
        compare(a, make_study(tmp_path / "b", {"hrank": B}))
    empty = Writer(tmp_path / "c", name="c")
    with pytest.raises(ValueError, match="study 'c' has no rows yet"):
        compare(a, load(empty.finish()))


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
    versus = compare(study, study)
    versus.cells["difference"] += 5e-17  # as means of differently ordered sums may have
    assert "All 2 means are equal." in summarise(versus)
    spans = []
    save = figure.Canvas.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            figure.Canvas,
            "save",
            lambda self, kinds: (spans.append(self.axes[0][0].get_ylim()), save(self, kinds))[1],
        )
        figure.draw_versus(versus, ("png",))
    assert spans == [(-0.5, 0.5)]
