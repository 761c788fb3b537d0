"""The leaderboard: ranks, references without a rank, and what every column is."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.load import load_study
from analysis.statistics.comparisons import compare_to_best, compare_to_dense
from analysis.statistics.leaderboard import list_leaderboards, make_leaderboard
from analysis.statistics.results import Results, collect_results
from tests.analysis.synthetic import Writer, make_row

VALUES = {
    "magnitude": [93.8, 94.3, 93.6, 94.1],
    "snip": [93.9, 94.0, 93.8, 93.9],
    "wanda": [10.1, 10.9, 9.7, 10.6],
    "random": [93.7, 94.1, 93.9, 93.8],
    "shuffled": [60.0, 62.0, 61.0, 60.5],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Methods and controls at 90 %, and dense networks that all but magnitude do without."""
    writer = Writer(tmp_path_factory.mktemp("leaderboard"))
    for seed in range(4):
        top = 94.0 + 0.1 * seed
        dense = writer.add(
            [make_row("dense", 0.0, seed, test_top1=top, epochs=12, latency_ms_b1=4.0)]
        )
        for method, values in VALUES.items():
            row = make_row(
                method,
                0.9,
                seed,
                test_top1=values[seed],
                epochs=6,
                compression=9.5,
                latency_ms_b1=2.0,
            )
            writer.add([row], parents=[dense] if method == "magnitude" else [])
        writer.add([make_row("magnitude", 0.5, seed, test_top1=top, epochs=6)], parents=[dense])
    return collect_results(load_study(writer.finish()))


def read_board(results: Results, sparsity: float = 0.9) -> pd.DataFrame:
    return make_leaderboard(results, results.settings[0], sparsity).rows.set_index("method")


def test_methods_have_ranks_and_references_have_none(results: Results) -> None:
    board = read_board(results)
    assert board["rank"].dropna().to_dict() == {"magnitude": 1, "snip": 2, "wanda": 3}
    assert board["role"].to_dict() == {
        **dict.fromkeys(("magnitude", "snip", "wanda"), "method"),
        **dict.fromkeys(("random", "shuffled"), "control"),
        "dense": "baseline",
    }
    assert board["mean"].is_monotonic_decreasing
    assert board["is_leading"].to_dict() == {
        **dict.fromkeys(("magnitude", "snip"), True),
        **dict.fromkeys(("wanda", "random", "shuffled", "dense"), False),
    }


def test_differences_are_those_of_the_comparisons(results: Results) -> None:
    board = read_board(results)
    best, dense = compare_to_best(results), compare_to_dense(results)
    for method in ("snip", "wanda"):
        row = board.loc[method]
        assert row["difference_to_best"] == best.at[row["cell"], "difference"]
        assert row["p_best_adjusted"] == best.at[row["cell"], "adjusted"]
        assert row["difference_to_dense"] == dense.at[row["cell"], "difference"]
        assert row["dense_low"] < row["difference_to_dense"] < row["dense_high"]
    assert board["separable_from_best"].dropna().to_dict() == {"snip": False, "wanda": True}
    assert pd.isna(board.at["magnitude", "difference_to_best"])
    assert board.at["wanda", "separable_from_dense"] and pd.isna(board.at["dense", "dense_low"])


def test_the_budget_and_the_gain_stand_beside(results: Results) -> None:
    board = read_board(results)
    assert board.at["magnitude", "total_epochs"] == 18 and board.at["magnitude", "own_epochs"] == 6
    assert board.at["snip", "total_epochs"] == 6 and board.at["dense", "total_epochs"] == 12
    assert board.at["snip", "compression"] == 9.5 and board.at["snip", "speedup"] == 2.0
    assert board.at["snip", "theoretical_speedup"] == pytest.approx(0.1**-0.9)


def test_a_method_is_held_against_its_own_controls(results: Results) -> None:
    board = read_board(results)
    assert board.loc["magnitude", ["controls", "controls_beaten"]].tolist() == [2, 1]
    assert board["controls"].dropna().to_dict() == {"magnitude": 2, "snip": 1, "wanda": 1}
    assert not board.at["magnitude", "beats_its_controls"]
    assert board.at["wanda", "worse_than_control"] and not board.at["snip", "worse_than_control"]
    assert pd.isna(board.at["random", "beats_its_controls"])
    assert pd.isna(read_board(results, 0.5).at["magnitude", "beats_its_controls"])


def test_there_is_one_per_sparsity(results: Results) -> None:
    boards = list_leaderboards(results)
    assert [board.sparsity for board in boards] == [0.5, 0.9]
    assert boards[0].rows["method"].tolist() == ["dense", "magnitude"]


def test_less_is_better_of_a_loss(results: Results) -> None:
    board = read_board(collect_results(results.study, "latency_ms_b1"))
    assert board["mean"].is_monotonic_increasing


def test_ranks_where_seeds_are_missing(tmp_path: Path) -> None:
    """SynFlow lacks the hard seed and is a point behind with the others; GraSP has one seed."""
    values = {"magnitude": [91.5, 91.6, 88.0], "synflow": [90.5, 90.6], "grasp": [95.0]}
    writer = Writer(tmp_path)
    for method, of_method in values.items():
        for seed, value in enumerate(of_method):
            writer.add([make_row(method, 0.9, seed, test_top1=value, sparsity_reached=0.9)])
    board = read_board(collect_results(load_study(writer.finish())))
    assert board.index.tolist() == ["grasp", "synflow", "magnitude"], "by plain means"
    assert board["rank"].dropna().to_dict() == {"synflow": 2, "magnitude": 1}
    assert board["is_best"].to_dict() == {"grasp": False, "synflow": False, "magnitude": True}
    assert board.at["synflow", "is_adjusted"] and board.at["synflow", "difference_to_best"] < 0
    assert board["separably_behind"].dropna().to_dict() == {"synflow": True}
