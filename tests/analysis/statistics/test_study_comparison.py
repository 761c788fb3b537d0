"""Two studies side by side, against scipy's tests and differences that are known."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from analysis.reading.load import Study, load_study
from analysis.statistics.study_comparison import (
    compare_studies,
    compare_two_samples,
)
from tests.analysis.synthetic import Writer, make_own_rows, make_row

A = [93.1, 92.7, 93.4, 92.9]
B = [93.6, 93.1, 93.8, 93.5]


def make_study(
    folder: Path, values: dict[str, list[float]], *, first: int = 0, recipe: str = "{}"
) -> Study:
    writer = Writer(folder, name=folder.name)
    for method, of_method in values.items():
        for seed, value in enumerate(of_method, first):
            writer.add(
                [make_row(method, 0.9, seed, test_top1=value, recipe=recipe, commit=folder.name)]
            )
    return load_study(writer.finish())


def test_shared_seeds_are_paired(tmp_path: Path) -> None:
    a = make_study(tmp_path / "a", {"magnitude": A, "random": A})
    b = make_study(tmp_path / "b", {"magnitude": B, "hrank": B})
    comparison = compare_studies(a, b)
    (cell,) = comparison.cells.to_dict("records")
    expected = scipy.stats.ttest_rel(B, A)
    low, high = expected.confidence_interval(0.95)
    assert (cell["series_a"], cell["pairs"], cell["paired"]) == ("Magnitude", 4, True)
    assert cell["p"] == pytest.approx(expected.pvalue, abs=1e-12)
    assert cell["difference"] - cell["half_width"] == pytest.approx(low, abs=1e-12)
    assert cell["difference"] + cell["half_width"] == pytest.approx(high, abs=1e-12)
    assert (comparison.alone_a, comparison.alone_b, comparison.recipes) == (1, 1, False)


def test_other_seeds_are_two_samples(tmp_path: Path) -> None:
    comparison = compare_studies(
        make_study(tmp_path / "a", {"magnitude": A}),
        make_study(tmp_path / "b", {"magnitude": B[:3]}, first=10),
    )
    (cell,) = comparison.cells.to_dict("records")
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
        difference, half, p = compare_two_samples(x, y)
        expected = scipy.stats.ttest_ind(y, x, equal_var=False)
        assert p == pytest.approx(expected.pvalue, abs=1e-12)
        assert difference + half == pytest.approx(
            expected.confidence_interval(0.95).high, abs=1e-10
        )
    assert np.isnan(compare_two_samples(np.array([1.0]), np.array([1.0, 2.0]))[2])


def test_levels_of_an_own_rule_match_by_level(tmp_path: Path) -> None:
    studies = []
    for name, off in (("a", 0.0), ("b", 0.02)):
        writer = Writer(tmp_path / name, name=name)
        for seed in (1, 2):
            writer.add(make_own_rows("han_iterative", (0.4 + off, 0.7 + off), seed))
        studies.append(load_study(writer.finish()))
    comparison = compare_studies(*studies)
    assert comparison.cells["place_b"].tolist() == pytest.approx([0.42, 0.72])


def test_nothing_to_compare_is_one_line(tmp_path: Path) -> None:
    a = make_study(tmp_path / "a", {"magnitude": A})
    with pytest.raises(ValueError, match="studies 'a' and 'b' have no result in common"):
        compare_studies(a, make_study(tmp_path / "b", {"hrank": B}))
    empty = Writer(tmp_path / "c", name="c")
    with pytest.raises(ValueError, match="study 'c' has no rows yet"):
        compare_studies(a, load_study(empty.finish()))
