"""Who is compared with whom, on a study whose every value is known; the tests themselves are those
of the variance model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.reading.load import load_study
from analysis.statistics.comparisons import (
    adjust_means,
    compare_to_best,
    compare_to_controls,
    compare_to_dense,
    compare_to_longer_dense,
    find_leaders,
    is_separably_behind,
)
from analysis.statistics.fitted_tables import FittedTables
from analysis.statistics.intervals_and_tests import adjust_holm
from analysis.statistics.results import Results, collect_results
from tests.analysis.synthetic import Writer, make_row

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


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    values = {"dense": DENSE, "magnitude": GOOD, "snip": BAD, "synflow": CLOSE, "random": BAD}
    return make_study(tmp_path_factory.mktemp("compared"), values)


def fit_again(results: Results) -> FittedTables:
    """The model of the setting, fitted to its values by hand."""
    return FittedTables(results.values[["cell", "seed", "value"]], images=10_000)


def test_every_result_is_compared_with_the_dense_network(results: Results) -> None:
    compared = compare_to_dense(results)
    assert set(results.cells.loc[compared.index, "method"]) == {
        *("magnitude", "snip", "synflow", "random"),
    }
    dense = results.cells.index[results.cells["method"] == "dense"].item()
    pairs = pd.DataFrame({"cell": compared.index, "rival": dense}, index=compared.index)
    assert compared.equals(fit_again(results).compare(pairs))
    for method, values in (("magnitude", GOOD), ("snip", BAD), ("synflow", CLOSE)):
        row = find(results, compared, method)
        assert (row["n"], row["paired"]) == (4, True)
        assert row["difference"] == pytest.approx(np.mean(values) - np.mean(DENSE), abs=1e-12)
        assert row["low"] < row["difference"] < row["high"]
        cell = results.cells.loc[row.name]
        drop = cell[["drop", "drop_low", "drop_high", "drop_n", "drop_p"]].tolist()
        assert drop == pytest.approx(row[["difference", "low", "high", "n", "p"]].tolist())
    assert compared["adjusted"].to_numpy() == pytest.approx(adjust_holm(compared["p"]), abs=1e-15)


def test_the_best_is_compared_with_the_others_and_not_with_itself(results: Results) -> None:
    compared = compare_to_best(results)
    assert set(results.cells.loc[compared.index, "method"]) == {"snip", "synflow"}
    assert set(results.cells.loc[compared["best"], "method"]) == {"magnitude"}
    row = find(results, compared, "synflow")
    assert row["difference"] == pytest.approx(np.mean(CLOSE) - np.mean(GOOD), abs=1e-12)
    paid = adjust_holm((compared["p"] * 3 / 2).clip(upper=1))
    assert compared["adjusted"].to_numpy() == pytest.approx(paid), "the best of three was chosen"


def test_a_control_is_never_the_best_and_never_bold(tmp_path: Path) -> None:
    """Random pruning is a point above everything."""
    values = {"dense": DENSE, "magnitude": GOOD, "snip": CLOSE, "random": [95.0, 95.4, 94.9, 95.2]}
    results = make_study(tmp_path, values)
    assert set(results.cells.loc[compare_to_best(results)["best"], "method"]) == {"magnitude"}
    leaders = results.cells.loc[sorted(find_leaders(results)), "method"]
    assert "magnitude" in set(leaders) and "random" not in set(leaders)


def test_every_method_is_compared_with_its_own_controls(tmp_path: Path) -> None:
    values = {"dense": DENSE, "magnitude": GOOD, "snip": CLOSE, "l1_filter": BAD}
    values |= dict.fromkeys(("random", "shuffled", "reinitialised", "small_from_scratch"), BAD)
    results = make_study(tmp_path, values)
    compared = compare_to_controls(results)
    method = results.cells["method"]
    pairs = {(method[row.cell], method[row.control]) for row in compared.itertuples()}
    assert pairs == {
        ("magnitude", "random"),
        ("magnitude", "shuffled"),
        ("magnitude", "reinitialised"),
        ("snip", "random"),
        ("l1_filter", "small_from_scratch"),
    }
    assert compared["adjusted"].to_numpy() == pytest.approx(adjust_holm(compared["p"]))
    gap = compared.loc[compared["cell"] == method.eq("magnitude").idxmax(), "difference"]
    assert gap.tolist() == pytest.approx([np.mean(GOOD) - np.mean(BAD)] * 3)


def test_a_longer_dense_training_is_a_reference_of_its_own(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed, value in enumerate(DENSE):
        writer.add([make_row("dense", 0.0, seed, test_top1=value)])
        writer.add(
            [make_row("dense_longer", 0.0, seed, test_top1=value + 0.5, knobs='{"epochs": 9}')]
        )
        writer.add([make_row("magnitude", 0.9, seed, test_top1=GOOD[seed])])
        writer.add([make_row("snip", 0.9, seed, test_top1=BAD[seed])])
    results = collect_results(load_study(writer.finish()))
    compared = compare_to_longer_dense(results)
    assert set(results.cells.loc[compared.index, "method"]) == {"dense", "magnitude", "snip"}
    assert find(results, compared, "dense")["difference"] == pytest.approx(-0.5)
    assert set(results.cells.loc[compare_to_best(results)["best"], "method"]) == {"magnitude"}


def test_bold_is_the_best_and_what_is_not_separable(results: Results) -> None:
    assert {str(results.cells.at[index, "method"]) for index in find_leaders(results)} == {
        "magnitude",
        "synflow",
    }


def test_less_is_better_of_a_loss(results: Results) -> None:
    losses = collect_results(results.study, "test_loss")
    assert set(losses.cells.loc[compare_to_best(losses)["best"], "method"]) == {"magnitude"}


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
    results = make_study(tmp_path, {"dense": DENSE[:1], "magnitude": GOOD[:1], "snip": BAD[:1]})
    compared = compare_to_best(results)
    assert compared["p"].isna().all() and compared["low"].isna().all()
    assert compared["difference"].tolist() == pytest.approx([BAD[0] - GOOD[0]])
    assert find_leaders(results) == frozenset()


def test_a_lucky_single_seed_is_not_the_best(tmp_path: Path) -> None:
    results = make_study(
        tmp_path, {"dense": DENSE, "magnitude": GOOD, "synflow": [99.0], "snip": BAD}
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


def test_bold_goes_by_the_corrected_p_value(tmp_path: Path) -> None:
    """A rival that is separable alone, not among five."""
    rng = np.random.default_rng(4)
    values = {"dense": DENSE, "magnitude": GOOD}
    values |= {
        name: list(np.array(GOOD) - 0.2 + rng.normal(0, 0.4, 4))
        for name in ("snip", "grasp", "gmp")
    }
    values["synflow"] = [
        value - loss for value, loss in zip(GOOD, (0.3, 0.8, 0.5, 0.7), strict=True)
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


HARD = {"dense": [94.5, 94.6, 92.0], "magnitude": [91.5, 91.6, 88.0], "snip": [88.0, 88.1, 84.4]}


def test_a_method_is_not_the_best_for_having_failed_with_a_hard_seed(tmp_path: Path) -> None:
    """SynFlow is a point behind magnitude pruning with both seeds that it has."""
    results = make_study(tmp_path, HARD | {"synflow": [90.5, 90.6]})
    cells = results.cells.set_index("method")
    assert cells.at["synflow", "mean"] > cells.at["magnitude", "mean"]
    compared = compare_to_best(results)
    assert set(results.cells.loc[compared["best"], "method"]) == {"magnitude"}
    assert find(results, compared, "synflow")["difference"] == pytest.approx(-1.0)
    adjusted = adjust_means(results)
    adjusted.index = results.cells.loc[adjusted.index, "method"]
    assert adjusted.idxmax() == "magnitude"


def test_separable_and_better_is_not_behind() -> None:
    compared = pd.DataFrame({"difference": [-1.0, 1.0, -1.0], "adjusted": [0.01, 0.01, 0.2]})
    assert is_separably_behind(compared, higher=True).tolist() == [True, False, False]
    assert is_separably_behind(compared, higher=False).tolist() == [False, True, False]
