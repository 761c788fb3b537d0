"""The best candidates of a search, and what they reached on the test set."""

from pathlib import Path

import pytest

from analysis.reading.load import load_study
from analysis.reading.search_data import load_search
from analysis.statistics.intervals_and_tests import wilson_interval
from analysis.statistics.search_best import (
    find_best_candidates,
    find_confirmed_best,
    find_smallest_sufficient,
)
from tests.analysis.synthetic_search import write_search


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_search(tmp_path_factory.mktemp("search") / "made_up")


def test_the_best_and_what_it_reached_on_the_test_set(folder: Path) -> None:
    search = load_search(load_study(folder))
    assert search is not None
    best, confirmed = find_best_candidates(search), find_confirmed_best(search)
    for sparsity, tops in ((0.9, [81, 82, 83]), (0.95, [71, 72, 73])):
        candidates = search.candidates_at(sparsity)
        (best_candidate,) = best[best["sparsity"] == sparsity].to_dict("records")
        assert best_candidate["val_top1"] == candidates["val_top1"].max()
        (confirmation,) = confirmed[confirmed["sparsity"] == sparsity].to_dict("records")
        assert (confirmation["mean"], confirmation["n"]) == (tops[1], 3)
        assert 0 <= confirmation["low"] < tops[0] < tops[2] < confirmation["high"] <= 100
        assert (
            confirmation["iterations"] == best_candidate["iterations"]
            and confirmation["schedule"] == best_candidate["schedule"]
        )
        enough = find_smallest_sufficient(search, sparsity, "iterations")
        assert enough is not None and enough["iterations"] <= best_candidate["iterations"]
        low, _ = wilson_interval(best_candidate["val_top1"] / 100, 500)
        assert (
            candidates[candidates["iterations"] < enough["iterations"]]["val_top1"].dropna()
            < 100 * low
        ).all()
