"""Paired comparisons against scipy's paired t-test on a study whose every value is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.reading.load import load_study
from analysis.statistics.intervals_and_tests import adjust_holm
from analysis.statistics.paired_tests import compare_to_best, compare_to_dense, find_leaders
from analysis.statistics.results import Results, collect_results
from tests.analysis.synthetic import Writer, make_row, write_study

DENSE = [94.0, 94.4, 93.9, 94.2]
GOOD = [93.8, 94.3, 93.6, 94.1]
BAD = [90.1, 90.9, 89.7, 90.6]
CLOSE = [93.9, 94.0, 93.8, 93.9]


def make_study(folder: Path, values: dict[str, list[float]], *, first: int = 0) -> Results:
    """Methods at 0.9 with one value per seed, and their dense networks."""
    writer = Writer(folder)
    for method, of_method in values.items():
        for seed, value in enumerate(of_method, first):
            sparsity = 0.0 if method == "dense" else 0.9
            writer.add(
                [make_row(method, sparsity, seed, test_top1=value, test_loss=(100 - value) / 25)]
            )
    return collect_results(load_study(writer.finish()))


def find(results: Results, frame: pd.DataFrame, method: str) -> pd.Series:
    (index,) = results.cells.index[results.cells["method"] == method]
    return frame.loc[index]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return make_study(
        tmp_path, {"dense": DENSE, "magnitude": GOOD, "random": BAD, "synflow": CLOSE}
    )


def test_drop_to_dense_is_the_paired_t_test(results: Results) -> None:
    compared = compare_to_dense(results)
    assert len(compared) == 3
    for method, values in (("magnitude", GOOD), ("random", BAD), ("synflow", CLOSE)):
        expected = scipy.stats.ttest_rel(values, DENSE)
        low, high = expected.confidence_interval(0.95)
        row = find(results, compared, method)
        assert row["n"] == 4
        assert row["p"] == pytest.approx(expected.pvalue, abs=1e-12)
        assert row["difference"] - row["half_width"] == pytest.approx(low, abs=1e-12)
        assert row["difference"] + row["half_width"] == pytest.approx(high, abs=1e-12)
    assert compared["adjusted"].to_numpy() == pytest.approx(adjust_holm(compared["p"]), abs=1e-15)


def test_the_best_is_compared_with_the_others_and_not_with_itself(results: Results) -> None:
    compared = compare_to_best(results)
    assert set(results.cells.loc[compared.index, "method"]) == {"random", "synflow"}
    assert set(results.cells.loc[compared["best"], "method"]) == {"magnitude"}
    row = find(results, compared, "synflow")
    assert row["p"] == pytest.approx(scipy.stats.ttest_rel(CLOSE, GOOD).pvalue, abs=1e-12)
    assert row["difference"] == pytest.approx(np.mean(CLOSE) - np.mean(GOOD), abs=1e-12)


def test_bold_is_the_best_and_what_is_not_separable(results: Results) -> None:
    assert {str(results.cells.at[index, "method"]) for index in find_leaders(results)} == {
        "magnitude",
        "synflow",
    }


def test_less_is_better_of_a_loss(tmp_path: Path) -> None:
    made = make_study(tmp_path, {"dense": DENSE, "magnitude": GOOD, "random": BAD})
    results = collect_results(made.study, "test_loss")
    assert set(results.cells.loc[compare_to_best(results)["best"], "method"]) == {"magnitude"}


def test_only_shared_seeds_are_paired(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed, value in enumerate(DENSE):
        writer.add([make_row("dense", 0.0, seed, test_top1=value)])
    for seed, value in enumerate(GOOD, 2):
        writer.add([make_row("magnitude", 0.9, seed, test_top1=value)])
    results = collect_results(load_study(writer.finish()))
    row = find(results, compare_to_dense(results), "magnitude")
    assert row["n"] == 2
    assert row["difference"] == pytest.approx(
        np.mean([GOOD[0] - DENSE[2], GOOD[1] - DENSE[3]]), abs=1e-12
    )
    assert results.values.loc[results.values["series_index"] == 1, "dense"].isna().tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_one_seed_tests_nothing_and_nothing_is_bold(tmp_path: Path) -> None:
    results = make_study(tmp_path, {"dense": DENSE[:1], "magnitude": GOOD[:1], "random": BAD[:1]})
    compared = compare_to_best(results)
    assert compared["p"].isna().all() and compared["half_width"].isna().all()
    assert compared["difference"].tolist() == pytest.approx([BAD[0] - GOOD[0]])
    assert find_leaders(results) == frozenset()


def test_a_lucky_single_seed_is_not_the_best(tmp_path: Path) -> None:
    results = make_study(
        tmp_path, {"dense": DENSE, "magnitude": GOOD, "synflow": [99.0], "random": BAD}
    )
    assert set(results.cells.loc[compare_to_best(results)["best"], "method"]) == {"magnitude"}


def test_early_stages_are_no_rivals(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2, 3):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add([make_row("wanda", 0.9, seed, stage=stage) for stage in ("raw", "recalibrated")])
        writer.add([make_row("magnitude", 0.9, seed)])
    results = collect_results(load_study(writer.finish()))
    assert set(results.cells.loc[compare_to_dense(results).index, "stage"]) == {
        "recalibrated",
        "final",
    }


def test_settings_and_sparsities_have_their_own_best(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        for model, best in (("mlp", "magnitude"), ("vgg16", "synflow")):
            for method in ("magnitude", "synflow"):
                value = 95.0 + seed if method == best else 90.0
                writer.add([make_row(method, 0.9, seed, model=model, test_top1=value)])
    results = collect_results(load_study(writer.finish()))
    compared = compare_to_best(results)
    chosen = results.cells.loc[compared["best"], ["model", "method"]].to_numpy().tolist()
    assert sorted(map(tuple, chosen)) == [("mlp", "magnitude"), ("vgg16", "synflow")]


def test_many_cells_at_once_are_as_single_ones(tmp_path: Path) -> None:
    results = collect_results(load_study(write_study(tmp_path / "s", seeds=(1, 2, 3, 4))))
    compared = compare_to_dense(results)
    dense = results.values[results.values["series_index"] == 0].set_index("seed")["value"]
    assert len(compared) == 3 * 6 + 10
    for index, row in compared.iterrows():
        mine = results.values[results.values["cell"] == index].set_index("seed")["value"]
        expected = scipy.stats.ttest_rel(mine, dense)
        assert row["p"] == pytest.approx(expected.pvalue, rel=1e-9)
        assert row["difference"] == pytest.approx((mine - dense).mean(), abs=1e-12)


def test_bold_goes_by_the_corrected_p_value(tmp_path: Path) -> None:
    """Four rivals, one of them with p = 0.03: separable alone, not among four."""
    rng = np.random.default_rng(4)
    values = {"dense": DENSE, "magnitude": GOOD}
    values |= {
        name: list(np.array(GOOD) - 0.2 + rng.normal(0, 0.4, 4))
        for name in ("snip", "grasp", "gmp")
    }
    values["synflow"] = [
        value - loss for value, loss in zip(GOOD, (0.1, 0.5, 0.3, 0.5), strict=True)
    ]
    results = make_study(tmp_path, values)
    row = find(results, compare_to_best(results), "synflow")
    assert row["p"] < 0.05 < row["adjusted"]
    assert "synflow" in {str(results.cells.at[index, "method"]) for index in find_leaders(results)}


def test_what_nobody_has_measured_yet_has_no_best(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("magnitude", 0.5, seed)])
        writer.add([make_row("synflow", 0.5, seed)])
        writer.add([make_row("magnitude", 0.9, seed)], outcome="missing")
        writer.add([make_row("synflow", 0.9, seed)], outcome="missing")
    results = collect_results(load_study(writer.finish()))
    assert results.cells.loc[compare_to_best(results).index, "sparsity"].tolist() == [0.5]
