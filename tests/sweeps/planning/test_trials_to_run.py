"""From a plan and the study directory to what is done, failed and missing.

Covers: sweeps/planning/trial_status.py.
"""

from pathlib import Path

import pytest

from pruning.user_error import UserError
from sweeps.planning.plan import Plan, make_plan
from sweeps.planning.trial_status import (
    check_erasable,
    erase_study,
    forget_failures,
    read_trial_status,
    record_failure,
)
from sweeps.study_file.study import build_study
from tests.sweeps.planning.shared_training import RAW
from trainables.storage import parquet_tables
from trainables.storage.store import Store


@pytest.fixture
def plan() -> Plan:
    return make_plan(build_study(RAW, where="x"))


def finish(store: Store, plan: Plan, keys: list[str]) -> None:
    for key in keys:
        store.write(f"rows/{key}.parquet", parquet_tables.encode_table("rows", [{"key": key}]))
        for epoch in (0, 2, 10) if plan.by_key[key].spec.method == "dense" else ():
            store.write(f"artifacts/{key}/epoch-{epoch:06d}-0123456789abcdef.pt", b"weights")


def test_missing_is_plan_minus_rows(plan: Plan, tmp_path: Path) -> None:
    store, keys = Store.at(tmp_path), list(plan.by_key)
    assert read_trial_status(plan, store).missing == tuple(keys)
    finish(store, plan, keys[:5])
    state = read_trial_status(plan, store)
    assert state.done == set(keys[:5]) and state.missing == tuple(keys[5:])
    finish(store, plan, keys)
    assert read_trial_status(plan, store).missing == ()


def test_a_failed_parent_blocks_its_children_until_failures_are_forgotten(
    plan: Plan, tmp_path: Path
) -> None:
    store, dense = Store.at(tmp_path), plan.trials[0].key
    record_failure(store, dense, "OutOfMemoryError: no")
    state = read_trial_status(plan, store)
    assert state.failed[dense].error == "OutOfMemoryError: no"
    assert set(state.blocked) == set(plan.children[dense]) and set(state.blocked.values()) == {
        dense
    }
    assert set(state.missing) == set(plan.by_key) - {dense} - set(plan.children[dense])
    assert read_trial_status(plan, store, retry_failed=True).missing == tuple(plan.by_key)
    forget_failures(store, [dense])
    assert read_trial_status(plan, store).missing == tuple(plan.by_key)


def test_an_unreadable_record_of_a_failure_is_still_a_failure(plan: Plan, tmp_path: Path) -> None:
    store, key = Store.at(tmp_path), plan.trials[-1].key
    store.write(f"failures/{key}.json", b"{ not json")
    assert "cannot be read" in read_trial_status(plan, store).failed[key].error


def test_a_dense_trial_runs_again_when_weights_are_wanted_that_it_did_not_store(
    plan: Plan, tmp_path: Path
) -> None:
    store, dense = Store.at(tmp_path), plan.trials[0].key
    finish(store, plan, list(plan.by_key))
    store.delete(f"artifacts/{dense}/epoch-000002-0123456789abcdef.pt")
    assert read_trial_status(plan, store).missing == ()
    child = plan.children[dense][0]
    store.delete(f"rows/{child}.parquet")
    assert read_trial_status(plan, store).missing == (dense, child)


def test_fresh_deletes_nothing_of_a_folder_that_holds_no_study(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    check_erasable(store)
    store.write("notes.txt", b"mine")
    check_erasable(store)
    store.write("weights/trained.pth", b"mine")
    store.write("best/one.txt", b"mine")
    line = "holds no study, but 'weights', 'best', which --fresh would delete: choose another --out"
    with pytest.raises(UserError, match=line):
        check_erasable(store)
    for sign in ("study.yaml", "search.yaml", "plan.json", "lease.json", "rows/a/b.parquet"):
        store.write(sign, b"")
        check_erasable(store)
        store.delete(sign)
    with pytest.raises(UserError, match=line):
        check_erasable(store)


def test_half_a_deletion_still_is_a_study(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.at(tmp_path)
    finish(store, plan, list(plan.by_key))
    for name in ("study.yaml", "plan.json", "models.json", "logs/x", "weights/x"):
        store.write(name, b"")
    delete = Store.delete

    def die_after(self: Store, name: str) -> None:
        check_erasable(self)
        delete(self, name)

    monkeypatch.setattr(Store, "delete", die_after)
    erase_study(store)
    assert not store.list("")


def test_erase_takes_the_study_and_leaves_what_else_lies_there(plan: Plan, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    finish(store, plan, list(plan.by_key))
    store.write("study.yaml", b"")
    store.write("notes.txt", b"mine")
    erase_study(store)
    assert store.list("") == ["/notes.txt"] or [path.name for path in tmp_path.iterdir()] == [
        "notes.txt"
    ]
