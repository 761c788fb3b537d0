"""Two studies side by side: what is matched, and differences by one model of both."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.reading.load import Study, load_study
from analysis.statistics.fitted_tables import FittedTables
from analysis.statistics.study_comparison import compare_studies
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
    assert (cell["series_a"], cell["n"], cell["paired"]) == ("Magnitude", 4, True)
    assert cell["difference"] == pytest.approx(np.mean(B) - np.mean(A))
    assert 0 < cell["low"] < cell["difference"] < cell["high"] and cell["p"] < 0.05
    assert cell["low_a"] < cell["mean_a"] < cell["high_a"]
    assert (comparison.alone_a, comparison.alone_b, comparison.recipes) == (1, 1, False)


def test_other_seeds_are_two_samples(tmp_path: Path) -> None:
    comparison = compare_studies(
        make_study(tmp_path / "a", {"magnitude": A}),
        make_study(tmp_path / "b", {"magnitude": B[:3]}, first=10),
    )
    (cell,) = comparison.cells.to_dict("records")
    assert (cell["n"], cell["paired"]) == (3, False)
    assert cell["difference"] == pytest.approx(np.mean(B[:3]) - np.mean(A))
    assert cell["low"] < cell["difference"] < cell["high"]


def test_the_model_is_that_of_the_values_of_both(tmp_path: Path) -> None:
    a = make_study(tmp_path / "a", {"magnitude": A, "snip": B})
    b = make_study(tmp_path / "b", {"magnitude": B, "snip": A})
    table = np.array([A, B, B, A])
    values = pd.DataFrame(
        {"cell": np.repeat(range(4), 4), "seed": np.tile(range(4), 4), "value": table.ravel()}
    )
    pairs = pd.DataFrame({"cell": [2, 3], "rival": [0, 1]})
    expected = FittedTables(values, images=10_000).compare(pairs)
    cells = compare_studies(a, b).cells
    columns = ["difference", "low", "high", "p", "adjusted"]
    assert cells[columns].to_numpy() == pytest.approx(expected[columns].to_numpy())


def test_studies_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "old" / "digits", tmp_path / "new" / "digits"]
    a, b = (make_study(folder, {"magnitude": A}) for folder in folders)
    assert compare_studies(a, b).name_studies() == ("digits (old/digits)", "digits (new/digits)")
    other = make_study(tmp_path / "other", {"magnitude": A})
    assert compare_studies(a, other).name_studies() == ("digits", "other")


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
