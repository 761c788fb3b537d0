"""A search from its first candidate to its best, without Ray: kept on disk, killed, continued,
within its budget.

Covers: sweeps/search/search_state.py, sweeps/search/candidate_list.py,
sweeps/search/candidate_queue.py, sweeps/search/candidate_records.py,
sweeps/search/candidate_trial.py, sweeps/search/spending.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.running.stop_request import StopRequest
from sweeps.search.candidate_records import read_candidates
from sweeps.search.search_state import OVER
from tests import tuneless
from tests.tuneless import Killed, make_spec, open_search
from trainables.storage import parquet_tables
from trainables.storage.store import Store

GRID = {"iterations": {"choices": [3, 20]}}


@pytest.fixture(autouse=True)
def _no_stop() -> Iterator[None]:
    yield
    StopRequest.reason = ""


@pytest.mark.parametrize("draw", ["grid", "random"])
def test_a_killed_search_ends_as_an_undisturbed_one(draw: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"strategy": draw} | (
        {"space": GRID, "budget": {}} if draw == "grid" else {"budget": {"trials": 4}}
    )
    whole = tuneless.run(make_spec(**changes), tmp_path / "whole")
    kills = 0
    for kill_after in (4, 7, 10**9):
        try:
            killed = tuneless.run(
                make_spec(**changes), tmp_path / "killed", slots=3, kill_after=kill_after
            )
        except Killed:
            kills += 1
    assert kills == 2
    assert tuneless.list_outcomes(killed) == tuneless.list_outcomes(whole)
    assert tuneless.find_best(killed) == tuneless.find_best(whole) and set(
        tuneless.find_best(whole)
    ) == {
        0.9,
        0.95,
    }
    again = tuneless.run(make_spec(**changes), tmp_path / "whole")
    assert (
        tuneless.list_outcomes(again) == tuneless.list_outcomes(whole)
        and not again.queue.wants_more
    )


def test_equal_seeds_give_equal_searches_and_others_do_not(tmp_path: Path) -> None:
    spec = make_spec(budget={"trials": 4})
    first_run, second_run = (tuneless.run(spec, tmp_path / name) for name in "ab")
    assert tuneless.list_outcomes(first_run) == tuneless.list_outcomes(second_run)
    other = open_search(make_spec(seed=7), tmp_path / "c")
    for sparsity in (0.9, 0.95):
        first = other.queue.peek(sparsity)
        assert (
            first is not None
            and first.configuration != first_run.candidates.by_sparsity[sparsity][0].configuration
        )


def test_candidates_have_rows_of_the_validation_set_alone(tmp_path: Path) -> None:
    search = tuneless.run(make_spec(budget={"trials": 4}), tmp_path)
    done = [candidate for candidate in search.candidates.all if candidate.outcome == "done"]
    assert len(done) == 4
    for candidate in done:
        (row,) = parquet_tables.decode_table(
            "rows", Store.at(tmp_path).read(f"rows/{candidate.key}.parquet")
        ).to_pylist()
        assert row["test_top1"] is None and row["test_top5"] is None and row["test_loss"] is None
        assert (
            row["val_top1"] == candidate.val_top1 == candidate.values[-1]
            and row["effective_macs"] == candidate.effective_macs
        )
        assert len(candidate.values) == candidate.epochs == 3 and candidate.images == 143


def test_a_larger_budget_goes_on_where_the_smaller_ended(tmp_path: Path) -> None:
    small = tuneless.run(make_spec(budget={"trials": 3}), tmp_path / "grown")
    assert len(small.candidates.all) == 3 and not small.queue.wants_more
    following = small.queue.peek(0.95)
    grown = tuneless.run(make_spec(budget={"trials": 5}), tmp_path / "grown")
    assert following is not None and following.trial.key in {
        candidate.key for candidate in grown.candidates.all
    }
    assert tuneless.list_outcomes(grown) == tuneless.list_outcomes(
        tuneless.run(make_spec(budget={"trials": 5}), tmp_path / "whole")
    )


def test_device_time_ends_a_search_and_running_candidates_go_on_later(tmp_path: Path) -> None:
    spec = make_spec(budget={"money": 1.0, "price": 3600 * 1e9})  # 1e-9 seconds
    search = open_search(spec, tmp_path)
    given = search.suggest("a", 1)
    assert isinstance(given, dict)
    search.record_progress(given["key"], {"seconds": 5.0, "values": [50.0]})
    assert StopRequest.reason == OVER
    search.complete("a", {"status": "running", "seconds": 5.0, "values": [50.0]})
    assert search.suggest("b", 1) == "FINISHED" and not search.queue.wants_more
    StopRequest.reason = ""
    richer = open_search(make_spec(budget={"hours": 1}), tmp_path)
    (begun,) = richer.candidates.all
    assert (
        begun.outcome == "running"
        and begun.seconds == 5.0
        and richer.spending.seconds(richer.candidates.all) == 5.0
    )
    released = richer.suggest("a", 1)
    assert isinstance(released, dict) and released["key"] == given["key"]


def test_a_disconnected_candidate_is_recorded_and_not_trained(tmp_path: Path) -> None:
    spec = make_spec(
        model="resnet8",
        sparsities=[0.98],
        space={"iterations": {"choices": [1, 30]}},
        strategy="grid",
    )
    lines: list[str] = []
    search = tuneless.run(spec, tmp_path, lines=lines)
    by_count = {
        candidate.configuration["iterations"]: candidate for candidate in search.candidates.all
    }
    lost = by_count[1]
    assert (
        lost.outcome == "disconnected"
        and lost.epochs == 0
        and lost.values == []
        and lost.val_top1 is None
    )
    assert "stages.2.0.conv1.weight" in lost.emptied_layers.split(", ")
    assert (
        by_count[30].outcome == "done" and tuneless.find_best(search)[0.98][0] == by_count[30].key
    )
    store = Store.at(tmp_path)
    assert store.list("rows", ".parquet") == [
        f"rows/{by_count[30].key}.parquet"
    ] and not store.list("checkpoints")
    assert any("disconnected, not trained" in line for line in lines)


def test_a_candidate_that_costs_too_much_is_not_trained(tmp_path: Path) -> None:
    free = tuneless.run(make_spec(budget={"trials": 4}), tmp_path / "free")
    costs = {
        candidate.sparsity: candidate.effective_macs or 0.0 for candidate in free.candidates.all
    }
    limit = (costs[0.9] + costs[0.95]) / 2
    spec = make_spec(budget={"trials": 4}, objective={"max_effective_macs": limit})
    search = tuneless.run(spec, tmp_path / "limited")
    assert {(candidate.sparsity, candidate.outcome) for candidate in search.candidates.all} == {
        (0.9, "too costly"),
        (0.95, "done"),
    }
    assert all(
        candidate.epochs == 0 and candidate.effective_macs
        for candidate in search.candidates.by_sparsity[0.9]
    )
    assert set(tuneless.find_best(search)) == {0.95}


def test_dense_trainings_run_once_before_the_candidates_that_start_from_them(
    tmp_path: Path,
) -> None:
    spec = make_spec(
        method="magnitude",
        space={"retrain.lr": {"log_range": [0.001, 0.1]}},
        retrain={"epochs": 1},
        sparsities=[0.5],
        budget={"trials": 3},
    )
    search = tuneless.run(spec, tmp_path)
    assert [candidate.outcome for candidate in search.candidates.all] == ["done"] * 3 and all(
        candidate.epochs == 1 for candidate in search.candidates.all
    )
    dense = [path for path in Store.at(tmp_path).list("rows", ".parquet") if "/dense/" in path]
    assert len(dense) == 1 and search.spending.dense_seconds > 0
    (row,) = parquet_tables.decode_table("rows", Store.at(tmp_path).read(dense[0])).to_pylist()
    assert row["test_top1"] is None and row["val_top1"] > 50


def test_where_the_dense_training_fails_its_candidates_do(tmp_path: Path) -> None:
    spec = make_spec(
        method="magnitude",
        space={"retrain.lr": {"log_range": [0.001, 0.1]}},
        retrain={"epochs": 1},
        sparsities=[0.5],
    )
    search = open_search(spec, tmp_path)
    dense = search.suggest("a", 4)
    assert (
        isinstance(dense, dict) and dense["spec"]["method"] == "dense" and not dense["early_checks"]
    )
    search.complete("a", {"status": "failed", "error": "no luck"})
    assert search.candidates.all and all(
        candidate.outcome == "failed" and "no luck" in candidate.error
        for candidate in search.candidates.all
    )


def test_candidates_that_are_scored_first_wait_for_their_dense_training(tmp_path: Path) -> None:
    spec = make_spec(
        method="magnitude",
        space={"retrain.lr": {"log_range": [0.001, 0.1]}},
        retrain={"epochs": 2},
        strategy={"draw": "random", "order": "tenth", "pool": 3},
        sparsities=[0.5],
        budget={"trials": 1},
    )
    search = open_search(spec, tmp_path)
    dense = search.suggest("a", 4)
    assert isinstance(dense, dict) and dense["spec"]["method"] == "dense"
    assert search.suggest("b", 4) is None and len(search.candidates.all) == 3
    done = tuneless.run(spec, tmp_path)
    assert sorted(candidate.outcome for candidate in done.candidates.all) == [
        "done",
        "scored",
        "scored",
    ]


@pytest.mark.parametrize("order", ["flow", "snip", "tenth"])
def test_candidates_are_scored_first_and_run_best_first(order: str, tmp_path: Path) -> None:
    strategy = {"draw": "random", "order": order, "pool": 5}
    sparsities = [0.9, 0.95] if order == "flow" else [0.9]  # each has its own order
    budget = {"trials": 2 * len(sparsities)}
    spec = make_spec(strategy=strategy, sparsities=sparsities, budget=budget)
    search = tuneless.run(spec, tmp_path, slots=1)
    for group in search.candidates.by_sparsity.values():
        scores = {candidate.number: candidate.score for candidate in group}
        ran = [candidate.number for candidate in group if candidate.outcome == "done"]
        fell = [candidate.number for candidate in group if candidate.outcome == "disconnected"]
        assert len(group) == 5 and len(ran) == 2
        order_of_scores = sorted(
            (number for number in scores if number not in fell), key=lambda n: -(scores[n] or 0)
        )
        assert sorted(ran) == sorted(order_of_scores[:2])
    assert not search.queue.wants_more
    assert tuneless.list_outcomes(open_search(search.spec, tmp_path)) == tuneless.list_outcomes(
        search
    )


def test_a_failed_candidate_does_not_end_the_search(tmp_path: Path) -> None:
    spec = make_spec(
        space={"recipe.lr": {"choices": [0.05, 1e30]}}, strategy="grid", budget={}, sparsities=[0.9]
    )
    search = tuneless.run(spec, tmp_path)
    outcomes = {
        candidate.configuration["recipe.lr"]: candidate for candidate in search.candidates.all
    }
    assert outcomes[1e30].outcome == "failed" and "training loss" in outcomes[1e30].error
    assert tuneless.find_best(search)[0.9][0] == outcomes[0.05].key


def test_rows_that_a_killed_driver_did_not_hear_of_are_taken_over(tmp_path: Path) -> None:
    search = tuneless.run(make_spec(budget={"trials": 2}), tmp_path)
    candidate = search.candidates.all[0]
    path = tmp_path / candidate.path
    path.write_text(
        json.dumps(
            json.loads(path.read_text())
            | {"outcome": "running", "ended": None, "val_top1": None, "values": []}
        )
    )
    again = open_search(search.spec, tmp_path).candidates.all[0]
    assert again.outcome == "done" and again.ended is not None
    assert again.val_top1 == candidate.val_top1
    assert again.values == candidate.values and len(again.values) == 3


def test_a_candidate_that_is_done_when_its_worker_opens_it_reports_what_it_reached(
    tmp_path: Path,
) -> None:
    """The worker of a killed driver has finished it after the next launch began."""
    search = tuneless.run(make_spec(budget={"trials": 1}), tmp_path)
    candidate = search.candidates.all[0]
    (tmp_path / candidate.path).unlink()
    again = tuneless.run(make_spec(budget={"trials": 1}), tmp_path).candidates.all[0]
    assert (again.outcome, again.values) == (candidate.outcome, candidate.values)
    assert len(again.values) == 3


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    search = tuneless.run(make_spec(budget={"trials": 1}), tmp_path)
    (tmp_path / search.candidates.all[0].path).write_text("{")
    with pytest.raises(
        ValueError, match="is no record of a candidate .*; delete it to run it again"
    ):
        read_candidates(Store.at(tmp_path))
