"""A search from its first candidate to its best, without Ray: kept on disk, killed, continued,
within its budget."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.running.stop_request import Stop
from sweeps.search import candidate_records
from sweeps.search.search_state import OVER
from tests import tuneless
from tests.tuneless import Killed, make_spec, open_search
from trainables.storage import parquet_tables
from trainables.storage.store import Store

GRID = {"iterations": {"choices": [3, 20]}, "schedule": {"choices": ["exponential", "linear"]}}


@pytest.fixture(autouse=True)
def _no_stop() -> Iterator[None]:
    yield
    Stop.reason = ""


@pytest.mark.parametrize("draw", ["grid", "random"])
def test_a_killed_search_ends_as_an_undisturbed_one(draw: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"strategy": draw} | (
        {"space": GRID, "budget": {}} if draw == "grid" else {}
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
    assert tuneless.found(killed) == tuneless.found(whole)
    assert tuneless.best(killed) == tuneless.best(whole) and set(tuneless.best(whole)) == {
        0.9,
        0.95,
    }
    again = tuneless.run(make_spec(**changes), tmp_path / "whole")
    assert tuneless.found(again) == tuneless.found(whole) and not again.wants_more


def test_equal_seeds_give_equal_searches_and_others_do_not(tmp_path: Path) -> None:
    one, two = (tuneless.run(make_spec(), tmp_path / name) for name in "ab")
    assert tuneless.found(one) == tuneless.found(two)
    other = open_search(make_spec(seed=7), tmp_path / "c")
    for sparsity in (0.9, 0.95):
        first = other.peek(sparsity)
        assert first is not None and first.configuration != one.at[sparsity][0].configuration


def test_candidates_have_rows_of_the_validation_set_alone(tmp_path: Path) -> None:
    search = tuneless.run(make_spec(budget={"trials": 4}), tmp_path)
    done = [one for one in search.all if one.outcome == "done"]
    assert len(done) == 4
    for one in done:
        (row,) = parquet_tables.decode(
            "rows", Store.at(tmp_path).read(f"rows/{one.key}.parquet")
        ).to_pylist()
        assert row["test_top1"] is None and row["test_top5"] is None and row["test_loss"] is None
        assert (
            row["val_top1"] == one.val_top1 == one.values[-1]
            and row["effective_macs"] == one.effective_macs
        )
        assert len(one.values) == one.epochs == 3 and one.images == 143


def test_a_larger_budget_goes_on_where_the_smaller_ended(tmp_path: Path) -> None:
    small = tuneless.run(make_spec(budget={"trials": 3}), tmp_path / "grown")
    assert len(small.all) == 3 and not small.wants_more
    following = small.peek(0.95)
    grown = tuneless.run(make_spec(budget={"trials": 5}), tmp_path / "grown")
    assert following is not None and following.trial.key in {one.key for one in grown.all}
    assert tuneless.found(grown) == tuneless.found(
        tuneless.run(make_spec(budget={"trials": 5}), tmp_path / "whole")
    )


def test_device_time_ends_a_search_and_running_candidates_go_on_later(tmp_path: Path) -> None:
    spec = make_spec(budget={"money": 1.0, "price": 3600 * 1e9})  # 1e-9 seconds
    search = open_search(spec, tmp_path)
    given = search.suggest("a", 1)
    assert isinstance(given, dict)
    search.note(given["key"], {"seconds": 5.0, "values": [50.0]})
    assert Stop.reason == OVER
    search.complete("a", {"status": "running", "seconds": 5.0, "values": [50.0]})
    assert search.suggest("b", 1) == "FINISHED" and not search.wants_more
    Stop.reason = ""
    richer = open_search(make_spec(budget={"hours": 1}), tmp_path)
    (begun,) = richer.all
    assert (
        begun.outcome == "running"
        and begun.seconds == 5.0
        and richer.spending.seconds(richer.all) == 5.0
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
    by_count = {one.configuration["iterations"]: one for one in search.all}
    lost = by_count[1]
    assert (
        lost.outcome == "disconnected"
        and lost.epochs == 0
        and lost.values == []
        and lost.val_top1 is None
    )
    assert "stages.2.0.conv1.weight" in lost.emptied_layers.split(", ")
    assert by_count[30].outcome == "done" and tuneless.best(search)[0.98][0] == by_count[30].key
    store = Store.at(tmp_path)
    assert store.list("rows", ".parquet") == [
        f"rows/{by_count[30].key}.parquet"
    ] and not store.list("checkpoints")
    assert any("disconnected, not trained" in line for line in lines)


def test_a_candidate_that_costs_too_much_is_not_trained(tmp_path: Path) -> None:
    free = tuneless.run(make_spec(budget={"trials": 4}), tmp_path / "free")
    costs = {one.sparsity: one.effective_macs or 0.0 for one in free.all}
    limit = (costs[0.9] + costs[0.95]) / 2
    spec = make_spec(budget={"trials": 4}, objective={"max_effective_macs": limit})
    search = tuneless.run(spec, tmp_path / "limited")
    assert {(one.sparsity, one.outcome) for one in search.all} == {
        (0.9, "too costly"),
        (0.95, "done"),
    }
    assert all(one.epochs == 0 and one.effective_macs for one in search.at[0.9])
    assert set(tuneless.best(search)) == {0.95}


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
    assert [one.outcome for one in search.all] == ["done"] * 3 and all(
        one.epochs == 1 for one in search.all
    )
    dense = [path for path in Store.at(tmp_path).list("rows", ".parquet") if "/dense/" in path]
    assert len(dense) == 1 and search.spending.dense_seconds > 0
    (row,) = parquet_tables.decode("rows", Store.at(tmp_path).read(dense[0])).to_pylist()
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
    assert isinstance(dense, dict) and dense["spec"]["method"] == "dense" and not dense["gated"]
    search.complete("a", {"status": "failed", "error": "no luck"})
    assert search.all and all(
        one.outcome == "failed" and "no luck" in one.error for one in search.all
    )


@pytest.mark.parametrize("order", ["flow", "snip", "tenth"])
def test_candidates_are_scored_first_and_run_best_first(order: str, tmp_path: Path) -> None:
    strategy = {"draw": "random", "order": order, "pool": 5}
    search = tuneless.run(make_spec(strategy=strategy, budget={"trials": 4}), tmp_path, slots=1)
    for group in search.at.values():
        scores = {one.number: one.score for one in group}
        ran = [one.number for one in group if one.outcome == "done"]
        fell = [one.number for one in group if one.outcome == "disconnected"]
        assert len(group) == 5 and len(ran) == 2
        order_of_scores = sorted(
            (number for number in scores if number not in fell), key=lambda n: -(scores[n] or 0)
        )
        assert sorted(ran) == sorted(order_of_scores[:2])
    assert not search.wants_more
    assert tuneless.found(open_search(search.spec, tmp_path)) == tuneless.found(search)


def test_a_failed_candidate_does_not_end_the_search(tmp_path: Path) -> None:
    spec = make_spec(
        space={"recipe.lr": {"choices": [0.05, 1e30]}}, strategy="grid", budget={}, sparsities=[0.9]
    )
    search = tuneless.run(spec, tmp_path)
    outcomes = {one.configuration["recipe.lr"]: one for one in search.all}
    assert outcomes[1e30].outcome == "failed" and "training loss" in outcomes[1e30].error
    assert tuneless.best(search)[0.9][0] == outcomes[0.05].key


def test_rows_that_a_killed_driver_did_not_hear_of_are_taken_over(tmp_path: Path) -> None:
    search = tuneless.run(make_spec(budget={"trials": 2}), tmp_path)
    one = search.all[0]
    path = tmp_path / one.path
    path.write_text(
        json.dumps(
            {**json.loads(path.read_text()), "outcome": "running", "ended": None, "val_top1": None}
        )
    )
    again = open_search(search.spec, tmp_path).all[0]
    assert again.outcome == "done" and again.val_top1 == one.val_top1 and again.ended is not None


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    search = tuneless.run(make_spec(budget={"trials": 1}), tmp_path)
    (tmp_path / search.all[0].path).write_text("{")
    with pytest.raises(
        ValueError, match="is no record of a candidate .*; delete it to run it again"
    ):
        candidate_records.read(Store.at(tmp_path))
