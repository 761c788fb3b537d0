"""Which dimensions matter, on a search of which it is known."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from analysis.reading.load import load_study
from analysis.reading.search_data import load_search
from analysis.statistics.search_importance import (
    correlate_scores,
    find_importances,
    find_relative_ranks,
)
from tests.analysis.synthetic_search import write_search


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_search(tmp_path_factory.mktemp("search") / "made_up")


def test_ranks_order_candidates_by_how_far_they_got_and_what_they_reached(folder: Path) -> None:
    search = load_search(load_study(folder))
    assert search is not None
    candidates = search.candidates_at(0.9).assign(place=lambda frame: find_relative_ranks(frame))
    assert candidates["place"].min() >= 0 and candidates["place"].max() == 1
    for candidate in candidates.to_dict("records"):
        for other in candidates.to_dict("records"):
            below = candidate["outcome"] == "disconnected" and other["outcome"] != "disconnected"
            below |= candidate["epochs"] < other["epochs"]
            below |= (
                candidate["epochs"] == other["epochs"] and candidate["reached"] < other["reached"]
            )
            assert not below or candidate["place"] < other["place"]
    disconnected = candidates[candidates["outcome"] == "disconnected"]["place"]
    assert disconnected.nunique() == 1


def test_what_matters_is_found_to_matter(folder: Path) -> None:
    search = load_search(load_study(folder))
    assert search is not None
    together, *single = find_importances(search)
    assert (
        np.isnan(together.sparsity)
        and together.n == 80
        and [importance.sparsity for importance in single] == [0.9, 0.95]
    )
    for importance in (together, *single):
        assert (
            importance.shares["iterations"] > 0.7 > 0.2 > importance.shares["recipe.lr"]
            and importance.fit > 0.5
        )
        assert sum(importance.shares.values()) + importance.rest == pytest.approx(1)


def test_few_candidates_have_no_importance(tmp_path: Path) -> None:
    search = load_search(load_study(write_search(tmp_path / "few", 4)))
    assert search is not None and find_importances(search) == []


def test_the_score_is_correlated_over_those_trained_to_the_end(folder: Path) -> None:
    search = load_search(load_study(folder))
    assert search is not None
    for row in correlate_scores(search).to_dict("records"):
        candidates = search.candidates_at(row["sparsity"])
        done = candidates[candidates["outcome"] == "done"]
        assert row["rho"] == pytest.approx(spearmanr(done["score"], done["val_top1"])[0])
        assert row["n"] == len(done) and row["scored"] == 40
